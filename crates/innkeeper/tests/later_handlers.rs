//! Handlers of signals that somebody else installs after the first guest has run, and that pass nothing on, as Python's `faulthandler`: guests that are instantiated from
//! then on trap as before.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::process::Command;
use std::time::{Duration, Instant};

use innkeeper::{Config, Engine, Instance, Module, Store, Tiers, Trap};

/// Says to a process of this test that it is the one that others' handlers would end.
const VICTIM: &str = "INNKEEPER_TEST_VICTIM";

const SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// A guest that does what machine code leaves to the hardware to find.
const GUEST: &str = r#"(module (memory 1)
    (func (export "load") (drop (i32.load (i32.const 0x7fffffff))))
    (func (export "divide") (drop (i32.div_u (i32.const 1) (i32.load (i32.const 0)))))
    (func (export "unreachable") unreachable))"#;

extern "C" fn report(_: libc::c_int) {
    // SAFETY: allowed in a handler.
    unsafe { libc::_exit(3) };
}

fn handler(signal: libc::c_int) -> usize {
    // SAFETY: it is only asked for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &raw mut action), 0);
        action.sa_sigaction
    }
}

fn trap_everywhere(engine: &Engine, module: &Module) {
    for (name, expected) in [
        ("load", Trap::MemoryOutOfBounds),
        ("divide", Trap::IntegerDivideByZero),
        ("unreachable", Trap::Unreachable),
    ] {
        let mut store = Store::new(engine, ()).unwrap();
        let instance = Instance::new(&mut store, module, &[]).unwrap();
        let func = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
        let error = func.call(&mut store, ()).unwrap_err();
        assert_eq!(error.trap(), Some(expected), "{name}: {error}");
    }
}

/// X2: the handler that is there by then is one of the embedder's.
#[test]
fn x2_guests_trap_whoever_handles_signals_since() {
    if std::env::var_os(VICTIM).is_none() {
        let test = std::env::current_exe().unwrap();
        let name = "x2_guests_trap_whoever_handles_signals_since";
        let victim = Command::new(test).args(["--exact", name]).env(VICTIM, "").output().unwrap();
        assert_eq!(victim.status.code(), Some(0), "{victim:?}");
        return;
    }
    let engine = innkeeper::engine_with(Config::default(), Tiers::Compiled);
    let module = Module::new(&engine, GUEST).unwrap();
    trap_everywhere(&engine, &module);
    for signal in SIGNALS {
        // SAFETY: the handler does what is allowed in one.
        unsafe { libc::signal(signal, report as *const () as libc::sighandler_t) };
    }
    // It is looked for now and then, when an instance is made.
    let begin = Instant::now();
    while SIGNALS.iter().any(|signal| handler(*signal) == report as *const () as usize) {
        assert!(begin.elapsed() < Duration::from_secs(30), "they are not put back");
        Instance::new(&mut Store::new(&engine, ()).unwrap(), &module, &[]).unwrap();
    }
    trap_everywhere(&engine, &module);
    // An engine looks at once.
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGSEGV, report as *const () as libc::sighandler_t) };
    let _other = innkeeper::engine_with(Config::default(), Tiers::Compiled);
    trap_everywhere(&engine, &module);
}
