//! Guests that wait for each other: `memory.atomic.wait` in calls that can wait, with stores that share one thread, in each tier; woken, ended by its timeout, by a deadline and by an
//! interrupt, dropped, and beside threads that wait.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use innkeeper::{
    Caller, Engine, Error, ErrorKind, Extern, Linker, MemoryType, SharedMemory, Sharing, SizeRange, Store,
    Trap, TypedFunc,
};

use crate::support::{Count, block_on, engines, module, poll_on_threads};

/// Waits at the cells 0 and 8 with an object in its frame, whose number it adds.
const GUEST: &str = r#"(module
    (import "host" "memory" (memory 1 4 shared))
    (import "host" "call" (func $call (param i64) (result i32)))
    (type $box (struct (field i32)))
    (func $new (param i32) (result (ref $box)) (struct.new $box (local.get 0)))
    (func (export "wait32") (param $timeout i64) (result i32) (local $held (ref $box))
        (local.set $held (call $new (i32.const 100)))
        (i32.add (memory.atomic.wait32 (i32.const 0) (i32.const 0) (local.get $timeout))
            (struct.get $box 0 (local.get $held))))
    (func (export "wait64") (param $timeout i64) (result i32) (local $held (ref $box))
        (local.set $held (call $new (i32.const 100)))
        (i32.add (memory.atomic.wait64 (i32.const 8) (i64.const 0) (local.get $timeout))
            (struct.get $box 0 (local.get $held))))
    (func (export "called") (param $timeout i64) (result i32)
        (memory.atomic.wait32 (i32.const 0) (i32.const 0) (local.get $timeout)))
    (func (export "calls") (param $timeout i64) (result i32) (call $call (local.get $timeout)))
    (func (export "notify") (param $cell i32) (param $count i32) (result i32)
        (memory.atomic.notify (local.get $cell) (local.get $count)))
    (func (export "set") (param $cell i32) (param $value i32) (i32.atomic.store (local.get $cell) (local.get $value))))"#;

const FOR_EVER: i64 = -1;

/// Instances in stores of their own that share a memory.
struct Shared {
    linker: Linker<()>,
    module: innkeeper::Module,
    engine: Engine,
}

struct Guest {
    store: Store<()>,
    wait32: TypedFunc<i64, i32>,
    wait64: TypedFunc<i64, i32>,
    calls: TypedFunc<i64, i32>,
    notify: TypedFunc<(i32, i32), i32>,
    set: TypedFunc<(i32, i32), ()>,
}

impl Shared {
    fn new(engine: &Engine) -> Shared {
        let pages = SizeRange { min: 1, max: Some(4) };
        let ty = MemoryType { sharing: Sharing::Shared, ..MemoryType::new(pages) };
        let mut linker = Linker::new(engine);
        linker.define_shared("host", "memory", &SharedMemory::new(engine, ty).unwrap()).unwrap();
        linker
            .func_wrap("host", "call", |mut caller: Caller<'_, ()>, timeout: i64| -> Result<i32, Error> {
                let called = caller.get_export("called").and_then(Extern::into_func).unwrap();
                called.typed::<i64, i32>(&mut caller)?.call(&mut caller, timeout)
            })
            .unwrap();
        Shared { linker, module: module(engine, GUEST), engine: engine.clone() }
    }

    fn guest(&self) -> Guest {
        let mut store = Store::new(&self.engine, ()).unwrap();
        let instance = self.linker.instantiate(&mut store, &self.module).unwrap();
        Guest {
            wait32: instance.get_typed_func(&mut store, "wait32").unwrap(),
            wait64: instance.get_typed_func(&mut store, "wait64").unwrap(),
            calls: instance.get_typed_func(&mut store, "calls").unwrap(),
            notify: instance.get_typed_func(&mut store, "notify").unwrap(),
            set: instance.get_typed_func(&mut store, "set").unwrap(),
            store,
        }
    }
}

impl Guest {
    fn notify(&mut self, cell: i32, count: i32) -> i32 {
        self.notify.call(&mut self.store, (cell, count)).unwrap()
    }

