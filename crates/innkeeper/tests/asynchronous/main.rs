//! Calls that wait: at every call of the host's functions, in each tier, with a collection at every allocation, resumed on other threads, and dropped instead.

mod atomics;
mod backtraces;
mod growing;
mod held;
mod limiter;
mod nested;
mod signatures;
mod slices;
mod support;
mod wakers;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use innkeeper::{
    Caller, Config, Engine, Error, ErrorKind, FuncType, Instance, Linker, Store, Trap, Val, ValType,
};

use support::{Count, Later, Never, block_on, engines, module, poll_on_threads};

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// Holds objects in frames of every kind, and waits with them: in loops, in recursion, beneath a caught exception, and in what the host calls in turn.
const GUEST: &str = r#"(module
    (import "host" "wait" (func $wait (param i32) (result i32)))
    (import "host" "call" (func $call (param i32) (result i32)))
    (import "host" "direct" (func $direct (param i32) (result i32)))
    (type $box (struct (field (mut i32))))
    (tag $e (param i32))
    (func $new (param i32) (result (ref $box)) (struct.new $box (local.get 0)))
    (func $down (param i32) (result i32) (local $held (ref $box)) (local $sum i32)
        (local.set $held (call $new (local.get 0)))
        (if (i32.eqz (local.get 0)) (then (return (call $wait (i32.const 0)))))
        (local.set $sum (call $down (i32.sub (local.get 0) (i32.const 1))))
        (local.set $sum (i32.add (local.get $sum) (call $wait (struct.get $box 0 (local.get $held)))))
        (i32.add (local.get $sum) (call $direct (struct.get $box 0 (local.get $held)))))
    (func $throws (param i32) (throw $e (call $wait (local.get 0))))
    (func $catches (param i32) (result i32)
        (block $caught (result i32)
            (try_table (catch $e $caught) (call $throws (local.get 0)))
            (unreachable)))
    (func (export "inner") (param i32) (result i32) (local $held (ref $box))
        (local.set $held (call $new (local.get 0)))
        (i32.add (call $wait (local.get 0)) (struct.get $box 0 (local.get $held))))
    (func (export "run") (param i32) (result i32) (local $sum i32) (local $held (ref $box))
        (loop $again
            (local.set $held (call $new (local.get $sum)))
            (local.set $sum (i32.add (local.get $sum) (call $down (local.get 0))))
            (local.set $sum (i32.add (local.get $sum) (call $catches (i32.const 5))))
            (local.set $sum (i32.add (local.get $sum) (call $call (i32.const 3))))
            (local.set $sum (i32.add (local.get $sum) (struct.get $box 0 (local.get $held))))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $sum))
    (func (export "spin") (loop $l (br $l))))"#;

/// What `run` returns, as Rust has it; and how often it waits.
fn expected(mut n: i32) -> (i32, usize) {
    let (mut sum, mut waits) = (0_i32, 0);
    while n > 0 {
        let held = sum;
        // `wait` and `direct` return what they are given, `direct` at once.
        sum += (1..=n).map(|n| 2 * n).sum::<i32>();
        waits += n as usize + 1;
        sum += 5;
        waits += 1;
        sum += 3 + 3;
        waits += 2;
        sum += held;
        n -= 1;
    }
    (sum, waits)
}

fn linker(engine: &Engine) -> Linker<()> {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap_async("host", "wait", |_: Caller<'_, ()>, value: i32| {
            Box::new(async move {
                Later::new(&ALIVE).await;
                value
            })
        })
        .unwrap();
    linker
        .func_new_async(
            "host",
            "call",
            FuncType::new([ValType::I32], [ValType::I32]),
            |mut caller: Caller<'_, ()>, params, results| {
                Box::new(async move {
                    Later::new(&ALIVE).await;
                    let inner = caller.get_export("inner").and_then(innkeeper::Extern::into_func).unwrap();
                    inner.call_async(&mut caller, params, results).await
                })
            },
        )
        .unwrap();
    linker.func_wrap("host", "direct", |value: i32| value).unwrap();
    linker
}

fn instance(engine: &Engine) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ()).unwrap();
    let instance = linker(engine).instantiate(&mut store, &module(engine, GUEST)).unwrap();
    (store, instance)
}

