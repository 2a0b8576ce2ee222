//! From the validated bytes of a function to the compiler's intermediate representation.
//!
//! One pass over the instructions, by topic. The operand stack exists at compile time only: it holds the compiler's values. A function is
//! translated to be entered at its start, or at one of its loops with all values taken from an interpreter's frame; then what comes before
//! the loop is translated too, and thrown away by the compiler because nothing leads there.
//!
//! What cannot be translated is an error, and the function stays interpreted.

mod aggregate;
mod atomic;
mod bulk;
mod call;
mod control;
mod emit;
mod entered;
mod exception;
mod fuel;
mod inline;
mod memory;
mod numeric;
mod reference;
mod simd;
mod table;
mod unroll;
mod variable;

use std::collections::{HashMap, HashSet};

use cranelift_codegen::ir::{
    AliasRegion, AliasRegionData, Block, Function, InstBuilder, SourceLoc, Type, UserFuncName, Value, types,
};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::frame::MAX_NEAR_LOCAL_SLOTS;
use innkeeper_engine::tier::{FuelRuns, ModuleParts, OsrEntry};
use innkeeper_engine::{FuncType, Inlining, MemoryLayout, Metering};
use wasmparser::{BinaryReader, FunctionBody, Operator, ValType};

use crate::abi::{self, Results};
use crate::allowance::Allowance;
use crate::libcall::Libcall;
use crate::tables::{LoadBefore, Places};
use crate::{compiler, cost};
pub(crate) use call::leave_by_outcome;
use control::Control;
pub(crate) use emit::{
    call_libcall, fixed_flags, leave, load_slot, record_flags, slots_on_stack, stop_if, store_slot, widen,
};
use exception::{Handlers, Scope};
use inline::Inliner;
use memory::Loaded;
use unroll::Unrolled;

/// Why a function is not compiled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsupported {
    /// An instruction that is not translated.
    #[error("{0} is not compiled")]
    Instruction(String),
    /// The bytes cannot be read, which validation excludes.
    #[error("the body cannot be read")]
    Malformed,
    /// A fault of ours or of the compiler's, which never happens; see [`crate::compiler`].
    #[error("{0}")]
    Faulty(String),
    /// Something of the compiler's.
    #[error("{0}")]
    Compiler(String),
    /// Something that this run lacks, and another may have.
    #[error("{0}")]
    Now(&'static str),
}

pub(crate) type Result<T = (), E = Unsupported> = std::result::Result<T, E>;

impl From<wasmparser::BinaryReaderError> for Unsupported {
    fn from(_: wasmparser::BinaryReaderError) -> Unsupported {
        Unsupported::Malformed
    }
}

impl From<innkeeper_engine::Error> for Unsupported {
    fn from(error: innkeeper_engine::Error) -> Unsupported {
        Unsupported::Compiler(error.to_string())
    }
}

/// How a function is entered.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// With a call.
    Call,
    /// At a loop, from the interpreter's frame; results go to the frame's first slots.
    Loop(&'a OsrEntry),
}

/// A function being translated.
pub(crate) struct Translator<'a, 'b> {
    b: FunctionBuilder<'a>,
    module: &'a ModuleParts,
    /// The function that is compiled; its type, or that of the body inlined in it that is being translated.
    func: DefinedFuncIndex,
    ty: &'a FuncType,
    start: Start<'a>,
    inliner: Inliner,
    /// The context.
    ctx: Value,
    /// Where results are written, if not in registers.
    results: Option<Value>,
    locals: Vec<Variable>,
    stack: Vec<Value>,
    control: Vec<Control>,
    /// Blocks opened since control became unreachable, while it is.
    unreachable: Option<u32>,
    /// All `try` blocks so far, and the one that code is in.
    scopes: Vec<Scope>,
    scope: Option<usize>,
    /// Handlers of `try` blocks of the older form, by the offset of the block, until that is met.
    handlers: HashMap<usize, Handlers>,
    /// Handlers that calls have named so far.
    handlers_named: usize,
    /// What is charged for, where fuel is metered.
    fuel: Option<FuelRuns>,
    regions: Regions,
    config: TargetFrontendConfig,
    /// The block that leads to the loop that the function is entered at, until that is met.
    pending_loop: Option<Block>,
    /// Variables of operands, by their place on the stack and type; see [`entered`].
    kept: HashMap<(usize, Type), Variable>,
    /// Where the instruction being translated lies in the module's bytes.
    offset: usize,
    /// See [`Places::loads_before`].
    loads_before: HashMap<u32, LoadBefore>,
    /// The last load that was translated.
    last_load: Option<Loaded>,
    /// The loop that comes next, where it is to be there several times.
    unrolled: Option<Unrolled>,
    /// Whether the body of the last loop is to be translated once more.
    is_repeating: bool,
    /// Values that branches give to blocks and calls to functions, and those that are noted down meanwhile, so far.
    branch_arguments: usize,
    /// Bytes of slots in the function's frame, so far.
    slot_bytes: u32,
    /// Locals that were declared, of all bodies.
    declared_locals: usize,
    /// See [`Places::callees`].
    callees: HashSet<FuncType>,
    /// What compiling may take.
    allowance: &'a mut Allowance<'b>,
}

