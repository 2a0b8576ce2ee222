//! Fuel, charged for a straight run of instructions where it begins: the same amounts at the same places in every tier.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, types};
use innkeeper_engine::Trap;
use innkeeper_engine::tier::VmStore;

use super::{Translator, record_flags};
use crate::trap;

impl Translator<'_, '_> {
    /// Charges for the run that begins here, if one does; traps where there is not enough, and then nothing is left.
    pub(super) fn charge(&mut self) {
        let Some(units) = self.fuel.as_ref().and_then(|runs| runs.at(self.offset)) else { return };
        let store = self.store();
        let field = offset_of!(VmStore, fuel) as i32;
        let fuel = self.b.ins().load(types::I64, record_flags(), store, field);
        let units = self.int(types::I64, units);
        let left = self.b.ins().isub(fuel, units);
        let is_short = self.b.ins().icmp(IntCC::UnsignedLessThan, fuel, units);
        let (empty, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(empty);
        self.b.ins().brif(is_short, empty, &[], go_on, &[]);
        self.b.switch_to_block(empty);
        self.b.seal_block(empty);
        let none = self.int(types::I64, 0);
        self.b.ins().store(record_flags(), none, store, field);
        self.b.ins().trap(trap::code(Trap::OutOfFuel));
        self.b.switch_to_block(go_on);
        self.b.seal_block(go_on);
        self.b.ins().store(record_flags(), left, store, field);
    }
}
