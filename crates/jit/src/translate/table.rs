//! Tables.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use innkeeper_engine::index::TableIndex;
use innkeeper_engine::tier::{VmContext, VmTable};
use innkeeper_engine::{IndexType, Trap};
use wasmparser::Operator;

use super::{Result, Translator, fixed_flags, record_flags};
use crate::libcall::Libcall;
use crate::trap;

impl Translator<'_, '_> {
    fn is_table64(&self, table: u32) -> bool {
        self.module.table_type(TableIndex(table)).index == IndexType::I64
    }

    fn table_record(&mut self, table: u32) -> Value {
        match table {
            0 => self.fixed(self.ctx, offset_of!(VmContext, table0)),
            _ => self.fixed_element(offset_of!(VmContext, tables), table),
        }
    }

    /// Pops an index and gives the address of the element, with the flags of an access to it.
    pub(super) fn element(&mut self, table: u32, beyond: Trap) -> Result<(Value, MemFlagsData)> {
        let index = self.pop_index(self.is_table64(table))?;
        let record = self.table_record(table);
        let size = self.module.table_type(TableIndex(table)).size;
        let (len, flags) = if size.max == Some(size.min) {
            // It can never be anything else, and its elements never move.
            (self.int(types::I64, size.min.cast_signed()), fixed_flags())
        } else {
            let flags = record_flags().with_alias_region(Some(self.regions.record));
            (self.b.ins().load(types::I64, flags, record, offset_of!(VmTable, len) as i32), flags)
        };
        let is_beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
        self.b.ins().trapnz(is_beyond, trap::code(beyond));
        let elements = self.b.ins().load(types::I64, flags, record, offset_of!(VmTable, elements) as i32);
        let offset = self.b.ins().ishl_imm_u(index, 3);
        let element = self.b.ins().iadd(elements, offset);
        Ok((element, MemFlagsData::trusted().with_alias_region(Some(self.regions.table))))
    }

    pub(super) fn table(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::TableGet { table } => {
                let (element, flags) = self.element(*table, Trap::TableOutOfBounds)?;
                let value = self.b.ins().load(types::I64, flags, element, 0);
                self.push(value)
            }
            Operator::TableSet { table } => {
                let value = self.pop()?;
                let (element, flags) = self.element(*table, Trap::TableOutOfBounds)?;
                self.b.ins().store(flags, value, element, 0);
                Ok(())
            }
            Operator::TableSize { table } => {
                let record = self.table_record(*table);
                let flags = record_flags().with_alias_region(Some(self.regions.record));
                let len = self.b.ins().load(types::I64, flags, record, offset_of!(VmTable, len) as i32);
                let is_wide = self.is_table64(*table);
                let len = if is_wide { len } else { self.b.ins().ireduce(types::I32, len) };
                self.push(len)
            }
            Operator::TableGrow { table } => {
                let is_wide = self.is_table64(*table);
                let (delta, value) = (self.pop_index(is_wide)?, self.pop()?);
                let index = self.i32(*table);
                self.grow(Libcall::TableGrow, &[self.ctx, index, delta, value], is_wide)
            }
            Operator::TableFill { table } => {
                let is_wide = self.is_table64(*table);
                let (len, value) = (self.pop_index(is_wide)?, self.pop()?);
                let to = self.pop_index(is_wide)?;
                let index = self.i32(*table);
                self.libcall_or_stop(Libcall::TableFill, &[self.ctx, index, to, value, len])
            }
            Operator::TableCopy { dst_table, src_table } => {
                let (to_wide, from_wide) = (self.is_table64(*dst_table), self.is_table64(*src_table));
                let len = self.pop_index(to_wide && from_wide)?;
                let (from, to) = (self.pop_index(from_wide)?, self.pop_index(to_wide)?);
                let (to_table, from_table) = (self.i32(*dst_table), self.i32(*src_table));
                self.libcall_or_stop(Libcall::TableCopy, &[self.ctx, to_table, from_table, to, from, len])
            }
            Operator::TableInit { elem_index, table } => {
                let (len, from) = (self.pop_index(false)?, self.pop_index(false)?);
                let to = self.pop_index(self.is_table64(*table))?;
                let (index, elem) = (self.i32(*table), self.i32(*elem_index));
                self.libcall_or_stop(Libcall::TableInit, &[self.ctx, index, elem, to, from, len])
            }
            Operator::ElemDrop { elem_index } => {
                let elem = self.i32(*elem_index);
                self.libcall(Libcall::ElemDrop, &[self.ctx, elem]);
                Ok(())
            }
            _ => return Ok(false),
        }?;
        Ok(true)
    }
}
