//! Stores that are made, used in one of many ways, and dropped, with pools: on several threads, in all tiers, with and without fuel, some on another thread than they were made on.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use innkeeper::{
    Caller, Config, Engine, Error, Extern, ExternRef, FuncType, Instance, InstancePre, Linker, Metering,
    Module, Pooling, RefType, Store, TierUp, Tiers, Trap, Tuning, Val, ValType,
};

use crate::process::{Held, growth};
use crate::random::Random;

/// How often it is looked what the process holds.
const LOOKS: u64 = 40;

/// Threads that use stores.
const THREADS: u64 = 2;

/// What functions of the host panic with here: the panic hook says nothing of it.
const PANIC: &str = "a panic of the soak test's";

pub(crate) fn run(cycles: u64) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if info.payload().downcast_ref::<&str>() != Some(&PANIC) {
            before(info);
        }
    }));
    let houses: Vec<House> = House::all();
    let (begin, done) = (Instant::now(), Counts::default());
    let mut seen = Vec::new();
    for look in 0..LOOKS {
        let (to_first, from_second) = sync_channel(4);
        let (to_second, from_first) = sync_channel(4);
        let ways = [(to_second, from_second), (to_first, from_first)];
        std::thread::scope(|scope| {
            for (thread, (to, from)) in ways.into_iter().enumerate() {
                let random = Random::new(look * THREADS + thread as u64);
                let (houses, done) = (&houses, &done);
                scope.spawn(move || Worker { houses, random, to, from, done }.work(cycles / LOOKS / THREADS));
            }
        });
        seen.push(Held::now());
    }
    println!(
        "{} cycles in {:?}:",
        done.0.iter().map(|count| count.load(Ordering::Relaxed)).sum::<u64>(),
        begin.elapsed()
    );
    for (way, count) in WAYS.iter().zip(&done.0) {
        println!("  {:>8} {}", count.load(Ordering::Relaxed), way.0);
    }
    for (at, held) in [("after a quarter", seen[seen.len() / 4]), ("at the end", seen[seen.len() - 1])] {
        println!("{at}: {held:?}");
    }
    let unused: Vec<_> = WAYS
        .iter()
        .zip(&done.0)
        .filter(|(_, count)| count.load(Ordering::Relaxed) == 0)
        .map(|(way, _)| way.0)
        .collect();
    assert!(unused.is_empty(), "never done: {unused:?}");
    if let Some(growth) = growth(&seen) {
        panic!("{growth}: {seen:#?}");
    }
}

/// How often each of [`WAYS`] was gone.
struct Counts(Vec<AtomicU64>);

