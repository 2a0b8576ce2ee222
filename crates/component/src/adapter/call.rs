//! One call: from the function that a guest imports to the one that another exports, with everything that the canonical ABI has around it (`canon_lower`, `canon_lift`).
//!
//! Must stay true: whatever ends the call by a trap leaves the callee entered, which poisons it. What nobody can see is left away: a call into an instance that sees no
//! context leaves no record, unless there are borrowed handles, which must be gone at its end; and flags of one that can call nobody stay as they are.

use wasm_encoder::{BlockType, Instruction, ValType};

use super::Walked;
use super::code::{Address, Code, Local, val_type};
use super::host::{HostFunction, TrapCode};
use super::list::Size;
use super::module::{Builder, FuncRef, Outlined, SideIndex, try_all};
use super::value::{Generator, Place};
use super::which::Call;
use crate::abi::MAX_FLAT_RESULTS;
use crate::entry::{AT_REST, ENTERED, MAY_ENTER, MAY_LEAVE};
use crate::plan::InstanceNumber;
use crate::types::{Flat, FuncTypeDef, TypeIndex, TypeTable, ValType as ValueType};

/// How values are passed, which is the same on both sides.
struct Passing {
    /// One, where the parameters are in memory.
    params: Vec<Flat>,
    are_params_in_memory: bool,
    /// None where there is none, or it is in memory.
    result: Option<Flat>,
    is_result_in_memory: bool,
}

impl Passing {
    fn of(types: &TypeTable, ty: &FuncTypeDef) -> Passing {
        let params = types.layout(ty.params_tuple).flat.as_deref();
        let result = ty.result.map(|ty| types.layout(ty).flat.as_deref());
        let is_result_in_memory =
            result.is_some_and(|flat| flat.is_none_or(|flat| flat.len() > MAX_FLAT_RESULTS));
        Passing {
            params: params.map_or_else(|| vec![Flat::I32], <[Flat]>::to_vec),
            are_params_in_memory: params.is_none(),
            result: result.flatten().filter(|_| !is_result_in_memory).and_then(|flat| flat.first().copied()),
            is_result_in_memory,
        }
    }

    fn param_types(&self) -> Vec<ValType> {
        self.params.iter().map(|flat| val_type(*flat)).collect()
    }

    /// The type of the function that the caller imports: it says where it wants a result that is in memory.
    fn lowered(&self) -> (Vec<ValType>, Vec<ValType>) {
        let mut params = self.param_types();
        params.extend(self.is_result_in_memory.then_some(ValType::I32));
        (params, self.result.into_iter().map(val_type).collect())
    }

    /// The type of the function that the callee exports: it says where such a result is.
    fn lifted_result(&self) -> Option<Flat> {
        if self.is_result_in_memory { Some(Flat::I32) } else { self.result }
    }
}

/// Generates the function for a call.
pub(super) fn adapter(builder: &mut Builder<'_>, call: &Call<'_>) -> Result<(), Walked> {
    let passing = Passing::of(&builder.plan.types, builder.plan.types.func(call.ty));
    let caller = builder.side(call.caller, call.options);
    let callee = builder.side(call.callee.instance, &call.callee.options);
    let (params, results) = passing.lowered();
    let mut generator = Generator::new(builder, params.len() as u32, (caller, callee));
    generator.call(call, &passing)?;
    let code = generator.code;
    let ty = builder.ty(&params, &results);
    let func = builder.define(ty, code)?;
    builder.export(func);
    Ok(())
}

/// Generates what has a side's instance allocate: it may not leave meanwhile, and what it keeps for the call is not there (canonical ABI, `reallocate`).
pub(super) fn realloc(
    builder: &mut Builder<'_>,
    (side, instance): (SideIndex, InstanceNumber),
    core: FuncRef,
) -> (u32, Code) {
    let sees_context = builder.sees_context(instance);
    let mut generator = Generator::new(builder, 4, (side, side));
    let before = generator.forbid_leaving(instance);
    if sees_context {
        generator.host(HostFunction::BeginCall);
    }
    (0..4).for_each(|index| generator.code.get(Local { index, ty: Flat::I32 }));
    generator.code.call(core);
    if sees_context {
        generator.host(HostFunction::EndCall(instance));
    }
    generator.set_flags(instance, before);
    generator.code.end();
    let code = generator.code;
    (builder.ty(&[ValType::I32; 4], &[ValType::I32]), code)
}

