//! What users of hosts rely on where something goes wrong, by name, in every tier and with pools of every size: instantiations that fail, start functions that trap or panic, growth that is refused.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use innkeeper::{
    Caller, Config, Engine, Error, ErrorKind, Extern, InstancePre, Limits, Linker, Metering, Module, Pooling,
    ResourceLimiter, Store, TierUp, Tiers, Trap, Tuning,
};

const PAGE: usize = 65536;

/// Each tier, with pools of every kind: none, one that is always full, and the usual one.
fn engines() -> impl Iterator<Item = Engine> {
    let tiers = [
        (Tiers::Interpreter, TierUp::never()),
        (Tiers::Compiled, TierUp::eager()),
        (Tiers::Auto, TierUp { calls: 3, ..TierUp::eager() }),
    ];
    let pools = [0, 1, 64].map(|idle| Pooling {
        idle_stores: idle,
        idle_memories: idle,
        most_images: idle,
        ..Pooling::default()
    });
    tiers.into_iter().flat_map(move |(tiers, tier_up)| {
        pools.clone().map(move |pooling| {
            let tuning = Tuning { tier_up: tier_up.clone(), ..Tuning::default() };
            let mut config = Config { pooling, tuning, metering: Metering::Fuel, ..Config::default() };
            // What recurses for ever ends sooner.
            config.limits =
                Limits { guest_stack_bytes: 256 << 10, native_stack_bytes: 1 << 20, ..config.limits };
            innkeeper::engine_with(config, tiers)
        })
    })
}

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().as_ref()).unwrap()
}

/// Refuses tables, or panics about them; memories it allows.
#[derive(Clone, Copy)]
enum Limiter {
    Refuses,
    Panics,
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, _: u64, _: u64, _: Option<u64>) -> bool {
        true
    }
    fn table_growing(&mut self, _: u64, desired: u64, _: Option<u64>) -> bool {
        match self {
            Limiter::Refuses => desired < 1000,
            Limiter::Panics => desired < 1000 || panic!("a limiter's own"),
        }
    }
}

fn store(engine: &Engine, limiter: Limiter) -> Store<()> {
    Store::builder(engine, ()).fuel(1_000_000).limiter(limiter).build().unwrap()
}

fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("host", "fail", || -> Result<(), Error> {
            Err(Error::from_host(std::io::Error::other("a host's own")))
        })
        .unwrap();
    linker.func_wrap("host", "panic", |_: Caller<'_, ()>| -> () { panic!("a host's own") }).unwrap();
    linker
        .func_wrap("host", "is_starting", |caller: Caller<'_, ()>| i32::from(caller.is_instantiating()))
        .unwrap();
    linker
}

/// How an instantiation ended: with an error, or a panic.
fn end(pre: &InstancePre<()>, store: &mut Store<()>) -> String {
    match catch_unwind(AssertUnwindSafe(|| pre.instantiate(store))) {
        Ok(Ok(_)) => "an instance".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => format!("panic: {}", panic.downcast_ref::<&str>().unwrap()),
    }
}

/// What all modules here have: a memory with data, and what spoils all of it.
const COMMON: &str = r#"(memory (export "memory") 2 10) (data (i32.const 5) "data") (data (i32.const 70000) "more")
    (func $spoil (drop (memory.grow (i32.const 3)))
        (memory.fill (i32.const 0) (i32.const 255) (i32.mul (memory.size) (i32.const 65536))))"#;

/// Every way in which an instantiation fails, by what its end is told as. All but the last three have spoilt their memory.
const FAILURES: &[(&str, &str)] = &[
    ("unreachable", "(func $s (call $spoil) (unreachable)) (start $s)"),
    ("out of bounds", "(func $s (call $spoil) (drop (i32.load (i32.const -1)))) (start $s)"),
    ("stack", "(func $s (call $spoil) (call $r)) (func $r (call $r)) (start $s)"),
    ("fuel", "(func $s (call $spoil) (loop $l (br $l))) (start $s)"),
    ("exception", "(tag $e) (func $s (call $spoil) (throw $e)) (start $s)"),
    ("a host's own", "(func $s (call $spoil) (call $fail)) (start $s)"),
    ("panic: a host's own", "(func $s (call $spoil) (call $panic)) (start $s)"),
    ("panic: a host's own", "(start $panic)"),
    ("out of bounds", "(data (i32.const 131071) \"too long\")"),
    ("out of bounds", "(table 1 funcref) (elem (i32.const 1) func $spoil)"),
];

fn failing(engine: &Engine, own: &str) -> Module {
    let imports = r#"(import "host" "fail" (func $fail)) (import "host" "panic" (func $panic))"#;
    module(engine, &format!("(module {imports} {COMMON} {own})"))
}

/// The memory that a module begins with.
fn expected() -> Vec<u8> {
    let mut bytes = vec![0; 2 * PAGE];
    bytes[5..9].copy_from_slice(b"data");
    bytes[70000..70004].copy_from_slice(b"more");
    bytes
}

/// That a store of the same engine has nothing of those before: memories, requests to stop, the mark of a start function.
fn is_as_new(engine: &Engine, guest: &InstancePre<()>) {
    let mut store = store(engine, Limiter::Refuses);
    let instance = guest.instantiate(&mut store).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    assert!(memory.data(&store).unwrap() == expected(), "it has been somebody else's");
    let is_starting = instance.get_typed_func::<(), i32>(&mut store, "is_starting").unwrap();
    assert_eq!(is_starting.call(&mut store, ()).unwrap(), 0);
    assert_eq!(memory.grow(&mut store, 3).unwrap(), 2);
    assert!(memory.data(&store).unwrap()[2 * PAGE..].iter().all(|byte| *byte == 0), "what is new is zeros");
}

/// A guest that runs to its end wherever it is let.
fn healthy(engine: &Engine) -> InstancePre<()> {
    let text = format!(
        r#"(module (import "host" "is_starting" (func $is (result i32))) {COMMON}
        (func (export "is_starting") (result i32) (local i32) (local.set 0 (i32.const 20))
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (call $is)))"#
    );
    linker(engine).instantiate_pre(&module(engine, &text)).unwrap()
}

