//! Subtasks of which one component is the caller and another one the callee: how they enter, and how they are cancelled.

use innkeeper::component::{Component, Feature, Features, Instance, Linker, Trap, Val};
use innkeeper::{Config, Engine, Store, Tiers};

use super::{call, engines};

/// `hold` and `release` set backpressure and end it; `f` returns at once, `g` after twenty turns of others, whoever cancels it.
const TEXT: &str = r#"(component
    (component $callee
        (core func $inc (canon backpressure.inc)) (core func $dec (canon backpressure.dec))
        (core func $yield (canon thread.yield)) (core func $return (canon task.return))
        (core module $m
            (import "" "inc" (func $inc)) (import "" "dec" (func $dec))
            (import "" "yield" (func $yield (result i32))) (import "" "return" (func $return))
            (func (export "hold") (call $inc)) (func (export "release") (call $dec))
            (func (export "f") (call $return))
            (func (export "g") (local $turns i32)
                (loop (drop (call $yield))
                    (br_if 0 (i32.lt_u (local.tee $turns (i32.add (local.get $turns) (i32.const 1))) (i32.const 20))))
                (call $return)))
        (core instance $m (instantiate $m (with "" (instance (export "inc" (func $inc)) (export "dec" (func $dec))
            (export "yield" (func $yield)) (export "return" (func $return))))))
        (func (export "hold") (canon lift (core func $m "hold")))
        (func (export "release") (canon lift (core func $m "release")))
        (func (export "f") async (canon lift (core func $m "f") async))
        (func (export "g") async (canon lift (core func $m "g") async)))
    (component $caller
        (import "hold" (func $hold)) (import "release" (func $release))
        (import "f" (func $f async)) (import "g" (func $g async))
        (core module $mem (memory (export "mem") 1))
        (core instance $mem (instantiate $mem))
        (alias core export $mem "mem" (core memory $mem))
        (core func $hold (canon lower (func $hold))) (core func $release (canon lower (func $release)))
        (core func $f (canon lower (func $f) async)) (core func $g (canon lower (func $g) async))
        (core func $cancel (canon subtask.cancel)) (core func $drop (canon subtask.drop))
        (core func $yield (canon thread.yield))
        (core func $return (canon task.return (result u32)))
        (core func $set-new (canon waitable-set.new))
        (core func $set-wait (canon waitable-set.wait (memory $mem)))
        (core func $join (canon waitable.join))
        (core module $m
            (import "" "mem" (memory 1))
            (import "" "hold" (func $hold)) (import "" "release" (func $release))
            (import "" "f" (func $f (result i32))) (import "" "g" (func $g (result i32)))
            (import "" "cancel" (func $cancel (param i32) (result i32))) (import "" "drop" (func $drop (param i32)))
            (import "" "yield" (func $yield (result i32))) (import "" "return" (func $return (param i32)))
            (import "" "set-new" (func $set-new (result i32)))
            (import "" "set-wait" (func $set-wait (param i32 i32) (result i32)))
            (import "" "join" (func $join (param i32 i32)))
            ;; The handle of a call that must not have entered yet.
            (func $starting (param $status i32) (result i32)
                (if (i32.and (local.get $status) (i32.const 15)) (then (unreachable)))
                (i32.shr_u (local.get $status) (i32.const 4)))
            (func (export "enters") (local $set i32) (local $returned i32)
                (local.set $set (call $set-new))
                (call $hold)
                (call $join (call $starting (call $f)) (local.get $set))
                (call $release)
                (call $join (call $starting (call $f)) (local.get $set))
                (loop
                    (if (i32.ne (call $set-wait (local.get $set) (i32.const 0)) (i32.const 1)) (then (unreachable)))
                    (if (i32.eq (i32.load (i32.const 4)) (i32.const 2)) (then
                        (call $drop (i32.load (i32.const 0)))
                        (local.set $returned (i32.add (local.get $returned) (i32.const 1)))))
                    (br_if 0 (i32.lt_u (local.get $returned) (i32.const 2))))
                (call $return (local.get $returned)))
            (func (export "cancels") (local $subtask i32) (local $status i32)
                (call $hold)
                (local.set $subtask (call $starting (call $g)))
                (call $release)
                (drop (call $yield)) (drop (call $yield)) (drop (call $yield))
                (local.set $status (call $cancel (local.get $subtask)))
                (call $drop (local.get $subtask))
                (call $return (local.get $status)))
            ;; Before it is told that the call has ended: at once, and when it has ended meanwhile.
            (func (export "drops") (call $drop (call $started (call $g))))
            (func (export "drops-late") (local $subtask i32) (local $turns i32)
                (local.set $subtask (call $started (call $g)))
                (loop (drop (call $yield))
                    (br_if 0 (i32.lt_u (local.tee $turns (i32.add (local.get $turns) (i32.const 1))) (i32.const 40))))
                (call $drop (local.get $subtask)))
            ;; It ends while its call is under way.
            (func (export "leaves") (drop (call $started (call $g))) (call $return (i32.const 1)))
            (func $started (param $status i32) (result i32)
                (if (i32.ne (i32.and (local.get $status) (i32.const 15)) (i32.const 1)) (then (unreachable)))
                (i32.shr_u (local.get $status) (i32.const 4))))
        (core instance $m (instantiate $m (with "" (instance
            (export "mem" (memory $mem)) (export "hold" (func $hold)) (export "release" (func $release))
            (export "f" (func $f)) (export "g" (func $g)) (export "cancel" (func $cancel)) (export "drop" (func $drop))
            (export "yield" (func $yield)) (export "return" (func $return)) (export "set-new" (func $set-new))
            (export "set-wait" (func $set-wait)) (export "join" (func $join))))))
        (func (export "enters") async (result u32) (canon lift (core func $m "enters") async))
        (func (export "drops") async (canon lift (core func $m "drops") async))
        (func (export "drops-late") async (canon lift (core func $m "drops-late") async))
        (func (export "leaves") async (result u32) (canon lift (core func $m "leaves") async))
        (func (export "cancels") async (result u32) (canon lift (core func $m "cancels") async)))
    (instance $callee (instantiate $callee))
    (instance $caller (instantiate $caller
        (with "hold" (func $callee "hold")) (with "release" (func $callee "release"))
        (with "f" (func $callee "f")) (with "g" (func $callee "g"))))
    (export "drops" (func $caller "drops")) (export "drops-late" (func $caller "drops-late")) (export "leaves" (func $caller "leaves"))
    (export "enters" (func $caller "enters")) (export "cancels" (func $caller "cancels")))"#;

