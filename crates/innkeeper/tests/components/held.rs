//! Ends of streams and futures that are not where they belong, and functions of the host that fail beside others.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use innkeeper::component::{Accessor, FutureWriter, Linker, Running, StreamWriter, Val, run_concurrent};
use innkeeper::{Error, Store};

use super::{call, component, engines};

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

/// A guest that takes a stream of a type, and leaves it alone.
fn takes(element: &str) -> String {
    format!(
        r#"(component
            (type $s (stream {element}))
            (core func $return (canon task.return))
            (core module $m (import "" "return" (func $return))
                (func (export "take") (param i32) (result i32) (call $return) (i32.const 0))
                (func (export "told") (param i32 i32 i32) (result i32) (i32.const 0)))
            (core instance $m (instantiate $m (with "" (instance (export "return" (func $return))))))
            (core func $new (canon stream.new $s))
            (core func $give-return (canon task.return (result $s)))
            (core module $g
                (import "" "new" (func $new (result i64))) (import "" "return" (func $return (param i32)))
                (func (export "give") (result i32) (call $return (i32.wrap_i64 (call $new))) (i32.const 0)))
            (core instance $g (instantiate $g
                (with "" (instance (export "new" (func $new)) (export "return" (func $give-return))))))
            (func (export "give") async (result $s)
                (canon lift (core func $g "give") async (callback (core func $m "told"))))
            (func (export "take") async (param "s" $s)
                (canon lift (core func $m "take") async (callback (core func $m "told")))))"#
    )
}

/// What a stream's elements are does not depend on whose hands it goes through, and each end is in one place only.
#[test]
fn ends_are_given_once_and_only_as_what_they_are() {
    let types = ["u8", "s8", "u64", "bool", "string", "(tuple u8 u8)"];
    let [engine, _] = engines();
    for element in types {
        for other in types {
            let mut store = Store::new(&engine, ()).unwrap();
            let mut make = |element| {
                let component = component(&engine, &takes(element));
                Linker::new(&engine).instantiate(&mut store, &component).unwrap()
            };
            let (gives, takes) = (make(element), make(other));
            let given = call(&mut store, gives, "give", &[]).unwrap().unwrap();
            let taken = call(&mut store, takes, "take", std::slice::from_ref(&given));
            assert_eq!(taken.is_ok(), element == other, "{element} as {other}: {taken:?}");
            if let Val::Stream(stream) = given {
                let reader = stream.clone().into_reader(&mut store);
                assert_eq!(reader.is_ok(), element != other, "{element} as {other}: {reader:?}");
                stream.into_reader(&mut store).unwrap_err();
            }
        }
    }
}