#[test]
fn slots_of_a_pool_are_as_new_after_an_instantiation_that_failed() {
    for engine in engines() {
        let (linker, guest) = (linker(&engine), healthy(&engine));
        for (told, own) in FAILURES {
            let pre = linker.instantiate_pre(&failing(&engine, own)).unwrap();
            // The second has the image, if there are any, and what the first has left.
            for _ in 0..3 {
                let mut failed = store(&engine, Limiter::Refuses);
                // Nobody hears of it who comes later.
                let handle = failed.interrupt_handle();
                let end = end(&pre, &mut failed);
                assert!(end.contains(told), "{own}: {end}");
                handle.interrupt();
                failed.set_deadline(Some(Duration::ZERO)).unwrap();
                drop(failed);
                is_as_new(&engine, &guest);
            }
        }
    }
}

#[test]
fn a_limiter_that_refuses_or_panics_in_an_instantiation_leaves_slots_as_new() {
    for engine in engines() {
        let (linker, guest) = (linker(&engine), healthy(&engine));
        // Memories come after tables; the second module grows its table in its start function, with its memory spoilt.
        let texts = [
            format!("(module {COMMON} (table 1000 funcref))"),
            format!(
                "(module {COMMON} (table $t 1 funcref) (func $s (call $spoil)
                    (if (i32.lt_s (table.grow $t (ref.null func) (i32.const 999)) (i32.const 0)) (then (unreachable))))
                    (start $s))"
            ),
        ];
        for text in texts {
            let pre = linker.instantiate_pre(&module(&engine, &text)).unwrap();
            for limiter in [Limiter::Refuses, Limiter::Panics, Limiter::Refuses] {
                let mut failed = store(&engine, limiter);
                let end = end(&pre, &mut failed);
                match limiter {
                    Limiter::Refuses => {
                        assert!(end.contains("limiter") || end.contains("unreachable"), "{end}")
                    }
                    Limiter::Panics => assert_eq!(end, "panic: a limiter's own"),
                }
                // The store is good for more.
                guest.instantiate(&mut failed).unwrap();
                drop(failed);
                is_as_new(&engine, &guest);
            }
        }
    }
}

/// What others have of an instance whose start function did not return, they keep; and its store goes on.
#[test]
fn a_start_function_that_traps_or_panics_leaves_what_others_have_of_its_instance() {
    for engine in engines() {
        let mut linker = linker(&engine);
        let mut store = store(&engine, Limiter::Refuses);
        let table = module(&engine, r#"(module (table (export "table") 1 funcref))"#);
        let table = linker.instantiate(&mut store, &table).unwrap().get_export(&mut store, "table").unwrap();
        linker.define("host", "table", table).unwrap();
        for (told, ends) in [("unreachable", "(unreachable)"), ("panic: a host's own", "(call $panic)")] {
            let text = format!(
                r#"(module (import "host" "panic" (func $panic)) (import "host" "table" (table 1 funcref)) {COMMON}
                (func $read (result i32) (i32.load8_u (i32.const 5)))
                (elem (i32.const 0) func $read)
                (func $s (i32.store8 (i32.const 5) (i32.const 44)) {ends}) (start $s))"#
            );
            let pre = linker.instantiate_pre(&module(&engine, &text)).unwrap();
            for _ in 0..2 {
                let end = end(&pre, &mut store);
                assert!(end.contains(told), "{end}");
                let Extern::Table(table) = table else { panic!("a table") };
                let Some(innkeeper::Val::FuncRef(Some(read))) = table.get(&mut store, 0).unwrap() else {
                    panic!("it was written before the start function ran")
                };
                assert_eq!(read.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 44);
            }
        }
    }
}

