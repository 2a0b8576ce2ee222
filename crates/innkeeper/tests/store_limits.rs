//! Limits that a store has of its own, and a limiter that is asked. Stores of one engine with others are beside them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use innkeeper::{
    Caller, Config, Engine, Error, ErrorKind, Instance, Limits, Linker, Metering, Module, ResourceLimiter,
    Store, StoreBuilder, Tiers, Trap,
};

const GUEST: &str = r#"(module
    (memory (export "memory") 1 100) (table (export "table") 1 externref)
    (func (export "memory_grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "table_grow") (param i32) (result i32) (table.grow (ref.null extern) (local.get 0)))
    (func (export "size") (param i32) (result i32) (memory.size)))"#;

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

fn instantiate<T>(store: &mut Store<T>, text: &str) -> Result<Instance, Error> {
    let engine = store.engine().clone();
    Linker::new(&engine).instantiate(store, &module(&engine, text))
}

fn call<T>(store: &mut Store<T>, instance: Instance, name: &str, param: i32) -> Result<i32, Error> {
    instance.get_typed_func::<i32, i32>(&mut *store, name).unwrap().call(store, param)
}

/// Every limit, what reaches it, and that it is named where it does.
#[test]
fn each_store_has_its_own_limits_and_an_error_says_which() {
    type Set = for<'a> fn(StoreBuilder<'a, ()>) -> StoreBuilder<'a, ()>;
    let cases: [(&str, Set, &[&str]); 6] = [
        ("Limits::memory_size", |it| it.memory_size(65536), &["(module (memory 2))"]),
        ("Limits::table_elements", |it| it.table_elements(10), &["(module (table 11 funcref))"]),
        ("Limits::instances", |it| it.instances(1), &["(module)", "(module)"]),
        ("Limits::memories", |it| it.memories(1), &["(module (memory 0))", "(module (memory 0))"]),
        ("Limits::tables", |it| it.tables(1), &["(module (table 0 funcref) (table 0 funcref))"]),
        ("Limits::memory_bytes", |it| it.memory_bytes(4 << 20), &["(module (memory 65))"]),
    ];
    let engine = innkeeper::engine(Config::default());
    for (limit, set, modules) in cases {
        let mut store = set(Store::builder(&engine, ())).build().unwrap();
        let (last, before) = modules.split_last().unwrap();
        before.iter().for_each(|text| {
            instantiate(&mut store, text).unwrap();
        });
        let error = instantiate(&mut store, last).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{limit}: {error}");
        assert!(error.to_string().contains(limit), "{limit}: {error}");
        // A store beside it has the engine's.
        let mut other = Store::new(&engine, ()).unwrap();
        modules.iter().for_each(|text| {
            instantiate(&mut other, text).unwrap();
        });
    }
    // Whoever adds a limit says here what reaches it, or that its own test does: stacks, nesting and objects.
    let Limits {
        guest_stack_bytes: _,
        native_stack_bytes: _,
        host_nesting: _,
        heap_bytes: _,
        memory_bytes: _,
        memory_size: _,
        table_elements: _,
        instances: _,
        memories: _,
        tables: _,
    } = Limits::default();
}

#[test]
fn growth_stops_at_the_store_s_limits() {
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let mut store = Store::builder(&engine, ()).memory_size(3 << 16).table_elements(5).build().unwrap();
        let instance = instantiate(&mut store, GUEST).unwrap();
        assert_eq!(call(&mut store, instance, "memory_grow", 3).unwrap(), -1);
        assert_eq!(call(&mut store, instance, "memory_grow", 2).unwrap(), 1);
        assert_eq!(call(&mut store, instance, "memory_grow", 1).unwrap(), -1);
        assert_eq!(call(&mut store, instance, "size", 0).unwrap(), 3);
        assert_eq!(call(&mut store, instance, "table_grow", 5).unwrap(), -1);
        assert_eq!(call(&mut store, instance, "table_grow", 4).unwrap(), 1);
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert!(memory.grow(&mut store, 1).is_err());
    }
}

/// Notes what it is asked, refuses what is above a bound, and panics at a number of its own.
struct Limiter {
    asked: Arc<Mutex<Vec<String>>>,
    bound: u64,
}

const PANICS_AT: u64 = 7 << 16;