/// `gives` writes to a stream whose readable end it returns, waits for what comes of it, and keeps that; `told` tells.
const GIVES: &str = r#"(component
    (type $s (stream u8)) (type $n (stream))
    (core module $mem (memory (export "mem") 1))
    (core instance $mem (instantiate $mem))
    (alias core export $mem "mem" (core memory $mem))
    (core func $new (canon stream.new $s)) (core func $write (canon stream.write $s async (memory $mem)))
    (core func $drop (canon stream.drop-writable $s))
    (core func $n-new (canon stream.new $n)) (core func $n-write (canon stream.write $n async))
    (core func $set-new (canon waitable-set.new)) (core func $join (canon waitable.join)) (core func $set-drop (canon waitable-set.drop))
    (core func $return (canon task.return (result $s))) (core func $n-return (canon task.return (result $n)))
    (core module $m
        (import "" "new" (func $new (result i64))) (import "" "write" (func $write (param i32 i32 i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))
        (import "" "n-new" (func $n-new (result i64))) (import "" "n-write" (func $n-write (param i32 i32 i32) (result i32)))
        (import "" "set-new" (func $set-new (result i32))) (import "" "join" (func $join (param i32 i32)))
        (import "" "set-drop" (func $set-drop (param i32)))
        (import "" "return" (func $return (param i32))) (import "" "n-return" (func $n-return (param i32)))
        (global $told (mut i32) (i32.const -1)) (global $set (mut i32) (i32.const 0))
        (func (export "told") (result i32) (global.get $told))
        (func (export "gives") (result i32) (local $ends i64) (local $writable i32)
            (local.set $ends (call $new))
            (local.set $writable (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
            (if (i32.ne (call $write (local.get $writable) (i32.const 0) (i32.const 9)) (i32.const -1)) (then (unreachable)))
            (global.set $told (i32.const -1))
            (global.set $set (call $set-new))
            (call $join (local.get $writable) (global.get $set))
            (call $return (i32.wrap_i64 (local.get $ends)))
            (i32.or (i32.const 2) (i32.shl (global.get $set) (i32.const 4))))
        (func (export "event") (param i32 i32 i32) (result i32)
            (global.set $told (local.get 2))
            (call $drop (local.get 1)) (call $set-drop (global.get $set))
            (i32.const 0))
        ;; As many elements of nothing as there can be.
        (func (export "nothing") (result i32) (local i64)
            (local.set 0 (call $n-new))
            (drop (call $n-write (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32))) (i32.const 0) (i32.const 0xfffffff)))
            (call $n-return (i32.wrap_i64 (local.get 0)))
            (i32.const 0)))
    (core instance $m (instantiate $m (with "" (instance
        (export "new" (func $new)) (export "write" (func $write)) (export "drop" (func $drop))
        (export "n-new" (func $n-new)) (export "n-write" (func $n-write))
        (export "set-new" (func $set-new)) (export "join" (func $join)) (export "set-drop" (func $set-drop))
        (export "return" (func $return)) (export "n-return" (func $n-return))))))
    (func (export "told") (result u32) (canon lift (core func $m "told")))
    (func (export "gives") async (result $s) (canon lift (core func $m "gives") async (callback (core func $m "event"))))
    (func (export "nothing") async (result $n) (canon lift (core func $m "nothing") async (callback (core func $m "event")))))"#;

const DROPPED: Val = Val::U32(1);

/// The host gets a stream and does nothing with it: whoever writes is told that nobody reads, and nothing is left of it.
#[test]
fn c94_ends_that_the_host_ignores_are_dropped() {
    for engine in engines() {
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &component(&engine, GIVES)).unwrap();
        let budget = store.budget().clone();
        let mut used = 0;
        for round in 0..500 {
            let given = call(&mut store, instance, "gives", &[]).unwrap().unwrap();
            let copy = given.clone();
            drop(given);
            assert_eq!(call(&mut store, instance, "told", &[]).unwrap(), Some(Val::U32(u32::MAX)));
            drop(copy);
            // Whoever comes next tells it, and lets it go on.
            let turns = async |accessor: Accessor<()>| {
                accessor.with(|_| ()).await;
                accessor.with(|_| ()).await;
            };
            block(run_concurrent(&mut store, turns)).unwrap();
            assert_eq!(call(&mut store, instance, "told", &[]).unwrap(), Some(DROPPED));
            if round == 100 {
                used = budget.used_bytes();
            }
        }
        assert_eq!(budget.used_bytes(), used);
    }
}

/// A guest says how many elements of nothing there are; how many values the host makes of them at once does not depend on that.
#[test]
fn c100_how_much_is_read_of_nothing_is_bounded() {
    for engine in engines() {
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &component(&engine, GIVES)).unwrap();
        let Some(Val::Stream(stream)) = call(&mut store, instance, "nothing", &[]).unwrap() else {
            panic!("no stream")
        };
        let mut reader = stream.into_reader(&mut store).unwrap();
        let read = async move |accessor: Accessor<()>| reader.read(&accessor, usize::MAX).await;
        let list = block(run_concurrent(&mut store, read)).unwrap().unwrap().unwrap();
        assert!((1..=1 << 16).contains(&list.len()), "{}", list.len());
    }
}