/// A deadline, too, ends a start function, and the one after it runs once that is lifted.
#[test]
fn a_start_function_that_never_ends_is_ended_by_the_deadline() {
    for engine in engines() {
        let pre = linker(&engine)
            .instantiate_pre(&module(&engine, "(module (func $s (loop $l (br $l))) (start $s))"))
            .unwrap();
        let mut store = store(&engine, Limiter::Refuses);
        store.set_fuel(u64::MAX).unwrap();
        store.set_deadline(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(pre.instantiate(&mut store).unwrap_err().trap(), Some(Trap::DeadlineExceeded));
        store.set_deadline(None).unwrap();
        healthy(&engine).instantiate(&mut store).unwrap();
    }
}

const GROWS: &str = r#"(module
    (memory $m (export "memory") 1 20) (table $t (export "table") 1 2000 externref)
    (func (export "memory") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "table") (param i32) (result i32) (table.grow $t (ref.null extern) (local.get 0)))
    (func (export "size") (param i32) (result i32)
        (i32.add (i32.mul (memory.size) (i32.const 10000)) (table.size $t)))
    (func (export "touch") (param i32) (result i32)
        (i32.store (i32.const 65532) (local.get 0)) (i32.load (i32.const 65532))))"#;

/// Each bound on growth, by what it is set with: refused is -1 or an error, never a trap, and nothing has changed then.
#[test]
fn growth_that_is_refused_changes_nothing() {
    type Set = for<'a> fn(innkeeper::StoreBuilder<'a, ()>) -> innkeeper::StoreBuilder<'a, ()>;
    let bounds: [(&str, Set, i32, i32); 5] = [
        ("the module's own", |it| it, 20, 2000),
        ("memory_size", |it| it.memory_size(3 << 16), 3, 2000),
        ("table_elements", |it| it.table_elements(7), 20, 7),
        ("memory_bytes", |it| it.memory_bytes(1 << 20), 16, 2000),
        ("limiter", |it| it.limiter(Limiter::Refuses), 20, 1000),
    ];
    let grows = GROWS
        .replace(r#"(export "memory") 1"#, r#"(export "m") 1"#)
        .replace(r#"(export "table") 1"#, r#"(export "t") 1"#);
    for engine in engines() {
        let pre = Linker::new(&engine).instantiate_pre(&module(&engine, &grows)).unwrap();
        for (bound, set, pages, elements) in &bounds {
            let mut store = set(Store::builder(&engine, ()).fuel(1_000_000)).build().unwrap();
            let instance = pre.instantiate(&mut store).unwrap();
            let call = |store: &mut Store<()>, name: &str, param: i32| {
                instance.get_typed_func::<i32, i32>(&mut *store, name).unwrap().call(store, param).unwrap()
            };
            // By one too many, by very many, and by so many that sums wrap round.
            for delta in [*pages, 65536, i32::MAX, -1] {
                assert_eq!(call(&mut store, "memory", delta), -1, "{bound}: {delta} pages");
            }
            for delta in [*elements, 1_000_000, i32::MAX, -1] {
                assert_eq!(call(&mut store, "table", delta), -1, "{bound}: {delta} elements");
            }
            assert_eq!(call(&mut store, "size", 0), 10_001, "{bound}");
            assert_eq!(call(&mut store, "touch", 77), 77);
            let memory = instance.get_memory(&mut store, "m").unwrap();
            let error = memory.grow(&mut store, *pages as u64).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Limit(_) | ErrorKind::Usage(_)), "{bound}: {error}");
            // Up to the bound it grows, but for what else is charged to the budget.
            let (delta, last) = if *bound == "memory_bytes" { (8, 9) } else { (pages - 1, *pages) };
            assert_eq!(call(&mut store, "memory", delta), 1, "{bound}");
            assert_eq!(call(&mut store, "size", 0), last * 10_000 + 1);
            if *bound != "limiter" {
                assert_eq!(call(&mut store, "table", elements - 1), 1, "{bound}");
            }
            assert_eq!(call(&mut store, "touch", 78), 78);
        }
    }
}

/// As many instances as the limit says, however they came about: also in start functions' calls of the host, and also those that failed.
#[test]
fn instances_of_a_store_are_as_many_as_its_limit_says() {
    for engine in engines() {
        let mut linker = linker(&engine);
        let inner = module(&engine, "(module)");
        linker
            .func_wrap("host", "instantiate", move |mut caller: Caller<'_, ()>| -> Result<(), Error> {
                innkeeper::Instance::new(&mut caller, &inner, &[]).map(drop)
            })
            .unwrap();
        let outer = r#"(module (import "host" "instantiate" (func $new)) (start $new))"#;
        let (outer, traps) =
            (module(&engine, outer), module(&engine, "(module (func $s (unreachable)) (start $s))"));
        let mut store = Store::builder(&engine, ()).instances(5).fuel(1000).build().unwrap();
        linker.instantiate(&mut store, &outer).unwrap();
        linker.instantiate(&mut store, &traps).unwrap_err();
        // There are three, and two more in this one.
        linker.instantiate(&mut store, &outer).unwrap();
        for module in [&outer, &traps] {
            let error = linker.instantiate(&mut store, module).unwrap_err();
            assert!(error.to_string().contains("Limits::instances"), "{error}");
        }
        // Begun anew there is room again.
        let pre = linker.instantiate_pre(&outer).unwrap();
        store.reset(&pre).unwrap();
        linker.instantiate(&mut store, &outer).unwrap();
    }
}
