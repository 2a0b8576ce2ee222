//! Inlined bodies.
//!
//! A body that is inlined is translated like any other, in the middle of its caller's: with locals, operands and labels of its own, and its caller's
//! context, since both belong to one instance. What remains of the call is what others can tell: the frame that it would have in a backtrace (see
//! [`Inlined`]), and that its tail calls end it.
//!
//! No frame means nothing to check at its beginning. Whoever calls anything looks at the stack's end where it begins itself, and no function is inside
//! its own body, so that every recursion comes by such a place.

use std::collections::{HashMap, HashSet};
use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, MemFlagsData, SourceLoc, Value, types};
use innkeeper_engine::index::{DefinedFuncIndex, FuncIndex, TypeIndex};
use innkeeper_engine::tier::{CallSeen, FuelRuns, ModuleParts, VmFunc};
use innkeeper_engine::{FuncType, Inlining};
use wasmparser::{FunctionBody, Operator};

use super::call::{Callee, fixed};
use super::control::Control;
use super::exception::Handlers;
use super::{Result, Translator, Unsupported, body_of};
use crate::abi;
use crate::tables::{Inlined, InlinedFrom};

/// A body that declares more locals is not inlined: they cost time, however short it is.
const MAX_LOCALS: usize = 64;

/// A callee is foreseen where it was seen so often, and nothing else was.
const TIMES_SEEN: u32 = 2;

/// Decides what is inlined, and knows what has been.
pub(super) struct Inliner {
    limits: Inlining,
    /// The function that is compiled.
    func: DefinedFuncIndex,
    /// Whether it has been called; else nothing is known about calls.
    has_run: bool,
    /// The bodies that are being translated inside each other, innermost last.
    inside: Vec<Inside>,
    inlined: Vec<Inlined>,
    /// The copy of a loop that is being translated.
    copy: Option<LoopCopy>,
    /// The first place that is not taken; see [`Inlined`].
    next_place: Option<u32>,
    /// Bytes of bodies that may still be inlined.
    bytes_left: u32,
    /// The only callees that indirect calls were seen with, by the instruction's offset.
    foreseen: HashMap<usize, DefinedFuncIndex>,
}

/// An inlined body that is being translated.
struct Inside {
    /// Its first place, and where it begins in the module's bytes.
    place: u32,
    body: u32,
    func: DefinedFuncIndex,
    /// The place of the call.
    call: u32,
    /// What exceptions meet at the call.
    scope: Option<usize>,
}

/// The places of a loop's body that is there once more.
#[derive(Clone, Copy)]
pub(super) struct LoopCopy {
    place: u32,
    /// Where the body begins in the module's bytes.
    start: usize,
}

/// What belongs to the body around one that is inlined.
struct Around<'a> {
    ty: &'a FuncType,
    results: Option<Value>,
    locals: Vec<cranelift_frontend::Variable>,
    stack: Vec<Value>,
    control: Vec<Control>,
    handlers: HashMap<usize, Handlers>,
    fuel: Option<FuelRuns>,
    offset: usize,
}

impl Inliner {
    pub(super) fn new(module: &ModuleParts, func: DefinedFuncIndex, limits: &Inlining) -> Inliner {
        let mut inliner = Inliner {
            limits: limits.clone(),
            func,
            has_run: module.code().was_called(func),
            inside: Vec::new(),
            inlined: Vec::new(),
            copy: None,
            next_place: u32::try_from(module.bytes().len()).ok(),
            bytes_left: limits.caller_bytes,
            foreseen: HashMap::new(),
        };
        inliner.foresee(module, func);
        inliner
    }

    /// What has been inlined.
    pub(super) fn into_inlined(self) -> Vec<Inlined> {
        self.inlined
    }

    /// Whether an inlined body is being translated.
    pub(super) fn is_inside(&self) -> bool {
        !self.inside.is_empty()
    }

    /// The place of an instruction of the body that is being translated.
    pub(super) fn place(&self, offset_bytes: usize) -> u32 {
        if let Some(LoopCopy { place, start }) = self.copy {
            return place + (offset_bytes - start) as u32;
        }
        let offset_bytes = offset_bytes as u32;
        match self.inside.last() {
            Some(inside) => inside.place + (offset_bytes - inside.body),
            None => offset_bytes,
        }
    }

    /// Says that what is translated next is a loop's body once more, or, without one, that it is not.
    pub(super) fn set_copy(&mut self, copy: Option<LoopCopy>) {
        self.copy = copy;
    }

    /// Places for a loop's body to be there once more: `len` bytes from `start` in the module's. None if there is no room for them.
    pub(super) fn copy(&mut self, start: usize, len: usize) -> Option<LoopCopy> {
        let place = self.next_place?;
        self.next_place = Some(place.checked_add(u32::try_from(len).ok()?)?);
        self.inlined.push(Inlined { place, source: InlinedFrom::Loop { first: self.place(start) } });
        Some(LoopCopy { place, start })
    }

