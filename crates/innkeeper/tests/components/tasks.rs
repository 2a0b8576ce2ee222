//! Async functions of guests: tasks, subtasks, waitables, streams and futures, case by case. What the component model's own tests have is not repeated here.

use std::time::Duration;

use innkeeper::component::{Component, Feature, Features, Instance, Linker, Trap, Val};
use innkeeper::{Config, Engine, Error, Store};

use super::{call, engines};

/// A component whose module has the functions around tasks at hand, a memory, and a body; `exports` lifts what it has.
pub(super) fn component(engine: &Engine, body: &str, exports: &str) -> Component {
    let text = format!(
        r#"(component
        (core module $mem (memory (export "mem") 1))
        (core instance $mem (instantiate $mem))
        (alias core export $mem "mem" (core memory $mem))
        (type $s (stream u8)) (type $f (future u8))
        (core func $return (canon task.return (result u32)))
        (core func $cancel-task (canon task.cancel))
        (core func $yield (canon thread.yield))
        (core func $inc (canon backpressure.inc))
        (core func $dec (canon backpressure.dec))
        (core func $set (canon context.set i32 0))
        (core func $get (canon context.get i32 0))
        (core func $set-new (canon waitable-set.new))
        (core func $set-wait (canon waitable-set.wait (memory $mem)))
        (core func $set-poll (canon waitable-set.poll (memory $mem)))
        (core func $set-drop (canon waitable-set.drop))
        (core func $join (canon waitable.join))
        (core func $s-new (canon stream.new $s))
        (core func $s-read (canon stream.read $s async (memory $mem)))
        (core func $s-read-sync (canon stream.read $s (memory $mem)))
        (core func $s-write (canon stream.write $s async (memory $mem)))
        (core func $s-cancel-read (canon stream.cancel-read $s))
        (core func $s-drop-r (canon stream.drop-readable $s))
        (core func $s-drop-w (canon stream.drop-writable $s))
        (core func $f-new (canon future.new $f))
        (core func $f-read (canon future.read $f async (memory $mem)))
        (core func $f-write (canon future.write $f async (memory $mem)))
        (core func $f-drop-r (canon future.drop-readable $f))
        (core func $f-drop-w (canon future.drop-writable $f))
        (core module $m
            (import "" "mem" (memory 1))
            (import "" "return" (func $return (param i32)))
            (import "" "cancel-task" (func $cancel-task))
            (import "" "yield" (func $yield (result i32)))
            (import "" "inc" (func $inc)) (import "" "dec" (func $dec))
            (import "" "set" (func $set (param i32))) (import "" "get" (func $get (result i32)))
            (import "" "set-new" (func $set-new (result i32)))
            (import "" "set-wait" (func $set-wait (param i32 i32) (result i32)))
            (import "" "set-poll" (func $set-poll (param i32 i32) (result i32)))
            (import "" "set-drop" (func $set-drop (param i32)))
            (import "" "join" (func $join (param i32 i32)))
            (import "" "s-new" (func $s-new (result i64)))
            (import "" "s-read" (func $s-read (param i32 i32 i32) (result i32)))
            (import "" "s-read-sync" (func $s-read-sync (param i32 i32 i32) (result i32)))
            (import "" "s-write" (func $s-write (param i32 i32 i32) (result i32)))
            (import "" "s-cancel-read" (func $s-cancel-read (param i32) (result i32)))
            (import "" "s-drop-r" (func $s-drop-r (param i32)))
            (import "" "s-drop-w" (func $s-drop-w (param i32)))
            (import "" "f-new" (func $f-new (result i64)))
            (import "" "f-read" (func $f-read (param i32 i32) (result i32)))
            (import "" "f-write" (func $f-write (param i32 i32) (result i32)))
            (import "" "f-drop-r" (func $f-drop-r (param i32)))
            (import "" "f-drop-w" (func $f-drop-w (param i32)))
            (global $kept (mut i32) (i32.const 0))
            (func $low (param i64) (result i32) (i32.wrap_i64 (local.get 0)))
            (func $high (param i64) (result i32) (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32))))
            (func (export "cb") (param i32 i32 i32) (result i32)
                (call $return (local.get 0)) (i32.const 0))
            {body})
        (core instance $m (instantiate $m (with "" (instance
            (export "mem" (memory $mem)) (export "return" (func $return)) (export "cancel-task" (func $cancel-task))
            (export "yield" (func $yield)) (export "inc" (func $inc)) (export "dec" (func $dec))
            (export "set" (func $set)) (export "get" (func $get))
            (export "set-new" (func $set-new)) (export "set-wait" (func $set-wait)) (export "set-poll" (func $set-poll))
            (export "set-drop" (func $set-drop)) (export "join" (func $join))
            (export "s-new" (func $s-new)) (export "s-read" (func $s-read)) (export "s-read-sync" (func $s-read-sync)) (export "s-write" (func $s-write))
            (export "s-cancel-read" (func $s-cancel-read)) (export "s-drop-r" (func $s-drop-r)) (export "s-drop-w" (func $s-drop-w))
            (export "f-new" (func $f-new)) (export "f-read" (func $f-read)) (export "f-write" (func $f-write))
            (export "f-drop-r" (func $f-drop-r)) (export "f-drop-w" (func $f-drop-w))))))
        {exports})"#
    );
    let bytes = innkeeper::to_binary(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let features = [Feature::StackfulAsync, Feature::MoreAsyncBuiltins];
    let features = features.into_iter().fold(Features::default(), Features::with);
    Component::with_features(engine, bytes, features).unwrap()
}