/// Parts of the world that accesses of one do not touch another of.
#[derive(Clone, Copy)]
struct Regions {
    heap: AliasRegion,
    global: AliasRegion,
    table: AliasRegion,
    object: AliasRegion,
    record: AliasRegion,
}

/// Translates a function into `to`, and says which bodies of others are in it.
pub(crate) fn translate(
    to: &mut Function,
    context: &mut FunctionBuilderContext,
    config: TargetFrontendConfig,
    allowance: &mut Allowance<'_>,
    module: &ModuleParts,
    (func, start): (DefinedFuncIndex, Start<'_>),
    inlining: &Inlining,
) -> Result<Places> {
    let ty = module.func_type(module.type_of_func(module.func_index(func)));
    to.name = UserFuncName::user(0, func.0);
    to.signature = match start {
        Start::Call => abi::signature(ty),
        Start::Loop(_) => abi::entry_signature(),
    };
    let mut region = |user_id, description: &'static str| {
        to.dfg.alias_regions.insert(AliasRegionData { user_id, description: description.into() })
    };
    let regions = Regions {
        heap: region(0, "memory"),
        global: region(1, "global"),
        table: region(2, "table"),
        object: region(3, "object"),
        record: region(4, "record"),
    };
    let mut b = FunctionBuilder::new(to, context);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    b.seal_block(entry);
    let ctx = b.block_params(entry)[0];
    let translator = Translator {
        b,
        module,
        func,
        ty,
        start,
        inliner: Inliner::new(module, func, inlining),
        ctx,
        results: None,
        locals: Vec::new(),
        stack: Vec::new(),
        control: Vec::new(),
        unreachable: None,
        scopes: Vec::new(),
        scope: None,
        handlers: HashMap::new(),
        handlers_named: 0,
        fuel: match module.engine().config().metering {
            Metering::Off => None,
            Metering::Fuel => Some(FuelRuns::of(module, func)?),
        },
        regions,
        config,
        pending_loop: None,
        kept: HashMap::new(),
        loads_before: HashMap::new(),
        last_load: None,
        unrolled: None,
        is_repeating: false,
        branch_arguments: 0,
        slot_bytes: 0,
        declared_locals: 0,
        callees: HashSet::new(),
        allowance,
        offset: 0,
    };
    translator.function(entry)
}

impl Translator<'_, '_> {
    fn function(mut self, entry: Block) -> Result<Places> {
        let body = body_of(self.module, self.func);
        self.offset = self.module.body_range(self.func).start;
        self.begin(entry, &body)?;
        self.operators(&body)?;
        if self.pending_loop.is_some() {
            return Err(Unsupported::Malformed);
        }
        self.b.seal_all_blocks();
        self.check_size()?;
        self.b.finalize(self.config);
        Ok(Places {
            inlined: self.inliner.into_inlined(),
            loads_before: self.loads_before,
            callees: self.callees,
        })
    }