    /// The place of the call that the body being translated stands for, and what exceptions meet there; none in the function itself.
    fn call(&self) -> Option<(u32, Option<usize>)> {
        let inside = self.inside.last()?;
        Some((inside.call, inside.scope))
    }

    /// Whether a function has never been called, as far as that can be known.
    fn is_unused(&self, module: &ModuleParts, func: DefinedFuncIndex) -> bool {
        self.has_run && !module.code().was_called(func)
    }

    /// Notes which callees of a function's indirect calls can be foreseen.
    fn foresee(&mut self, module: &ModuleParts, func: DefinedFuncIndex) {
        if !self.has_run || self.limits.depth == 0 {
            return;
        }
        let mut several = HashSet::new();
        let mut times: HashMap<usize, u32> = HashMap::new();
        for CallSeen { offset_bytes, callee, times: seen } in module.code().calls_seen(module, func) {
            let other = self.foreseen.insert(offset_bytes, callee);
            if other.is_some_and(|other| other != callee) {
                several.insert(offset_bytes);
            }
            *times.entry(offset_bytes).or_default() += seen;
        }
        for (offset_bytes, times) in times {
            if times < TIMES_SEEN || several.contains(&offset_bytes) {
                self.foreseen.remove(&offset_bytes);
            }
        }
    }

    /// A function's body, if it is to be inlined here.
    fn body<'a>(&self, module: &'a ModuleParts, func: DefinedFuncIndex) -> Result<Option<FunctionBody<'a>>> {
        let bytes = u32::try_from(module.body_range(func).len()).unwrap_or(u32::MAX);
        let has_room = bytes <= self.limits.body_bytes.min(self.bytes_left)
            && (self.inside.len() as u32) < self.limits.depth
            && self.next_place.is_some_and(|place| place.checked_add(bytes).is_some());
        let is_inside = || self.inside.iter().any(|inside| inside.func == func);
        if !has_room || func == self.func || is_inside() || self.is_unused(module, func) {
            return Ok(None);
        }
        let body = body_of(module, func);
        let mut locals = module.func_type(module.type_of_func(module.func_index(func))).params().len();
        for group in body.get_locals_reader()? {
            locals = locals.saturating_add(group?.0 as usize);
        }
        let is_inlined = locals <= MAX_LOCALS && !calls_itself(&body, module.func_index(func))?;
        Ok(is_inlined.then_some(body))
    }

    /// Begins the inlined body of the call at `offset_bytes`, where exceptions meet `scope`.
    fn enter(
        &mut self,
        module: &ModuleParts,
        func: DefinedFuncIndex,
        (offset_bytes, scope): (usize, Option<usize>),
    ) -> Result {
        let range = module.body_range(func);
        let place = self.next_place.ok_or(Unsupported::Malformed)?;
        let call = self.place(offset_bytes);
        let body = range.start as u32;
        self.inside.push(Inside { place, body, func, call, scope });
        self.inlined.push(Inlined { place, source: InlinedFrom::Function { func, body, call } });
        self.next_place = place.checked_add(range.len() as u32);
        self.bytes_left = self.bytes_left.saturating_sub(range.len() as u32);
        self.foresee(module, func);
        Ok(())
    }
}

