//! Functions of the host whose futures run beside guests: ready at once, woken by others, by threads, with access to the store, cancelled, failed, too late.

use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use innkeeper::component::{Component, Feature, Features, Instance, Linker, Running, Val};
use innkeeper::{Engine, Error, Store};

use super::{call, engines};

/// What functions of the host wait at.
#[derive(Clone, Default)]
struct Gate(Arc<Mutex<(bool, Vec<Waker>)>>);

impl Gate {
    fn open(&self) {
        let mut gate = self.0.lock().unwrap();
        gate.0 = true;
        gate.1.drain(..).for_each(Waker::wake);
    }
}

impl Future for Gate {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut gate = self.0.lock().unwrap();
        if gate.0 {
            return Poll::Ready(());
        }
        gate.1.push(context.waker().clone());
        Poll::Pending
    }
}

/// Counts those that were dropped.
struct Counted(Arc<AtomicU32>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[derive(Default)]
struct Data {
    gate: Gate,
    steps: u32,
    dropped: Arc<AtomicU32>,
}

const TEXT: &str = r#"(component
    (import "now" (func $now async (param "n" u32) (result string)))
    (import "wait" (func $wait async (param "n" u32) (result u32)))
    (import "open" (func $open async))
    (import "fail" (func $fail async))
    (core module $mem (memory (export "mem") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 512)))
    (core instance $mem (instantiate $mem))
    (alias core export $mem "mem" (core memory $mem))
    (alias core export $mem "realloc" (core func $realloc))
    (core func $now (canon lower (func $now) (memory $mem) (realloc $realloc)))
    (core func $now-async (canon lower (func $now) async (memory $mem) (realloc $realloc)))
    (core func $wait (canon lower (func $wait)))
    (core func $wait-async (canon lower (func $wait) async (memory $mem)))
    (core func $open (canon lower (func $open) async (memory $mem)))
    (core func $fail (canon lower (func $fail)))
    (core func $return (canon task.return (result u32)))
    (core func $set-new (canon waitable-set.new))
    (core func $set-wait (canon waitable-set.wait (memory $mem)))
    (core func $join (canon waitable.join))
    (core func $cancel (canon subtask.cancel))
    (core func $drop (canon subtask.drop))
    (core module $m
        (import "" "mem" (memory 1))
        (import "" "now" (func $now (param i32 i32)))
        (import "" "now-async" (func $now-async (param i32 i32) (result i32)))
        (import "" "wait" (func $wait (param i32) (result i32)))
        (import "" "wait-async" (func $wait-async (param i32 i32) (result i32)))
        (import "" "open" (func $open (result i32)))
        (import "" "fail" (func $fail))
        (import "" "return" (func $return (param i32)))
        (import "" "set-new" (func $set-new (result i32)))
        (import "" "set-wait" (func $set-wait (param i32 i32) (result i32)))
        (import "" "join" (func $join (param i32 i32)))
        (import "" "cancel" (func $cancel (param i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))
        (func (export "now")
            (call $now (i32.const 3) (i32.const 0))
            (if (i32.ne (i32.load (i32.const 0)) (i32.const 512)) (then (unreachable)))
            ;; It has returned at once, and takes no handle.
            (if (i32.ne (call $now-async (i32.const 5) (i32.const 8)) (i32.const 2)) (then (unreachable)))
            (call $return (i32.add (i32.mul (i32.load (i32.const 4)) (i32.const 10)) (i32.load (i32.const 12)))))
        (func (export "together") (local i32 i32 i32)
            (local.set 0 (call $wait-async (i32.const 40) (i32.const 64)))
            (local.set 1 (call $wait-async (i32.const 50) (i32.const 68)))
            (if (i32.ne (i32.and (local.get 0) (i32.const 15)) (i32.const 1)) (then (unreachable)))
            (if (i32.ne (call $open) (i32.const 2)) (then (unreachable)))
            (local.set 2 (call $set-new))
            (call $join (i32.shr_u (local.get 0) (i32.const 4)) (local.get 2))
            (call $join (i32.shr_u (local.get 1) (i32.const 4)) (local.get 2))
            (drop (call $set-wait (local.get 2) (i32.const 0)))
            (drop (call $set-wait (local.get 2) (i32.const 0)))
            (call $drop (i32.shr_u (local.get 0) (i32.const 4)))
            (call $drop (i32.shr_u (local.get 1) (i32.const 4)))
            (call $return (i32.add (i32.load (i32.const 64)) (i32.load (i32.const 68)))))
        (func (export "sleep") (call $return (call $wait (i32.const 7))))
        (func (export "cancel") (local i32)
            (local.set 0 (call $wait-async (i32.const 40) (i32.const 64)))
            (call $return (call $cancel (i32.shr_u (local.get 0) (i32.const 4)))))
        (func (export "fail") (call $fail)))
    (core instance $m (instantiate $m (with "" (instance
        (export "mem" (memory $mem)) (export "now" (func $now)) (export "now-async" (func $now-async))
        (export "wait" (func $wait)) (export "wait-async" (func $wait-async)) (export "open" (func $open)) (export "fail" (func $fail))
        (export "return" (func $return)) (export "set-new" (func $set-new)) (export "set-wait" (func $set-wait))
        (export "join" (func $join)) (export "cancel" (func $cancel)) (export "drop" (func $drop))))))
    (func (export "now") async (result u32) (canon lift (core func $m "now") async))
    (func (export "together") async (result u32) (canon lift (core func $m "together") async))
    (func (export "sleep") async (result u32) (canon lift (core func $m "sleep") async))
    (func (export "cancel") async (result u32) (canon lift (core func $m "cancel") async))
    (func (export "fail") async (result u32) (canon lift (core func $m "fail") async)))"#;

