//! Calls.
//!
//! Every call goes through the callee's entry: to the compiled function, or to a trampoline that calls it in another tier. So callers need not know
//! which it is, and find new code the next time they look.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    ExtFuncData, ExternalName, FuncRef, InstBuilder, MemFlagsData, SigRef, UserExternalName, Value, types,
};
use innkeeper_engine::index::{DefinedFuncIndex, FuncIndex, TypeIndex};
use innkeeper_engine::tier::{FuncEntry, VmContext, VmFunc, VmImport};
use innkeeper_engine::{FuncType, Trap};
use wasmparser::Operator;

use super::exception::Code;
use super::{Result, Start, Translator, Unsupported, fixed_flags, leave, record_flags};
use crate::abi::{self, Results};
use crate::libcall::Libcall;
use crate::trap;

/// What a call needs to know of its callee.
pub(super) struct Callee {
    /// The callee's context; the caller's for functions of the host.
    ctx: Value,
    entry: Value,
    /// Whether it is the function that calls: its code is at hand.
    is_self: bool,
}

impl Translator<'_, '_> {
    pub(super) fn call_operator(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::Call { function_index } => self.call_by_name(FuncIndex(*function_index)),
            Operator::CallIndirect { type_index, table_index } => {
                self.call_indirect(*table_index, TypeIndex(*type_index))
            }
            Operator::CallRef { type_index } => self.call_ref(TypeIndex(*type_index)),
            Operator::ReturnCall { function_index } => {
                let func = FuncIndex(*function_index);
                match self.module.is_adapter() && self.module.defined(func).is_some() {
                    // What stands between guests calls a function of its own at its end where it traps.
                    true => self.make_cold(),
                    false => self.note_unused(func),
                }
                let callee = self.direct(*function_index);
                self.return_call(&callee, self.module.type_of_func(func))
            }
            Operator::ReturnCallIndirect { type_index, table_index } => {
                let callee = self.indirect(*table_index, TypeIndex(*type_index))?;
                self.return_call(&callee, TypeIndex(*type_index))
            }
            Operator::ReturnCallRef { type_index } => {
                let callee = self.referenced()?;
                self.return_call(&callee, TypeIndex(*type_index))
            }
            _ => return Ok(false),
        }?;
        Ok(true)
    }

    pub(super) fn direct(&mut self, func: u32) -> Callee {
        let func = FuncIndex(func);
        let Some(defined) = self.module.defined(func) else {
            return self.imported(func);
        };
        if defined == self.func && matches!(self.start, Start::Call) {
            // A compiled function does not look at its entry. Any value does, and one that is there anyway keeps no register of its own.
            return Callee { ctx: self.ctx, entry: self.ctx, is_self: true };
        }
        Callee { ctx: self.ctx, entry: self.entry_of(defined), is_self: false }
    }

    /// The callee that is behind an import, as the context says itself.
    fn imported(&mut self, func: FuncIndex) -> Callee {
        let offset = VmContext::import_offset_bytes(self.module.own_globals(), func.index());
        let Ok(offset) = i32::try_from(offset) else {
            let record = self.fixed_element(offset_of!(VmContext, imported_funcs), func.0);
            return self.of_record(record);
        };
        let field = |field: usize| offset + field as i32;
        let ctx = self.b.ins().load(types::I64, fixed(), self.ctx, field(offset_of!(VmImport, ctx)));
        let entry = self.b.ins().load(types::I64, fixed(), self.ctx, field(offset_of!(VmImport, entry)));
        Callee { ctx, entry, is_self: false }
    }

    /// The entry of a function that the module defines.
    pub(super) fn entry_of(&mut self, func: DefinedFuncIndex) -> Value {
        let entries = self.fixed(self.ctx, offset_of!(VmContext, entries));
        let offset = i64::from(func.0) * size_of::<FuncEntry>() as i64;
        self.b.ins().iadd_imm_s(entries, offset)
    }

    /// The callee that a function's record describes.
    pub(super) fn of_record(&mut self, record: Value) -> Callee {
        let entry = self.b.ins().load(types::I64, fixed(), record, offset_of!(VmFunc, entry) as i32);
        let ctx = self.b.ins().load(types::I64, fixed(), record, offset_of!(VmFunc, ctx) as i32);
        // The host's functions have no context of their own, and want to know who calls.
        let is_host = self.b.ins().icmp_imm_s(IntCC::Equal, ctx, 0);
        Callee { ctx: self.b.ins().select(is_host, self.ctx, ctx), entry, is_self: false }
    }

    fn referenced(&mut self) -> Result<Callee> {
        let record = self.pop()?;
        self.b.ins().trapz(record, trap::code(Trap::NullFunction));
        Ok(self.of_record(record))
    }

    fn call_ref(&mut self, ty: TypeIndex) -> Result {
        let Some(expected) = self.foreseen(ty) else {
            let callee = self.referenced()?;
            return self.call(&callee, ty);
        };
        let record = self.pop()?;
        self.b.ins().trapz(record, trap::code(Trap::NullFunction));
        self.call_foreseen((expected, ty), (record, fixed()), |_| Ok(()))
    }

    fn call_indirect(&mut self, table: u32, ty: TypeIndex) -> Result {
        let Some(expected) = self.foreseen(ty) else {
            let callee = self.indirect(table, ty)?;
            return self.call(&callee, ty);
        };
        let record = self.table_function(table)?;
        self.call_foreseen((expected, ty), (record, first_access()), |this| this.check_type(record, ty))
    }

    /// Pops an index into a table and gives the function there, checked against the type that the call expects.
    fn indirect(&mut self, table: u32, ty: TypeIndex) -> Result<Callee> {
        let record = self.table_function(table)?;
        self.check_type(record, ty)?;
        Ok(self.of_record(record))
    }

    /// Pops an index into a table and gives what is there: a function's record, or null.
    fn table_function(&mut self, table: u32) -> Result<Value> {
        let (element, flags) = self.element(table, Trap::UndefinedElement)?;
        Ok(self.b.ins().load(types::I64, flags, element, 0))
    }

    /// Traps where there is no function, or one that is not of the type that the call expects.
    fn check_type(&mut self, record: Value, ty: TypeIndex) -> Result {
        let flags = first_access();
        let signature = self.b.ins().load(types::I32, flags, record, offset_of!(VmFunc, signature) as i32);
        let ids = self.fixed(self.ctx, offset_of!(VmContext, type_numbers));
        let offset = i32::try_from(u64::from(ty.0) * 4).map_err(|_| Unsupported::Malformed)?;
        let expected = self.b.ins().load(types::I32, fixed_flags(), ids, offset);
        let is_other = self.b.ins().icmp(IntCC::NotEqual, signature, expected);
        let (other, go_on) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(other);
        self.b.ins().brif(is_other, other, &[], go_on, &[]);
        self.b.switch_to_block(other);
        self.b.seal_block(other);
        if let Some(is_subtype) = self.libcall(Libcall::IsSubtype, &[record, expected]) {
            self.b.ins().trapz(is_subtype, trap::code(Trap::IndirectCallTypeMismatch));
        }
        self.b.ins().jump(go_on, &[]);
        self.b.switch_to_block(go_on);
        self.b.seal_block(go_on);
        Ok(())
    }

    /// The function that is being translated, to be called; see [`crate::compiler`].
    fn own_reference(&mut self, signature: SigRef) -> FuncRef {
        let name = UserExternalName::new(0, self.func.0);
        let name = ExternalName::user(self.b.func.declare_imported_user_function(name));
        self.b.import_function(ExtFuncData { name, signature, colocated: true, patchable: false })
    }

    pub(super) fn pop_args(&mut self, ty: &FuncType) -> Result<Vec<Value>> {
        let from = self.stack.len().checked_sub(ty.params().len()).ok_or(Unsupported::Malformed)?;
        Ok(self.stack.split_off(from))
    }

    fn code_of(&mut self, callee: &Callee, ty: &FuncType) -> Value {
        if !self.callees.contains(ty) {
            self.callees.insert(ty.clone());
        }
        // It changes, but only to what does the same.
        self.b.ins().load(types::I64, record_flags(), callee.entry, offset_of!(FuncEntry, native) as i32)
    }

    pub(super) fn call(&mut self, callee: &Callee, ty: TypeIndex) -> Result {
        let module = self.module;
        let ty = module.func_type(ty);
        let args = self.pop_args(ty)?;
        let results = self.call_with(callee, ty, &args)?;
        self.stack.extend(results);
        Ok(())
    }

    pub(super) fn call_with(&mut self, callee: &Callee, ty: &FuncType, args: &[Value]) -> Result<Vec<Value>> {
        self.count_arguments(args.len())?;
        let mut all = vec![callee.ctx, callee.entry];
        let memory = match abi::results(ty) {
            Results::Registers => None,
            Results::Memory => Some(self.slots_on_stack(ty.result_slots())?),
        };
        all.extend(memory);
        all.extend(args);
        let signature = abi::signature(ty);
        let results: Vec<_> = signature.returns.iter().map(|result| result.value_type).collect();
        let signature = self.b.import_signature(signature);
        let code = if callee.is_self {
            Code::Own(self.own_reference(signature))
        } else {
            Code::At(self.code_of(callee, ty))
        };
        let results = self.call_in_scope((code, signature), &all, &results)?;
        let Some(memory) = memory else { return Ok(results) };
        Ok(self.load_values(memory, ty.results()))
    }

    /// Values that lie in slots.
    pub(super) fn load_values(&mut self, slots: Value, types: &[innkeeper_engine::ValType]) -> Vec<Value> {
        let mut at = 0;
        let mut values = Vec::with_capacity(types.len());
        for ty in types {
            values.push(self.load_slot(slots, at, abi::value_type(*ty)));
            at += ty.slots();
        }
        values
    }

    fn return_call(&mut self, callee: &Callee, ty: TypeIndex) -> Result {
        let module = self.module;
        let ty = module.func_type(ty);
        let args = self.pop_args(ty)?;
        if self.return_call_inside(callee, ty, &args)? {
            self.end_reachable();
            return Ok(());
        }
        match self.start {
            Start::Call => {
                let mut all = vec![callee.ctx, callee.entry];
                // Where results go to memory, they go there whoever computes them.
                all.extend(self.results);
                all.extend(args);
                let signature = self.b.import_signature(abi::signature(ty));
                if callee.is_self {
                    let own = self.own_reference(signature);
                    self.b.ins().return_call(own, &all);
                } else {
                    let code = self.code_of(callee, ty);
                    self.b.ins().return_call_indirect(signature, code, &all);
                }
            }
            Start::Loop(_) => self.return_call_from_loop(callee, ty, &args)?,
        }
        self.end_reachable();
        Ok(())
    }

    /// The frame is the interpreter's, which must make the call; functions of the host are called here.
    fn return_call_from_loop(&mut self, callee: &Callee, ty: &FuncType, args: &[Value]) -> Result {
        let slots = self.slots_on_stack(ty.call_slots())?;
        let mut at = 0;
        for (value, ty) in args.iter().zip(ty.params()) {
            self.store_slot(slots, at, *value);
            at += ty.slots();
        }
        let Some(outcome) = self.libcall(Libcall::TailCall, &[callee.ctx, callee.entry, slots]) else {
            return Err(Unsupported::Malformed);
        };
        leave_by_outcome(&mut self.b, outcome);
        let results = self.load_values(slots, ty.results());
        self.give_results(&results);
        Ok(())
    }
}