/// Generates the functions for types that are outlined, and for those that these need.
pub(super) fn outlined(builder: &mut Builder<'_>) -> Result<(), Walked> {
    while let Some((Outlined { types, sides }, index)) = builder.waiting.pop() {
        let mut generator = Generator::new(builder, 2, sides);
        let [from, to] = [0, 1].map(|index| Place::Memory(Address::at(Local { index, ty: Flat::I32 })));
        generator.parts(types, from, to)?;
        generator.code.end();
        let code = generator.code;
        let ty = builder.ty(&[ValType::I32; 2], &[]);
        builder.define_at(index, ty, code)?;
    }
    Ok(())
}

impl Generator<'_, '_> {
    fn call(&mut self, call: &Call<'_>, passing: &Passing) -> Result<(), Walked> {
        let types = &self.builder.plan.types;
        let (ty, callee_ty) = (types.func(call.ty), types.func(call.callee.ty));
        let may_throw = self.builder.may_throw;
        let is_recorded = ty.has_borrow || self.builder.sees_context(call.callee.instance);
        let leads_out = self.builder.leads_out(call.callee.instance);
        let is_all = !leads_out && !is_recorded && !may_throw && call.callee.options.post_return.is_none();
        let ends_in_callee =
            is_all && self.builder.has_tail_calls && self.passes_as_it_is((callee_ty.result, ty.result));
        let failing = match ends_in_callee {
            true => Some(self.builder.failing(&passing.lowered().1)?),
            false => None,
        };
        self.enter(call, leads_out, failing);
        if is_recorded {
            self.host(HostFunction::BeginCall);
        }
        if may_throw {
            self.code.op(Instruction::Block(BlockType::Empty));
            self.code.op(Instruction::Block(BlockType::Empty));
            self.code.op(try_all(0));
        }
        self.params((ty.params_tuple, callee_ty.params_tuple), passing)?;
        let core = {
            let results: Vec<ValType> = passing.lifted_result().into_iter().map(val_type).collect();
            self.builder.core_func(&call.callee.core, &passing.param_types(), &results)
        };
        if ends_in_callee {
            self.code.tail_call(core);
            self.code.end();
            return Ok(());
        }
        self.code.call(core);
        let returned = passing.lifted_result().map(|flat| self.code.local(flat));
        if let Some(returned) = returned {
            self.code.set(returned);
        }
        let result = self.result((callee_ty.result, ty.result), returned, passing)?;
        if let Some(post_return) = &call.callee.options.post_return {
            let params: Vec<ValType> = returned.iter().map(|local| val_type(local.ty)).collect();
            let post_return = self.builder.core_func(post_return, &params, &[]);
            let before = leads_out.then(|| self.forbid_leaving(call.callee.instance));
            returned.into_iter().for_each(|local| self.code.get(local));
            self.code.call(post_return);
            if let Some(before) = before {
                self.set_flags(call.callee.instance, before);
            }
        }
        if may_throw {
            self.code.op(Instruction::Br(2));
            self.code.end();
            self.code.end();
            self.code.trap(self.trap, TrapCode::UncaughtException, None);
            self.code.end();
        }
        if is_recorded {
            self.host(HostFunction::EndCall(call.caller));
        }
        for instance in call.entered.iter().filter(|_| leads_out) {
            self.set_flags_to(*instance, AT_REST);
        }
        if let Some(result) = result {
            self.code.get(result);
        }
        self.code.end();
        Ok(())
    }

    /// Checks that the caller may leave, and enters the callee. What the flags become does not depend on what they were, which is known: then no call waits for what the one before has stored.
    ///
    /// A callee that leads nowhere is not entered: while it runs, nobody else does, so that it is never met in a call; and after a trap nobody calls it any more, since whoever was called from the host has entered the
    /// outermost instance, or that has not come into being.
    /// Where the call ends in the callee, `failing` ends it that cannot be made.
    fn enter(&mut self, call: &Call<'_>, leads_out: bool, failing: Option<FuncRef>) {
        self.check_flag((call.caller, MAY_LEAVE), TrapCode::CannotLeave, failing);
        for instance in &call.entered {
            if self.builder.leads_out(*instance) {
                self.check_flag((*instance, MAY_ENTER), TrapCode::CannotEnter, failing);
            }
        }
        for instance in call.entered.iter().filter(|_| leads_out) {
            self.set_flags_to(*instance, ENTERED);
        }
    }

