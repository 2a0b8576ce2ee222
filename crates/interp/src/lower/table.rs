//! Table instructions. Handlers take 32-bit indices and lengths; those of a 64-bit table are narrowed first.

use innkeeper_engine::IndexType;
use innkeeper_engine::index::TableIndex;

use super::emit::{pair, slots, slots_immediate};
use super::frame::SlotIndex;
use super::{Lowering, Result};
use crate::op::table;

impl Lowering<'_> {
    pub(super) fn visit_table_get(&mut self, table: u32) -> Result {
        let index = self.pop_table_index(table);
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        self.emit.op(table::table_get, slots_immediate(result, index, table));
        self.emit.wrote(start, result, None);
        Ok(())
    }

    pub(super) fn visit_table_set(&mut self, table: u32) -> Result {
        let (value, index) = (self.pop_slot(), self.pop_table_index(table));
        self.emit.op(table::table_set, slots_immediate(index, value, table));
        Ok(())
    }

    pub(super) fn visit_table_size(&mut self, table: u32) -> Result {
        let result = self.stack.push_slot()?;
        self.emit.op(table::table_size, slots_immediate(result, 0, table));
        Ok(())
    }

    pub(super) fn visit_table_grow(&mut self, table: u32) -> Result {
        let (delta, value) = (self.pop_table_index(table), self.pop_slot());
        let result = self.stack.push_slot()?;
        let wide = u16::from(self.index_type(table) == IndexType::I64);
        self.emit.op(table::table_grow, slots(result, value, delta, wide));
        self.emit.word(pair(table, 0));
        Ok(())
    }

    pub(super) fn visit_table_fill(&mut self, table: u32) -> Result {
        let (len, value, to) = (self.pop_table_index(table), self.pop_slot(), self.pop_table_index(table));
        self.emit.op(table::table_fill, slots(to, value, len, 0));
        self.emit.word(pair(table, 0));
        Ok(())
    }

    pub(super) fn visit_table_copy(&mut self, dst_table: u32, src_table: u32) -> Result {
        let (to, from) = (self.index_type(dst_table), self.index_type(src_table));
        let len = self.pop_index(to.min(from));
        let (from, to) = (self.pop_index(from), self.pop_index(to));
        self.emit.op(table::table_copy, slots(to, from, len, 0));
        self.emit.word(pair(dst_table, src_table));
        Ok(())
    }

    pub(super) fn visit_table_init(&mut self, elem_index: u32, table: u32) -> Result {
        let (len, from, to) = (self.pop_slot(), self.pop_slot(), self.pop_table_index(table));
        self.emit.op(table::table_init, slots(to, from, len, 0));
        self.emit.word(pair(table, elem_index));
        Ok(())
    }

    pub(super) fn visit_elem_drop(&mut self, elem_index: u32) -> Result {
        self.emit.op(table::elem_drop, slots_immediate(0, 0, elem_index));
        Ok(())
    }

    /// Pops an index into a table and names a slot that holds it, in 32 bits.
    pub(super) fn pop_table_index(&mut self, table: u32) -> SlotIndex {
        let index = self.index_type(table);
        self.pop_index(index)
    }

    fn pop_index(&mut self, index: IndexType) -> SlotIndex {
        let operand = self.stack.pop();
        let slot = self.slot_of(operand);
        if index == IndexType::I32 {
            return slot;
        }
        self.emit.op(table::narrow_index, slots(operand.slot, slot, 0, 0));
        operand.slot
    }

    fn index_type(&self, table: u32) -> IndexType {
        self.module.table_type(TableIndex(table)).index
    }
}
