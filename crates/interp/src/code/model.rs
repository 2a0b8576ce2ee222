//! Every order in which a thread that compiles and threads that run instances of the module can act on a function's entry, and everything that weak
//! memory lets them see.

use std::sync::Arc;
use std::sync::atomic::Ordering::Acquire;

use innkeeper_engine::sync::{loom, thread};
use innkeeper_engine::tier::{EnterNative, NativeCode, NativeExit, NoCode, NoTier, parts};
use innkeeper_engine::{Config, Engine, Module, TierUp, Tuning};

use super::*;

const FUNC: DefinedFuncIndex = DefinedFuncIndex(0);

/// Addresses that stand for machine code.
const LAZY_STUB: usize = 0x1000;
const COMPILED: usize = 0x2000;
const AGAIN: usize = 0x3000;

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code, reason = "the type of what enters machine code")]
unsafe extern "sysv64" fn enter(_: &NativeCode, _: *mut VmContext, _: *mut u64) -> NativeExit {
    NativeExit::Done
}

#[cfg(not(target_arch = "x86_64"))]
#[allow(unsafe_code, reason = "the type of what enters machine code")]
unsafe extern "C" fn enter(_: &NativeCode, _: *mut VmContext, _: *mut u64) -> NativeExit {
    NativeExit::Done
}

fn machine_code(address: usize) -> NativeCode {
    let enter: EnterNative = enter;
    NativeCode { enter, trampoline: address as *const u8, code: address as *const u8 }
}

/// What a call finds in the function's entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Lowered,
    Compiled(usize),
}

/// The model's own code for a module that is decoded once.
struct Model {
    code: ModuleCode,
    module: Arc<ModuleParts>,
}

impl Model {
    fn entry(&self) -> &FuncEntry {
        &self.code.entries[FUNC.index()]
    }

    /// Calls the function for the first time, as the interpreter does. Gives where its code is.
    fn lower(&self) -> usize {
        self.code.lower(&self.module, FUNC).unwrap() as usize
    }

    fn publish(&self, address: usize) {
        // SAFETY: the model never enters the code.
        #[allow(unsafe_code, reason = "the contract has an unsafe method")]
        unsafe {
            self.code.publish(&Hot::Function(FUNC), 0, machine_code(address));
        }
    }

    /// Calls the function, whose lowered code is at `lowered`, as the interpreter does, as far as the machine code. No lock is taken: what is found must have been
    /// published.
    fn call(&self, lowered: usize) -> Found {
        let address = self.entry().code.load(Acquire).cast_const();
        if address as usize == lowered {
            return Found::Lowered;
        }
        let compiled = compiled(address);
        // Machine code that is entered may call the function itself, and must not come to the stub for it.
        assert_ne!(self.entry().native.load(Acquire) as usize, LAZY_STUB);
        Found::Compiled(compiled)
    }
}

/// The machine code that a stub enters; the model checker notices where it has not been published to whoever asks.
fn compiled(stub: *const Word) -> usize {
    #[allow(unsafe_code, reason = "as the handler that enters machine code")]
    // SAFETY: stubs live as long as the code.
    let code = unsafe { (*stub.cast::<native::Stub>()).code() };
    code.code as usize
}

/// A loop is hot after so many looks.
const LOOKS: u32 = 2;

fn explore(check: impl Fn(Arc<Model>) + Send + Sync + 'static) {
    let bytes = wat::parse_str("(module (func (loop (br 0))))").unwrap();
    // The code that is checked is the model's own.
    // SAFETY: nothing here calls a function of the module.
    #[allow(unsafe_code, reason = "the module has no code")]
    let tier = unsafe { NoTier::new(|| Box::new(NoCode)) };
    let module = Module::new(&Engine::with_tier(Config::default(), tier), bytes).unwrap();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let code =
            ModuleCode::new(1, LAZY_STUB as *const u8, &TierUp { looks: LOOKS, ..Tuning::default().tier_up });
        check(Arc::new(Model { code, module: Arc::clone(parts(&module)) }));
    });
}

