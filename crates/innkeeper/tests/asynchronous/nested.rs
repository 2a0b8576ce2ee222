//! Calls that wait within calls that wait, in several stores: what the one's function of the host waits for is a call of another store's guest, and so on.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use innkeeper::{Caller, Engine, Instance, Linker, Store};

use crate::support::{Later, block_on, engines, module, poll_on_threads};

/// Computes before and after it waits, with an object in its frame.
const GUEST: &str = r#"(module (import "host" "next" (func $next (param i32) (result i32)))
    (type $box (struct (field i32)))
    (func $work (param i32) (result i32) (local i32)
        (loop $l
            (local.set 1 (i32.add (local.get 1) (i32.const 1)))
            (br_if $l (i32.lt_s (local.get 1) (local.get 0))))
        (local.get 1))
    (func (export "run") (param i32) (result i32) (local $held (ref $box))
        (local.set $held (struct.new $box (local.get 0)))
        (drop (call $work (i32.const 100)))
        (call $next (call $next (i32.const 1)))
        (i32.add (call $work (struct.get $box 0 (local.get $held))))))"#;

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// A store whose guest waits for a guest of a store of its own, so many levels deep; innermost for something else.
fn guest(engine: &Engine, levels: i32) -> (Store<(Engine, i32)>, Instance) {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap_async("host", "next", |caller: Caller<'_, (Engine, i32)>, value: i32| {
            let (engine, levels) = caller.data().clone();
            Box::new(async move {
                Later::new(&ALIVE).await;
                if levels == 0 { value } else { value + run(engine, levels - 1).await }
            })
        })
        .unwrap();
    let mut store = Store::new(engine, (engine.clone(), levels)).unwrap();
    store.yield_every(Some(Duration::from_micros(50)));
    let instance = linker.instantiate(&mut store, &module(engine, GUEST)).unwrap();
    (store, instance)
}

/// Boxed, since it is part of itself.
fn run(engine: Engine, levels: i32) -> Pin<Box<dyn Future<Output = i32> + Send>> {
    Box::pin(async move {
        let (mut store, instance) = guest(&engine, levels);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let result = run.call_async(&mut store, 10 + levels).await.unwrap();
        store.collect_garbage();
        result
    })
}

/// What [`run`] gives.
fn expected(levels: i32) -> i32 {
    let inner = if levels == 0 { 0 } else { expected(levels - 1) };
    1 + 2 * inner + 10 + levels
}

#[test]
fn calls_wait_within_calls_that_wait_in_other_stores() {
    const LEVELS: i32 = 3;
    for engine in engines() {
        assert_eq!(block_on(run(engine.clone(), LEVELS)), expected(LEVELS));
        let mut future = run(engine.clone(), LEVELS);
        assert_eq!(poll_on_threads(future.as_mut(), usize::MAX), Some(expected(LEVELS)));
        for polls in 0..20 {
            let mut future = run(engine.clone(), LEVELS);
            assert_eq!(poll_on_threads(future.as_mut(), polls), None, "{polls}");
            drop(future);
            assert_eq!(
                ALIVE.load(Ordering::Relaxed),
                0,
                "what the guests waited for is dropped with the calls"
            );
        }
    }
}
