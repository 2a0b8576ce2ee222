//! C98: what the host does at its ends of streams, in every way that it can end: too little, too much, nothing, an error, a panic, dropped early and late.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use innkeeper::component::{
    Component, Feature, Features, Instance, Linker, List, Running, StreamReader, StreamWriter, Val,
};
use innkeeper::{Engine, Error, Store};

use super::{call, engines, tasks};

/// `reads` asks for a stream in a mode and reads seven twice; `writes` gives one away and writes five twice. Both tell what they were told, the second time in the upper half.
const TEXT: &str = r#"(component
    (import "source" (func $source async (param "how" u32) (result (stream u8))))
    (import "sink" (func $sink async (param "s" (stream u8)) (param "how" u32)))
    (core module $mem (memory (export "mem") 1))
    (core instance $mem (instantiate $mem))
    (alias core export $mem "mem" (core memory $mem))
    (type $s (stream u8))
    (core func $source (canon lower (func $source)))
    (core func $sink (canon lower (func $sink)))
    (core func $return (canon task.return (result u32)))
    (core func $new (canon stream.new $s))
    (core func $read (canon stream.read $s (memory $mem)))
    (core func $write (canon stream.write $s (memory $mem)))
    (core func $drop-r (canon stream.drop-readable $s))
    (core func $drop-w (canon stream.drop-writable $s))
    (core module $m
        (import "" "mem" (memory 1))
        (import "" "source" (func $source (param i32) (result i32)))
        (import "" "sink" (func $sink (param i32 i32)))
        (import "" "return" (func $return (param i32)))
        (import "" "new" (func $new (result i64)))
        (import "" "read" (func $read (param i32 i32 i32) (result i32)))
        (import "" "write" (func $write (param i32 i32 i32) (result i32)))
        (import "" "drop-r" (func $drop-r (param i32)))
        (import "" "drop-w" (func $drop-w (param i32)))
        (func (export "reads") (param i32) (local i32 i32 i32)
            (local.set 1 (call $source (local.get 0)))
            (local.set 2 (call $read (local.get 1) (i32.const 100) (i32.const 7)))
            (if (i32.eqz (i32.and (local.get 2) (i32.const 15))) (then
                (local.set 3 (call $read (local.get 1) (i32.const 100) (i32.const 7)))))
            (call $drop-r (local.get 1))
            (call $return (i32.or (local.get 2) (i32.shl (local.get 3) (i32.const 16)))))
        (func (export "writes") (param i32) (local i32 i32 i32 i64)
            (local.set 4 (call $new))
            (local.set 1 (i32.wrap_i64 (i64.shr_u (local.get 4) (i64.const 32))))
            (call $sink (i32.wrap_i64 (local.get 4)) (local.get 0))
            (local.set 2 (call $write (local.get 1) (i32.const 100) (i32.const 5)))
            (if (i32.eqz (i32.and (local.get 2) (i32.const 15))) (then
                (local.set 3 (call $write (local.get 1) (i32.const 100) (i32.const 5)))))
            (call $drop-w (local.get 1))
            (call $return (i32.or (local.get 2) (i32.shl (local.get 3) (i32.const 16))))))
    (core instance $m (instantiate $m (with "" (instance (export "mem" (memory $mem))
        (export "source" (func $source)) (export "sink" (func $sink)) (export "return" (func $return)) (export "new" (func $new))
        (export "read" (func $read)) (export "write" (func $write)) (export "drop-r" (func $drop-r)) (export "drop-w" (func $drop-w))))))
    (func (export "reads") async (param "how" u32) (result u32) (canon lift (core func $m "reads") async))
    (func (export "writes") async (param "how" u32) (result u32) (canon lift (core func $m "writes") async)))"#;

const DROPPED: u32 = 1;
/// [`How::AtOnce`]
const AT_ONCE: u32 = 3;

/// What the host does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Less than the guest asks for, and then no more.
    Fewer,
    /// More than it asks for at once.
    More,
    /// Nothing, and then no more.
    Zero,
    /// It goes before it has done anything.
    AtOnce,
    /// It fails.
    Error,
    Panic,
    /// It keeps its end, for whoever has the store to drop.
    Late,
}

const ALL: [How; 7] = [How::Fewer, How::More, How::Zero, How::AtOnce, How::Error, How::Panic, How::Late];

#[derive(Default)]
struct Data {
    kept: Arc<Mutex<(Vec<StreamWriter>, Vec<StreamReader>)>>,
}

fn fails() -> Error {
    Error::from_host(std::fmt::Error)
}

