//! Loads, stores and bulk memory operations.

use innkeeper_engine::index::MemoryIndex;
use innkeeper_engine::{Error, ErrorKind, IndexType, for_each_opcode};
use wasmparser::{MemArg, MemArgTarget};

use super::emit::{pair, slots, slots_immediate};
use super::fuse::{Address, Made};
use super::stack::{Operand, OperandLocation};
use super::{Lowering, Result};
use crate::machine::{Class, Handler, Slot};
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
                const LOAD: Load = Load {
                    slot: memory::s::$load,
                    accumulated: memory::acc::$load,
                    other: memory::other::$load,
                    at: memory::at::$load,
                    scaled: [memory::scaled1::$load, memory::scaled2::$load, memory::scaled3::$load],
                    scaled_accumulated:
                        [memory::scaled1_acc::$load, memory::scaled2_acc::$load, memory::scaled3_acc::$load],
                    indexed: [
                        memory::indexed0::$load,
                        memory::indexed1::$load,
                        memory::indexed2::$load,
                        memory::indexed3::$load,
                    ],
                    counted: memory::counted::$load,
                    result: <$load_bits as Slot>::CLASS,
                };
                self.load(&LOAD, memarg)
            })*
            $(pub(super) fn $visit_store(&mut self, memarg: MemArg) -> Result {
                const STORE: Store = Store {
                    slots: memory::ss::$store,
                    accumulated_address: memory::acc_s::$store,
                    accumulated_value: memory::s_acc::$store,
                    constant: memory::constant::$store,
                    other: memory::other::$store,
                    at: memory::at::$store,
                    at_accumulated: memory::at_acc::$store,
                    indexed: [
                        memory::indexed0::$store,
                        memory::indexed1::$store,
                        memory::indexed2::$store,
                        memory::indexed3::$store,
                    ],
                    indexed_constant: [
                        memory::indexed0::constant::$store,
                        memory::indexed1::constant::$store,
                        memory::indexed2::constant::$store,
                        memory::indexed3::constant::$store,
                    ],
                    value: <$store_bits as Slot>::CLASS,
                };
                self.store(&STORE, memarg)
            })*
        }
    };
}
for_each_opcode!(lower_memory);

/// The forms of a load.
struct Load {
    slot: Handler,
    accumulated: Handler,
    other: Handler,
    /// At a constant address.
    at: Handler,
    /// At a scaled index, by its shift less one.
    scaled: [Handler; 3],
    scaled_accumulated: [Handler; 3],
    /// At a base and a scaled index, by its shift.
    indexed: [Handler; 4],
    /// At a local that a constant is added to first.
    counted: Handler,
    result: Class,
}

/// The forms of a store.
struct Store {
    slots: Handler,
    accumulated_address: Handler,
    accumulated_value: Handler,
    constant: Handler,
    other: Handler,
    at: Handler,
    at_accumulated: Handler,
    indexed: [Handler; 4],
    indexed_constant: [Handler; 4],
    value: Class,
}