/// Lifts a function with a callback.
pub(super) const CALLBACK: &str = r#"(func (export "f") async (result u32)
    (canon lift (core func $m "f") async (callback (core func $m "cb"))))"#;

/// Lifts one that is left in the middle where it waits.
pub(super) const STACKFUL: &str =
    r#"(func (export "f") async (result u32) (canon lift (core func $m "f") async))"#;

/// One whose type is async, and nothing else of it.
pub(super) const PLAIN: &str = r#"(func (export "f") async (result u32) (canon lift (core func $m "f")))"#;

pub(super) fn instance(engine: &Engine, body: &str, exports: &str) -> (Store<()>, Instance) {
    let component = component(engine, body, exports);
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

pub(super) fn result(outcome: Result<Option<Val>, Error>) -> u32 {
    match outcome.unwrap_or_else(|error| panic!("{error}")) {
        Some(Val::U32(value)) => value,
        other => panic!("{other:?}"),
    }
}

/// Runs a body in both tiers, which must return a number.
pub(super) fn returns(body: &str, exports: &str, expected: u32) {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, body, exports);
        assert_eq!(result(call(&mut store, instance, "f", &[])), expected, "{body}");
    }
}

/// Runs a body in both tiers, which must trap; nothing can be called after it.
pub(super) fn traps(body: &str, exports: &str, expected: &Trap) {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, body, exports);
        let error = call(&mut store, instance, "f", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(expected), "{body}: {error}");
        assert!(instance.is_poisoned(&mut store), "{body}");
        let error = call(&mut store, instance, "f", &[]).unwrap_err().to_string();
        assert!(error.starts_with("wasm trap: cannot enter component instance"), "{error}");
    }
}

