//! Atomic instructions, out of the engine's opcode table, and waiting, waking and fences.

use innkeeper_engine::for_each_atomic_opcode;
use wasmparser::{MemArg, Ordering};

use super::emit::slots;
use super::{Lowering, Result};
use crate::machine::Handler;
use crate::op::atomic;

macro_rules! lower_atomic {
    (
        load { $($load:ident $visit_load:ident $_m1:literal $_e1:literal ($load_cell:ident) -> $load_bits:ident;)* }
        store { $($store:ident $visit_store:ident $_m2:literal $_e2:literal ($store_bits:ident) -> $store_cell:ident;)* }
        rmw { $($rmw:ident $visit_rmw:ident $_m3:literal $_e3:literal ($rmw_cell:ident $rmw_op:ident) -> $rmw_bits:ident;)* }
        cmpxchg { $($cmpxchg:ident $visit_cmpxchg:ident $_m4:literal $_e4:literal ($cmpxchg_cell:ident) -> $cmpxchg_bits:ident;)* }
    ) => {
        impl Lowering<'_> {
            $(pub(super) fn $visit_load(&mut self, memarg: MemArg) -> Result {
                self.atomic::<1>(atomic::$load, memarg)
            })*
            $(pub(super) fn $visit_store(&mut self, memarg: MemArg) -> Result {
                let (value, address) = (self.pop_slot(), self.pop_slot());
                self.emit.op(atomic::$store, slots(address, value, 0, 0));
                self.name_memory(memarg)
            })*
            $(pub(super) fn $visit_rmw(&mut self, memarg: MemArg) -> Result {
                self.atomic::<2>(atomic::$rmw, memarg)
            })*
            $(pub(super) fn $visit_cmpxchg(&mut self, memarg: MemArg) -> Result {
                self.atomic::<3>(atomic::$cmpxchg, memarg)
            })*
        }
    };
}
for_each_atomic_opcode!(lower_atomic);

impl Lowering<'_> {
    /// An operation with a result and `OPERANDS` operands, at most three, of which the first is the address.
    fn atomic<const OPERANDS: usize>(&mut self, handler: Handler, memarg: MemArg) -> Result {
        let mut operands = [0; 3];
        for operand in operands[..OPERANDS].iter_mut().rev() {
            *operand = self.pop_slot();
        }
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        let [a, b, c] = operands;
        self.emit.op(handler, slots(result, a, b, c));
        self.name_memory(memarg)?;
        self.emit.wrote(start, result, None);
        Ok(())
    }

    pub(super) fn visit_memory_atomic_notify(&mut self, memarg: MemArg) -> Result {
        self.atomic::<2>(atomic::notify, memarg)
    }

    pub(super) fn visit_memory_atomic_wait32(&mut self, memarg: MemArg) -> Result {
        self.atomic::<3>(atomic::wait32, memarg)
    }

    pub(super) fn visit_memory_atomic_wait64(&mut self, memarg: MemArg) -> Result {
        self.atomic::<3>(atomic::wait64, memarg)
    }

    pub(super) fn visit_atomic_fence(&mut self, _: Ordering) -> Result {
        self.emit.op(atomic::fence, slots(0, 0, 0, 0));
        Ok(())
    }
}
