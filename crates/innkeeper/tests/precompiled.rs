//! Modules that were compiled ahead of time, in one engine several times.

use innkeeper::{Cache, Config, Engine, Linker, Module, Precompiled, Store, Tiers, Trap};

const TEXT: &str = r#"(module
    (func (export "run") (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then unreachable))
        (i32.add (local.get 0) (i32.const 1))))"#;

/// Runs the module: with 0 it traps, and the trap has the place where.
fn run(engine: &Engine, module: &Module) {
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 20).unwrap(), 21);
    let error = run.call(&mut store, 0).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::Unreachable));
    assert!(error.backtrace().frames()[0].offset_bytes.is_some());
}

/// What is known of one module's machine code is not forgotten with another's, and none is known as another's.
#[test]
fn a_module_goes_and_another_of_the_same_bytes_stays() {
    let binary = innkeeper::to_binary(TEXT.as_bytes()).unwrap().into_owned();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("module.cwasm");
    let engine = innkeeper::engine_with(Config::default(), Tiers::Compiled);
    let module = Module::new(&engine, binary.clone()).unwrap();
    innkeeper::precompile(&module, &mut std::fs::File::create(&path).unwrap(), &|_, _| {}).unwrap();

    let precompiled = Precompiled::open_trusted(&path, &Config::default()).unwrap();
    let engine =
        innkeeper::engine_cached(Config::default(), Tiers::Compiled, Cache::of_precompiled(precompiled));
    let load = || Module::new(&engine, binary.clone()).unwrap();
    let (first, second) = (load(), load());
    run(&engine, &first);
    run(&engine, &second);
    drop(second);
    run(&engine, &first);
    let third = load();
    drop(first);
    run(&engine, &third);
    let statistics = engine.compile_statistics();
    assert_eq!((statistics.compiled, statistics.cached, statistics.known_valid), (0, 3, 3), "{statistics:?}");
}