fn instance(engine: &Engine) -> (Store<()>, Instance) {
    let features = [Feature::StackfulAsync, Feature::MoreAsyncBuiltins];
    let features = features.into_iter().fold(Features::default(), Features::with);
    let bytes = innkeeper::to_binary(TEXT.as_bytes()).unwrap();
    let component = Component::with_features(engine, bytes, features).unwrap();
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

fn run(engine: &Engine, name: &str) -> u32 {
    let (mut store, instance) = instance(engine);
    match call(&mut store, instance, name, &[]).unwrap_or_else(|error| panic!("{name}: {error}")) {
        Some(Val::U32(value)) => value,
        other => panic!("{other:?}"),
    }
}

/// Backpressure has ended, and who waited for that has not entered yet: who comes now enters too, without anything else happening in the instance.
#[test]
fn c80_who_comes_behind_those_that_are_about_to_enter_enters() {
    for engine in engines() {
        assert_eq!(run(&engine, "enters"), 2);
    }
    for seed in 0..20 {
        let mut config = Config::default();
        config.tuning.schedule_seed = Some(seed);
        assert_eq!(run(&innkeeper::engine_with(config, Tiers::Interpreter), "enters"), 2, "seed {seed}");
    }
}

/// A cancellation that is waited for ends when the subtask has, and not with the news, not told yet, that it has started.
#[test]
fn c76_c78_a_cancellation_waits_until_the_subtask_has_ended() {
    const RETURNED: u32 = 2;
    for engine in engines() {
        assert_eq!(run(&engine, "cancels"), RETURNED);
    }
}

/// A call is not forgotten before its end was told, whether or not that has come.
#[test]
fn c77_a_subtask_is_not_dropped_before_its_end_is_told() {
    for engine in engines() {
        for name in ["drops", "drops-late"] {
            let (mut store, instance) = instance(&engine);
            let error = call(&mut store, instance, name, &[]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::SubtaskUnresolved), "{name}: {error}");
        }
    }
}

/// A task ends before the calls that it has made: these go on to their end, and their handles stay the instance's.
#[test]
fn c77_a_task_ends_while_its_calls_are_under_way() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        let budget = store.budget().clone();
        let mut used = 0;
        for round in 0..300 {
            assert_eq!(call(&mut store, instance, "leaves", &[]).unwrap(), Some(Val::U32(1)));
            // The others' turns are in here.
            assert_eq!(call(&mut store, instance, "cancels", &[]).unwrap(), Some(Val::U32(2)));
            if round == 20 {
                used = budget.used_bytes();
            }
        }
        assert!(!instance.is_poisoned(&mut store));
        // A handle and what it stands for each time, and nothing of the task.
        let grown = budget.used_bytes() - used;
        assert!(grown < 280 * 1024, "{grown}");
    }
}
