//! Guests that let others have their turn, levels of calls that have waited, and calls that are leaked.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::task::{Context, Waker};
use std::time::Duration;

use innkeeper::{Caller, Engine, Error, ErrorKind, Instance, Linker, Store, Trap};

use crate::support::{Count, Later, Never, block_on, engines, module, poll_on_threads};

/// Computes with objects, in loops and calls, so long that its slice of time is over many times.
const COMPUTES: &str = r#"(module
    (import "host" "call" (func $call (param i64) (result i64)))
    (type $box (struct (field (mut i64))))
    (func $step (param $held (ref $box)) (result i64)
        (struct.set $box 0 (local.get $held) (i64.add (struct.get $box 0 (local.get $held)) (i64.const 1)))
        (struct.get $box 0 (local.get $held)))
    (func (export "run") (param $n i64) (result i64) (local $held (ref $box)) (local $sum i64)
        (local.set $held (struct.new $box (i64.const 0)))
        (loop $again
            (local.set $sum (i64.add (local.get $sum) (call $step (local.get $held))))
            (br_if $again (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
        (i64.sub (local.get $sum) (struct.get $box 0 (local.get $held))))
    (func (export "nested") (param $n i64) (result i64)
        (i64.add (call $call (local.get $n)) (call $call (local.get $n))))
    (func (export "spin") (loop $l (br $l))))"#;

fn computing(engine: &Engine) -> (Store<()>, Instance) {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap_async("host", "call", |mut caller: Caller<'_, ()>, n: i64| {
            Box::new(async move {
                let run = caller.get_export("run").and_then(innkeeper::Extern::into_func).unwrap();
                run.typed::<i64, i64>(&mut caller)?.call_async(&mut caller, n).await
            })
        })
        .unwrap();
    let mut store = Store::new(engine, ()).unwrap();
    let instance = linker.instantiate(&mut store, &module(engine, COMPUTES)).unwrap();
    store.yield_every(Some(Duration::from_millis(1)));
    (store, instance)
}

#[test]
fn a_guest_whose_slice_is_over_lets_others_have_their_turn_and_goes_on_as_if_nothing_had_been() {
    for engine in engines() {
        let (mut store, instance) = computing(&engine);
        for name in ["run", "nested"] {
            let run = instance.get_typed_func::<i64, i64>(&mut store, name).unwrap();
            let times = if name == "nested" { 2 } else { 1 };
            // Until it is long enough to be interrupted.
            let mut n = 100_000_i64;
            loop {
                let mut polls = 0;
                let result = {
                    let mut future = pin!(run.call_async(&mut store, n));
                    loop {
                        polls += 1;
                        if let Some(result) = poll_on_threads(future.as_mut(), 1) {
                            break result.unwrap();
                        }
                    }
                };
                assert_eq!(result, times * (n * (n + 1) / 2 - n));
                store.collect_garbage();
                if polls > 5 {
                    break;
                }
                n *= 2;
            }
            // Calls that cannot wait go on.
            assert_eq!(run.call(&mut store, 10).ok(), (name == "run").then_some(45));
        }
    }
}

#[test]
fn a_guest_that_never_ends_leaves_its_thread_to_others_and_can_be_dropped() {
    for engine in engines() {
        let (mut store, instance) = computing(&engine);
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
        let run = instance.get_typed_func::<i64, i64>(&mut store, "run").unwrap();
        for _ in 0..3 {
            {
                let mut spinning = pin!(spin.call_async(&mut store, ()));
                let count = Arc::new(Count(AtomicUsize::new(0)));
                let waker = Waker::from(Arc::clone(&count));
                for polls in 1..=5 {
                    assert!(spinning.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                    assert_eq!(count.0.load(Ordering::Relaxed), polls, "it is polled again at once");
                }
            }
            assert_eq!(block_on(run.call_async(&mut store, 10)).unwrap(), 45);
        }
        store.yield_every(None);
        store.set_deadline(Some(Duration::from_millis(30))).unwrap();
        let error = block_on(spin.call_async(&mut store, ())).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Trap(Trap::DeadlineExceeded)), "{error}");
    }
}

/// A slice can be over before the guest goes on: as on a machine that has other things to do.
#[test]
fn slices_that_end_while_a_poll_begins_are_not_forgotten() {
    for engine in engines() {
        let (mut store, instance) = computing(&engine);
        store.yield_every(Some(Duration::from_nanos(1)));
        let handle = store.interrupt_handle();
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
        let (done, watch) = std::sync::mpsc::channel::<()>();
        let watching = std::thread::spawn(move || {
            let is_stuck = watch
                .recv_timeout(Duration::from_secs(60))
                .is_err_and(|error| error == RecvTimeoutError::Timeout);
            handle.interrupt();
            is_stuck
        });
        {
            let mut spinning = pin!(spin.call_async(&mut store, ()));
            for _ in 0..20_000 {
                if spinning.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    break;
                }
            }
        }
        drop(done);
        assert!(!watching.join().unwrap(), "it did not let others have their turn");
    }
}