/// One test, since what is alive is counted in one place.
#[test]
fn calls_wait_wherever_the_host_does_and_can_be_dropped_there() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let (result, waits) = expected(4);
        for _ in 0..3 {
            let future = pin!(run.call_async(&mut store, 4));
            assert_eq!(poll_on_threads(future, usize::MAX).unwrap().unwrap(), result);
        }
        for waited in 0..=waits {
            {
                let mut future = Box::pin(run.call_async(&mut store, 4));
                assert!(poll_on_threads(future.as_mut(), waited).is_none(), "{waited} of {waits}");
                assert_eq!(ALIVE.load(Ordering::Relaxed) > 0, waited > 0);
            }
            assert_eq!(
                ALIVE.load(Ordering::Relaxed),
                0,
                "what the guest waited for is dropped with the call"
            );
            store.collect_garbage();
        }
        assert_eq!(block_on(run.call_async(&mut store, 4)).unwrap(), result);
        assert_eq!(ALIVE.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_call_that_is_leaked_leaves_the_store_usable() {
    static LEAKED: AtomicUsize = AtomicUsize::new(0);
    for engine in engines() {
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap_async("host", "wait", |_: Caller<'_, ()>, value: i32| {
                Box::new(async move {
                    Later::new(&LEAKED).await;
                    value
                })
            })
            .unwrap();
        let text = r#"(module (import "host" "wait" (func $wait (param i32) (result i32)))
            (func (export "run") (param i32) (result i32) (i32.add (call $wait (local.get 0)) (i32.const 1))))"#;
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        for _ in 0..3 {
            let mut future = Box::pin(run.call_async(&mut store, 4));
            assert!(poll_on_threads(future.as_mut(), 1).is_none());
            std::mem::forget(future);
            assert_eq!(block_on(run.call_async(&mut store, 6)).unwrap(), 7);
            store.collect_garbage();
        }
    }
}

#[test]
fn what_cannot_wait_says_so() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let error = run.call(&mut store, 1).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
        assert!(error.to_string().contains("call_async"), "{error}");
        assert_eq!(block_on(run.call_async(&mut store, 1)).unwrap(), expected(1).0);
    }
}

const WAITS: &str = r#"(module (import "host" "wait" (func $wait))
    (func (export "run") (call $wait)) (func $start (call $wait)) (export "start" (func $start)))"#;

fn waits_with(
    engine: &Engine,
    wait: fn(Caller<'_, ()>, ()) -> Box<dyn Future<Output = ()> + Send + '_>,
) -> (Store<()>, Instance) {
    let mut linker = Linker::new(engine);
    linker.func_wrap_async("host", "wait", wait).unwrap();
    let mut store = Store::new(engine, ()).unwrap();
    let instance = linker.instantiate(&mut store, &module(engine, WAITS)).unwrap();
    (store, instance)
}

#[test]
fn who_is_asked_to_stop_is_woken_and_stops() {
    for engine in engines() {
        let (mut store, instance) = waits_with(&engine, |_, ()| Box::new(Never));
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        for _ in 0..2 {
            let handle = store.interrupt_handle();
            let count = Arc::new(Count(AtomicUsize::new(0)));
            let waker = Waker::from(Arc::clone(&count));
            let mut future = pin!(run.call_async(&mut store, ()));
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            assert_eq!(count.0.load(Ordering::Relaxed), 0);
            handle.interrupt();
            assert_eq!(count.0.load(Ordering::Relaxed), 1);
            let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) else {
                panic!("it stops")
            };
            assert!(matches!(result.unwrap_err().kind(), ErrorKind::Trap(Trap::Interrupted)));
        }
        store.set_deadline(Some(Duration::from_millis(20))).unwrap();
        let error = block_on(run.call_async(&mut store, ())).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Trap(Trap::DeadlineExceeded)), "{error}");
    }
}

#[test]
fn panics_of_futures_reach_who_polls() {
    for engine in engines() {
        let (mut store, instance) = waits_with(&engine, |_, ()| {
            Box::new(async {
                Later::new(&AtomicUsize::new(0)).await;
                panic!("in a future");
            })
        });
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        for _ in 0..2 {
            let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                block_on(run.call_async(&mut store, ()))
            }));
            assert_eq!(polled.unwrap_err().downcast_ref::<&str>(), Some(&"in a future"));
        }
    }
}