/// Whether a function calls itself by name.
fn calls_itself(body: &FunctionBody<'_>, func: FuncIndex) -> Result<bool> {
    for operator in body.get_operators_reader()? {
        if let Operator::Call { function_index } | Operator::ReturnCall { function_index } = operator?
            && function_index == func.0
        {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Translator<'_, '_> {
    /// Calls a function by name.
    pub(super) fn call_by_name(&mut self, func: FuncIndex) -> Result {
        let module = self.module;
        if let Some(defined) = module.defined(func) {
            if let Some(body) = self.inliner.body(module, defined)? {
                return self.inline(defined, &body);
            }
            self.note_unused(func);
        }
        let callee = self.direct(func.0);
        self.call(&callee, module.type_of_func(func))
    }

    /// At a call of a function: where that was never called, nobody comes here, so far.
    pub(super) fn note_unused(&mut self, func: FuncIndex) {
        let module = self.module;
        let Some(defined) = module.defined(func) else { return };
        if self.inliner.is_unused(module, defined) {
            self.make_cold();
        }
    }

    /// Puts the block that code is being written to out of the way of others.
    pub(super) fn make_cold(&mut self) {
        let entry = self.b.func.layout.entry_block();
        if let (Some(block), Some(entry)) = (self.b.current_block(), entry)
            && block != entry
        {
            self.b.set_cold_block(block);
        }
    }

    /// Takes the arguments from the stack and leaves the results there, or control does not come back.
    fn inline(&mut self, func: DefinedFuncIndex, body: &FunctionBody<'_>) -> Result {
        let module = self.module;
        let ty = module.func_type(module.type_of_func(module.func_index(func)));
        let args = self.pop_args(ty)?;
        let fuel = self.fuel.as_ref().map(|_| FuelRuns::of(module, func)).transpose()?;
        self.inliner.enter(module, func, (self.offset, self.scope))?;
        self.allowance.has_inlined = true;
        let around = Around {
            ty: std::mem::replace(&mut self.ty, ty),
            results: self.results.take(),
            locals: std::mem::take(&mut self.locals),
            stack: std::mem::take(&mut self.stack),
            control: std::mem::take(&mut self.control),
            handlers: std::mem::take(&mut self.handlers),
            fuel: std::mem::replace(&mut self.fuel, fuel),
            offset: std::mem::replace(&mut self.offset, module.body_range(func).start),
        };
        self.locate();
        let types = self.declare_locals(body)?;
        self.define_locals(&args, &types);
        self.open_function();
        self.operators(body)?;
        self.inliner.inside.pop();
        let Around { ty, results, locals, stack, control, handlers, fuel, offset } = around;
        let given = std::mem::replace(&mut self.stack, stack);
        (self.ty, self.results, self.locals, self.control) = (ty, results, locals, control);
        (self.handlers, self.fuel, self.offset) = (handlers, fuel, offset);
        self.locate();
        if self.unreachable.is_none() {
            self.stack.extend(given);
        }
        Ok(())
    }

    /// Calls in the place of a body that is inlined, and ends that with the results. False in the function itself, which has a frame to leave.
    pub(super) fn return_call_inside(
        &mut self,
        callee: &Callee,
        ty: &FuncType,
        args: &[Value],
    ) -> Result<bool> {
        let Some((place, scope)) = self.inliner.call() else { return Ok(false) };
        // The body that calls is left first: its caller is the one that calls, and catches.
        self.b.set_srcloc(SourceLoc::new(place));
        let inner = std::mem::replace(&mut self.scope, scope);
        let results = self.call_with(callee, ty, args)?;
        self.scope = inner;
        self.stack.extend(results);
        self.branch(self.control.len() as u32 - 1)?;
        Ok(true)
    }

    /// The callee that an indirect call is seen with, if it is of the very type that the call expects.
    pub(super) fn foreseen(&self, ty: TypeIndex) -> Option<DefinedFuncIndex> {
        let callee = *self.inliner.foreseen.get(&self.offset)?;
        let of_callee = self.module.type_of_func(self.module.func_index(callee));
        (self.module.type_id(of_callee) == self.module.type_id(ty)).then_some(callee)
    }

    /// Calls the function that `record` describes, where it is most likely one of this instance; `other` checks one that is not. `flags` are those of
    /// the record's first access.
    pub(super) fn call_foreseen(
        &mut self,
        (expected, ty): (DefinedFuncIndex, TypeIndex),
        (record, flags): (Value, MemFlagsData),
        other: impl FnOnce(&mut Self) -> Result,
    ) -> Result {
        let module = self.module;
        let func = module.func_index(expected);
        let entry = self.b.ins().load(types::I64, flags, record, offset_of!(VmFunc, entry) as i32);
        let ctx = self.b.ins().load(types::I64, fixed(), record, offset_of!(VmFunc, ctx) as i32);
        let wanted = self.entry_of(expected);
        let is_function = self.b.ins().icmp(IntCC::Equal, entry, wanted);
        let results: Vec<_> = module.func_type(ty).results().iter().map(|ty| abi::value_type(*ty)).collect();
        let (function, hit, miss) = (self.b.create_block(), self.b.create_block(), self.b.create_block());
        let join = self.block_with(&results);
        self.b.set_cold_block(miss);
        self.b.ins().brif(is_function, function, &[], miss, &[]);
        self.b.seal_block(function);
        self.b.switch_to_block(function);
        let is_own = self.b.ins().icmp(IntCC::Equal, ctx, self.ctx);
        self.b.ins().brif(is_own, hit, &[], miss, &[]);
        self.b.seal_block(hit);
        self.b.seal_block(miss);

        self.count_arguments(self.stack.len())?;
        let stack = self.stack.clone();
        self.b.switch_to_block(hit);
        self.call_by_name(func)?;
        if self.unreachable.take().is_none() {
            self.join(join, results.len())?;
        }
        self.stack = stack;
        self.b.switch_to_block(miss);
        other(self)?;
        let callee = self.of_record(record);
        self.call(&callee, ty)?;
        self.join(join, results.len())?;
        self.b.switch_to_block(join);
        self.b.seal_block(join);
        self.stack.extend_from_slice(self.b.block_params(join));
        Ok(())
    }

    /// Goes to a block with the topmost operands.
    fn join(&mut self, block: cranelift_codegen::ir::Block, count: usize) -> Result {
        let from = self.height_below(count)?;
        let args: Vec<BlockArg> = self.stack.drain(from..).map(BlockArg::from).collect();
        self.b.ins().jump(block, &args);
        Ok(())
    }
}