fn instance(engine: &Engine) -> (Store<Data>, Instance) {
    let features = [Feature::StackfulAsync, Feature::MoreAsyncBuiltins];
    let features = features.into_iter().fold(Features::default(), Features::with);
    let bytes = innkeeper::to_binary(TEXT.as_bytes()).unwrap();
    let component = Component::with_features(engine, bytes, features).unwrap();
    let mut store = Store::new(engine, Data::default()).unwrap();
    let mut linker = Linker::<Data>::new(engine);
    let mut root = linker.root();
    root.func_wrap_concurrent("now", |_, (n,): (u32,)| -> Running<String> {
        Box::pin(async move { Ok("x".repeat(n as usize)) })
    });
    root.func_wrap_concurrent("wait", |accessor, (n,): (u32,)| -> Running<u32> {
        Box::pin(async move {
            let (gate, dropped) = accessor
                .with(|mut store| {
                    store.data_mut().steps += 1;
                    (store.data().gate.clone(), Arc::clone(&store.data().dropped))
                })
                .await;
            let _counted = Counted(dropped);
            gate.await;
            Ok(accessor.with(move |store| store.data().steps * 1000 + n).await)
        })
    });
    root.func_wrap_concurrent("open", |accessor, (): ()| -> Running<()> {
        Box::pin(async move {
            accessor.with(|store| store.data().gate.open()).await;
            Ok(())
        })
    });
    root.func_wrap_concurrent("fail", |_, (): ()| -> Running<()> {
        Box::pin(async { Err(Error::from_host(std::fmt::Error)) })
    });
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

fn run(store: &mut Store<Data>, instance: Instance, name: &str) -> Result<u32, Error> {
    match call(store, instance, name, &[])? {
        Some(Val::U32(value)) => Ok(value),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_ready_at_once_makes_no_handle() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        for _ in 0..3 {
            assert_eq!(run(&mut store, instance, "now").unwrap(), 35);
        }
    }
}

#[test]
fn several_wait_at_once_for_what_another_one_does() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        assert_eq!(run(&mut store, instance, "together").unwrap(), 4090);
        assert_eq!(store.data().dropped.load(Ordering::Relaxed), 2);
    }
}

#[test]
fn the_thread_sleeps_until_another_one_wakes_it() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        let gate = store.data().gate.clone();
        let opener = std::thread::spawn(move || {
            while gate.0.lock().unwrap().1.is_empty() {
                std::thread::yield_now();
            }
            gate.open();
        });
        assert_eq!(run(&mut store, instance, "sleep").unwrap(), 1007);
        opener.join().unwrap();
    }
}

#[test]
fn a_future_that_is_cancelled_is_dropped_at_once() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        // CANCELLED_BEFORE_RETURNED
        assert_eq!(run(&mut store, instance, "cancel").unwrap(), 4);
        assert_eq!(store.data().dropped.load(Ordering::Relaxed), 1);
        assert!(!instance.is_poisoned(&mut store));
    }
}

#[test]
fn an_error_of_the_host_ends_the_call() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        let error = run(&mut store, instance, "fail").unwrap_err();
        assert!(error.downcast_ref::<std::fmt::Error>().is_some(), "{error}");
        assert!(instance.is_poisoned(&mut store));
    }
}

#[test]
fn a_deadline_ends_the_sleep() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        store.set_deadline(Some(Duration::from_millis(20))).unwrap();
        let error = run(&mut store, instance, "sleep").unwrap_err();
        assert_eq!(error.trap(), Some(innkeeper::Trap::DeadlineExceeded), "{error}");
    }
}