    /// A call that waits at a cell.
    fn wait(
        &mut self,
        cell: i32,
        timeout: i64,
    ) -> Pin<Box<dyn Future<Output = Result<i32, Error>> + Send + '_>> {
        let wait = if cell == 0 { self.wait32 } else { self.wait64 };
        let store = &mut self.store;
        Box::pin(async move { wait.call_async(store, timeout).await })
    }
}

fn poll<F: Future + ?Sized>(future: Pin<&mut F>, count: &Arc<Count>) -> Poll<F::Output> {
    let waker = Waker::from(Arc::clone(count));
    future.poll(&mut Context::from_waker(&waker))
}

fn count() -> Arc<Count> {
    Arc::new(Count(AtomicUsize::new(0)))
}

#[test]
fn one_store_waits_and_another_notifies_on_the_same_thread() {
    for engine in engines() {
        let shared = Shared::new(&engine);
        let (mut waits, mut notifies) = (shared.guest(), shared.guest());
        for _ in 0..3 {
            for cell in [0, 8] {
                let count = count();
                let mut waiting = waits.wait(cell, FOR_EVER);
                assert!(poll(waiting.as_mut(), &count).is_pending());
                assert_eq!((notifies.notify(16, 9), notifies.notify(cell, 0)), (0, 0));
                assert!(poll(waiting.as_mut(), &count).is_pending());
                assert_eq!(count.0.load(Ordering::Relaxed), 0);
                assert_eq!(notifies.notify(cell, 9), 1);
                assert_eq!(count.0.load(Ordering::Relaxed), 1, "who polls is woken");
                assert_eq!(notifies.notify(cell, 9), 0);
                // It goes on on another thread.
                assert_eq!(poll_on_threads(waiting.as_mut(), 1).unwrap().unwrap(), 100);
            }
        }
    }
}

#[test]
fn waits_in_calls_and_waits_of_threads_are_one_queue() {
    for engine in engines() {
        let shared = Shared::new(&engine);
        let (mut first, mut second, mut last) = (shared.guest(), shared.guest(), shared.guest());
        let mut notifies = shared.guest();
        let count = count();
        let mut first = first.wait(0, FOR_EVER);
        assert!(poll(first.as_mut(), &count).is_pending());
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || second.wait32.call(&mut second.store, FOR_EVER).unwrap());
            // Woken in the order in which they have come: the thread is second, however late it comes.
            assert_eq!(notifies.notify(0, 1), 1);
            assert_eq!(block_on(first.as_mut()).unwrap(), 100);
            while notifies.notify(0, 1) == 0 {
                std::thread::yield_now();
            }
            assert_eq!(thread.join().unwrap(), 100);
        });
        let mut last = last.wait(0, FOR_EVER);
        assert!(poll(last.as_mut(), &count).is_pending());
        std::thread::scope(|scope| {
            let notify = scope.spawn(|| notifies.notify(0, 1));
            assert_eq!(notify.join().unwrap(), 1);
        });
        assert_eq!(block_on(last).unwrap(), 100);
    }
}

#[test]
fn what_need_not_wait_is_ready_at_once() {
    for engine in engines() {
        let shared = Shared::new(&engine);
        let mut guest = shared.guest();
        let count = count();
        assert!(matches!(poll(guest.wait(0, 0).as_mut(), &count), Poll::Ready(Ok(102))));
        guest.set.call(&mut guest.store, (0, 1)).unwrap();
        assert!(matches!(poll(guest.wait(0, FOR_EVER).as_mut(), &count), Poll::Ready(Ok(101))));
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
    }
}

/// The executor's thread is woken, and need not look before.
#[test]
fn a_timeout_ends_the_wait() {
    for engine in engines() {
        let shared = Shared::new(&engine);
        let mut guest = shared.guest();
        let begin = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        assert_eq!(runtime.block_on(guest.wait(8, 5_000_000)).unwrap(), 102);
        assert!(begin.elapsed() >= Duration::from_millis(5));
        assert_eq!(guest.notify(8, 9), 0);
    }
}

