//! Trampolines between the conventions: slots, as the interpreter and the host pass values, and registers, as compiled functions do.
//!
//! There is one of each kind a signature, made when it is first needed and kept as long as a module is there that has used it. Those for functions of very many values
//! are made beside the code that calls them, which can stay interpreted where they are refused; a guest that is under way never waits for one.
//!
//! Must stay true: nothing is compiled while the trampolines are locked, which guests wait for. Whoever puts the address of one into an entry holds the trampoline as
//! long as the entry is there: the module whose function it is, and the engine itself for functions of the host, whose entries may outlive all modules. An engine
//! that loads modules without end has no more trampolines than what is left of them uses.

use std::borrow::BorrowMut;
use std::collections::{BTreeMap, HashMap};
use std::mem::offset_of;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use cranelift_codegen::ir::{self, InstBuilder, Value, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{FuncEntry, HostEntry, Hot, Pending, VmContext, runtime};
use innkeeper_engine::{FuncType, ValType};

use crate::abi::{self, Results};
use crate::allowance::Allowance;
use crate::cache::format::SavedTrampoline;
use crate::code_memory::{CodeMemory, CodeOf, HeldCode, UnheldCode};
use crate::compiler::{Code, Compiler};
use crate::libcall::Libcall;
use crate::module::lock;
use crate::region::Function;
use crate::tables::{Places, Tables};
use crate::translate::{
    Result, Unsupported, call_libcall, leave_by_outcome, load_slot, slots_on_stack, store_slot,
};
use crate::{NativeModule, entry};

/// What a trampoline does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Calls machine code with parameters from a frame of slots.
    Enter,
    /// Is called as machine code, and calls a guest function through the interpreter.
    Guest,
    /// Is called as machine code, and calls a function of the host.
    Host,
}

/// The trampolines of an engine.
pub(crate) struct Trampolines(Mutex<State>);

struct State {
    /// What has been made, and may have gone.
    made: HashMap<Arc<[u8]>, Made>,
    /// How many there are when those that have gone are next looked for.
    look_at: usize,
    memory: CodeMemory,
    /// Apart, because some of it stays.
    memory_of_host: CodeMemory,
    /// What entries of functions of the host lead to: one for each signature that the embedder's functions have.
    kept: HashMap<Arc<[u8]>, HeldCode>,
}

/// A trampoline: where it is, and what it consists of.
struct Made {
    code: UnheldCode,
    saved: SavedTrampoline,
}

/// Those that a module has used, by what tells them apart: they stay as long as this.
pub(crate) type HeldTrampolines = HashMap<Arc<[u8]>, HeldCode>;

/// Fewer are never looked through.
const MIN_LOOK_AT: usize = 256;

/// Parameters and results of functions whose trampolines are made while a guest waits, which takes less than a millisecond and next to no memory.
const MAX_NARROW_VALUES: usize = 64;

/// Whether trampolines for functions of a type cost as much as compiling a function does: they are made beside the code that calls such functions, and where they
/// are refused, so is that.
pub(crate) fn is_wide(ty: &FuncType) -> bool {
    ty.params().len() + ty.results().len() > MAX_NARROW_VALUES
}

impl Trampolines {
    pub(crate) fn new() -> Trampolines {
        Trampolines(Mutex::new(State {
            made: HashMap::new(),
            look_at: MIN_LOOK_AT,
            memory: CodeMemory::new(CodeOf::Trampolines),
            memory_of_host: CodeMemory::new(CodeOf::Trampolines),
            kept: HashMap::new(),
        }))
    }

    /// What a module's file has: the trampolines that it has `used`, and those that it had at an `earlier` time, ascending by key, as they are looked for. Those of
    /// other modules are no business of it.
    pub(crate) fn to_save(
        &self,
        used: &HeldTrampolines,
        earlier: &[SavedTrampoline],
    ) -> Vec<SavedTrampoline> {
        let mut all: BTreeMap<&[u8], &SavedTrampoline> =
            earlier.iter().map(|saved| (&*saved.key, saved)).collect();
        let state = lock(&self.0);
        all.extend(used.keys().filter_map(|key| Some((&key[..], &state.made.get(&key[..])?.saved))));
        all.into_values().cloned().collect()
    }