#[test]
fn futures_that_nobody_waits_for_go_with_the_store() {
    let (mut store, instance) = instance(&engines()[0]);
    store.set_deadline(Some(Duration::from_millis(200))).unwrap();
    run(&mut store, instance, "sleep").unwrap_err();
    let dropped = Arc::clone(&store.data().dropped);
    drop(store);
    assert_eq!(dropped.load(Ordering::Relaxed), 1);
}

#[test]
fn a_function_that_runs_beside_guests_must_be_imported_as_async() {
    let engine = &engines()[0];
    let text = r#"(component (import "f" (func $f)) (core func (canon lower (func $f))))"#;
    let mut linker = Linker::<()>::new(engine);
    linker.root().func_wrap_concurrent("f", |_, (): ()| -> Running<()> { Box::pin(async { Ok(()) }) });
    let mut store = Store::new(engine, ()).unwrap();
    let error = linker.instantiate(&mut store, &super::component(engine, text)).unwrap_err().to_string();
    assert!(error.contains("func_wrap_concurrent"), "{error}");
}

/// A call whose future is dropped while it waits cancels the task, and poisons nothing; it can be called again.
#[cfg(feature = "async")]
#[test]
fn c79_a_call_that_is_dropped_is_cancelled_and_poisons_nothing() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        let func = instance.get_func(&mut store, "sleep").unwrap();
        let waker = Waker::noop();
        let mut results = [Val::Bool(false)];
        {
            let mut running = Box::pin(func.call_async(&mut store, &[], &mut results));
            assert!(running.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
            assert!(running.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
        assert!(!instance.is_poisoned(&mut store));
        store.data().gate.open();
        let mut running = Box::pin(func.call_async(&mut store, &[], &mut results));
        let ended = loop {
            if let Poll::Ready(ended) = running.as_mut().poll(&mut Context::from_waker(waker)) {
                break ended;
            }
        };
        ended.unwrap();
        drop(running);
        assert!(matches!(results[0], Val::U32(2007)), "{results:?}");
    }
}

/// A guest that looks again and again whether something has come, and leaves its turn in between, does not keep it from coming.
#[test]
fn a_guest_that_yields_does_not_keep_the_host_from_its_turn() {
    let text = r#"(component
        (import "soon" (func $soon async))
        (core module $mem (memory (export "mem") 1))
        (core instance $mem (instantiate $mem))
        (alias core export $mem "mem" (core memory $mem))
        (core func $soon (canon lower (func $soon) async))
        (core func $set-new (canon waitable-set.new))
        (core func $set-poll (canon waitable-set.poll (memory $mem)))
        (core func $join (canon waitable.join))
        (core func $return (canon task.return (result u32)))
        (core module $m
            (import "" "soon" (func $soon (result i32)))
            (import "" "set-new" (func $set-new (result i32)))
            (import "" "set-poll" (func $set-poll (param i32 i32) (result i32)))
            (import "" "join" (func $join (param i32 i32)))
            (import "" "return" (func $return (param i32)))
            (global $set (mut i32) (i32.const 0))
            (global $turns (mut i32) (i32.const 0))
            (func (export "run") (result i32)
                (global.set $set (call $set-new))
                (call $join (i32.shr_u (call $soon) (i32.const 4)) (global.get $set))
                ;; `YIELD`
                (i32.const 1))
            (func (export "cb") (param i32 i32 i32) (result i32)
                (if (call $set-poll (global.get $set) (i32.const 0))
                    (then (call $return (global.get $turns)) (return (i32.const 0))))
                (global.set $turns (i32.add (global.get $turns) (i32.const 1)))
                (if (i32.eq (global.get $turns) (i32.const 100000)) (then (unreachable)))
                (i32.const 1)))
        (core instance $m (instantiate $m (with "" (instance
            (export "soon" (func $soon)) (export "set-new" (func $set-new)) (export "set-poll" (func $set-poll))
            (export "join" (func $join)) (export "return" (func $return))))))
        (func (export "run") async (result u32) (canon lift (core func $m "run") async (callback (core func $m "cb")))))"#;
    for engine in engines() {
        let component = super::component(&engine, text);
        let mut linker = Linker::new(&engine);
        linker.root().func_wrap_concurrent("soon", |_, ()| -> Running<()> {
            let mut polls = 0;
            // Ready when it is polled again, for which it has asked.
            let soon = std::future::poll_fn(move |context| {
                polls += 1;
                context.waker().wake_by_ref();
                if polls < 3 { Poll::Pending } else { Poll::Ready(Ok(())) }
            });
            Box::pin(soon)
        });
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let turns = super::tasks::result(call(&mut store, instance, "run", &[]));
        assert!(turns < 1000, "{turns}");
    }
}