#[test]
fn start_functions_wait_too() {
    for engine in engines() {
        let text = WAITS.replace(r#"(export "start" (func $start))"#, "(start $start)");
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap_async("host", "wait", |caller: Caller<'_, ()>, ()| {
                Box::new(async move {
                    assert!(caller.is_instantiating());
                    Later::new(&AtomicUsize::new(0)).await;
                })
            })
            .unwrap();
        linker
            .func_wrap("host", "look", |caller: Caller<'_, ()>| i32::from(caller.is_instantiating()))
            .unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let waits = module(&engine, &text);
        {
            let mut dropped = Box::pin(linker.instantiate_async(&mut store, &waits));
            assert!(poll_on_threads(dropped.as_mut(), 1).is_none());
        }
        block_on(linker.instantiate_async(&mut store, &waits)).unwrap();
        let looks =
            r#"(module (import "host" "look" (func $look (result i32))) (export "look" (func $look)))"#;
        let instance = block_on(linker.instantiate_async(&mut store, &module(&engine, looks))).unwrap();
        let look = instance.get_func(&mut store, "look").unwrap();
        let mut results = [Val::I32(7)];
        block_on(look.call_async(&mut store, &[], &mut results)).unwrap();
        assert!(matches!(results, [Val::I32(0)]), "{results:?}");
    }
}

/// Futures of calls may go to other threads where the store's data may.
#[test]
fn calls_are_send() {
    fn is_send<T: Send>(_: &T) {}
    let engine = innkeeper::engine(Config::default());
    let (mut store, instance) = instance(&engine);
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    is_send(&run.call_async(&mut store, 1));
    is_send(&run.func().call_async(&mut store, &[], &mut []));
    let linker = linker(&engine);
    is_send(&linker.instantiate_async(&mut store, &module(&engine, GUEST)));
    let _: fn(Error) -> Error = std::convert::identity;
}

/// Whatever a function of the host has let wait within the guest and leaked, its caller goes on as if it had not been, also with an exception and a trap later.
#[test]
fn calls_within_calls_may_be_leaked() {
    const NESTED: &str = r#"(module
        (import "host" "wait" (func $wait (param i32) (result i32)))
        (import "host" "leak" (func $leak (param i32) (result i32)))
        (import "host" "leak_later" (func $leak_later (param i32) (result i32)))
        (type $box (struct (field i32)))
        (tag $e (param i32))
        (func $deep (param i32) (result i32) (local $held (ref $box))
            (local.set $held (struct.new $box (local.get 0)))
            (if (result i32) (local.get 0)
                (then (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (struct.get $box 0 (local.get $held))))
                (else (call $wait (i32.const 0)))))
        (func (export "inner") (param i32) (result i32) (call $deep (local.get 0)))
        (func $throws (param i32) (throw $e (i32.add (call $leak (local.get 0)) (call $leak_later (local.get 0)))))
        (func (export "run") (param i32) (result i32) (local $held (ref $box))
            (local.set $held (struct.new $box (local.get 0)))
            (block $caught (result i32)
                (try_table (catch $e $caught) (call $throws (local.get 0)))
                (unreachable))
            (i32.add (struct.get $box 0 (local.get $held)))
            (i32.add (call $leak (i32.const 1))))
        (func (export "trap") (param i32) (result i32)
            (drop (call $leak (local.get 0))) (drop (call $leak_later (local.get 0))) (unreachable)))"#;
    static LEAKED: AtomicUsize = AtomicUsize::new(0);
    fn inner(caller: &mut Caller<'_, ()>) -> innkeeper::TypedFunc<i32, i32> {
        let inner = caller.get_export("inner").and_then(innkeeper::Extern::into_func).unwrap();
        inner.typed(&mut *caller).unwrap()
    }
    fn leak(caller: &mut Caller<'_, ()>) {
        let inner = inner(caller);
        let mut future = Box::pin(inner.call_async(caller, 20));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        std::mem::forget(future);
    }
    for engine in engines() {
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap_async("host", "wait", |_: Caller<'_, ()>, value: i32| {
                Box::new(async move {
                    Later::new(&LEAKED).await;
                    value
                })
            })
            .unwrap();
        linker
            .func_wrap("host", "leak", |mut caller: Caller<'_, ()>, value: i32| {
                leak(&mut caller);
                value
            })
            .unwrap();
        linker
            .func_wrap_async("host", "leak_later", |mut caller: Caller<'_, ()>, value: i32| {
                Box::new(async move {
                    Later::new(&LEAKED).await;
                    leak(&mut caller);
                    Later::new(&LEAKED).await;
                    let inner = inner(&mut caller);
                    assert_eq!(inner.call_async(&mut caller, 3).await.unwrap(), 6);
                    value
                })
            })
            .unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, NESTED)).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let trap = instance.get_typed_func::<i32, i32>(&mut store, "trap").unwrap();
        for _ in 0..10 {
            {
                let future = pin!(run.call_async(&mut store, 7));
                assert_eq!(poll_on_threads(future, usize::MAX).unwrap().unwrap(), 7 + 7 + 7 + 1);
            }
            let error = block_on(trap.call_async(&mut store, 1)).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Trap(Trap::Unreachable)), "{error}");
            let mut dropped = Box::pin(run.call_async(&mut store, 7));
            assert!(poll_on_threads(dropped.as_mut(), 2).is_none());
        }
    }
}