/// Fields of a function's record never change, but there may be none: its address was checked.
pub(super) fn fixed() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly()
}

/// The first access to the record of an element finds out whether there is a function: nothing lies where null points.
fn first_access() -> MemFlagsData {
    let flags = MemFlagsData::new().with_trap_code(Some(trap::code(Trap::UninitializedElement)));
    flags.with_aligned().with_readonly()
}

/// Goes on where the outcome is 0; else leaves machine code with it.
pub(crate) fn leave_by_outcome(b: &mut cranelift_frontend::FunctionBuilder<'_>, outcome: Value) {
    let (left, go_on) = (b.create_block(), b.create_block());
    b.set_cold_block(left);
    b.ins().brif(outcome, left, &[], go_on, &[]);
    b.switch_to_block(left);
    b.seal_block(left);
    let is_final = b.ins().icmp_imm_s(IntCC::NotEqual, outcome, i64::from(crate::libcall::STOPPED));
    let (last, stop) = (b.create_block(), b.create_block());
    b.ins().brif(is_final, last, &[], stop, &[]);
    b.switch_to_block(last);
    b.seal_block(last);
    super::call_libcall(b, Libcall::LeaveWith, &[outcome]);
    b.ins().trap(trap::code(Trap::Unreachable));
    b.switch_to_block(stop);
    b.seal_block(stop);
    leave(b);
    b.switch_to_block(go_on);
    b.seal_block(go_on);
}