/// Goes through loops, calls, recursion and exceptions, with objects in frames and operands.
const MANY_SAFEPOINTS: &str = r#"(module
    (type $box (struct (field i32)))
    (tag $e (param i32))
    (func $new (param i32) (result (ref $box)) (struct.new $box (local.get 0)))
    (func $down (param i32) (result i32) (local $held (ref $box))
        (local.set $held (call $new (local.get 0)))
        (if (result i32) (local.get 0)
            (then (i32.add (call $down (i32.sub (local.get 0) (i32.const 1))) (struct.get $box 0 (local.get $held))))
            (else (i32.const 0))))
    (func $throws (param i32) (throw $e (call $down (local.get 0))))
    (func (export "run") (param i32) (result i32) (local $sum i32) (local $held (ref $box))
        (loop $again
            (local.set $held (call $new (local.get $sum)))
            (local.set $sum (i32.add (local.get $sum)
                (block $caught (result i32) (try_table (catch $e $caught) (call $throws (local.get 0))) (unreachable))))
            (local.set $sum (i32.add (local.get $sum) (struct.get $box 0 (local.get $held))))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $sum)))"#;

#[test]
fn a_guest_is_suspended_at_each_of_its_safepoints_and_resumed_elsewhere_or_dropped_there() {
    let expected = (1..=4).rev().fold(0, |sum, n| 2 * sum + n * (n + 1) / 2);
    for (number, engine) in engines().into_iter().enumerate() {
        let linker = Linker::<()>::new(&engine);
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, MANY_SAFEPOINTS)).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let handle = store.interrupt_handle();
        // Goes on for so many safepoints; tells how many there were, and the result where it has come to it.
        let walk = |store: &mut Store<()>, most: usize| {
            let mut future = pin!(run.call_async(store, 4));
            for walked in 0..most {
                handle.ask_to_yield();
                if let Some(result) = poll_on_threads(future.as_mut(), 1) {
                    return (walked, Some(result.unwrap()));
                }
            }
            (most, None)
        };
        let (safepoints, result) = walk(&mut store, usize::MAX);
        assert_eq!(result, Some(expected));
        // Machine code comes through a loop's check that it makes again.
        let least = if number == 0 { 20 } else { 1 };
        assert!(safepoints >= least, "{number}: {safepoints}");
        for dropped_at in 0..safepoints {
            // Where tiers change there can be fewer than there were.
            let result = walk(&mut store, dropped_at).1;
            assert!(result.is_none() || result == Some(expected) && number == 2, "{number}: {result:?}");
            store.collect_garbage();
        }
        assert_eq!(walk(&mut store, usize::MAX).1, Some(expected));
    }
}

const RECURSES: &str = r#"(module (import "host" "again" (func $again)) (func (export "run") (call $again))
    (func (export "spin") (call $again) (loop $l (br $l))))"#;

#[test]
fn levels_of_calls_that_have_waited_are_bounded_on_each_thread() {
    for engine in engines() {
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap_async("host", "again", |mut caller: Caller<'_, u32>, ()| {
                Box::new(async move {
                    *caller.data_mut() += 1;
                    Later::new(&AtomicUsize::new(0)).await;
                    let run = caller.get_export("run").and_then(innkeeper::Extern::into_func).unwrap();
                    run.call_async(&mut caller, &[], &mut []).await
                })
            })
            .unwrap();
        let mut store = Store::new(&engine, 0).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, RECURSES)).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        for _ in 0..2 {
            *store.data_mut() = 0;
            let error = block_on(run.call_async(&mut store, ())).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Trap(Trap::CallStackExhausted)), "{error}");
            assert!((5..=128).contains(store.data()), "{}", store.data());
        }
    }
}

/// Where a guest's slice ends in a call that cannot wait, its turn is over as soon as it can.
#[test]
fn a_slice_that_ends_in_a_callback_is_not_forgotten() {
    for engine in engines() {
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("host", "again", |mut caller: Caller<'_, bool>| -> Result<(), Error> {
                let begin = std::time::Instant::now();
                let is_outermost = !std::mem::replace(caller.data_mut(), true);
                while is_outermost && begin.elapsed() < Duration::from_millis(10) {
                    let run = caller.get_export("run").and_then(innkeeper::Extern::into_func).unwrap();
                    run.call(&mut caller, &[], &mut [])?;
                    caller.check_interrupts()?;
                }
                Ok(())
            })
            .unwrap();
        let mut store = Store::new(&engine, false).unwrap();
        store.yield_every(Some(Duration::from_millis(2)));
        store.set_deadline(Some(Duration::from_secs(5))).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, RECURSES)).unwrap();
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin").unwrap();
        let mut future = pin!(spin.call_async(&mut store, ()));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
}

#[test]
fn a_store_that_is_reset_has_forgotten_calls_that_were_leaked() {
    for engine in engines() {
        let mut linker = Linker::new(&engine);
        linker.func_wrap_async("host", "again", |_: Caller<'_, ()>, ()| Box::new(Never)).unwrap();
        let pre = linker.instantiate_pre(&module(&engine, RECURSES)).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        for _ in 0..300 {
            let instance = store.reset(&pre).unwrap();
            let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
            let mut future = Box::pin(run.call_async(&mut store, ()));
            assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            std::mem::forget(future);
        }
    }
}