impl Default for Counts {
    fn default() -> Counts {
        Counts(WAYS.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

/// A store, the instance in it, and what it is to be used for once more.
type Guest = (Store<()>, Instance);

struct Worker<'a> {
    houses: &'a [House],
    random: Random,
    to: SyncSender<Guest>,
    from: Receiver<Guest>,
    done: &'a Counts,
}

impl Worker<'_> {
    fn work(mut self, cycles: u64) {
        for _ in 0..cycles {
            let way = self.random.below(WAYS.len() as u64) as usize;
            let house = &self.houses[self.random.below(self.houses.len() as u64) as usize];
            WAYS[way].1(house, &mut self);
            self.done.0[way].fetch_add(1, Ordering::Relaxed);
            // Of the other thread, to be used and dropped here.
            while let Ok((mut store, instance)) = self.from.try_recv() {
                assert_eq!(call(&mut store, instance, "work", 5).unwrap(), 5);
            }
        }
    }
}

/// An engine with what is instantiated in it.
struct House {
    engine: Engine,
    is_metered: bool,
    linker: Linker<()>,
    guest: InstancePre<()>,
    without_memory: InstancePre<()>,
    start_traps: InstancePre<()>,
    start_panics: InstancePre<()>,
    start_waits: InstancePre<()>,
    fails_at_table: InstancePre<()>,
    refused: InstancePre<()>,
}

const GUEST: &str = r#"(module
    (import "host" "same" (func $same (param i32) (result i32)))
    (import "host" "panic" (func $panic (param i32) (result i32)))
    (import "host" "object" (func $object (result externref)))
    (import "host" "wait" (func $wait (param i32) (result i32)))
    (import "host" "inner" (func $inner (param i32) (result i32)))
    (type $box (struct (field i32) (field (ref null $box))))
    (memory (export "memory") 2 40) (data (i32.const 70000) "what it begins with") (data (i32.const 5) "more")
    (table $objects 2 50 externref)
    (func (export "work") (param i32) (result i32) (local i32) (local (ref null $box))
        (local.set 1 (local.get 0))
        (loop $again
            (local.set 2 (struct.new $box (local.get 1) (local.get 2)))
            (i32.store (i32.mul (local.get 1) (i32.const 4096)) (call $same (local.get 1)))
            (br_if $again (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
        (drop (memory.grow (i32.const 1))) (memory.fill (i32.const 131072) (i32.const 7) (i32.const 65536))
        (drop (table.grow $objects (call $object) (i32.const 3)))
        (call $same (local.get 0)))
    (func (export "trap") (param i32) (result i32) (i32.load (i32.const -4)))
    (func $deep (export "deep") (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
    (func (export "spin") (param i32) (result i32) (loop $l (br $l)) (unreachable))
    (func (export "panics") (param i32) (result i32) (call $panic (local.get 0)))
    (func $waits (export "waits") (param i32) (result i32) (local $sum i32)
        (loop $again
            (local.set $sum (i32.add (local.get $sum) (call $wait (local.get 0))))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $sum))
    (func (export "nests") (param i32) (result i32) (call $inner (local.get 0)))
    (func (export "is_new") (param i32) (result i32)
        (i32.and (i32.eq (memory.size) (i32.const 2))
            (i32.and (ref.is_null (table.get $objects (i32.const 0)))
                (i32.and (i32.eq (i32.load8_u (i32.const 70000)) (i32.const 119))
                    (i32.eqz (i32.load (i32.const 4096))))))))"#;

impl House {
    fn all() -> Vec<House> {
        let house = |tiers, tier_up, metering| {
            let pooling = Pooling {
                most_stores: Some(32),
                most_memories: Some(32),
                idle_stores: 4,
                idle_memories: 4,
                ..Pooling::default()
            };
            let mut config = Config { pooling, metering, ..Config::default() };
            config.tuning = Tuning { tier_up, ..Tuning::default() };
            // Deep recursion ends sooner.
            config.limits.guest_stack_bytes = 256 << 10;
            config.limits.native_stack_bytes = 512 << 10;
            House::new(innkeeper::engine_with(config, tiers), metering == Metering::Fuel)
        };
        vec![
            house(Tiers::Interpreter, TierUp::never(), Metering::Fuel),
            house(Tiers::Compiled, TierUp::eager(), Metering::Off),
            house(Tiers::Auto, TierUp { calls: 3, ..TierUp::eager() }, Metering::Fuel),
        ]
    }

    fn new(engine: Engine, is_metered: bool) -> House {
        let linker = linker(&engine);
        let pre = |text: &str| linker.instantiate_pre(&module(&engine, text)).unwrap();
        let (guest, without_memory) =
            (pre(GUEST), pre(r#"(module (func (export "one") (param i32) (result i32) (local.get 0)))"#));
        let starts = |import: &str| {
            format!(
                r#"(module (import "host" "{import}" (func $f (param i32) (result i32))) (memory 1) (data (i32.const 9) "start")
                (func $start (i32.store (i32.const 0) (i32.const 77)) (drop (call $f (i32.const 2)))) (start $start))"#
            )
        };
        let (start_panics, start_waits) = (pre(&starts("panic")), pre(&starts("wait")));
        let start_traps = pre(
            r#"(module (memory 1) (data (i32.const 9) "start") (func $start (unreachable)) (start $start))"#,
        );
        let fails_at_table =
            pre(r#"(module (memory (export "memory") 1) (data (i32.const 0) "data") (table 1 funcref)
            (func $f) (elem (i32.const 0) func $f $f))"#);
        let refused = pre("(module (memory 200))");
        House {
            is_metered,
            guest,
            without_memory,
            start_traps,
            start_panics,
            start_waits,
            fails_at_table,
            refused,
            linker,
            engine,
        }
    }

    fn store(&self) -> Store<()> {
        let builder = Store::builder(&self.engine, ()).memory_size(100 << 16);
        match self.is_metered {
            true => builder.fuel(1_000_000).build().unwrap(),
            false => builder.build().unwrap(),
        }
    }

    fn guest(&self) -> Guest {
        let mut store = self.store();
        let instance = self.guest.instantiate(&mut store).unwrap();
        assert_eq!(
            call(&mut store, instance, "is_new", 0).unwrap(),
            1,
            "the memory has been somebody else's"
        );
        (store, instance)
    }
}

fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "same", |value: i32| value).unwrap();
    linker.func_wrap("host", "panic", |_: i32| -> i32 { std::panic::panic_any(PANIC) }).unwrap();
    let object = FuncType::new([], [ValType::Ref(RefType::EXTERNREF)]);
    linker
        .func_new("host", "object", object, |mut caller, _, results| {
            results[0] = Val::ExternRef(Some(ExternRef::new(&mut caller, vec![1_u8; 100])?));
            Ok(())
        })
        .unwrap();
    linker
        .func_wrap_async("host", "wait", |_: Caller<'_, ()>, value: i32| {
            Box::new(async move {
                Later(false).await;
                value
            })
        })
        .unwrap();
    linker
        .func_wrap_async("host", "inner", |mut caller: Caller<'_, ()>, value: i32| {
            Box::new(async move {
                Later(false).await;
                let waits = caller.get_export("waits").and_then(Extern::into_func).unwrap();
                waits.typed::<i32, i32>(&mut caller)?.call_async(&mut caller, value).await
            })
        })
        .unwrap();
    linker
}

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

fn call(store: &mut Store<()>, instance: Instance, name: &str, param: i32) -> Result<i32, Error> {
    instance.get_typed_func::<i32, i32>(&mut *store, name).unwrap().call(store, param)
}

/// Ready when it is polled for the second time.
struct Later(bool);

impl Future for Later {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        context.waker().wake_by_ref();
        match std::mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// Polls at most so often; none where it is not ready then.
fn poll<F: Future>(future: F, most: u64) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..most {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(result);
        }
    }
    None
}

/// One cycle: a store is made, used and dropped.
type Way = fn(&House, &mut Worker<'_>);

const WAYS: &[(&str, Way)] = &[
    ("called", |house, worker| {
        let (mut store, instance) = house.guest();
        let n = 1 + worker.random.below(20) as i32;
        assert_eq!(call(&mut store, instance, "work", n).unwrap(), n);
    }),
    ("without a memory", |house, _| {
        let mut store = house.store();
        let instance = house.without_memory.instantiate(&mut store).unwrap();
        assert_eq!(call(&mut store, instance, "one", 1).unwrap(), 1);
    }),
    ("several instances in a store", |house, _| {
        let mut store = house.store();
        let first = house.guest.instantiate(&mut store).unwrap();
        let second = house.guest.instantiate(&mut store).unwrap();
        assert_eq!(call(&mut store, first, "work", 4).unwrap(), 4);
        assert_eq!(call(&mut store, second, "is_new", 0).unwrap(), 1);
    }),
    ("trapped", |house, _| ends(house, "trap", Trap::MemoryOutOfBounds)),
    ("overflown its stack", |house, _| ends(house, "deep", Trap::CallStackExhausted)),
    ("panicked in the host", |house, _| {
        let (mut store, instance) = house.guest();
        let caught =
            catch_unwind(AssertUnwindSafe(|| call(&mut store, instance, "panics", 1).map(drop).unwrap()));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&PANIC));
        assert_eq!(call(&mut store, instance, "work", 2).unwrap(), 2);
    }),
    ("deadline", |house, worker| {
        let (mut store, instance) = house.guest();
        if house.is_metered {
            store.set_fuel(u64::MAX).unwrap();
        }
        store.set_deadline(Some(Duration::from_micros(worker.random.below(100)))).unwrap();
        assert_eq!(call(&mut store, instance, "spin", 0).unwrap_err().trap(), Some(Trap::DeadlineExceeded));
    }),
    ("deadline lifted", |house, worker| {
        let (mut store, instance) = house.guest();
        store.set_deadline(Some(Duration::from_micros(worker.random.below(30)))).unwrap();
        let _ = call(&mut store, instance, "work", 3);
        store.set_deadline(None).unwrap();
        assert_eq!(call(&mut store, instance, "work", 3).unwrap(), 3);
    }),
    ("fuel", |house, worker| {
        let (mut store, instance) = house.guest();
        match house.is_metered {
            true => {
                store.set_fuel(worker.random.below(2000)).unwrap();
                assert_eq!(call(&mut store, instance, "spin", 0).unwrap_err().trap(), Some(Trap::OutOfFuel));
            }
            false => assert!(store.set_fuel(1).is_err()),
        }
    }),
    ("interrupted, and the handle kept for a while", |house, _| {
        let (mut store, instance) = house.guest();
        let handle = store.interrupt_handle();
        handle.interrupt();
        assert_eq!(call(&mut store, instance, "work", 3).unwrap_err().trap(), Some(Trap::Interrupted));
        drop(store);
        handle.interrupt();
    }),
    ("waited", |house, worker| {
        let (mut store, instance) = house.guest();
        let n = 1 + worker.random.below(5) as i32;
        let waits = instance.get_typed_func::<i32, i32>(&mut store, "waits").unwrap();
        assert_eq!(poll(waits.call_async(&mut store, n), u64::MAX).unwrap().unwrap(), n * (n + 1) / 2);
    }),
    ("cancelled while it waited", |house, worker| {
        let (mut store, instance) = house.guest();
        let name = ["waits", "nests"][worker.random.below(2) as usize];
        let waits = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
        let _ = poll(waits.call_async(&mut store, 5), worker.random.below(8));
        assert_eq!(call(&mut store, instance, "work", 3).unwrap(), 3);
    }),
    ("cancelled while it ran", |house, worker| {
        let (mut store, instance) = house.guest();
        store.yield_every(Some(Duration::from_micros(20 + worker.random.below(100))));
        if house.is_metered {
            store.set_fuel(u64::MAX).unwrap();
        }
        let spin = instance.get_typed_func::<i32, i32>(&mut store, "spin").unwrap();
        assert!(poll(spin.call_async(&mut store, 0), 1 + worker.random.below(3)).is_none());
    }),
    ("deadline while it waited", |house, _| {
        let (mut store, instance) = house.guest();
        store.set_deadline(Some(Duration::ZERO)).unwrap();
        let waits = instance.get_typed_func::<i32, i32>(&mut store, "waits").unwrap();
        let result = poll(waits.call_async(&mut store, i32::MAX), u64::MAX).unwrap();
        let trap = result.unwrap_err().trap();
        assert!(matches!(trap, Some(Trap::DeadlineExceeded | Trap::OutOfFuel)), "{trap:?}");
    }),
    ("start function trapped", |house, _| {
        let mut store = house.store();
        let error = house.start_traps.instantiate(&mut store).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::Unreachable));
    }),
    ("start function panicked", |house, _| {
        let mut store = house.store();
        let caught =
            catch_unwind(AssertUnwindSafe(|| house.start_panics.instantiate(&mut store).map(drop).unwrap()));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&PANIC));
        let instance = house.guest.instantiate(&mut store).unwrap();
        assert_eq!(call(&mut store, instance, "is_new", 0).unwrap(), 1);
    }),
    ("start function waited, or was cancelled", |house, worker| {
        let mut store = house.store();
        let _ = poll(house.start_waits.instantiate_async(&mut store), worker.random.below(4));
    }),
    ("instantiation failed at a table", |house, _| {
        let mut store = house.store();
        let error = house.fails_at_table.instantiate(&mut store).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::TableOutOfBounds));
    }),
    ("memory refused", |house, _| {
        let mut store = house.store();
        assert!(house.refused.instantiate(&mut store).unwrap_err().to_string().contains("memory_size"));
    }),
    ("reset", |house, worker| {
        let (mut store, instance) = house.guest();
        assert_eq!(call(&mut store, instance, "work", 2).unwrap(), 2);
        for _ in 0..worker.random.below(4) {
            let instance = store.reset(&house.guest).unwrap();
            assert_eq!(call(&mut store, instance, "is_new", 2).unwrap(), 1);
            let _ = call(&mut store, instance, "work", 2);
        }
    }),
    ("sent to the other thread", |house, worker| {
        let (mut store, instance) = house.guest();
        assert_eq!(call(&mut store, instance, "work", 5).unwrap(), 5);
        // It may have enough, or have done all.
        let _ = worker.to.try_send((store, instance));
    }),
    ("a module of its own", |house, worker| {
        // Now and then: to compile it takes its time.
        if worker.random.below(16) > 0 {
            return;
        }
        let number = worker.random.below(1 << 20);
        let text = format!(
            r#"(module (memory (export "memory") 3) (data (i32.const {number}) "x{number}") (data (i32.const 8) "y")
            (func (export "number") (param i32) (result i32) (i32.add (local.get 0) (i32.const {number}))))"#,
            number = number % 150_000
        );
        let module = module(&house.engine, &text);
        for _ in 0..3 {
            let mut store = house.store();
            let instance = house.linker.instantiate(&mut store, &module).unwrap();
            assert_eq!(call(&mut store, instance, "number", 1).unwrap(), 1 + (number % 150_000) as i32);
        }
    }),
];

/// A guest that ends in a trap, and its store is usable afterwards.
fn ends(house: &House, name: &str, trap: Trap) {
    let (mut store, instance) = house.guest();
    assert_eq!(call(&mut store, instance, name, 0).unwrap_err().trap(), Some(trap));
    assert_eq!(call(&mut store, instance, "work", 2).unwrap(), 2);
}
