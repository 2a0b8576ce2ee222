//! Filling and copying of memories.
//!
//! Most programs move few bytes at a time, so that looking up memories and preparing for interruption would cost more than moving. Where few are to be
//! moved, bounds are checked here and only the moving is left to somebody else.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Value, types};
use innkeeper_engine::index::MemoryIndex;
use innkeeper_engine::tier::VmMemory;
use innkeeper_engine::{Sharing, Trap};

use super::{Result, Translator, record_flags};
use crate::builtin::Builtin;
use crate::trap;

/// As many bytes are moved without asking whether somebody wants to interrupt.
const FEW_BYTES: i64 = 1 << 16;

impl Translator<'_> {
    pub(super) fn memory_fill(&mut self, memory: u32) -> Result {
        let is_wide = self.is_memory64(memory);
        let (len, value) = (self.pop_index(is_wide)?, self.pop()?);
        let to = self.pop_index(is_wide)?;
        let index = self.i32(memory);
        let args = [self.ctx, index, to, value, len];
        if !self.is_plain(memory) {
            return self.builtin_or_stop(Builtin::MemoryFill, &args);
        }
        self.unless_few(len, (Builtin::MemoryFill, &args), |this| {
            let to = this.range(memory, to, len);
            this.builtin(Builtin::SetBytes, &[to, value, len]);
        })
    }

    pub(super) fn memory_copy(&mut self, to_memory: u32, from_memory: u32) -> Result {
        let (to_wide, from_wide) = (self.is_memory64(to_memory), self.is_memory64(from_memory));
        let len = self.pop_index(to_wide && from_wide)?;
        let (from, to) = (self.pop_index(from_wide)?, self.pop_index(to_wide)?);
        let (to_index, from_index) = (self.i32(to_memory), self.i32(from_memory));
        let args = [self.ctx, to_index, from_index, to, from, len];
        if !self.is_plain(to_memory) || !self.is_plain(from_memory) {
            return self.builtin_or_stop(Builtin::MemoryCopy, &args);
        }
        self.unless_few(len, (Builtin::MemoryCopy, &args), |this| {
            let to = this.range(to_memory, to, len);
            let from = this.range(from_memory, from, len);
            this.builtin(Builtin::MoveBytes, &[to, from, len]);
        })
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
        (builtin, args): (Builtin, &[Value]),
        few: impl FnOnce(&mut Self),
    ) -> Result {
        let (many_block, few_block, done) =
            (self.b.create_block(), self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(many_block);
        let is_many = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, len, FEW_BYTES);
        self.b.ins().brif(is_many, many_block, &[], few_block, &[]);
        self.b.switch_to_block(many_block);
        self.b.seal_block(many_block);
        self.builtin_or_stop(builtin, args)?;
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