/// A copy that was leaked while it waits is still under way: another one at the same end is refused, and does not take its place.
#[test]
fn a_second_copy_at_one_end_is_refused() {
    let [engine, _] = engines();
    let mut store = Store::new(&engine, ()).unwrap();
    let (mut writer, stream) = StreamWriter::new(&mut store).unwrap();
    let mut reader = stream.into_reader(&mut store).unwrap();
    block(run_concurrent(&mut store, async move |accessor: Accessor<()>| {
        let mut first = Box::pin(writer.write(&accessor, vec![1_u8, 2, 3]));
        let is_pending = poll_fn(|context| Poll::Ready(first.as_mut().poll(context).is_pending())).await;
        assert!(is_pending);
        accessor.with(|_| ()).await;
        std::mem::forget(first);
        let error = writer.write(&accessor, vec![4_u8]).await.unwrap_err().to_string();
        assert!(error.contains("one is under way"), "{error}");
        // What the first one has written is there.
        let read = reader.read(&accessor, 10).await.unwrap().unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), [Val::U8(1), Val::U8(2), Val::U8(3)]);
    }))
    .unwrap();
}

/// Elements that are no values of their type are found when both ends are there, and trap whoever comes second, as the definitions have it: here the reader, of another component that a host has linked.
#[test]
fn elements_that_are_no_values_trap_whoever_comes_second() {
    let writer = r#"(component
        (type $s (stream (option u8)))
        (core module $mem (memory (export "mem") 1) (data (i32.const 0) "\00\00\02\00"))
        (core instance $mem (instantiate $mem))
        (alias core export $mem "mem" (core memory $mem))
        (core func $new (canon stream.new $s)) (core func $write (canon stream.write $s async (memory $mem)))
        (core module $m (import "" "new" (func $new (result i64))) (import "" "write" (func $write (param i32 i32 i32) (result i32)))
            (func (export "gives") (result i32) (local i64) (local.set 0 (call $new))
                (drop (call $write (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32))) (i32.const 0) (i32.const 2)))
                (i32.wrap_i64 (local.get 0)))
            (func (export "lives") (result i32) (i32.const 1)))
        (core instance $m (instantiate $m (with "" (instance (export "new" (func $new)) (export "write" (func $write))))))
        (func (export "gives") (result $s) (canon lift (core func $m "gives")))
        (func (export "lives") (result u32) (canon lift (core func $m "lives"))))"#;
    let reader = r#"(component
        (type $s (stream (option u8)))
        (core module $mem (memory (export "mem") 1))
        (core instance $mem (instantiate $mem))
        (alias core export $mem "mem" (core memory $mem))
        (core func $read (canon stream.read $s async (memory $mem)))
        (core module $m (import "" "read" (func $read (param i32 i32 i32) (result i32)))
            (func (export "reads") (param i32 i32) (result i32) (call $read (local.get 0) (i32.const 0) (local.get 1))))
        (core instance $m (instantiate $m (with "" (instance (export "read" (func $read))))))
        (func (export "reads") (param "s" $s) (param "n" u32) (result u32) (canon lift (core func $m "reads"))))"#;
    for engine in engines() {
        for (count, is_good) in [(1, true), (2, false)] {
            let mut store = Store::new(&engine, ()).unwrap();
            let mut make =
                |text| Linker::new(&engine).instantiate(&mut store, &component(&engine, text)).unwrap();
            let (writes, reads) = (make(writer), make(reader));
            let stream = call(&mut store, writes, "gives", &[]).unwrap().unwrap();
            let read = call(&mut store, reads, "reads", &[stream, Val::U32(count)]);
            assert_eq!(read.is_ok(), is_good, "{read:?}");
            assert_eq!(reads.is_poisoned(&mut store), !is_good);
            assert!(!writes.is_poisoned(&mut store));
            assert_eq!(call(&mut store, writes, "lives", &[]).unwrap(), Some(Val::U32(1)));
        }
    }
}