impl Limiter {
    fn ask(&mut self, what: &str, (current, desired, maximum): (u64, u64, Option<u64>)) -> bool {
        self.asked.lock().unwrap().push(format!("{what} {current} {desired} {maximum:?}"));
        assert_ne!(desired, PANICS_AT, "the limiter's own panic");
        desired <= self.bound
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        self.ask("memory", (current, desired, maximum))
    }
    fn table_growing(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool {
        self.ask("table", (current, desired, maximum))
    }
    fn memory_grow_failed(&mut self) {
        self.asked.lock().unwrap().push("memory failed".to_owned());
    }
    fn table_grow_failed(&mut self) {
        self.asked.lock().unwrap().push("table failed".to_owned());
    }
}

#[test]
fn a_limiter_is_asked_about_everything_that_grows() {
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let limiter = Limiter { asked: Arc::clone(&asked), bound: 10 << 16 };
        let mut store = Store::builder(&engine, ()).memory_bytes(5 << 20).limiter(limiter).build().unwrap();
        let instance = instantiate(&mut store, GUEST).unwrap();
        assert_eq!(call(&mut store, instance, "memory_grow", 2).unwrap(), 1);
        assert_eq!(call(&mut store, instance, "memory_grow", 8).unwrap(), -1);
        assert_eq!(call(&mut store, instance, "memory_grow", 98).unwrap(), -1);
        assert_eq!(call(&mut store, instance, "table_grow", 9).unwrap(), 1);
        instance.get_memory(&mut store, "memory").unwrap().grow(&mut store, 1).unwrap();
        let page = 65536;
        let max = Some(100 * page);
        let expected = [
            format!("table 0 1 {:?}", None::<u64>),
            format!("memory 0 {page} {max:?}"),
            format!("memory {page} {} {max:?}", 3 * page),
            format!("memory {} {} {max:?}", 3 * page, 11 * page),
            format!("table 1 10 {:?}", None::<u64>),
            format!("memory {} {} {max:?}", 3 * page, 4 * page),
        ];
        assert_eq!(*asked.lock().unwrap(), expected);
        // One that is refused at the start is an error of the instantiation.
        let error = instantiate(&mut store, "(module (memory 20))").unwrap_err();
        assert!(error.to_string().contains("limiter"), "{error}");
        // The budget has the last word, and the limiter hears of it.
        asked.lock().unwrap().clear();
        let mut store = Store::builder(&engine, ())
            .memory_bytes(100 << 10)
            .limiter(Limiter { asked: Arc::clone(&asked), bound: u64::MAX })
            .build()
            .unwrap();
        let instance = instantiate(&mut store, GUEST).unwrap();
        assert_eq!(call(&mut store, instance, "memory_grow", 4).unwrap(), -1);
        assert_eq!(asked.lock().unwrap().last().unwrap(), "memory failed");
    }
}

#[test]
fn a_limiter_s_panic_passes_no_frames_of_a_guest_and_leaves_the_store_usable() {
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let limiter = Limiter { asked: Arc::default(), bound: u64::MAX };
        let mut store = Store::builder(&engine, ()).limiter(limiter).build().unwrap();
        let instance = instantiate(&mut store, GUEST).unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| call(&mut store, instance, "memory_grow", 6)));
        let payload = caught.map(|result| result.map_err(|error| error.to_string())).unwrap_err();
        assert!(payload.downcast_ref::<String>().unwrap().contains("the limiter's own panic"));
        assert_eq!(call(&mut store, instance, "size", 0).unwrap(), 1);
        assert!(catch_unwind(AssertUnwindSafe(|| instantiate(&mut store, "(module (memory 7))"))).is_err());
        assert_eq!(call(&mut store, instance, "memory_grow", 1).unwrap(), 1);
    }
}

#[test]
fn fuel_is_read_and_set_in_host_functions() {
    let config = || Config { metering: Metering::Fuel, ..Config::default() };
    let text = r#"(module (import "host" "refuel" (func $refuel))
        (func (export "run") (param i32) (result i32)
            (loop $l (call $refuel) (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))) (i32.const 7)))"#;
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = innkeeper::engine_with(config(), tiers);
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("host", "refuel", |mut caller: Caller<'_, bool>| {
                let left = caller.fuel().unwrap();
                assert!(left < 100, "{left}");
                if *caller.data() {
                    caller.set_fuel(50).unwrap();
                }
            })
            .unwrap();
        let module = module(&engine, text);
        let mut store = Store::builder(&engine, true).fuel(99).build().unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        assert_eq!(call(&mut store, instance, "run", 1000).unwrap(), 7);
        *store.data_mut() = false;
        assert_eq!(call(&mut store, instance, "run", 1000).unwrap_err().trap(), Some(Trap::OutOfFuel));
    }
    let engine = innkeeper::engine(Config::default());
    assert!(Store::builder(&engine, ()).fuel(1).build().is_err());
}

