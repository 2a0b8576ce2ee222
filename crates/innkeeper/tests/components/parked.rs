//! Tasks that are parked while others run: what they hold is not collected, and they go on, on whichever thread their store is.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use innkeeper::component::{Component, Feature, Features, Instance, Linker, Val};
use innkeeper::{Collection, Config, Engine, Store, Tiers};

use super::call;
use super::tasks::result;

/// Engines that collect garbage before every allocation.
fn collecting() -> [Engine; 2] {
    [Tiers::Interpreter, Tiers::Compiled].map(|tiers| {
        let mut config = Config::default();
        config.tuning.collection = Collection::EveryAllocation;
        innkeeper::engine_with(config, tiers)
    })
}

/// `f` waits for others in the middle of work with lists that nobody else has, in its locals and on its stack, and adds up what was in them; `g` allocates, and drops at once what it gets.
const TEXT: &str = r#"(component
    (core func $yield (canon thread.yield)) (core func $return (canon task.return (result u32)))
    (core module $m
        (import "" "yield" (func $yield (result i32))) (import "" "return" (func $return (param i32)))
        (type $node (struct (field $value i32) (field $next (ref null $node))))
        (type $bytes (array (mut i8)))
        (global $parked (mut i32) (i32.const 0))
        (func $list (param $length i32) (result (ref null $node)) (local $list (ref null $node))
            (loop
                (local.set $list (struct.new $node (local.get $length) (local.get $list)))
                (br_if 0 (local.tee $length (i32.sub (local.get $length) (i32.const 1)))))
            (local.get $list))
        (func $sum (param $list (ref null $node)) (result i32) (local $sum i32)
            (block $end (loop
                (br_if $end (ref.is_null (local.get $list)))
                (local.set $sum (i32.add (local.get $sum) (struct.get $node $value (local.get $list))))
                (local.set $list (struct.get $node $next (local.get $list)))
                (br 0)))
            (local.get $sum))
        ;; Something is on the stack while others have their turns.
        (func $turns (param $list (ref null $node)) (param $times i32) (result (ref null $node))
            (global.set $parked (i32.add (global.get $parked) (i32.const 1)))
            (loop (drop (call $yield)) (br_if 0 (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
            (local.get $list))
        (func (export "f") (param $length i32) (local $kept (ref null $node)) (local $bytes (ref null $bytes))
            (local.set $kept (call $list (local.get $length)))
            (local.set $bytes (array.new $bytes (i32.const 7) (i32.const 100)))
            (call $return (i32.const 1))
            (if (i32.ne
                    (i32.add (call $sum (call $turns (call $list (local.get $length)) (i32.const 20))) (call $sum (local.get $kept)))
                    (i32.mul (local.get $length) (i32.add (local.get $length) (i32.const 1))))
                (then (unreachable)))
            (if (i32.ne (array.get_u $bytes (local.get $bytes) (i32.const 99)) (i32.const 7)) (then (unreachable)))
            (global.set $parked (i32.sub (global.get $parked) (i32.const 1))))
        (func (export "g") (local $i i32)
            (loop
                (drop (call $list (i32.const 3)))
                (drop (call $yield))
                (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 60))))
            ;; All the others have ended.
            (call $return (global.get $parked))))
    (core instance $m (instantiate $m (with "" (instance (export "yield" (func $yield)) (export "return" (func $return))))))
    (func (export "f") async (param "length" u32) (result u32) (canon lift (core func $m "f") async))
    (func (export "g") async (result u32) (canon lift (core func $m "g") async)))"#;

fn instance(engine: &Engine) -> (Store<()>, Instance) {
    let features = Features::default().with(Feature::StackfulAsync);
    let component =
        Component::with_features(engine, innkeeper::to_binary(TEXT.as_bytes()).unwrap(), features).unwrap();
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

#[test]
fn what_parked_tasks_hold_is_not_collected() {
    for engine in collecting() {
        let (mut store, instance) = instance(&engine);
        for length in [1, 5, 12, 20] {
            assert_eq!(result(call(&mut store, instance, "f", &[Val::U32(length)])), 1);
        }
        assert_eq!(result(call(&mut store, instance, "g", &[])), 0);
        assert!(!instance.is_poisoned(&mut store));
        // What they held is gone with them.
        store.gc();
    }
}

/// B10: a task is parked on one thread and goes on on another, with what it holds, each time that it is polled.
#[test]
fn b10_tasks_go_on_on_other_threads() {
    for engine in collecting() {
        let (mut store, instance) = instance(&engine);
        store.yield_every(Some(std::time::Duration::from_micros(100)));
        for length in [3, 10] {
            assert_eq!(result(call(&mut store, instance, "f", &[Val::U32(length)])), 1);
        }
        let func = instance.get_func(&mut store, "g").unwrap();
        let mut results = [Val::Bool(false)];
        {
            let mut running = pin!(func.call_async(&mut store, &[], &mut results));
            let mut polls = 0;
            loop {
                let polled = std::thread::scope(|scope| {
                    let running = running.as_mut();
                    scope.spawn(move || running.poll(&mut Context::from_waker(Waker::noop()))).join().unwrap()
                });
                polls += 1;
                if let Poll::Ready(ended) = polled {
                    ended.unwrap();
                    break;
                }
            }
            assert!(polls > 1, "it was never parked");
        }
        assert_eq!(results, [Val::U32(0)]);
    }
}