    fn check_flag(
        &mut self,
        (instance, flag): (InstanceNumber, u32),
        code: TrapCode,
        failing: Option<FuncRef>,
    ) {
        self.get_flags(instance);
        self.code.i32(flag);
        self.code.op(Instruction::I32And);
        self.code.op(Instruction::I32Eqz);
        let Some(failing) = failing else { return self.trap_if(code, None) };
        self.code.if_();
        self.code.i32(code as u32);
        self.code.tail_call(failing);
        self.code.end();
    }

    fn params(&mut self, types: (TypeIndex, TypeIndex), passing: &Passing) -> Result<(), Walked> {
        let passed: Vec<Local> = passing
            .params
            .iter()
            .enumerate()
            .map(|(index, ty)| Local { index: index as u32, ty: *ty })
            .collect();
        if !passing.are_params_in_memory {
            let given: Vec<Local> = passed.iter().map(|param| self.code.local(param.ty)).collect();
            self.value(types, Place::Locals(&passed), Place::Locals(&given))?;
            given.iter().for_each(|local| self.code.get(*local));
            return Ok(());
        }
        let size = self.size(types.0);
        let (address, target) = (passed[0], self.code.local(Flat::I32));
        self.check(self.from, address, size, TrapCode::PointerOutOfBounds)?;
        self.allocate(size, target, TrapCode::ReallocOutOfBounds)?;
        self.value(types, Place::Memory(Address::at(address)), Place::Memory(Address::at(target)))?;
        self.code.get(target);
        Ok(())
    }

    /// Takes the result over; gives the local that it is passed back in, if there is such.
    fn result(
        &mut self,
        types: (Option<TypeIndex>, Option<TypeIndex>),
        returned: Option<Local>,
        passing: &Passing,
    ) -> Result<Option<Local>, Walked> {
        std::mem::swap(&mut self.from, &mut self.to);
        let (Some(from), Some(to), Some(returned)) = (types.0, types.1, returned) else { return Ok(None) };
        if let Some(flat) = passing.result {
            let result = self.code.local(flat);
            self.value((from, to), Place::Locals(&[returned]), Place::Locals(&[result]))?;
            return Ok(Some(result));
        }
        let wanted = Local { index: passing.params.len() as u32, ty: Flat::I32 };
        let size = self.size(from);
        self.check(self.from, returned, size, TrapCode::PointerOutOfBounds)?;
        self.check(self.to, wanted, size, TrapCode::PointerOutOfBounds)?;
        self.value((from, to), Place::Memory(Address::at(returned)), Place::Memory(Address::at(wanted)))?;
        Ok(None)
    }

    /// Whether a result is passed back without looking at it: there is none, or any bits of it are a value that is the same on both sides.
    fn passes_as_it_is(&self, types: (Option<TypeIndex>, Option<TypeIndex>)) -> bool {
        let (Some(from), Some(to)) = types else { return true };
        let number = self.ty(from);
        number == self.ty(to)
            && match number {
                ValueType::S32 | ValueType::U32 | ValueType::S64 | ValueType::U64 => true,
                ValueType::Float32 | ValueType::Float64 => !self.builder.canonical_nans,
                _ => false,
            }
    }

    fn size(&self, ty: TypeIndex) -> Size {
        let layout = self.layout(ty);
        Size::Known(layout.size, layout.align)
    }

    fn host(&mut self, func: HostFunction) {
        let func: FuncRef = self.builder.host(func);
        self.code.call(func);
    }

    fn get_flags(&mut self, instance: InstanceNumber) {
        let flags = self.builder.flags(instance);
        self.code.op(Instruction::GlobalGet(flags));
    }

    fn set_flags(&mut self, instance: InstanceNumber, value: Local) {
        let flags = self.builder.flags(instance);
        self.code.get(value);
        self.code.op(Instruction::GlobalSet(flags));
    }

    fn set_flags_to(&mut self, instance: InstanceNumber, value: u32) {
        let flags = self.builder.flags(instance);
        self.code.i32(value);
        self.code.op(Instruction::GlobalSet(flags));
    }

    /// Lets an instance call nobody until its flags are set to what is given here.
    fn forbid_leaving(&mut self, instance: InstanceNumber) -> Local {
        let before = self.code.local(Flat::I32);
        self.get_flags(instance);
        self.code.tee(before);
        self.code.i32(!MAY_LEAVE);
        self.code.op(Instruction::I32And);
        let flags = self.builder.flags(instance);
        self.code.op(Instruction::GlobalSet(flags));
        before
    }
}
