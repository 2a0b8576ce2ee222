//! Modules that are prepared once and instantiated often, and host functions that all stores share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use innkeeper::{
    Caller, Config, Engine, ErrorKind, FuncType, InstancePre, Linker, MemoryType, Module, SharedMemory,
    Sharing, SizeRange, Store, Tiers, ValType,
};

const GUEST: &str = r#"(module
    (import "host" "add" (func $add (param i32 i32) (result i32)))
    (import "host" "count" (func $count))
    (export "add" (func $add))
    (global $g (mut i32) (i32.const 0))
    (func (export "run") (param i32) (result i32)
        (loop $l (call $count) (global.set $g (call $add (global.get $g) (i32.const 2)))
            (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (global.get $g)))"#;

type Counter = Arc<AtomicU32>;

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

fn linker(engine: &Engine) -> Linker<Counter> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "add", |a: i32, b: i32| a + b).unwrap();
    linker
        .func_wrap("host", "count", |caller: Caller<'_, Counter>| {
            caller.data().fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    linker
}

/// The address of a function's record, which is part of how it is shown.
fn address(store: &mut Store<Counter>, instance: innkeeper::Instance) -> String {
    let shown = format!("{:?}", instance.get_func(store, "add").unwrap());
    shown[shown.find("0x").unwrap()..].to_owned()
}

#[test]
fn a_prepared_module_goes_to_many_stores_on_many_threads() {
    fn is_shared<T: Send + Sync + Clone>(_: &T) {}
    for tiers in [Tiers::Interpreter, Tiers::Compiled, Tiers::Auto] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let pre: InstancePre<Counter> = linker(&engine).instantiate_pre(&module(&engine, GUEST)).unwrap();
        is_shared(&pre);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let (pre, engine) = (pre.clone(), &engine);
                scope.spawn(move || {
                    for _ in 0..20 {
                        let counter = Counter::default();
                        let mut store = Store::new(engine, counter.clone()).unwrap();
                        let instance = pre.instantiate(&mut store).unwrap();
                        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
                        assert_eq!(run.call(&mut store, 500).unwrap(), 1000);
                        assert_eq!(counter.load(Ordering::Relaxed), 500);
                    }
                });
            }
        });
    }
}

/// They were made anew at each instantiation.
#[test]
fn host_functions_are_made_once_for_a_linker() {
    let engine = innkeeper::engine(Config::default());
    let (linker, module) = (linker(&engine), module(&engine, GUEST));
    let pre = linker.instantiate_pre(&module).unwrap();
    let mut stores: Vec<_> = (0..3).map(|_| Store::new(&engine, Counter::default()).unwrap()).collect();
    let mut seen = Vec::new();
    for store in &mut stores {
        for _ in 0..3 {
            let instance = linker.instantiate(&mut *store, &module).unwrap();
            seen.push(address(store, instance));
            let instance = pre.instantiate(&mut *store).unwrap();
            seen.push(address(store, instance));
        }
    }
    assert!(seen.iter().all(|address| *address == seen[0]), "{seen:?}");
}

/// What was linked lives as long as the stores that use it.
#[test]
fn stores_outlive_linkers_and_prepared_modules() {
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let mut store = Store::new(&engine, Counter::default()).unwrap();
        let instances = {
            let (linker, module) = (linker(&engine), module(&engine, GUEST));
            let pre = linker.instantiate_pre(&module).unwrap();
            [linker.instantiate(&mut store, &module).unwrap(), pre.instantiate(&mut store).unwrap()]
        };
        for instance in instances {
            let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
            assert_eq!(run.call(&mut store, 10).unwrap(), 20);
        }
    }
}

#[test]
fn preparing_says_what_does_not_fit() {
    let engine = innkeeper::engine(Config::default());
    let mut linker = linker(&engine);
    let missing = module(&engine, r#"(module (import "host" "no" (func)))"#);
    let error = linker.instantiate_pre(&missing).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Link(_)) && error.to_string().contains("`no`"), "{error}");
    for text in [
        r#"(module (import "host" "add" (func (param i32))))"#,
        r#"(module (import "host" "add" (memory 1)))"#,
        r#"(module (import "host" "memory" (func)))"#,
        r#"(module (import "host" "memory" (memory 3 3 shared)))"#,
    ] {
        let memory = SharedMemory::new(
            &engine,
            MemoryType { sharing: Sharing::Shared, ..MemoryType::new(SizeRange { min: 1, max: Some(2) }) },
        )
        .unwrap();
        linker.allow_shadowing(true).define_shared("host", "memory", &memory).unwrap();
        let module = module(&engine, text);
        let error = linker.instantiate_pre(&module).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Link(_)), "{text}: {error}");
        let mut store = Store::new(&engine, Counter::default()).unwrap();
        let same = linker.instantiate(&mut store, &module).unwrap_err();
        assert_eq!(error.to_string(), same.to_string());
    }
    // An item of a store is good in that store only.
    let mut store = Store::new(&engine, Counter::default()).unwrap();
    let ty = FuncType::new([ValType::I32], []);
    let func = innkeeper::Func::new(&mut store, ty, |_, _, _| Ok(())).unwrap();
    linker.define("host", "item", func).unwrap();
    let module = module(&engine, r#"(module (import "host" "item" (func (param i32))))"#);
    let pre = linker.instantiate_pre(&module).unwrap();
    pre.instantiate(&mut store).unwrap();
    let mut other = Store::new(&engine, Counter::default()).unwrap();
    assert!(pre.instantiate(&mut other).is_err());
    // Another engine's store is refused.
    let engine = innkeeper::engine(Config::default());
    let mut foreign = Store::new(&engine, Counter::default()).unwrap();
    assert!(pre.instantiate(&mut foreign).is_err());
}
