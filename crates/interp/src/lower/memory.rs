//! Loads, stores and bulk memory operations.

use innkeeper_engine::for_each_opcode;
use wasmparser::MemArg;

use super::emit::{pair, slots, slots_immediate};
use super::stack::Source;
use super::{Lowering, Result};
use crate::machine::Handler;
use crate::op::memory;

macro_rules! lower_memory {
    (
        compare { $($_compare:tt)* } test { $($_test:tt)* } unary { $($_unary:tt)* } binary { $($_binary:tt)* }
        unary_trapping { $($_unary_trapping:tt)* } binary_trapping { $($_binary_trapping:tt)* }
        load { $($load:ident $visit_load:ident $_m1:literal $_e1:literal ($load_cell:ty) -> $load_bits:ident;)* }
        store { $($store:ident $visit_store:ident $_m2:literal $_e2:literal ($store_bits:ident) -> $store_cell:ty;)* }
    ) => {
        impl Lowering<'_> {
            $(pub(super) fn $visit_load(&mut self, memarg: MemArg) -> Result {
                self.load(memory::$load, memarg)
            })*
            $(pub(super) fn $visit_store(&mut self, memarg: MemArg) -> Result {
                self.store(memory::$store, memory::constant::$store, memarg)
            })*
        }
    };
}
for_each_opcode!(lower_memory);

impl Lowering<'_> {
    fn load(&mut self, handler: Handler, memarg: MemArg) -> Result {
        let address = self.pop_slot();
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        self.emit.op(handler, slots_immediate(result, address, offset(memarg)));
        self.emit.wrote(start, result, None);
        Ok(())
    }

    fn store(&mut self, handler: Handler, constant: Handler, memarg: MemArg) -> Result {
        let value = self.stack.pop();
        let address = self.stack.pop();
        if let Source::Constant(bits) = value.source {
            let address = self.slot_of(address);
            self.emit.op(constant, slots_immediate(address, 0, offset(memarg)));
            self.emit.word(bits);
        } else {
            let (address, value) = (self.slot_of(address), self.slot_of(value));
            self.emit.op(handler, slots_immediate(address, value, offset(memarg)));
        }
        Ok(())
    }

    pub(super) fn visit_memory_size(&mut self, mem: u32) -> Result {
        let result = self.stack.push_slot()?;
        self.emit.op(memory::memory_size, slots_immediate(result, 0, mem));
        Ok(())
    }

    pub(super) fn visit_memory_grow(&mut self, mem: u32) -> Result {
        let delta = self.pop_slot();
        let result = self.stack.push_slot()?;
        self.emit.op(memory::memory_grow, slots_immediate(result, delta, mem));
        Ok(())
    }

    pub(super) fn visit_memory_fill(&mut self, mem: u32) -> Result {
        self.bulk(memory::memory_fill, mem, 0)
    }

    pub(super) fn visit_memory_copy(&mut self, dst_mem: u32, src_mem: u32) -> Result {
        self.bulk(memory::memory_copy, dst_mem, src_mem)
    }

    pub(super) fn visit_memory_init(&mut self, data_index: u32, mem: u32) -> Result {
        self.bulk(memory::memory_init, mem, data_index)
    }

    pub(super) fn visit_data_drop(&mut self, data_index: u32) -> Result {
        self.emit.op(memory::data_drop, slots_immediate(0, 0, data_index));
        Ok(())
    }

    /// An operation with three operands and two indices.
    pub(super) fn bulk(&mut self, handler: Handler, first: u32, second: u32) -> Result {
        let (c, b, a) = (self.pop_slot(), self.pop_slot(), self.pop_slot());
        self.emit.op(handler, slots(a, b, c, 0));
        self.emit.word(pair(first, second));
        Ok(())
    }
}

/// Validation admits only offsets of 32 bits for memories with 32-bit addresses.
fn offset(memarg: MemArg) -> u32 {
    memarg.offset as u32
}
