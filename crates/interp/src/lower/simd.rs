//! Vector instructions, out of the engine's table of them.

use innkeeper_engine::for_each_simd_opcode;
use innkeeper_engine::simd::V128;
use wasmparser::MemArg;

use super::emit::{Branches, Condition, Forms, slots, slots_immediate};
use super::frame::SlotIndex;
use super::stack::{OperandLocation, Width};
use super::{Lowering, Result};
use crate::machine::Handler;
use crate::op::simd::{self, branch_if, branch_unless, i, loop_if, loop_unless, memory, other_memory, s};

macro_rules! lower_simd {
    (
        unary { $($unary:ident $visit_unary:ident $_m1:literal $_e1:literal;)* }
        binary { $($binary:ident $visit_binary:ident $_m2:literal $_e2:literal;)* }
        ternary { $($ternary:ident $visit_ternary:ident $_m3:literal $_e3:literal;)* }
        shift { $($shift:ident $visit_shift:ident $_m4:literal $_e4:literal;)* }
        test { $($test:ident $visit_test:ident $_m5:literal $_e5:literal;)* }
        splat { $($splat:ident $visit_splat:ident $_m6:literal $_e6:literal ($splat_ty:ty);)* }
        extract { $($extract:ident $visit_extract:ident $_m7:literal $_e7:literal ($extract_ty:ty);)* }
        replace { $($replace:ident $visit_replace:ident $_m8:literal $_e8:literal ($replace_ty:ty);)* }
        load { $($load:ident $visit_load:ident $_m9:literal $_e9:literal ($load_cell:ty);)* }
        store { $($store:ident $visit_store:ident $_m10:literal $_e10:literal ($store_cell:ty);)* }
        load_lane { $($load_lane:ident $visit_load_lane:ident $_m11:literal $_e11:literal ($load_lane_cell:ty);)* }
        store_lane { $($store_lane:ident $visit_store_lane:ident $_m12:literal $_e12:literal ($store_lane_cell:ty);)* }
        constant { $($constant:ident $visit_constant:ident $_m13:literal $_e13:literal;)* }
        shuffle { $($shuffle:ident $visit_shuffle:ident $_m14:literal $_e14:literal;)* }
    ) => {
        impl Lowering<'_> {
            $(pub(super) fn $visit_unary(&mut self) -> Result {
                self.vector_of_one(s::$unary)
            })*
            $(pub(super) fn $visit_binary(&mut self) -> Result {
                self.vector_of_two(s::$binary, 0)
            })*
            $(pub(super) fn $visit_ternary(&mut self) -> Result {
                let (c, b, a) = (self.pop_slot(), self.pop_slot(), self.pop_slot());
                self.result(s::$ternary, Width::Two, |r| slots(r, a, b, c))
            })*
            $(pub(super) fn $visit_shift(&mut self) -> Result {
                self.vector_shift(s::$shift, i::$shift)
            })*
            $(pub(super) fn $visit_test(&mut self) -> Result {
                self.vector_test(
                    s::$test,
                    Branches {
                        branch_if: Forms::slots(branch_if::$test),
                        branch_unless: Forms::slots(branch_unless::$test),
                        loop_if: Forms::slots(loop_if::$test),
                        loop_unless: Forms::slots(loop_unless::$test),
                    },
                )
            })*
            $(pub(super) fn $visit_splat(&mut self) -> Result {
                self.vector_of_one(s::$splat)
            })*
            $(pub(super) fn $visit_extract(&mut self, lane: u8) -> Result {
                let a = self.pop_slot();
                self.result(s::$extract, Width::One, |r| slots(r, a, lane.into(), 0))
            })*
            $(pub(super) fn $visit_replace(&mut self, lane: u8) -> Result {
                self.vector_of_two(s::$replace, lane)
            })*
            $(pub(super) fn $visit_load(&mut self, memarg: MemArg) -> Result {
                self.vector_load(memory::$load, other_memory::$load, memarg)
            })*
            $(pub(super) fn $visit_store(&mut self, memarg: MemArg) -> Result {
                self.vector_store(memory::$store, other_memory::$store, memarg)
            })*
            $(pub(super) fn $visit_load_lane(&mut self, memarg: MemArg, lane: u8) -> Result {
                self.vector_load_lane(memory::$load_lane, other_memory::$load_lane, memarg, lane)
            })*
            $(pub(super) fn $visit_store_lane(&mut self, memarg: MemArg, lane: u8) -> Result {
                self.vector_store(memory::$store_lane, other_memory::$store_lane, memarg)?;
                self.emit.word(slots(lane.into(), 0, 0, 0));
                Ok(())
            })*
            $(pub(super) fn $visit_constant(&mut self, value: wasmparser::V128) -> Result {
                self.result(simd::constant, Width::Two, |r| slots(r, 0, 0, 0))?;
                self.vector_immediate(*value.bytes());
                Ok(())
            })*
            $(pub(super) fn $visit_shuffle(&mut self, lanes: [u8; 16]) -> Result {
                self.vector_of_two(s::$shuffle, 0)?;
                self.vector_immediate(lanes);
                Ok(())
            })*
        }
    };
}
for_each_simd_opcode!(lower_simd);