/// Every way to grow, with a size that a limit forbids: the limiter does not hear of it.
#[test]
fn the_store_s_limits_are_looked_at_before_the_limiter_is_asked() {
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let asked = Arc::new(Mutex::new(Vec::new()));
        let limiter = Limiter { asked: Arc::clone(&asked), bound: u64::MAX };
        let builder = Store::builder(&engine, ()).memory_size(3 << 16).table_elements(5);
        let mut store = builder.limiter(limiter).build().unwrap();
        let instance = instantiate(&mut store, GUEST).unwrap();
        asked.lock().unwrap().clear();
        assert_eq!(call(&mut store, instance, "memory_grow", 3).unwrap(), -1);
        assert_eq!(call(&mut store, instance, "table_grow", 5).unwrap(), -1);
        assert!(instance.get_memory(&mut store, "memory").unwrap().grow(&mut store, 3).is_err());
        assert!(instantiate(&mut store, "(module (memory 4))").is_err());
        assert!(instantiate(&mut store, "(module (table 6 funcref))").is_err());
        assert_eq!(*asked.lock().unwrap(), Vec::<String>::new());
        // At the limits it is asked.
        assert_eq!(call(&mut store, instance, "memory_grow", 2).unwrap(), 1);
        assert_eq!(call(&mut store, instance, "table_grow", 4).unwrap(), 1);
        assert_eq!(asked.lock().unwrap().len(), 2);
        // What it allowed and the budget refuses, it hears of, also where that is new.
        let limiter = Limiter { asked: Arc::clone(&asked), bound: u64::MAX };
        let mut store = Store::builder(&engine, ()).memory_bytes(100 << 10).limiter(limiter).build().unwrap();
        for (text, what) in [("(module (memory 5))", "memory"), ("(module (table 500000 funcref))", "table")]
        {
            assert!(instantiate(&mut store, text).is_err());
            assert_eq!(*asked.lock().unwrap().last().unwrap(), format!("{what} failed"));
        }
    }
}

/// Grows a shared memory whenever it is asked about one, as another thread could.
struct Rival(innkeeper::SharedMemory, Arc<Mutex<Vec<(u64, u64)>>>);

impl ResourceLimiter for Rival {
    fn memory_growing(&mut self, current: u64, desired: u64, _: Option<u64>) -> bool {
        self.1.lock().unwrap().push((current >> 16, desired >> 16));
        if self.0.pages() < 3 {
            self.0.grow(1).unwrap();
        }
        true
    }
    fn table_growing(&mut self, _: u64, _: u64, _: Option<u64>) -> bool {
        true
    }
}

#[test]
fn what_was_allowed_is_what_a_shared_memory_grows_to() {
    use innkeeper::{MemoryType, SharedMemory, Sharing, SizeRange};
    let engine = innkeeper::engine(Config::default());
    let ty =
        MemoryType { sharing: Sharing::Shared, ..MemoryType::new(SizeRange { min: 1, max: Some(1000) }) };
    let text = r#"(module (import "host" "memory" (memory 1 1000 shared))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"#;
    // With the other's two pages it is one over the limit, or just at it.
    for (delta, grown, pages) in [(8, -1, 3), (7, 3, 10)] {
        let (memory, asked) = (SharedMemory::new(&engine, ty).unwrap(), Arc::default());
        let rival = Rival(memory.clone(), Arc::clone(&asked));
        let mut store = Store::builder(&engine, ()).memory_size(10 << 16).limiter(rival).build().unwrap();
        let mut linker = Linker::new(&engine);
        linker.define_shared("host", "memory", &memory).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        assert_eq!(call(&mut store, instance, "grow", delta).unwrap(), grown);
        assert_eq!(memory.pages(), pages);
        let delta = delta as u64;
        let mut expected = vec![(1, 1 + delta), (2, 2 + delta), (3, 3 + delta)];
        expected.retain(|(_, desired)| *desired <= 10);
        assert_eq!(*asked.lock().unwrap(), expected);
    }
}

#[test]
fn a_start_function_that_panics_leaves_the_store_as_one_that_returns() {
    let engine = innkeeper::engine(Config::default());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "panic", |_: Caller<'_, ()>| -> () { panic!("the start function's") }).unwrap();
    linker
        .func_wrap("host", "is_starting", |caller: Caller<'_, ()>| -> i32 {
            i32::from(caller.is_instantiating())
        })
        .unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let starts = module(&engine, r#"(module (import "host" "panic" (func $panic)) (start $panic))"#);
    assert!(catch_unwind(AssertUnwindSafe(|| linker.instantiate(&mut store, &starts).map(drop))).is_err());
    let text = r#"(module (import "host" "is_starting" (func $is (result i32)))
        (func (export "run") (param i32) (result i32) (call $is)))"#;
    let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
    assert_eq!(call(&mut store, instance, "run", 0).unwrap(), 0);
}

/// Each size at the edge of what numbers hold: an error or a stack that is as large, never a panic.
#[test]
fn stacks_of_the_greatest_sizes_are_refused_gently() {
    let most = usize::MAX;
    let sizes = [
        most,
        most - 1,
        most - 65_535,
        most - 65_536,
        most - 65_537,
        most / 2,
        most / 2 + 1,
        most / 4,
        most / 4 + 1,
    ];
    for bytes in sizes {
        for set in [
            (|limits, bytes| limits.native_stack_bytes = bytes) as fn(&mut Limits, usize),
            |limits, bytes| limits.guest_stack_bytes = bytes,
        ] {
            let mut config = Config::default();
            set(&mut config.limits, bytes);
            let engine = innkeeper::engine_with(config, Tiers::Compiled);
            let ran = catch_unwind(AssertUnwindSafe(|| {
                let mut store = Store::new(&engine, ())?;
                let instance = instantiate(&mut store, GUEST)?;
                call(&mut store, instance, "size", 0)
            }));
            assert!(ran.is_ok(), "{bytes}");
        }
    }
}