    /// The trampoline of a kind for functions of a type, from what was made, or was at an `earlier` time, ascending by key. `compiler` is only called where one has to be made, and nobody waits meanwhile: of two threads that make
    /// the same one, one has done it in vain.
    ///
    /// Whoever gets it holds it as long as its address is anywhere. `key` is that of the kind and the type.
    ///
    /// # Errors
    /// Where it may not be made, or there is no memory for it.
    pub(crate) fn get<C: BorrowMut<Compiler>>(
        &self,
        compiler: impl FnOnce() -> Option<C>,
        allowance: &mut Allowance<'_>,
        (key, kind, ty): (&Arc<[u8]>, Kind, &FuncType),
        earlier: &[SavedTrampoline],
    ) -> Result<HeldCode> {
        if let Some(found) = lock(&self.0).find(key, earlier) {
            return found;
        }
        let mut compiler =
            compiler().ok_or_else(|| Unsupported::Compiler("there is no compiler".to_owned()))?;
        let Code { bytes, tables, .. } =
            compiler.borrow_mut().compile(allowance, |function, context, config, _| {
                build(function, context, kind, ty).finalize(config);
                Ok(Places::default())
            })?;
        let made =
            SavedTrampoline { key: Arc::clone(key), code: bytes.into(), tables: tables.bytes().into() };
        lock(&self.0).add(made)
    }

    /// Keeps a trampoline as long as the engine.
    pub(crate) fn keep(&self, key: &Arc<[u8]>, code: &HeldCode) {
        lock(&self.0).kept.entry(Arc::clone(key)).or_insert_with(|| code.clone());
    }
}

impl State {
    /// A trampoline that there is, or was at an earlier time.
    fn find(&mut self, key: &[u8], earlier: &[SavedTrampoline]) -> Option<Result<HeldCode>> {
        if let Some(held) = self.there(key) {
            return Some(Ok(held));
        }
        find_saved(earlier, key).cloned().map(|saved| self.add(saved))
    }

    fn there(&self, key: &[u8]) -> Option<HeldCode> {
        self.made.get(key)?.code.hold()
    }

    /// Puts a trampoline where it can be executed, unless somebody else has done that meanwhile.
    fn add(&mut self, saved: SavedTrampoline) -> Result<HeldCode> {
        if let Some(held) = self.there(&saved.key) {
            return Ok(held);
        }
        let is_of_host = saved.key.first() == Some(&(Kind::Host as u8));
        let memory = if is_of_host { &mut self.memory_of_host } else { &mut self.memory };
        let tables = Tables::from_bytes(&saved.tables);
        let address = memory.add(&saved.code, |range| Function { range, of: None, tables });
        let held = address.and_then(|_| memory.last_added(saved.code.len()));
        let held = held.ok_or(Unsupported::Now("there is no memory for code"))?;
        if self.made.len() >= self.look_at {
            self.made.retain(|_, made| made.code.is_there());
            self.look_at = (self.made.len() * 2).max(MIN_LOOK_AT);
        }
        self.made.insert(Arc::clone(&saved.key), Made { code: held.unheld(), saved });
        Ok(held)
    }
}

/// One of what was made at an earlier time. Where that is not ascending, as whoever writes a file can have it, it is not found, and made anew.
fn find_saved<'a>(saved: &'a [SavedTrampoline], key: &[u8]) -> Option<&'a SavedTrampoline> {
    let at = saved.binary_search_by(|trampoline| (*trampoline.key).cmp(key)).ok()?;
    saved.get(at)
}

/// How many of those `used` there were not at an `earlier` time.
pub(crate) fn count_new(used: &HeldTrampolines, earlier: &[SavedTrampoline]) -> usize {
    used.keys().filter(|key| find_saved(earlier, key).is_none()).count()
}

/// What tells trampolines apart, in memory and where they are written: the kind, and the types of parameters and of results.
pub(crate) fn key_bytes(kind: Kind, ty: &FuncType) -> Vec<u8> {
    let letter = |ty: &ValType| match abi::value_type(*ty) {
        types::I32 => b'i',
        types::I64 => b'l',
        types::F32 => b'f',
        types::F64 => b'd',
        _ => b'v',
    };
    let mut bytes = vec![kind as u8];
    bytes.extend(ty.params().iter().map(letter));
    bytes.push(b'>');
    bytes.extend(ty.results().iter().map(letter));
    bytes
}

