//! Atomic accesses, waiting and waking. An address is checked for alignment first, then for bounds, always by comparing.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{AtomicRmwOp, InstBuilder, MemFlagsData, Type, Value, types};
use innkeeper_engine::Trap;
use wasmparser::{MemArg, Operator};

use super::memory::entry;
use super::{Result, Translator, Unsupported};
use crate::libcall::Libcall;
use crate::trap;

impl Translator<'_, '_> {
    /// Pops the address of a cell.
    fn cell(&mut self, argument: &MemArg, cell: Type) -> Result<(Value, MemFlagsData)> {
        let size = u64::from(cell.bytes());
        let address = self.pop_index(self.is_memory64(entry(argument)?))?;
        let offset = self.int(types::I64, argument.offset.cast_signed());
        if size > 1 {
            // The low bits of the sum are right even where it does not fit.
            let effective = self.b.ins().iadd(address, offset);
            let low = self.b.ins().band_imm_u(effective, size.cast_signed() - 1);
            if self.is_memory64(entry(argument)?) {
                // Bounds come first where the sum does not fit: there is no address then.
                let is_over = self.b.ins().icmp(IntCC::UnsignedLessThan, effective, address);
                self.b.ins().trapnz(is_over, trap::code(Trap::MemoryOutOfBounds));
            }
            self.b.ins().trapnz(low, trap::code(Trap::UnalignedAtomic));
        }
        let place = self.checked(argument, address, size)?;
        Ok((place.address, place.flags))
    }

    fn atomic_load(&mut self, argument: &MemArg, cell: Type, ty: Type) -> Result {
        let (address, flags) = self.cell(argument, cell)?;
        let value = self.b.ins().atomic_load(cell, flags, address);
        self.push_extended(value, ty)
    }

    fn atomic_store(&mut self, argument: &MemArg, cell: Type) -> Result {
        let value = self.pop()?;
        let value = self.cut(value, cell);
        let (address, flags) = self.cell(argument, cell)?;
        self.b.ins().atomic_store(flags, value, address);
        Ok(())
    }

    fn atomic_rmw(&mut self, argument: &MemArg, cell: Type, op: AtomicRmwOp, ty: Type) -> Result {
        let value = self.pop()?;
        let value = self.cut(value, cell);
        let (address, flags) = self.cell(argument, cell)?;
        let old = self.b.ins().atomic_rmw(cell, flags, op, address, value);
        self.push_extended(old, ty)
    }

    fn atomic_cmpxchg(&mut self, argument: &MemArg, cell: Type, ty: Type) -> Result {
        let (expected, replacement) = self.pop2()?;
        // What is expected counts as wide as the cell.
        let (expected, replacement) = (self.cut(expected, cell), self.cut(replacement, cell));
        let (address, flags) = self.cell(argument, cell)?;
        let old = self.b.ins().atomic_cas(flags, address, expected, replacement);
        self.push_extended(old, ty)
    }

    fn cut(&mut self, value: Value, cell: Type) -> Value {
        if self.b.func.dfg.value_type(value) == cell { value } else { self.b.ins().ireduce(cell, value) }
    }

    fn push_extended(&mut self, value: Value, ty: Type) -> Result {
        let is_whole = self.b.func.dfg.value_type(value) == ty;
        let value = if is_whole { value } else { self.b.ins().uextend(ty, value) };
        self.push(value)
    }

    /// The effective address of a wait or notify, which checks it itself.
    fn effective(&mut self, argument: &MemArg) -> Result<Value> {
        let address = self.pop_index(self.is_memory64(entry(argument)?))?;
        let offset = self.int(types::I64, argument.offset.cast_signed());
        Ok(self.b.ins().uadd_overflow_trap(address, offset, trap::code(Trap::MemoryOutOfBounds)))
    }

    fn finish_waiting(&mut self, result: Option<Value>) -> Result {
        let result = result.ok_or(Unsupported::Malformed)?;
        let failed = self.b.ins().icmp_imm_s(IntCC::Equal, result, -1);
        self.stop_if(failed);
        let value = self.b.ins().ireduce(types::I32, result);
        self.push(value)
    }

    pub(super) fn atomic(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::AtomicFence { .. } => {
                self.b.ins().fence();
                Ok(())
            }
            Operator::MemoryAtomicNotify { memarg } => {
                let count = self.pop()?;
                let address = self.effective(memarg)?;
                let memory = self.i32(entry(memarg)?);
                let woken = self.libcall(Libcall::Notify, &[self.ctx, memory, address, count]);
                self.finish_waiting(woken)
            }
            Operator::MemoryAtomicWait32 { memarg } => self.wait(Libcall::Wait32, memarg),
            Operator::MemoryAtomicWait64 { memarg } => self.wait(Libcall::Wait64, memarg),
            _ => return self.plain_atomic(operator),
        }?;
        Ok(true)
    }

    fn wait(&mut self, libcall: Libcall, argument: &MemArg) -> Result {
        let (expected, timeout) = self.pop2()?;
        let address = self.effective(argument)?;
        let memory = self.i32(entry(argument)?);
        let outcome = self.libcall(libcall, &[self.ctx, memory, address, expected, timeout]);
        self.finish_waiting(outcome)
    }
}