/// Two instances call a function, on two threads, while it is compiled: each finds lowered code or finished machine code, and once it has found
/// machine code never anything less.
#[test]
fn instances_find_code_that_is_complete() {
    explore(|model| {
        let lowered = model.lower();
        let (compiler, other) = (Arc::clone(&model), Arc::clone(&model));
        let compiler = thread::spawn(move || compiler.publish(COMPILED));
        let other = thread::spawn(move || [other.call(lowered), other.call(lowered)]);
        let own = [model.call(lowered), model.call(lowered)];
        for [first, second] in [own, other.join().unwrap()] {
            assert!(first == Found::Lowered || second == Found::Compiled(COMPILED), "{first:?} {second:?}");
        }
        compiler.join().unwrap();
        assert_eq!(model.call(lowered), Found::Compiled(COMPILED));
        assert_eq!(model.entry().native.load(Acquire) as usize, COMPILED);
    });
}

/// The first calls come while the function is being published: it is not lowered over machine code.
#[test]
fn a_first_call_does_not_undo_a_publication() {
    explore(|model| {
        let (compiler, other) = (Arc::clone(&model), Arc::clone(&model));
        let compiler = thread::spawn(move || compiler.publish(COMPILED));
        let other = thread::spawn(move || other.lower());
        let (own, other) = (model.lower(), other.join().unwrap());
        compiler.join().unwrap();
        let stub = model.entry().code.load(Acquire).cast_const();
        assert_eq!(compiled(stub), COMPILED);
        // Both have the same lowered code, or the stub.
        assert!(own == other || own == stub as usize || other == stub as usize);
    });
}

/// Code is replaced by other code: whoever has the former in hand can still enter it.
#[test]
fn a_stale_reference_can_be_entered() {
    explore(|model| {
        let lowered = model.lower();
        let compiler = Arc::clone(&model);
        let compiler = thread::spawn(move || {
            compiler.publish(COMPILED);
            compiler.publish(AGAIN);
        });
        let stale = model.entry().code.load(Acquire).cast_const();
        compiler.join().unwrap();
        if stale as usize != lowered {
            assert!([COMPILED, AGAIN].contains(&compiled(stale)));
        }
        assert_eq!(model.call(lowered), Found::Compiled(AGAIN));
    });
}

/// What a first call from machine code does (the stub puts a trampoline where the function's code is to be) never undoes a publication.
#[test]
fn a_stub_that_comes_late_changes_nothing() {
    const TRAMPOLINE: usize = 0x4000;
    explore(|model| {
        let compiler = Arc::clone(&model);
        let compiler = thread::spawn(move || compiler.publish(COMPILED));
        model.entry().bind(LAZY_STUB as *const u8, TRAMPOLINE as *const u8);
        compiler.join().unwrap();
        assert_eq!(model.entry().native.load(Acquire) as usize, COMPILED);
    });
}

/// A loop gets hot in two instances at once: it is asked for once, and whoever comes round afterwards finds machine code that is complete.
#[test]
fn a_loop_is_asked_for_once_and_entered_when_it_is_complete() {
    /// Comes round as often as makes the loop hot, and compiles it if that is asked for: how often it was asked for, and whether there is machine code then.
    fn come_round(model: &Model, header: usize) -> (usize, bool) {
        let asked = (0..LOOKS).filter(|_| model.code.count_look(header)).count();
        if asked > 0 {
            let (locals, operands) = ([].into(), [].into());
            let entry = OsrEntry { func: FUNC, position: 0, offset_bytes: 0, locals, operands };
            // SAFETY: the model never enters the code.
            #[allow(unsafe_code, reason = "the contract has an unsafe method")]
            unsafe {
                model.code.publish(&Hot::Loop(entry), 0, machine_code(COMPILED));
            }
        }
        let stub = model.code.loop_stub(header);
        assert!(stub.is_null() || compiled(stub) == COMPILED);
        (asked, !stub.is_null())
    }
    explore(|model| {
        // Taken for a loop that begins where the function does.
        let header = model.lower();
        let other = Arc::clone(&model);
        let other = thread::spawn(move || come_round(&other, header));
        let own = come_round(&model, header);
        let other = other.join().unwrap();
        assert_eq!(own.0 + other.0, 1);
        assert!(own.1 || other.1);
    });
}