fn build<'a>(
    to: &'a mut ir::Function,
    context: &'a mut FunctionBuilderContext,
    kind: Kind,
    ty: &FuncType,
) -> FunctionBuilder<'a> {
    to.signature = match kind {
        Kind::Enter => abi::entry_signature(),
        Kind::Guest | Kind::Host => abi::signature(ty),
    };
    let mut b = FunctionBuilder::new(to, context);
    let block = b.create_block();
    b.append_block_params_for_function_params(block);
    b.switch_to_block(block);
    b.seal_block(block);
    let params = b.block_params(block).to_vec();
    match kind {
        Kind::Enter => enter(&mut b, ty, (params[0], params[1], params[2])),
        Kind::Guest | Kind::Host => leave(&mut b, ty, kind, &params),
    }
    b
}

/// `(context, frame, code)`.
fn enter(b: &mut FunctionBuilder<'_>, ty: &FuncType, (ctx, frame, code): (Value, Value, Value)) {
    // The callee is the compiled function itself, which does not ask for its entry.
    let no_entry = b.ins().iconst(types::I64, 0);
    let mut args = vec![ctx, no_entry];
    let in_memory = abi::results(ty) == Results::Memory;
    if in_memory {
        args.push(frame);
    }
    let mut at = 0;
    for ty in ty.params() {
        args.push(load_slot(b, frame, at, abi::value_type(*ty)));
        at += ty.slots();
    }
    let signature = b.import_signature(abi::signature(ty));
    let call = b.ins().call_indirect(signature, code, &args);
    if !in_memory {
        let results = b.inst_results(call).to_vec();
        store_all(b, frame, &results, ty.results());
    }
    b.ins().return_(&[]);
}

fn store_all(b: &mut FunctionBuilder<'_>, slots: Value, values: &[Value], types: &[ValType]) {
    let mut at = 0;
    for (value, ty) in values.iter().zip(types) {
        store_slot(b, slots, at, *value);
        at += ty.slots();
    }
}

/// `(context, entry, [results], parameters)`.
fn leave(b: &mut FunctionBuilder<'_>, ty: &FuncType, kind: Kind, params: &[Value]) {
    let (ctx, callee) = (params[0], params[1]);
    let memory = (abi::results(ty) == Results::Memory).then(|| params[2]);
    let args = &params[2 + usize::from(memory.is_some())..];
    let slots = slots_on_stack(b, ty.call_slots());
    store_all(b, slots, args, ty.params());
    let outcome = if kind == Kind::Guest {
        let frame = b.ins().get_frame_pointer(types::I64);
        call_libcall(b, Libcall::Interpret, &[ctx, callee, slots, frame])
    } else {
        let store = b.ins().get_pinned_reg(types::I64);
        call_libcall(b, Libcall::CallHost, &[ctx, callee, slots, store])
    };
    if let Some(outcome) = outcome {
        leave_by_outcome(b, outcome);
    }
    let mut results = Vec::new();
    let mut at = 0;
    for ty in ty.results() {
        results.push(load_slot(b, slots, at, abi::value_type(*ty)));
        at += ty.slots();
    }
    match memory {
        Some(memory) => {
            store_all(b, memory, &results, ty.results());
            b.ins().return_(&[]);
        }
        None => {
            b.ins().return_(&results);
        }
    }
}

/// Where a call of a guest function that no machine code has called before goes on.
///
/// # Safety
/// Machine code calls, through `callee`, a function of `ctx`'s module.
pub(crate) unsafe extern "sysv64" fn bind_guest(ctx: *mut VmContext, callee: *const FuncEntry) -> *const u8 {
    // SAFETY: the stub in `entry.rs` passes on what machine code calls with: the context and the entry of one callee, which translation takes from one record
    // (`Callee`). It runs on the store's fiber.
    unsafe { runtime::on_host((*ctx).store, || code_of_guest(ctx, callee)) }
}

/// # Safety
/// As [`bind_guest`].
unsafe fn code_of_guest(ctx: *mut VmContext, callee: *const FuncEntry) -> *const u8 {
    // SAFETY: `bind_guest` passes its own arguments; `callee` is one of the array that starts at `entries`.
    unsafe {
        let module = runtime::module(ctx);
        let func = DefinedFuncIndex(callee.offset_from((*ctx).entries) as u32);
        let ty = module.func_type(module.type_of_func(module.func_index(func)));
        // A function that was never called may have code from an earlier time; one that was has been asked about.
        if (*callee).code.load(Ordering::Acquire).is_null()
            && let Some(code) = module.compiler().and_then(|compiler| compiler.cached(func))
        {
            // The module's tier vouches for what it has cached, by the contract of `ModuleCompiler`.
            module.code().publish(&Hot::Function(func), ty.call_slots(), code);
            return code.code;
        }
        bind(ctx, callee, Kind::Guest, ty, entry::bind_guest as *const u8)
    }
}

