//! What is left of tasks that end otherwise than by returning: nothing, neither what they were parked on nor what was noted of them.

use innkeeper::component::{Component, Feature, Features, Instance, Linker, Trap};
use innkeeper::{Engine, Store};

use super::tasks::{STACKFUL, component, instance, result};
use super::{call, engines};

/// A fiber that is parked takes more than this of the budget.
const FIBER_BYTES: u64 = 32 << 10;

/// How much more of the budget is in use after so many rounds, each with instances of its own.
fn grows(engine: &Engine, rounds: u32, mut round: impl FnMut(&mut Store<()>)) -> u64 {
    let mut store = Store::new(engine, ()).unwrap();
    let budget = store.budget().clone();
    // What is kept for later use is there after these.
    (0..20).for_each(|_| round(&mut store));
    let before = budget.used_bytes();
    (0..rounds).for_each(|_| round(&mut store));
    budget.used_bytes().saturating_sub(before)
}

/// What waits for ever has trapped: its instance is poisoned, and what it was parked on is given back.
#[test]
fn a_deadlock_leaves_nothing_parked() {
    let bodies = [
        r#"(func (export "f") (drop (call $set-wait (call $set-new) (i32.const 0))))"#,
        r#"(func (export "f") (call $inc) (drop (call $yield)) (drop (call $set-wait (call $set-new) (i32.const 0))))"#,
    ];
    for body in bodies {
        for engine in engines() {
            let deadlocks = component(&engine, body, STACKFUL);
            let alone = grows(&engine, 50, |store| {
                Linker::new(&engine).instantiate(store, &deadlocks).unwrap();
            });
            let grown = grows(&engine, 50, |store| {
                let instance = Linker::new(&engine).instantiate(&mut *store, &deadlocks).unwrap();
                let error = call(store, instance, "f", &[]).unwrap_err();
                assert!(matches!(error.downcast_ref::<Trap>(), Some(Trap::Deadlock(_))), "{error}");
                assert!(instance.is_poisoned(&mut *store));
                let error = call(store, instance, "f", &[]).unwrap_err().to_string();
                assert!(error.starts_with("wasm trap: cannot enter component instance"), "{error}");
            });
            assert!(grown < alone + 50 * FIBER_BYTES, "{grown}, and {alone} for instances alone");
        }
    }
}

/// `f` waits for a turn, and traps.
const CALLEE: &str = r#"(component
    (core func $yield (canon thread.yield))
    (core module $m (import "" "yield" (func $yield (result i32)))
        (func (export "f") (drop (call $yield)) (unreachable)))
    (core instance $m (instantiate $m (with "" (instance (export "yield" (func $yield))))))
    (func (export "f") async (canon lift (core func $m "f") async)))"#;

/// `waits` calls it and waits for that alone; `goes-on` returns meanwhile.
const CALLER: &str = r#"(component
    (import "f" (func $f async))
    (core module $mem (memory (export "mem") 1))
    (core instance $mem (instantiate $mem))
    (alias core export $mem "mem" (core memory $mem))
    (core func $f-sync (canon lower (func $f))) (core func $f-async (canon lower (func $f) async))
    (core func $return (canon task.return (result u32)))
    (core func $yield (canon thread.yield))
    (core func $cancel (canon subtask.cancel))
    (core module $m
        (import "" "f-sync" (func $f-sync)) (import "" "f-async" (func $f-async (result i32)))
        (import "" "return" (func $return (param i32))) (import "" "yield" (func $yield (result i32)))
        (import "" "cancel" (func $cancel (param i32) (result i32)))
        (global $call (mut i32) (i32.const 0))
        (func (export "waits") (call $f-sync) (call $return (i32.const 1)))
        (func (export "goes-on") (global.set $call (i32.shr_u (call $f-async) (i32.const 4))) (call $return (i32.const 1)))
        (func (export "turns") (drop (call $yield)) (drop (call $yield)) (call $return (i32.const 2)))
        (func (export "cancels") (call $return (call $cancel (global.get $call)))))
    (core instance $m (instantiate $m (with "" (instance
        (export "f-sync" (func $f-sync)) (export "f-async" (func $f-async)) (export "return" (func $return))
        (export "yield" (func $yield)) (export "cancel" (func $cancel))))))
    (func (export "waits") async (result u32) (canon lift (core func $m "waits") async))
    (func (export "goes-on") async (result u32) (canon lift (core func $m "goes-on") async))
    (func (export "turns") async (result u32) (canon lift (core func $m "turns") async))
    (func (export "cancels") async (result u32) (canon lift (core func $m "cancels") async)))"#;

