//! Pieces of code that translation and trampolines both emit: accesses to slots and records, calls of the host's table, leaving machine code.

use cranelift_codegen::ir::{
    AbiParam, InstBuilder, MemFlagsData, SigRef, Signature, StackSlotData, StackSlotKind, Type, Value, types,
};
use cranelift_frontend::FunctionBuilder;
use innkeeper_engine::tier::VmStore;

use crate::libcall::Libcall;

/// Flags of an access to a record of the engine, which is there and aligned.
pub(crate) fn record_flags() -> MemFlagsData {
    MemFlagsData::trusted()
}

/// Flags of a read of what never changes.
pub(crate) fn fixed_flags() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly().with_can_move()
}

/// Reads a value that begins at a slot.
pub(crate) fn load_slot(b: &mut FunctionBuilder<'_>, slots: Value, slot: u32, ty: Type) -> Value {
    b.ins().load(ty, slot_flags(), slots, slot as i32 * 8)
}

/// Writes a value to the slots that begin at `slot`, whole slots.
pub(crate) fn store_slot(b: &mut FunctionBuilder<'_>, slots: Value, slot: u32, value: Value) {
    let whole = widen(b, value);
    b.ins().store(slot_flags(), whole, slots, slot as i32 * 8);
}

/// A value as a slot holds it.
pub(crate) fn widen(b: &mut FunctionBuilder<'_>, value: Value) -> Value {
    match b.func.dfg.value_type(value) {
        types::I32 => b.ins().uextend(types::I64, value),
        types::F32 => {
            let bits = b.ins().bitcast(types::I32, MemFlagsData::new(), value);
            b.ins().uextend(types::I64, bits)
        }
        _ => value,
    }
}

fn slot_flags() -> MemFlagsData {
    // Vectors are not aligned to their size.
    MemFlagsData::new().with_notrap()
}

pub(super) fn zero(b: &mut FunctionBuilder<'_>, ty: Type) -> Value {
    match ty {
        types::F32 => b.ins().f32const(0.0),
        types::F64 => b.ins().f64const(0.0),
        types::I8X16 => {
            let constant = b.func.dfg.constants.insert(vec![0; 16].into());
            b.ins().vconst(types::I8X16, constant)
        }
        _ => b.ins().iconst(ty, 0),
    }
}

/// Calls a function of the host's table.
pub(crate) fn call_libcall(b: &mut FunctionBuilder<'_>, libcall: Libcall, args: &[Value]) -> Option<Value> {
    let signature = libcall_signature(b, libcall);
    let function = libcall_address(b, libcall);
    let call = b.ins().call_indirect(signature, function, args);
    b.inst_results(call).first().copied()
}

pub(super) fn libcall_signature(b: &mut FunctionBuilder<'_>, libcall: Libcall) -> SigRef {
    let (params, returns) = libcall.types();
    let mut signature = Signature::new(libcall.convention());
    signature.params.extend(params.iter().map(|ty| AbiParam::new(*ty)));
    signature.returns.extend(returns.iter().map(|ty| AbiParam::new(*ty)));
    b.import_signature(signature)
}

pub(super) fn libcall_address(b: &mut FunctionBuilder<'_>, libcall: Libcall) -> Value {
    let store = b.ins().get_pinned_reg(types::I64);
    let table =
        b.ins().load(types::I64, fixed_flags(), store, std::mem::offset_of!(VmStore, libcalls) as i32);
    b.ins().load(types::I64, fixed_flags(), table, libcall as i32 * 8)
}

/// Leaves machine code where the value is not 0, for the reason in the record.
pub(crate) fn stop_if(b: &mut FunctionBuilder<'_>, failed: Value) {
    let (stop, go_on) = (b.create_block(), b.create_block());
    b.set_cold_block(stop);
    b.ins().brif(failed, stop, &[], go_on, &[]);
    b.switch_to_block(stop);
    b.seal_block(stop);
    leave(b);
    b.switch_to_block(go_on);
    b.seal_block(go_on);
}

/// Leaves machine code, for the reason in the record; ends the block.
pub(crate) fn leave(b: &mut FunctionBuilder<'_>) {
    call_libcall(b, Libcall::Leave, &[]);
    // Never reached.
    b.ins().trap(crate::trap::code(innkeeper_engine::Trap::Unreachable));
}

/// Room for so many slots in the function's own frame.
pub(crate) fn slots_on_stack(b: &mut FunctionBuilder<'_>, slots: u32) -> Value {
    let data = StackSlotData::new(StackSlotKind::ExplicitSlot, slots.max(1) * 8, 4);
    let slot = b.create_sized_stack_slot(data);
    b.ins().stack_addr(types::I64, slot, 0)
}
