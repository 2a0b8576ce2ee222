//! Ends of streams and futures that the host holds: guests read what it writes and write what it reads, in parts, until one of them has enough.

use std::sync::{Arc, Mutex};

use innkeeper::component::{
    Accessor, Component, Feature, Features, FutureWriter, Instance, Linker, List, Running, StreamWriter, Val,
};
use innkeeper::{Engine, Error, Store};

use super::{call, engines};

#[derive(Default)]
struct Data {
    /// What `sink` has read.
    read: Arc<Mutex<Vec<u8>>>,
    /// How many of its elements `source` got rid of.
    written: Arc<Mutex<Vec<usize>>>,
}

const TEXT: &str = r#"(component
    (import "source" (func $source async (result (stream u8))))
    (import "sink" (func $sink async (param "s" (stream u8)) (param "most" u32) (result u32)))
    (import "later" (func $later async (result (future u32))))
    (core module $mem (memory (export "mem") 1))
    (core instance $mem (instantiate $mem))
    (alias core export $mem "mem" (core memory $mem))
    (type $s (stream u8)) (type $f (future u32))
    (core func $source (canon lower (func $source)))
    (core func $later (canon lower (func $later)))
    (core func $sink (canon lower (func $sink)))
    (core func $sink-async (canon lower (func $sink) async (memory $mem)))
    (core func $return (canon task.return (result u32)))
    (core func $new (canon stream.new $s))
    (core func $read (canon stream.read $s (memory $mem)))
    (core func $write (canon stream.write $s (memory $mem)))
    (core func $drop-r (canon stream.drop-readable $s))
    (core func $drop-w (canon stream.drop-writable $s))
    (core func $f-read (canon future.read $f (memory $mem)))
    (core func $f-drop (canon future.drop-readable $f))
    (core func $set-new (canon waitable-set.new))
    (core func $set-wait (canon waitable-set.wait (memory $mem)))
    (core func $join (canon waitable.join))
    (core module $m
        (import "" "mem" (memory 1))
        (import "" "source" (func $source (result i32)))
        (import "" "later" (func $later (result i32)))
        (import "" "sink" (func $sink (param i32 i32) (result i32)))
        (import "" "sink-async" (func $sink-async (param i32 i32 i32) (result i32)))
        (import "" "return" (func $return (param i32)))
        (import "" "new" (func $new (result i64)))
        (import "" "read" (func $read (param i32 i32 i32) (result i32)))
        (import "" "write" (func $write (param i32 i32 i32) (result i32)))
        (import "" "drop-r" (func $drop-r (param i32)))
        (import "" "drop-w" (func $drop-w (param i32)))
        (import "" "f-read" (func $f-read (param i32 i32) (result i32)))
        (import "" "f-drop" (func $f-drop (param i32)))
        (import "" "set-new" (func $set-new (result i32)))
        (import "" "set-wait" (func $set-wait (param i32 i32) (result i32)))
        (import "" "join" (func $join (param i32 i32)))
        ;; Reads seven at a time until there is no more, and adds all up.
        (func (export "sum") (local i32 i32 i32 i32)
            (local.set 0 (call $source))
            (loop $more
                (local.set 1 (call $read (local.get 0) (i32.const 100) (i32.const 7)))
                (local.set 2 (i32.shr_u (local.get 1) (i32.const 4)))
                (loop $each
                    (if (local.get 2) (then
                        (local.set 2 (i32.sub (local.get 2) (i32.const 1)))
                        (local.set 3 (i32.add (local.get 3) (i32.load8_u offset=100 (local.get 2))))
                        (br $each))))
                (br_if $more (i32.eqz (i32.and (local.get 1) (i32.const 15)))))
            (call $drop-r (local.get 0))
            (call $return (local.get 3)))
        ;; Reads three, and wants no more.
        (func (export "three") (local i32)
            (local.set 0 (call $source))
            (drop (call $read (local.get 0) (i32.const 100) (i32.const 3)))
            (call $drop-r (local.get 0))
            (call $return (i32.load8_u (i32.const 102))))
        ;; Writes ten while the host reads so many at a time.
        (func (export "feed") (param i32) (local i64 i32 i32)
            (local.set 1 (call $new))
            (local.set 2 (call $sink-async (i32.wrap_i64 (local.get 1)) (local.get 0) (i32.const 64)))
            (i64.store (i32.const 200) (i64.const 0x0807060504030201)) (i32.store16 (i32.const 208) (i32.const 0x0a09))
            (loop $more
                (local.set 3 (i32.add (local.get 3) (i32.shr_u (call $write
                    (i32.wrap_i64 (i64.shr_u (local.get 1) (i64.const 32)))
                    (i32.add (i32.const 200) (local.get 3)) (i32.sub (i32.const 10) (local.get 3))) (i32.const 4))))
                (br_if $more (i32.lt_u (local.get 3) (i32.const 10))))
            (call $drop-w (i32.wrap_i64 (i64.shr_u (local.get 1) (i64.const 32))))
            (local.set 3 (call $set-new))
            (call $join (i32.shr_u (local.get 2) (i32.const 4)) (local.get 3))
            (drop (call $set-wait (local.get 3) (i32.const 0)))
            (call $return (i32.load (i32.const 64))))
        ;; Passes on what it was given.
        (func (export "pass") (call $return (call $sink (call $source) (i32.const 4))))
        (func (export "later") (local i32)
            (local.set 0 (call $later))
            (drop (call $f-read (local.get 0) (i32.const 300)))
            (call $f-drop (local.get 0))
            (call $return (i32.load (i32.const 300)))))
    (core instance $m (instantiate $m (with "" (instance
        (export "mem" (memory $mem)) (export "source" (func $source)) (export "later" (func $later))
        (export "sink" (func $sink)) (export "sink-async" (func $sink-async)) (export "return" (func $return))
        (export "new" (func $new)) (export "read" (func $read)) (export "write" (func $write))
        (export "drop-r" (func $drop-r)) (export "drop-w" (func $drop-w)) (export "f-read" (func $f-read))
        (export "f-drop" (func $f-drop)) (export "set-new" (func $set-new)) (export "set-wait" (func $set-wait)) (export "join" (func $join))))))
    (func (export "sum") async (result u32) (canon lift (core func $m "sum") async))
    (func (export "three") async (result u32) (canon lift (core func $m "three") async))
    (func (export "feed") async (param "most" u32) (result u32) (canon lift (core func $m "feed") async))
    (func (export "pass") async (result u32) (canon lift (core func $m "pass") async))
    (func (export "later") async (result u32) (canon lift (core func $m "later") async)))"#;