fn both(engine: &Engine) -> [Component; 2] {
    let features = [Feature::StackfulAsync, Feature::MoreAsyncBuiltins];
    let features = features.into_iter().fold(Features::default(), Features::with);
    [CALLEE, CALLER].map(|text| {
        let bytes = innkeeper::to_binary(text.as_bytes()).unwrap();
        Component::with_features(engine, bytes, features).unwrap()
    })
}

fn link(engine: &Engine, store: &mut Store<()>, [callee, caller]: &[Component; 2]) -> [Instance; 2] {
    let callee = Linker::new(engine).instantiate(&mut *store, callee).unwrap();
    let mut linker = Linker::new(engine);
    linker.define_exports(&mut *store, callee).unwrap();
    [callee, linker.instantiate(store, caller).unwrap()]
}

/// Two components that a host has linked: who waits for nothing but a call into the other one traps with that, as where no task is made.
#[test]
fn who_waits_for_what_has_trapped_traps_too() {
    for engine in engines() {
        let components = both(&engine);
        let alone = grows(&engine, 50, |store| {
            link(&engine, store, &components);
        });
        let grown = grows(&engine, 50, |store| {
            let [callee, caller] = link(&engine, store, &components);
            let error = call(store, caller, "waits", &[]).unwrap_err();
            assert_eq!(error.trap(), Some(innkeeper::Trap::Unreachable), "{error}");
            assert!(callee.is_poisoned(&mut *store));
            assert!(caller.is_poisoned(&mut *store));
        });
        assert!(grown < alone + 50 * FIBER_BYTES, "{grown}, and {alone} for instances alone");
    }
}

/// Who has gone on goes on: only that its call has ended it is never told, and it cannot be cancelled.
#[test]
fn who_does_not_wait_for_what_has_trapped_lives_on() {
    for engine in engines() {
        let mut store = Store::new(&engine, ()).unwrap();
        let [callee, caller] = link(&engine, &mut store, &both(&engine));
        assert_eq!(result(call(&mut store, caller, "goes-on", &[])), 1);
        let error = call(&mut store, caller, "turns", &[]).unwrap_err();
        assert_eq!(error.trap(), Some(innkeeper::Trap::Unreachable), "{error}");
        assert!(callee.is_poisoned(&mut store));
        assert!(!caller.is_poisoned(&mut store));
        assert_eq!(result(call(&mut store, caller, "turns", &[])), 2);
        let error = call(&mut store, caller, "cancels", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter), "{error}");
        assert!(caller.is_poisoned(&mut store));
    }
}

/// A call that has returned, and is dropped before whoever polls it has taken the result, leaves no task.
#[cfg(feature = "async")]
#[test]
fn a_call_that_is_dropped_after_its_return_leaves_no_task() {
    use innkeeper::component::Val;
    use std::pin::pin;
    use std::task::{Context, Waker};

    for engine in engines() {
        let mut left = 0;
        // Whoever polls comes back after some turns of guests: in one of these the call has returned in the last one.
        for turns in 50..70 {
            let body = format!(
                r#"(func (export "f") (local i32) (local.set 0 (i32.const {turns}))
                (loop (drop (call $yield)) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
                (call $return (i32.const 0)))
                (func (export "g") (local i32) (local.set 0 (i32.const 200))
                (loop (drop (call $yield)) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
                (call $return (i32.const 0)))"#
            );
            let exports = format!(
                r#"{STACKFUL} (func (export "g") async (result u32) (canon lift (core func $m "g") async))"#
            );
            let (mut store, instance) = instance(&engine, &body, &exports);
            let func = instance.get_func(&mut store, "f").unwrap();
            let budget = store.budget().clone();
            let mut used = 0;
            for round in 0..200 {
                let mut results = [Val::Bool(false)];
                {
                    let mut running = pin!(func.call_async(&mut store, &[], &mut results));
                    let polled = running.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    left += u32::from(polled.is_pending());
                }
                // What was dropped before it has returned does so now.
                assert_eq!(result(call(&mut store, instance, "g", &[])), 0);
                if round == 20 {
                    used = budget.used_bytes();
                }
            }
            assert_eq!(budget.used_bytes(), used, "{turns}");
        }
        assert!(left > 0, "no call was dropped");
    }
}
