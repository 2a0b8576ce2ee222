//! Filling and copying of memories.
//!
//! Most programs move few bytes at a time, so that looking up memories and preparing for interruption would cost more than moving. Where few are to be
//! moved, bounds are checked here and only the moving is left to somebody else.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, InstructionData, MemFlagsData, Opcode, Type, Value, types};
use innkeeper_engine::index::MemoryIndex;
use innkeeper_engine::tier::VmMemory;
use innkeeper_engine::{Sharing, Trap};

use super::{Result, Translator, record_flags};
use crate::libcall::Libcall;
use crate::trap;

/// As many bytes, if the code says how many, are moved by loads and stores.
const INLINE_BYTES: u64 = 64;

/// As many bytes are moved without asking whether somebody wants the guest to stop: all that the longest function can do in a row, which has no loop to
/// ask in, still takes no more than some milliseconds.
const FEW_BYTES: i64 = 1 << 13;

impl Translator<'_, '_> {
    pub(super) fn memory_fill(&mut self, memory: u32) -> Result {
        let is_wide = self.is_memory64(memory);
        let (len, value) = (self.pop_index(is_wide)?, self.pop()?);
        let to = self.pop_index(is_wide)?;
        let index = self.i32(memory);
        let args = [self.ctx, index, to, value, len];
        if !self.is_plain(memory) {
            return self.libcall_or_stop(Libcall::MemoryFill, &args);
        }
        if let Some(bytes) = self.constant(len).filter(|bytes| *bytes <= INLINE_BYTES) {
            let to = self.range(memory, to, len);
            self.fill_pieces(to, value, bytes);
            return Ok(());
        }
        self.unless_few(len, (Libcall::MemoryFill, &args), |this| {
            let to = this.range(memory, to, len);
            this.libcall(Libcall::SetBytes, &[to, value, len]);
        })
    }

    pub(super) fn memory_copy(&mut self, to_memory: u32, from_memory: u32) -> Result {
        let (to_wide, from_wide) = (self.is_memory64(to_memory), self.is_memory64(from_memory));
        let len = self.pop_index(to_wide && from_wide)?;
        let (from, to) = (self.pop_index(from_wide)?, self.pop_index(to_wide)?);
        let (to_index, from_index) = (self.i32(to_memory), self.i32(from_memory));
        let args = [self.ctx, to_index, from_index, to, from, len];
        if !self.is_plain(to_memory) || !self.is_plain(from_memory) {
            return self.libcall_or_stop(Libcall::MemoryCopy, &args);
        }
        if let Some(bytes) = self.constant(len).filter(|bytes| *bytes <= INLINE_BYTES) {
            let to = self.range(to_memory, to, len);
            let from = self.range(from_memory, from, len);
            self.copy_pieces(to, from, bytes);
            return Ok(());
        }
        self.unless_few(len, (Libcall::MemoryCopy, &args), |this| {
            let to = this.range(to_memory, to, len);
            let from = this.range(from_memory, from, len);
            this.libcall(Libcall::MoveBytes, &[to, from, len]);
        })
    }

    /// Copies so many bytes that are inside their memories. All are read before the first is written: ranges may overlap.
    fn copy_pieces(&mut self, to: Value, from: Value, bytes: u64) {
        let flags = self.inside_memory();
        let load = |(offset, ty)| (offset, self.b.ins().load(ty, flags, from, offset));
        let loaded: Vec<(i32, Value)> = pieces(bytes).map(load).collect();
        for (offset, value) in loaded {
            self.b.ins().store(flags, value, to, offset);
        }
    }

    /// Writes the low byte of `value` so many times, inside a memory.
    fn fill_pieces(&mut self, to: Value, value: Value, bytes: u64) {
        const EACH_BYTE: i64 = 0x0101_0101_0101_0101;
        let flags = self.inside_memory();
        let byte = self.b.ins().ireduce(types::I8, value);
        let wide = self.b.ins().uextend(types::I64, byte);
        let each = self.int(types::I64, EACH_BYTE);
        let word = self.b.ins().imul(wide, each);
        for (offset, ty) in pieces(bytes) {
            let piece = match ty {
                types::I8X16 => self.b.ins().splat(ty, byte),
                types::I64 => word,
                _ => self.b.ins().ireduce(ty, word),
            };
            self.b.ins().store(flags, piece, to, offset);
        }
    }

    fn inside_memory(&self) -> MemFlagsData {
        MemFlagsData::new().with_notrap().with_alias_region(Some(self.regions.heap))
    }

    /// What a length or an address is, if it is written in the code.
    pub(super) fn constant(&self, value: Value) -> Option<u64> {
        let dfg = &self.b.func.dfg;
        let inst = dfg.value_def(dfg.resolve_aliases(value)).inst()?;
        match dfg.insts[inst] {
            InstructionData::Unary { opcode: Opcode::Uextend, arg } => {
                self.constant(arg).map(|constant| constant & u64::from(u32::MAX))
            }
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => Some(imm.bits().cast_unsigned()),
            _ => None,
        }
    }

    /// Whether addresses have 32 bits, so that ends of ranges can be computed in 64, and no other thread has the memory.
    fn is_plain(&self, memory: u32) -> bool {
        let ty = self.module.memory_type(MemoryIndex(memory));
        !self.is_memory64(memory) && ty.sharing == Sharing::Unshared
    }

    /// Does what `few` says for few bytes, and has the engine do it for many.
    fn unless_few(
        &mut self,
        len: Value,
        (libcall, args): (Libcall, &[Value]),
        few: impl FnOnce(&mut Self),
    ) -> Result {
        let (many_block, few_block, done) =
            (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(many_block);
        let is_many = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, len, FEW_BYTES);
        self.b.ins().brif(is_many, many_block, &[], few_block, &[]);
        self.b.switch_to_block(many_block);
        self.b.seal_block(many_block);
        self.libcall_or_stop(libcall, args)?;
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(few_block);
        self.b.seal_block(few_block);
        few(self);
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
        self.b.seal_block(done);
        Ok(())
    }

    /// Where a range of a plain memory is; traps where it is not all inside.
    fn range(&mut self, memory: u32, start: Value, len: Value) -> Value {
        let record = self.memory_record(memory);
        let field = |this: &mut Self, offset: usize| {
            this.b.ins().load(types::I64, record_flags(), record, offset as i32)
        };
        let end = self.b.ins().iadd(start, len);
        let len_bytes = field(self, offset_of!(VmMemory, len_bytes));
        let is_beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, len_bytes);
        self.b.ins().trapnz(is_beyond, trap::code(Trap::MemoryOutOfBounds));
        let base = field(self, offset_of!(VmMemory, base));
        self.b.ins().iadd(base, start)
    }
}

/// Pieces that so many bytes consist of, with their offsets: as few as loads and stores of registers allow.
fn pieces(bytes: u64) -> impl Iterator<Item = (i32, Type)> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        let sizes = [types::I8X16, types::I64, types::I32, types::I16, types::I8];
        let ty = sizes.into_iter().find(|ty| offset + u64::from(ty.bytes()) <= bytes)?;
        let piece = (offset as i32, ty);
        offset += u64::from(ty.bytes());
        Some(piece)
    })
}