/// As [`bind_guest`], for functions of the host.
///
/// # Safety
/// Machine code of `ctx`'s instance calls, through `callee`, a function of the host.
pub(crate) unsafe extern "sysv64" fn bind_host(ctx: *mut VmContext, callee: *const HostEntry) -> *const u8 {
    // SAFETY: the stub in `entry.rs` passes on what machine code calls with: its own context and the entry of a host function, which is the first field of a
    // `HostEntry`; a function's type is that of a function.
    unsafe {
        let Some(ty) = (*(*(*callee).func).ty).ty.composite.as_func() else {
            return failed(ctx, "it is no function's");
        };
        if abi::is_in_registers(ty) {
            let is_narrow = matches!(ty.results(), [] | [ValType::I32]);
            let code =
                if is_narrow { entry::call_host_32 as *const u8 } else { entry::call_host as *const u8 };
            (*callee).entry.bind(entry::bind_host as *const u8, code);
            return code;
        }
        let bind = || bind(ctx, callee.cast(), Kind::Host, ty, entry::bind_host as *const u8);
        runtime::on_host((*ctx).store, bind)
    }
}

unsafe fn bind(
    ctx: *mut VmContext,
    callee: *const FuncEntry,
    kind: Kind,
    ty: &FuncType,
    stub: *const u8,
) -> *const u8 {
    // SAFETY: `bind_guest` and `bind_host` pass on the context and the entry that machine code called with.
    unsafe {
        let module = runtime::module(ctx);
        let native = NativeModule::of(module);
        let trampoline = match native.map(|native| native.trampoline_to_bind(kind, ty)) {
            Some(Ok(trampoline)) => trampoline,
            Some(Err(reason)) => return failed(ctx, &reason.to_string()),
            None => return failed(ctx, "there is no compiler"),
        };
        (*callee).bind(stub, trampoline);
        trampoline
    }
}

/// Makes the caller stop.
unsafe fn failed(ctx: *mut VmContext, reason: &str) -> *const u8 {
    let error = innkeeper_engine::Error::limit(format!("a call needs code that cannot be made: {reason}"));
    // SAFETY: `ctx` is the context that machine code runs on.
    unsafe { (*(*ctx).store).fiber.pending = Some(Pending::Error(error)) };
    // Called as the callee would be: the return address is the call's.
    entry::leave as *const u8
}

/// Entries are reached through their first field.
const _: () = assert!(offset_of!(HostEntry, entry) == 0);

#[cfg(test)]
mod tests {
    use innkeeper_engine::{Budget, NanBits};

    use super::*;
    use crate::allowance::Credit;
    use crate::compiler;

    const KINDS: [Kind; 3] = [Kind::Enter, Kind::Guest, Kind::Host];

    fn compiler() -> Option<Compiler> {
        compiler::isa(NanBits::default()).map(Compiler::new)
    }

    /// A function of so many parameters and results.
    fn ty(params: usize, results: usize, of: ValType) -> FuncType {
        FuncType::new(std::iter::repeat_n(of, params), std::iter::repeat_n(of, results))
    }

    fn key(kind: Kind, ty: &FuncType) -> Arc<[u8]> {
        key_bytes(kind, ty).into()
    }

    fn budget(bytes: u64) -> Budget {
        Budget::new(Some(bytes), "the limit")
    }

    #[test]
    fn nobody_waits_while_a_trampoline_is_compiled() {
        let (trampolines, budget, ty) = (Trampolines::new(), budget(64 << 20), ty(100, 100, ValType::I32));
        for kind in KINDS {
            let mut meanwhile = None;
            let slower = trampolines.get(
                || {
                    assert!(trampolines.0.try_lock().is_ok());
                    // Somebody else makes the same one meanwhile.
                    let faster = trampolines.get(
                        compiler,
                        &mut Allowance::of_trampoline(None, &budget),
                        (&key(kind, &ty), kind, &ty),
                        &[],
                    );
                    meanwhile = faster.ok().map(|held| held.address());
                    compiler()
                },
                &mut Allowance::of_trampoline(None, &budget),
                (&key(kind, &ty), kind, &ty),
                &[],
            );
            assert_eq!(slower.ok().map(|held| held.address()), meanwhile);
            assert!(meanwhile.is_some());
        }
        assert_eq!(lock(&trampolines.0).made.len(), KINDS.len());
    }