    /// Translates the instructions of a body, whose locals have been declared.
    fn operators(&mut self, body: &FunctionBody<'_>) -> Result {
        self.find_handlers(body)?;
        let mut operators = body.get_operators_reader()?;
        let mut body_of_loop = operators.clone();
        while !operators.eof() {
            self.offset =
                usize::try_from(operators.original_position()).map_err(|_| Unsupported::Malformed)?;
            self.locate();
            let operator = operators.read()?;
            if self.unreachable.is_none() && matches!(operator, Operator::Loop { .. }) {
                self.unrolled = Unrolled::of(&operators, &self.module.engine().config().tuning.unrolling)?;
                body_of_loop = operators.clone();
            }
            if let Some(depth) = self.unreachable {
                self.skip(&operator, depth)?;
            } else {
                self.charge();
                self.operator(&operator)?;
            }
            self.check_size()?;
            if std::mem::take(&mut self.is_repeating) {
                operators = body_of_loop.clone();
            }
        }
        Ok(())
    }

    /// Refuses a function that is becoming too large.
    fn check_size(&mut self) -> Result {
        let nesting = self.control.last().map_or(0, |control| control.nesting);
        cost::check_size(self.b.func, self.branch_arguments, nesting)?;
        let bytes = cost::translated_bytes(self.b.func, self.branch_arguments, self.declared_locals);
        self.allowance.translated_bytes = bytes;
        self.allowance.reach(bytes)
    }

    /// Counts values that are written down once more: an instruction of two bytes can do that with a thousand.
    fn count_arguments(&mut self, count: usize) -> Result {
        self.branch_arguments += count;
        self.check_size()
    }

    /// Room for so many slots in the function's own frame, which is refused here where it would be later.
    fn slots_on_stack(&mut self, slots: u32) -> Result<Value> {
        self.slot_bytes = self.slot_bytes.saturating_add(slots.saturating_mul(8));
        if self.slot_bytes > compiler::MAX_FRAME_BYTES {
            return Err(Unsupported::Compiler("the frame is too large".to_owned()));
        }
        Ok(slots_on_stack(&mut self.b, slots))
    }

    /// Says where the code that follows comes from.
    fn locate(&mut self) {
        let place = self.inliner.place(self.offset);
        self.b.set_srcloc(SourceLoc::new(place));
        if let Some(load) = &self.last_load {
            self.loads_before.insert(place, LoadBefore { place: load.place, is_before_load: false });
        }
    }

    /// Declares locals and opens the function's body.
    fn begin(&mut self, entry: Block, body: &FunctionBody<'_>) -> Result {
        let local_types = self.declare_locals(body)?;
        let params = self.b.block_params(entry).to_vec();
        match self.start {
            Start::Call => {
                let mut at = 2;
                if abi::results(self.ty) == Results::Memory {
                    self.results = Some(params[at]);
                    at += 1;
                }
                self.define_locals(&params[at..], &local_types);
                self.poll_at_entry(body)?;
            }
            Start::Loop(entry) => self.begin_at_loop(entry, params[1], &local_types),
        }
        self.open_function();
        Ok(())
    }

    fn declare_locals(&mut self, body: &FunctionBody<'_>) -> Result<Vec<Type>> {
        let mut slots: u32 = 0;
        let mut types: Vec<Type> = self.ty.params().iter().map(|ty| abi::value_type(*ty)).collect();
        for group in body.get_locals_reader()? {
            let (count, ty) = group?;
            slots += count.saturating_mul(if ty == ValType::V128 { 2 } else { 1 });
            if slots > MAX_NEAR_LOCAL_SLOTS {
                return Err(Unsupported::Compiler("it has too many locals".to_owned()));
            }
            types.extend(std::iter::repeat_n(abi::decoded_type(ty), count as usize));
        }
        self.declared_locals += types.len();
        self.allowance.draw(cost::work_before_translation(types.len() as u64))?;
        self.locals = types.iter().map(|ty| self.b.declare_var(*ty)).collect();
        Ok(types)
    }

    /// Gives locals what they begin with: those that are parameters the arguments, others zero.
    fn define_locals(&mut self, args: &[Value], types: &[Type]) {
        for (i, ty) in types.iter().enumerate() {
            let value = args.get(i).copied().unwrap_or_else(|| self.zero(*ty));
            self.b.def_var(self.locals[i], value);
        }
    }