/// The accesses: instruction, cell, operation, type of the value.
macro_rules! accesses {
    (
        load { $($load:ident $load_cell:ident $load_ty:ident;)* }
        store { $($store:ident $store_cell:ident;)* }
        rmw { $($rmw:ident $rmw_cell:ident $op:ident $rmw_ty:ident;)* }
        cmpxchg { $($cmpxchg:ident $cmpxchg_cell:ident $cmpxchg_ty:ident;)* }
    ) => {
        impl Translator<'_, '_> {
            fn plain_atomic(&mut self, operator: &Operator<'_>) -> Result<bool> {
                match operator {
                    $(Operator::$load { memarg } => self.atomic_load(memarg, types::$load_cell, types::$load_ty),)*
                    $(Operator::$store { memarg } => self.atomic_store(memarg, types::$store_cell),)*
                    $(Operator::$rmw { memarg } => {
                        self.atomic_rmw(memarg, types::$rmw_cell, AtomicRmwOp::$op, types::$rmw_ty)
                    })*
                    $(Operator::$cmpxchg { memarg } => {
                        self.atomic_cmpxchg(memarg, types::$cmpxchg_cell, types::$cmpxchg_ty)
                    })*
                    _ => return Ok(false),
                }?;
                Ok(true)
            }
        }
    };
}

accesses! {
    load {
        I32AtomicLoad I32 I32;
        I64AtomicLoad I64 I64;
        I32AtomicLoad8U I8 I32;
        I32AtomicLoad16U I16 I32;
        I64AtomicLoad8U I8 I64;
        I64AtomicLoad16U I16 I64;
        I64AtomicLoad32U I32 I64;
    }
    store {
        I32AtomicStore I32;
        I64AtomicStore I64;
        I32AtomicStore8 I8;
        I32AtomicStore16 I16;
        I64AtomicStore8 I8;
        I64AtomicStore16 I16;
        I64AtomicStore32 I32;
    }
    rmw {
        I32AtomicRmwAdd I32 Add I32;
        I64AtomicRmwAdd I64 Add I64;
        I32AtomicRmw8AddU I8 Add I32;
        I32AtomicRmw16AddU I16 Add I32;
        I64AtomicRmw8AddU I8 Add I64;
        I64AtomicRmw16AddU I16 Add I64;
        I64AtomicRmw32AddU I32 Add I64;
        I32AtomicRmwSub I32 Sub I32;
        I64AtomicRmwSub I64 Sub I64;
        I32AtomicRmw8SubU I8 Sub I32;
        I32AtomicRmw16SubU I16 Sub I32;
        I64AtomicRmw8SubU I8 Sub I64;
        I64AtomicRmw16SubU I16 Sub I64;
        I64AtomicRmw32SubU I32 Sub I64;
        I32AtomicRmwAnd I32 And I32;
        I64AtomicRmwAnd I64 And I64;
        I32AtomicRmw8AndU I8 And I32;
        I32AtomicRmw16AndU I16 And I32;
        I64AtomicRmw8AndU I8 And I64;
        I64AtomicRmw16AndU I16 And I64;
        I64AtomicRmw32AndU I32 And I64;
        I32AtomicRmwOr I32 Or I32;
        I64AtomicRmwOr I64 Or I64;
        I32AtomicRmw8OrU I8 Or I32;
        I32AtomicRmw16OrU I16 Or I32;
        I64AtomicRmw8OrU I8 Or I64;
        I64AtomicRmw16OrU I16 Or I64;
        I64AtomicRmw32OrU I32 Or I64;
        I32AtomicRmwXor I32 Xor I32;
        I64AtomicRmwXor I64 Xor I64;
        I32AtomicRmw8XorU I8 Xor I32;
        I32AtomicRmw16XorU I16 Xor I32;
        I64AtomicRmw8XorU I8 Xor I64;
        I64AtomicRmw16XorU I16 Xor I64;
        I64AtomicRmw32XorU I32 Xor I64;
        I32AtomicRmwXchg I32 Xchg I32;
        I64AtomicRmwXchg I64 Xchg I64;
        I32AtomicRmw8XchgU I8 Xchg I32;
        I32AtomicRmw16XchgU I16 Xchg I32;
        I64AtomicRmw8XchgU I8 Xchg I64;
        I64AtomicRmw16XchgU I16 Xchg I64;
        I64AtomicRmw32XchgU I32 Xchg I64;
    }
    cmpxchg {
        I32AtomicRmwCmpxchg I32 I32;
        I64AtomicRmwCmpxchg I64 I64;
        I32AtomicRmw8CmpxchgU I8 I32;
        I32AtomicRmw16CmpxchgU I16 I32;
        I64AtomicRmw8CmpxchgU I8 I64;
        I64AtomicRmw16CmpxchgU I16 I64;
        I64AtomicRmw32CmpxchgU I32 I64;
    }
}
