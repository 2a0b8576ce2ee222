//! Trampolines between the conventions: slots, as the interpreter and the host pass values, and registers, as compiled functions do.
//!
//! There is one of each kind a signature, made when it is first needed and kept as long as the engine.

use std::collections::HashMap;
use std::mem::offset_of;
use std::sync::atomic::Ordering;

use cranelift_codegen::ir::{Function, InstBuilder, Type, Value, types};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use innkeeper_engine::FuncType;
use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{FuncEntry, HostEntry, Pending, VmContext, runtime};

use crate::abi::{self, Results};
use crate::allowance::Allowance;
use crate::cache::format::SavedTrampoline;
use crate::code_memory::CodeMemory;
use crate::compiler::{Code, Compiler};
use crate::libcall::Libcall;
use crate::tables::Places;
use crate::tables::Tables;
use crate::translate::{call_libcall, leave_by_outcome, load_slot, slots_on_stack, store_slot};
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
pub(crate) struct Trampolines {
    made: HashMap<Key, Made>,
    /// Those made at an earlier time that nobody has asked for yet.
    saved: HashMap<Vec<u8>, SavedTrampoline>,
    memory: CodeMemory,
}

/// A trampoline: where it is, and what it consists of.
struct Made {
    address: Address,
    code: Vec<u8>,
    tables: Tables,
}

/// A kind, and the types of parameters and of results.
type Key = (Kind, Box<[Type]>, Box<[Type]>);

/// The address of code, which never changes.
#[derive(Clone, Copy)]
struct Address(*const u8);

// SAFETY: a plain address.
unsafe impl Send for Address {}

impl Trampolines {
    pub(crate) fn new() -> Trampolines {
        Trampolines { made: HashMap::new(), saved: HashMap::new(), memory: CodeMemory::new(None) }
    }

    /// Takes over what was made at an earlier time.
    pub(crate) fn remember(&mut self, saved: &[SavedTrampoline]) {
        self.saved.extend(saved.iter().map(|trampoline| (trampoline.key.clone(), trampoline.clone())));
    }

    /// All that were made, to be cached, and those that were cached.
    pub(crate) fn to_save(&self) -> Vec<SavedTrampoline> {
        let made = self.made.iter().map(|(key, made)| SavedTrampoline {
            key: key_bytes(key),
            code: made.code.clone(),
            tables: made.tables.bytes().to_vec(),
        });
        let mut all: Vec<SavedTrampoline> = made.chain(self.saved.values().cloned()).collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// The trampoline of a kind for functions of a type; none where it cannot be made. `compiler` is only called where one has to be made.
    pub(crate) fn get(
        &mut self,
        compiler: impl FnOnce() -> Option<Compiler>,
        kind: Kind,
        ty: &FuncType,
    ) -> Option<*const u8> {
        let types =
            |types: &[innkeeper_engine::ValType]| types.iter().map(|ty| abi::value_type(*ty)).collect();
        let key = (kind, types(ty.params()), types(ty.results()));
        if let Some(made) = self.made.get(&key) {
            return Some(made.address.0);
        }
        let code = match self.saved.remove(&key_bytes(&key)) {
            Some(saved) => Code { bytes: saved.code, tables: Tables::from_bytes(&saved.tables) },
            None => compiler()?
                .compile(&mut Allowance::of_trampoline(), |function, context, config, _| {
                    build(function, context, kind, ty).finalize(config);
                    Ok(Places::default())
                })
                .ok()?,
        };
        let address = self.memory.add(&code.bytes, |range| code.describe(range, None))?;
        let Code { bytes, tables } = code;
        self.made.insert(key, Made { address: Address(address), code: bytes, tables });
        Some(address)
    }
}

/// What is written of a key.
fn key_bytes((kind, params, results): &Key) -> Vec<u8> {
    let letter = |ty: &Type| match *ty {
        types::I32 => b'i',
        types::I64 => b'l',
        types::F32 => b'f',
        types::F64 => b'd',
        _ => b'v',
    };
    let mut bytes = vec![*kind as u8];
    bytes.extend(params.iter().map(letter));
    bytes.push(b'>');
    bytes.extend(results.iter().map(letter));
    bytes
}

fn build<'a>(
    to: &'a mut Function,
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

fn store_all(
    b: &mut FunctionBuilder<'_>,
    slots: Value,
    values: &[Value],
    types: &[innkeeper_engine::ValType],
) {
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
        call_libcall(b, Libcall::CallHost, &[ctx, callee, slots])
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
    // SAFETY: as the caller promises; `callee` is one of the array that starts at `entries`.
    unsafe {
        let module = runtime::module(ctx);
        let func = DefinedFuncIndex(callee.offset_from((*ctx).entries) as u32);
        let ty = module.func_type(module.type_of_func(module.func_index(func)));
        // A function that was never called may have code from an earlier time; one that was has been asked about.
        if (*callee).code.load(Ordering::Acquire).is_null()
            && let Some(code) = module.code().cached(func)
        {
            // The module's tier vouches for what it has cached, by the contract of `TierModule`.
            module.code().publish(func, ty.call_slots(), code);
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
    // SAFETY: as the caller promises; a function's type is that of a function.
    unsafe {
        let Some(ty) = (*(*(*callee).func).ty).ty.composite.as_func() else { return failed(ctx) };
        bind(ctx, callee.cast(), Kind::Host, ty, entry::bind_host as *const u8)
    }
}

unsafe fn bind(
    ctx: *mut VmContext,
    callee: *const FuncEntry,
    kind: Kind,
    ty: &FuncType,
    stub: *const u8,
) -> *const u8 {
    // SAFETY: as the callers' callers promise.
    unsafe {
        let module = runtime::module(ctx);
        let native = module.code().native().and_then(|native| native.downcast_ref::<NativeModule>());
        let Some(trampoline) = native.and_then(|native| native.trampoline(kind, ty)) else {
            return failed(ctx);
        };
        (*callee).bind(stub, trampoline);
        trampoline
    }
}

/// Makes the caller stop.
unsafe fn failed(ctx: *mut VmContext) -> *const u8 {
    let text = "there is no memory for the code that a call needs";
    // SAFETY: `ctx` is the context that machine code runs on.
    unsafe { (*(*ctx).store).pending = Some(Pending::Error(innkeeper_engine::Error::limit(text))) };
    // Called as the callee would be: the return address is the call's.
    entry::leave as *const u8
}

/// Entries are reached through their first field.
const _: () = assert!(offset_of!(HostEntry, entry) == 0);