    /// A guest waits for them, and there is no other way to make its call.
    #[test]
    fn trampolines_for_few_values_need_no_memory_that_could_be_refused() {
        let trampolines = Trampolines::new();
        let nothing = budget(0);
        for of in [ValType::I32, ValType::F64, ValType::V128] {
            for (params, results) in [(0, 0), (MAX_NARROW_VALUES, 0), (0, MAX_NARROW_VALUES), (32, 32)] {
                let ty = ty(params, results, of);
                assert!(!is_wide(&ty));
                for kind in KINDS {
                    let mut allowance = Allowance::of_trampoline(None, &nothing);
                    let made = trampolines.get(compiler, &mut allowance, (&key(kind, &ty), kind, &ty), &[]);
                    let refused = made.err();
                    assert!(refused.is_none(), "{kind:?}, {ty:?}: {refused:?}");
                }
            }
        }
    }

    #[test]
    fn trampolines_for_very_many_values_are_charged_like_functions() {
        let (trampolines, ty) = (Trampolines::new(), ty(1000, 1000, ValType::I64));
        assert!(is_wide(&ty));
        for kind in KINDS {
            let credit = Credit::of_module(1 << 20);
            let get = |credit, budget: &Budget| {
                let mut allowance = Allowance::of_trampoline(Some(credit), budget);
                trampolines.get(compiler, &mut allowance, (&key(kind, &ty), kind, &ty), &[])
            };
            assert!(matches!(get(&credit, &budget(1 << 20)), Err(Unsupported::Now(_))), "{kind:?}");
            let _ = Allowance::of_trampoline(Some(&credit), &budget(0)).draw(u64::MAX);
            let enough = budget(64 << 20);
            assert!(matches!(get(&credit, &enough), Err(Unsupported::Now(_))), "{kind:?}");
            assert!(get(&Credit::of_module(0), &enough).is_ok(), "{kind:?}");
            assert!(enough.peak_bytes() > 1 << 20, "{kind:?}: {}", enough.peak_bytes());
        }
    }

    /// A function type of 60 parameters that no other number has.
    fn numbered(number: u32) -> FuncType {
        let letter = |bit: u32| if number >> (bit % 32) & 1 == 0 { ValType::I64 } else { ValType::F64 };
        FuncType::new((0..60).map(letter), [])
    }

    /// Modules come and go, each with signatures of its own, beside one that stays.
    #[test]
    fn trampolines_go_with_the_last_module_that_has_used_them() {
        const MODULES: u32 = 48;
        const SIGNATURES: u32 = 40;
        let (trampolines, budget) = (Trampolines::new(), budget(64 << 20));
        let get = |number: u32| {
            let ty = numbered(number);
            let mut allowance = Allowance::of_trampoline(None, &budget);
            trampolines.get(compiler, &mut allowance, (&key(Kind::Guest, &ty), Kind::Guest, &ty), &[])
        };
        let stays = get(u32::MAX).unwrap();
        let before = stays.bytes().to_vec();
        let (mut most, mut bytes) = (0, 0);
        for module in 0..MODULES {
            let numbers = module * SIGNATURES..(module + 1) * SIGNATURES;
            let held: Vec<HeldCode> = numbers.map(|number| get(number).unwrap()).collect();
            bytes += held.iter().map(|held| held.bytes().len()).sum::<usize>();
            // What is asked for again is the same as long as somebody holds it.
            assert_eq!(get(module * SIGNATURES).unwrap().address(), held[0].address());
            most = most.max(lock(&trampolines.0).made.len());
        }
        assert!(bytes > 5 << 18, "{bytes} bytes fill several pieces");
        let state = lock(&trampolines.0);
        let there = state.made.values().filter(|made| made.code.is_there()).count();
        assert!(most < (MODULES * SIGNATURES) as usize * 2 / 3, "{most} are remembered at once");
        assert!(there < (MODULES * SIGNATURES) as usize / 3, "{there} are still there");
        assert_eq!(stays.bytes(), before);
        assert_eq!(
            state.there(&key_bytes(Kind::Guest, &numbered(u32::MAX))).unwrap().address(),
            stays.address()
        );
    }
}