    fn zero(&mut self, ty: Type) -> Value {
        emit::zero(&mut self.b, ty)
    }

    /// Reads a value that begins at a slot.
    fn load_slot(&mut self, slots: Value, slot: u32, ty: Type) -> Value {
        load_slot(&mut self.b, slots, slot, ty)
    }

    /// Writes a value to the slots that begin at `slot`.
    fn store_slot(&mut self, slots: Value, slot: u32, value: Value) {
        store_slot(&mut self.b, slots, slot, value);
    }

    fn pop(&mut self) -> Result<Value> {
        self.stack.pop().ok_or(Unsupported::Malformed)
    }

    fn pop2(&mut self) -> Result<(Value, Value)> {
        let b = self.pop()?;
        Ok((self.pop()?, b))
    }

    fn pop3(&mut self) -> Result<(Value, Value, Value)> {
        let (b, c) = self.pop2()?;
        Ok((self.pop()?, b, c))
    }

    fn push(&mut self, value: Value) -> Result {
        self.stack.push(value);
        Ok(())
    }

    fn int(&mut self, ty: Type, value: impl Into<i64>) -> Value {
        self.b.ins().iconst(ty, value.into())
    }

    fn i32(&mut self, value: u32) -> Value {
        self.int(types::I32, value)
    }

    /// The store's record.
    fn store(&mut self) -> Value {
        self.b.ins().get_pinned_reg(types::I64)
    }

    /// A pointer that never changes, from a record.
    fn fixed(&mut self, record: Value, offset_bytes: usize) -> Value {
        self.b.ins().load(types::I64, fixed_flags(), record, offset_bytes as i32)
    }

    /// Element `i` of an array of pointers that never changes, which the context points to.
    fn fixed_element(&mut self, array_offset_bytes: usize, i: u32) -> Value {
        let array = self.fixed(self.ctx, array_offset_bytes);
        match i32::try_from(u64::from(i) * 8) {
            Ok(offset) => self.b.ins().load(types::I64, fixed_flags(), array, offset),
            Err(_) => {
                let element = self.b.ins().iadd_imm_s(array, i64::from(i) * 8);
                self.b.ins().load(types::I64, fixed_flags(), element, 0)
            }
        }
    }

    /// Calls a function of the host's table.
    fn libcall(&mut self, libcall: Libcall, args: &[Value]) -> Option<Value> {
        call_libcall(&mut self.b, libcall, args)
    }

    /// Calls a function that says something else than 0 where it has failed.
    fn libcall_or_stop(&mut self, libcall: Libcall, args: &[Value]) -> Result {
        let Some(failed) = self.libcall(libcall, args) else { return Err(Unsupported::Malformed) };
        self.stop_if(failed);
        Ok(())
    }

    /// Leaves machine code where the value is not 0, for the reason in the record.
    fn stop_if(&mut self, failed: Value) {
        stop_if(&mut self.b, failed);
    }

    fn operator(&mut self, operator: &Operator<'_>) -> Result {
        if self.control_operator(operator)?
            || self.variable(operator)?
            || self.memory(operator)?
            || self.numeric(operator)?
            || self.call_operator(operator)?
            || self.exception_operator(operator)?
            || self.table(operator)?
            || self.reference(operator)?
            || self.aggregate(operator)?
            || self.simd(operator)?
            || self.atomic(operator)?
        {
            return Ok(());
        }
        Err(Unsupported::Instruction(
            format!("{operator:?}").split([' ', '{']).next().unwrap_or("").to_owned(),
        ))
    }

    /// Whether the hardware checks the bounds of reserved memories.
    fn has_guards(&self) -> bool {
        self.module.engine().config().tuning.memory_layout == MemoryLayout::Reserved
    }
}

/// The body of a function that the module defines; offsets in it are those in the module.
fn body_of(module: &ModuleParts, func: DefinedFuncIndex) -> FunctionBody<'_> {
    let range = module.body_range(func);
    FunctionBody::new(BinaryReader::new(&module.bytes()[range.clone()], range.start as u64))
}