impl Lowering<'_> {
    pub(super) fn vector_of_one(&mut self, handler: Handler) -> Result {
        let a = self.pop_slot();
        self.result(handler, Width::Two, |r| slots(r, a, 0, 0))
    }

    fn vector_of_two(&mut self, handler: Handler, lane: u8) -> Result {
        let (b, a) = (self.pop_slot(), self.pop_slot());
        self.result(handler, Width::Two, |r| slots(r, a, b, lane.into()))
    }

    fn vector_test(&mut self, handler: Handler, branches: Branches) -> Result {
        let a = self.pop_slot();
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        self.emit.op(handler, slots(result, a, 0, 0));
        let condition = Condition::branching(start, branches, a, 0);
        self.emit.wrote(start, result, Some(condition));
        Ok(())
    }

    fn vector_shift(&mut self, handler: Handler, constant: Handler) -> Result {
        let distance = self.stack.pop();
        if let OperandLocation::Constant(bits) = distance.location {
            let a = self.pop_slot();
            return self.result(constant, Width::Two, |r| slots_immediate(r, a, bits as u32));
        }
        let (distance, a) = (self.slot_of(distance), self.pop_slot());
        self.result(handler, Width::Two, |r| slots(r, a, distance, 0))
    }

    fn vector_load(&mut self, handler: Handler, other: Handler, memarg: MemArg) -> Result {
        let address = self.pop_slot();
        match self.ordinary_offset(memarg)? {
            Some(offset) => self.result(handler, Width::Two, |r| slots_immediate(r, address, offset)),
            None => {
                self.result(other, Width::Two, |r| slots(r, address, 0, 0))?;
                self.name_memory(memarg)
            }
        }
    }

    fn vector_store(&mut self, handler: Handler, other: Handler, memarg: MemArg) -> Result {
        let (a, address) = (self.pop_slot(), self.pop_slot());
        match self.ordinary_offset(memarg)? {
            Some(offset) => self.emit.op(handler, slots_immediate(address, a, offset)),
            None => {
                self.emit.op(other, slots(address, a, 0, 0));
                self.name_memory(memarg)?;
            }
        }
        Ok(())
    }

    fn vector_load_lane(&mut self, handler: Handler, other: Handler, memarg: MemArg, lane: u8) -> Result {
        let a = self.pop_slot();
        self.vector_load(handler, other, memarg)?;
        self.emit.word(slots(a, lane.into(), 0, 0));
        Ok(())
    }

    /// Appends 16 bytes to the instruction just emitted.
    fn vector_immediate(&mut self, bytes: [u8; 16]) {
        let [low, high] = V128::from_bytes(bytes).to_slots();
        self.emit.word(low);
        self.emit.word(high);
    }

    /// Emits an instruction that writes its result to the slot whose operand word it is given.
    fn result(&mut self, handler: Handler, width: Width, operands: impl FnOnce(SlotIndex) -> u64) -> Result {
        let start = self.emit.position();
        let result = self.stack.push(OperandLocation::Slot, width)?;
        self.emit.op(handler, operands(result));
        self.emit.wrote(start, result, None);
        Ok(())
    }
}
