//! Async calls that compute for long: they leave their turn to others of the executor, in the middle and as often as it takes; to guests nothing has happened.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use innkeeper::component::{Accessor, Component, Instance, Linker, Val, run_concurrent, run_to_end};
use innkeeper::{Config, Engine, Error, Metering, Store, Tiers};

use super::tasks::{CALLBACK, STACKFUL, component, instance, result};
use super::{call, engines};

/// Counts how often it was woken.
#[derive(Default)]
struct Counts(AtomicU32);

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// What would end a guest that does not leave its turn, and so the test.
const AT_LAST: Duration = Duration::from_secs(60);

/// A task's first part, its callback, and what goes on after a return: whoever polls gets its thread back, and is woken.
#[test]
fn guests_that_compute_for_ever_leave_their_turn() {
    let in_callback = r#"(func (export "cb2") (param i32 i32 i32) (result i32) (loop (br 0)) (unreachable))
        (func (export "f") (result i32) (i32.const 1))"#;
    let lifts = r#"(func (export "f") async (result u32) (canon lift (core func $m "f") async (callback (core func $m "cb2"))))"#;
    let bodies = [
        (r#"(func (export "f") (loop (br 0)))"#, STACKFUL),
        (r#"(func (export "f") (drop (call $yield)) (loop (br 0)))"#, STACKFUL),
        (r#"(func (export "f") (result i32) (loop (br 0)) (unreachable))"#, CALLBACK),
        (in_callback, lifts),
    ];
    for (body, exports) in bodies {
        for engine in engines() {
            let (mut store, instance) = instance(&engine, body, exports);
            store.yield_every(Some(Duration::from_millis(1)));
            store.set_deadline(Some(AT_LAST)).unwrap();
            let func = instance.get_func(&mut store, "f").unwrap();
            let (woken, mut results) = (Arc::new(Counts::default()), [Val::Bool(false)]);
            let waker = Waker::from(Arc::clone(&woken));
            {
                let mut running = pin!(func.call_async(&mut store, &[], &mut results));
                for _ in 0..5 {
                    let polled = running.as_mut().poll(&mut Context::from_waker(&waker));
                    assert!(polled.is_pending(), "{body}: {polled:?}");
                }
            }
            assert!(woken.0.load(Ordering::Relaxed) >= 5, "{body}");
            assert!(!instance.is_poisoned(&mut store), "{body}");
        }
    }
}

#[test]
fn what_goes_on_after_its_return_leaves_its_turn_too() {
    let body = r#"(func (export "f") (call $return (i32.const 1)) (drop (call $yield)) (loop (br 0)))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, body, STACKFUL);
        store.yield_every(Some(Duration::from_millis(1)));
        store.set_deadline(Some(AT_LAST)).unwrap();
        assert_eq!(result(call(&mut store, instance, "f", &[])), 1);
        let waits = async |_: Accessor<()>| std::future::pending::<()>().await;
        let mut running = pin!(run_concurrent(&mut store, waits));
        for _ in 0..5 {
            assert!(running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }
}

/// Those that leave their turn to other guests again and again do not keep the thread for that: neither before they have returned nor after, whoever lets them run, with slices of time and without.
#[test]
fn guests_that_leave_their_turn_for_ever_do_not_hold_the_thread() {
    let before = r#"(func (export "f") (loop (drop (call $yield)) (br 0)))"#;
    let after = r#"(func (export "f") (call $return (i32.const 1)) (loop (drop (call $yield)) (br 0)))"#;
    for engine in engines() {
        for slice in [None, Some(Duration::from_millis(1))] {
            let new = |body| {
                let (mut store, instance) = instance(&engine, body, STACKFUL);
                store.yield_every(slice);
                store.set_deadline(Some(AT_LAST)).unwrap();
                (store, instance)
            };
            let woken = Arc::new(Counts::default());
            let waker = Waker::from(Arc::clone(&woken));
            let five_times = |running: Pin<&mut dyn Future<Output = Result<(), Error>>>| {
                let mut running = running;
                let before = woken.0.load(Ordering::Relaxed);
                for _ in 0..5 {
                    let polled = running.as_mut().poll(&mut Context::from_waker(&waker));
                    assert!(polled.is_pending(), "{slice:?}: {polled:?}");
                }
                assert!(woken.0.load(Ordering::Relaxed) >= before + 5);
            };
            let (mut store, instance) = new(before);
            let func = instance.get_func(&mut store, "f").unwrap();
            let mut results = [Val::Bool(false)];
            five_times(pin!(func.call_async(&mut store, &[], &mut results)));
            let (mut store, instance) = new(after);
            assert_eq!(result(call(&mut store, instance, "f", &[])), 1);
            five_times(pin!(run_to_end(&mut store)));
            five_times(pin!(run_concurrent(&mut store, async |_: Accessor<()>| std::future::pending::<()>(
            )
            .await)));
        }
    }
}

/// Where each turn is short for the guest and long in functions of the host, a slice of time is one all the same.
#[test]
fn what_the_host_does_in_a_turn_is_part_of_the_slice() {
    const SLICE: Duration = Duration::from_millis(2);
    const TEXT: &str = r#"(component
        (import "slow" (func $slow))
        (core func $slow (canon lower (func $slow))) (core func $return (canon task.return (result u32)))
        (core module $m
            (import "" "slow" (func $slow)) (import "" "return" (func $return (param i32)))
            (func (export "f") (result i32) (call $return (i32.const 1)) (i32.const 1))
            (func (export "cb") (param i32 i32 i32) (result i32) (call $slow) (i32.const 1)))
        (core instance $m (instantiate $m (with "" (instance (export "slow" (func $slow)) (export "return" (func $return))))))
        (func (export "f") async (result u32) (canon lift (core func $m "f") async (callback (core func $m "cb")))))"#;
    for engine in engines() {
        let calls = Arc::new(AtomicU32::new(0));
        let (mut store, mut linker) = (Store::new(&engine, ()).unwrap(), Linker::new(&engine));
        let counted = Arc::clone(&calls);
        linker.root().func_wrap("slow", move |_, (): ()| -> Result<(), Error> {
            counted.fetch_add(1, Ordering::Relaxed);
            let begin = Instant::now();
            while begin.elapsed() < SLICE {
                std::hint::spin_loop();
            }
            Ok(())
        });
        let instance = linker.instantiate(&mut store, &Component::new(&engine, TEXT).unwrap()).unwrap();
        store.yield_every(Some(SLICE));
        store.set_deadline(Some(AT_LAST)).unwrap();
        assert_eq!(result(call(&mut store, instance, "f", &[])), 1);
        let mut running = pin!(run_to_end(&mut store));
        let mut turns = 0;
        for _ in 0..10 {
            calls.store(0, Ordering::Relaxed);
            assert!(running.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            // The timer is another thread's, which may come late on a busy machine; 64 is how many there would be without it.
            let of_poll = calls.load(Ordering::Relaxed);
            assert!(of_poll < 64, "{of_poll} turns of at least a slice each");
            turns += of_poll;
        }
        assert!(turns > 0);
    }
}

/// Engines that count fuel, of which portions are the same in both tiers.
fn metered() -> [Engine; 2] {
    let config = Config { metering: Metering::Fuel, ..Config::default() };
    [Tiers::Interpreter, Tiers::Compiled].map(|tiers| innkeeper::engine_with(config.clone(), tiers))
}

/// `f` counts to a thousand; `g` tells how far it has come, and so does `sync`, whose type is not async; `beside` returns at once, and meddles with the count whenever it has a turn.
const COUNTS: &str = r#"(func (export "f") (local i32)
        (global.set $kept (i32.const 0))
        (loop
            (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (global.set $kept (i32.add (global.get $kept) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get 0) (i32.const 1000))))
        (call $return (global.get $kept)))
    (func (export "g") (call $return (global.get $kept)))
    (func (export "sync") (result i32) (global.get $kept))
    (func (export "beside") (call $return (i32.const 0))
        (loop (drop (call $yield)) (global.set $kept (i32.const 7)) (br 0)))"#;

const COUNTS_EXPORTS: &str = r#"(func (export "f") async (result u32) (canon lift (core func $m "f") async))
    (func (export "g") async (result u32) (canon lift (core func $m "g") async))
    (func (export "beside") async (result u32) (canon lift (core func $m "beside") async))
    (func (export "sync") (result u32) (canon lift (core func $m "sync")))"#;

fn counting(engine: &Engine) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ()).unwrap();
    store.yield_every_fuel(Some(100)).unwrap();
    store.set_fuel(1 << 40).unwrap();
    let component = component(engine, COUNTS, COUNTS_EXPORTS);
    let instance = Linker::new(engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

/// Polls a call so often at most; what has come of it, and in how many polls.
fn poll(store: &mut Store<()>, instance: Instance, name: &str, most: usize) -> (Option<u32>, usize) {
    let func = instance.get_func(&mut *store, name).unwrap();
    let mut results = [Val::Bool(false)];
    let mut polls = 0;
    {
        let mut running = pin!(func.call_async(&mut *store, &[], &mut results));
        loop {
            if polls == most {
                return (None, polls);
            }
            polls += 1;
            if let Poll::Ready(ended) = running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                ended.unwrap();
                break;
            }
        }
    }
    let [Val::U32(value)] = results else { panic!("{results:?}") };
    (Some(value), polls)
}

/// It comes to the same result in many turns, as many in both tiers, and no other guest has had one in between.
#[test]
fn to_guests_nothing_has_happened() {
    let turns = metered().map(|engine| {
        let (mut store, instance) = counting(&engine);
        let alone = poll(&mut store, instance, "f", usize::MAX);
        assert_eq!(alone.0, Some(1000));
        assert!(alone.1 > 20, "{alone:?}");
        assert_eq!(poll(&mut store, instance, "beside", usize::MAX).0, Some(0));
        for _ in 0..3 {
            assert_eq!(poll(&mut store, instance, "f", usize::MAX).0, Some(1000));
        }
        assert_eq!(result(call(&mut store, instance, "f", &[])), 1000);
        alone.1
    });
    assert_eq!(turns[0], turns[1]);
}

/// Who drops a call in the middle of its turn leaves it to the next who calls: it goes on first, and nothing is poisoned.
#[test]
fn a_call_that_is_dropped_in_the_middle_goes_on_before_the_next() {
    for engine in metered() {
        for most in 1..30 {
            for next in ["g", "sync"] {
                let (mut store, instance) = counting(&engine);
                assert_eq!(poll(&mut store, instance, "f", most).0, None);
                assert!(!instance.is_poisoned(&mut store));
                assert_eq!(result(call(&mut store, instance, next, &[])), 1000, "{next} after {most}");
            }
            let (mut store, instance) = counting(&engine);
            assert_eq!(poll(&mut store, instance, "f", most).0, None);
            assert_eq!(poll(&mut store, instance, "g", usize::MAX).0, Some(1000), "after {most}");
            let (mut store, instance) = counting(&engine);
            assert_eq!(poll(&mut store, instance, "f", most).0, None);
            let typed = instance.get_typed_func::<(), u32>(&mut store, "sync").unwrap();
            assert_eq!(typed.call(&mut store, ()).unwrap(), 1000, "after {most}");
            // Others of the store know nothing of it.
            assert_eq!(poll(&mut store, instance, "f", most).0, None);
            let component = component(&engine, COUNTS, COUNTS_EXPORTS);
            let other = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
            assert_eq!(result(call(&mut store, other, "sync", &[])), 0, "after {most}");
            assert_eq!(result(call(&mut store, other, "f", &[])), 1000, "after {most}");
        }
        // A store goes though something in it was left in the middle.
        let (mut store, instance) = counting(&engine);
        assert_eq!(poll(&mut store, instance, "f", 3).0, None);
    }
}
