//! Components whose functions wait for what the host does beside them, on executors that people use.

use std::time::Duration;

use innkeeper::component::{Component, Linker, Running, Val};
use innkeeper::{Engine, Store};

use super::{Sleep, on_smol, on_tokio};

/// Sleeps so many times at once, for so long, and returns how often it was woken; or computes for ever.
const GUEST: &str = r#"(component
    (import "sleep" (func $sleep async (param "millis" u32)))
    (core module $mem (memory (export "mem") 1)) (core instance $mem (instantiate $mem))
    (alias core export $mem "mem" (core memory $mem))
    (core func $sleep (canon lower (func $sleep) async)) (core func $return (canon task.return (result u32)))
    (core func $set-new (canon waitable-set.new)) (core func $join (canon waitable.join))
    (core func $drop (canon subtask.drop))
    (core module $m
        (import "" "sleep" (func $sleep (param i32) (result i32))) (import "" "return" (func $return (param i32)))
        (import "" "set-new" (func $set-new (result i32))) (import "" "join" (func $join (param i32 i32)))
        (import "" "drop" (func $drop (param i32)))
        (global $set (mut i32) (i32.const 0)) (global $left (mut i32) (i32.const 0)) (global $woken (mut i32) (i32.const 0))
        (func $wait (result i32)
            (if (i32.eqz (global.get $left)) (then (call $return (global.get $woken)) (return (i32.const 0))))
            (i32.or (i32.const 2) (i32.shl (global.get $set) (i32.const 4))))
        (func (export "run") (param $times i32) (result i32) (local $status i32)
            (global.set $set (call $set-new)) (global.set $woken (i32.const 0))
            (loop
                (local.set $status (call $sleep (local.get $times)))
                (if (i32.eq (i32.and (local.get $status) (i32.const 15)) (i32.const 1)) (then
                    (call $join (i32.shr_u (local.get $status) (i32.const 4)) (global.get $set))
                    (global.set $left (i32.add (global.get $left) (i32.const 1)))))
                (br_if 0 (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
            (call $wait))
        (func (export "cb") (param $event i32) (param $subtask i32) (param $status i32) (result i32)
            ;; A subtask that has returned.
            (if (i32.ne (local.get $event) (i32.const 1)) (then (unreachable)))
            (if (i32.ne (local.get $status) (i32.const 2)) (then (unreachable)))
            (call $drop (local.get $subtask))
            (global.set $left (i32.sub (global.get $left) (i32.const 1)))
            (global.set $woken (i32.add (global.get $woken) (i32.const 1)))
            (call $wait))
        (func (export "spin") (result i32) (loop (br 0)) (unreachable)))
    (core instance $m (instantiate $m (with "" (instance (export "sleep" (func $sleep)) (export "return" (func $return))
        (export "set-new" (func $set-new)) (export "join" (func $join)) (export "drop" (func $drop))))))
    (func (export "run") async (param "times" u32) (result u32)
        (canon lift (core func $m "run") async (callback (core func $m "cb"))))
    (func (export "spin") async (result u32) (canon lift (core func $m "spin") async (callback (core func $m "cb")))))"#;

/// Calls a function of a guest of its own, whose host sleeps as the executor does.
async fn call(engine: Engine, sleep: Sleep, (name, params): (&str, &[Val])) -> Val {
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.root().func_wrap_concurrent("sleep", move |_, (millis,): (u32,)| -> Running<()> {
        Box::pin(async move {
            sleep(Duration::from_millis(millis.into())).await;
            Ok(())
        })
    });
    let binary = innkeeper::to_binary(GUEST.as_bytes()).unwrap();
    let component = Component::new(&engine, binary).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    store.yield_every(Some(Duration::from_millis(1)));
    let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
    let func = instance.get_func(&mut store, name).unwrap();
    let mut results = [Val::Bool(false)];
    for _ in 0..3 {
        func.call_async(&mut store, params, &mut results).await.unwrap();
    }
    let [result] = results;
    result
}

async fn run(engine: Engine, sleep: Sleep) {
    assert_eq!(call(engine, sleep, ("run", &[Val::U32(5)])).await, Val::U32(5));
}

async fn spin(engine: Engine, sleep: Sleep) {
    call(engine, sleep, ("spin", &[])).await;
}

#[test]
fn tokio_runs_components_on_one_thread_and_on_two() {
    on_tokio(spin, run, |_, _| async {});
}

#[test]
fn smol_runs_components_on_one_thread() {
    on_smol(spin, run, |_, _| async {});
}