fn linker(engine: &Engine) -> Linker<Data> {
    let mut linker = Linker::<Data>::new(engine);
    let mut root = linker.root();
    root.func_new_concurrent("source", |accessor, params| -> Running<Option<Val>> {
        Box::pin(async move {
            let [Val::U32(how)] = params[..] else { panic!("{params:?}") };
            let (mut writer, stream) = accessor.with(|store| StreamWriter::new(store)).await?;
            let beside = accessor.clone();
            accessor.spawn(async move {
                let bytes = |count: u8| (0..count).collect::<Vec<u8>>();
                match ALL[how as usize] {
                    How::Fewer => assert_eq!(writer.write(&beside, bytes(3)).await?, 3),
                    How::More => assert_eq!(writer.write(&beside, bytes(10)).await?, 10),
                    How::Zero => assert_eq!(writer.write(&beside, bytes(0)).await?, 0),
                    How::AtOnce => {}
                    How::Error => return Err(fails()),
                    How::Panic => panic!("of the test"),
                    How::Late => {
                        writer.write(&beside, bytes(7)).await?;
                        writer.write(&beside, bytes(7)).await?;
                        let kept = beside.with(|store| Arc::clone(&store.data().kept)).await;
                        kept.lock().unwrap().0.push(writer);
                    }
                }
                Ok(())
            });
            Ok(Some(Val::Stream(stream)))
        })
    });
    root.func_new_concurrent("sink", |accessor, params| -> Running<Option<Val>> {
        Box::pin(async move {
            let [Val::Stream(stream), Val::U32(how)] = &params[..] else { panic!("{params:?}") };
            let (stream, how) = (stream.clone(), *how);
            let mut reader = accessor.with(move |store| stream.into_reader(store)).await?;
            let beside = accessor.clone();
            accessor.spawn(async move {
                let len = |list: Option<List>| list.map_or(0, |list| list.len());
                match ALL[how as usize] {
                    How::Fewer => assert_eq!(len(reader.read(&beside, 3).await?), 3),
                    How::More => {
                        assert_eq!(len(reader.read(&beside, 100).await?), 5);
                        assert_eq!(len(reader.read(&beside, 2).await?), 2);
                    }
                    // At least one.
                    How::Zero => assert_eq!(len(reader.read(&beside, 0).await?), 1),
                    How::AtOnce => {}
                    How::Error => return Err(fails()),
                    How::Panic => panic!("of the test"),
                    How::Late => {
                        reader.read(&beside, 5).await?;
                        reader.read(&beside, 5).await?;
                        let kept = beside.with(|store| Arc::clone(&store.data().kept)).await;
                        kept.lock().unwrap().1.push(reader);
                    }
                }
                Ok(())
            });
            Ok(None)
        })
    });
    linker
}

fn instance(engine: &Engine) -> (Store<Data>, Instance) {
    let features = [Feature::StackfulAsync, Feature::MoreAsyncBuiltins];
    let features = features.into_iter().fold(Features::default(), Features::with);
    let bytes = innkeeper::to_binary(TEXT.as_bytes()).unwrap();
    let component = Component::with_features(engine, bytes, features).unwrap();
    let mut store = Store::new(engine, Data::default()).unwrap();
    let instance = linker(engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

/// What a guest is told the first and the second time; none where the call fails.
fn expected(name: &str, how: How) -> Option<(u32, u32)> {
    let went = |count: u32| count << 4;
    let of_reads = name == "reads";
    match how {
        How::Fewer => Some((went(3), DROPPED)),
        How::More if of_reads => Some((went(7), went(3))),
        // What it has not written of the second time is told with that it is dropped.
        How::More => Some((went(5), went(2))),
        How::Zero if of_reads => Some((DROPPED, 0)),
        How::Zero => Some((went(1), DROPPED)),
        How::AtOnce => Some((DROPPED, 0)),
        How::Late if of_reads => Some((went(7), went(7))),
        How::Late => Some((went(5), went(5))),
        How::Error | How::Panic => None,
    }
}

#[test]
fn c98_the_host_ends_in_every_way_at_its_end_of_a_stream() {
    for engine in engines() {
        for name in ["reads", "writes"] {
            for (number, how) in ALL.into_iter().enumerate() {
                let (mut store, instance) = instance(&engine);
                let given = [Val::U32(number as u32)];
                let ended = catch_unwind(AssertUnwindSafe(|| call(&mut store, instance, name, &given)));
                match (expected(name, how), ended) {
                    (Some((first, second)), Ok(ended)) => {
                        assert_eq!(tasks::result(ended), first | second << 16, "{name} {how:?}");
                    }
                    (None, Ok(ended)) => {
                        assert_eq!(how, How::Error);
                        let error = ended.unwrap_err();
                        assert!(error.downcast_ref::<std::fmt::Error>().is_some(), "{error}");
                        assert!(!instance.is_poisoned(&mut store), "{name}");
                    }
                    (expected, Err(_)) => assert_eq!((expected, how), (None, How::Panic), "{name}"),
                }
                // What the host is about has its turn when somebody lets the guests run.
                if how == How::Late {
                    call(&mut store, instance, "reads", &[Val::U32(AT_ONCE)]).unwrap();
                }
                // Whatever it was, the store is as good as before; what is kept is dropped while nobody calls.
                let kept = std::mem::take(&mut *store.data().kept.lock().unwrap());
                assert_eq!(kept.0.len() + kept.1.len(), usize::from(how == How::Late));
                drop(kept);
                let component = Component::with_features(
                    &engine,
                    innkeeper::to_binary(TEXT.as_bytes()).unwrap(),
                    Features::default().with(Feature::StackfulAsync).with(Feature::MoreAsyncBuiltins),
                );
                let other = linker(&engine).instantiate(&mut store, &component.unwrap()).unwrap();
                assert_eq!(
                    tasks::result(call(&mut store, other, "reads", &[Val::U32(0)])),
                    3 << 4 | DROPPED << 16
                );
            }
        }
    }
}

/// Ends that the host drops after all, whenever it does, leave nothing.
#[test]
fn c98_ends_that_are_dropped_late_leave_nothing() {
    let late = ALL.iter().position(|how| *how == How::Late).unwrap() as u32;
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        let budget = store.budget().clone();
        let mut used = 0;
        for round in 0..600 {
            for name in ["reads", "writes"] {
                call(&mut store, instance, name, &[Val::U32(late)]).unwrap();
            }
            if round % 3 == 0 {
                drop(std::mem::take(&mut *store.data().kept.lock().unwrap()));
            }
            if round == 90 {
                used = budget.used_bytes();
            }
        }
        assert_eq!(budget.used_bytes(), used);
    }
}
