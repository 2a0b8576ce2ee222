//! Fuel, charged for a straight run of instructions where it begins: the same amounts at the same places in every tier.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, types};
use innkeeper_engine::tier::VmStore;

use super::{Translator, record_flags};
use crate::libcall::Libcall;

impl Translator<'_, '_> {
    /// Charges for the run that begins here, if one does; has the engine see to it where not enough is at hand.
    pub(super) fn charge(&mut self) {
        let Some(units) = self.fuel.as_ref().and_then(|runs| runs.at(self.offset)) else { return };
        let store = self.store();
        let field = offset_of!(VmStore, fuel) as i32;
        let fuel = self.b.ins().load(types::I64, record_flags(), store, field);
        let units = self.int(types::I64, units);
        let left = self.b.ins().isub(fuel, units);
        let is_short = self.b.ins().icmp(IntCC::UnsignedLessThan, fuel, units);
        let (short, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(short);
        let left_then = self.b.append_block_param(go_on, types::I64);
        self.b.ins().brif(is_short, short, &[], go_on, &[left.into()]);
        self.b.switch_to_block(short);
        self.b.seal_block(short);
        self.b.ins().store(record_flags(), units, store, offset_of!(VmStore, fuel_needed) as i32);
        self.libcall(Libcall::Refuel, &[]);
        let fuel = self.b.ins().load(types::I64, record_flags(), store, field);
        let left = self.b.ins().isub(fuel, units);
        self.b.ins().jump(go_on, &[left.into()]);
        self.b.switch_to_block(go_on);
        self.b.seal_block(go_on);
        self.b.ins().store(record_flags(), left_then, store, field);
    }
}