#[test]
fn one_that_is_dropped_or_stopped_waits_no_more() {
    for engine in engines() {
        let shared = Shared::new(&engine);
        let (mut guest, mut notifies) = (shared.guest(), shared.guest());
        for cell in [0, 8] {
            let mut dropped = guest.wait(cell, 1_000_000_000_000);
            assert!(poll(dropped.as_mut(), &count()).is_pending());
            drop(dropped);
            assert_eq!(notifies.notify(cell, 9), 0);

            let handle = guest.store.interrupt_handle();
            let woken = count();
            let mut interrupted = guest.wait(cell, FOR_EVER);
            assert!(poll(interrupted.as_mut(), &woken).is_pending());
            handle.interrupt();
            assert_eq!(woken.0.load(Ordering::Relaxed), 1);
            let Poll::Ready(result) = poll(interrupted.as_mut(), &woken) else { panic!("it stops") };
            assert!(matches!(result.unwrap_err().kind(), ErrorKind::Trap(Trap::Interrupted)));
            drop(interrupted);
            assert_eq!(notifies.notify(cell, 9), 0);

            guest.store.set_deadline(Some(Duration::from_millis(5))).unwrap();
            let error = block_on(guest.wait(cell, FOR_EVER)).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Trap(Trap::DeadlineExceeded)), "{error}");
            guest.store.set_deadline(None).unwrap();
            assert_eq!(notifies.notify(cell, 9), 0);

            // The store goes on as if nothing had been.
            guest.store.collect_garbage();
            let mut waiting = guest.wait(cell, FOR_EVER);
            assert!(poll(waiting.as_mut(), &woken).is_pending());
            assert_eq!(notifies.notify(cell, 9), 1);
            assert_eq!(block_on(waiting).unwrap(), 100);
        }
    }
}

/// Whoever has called the guest cannot wait: it holds its thread, as ever.
#[test]
fn a_wait_in_a_plain_call_within_one_that_can_wait_holds_the_thread() {
    for engine in engines() {
        let shared = Shared::new(&engine);
        let mut guest = shared.guest();
        let mut call = pin!(guest.calls.call_async(&mut guest.store, 5_000_000));
        assert!(matches!(poll(call.as_mut(), &count()), Poll::Ready(Ok(2))));
    }
}

#[test]
fn start_functions_wait_for_others_too() {
    let text = r#"(module (import "host" "memory" (memory 1 4 shared))
        (func $start (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))) (start $start))"#;
    for engine in engines() {
        let shared = Shared::new(&engine);
        let mut notifies = shared.guest();
        let module = module(&engine, text);
        let mut store = Store::new(&engine, ()).unwrap();
        let mut instantiated = pin!(shared.linker.instantiate_async(&mut store, &module));
        assert!(poll(instantiated.as_mut(), &count()).is_pending());
        assert_eq!(notifies.notify(0, 1), 1);
        block_on(instantiated).unwrap();
    }
}

/// Many stores on one thread pass a turn round, which each waits for and then gives to the next.
#[test]
fn many_stores_wait_for_each_other_on_one_thread() {
    const PASSES: &str = r#"(module (import "host" "memory" (memory 1 4 shared))
        (func (export "run") (param $me i32) (param $count i32) (param $rounds i32) (result i32) (local $waits i32)
            (loop $round
                (loop $again
                    (if (i32.ne (i32.rem_u (i32.atomic.load (i32.const 0)) (local.get $count)) (local.get $me)) (then
                        (drop (memory.atomic.wait32 (i32.const 0) (i32.atomic.load (i32.const 0)) (i64.const -1)))
                        (local.set $waits (i32.add (local.get $waits) (i32.const 1)))
                        (br $again))))
                (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
                (drop (memory.atomic.notify (i32.const 0) (i32.const -1)))
                (br_if $round (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
            (local.get $waits)))"#;
    const COUNT: usize = 5;
    const ROUNDS: usize = 20;
    for engine in engines() {
        let shared = Shared::new(&engine);
        let module = module(&engine, PASSES);
        let run = |me: usize| {
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = shared.linker.instantiate(&mut store, &module).unwrap();
            let run = instance.get_typed_func::<(i32, i32, i32), i32>(&mut store, "run").unwrap();
            async move {
                let params = (me as i32, COUNT as i32, ROUNDS as i32);
                run.call_async(&mut store, params).await.unwrap()
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tasks: Vec<_> = (0..COUNT).map(|me| runtime.spawn(run(me))).collect();
        for task in tasks {
            let waits = runtime.block_on(task).unwrap();
            assert!(waits as usize >= ROUNDS - 1, "{waits}");
        }
    }
}
