//! The process's panic hook is the embedder's (Y11 of the sandbox's list). A process of its own: there is one hook for all of it.

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, resume_unwind, set_hook, take_hook};
use std::sync::atomic::{AtomicUsize, Ordering};

use innkeeper::{Config, Engine, Error, Linker, Module, Store, Tiers};

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

static TOLD: AtomicUsize = AtomicUsize::new(0);

#[test]
fn y11_the_panic_hook_is_the_embedders_before_and_after_guests_are_compiled() {
    let marker = Box::new(0_u8);
    let hook: Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync> = Box::new(move |_| {
        std::hint::black_box(&marker);
        TOLD.fetch_add(1, Ordering::Relaxed);
    });
    let address = std::ptr::from_ref(&*hook).cast::<u8>();
    set_hook(hook);
    let engine = innkeeper::engine_with(Config::default(), Tiers::Compiled);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "fail", || -> Result<(), Error> { resume_unwind(Box::new(1)) }).unwrap();
    let text = r#"(module (import "host" "fail" (func $fail)) (func (export "run") (call $fail)))"#;
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| run.call(&mut store, ()))).is_err());
    let (compiled, hook) = (engine.compile_statistics().compiled, take_hook());
    assert_eq!(std::ptr::from_ref(&*hook).cast::<u8>(), address);
    assert!(compiled > 0 && !innkeeper::is_compiling());
    // Whoever resumes a panic has told the hook before.
    assert_eq!(TOLD.load(Ordering::Relaxed), 0);
}