#[test]
fn c74_a_task_returns_once() {
    traps(r#"(func (export "f") (result i32) (i32.const 0))"#, CALLBACK, &Trap::NotReturned);
    traps(r#"(func (export "f"))"#, STACKFUL, &Trap::NotReturned);
    let twice = r#"(func (export "f") (call $return (i32.const 1)) (call $return (i32.const 1)))"#;
    traps(twice, STACKFUL, &Trap::ReturnedTwice);
    let in_sync = r#"(func (export "f") (result i32) (call $return (i32.const 1)) (i32.const 1))"#;
    traps(in_sync, PLAIN, &Trap::NotAsync);
    let cancels = r#"(func (export "f") (call $cancel-task))"#;
    traps(cancels, STACKFUL, &Trap::NotCancelled);
    returns(r#"(func (export "f") (call $return (i32.const 7)))"#, STACKFUL, 7);
}

#[test]
fn c75_a_callback_says_what_is_to_come() {
    for code in [3, 15] {
        let body = format!(r#"(func (export "f") (result i32) (i32.const {code}))"#);
        traps(&body, CALLBACK, &Trap::UnknownCallbackCode(code));
    }
    traps(r#"(func (export "f") (result i32) (i32.const 2))"#, CALLBACK, &Trap::UnknownHandle(0));
    let freed = r#"(func (export "f") (result i32) (local i32)
        (call $set-drop (local.tee 0 (call $set-new)))
        (i32.or (i32.const 2) (i32.shl (local.get 0) (i32.const 4))))"#;
    traps(freed, CALLBACK, &Trap::UnknownHandle(1));
    let other = r#"(func (export "f") (result i32) (drop (call $s-new)) (i32.const 0x12))"#;
    traps(other, CALLBACK, &Trap::WrongHandleKind { handle: 1, expected: "waitable set" });
    // It is told that there is nothing.
    returns(r#"(func (export "f") (result i32) (i32.const 1))"#, CALLBACK, 0);
}

/// One that yields for ever ends at its deadline, and so does one that computes in a task.
#[test]
fn c75_who_yields_for_ever_is_stopped() {
    let bodies = [
        (r#"(func (export "f") (loop (drop (call $yield)) (br 0)))"#, STACKFUL),
        (r#"(func (export "f") (loop (br 0)))"#, STACKFUL),
        (
            r#"(func (export "cb2") (param i32 i32 i32) (result i32) (i32.const 1))
            (func (export "f") (result i32) (i32.const 1))"#,
            r#"(func (export "f") async (result u32) (canon lift (core func $m "f") async (callback (core func $m "cb2"))))"#,
        ),
    ];
    for (body, exports) in bodies {
        for engine in engines() {
            let (mut store, instance) = instance(&engine, body, exports);
            store.set_deadline(Some(Duration::from_millis(30))).unwrap();
            let error = call(&mut store, instance, "f", &[]).unwrap_err();
            assert_eq!(error.trap(), Some(innkeeper::Trap::DeadlineExceeded), "{body}: {error}");
        }
    }
}

#[test]
fn c80_backpressure_is_counted() {
    traps(r#"(func (export "f") (call $dec))"#, STACKFUL, &Trap::BackpressureOutOfRange);
    let often = |times: u32| {
        format!(
            r#"(func (export "f") (local i32) (local.set 0 (i32.const {times}))
            (loop (call $inc) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (call $return (i32.const 1)))"#
        )
    };
    traps(&often(1 << 16), STACKFUL, &Trap::BackpressureOutOfRange);
    returns(&often((1 << 16) - 1), STACKFUL, 1);
}

/// A task that waits for backpressure to end, which nobody ends, is told of; so is what waits for events that never come.
#[test]
fn c82_a_deadlock_says_who_waits_for_what() {
    let both = r#"(func (export "hold") async (canon lift (core func $m "hold")))"#;
    for engine in engines() {
        let body = r#"(func (export "hold") (call $inc)) (func (export "f") (call $return (i32.const 1)))"#;
        let (mut store, instance) = instance(&engine, body, &format!("{STACKFUL}{both}"));
        call(&mut store, instance, "hold", &[]).unwrap();
        let error = call(&mut store, instance, "f", &[]).unwrap_err().to_string();
        assert_eq!(
            error,
            "wasm trap: deadlock detected: event loop cannot make further progress: a task of component instance 0 \
             waits to enter its instance, which another task or backpressure holds"
        );
        let body = r#"(func (export "f") (drop (call $set-wait (call $set-new) (i32.const 0))))"#;
        let (mut store, instance) = self::instance(&engine, body, STACKFUL);
        let error = call(&mut store, instance, "f", &[]).unwrap_err().to_string();
        assert!(error.ends_with("waits for an event of a waitable set of 0"), "{error}");
    }
}

/// Each task has a context of its own, of zeros, which it keeps while it waits.
#[test]
fn c83_contexts_are_of_tasks() {
    let body = r#"(func (export "f") (local i32)
        (local.set 0 (call $get))
        (call $set (i32.const 5))
        (drop (call $yield))
        (call $return (i32.add (local.get 0) (call $get))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, body, STACKFUL);
        for _ in 0..3 {
            assert_eq!(result(call(&mut store, instance, "f", &[])), 5);
        }
    }
}

/// What many calls leave behind is nothing: neither memory nor handles.
#[test]
fn c85_many_calls_leave_nothing_behind() {
    for (body, exports) in [
        (r#"(func (export "f") (result i32) (i32.const 1))"#, CALLBACK),
        (r#"(func (export "f") (drop (call $yield)) (call $return (i32.const 0)))"#, STACKFUL),
        (
            r#"(func (export "f") (local i64) (local.set 0 (call $s-new))
                (drop (call $s-read (call $low (local.get 0)) (i32.const 0) (i32.const 1)))
                (call $s-drop-w (call $high (local.get 0)))
                (drop (call $s-cancel-read (call $low (local.get 0))))
                (call $s-drop-r (call $low (local.get 0)))
                (call $return (i32.sub (call $low (local.get 0)) (i32.const 1))))"#,
            STACKFUL,
        ),
    ] {
        for engine in engines() {
            let (mut store, instance) = instance(&engine, body, exports);
            let budget = store.budget().clone();
            let mut after_first = 0;
            for round in 0..5_000 {
                assert_eq!(result(call(&mut store, instance, "f", &[])), 0, "{body}");
                if round == 1000 {
                    after_first = budget.used_bytes();
                }
            }
            assert_eq!(budget.used_bytes(), after_first, "{body}");
        }
    }
}

/// What has returned and goes on streaming is let go on by later calls; a trap of it is told to whoever calls then.
#[test]
fn c84_c87_tasks_go_on_after_they_have_returned() {
    let body = r#"(func (export "f") (call $return (i32.const 1))
            (drop (call $yield)) (global.set $kept (i32.const 9)) (drop (call $yield)) (unreachable))
        (func (export "g") (drop (call $yield)) (call $return (global.get $kept)))"#;
    let exports =
        format!(r#"{STACKFUL} (func (export "g") async (result u32) (canon lift (core func $m "g") async))"#);
    for engine in engines() {
        let (mut store, instance) = instance(&engine, body, &exports);
        let bystander = self::instance(&engine, body, &exports);
        assert_eq!(result(call(&mut store, instance, "f", &[])), 1);
        assert_eq!(result(call(&mut store, instance, "g", &[])), 9);
        let error = call(&mut store, instance, "g", &[]).unwrap_err();
        assert_eq!(error.trap(), Some(innkeeper::Trap::Unreachable));
        assert!(instance.is_poisoned(&mut store));
        // Others know nothing of it.
        let (mut other, other_instance) = bystander;
        assert_eq!(result(call(&mut other, other_instance, "f", &[])), 1);
        let component = component(&engine, body, &exports);
        let fresh = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        assert_eq!(result(call(&mut store, fresh, "f", &[])), 1);
    }
}

/// A thousand tasks wait at once: stacks that were left, and records alone where there is a callback.
#[test]
fn c85_many_tasks_wait_at_once() {
    let body = r#"(func (export "f") (call $return (i32.const 1))
            (drop (call $yield)) (drop (call $yield)) (drop (call $yield))
            (global.set $kept (i32.add (global.get $kept) (i32.const 1))))
        (func (export "g") (loop (drop (call $yield)) (br_if 0 (i32.lt_u (global.get $kept) (i32.const 300))))
            (call $return (global.get $kept)))"#;
    let exports =
        format!(r#"{STACKFUL} (func (export "g") async (result u32) (canon lift (core func $m "g") async))"#);
    for seed in [None, Some(1), Some(2)] {
        let mut config = Config::default();
        config.tuning.schedule_seed = seed;
        let (mut store, instance) = instance(&innkeeper::engine(config), body, &exports);
        for _ in 0..300 {
            assert_eq!(result(call(&mut store, instance, "f", &[])), 1);
        }
        assert_eq!(result(call(&mut store, instance, "g", &[])), 300);
    }
}

/// A store that goes while tasks wait in it gives all back.
#[test]
fn c87_a_store_goes_while_tasks_wait() {
    let body = r#"(func (export "f") (call $return (i32.const 1))
        (drop (call $set-wait (call $set-new) (i32.const 0))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, body, STACKFUL);
        let budget = store.budget().clone();
        for _ in 0..20 {
            assert_eq!(result(call(&mut store, instance, "f", &[])), 1);
        }
        drop(store);
        assert_eq!(budget.used_bytes(), 0);
    }
}