impl Lowering<'_> {
    fn load(&mut self, op: &Load, memarg: MemArg) -> Result {
        let address = self.stack.pop();
        let Some(offset) = self.ordinary_offset(memarg)? else {
            let address = self.slot_of(address);
            let result = self.stack.push_slot()?;
            self.emit.op_through(op.other, slots(result, address, 0, 0), op.result, Made::Other);
            return self.name_memory(memarg);
        };
        if self.fuse_load(op, address, offset)? {
            return Ok(());
        }
        let address = self.slot_of(address);
        let handler = match self.emit.is_accumulated(address, Class::Integer) {
            true => op.accumulated,
            false => op.slot,
        };
        let result = self.stack.push_slot()?;
        self.emit.op_through(handler, slots_immediate(result, address, offset), op.result, Made::Other);
        Ok(())
    }

    /// Emits a load together with how its address came about; false where it is just a slot's value.
    fn fuse_load(&mut self, op: &Load, address: Operand, offset: u32) -> Result<bool> {
        if let OperandLocation::Constant(base) = address.location {
            let Some(address) = (base as u32).checked_add(offset) else { return Ok(false) };
            let result = self.stack.push_slot()?;
            self.emit.op_through(op.at, slots_immediate(result, 0, address), op.result, Made::Other);
            return Ok(true);
        }
        match (self.made_address(address), u16::try_from(offset)) {
            (Some(Address::Scaled { index, shift }), _) => {
                self.emit.take_back_last();
                let forms = match self.emit.is_accumulated(index, Class::Integer) {
                    true => &op.scaled_accumulated,
                    false => &op.scaled,
                };
                let handler = forms[shift as usize - 1];
                let result = self.stack.push_slot()?;
                self.emit.op_through(handler, slots_immediate(result, index, offset), op.result, Made::Other);
                return Ok(true);
            }
            (Some(Address::Indexed { base, index, shift }), Ok(offset)) => {
                self.emit.take_back_last();
                let result = self.stack.push_slot()?;
                let operands = slots(result, base, index, offset);
                self.emit.op_through(op.indexed[shift as usize], operands, op.result, Made::Other);
                return Ok(true);
            }
            _ => {}
        }
        if let Some((counted, from, by)) = self.take_counted(address) {
            let result = self.stack.push_slot()?;
            self.emit.op_through(op.counted, slots(result, counted, from, 0), op.result, Made::Other);
            self.emit.word(pair(by, offset));
            return Ok(true);
        }
        Ok(false)
    }

    fn store(&mut self, op: &Store, memarg: MemArg) -> Result {
        let value = self.stack.pop();
        let address = self.stack.pop();
        let Some(offset) = self.ordinary_offset(memarg)? else {
            let (address, value) = (self.slot_of(address), self.slot_of(value));
            self.emit.op(op.other, slots(address, value, 0, 0));
            return self.name_memory(memarg);
        };
        if let OperandLocation::Constant(bits) = value.location {
            if let (Some(Address::Indexed { base, index, shift }), Ok(offset)) =
                (self.made_address(address), u16::try_from(offset))
            {
                self.emit.take_back_last();
                let handler = op.indexed_constant[shift as usize];
                self.emit.op_keeping(handler, slots(base, index, 0, offset));
                self.emit.word(bits);
                return Ok(());
            }
            let address = self.slot_of(address);
            self.emit.op_keeping(op.constant, slots_immediate(address, 0, offset));
            self.emit.word(bits);
            return Ok(());
        }
        if self.fuse_store(op, address, value, offset) {
            return Ok(());
        }
        let address = self.slot_of(address);
        let value = self.slot_of(value);
        let handler = if self.emit.is_accumulated(value, op.value) {
            op.accumulated_value
        } else if self.emit.is_accumulated(address, Class::Integer) {
            op.accumulated_address
        } else {
            op.slots
        };
        self.emit.op_keeping(handler, slots_immediate(address, value, offset));
        Ok(())
    }

    /// Emits a store together with how its address came about; false where it is just a slot's value.
    fn fuse_store(&mut self, op: &Store, address: Operand, value: Operand, offset: u32) -> bool {
        let value = match value.location {
            OperandLocation::Local { slot, .. } => slot,
            _ => value.slot,
        };
        if let OperandLocation::Constant(base) = address.location {
            let Some(address) = (base as u32).checked_add(offset) else { return false };
            let handler = match self.emit.is_accumulated(value, op.value) {
                true => op.at_accumulated,
                false => op.at,
            };
            self.emit.op_keeping(handler, slots_immediate(value, 0, address));
            return true;
        }
        let (Some(Address::Indexed { base, index, shift }), Ok(offset)) =
            (self.made_address(address), u16::try_from(offset))
        else {
            return false;
        };
        self.emit.take_back_last();
        self.emit.op_keeping(op.indexed[shift as usize], slots(base, index, value, offset));
        true
    }

    /// The offset of an access to the first memory with a 32-bit address; none for other accesses.
    pub(super) fn ordinary_offset(&self, memarg: MemArg) -> Result<Option<u32>> {
        let ordinary = memory_of(memarg)? == 0 && self.address_type(0) == IndexType::I32;
        Ok(if ordinary { u32::try_from(memarg.offset).ok() } else { None })
    }

    /// Appends what an instruction needs to know of a memory that it names.
    pub(super) fn name_memory(&mut self, memarg: MemArg) -> Result {
        let memory = memory_of(memarg)?;
        self.emit.word(memarg.offset);
        self.emit.word(self.address_type(memory).max());
        self.emit.word(pair(memory, 0));
        Ok(())
    }

    fn address_type(&self, memory: u32) -> IndexType {
        self.module.memory_type(MemoryIndex(memory)).index
    }

    pub(super) fn visit_memory_size(&mut self, mem: u32) -> Result {
        let result = self.stack.push_slot()?;
        self.emit.op(memory::memory_size, slots_immediate(result, 0, mem));
        self.emit.word(pair(self.module.memory_type(MemoryIndex(mem)).page_size_log2, 0));
        Ok(())
    }

    pub(super) fn visit_memory_grow(&mut self, mem: u32) -> Result {
        let delta = self.pop_slot();
        let result = self.stack.push_slot()?;
        let index = self.address_type(mem);
        self.emit
            .op(memory::memory_grow, slots(result, delta, 0, wide([IndexType::I32, index, IndexType::I32])));
        self.emit.word(pair(mem, 0));
        Ok(())
    }

    pub(super) fn visit_memory_fill(&mut self, mem: u32) -> Result {
        let index = self.address_type(mem);
        self.bulk(memory::memory_fill, [index, IndexType::I32, index], mem, 0)
    }

    pub(super) fn visit_memory_copy(&mut self, dst_mem: u32, src_mem: u32) -> Result {
        let (to, from) = (self.address_type(dst_mem), self.address_type(src_mem));
        self.bulk(memory::memory_copy, [to, from, to.min(from)], dst_mem, src_mem)
    }

    pub(super) fn visit_memory_init(&mut self, data_index: u32, mem: u32) -> Result {
        let index = self.address_type(mem);
        self.bulk(memory::memory_init, [index, IndexType::I32, IndexType::I32], mem, data_index)
    }

    pub(super) fn visit_data_drop(&mut self, data_index: u32) -> Result {
        self.emit.op(memory::data_drop, slots_immediate(0, 0, data_index));
        Ok(())
    }

    /// An operation with three operands, of the given widths, and two indices.
    fn bulk(&mut self, handler: Handler, widths: [IndexType; 3], first: u32, second: u32) -> Result {
        let (c, b, a) = (self.pop_slot(), self.pop_slot(), self.pop_slot());
        self.emit.op(handler, slots(a, b, c, wide(widths)));
        self.emit.word(pair(first, second));
        Ok(())
    }
}

fn memory_of(memarg: MemArg) -> Result<u32> {
    match memarg.target {
        MemArgTarget::Memory(memory) => Ok(memory),
        MemArgTarget::Array(_) => {
            Err(Error::new(ErrorKind::Unsupported("loads and stores of arrays".to_owned())))
        }
    }
}

/// A bit for each operand that has 64 bits.
pub(super) fn wide(widths: [IndexType; 3]) -> u16 {
    let bit = |(i, width): (usize, &IndexType)| u16::from(*width == IndexType::I64) << i;
    widths.iter().enumerate().map(bit).sum()
}
