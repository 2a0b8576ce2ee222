//! Ends of streams and futures that are not where they belong, and functions of the host that fail beside others.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use innkeeper::component::{Accessor, FutureWriter, Linker, Running, StreamWriter, Val, run_concurrent};
use innkeeper::{Error, Store};

use super::{component, engines};

/// What comes of a future that waits for nothing but a store's threads.
fn block<R>(future: impl Future<Output = R>) -> R {
    let mut future = pin!(future);
    for _ in 0..1000 {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
    panic!("it is never ready")
}

/// The other store has a stream or future under the same key, which is left alone.
#[test]
fn ends_are_refused_with_access_to_another_store() {
    let [engine, _] = engines();
    let mut other = Store::new(&engine, ()).unwrap();
    let mut kept = Vec::new();
    for _ in 0..4 {
        kept.push(StreamWriter::new(&mut other).unwrap());
    }
    let mut store = Store::new(&engine, ()).unwrap();
    let (mut writes, _) = StreamWriter::new(&mut store).unwrap();
    let (_, stream) = StreamWriter::new(&mut store).unwrap();
    let (writes_once, _) = FutureWriter::new(&mut store).unwrap();
    let (_, future) = FutureWriter::new(&mut store).unwrap();
    let mut reads = stream.into_reader(&mut store).unwrap();
    let reads_once = future.into_reader(&mut store).unwrap();
    let refused = block(run_concurrent(&mut other, async move |accessor: Accessor<()>| {
        [
            writes.write(&accessor, vec![0xaa_u8; 4]).await.map(drop),
            reads.read(&accessor, 4).await.map(drop),
            writes_once.write(&accessor, Val::U8(1)).await.map(drop),
            reads_once.read(&accessor).await.map(drop),
        ]
    }));
    for refused in refused.unwrap() {
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("another store"), "{error}");
    }
}

/// Two futures are woken at once, and the first of them fails: the other one is polled by the next who comes.
#[test]
fn what_was_woken_is_polled_though_another_one_has_failed() {
    let [engine, _] = engines();
    let mut store = Store::new(&engine, ()).unwrap();
    let (is_open, has_run) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let wakers = Arc::new(Mutex::new(Vec::<Waker>::new()));
    let wait = || {
        let (is_open, wakers) = (Arc::clone(&is_open), Arc::clone(&wakers));
        poll_fn(move |context| {
            if is_open.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            wakers.lock().unwrap().push(context.waker().clone());
            Poll::Pending
        })
    };
    let (fails, runs, ran) = (wait(), wait(), Arc::clone(&has_run));
    let failed = block(run_concurrent(&mut store, async |accessor: Accessor<()>| {
        accessor.spawn(async move {
            fails.await;
            Err(Error::from_host(std::fmt::Error))
        });
        accessor.spawn(async move {
            runs.await;
            ran.store(true, Ordering::Relaxed);
            Ok(())
        });
        while wakers.lock().unwrap().len() < 2 {
            accessor.with(|_| ()).await;
        }
        is_open.store(true, Ordering::Relaxed);
        wakers.lock().unwrap().drain(..).for_each(Waker::wake);
        std::future::pending::<()>().await;
    }));
    assert!(failed.unwrap_err().downcast_ref::<std::fmt::Error>().is_some());
    assert!(!has_run.load(Ordering::Relaxed));
    let waits = poll_fn(|_| if has_run.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending });
    block(run_concurrent(&mut store, async |_: Accessor<()>| waits.await)).unwrap();
}

/// Whoever drops a call's future runs no guest: the task is told by the next who lets the store's threads run, which is where its trap comes out.
#[test]
fn guests_are_told_of_a_dropped_call_by_the_next_who_lets_them_run() {
    const TEXT: &str = r#"(component
        (import "wait" (func $wait async))
        (core func $wait' (canon lower (func $wait) async))
        (core func $return (canon task.return))
        (core func $set-new (canon waitable-set.new))
        (core func $join (canon waitable.join))
        (core module $m
            (import "" "wait" (func $wait (result i32)))
            (import "" "set-new" (func $set-new (result i32)))
            (import "" "join" (func $join (param i32 i32)))
            (func (export "f") (result i32) (local i32)
                (local.set 0 (call $set-new))
                (call $join (i32.shr_u (call $wait) (i32.const 4)) (local.get 0))
                (i32.or (i32.const 2) (i32.shl (local.get 0) (i32.const 4))))
            (func (export "told") (param i32 i32 i32) (result i32) (unreachable)))
        (core instance $m (instantiate $m (with "" (instance
            (export "wait" (func $wait')) (export "set-new" (func $set-new)) (export "join" (func $join))))))
        (func (export "f") async (canon lift (core func $m "f") async (callback (core func $m "told")))))"#;
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker.root().func_wrap_concurrent("wait", |_, (): ()| -> Running<()> {
            Box::pin(std::future::pending::<Result<(), Error>>())
        });
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, TEXT)).unwrap();
        let func = instance.get_func(&mut store, "f").unwrap();
        {
            let mut results = [];
            let mut running = Box::pin(func.call_async(&mut store, &[], &mut results));
            let context = &mut Context::from_waker(Waker::noop());
            assert!(running.as_mut().poll(context).is_pending());
        }
        assert!(!instance.is_poisoned(&mut store));
        let waits = async |_: Accessor<()>| std::future::pending::<()>().await;
        let error = block(run_concurrent(&mut store, waits)).unwrap_err();
        assert!(error.trap().is_some(), "{error}");
        assert!(instance.is_poisoned(&mut store));
    }
}