/// Writes a hundred numbers, ten at a time.
async fn write_all(accessor: Accessor<Data>, mut writer: StreamWriter) -> Result<(), Error> {
    for tens in 0..10_u8 {
        let list: Vec<u8> = (tens * 10..tens * 10 + 10).collect();
        let count = writer.write(&accessor, list).await?;
        let written = accessor.with(|store| Arc::clone(&store.data().written)).await;
        written.lock().unwrap().push(count);
        if count < 10 {
            break;
        }
    }
    Ok(())
}

fn instance(engine: &Engine) -> (Store<Data>, Instance) {
    let features = [Feature::StackfulAsync, Feature::MoreAsyncBuiltins];
    let features = features.into_iter().fold(Features::default(), Features::with);
    let bytes = innkeeper::to_binary(TEXT.as_bytes()).unwrap();
    let component = Component::with_features(engine, bytes, features).unwrap();
    let mut store = Store::new(engine, Data::default()).unwrap();
    let mut linker = Linker::<Data>::new(engine);
    let mut root = linker.root();
    root.func_new_concurrent("source", |accessor, _| -> Running<Option<Val>> {
        Box::pin(async move {
            let (writer, stream) = accessor.with(|store| StreamWriter::new(store)).await?;
            accessor.spawn(write_all(accessor.clone(), writer));
            Ok(Some(Val::Stream(stream)))
        })
    });
    root.func_new_concurrent("sink", |accessor, params| -> Running<Option<Val>> {
        Box::pin(async move {
            let (Val::Stream(stream), Val::U32(most)) = (params[0].clone(), params[1].clone()) else {
                panic!("{params:?}")
            };
            let mut reader = accessor.with(move |store| stream.into_reader(store)).await?;
            let read = accessor.with(|store| Arc::clone(&store.data().read)).await;
            let mut sum = 0;
            while let Some(list) = reader.read(&accessor, most as usize).await? {
                assert!(list.len() <= most as usize);
                let List::U8(bytes) = list else { panic!("{list:?}") };
                sum += bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>();
                read.lock().unwrap().extend(bytes);
            }
            Ok(Some(Val::U32(sum)))
        })
    });
    root.func_new_concurrent("later", |accessor, _| -> Running<Option<Val>> {
        Box::pin(async move {
            let (writer, future) = accessor.with(|store| FutureWriter::new(store)).await?;
            let beside = accessor.clone();
            accessor.spawn(async move { writer.write(&beside, Val::U32(4711)).await.map(drop) });
            Ok(Some(Val::Future(future)))
        })
    });
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

fn run(store: &mut Store<Data>, instance: Instance, name: &str, params: &[Val]) -> u32 {
    match call(store, instance, name, params).unwrap_or_else(|error| panic!("{name}: {error}")) {
        Some(Val::U32(value)) => value,
        other => panic!("{other:?}"),
    }
}

#[test]
fn guests_read_what_the_host_writes() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        assert_eq!(run(&mut store, instance, "sum", &[]), (0..100).sum());
        assert_eq!(*store.data().written.lock().unwrap(), [10; 10]);
    }
}

#[test]
fn the_host_learns_that_a_guest_wants_no_more() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        assert_eq!(run(&mut store, instance, "three", &[]), 2);
        // What it was about goes on with the next call.
        assert_eq!(run(&mut store, instance, "later", &[]), 4711);
        assert_eq!(*store.data().written.lock().unwrap(), [3]);
    }
}

#[test]
fn the_host_reads_what_guests_write_in_parts_that_it_chooses() {
    for engine in engines() {
        for most in [1, 3, 10, 1000] {
            let (mut store, instance) = instance(&engine);
            assert_eq!(run(&mut store, instance, "feed", &[Val::U32(most)]), 55, "{most}");
            assert_eq!(*store.data().read.lock().unwrap(), (1..=10).collect::<Vec<u8>>());
        }
    }
}

/// C99: a guest that passes an end on has no part in what goes through it.
#[test]
fn c99_both_ends_may_be_the_hosts() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        assert_eq!(run(&mut store, instance, "pass", &[]), (0..100).sum());
        assert_eq!(*store.data().read.lock().unwrap(), (0..100).collect::<Vec<u8>>());
    }
}

#[test]
fn futures_of_the_host_are_read_by_guests() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        assert_eq!(run(&mut store, instance, "later", &[]), 4711);
    }
}
