//! Calls of async functions that the host has under way beside each other (`Func::call_concurrent`).

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use innkeeper::component::{Accessor, Component, Func, Instance, Linker, Val, run_concurrent};
use innkeeper::{Engine, Error, Store};

use super::engines;
use super::tasks::component;

/// `f` returns after so many turns of others what it was given, `begun` how many of its calls have begun by then; `waits` never does; `traps` does so in its second turn, `fails` in its first; `plain` is not async.
const BODY: &str = r#"
    (func $turns (param i32)
        (loop
            (if (i32.eqz (local.get 0)) (then (return)))
            (drop (call $yield))
            (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
            (br 0)))
    (func (export "f") (param i32) (call $turns (local.get 0)) (call $return (local.get 0)))
    (func (export "begun") (param i32)
        (global.set $kept (i32.add (global.get $kept) (i32.const 1)))
        (call $turns (local.get 0)) (call $return (global.get $kept)))
    (func (export "waits") (param i32)
        (drop (call $set-wait (call $set-new) (i32.const 0))) (call $return (i32.const 0)))
    (func (export "traps") (param i32) (drop (call $yield)) (unreachable))
    (func (export "fails") (param i32) (unreachable))
    (func (export "plain") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))"#;

const ASYNC: [&str; 5] = ["f", "begun", "waits", "traps", "fails"];

fn instance(engine: &Engine) -> (Store<()>, Instance) {
    let mut exports =
        r#"(func (export "plain") (param "n" u32) (result u32) (canon lift (core func $m "plain")))"#
            .to_owned();
    for name in ASYNC {
        exports += &format!(
            r#"(func (export "{name}") async (param "n" u32) (result u32) (canon lift (core func $m "{name}") async))"#
        );
    }
    let component = component(engine, BODY, &exports);
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

fn func(store: &mut Store<()>, instance: Instance, name: &str) -> Func {
    instance.get_func(store, name).unwrap()
}

async fn call(func: Func, accessor: &Accessor<()>, n: u32) -> Result<u32, Error> {
    let mut results = [Val::Bool(false)];
    func.call_concurrent(accessor, &[Val::U32(n)], &mut results).await?;
    let [Val::U32(value)] = results else { panic!("{results:?}") };
    Ok(value)
}

/// Polls what nobody else wakes.
fn block_on<R>(future: impl Future<Output = R>) -> R {
    let mut future = pin!(future);
    for _ in 0..10_000 {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
    panic!("nothing comes of it");
}

/// What comes of all of them, in the order in which it comes.
async fn all<R>(calls: Vec<impl Future<Output = R>>) -> Vec<R> {
    let mut calls: Vec<Pin<Box<_>>> = calls.into_iter().map(Box::pin).collect();
    let mut ended = Vec::new();
    std::future::poll_fn(|context| {
        calls.retain_mut(|call| match call.as_mut().poll(context) {
            Poll::Ready(result) => {
                ended.push(result);
                false
            }
            Poll::Pending => true,
        });
        if calls.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    ended
}

#[test]
fn many_calls_are_under_way_in_one_instance() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        let (f, begun) = (func(&mut store, instance, "f"), func(&mut store, instance, "begun"));
        let ended = block_on(run_concurrent(&mut store, async |accessor| {
            let begun = all((1..=100).map(|n| call(begun, &accessor, n)).collect()).await;
            (begun, all((0..100).map(|n| call(f, &accessor, n)).collect()).await)
        }));
        let values =
            |calls: Vec<Result<u32, Error>>| calls.into_iter().map(Result::unwrap).collect::<Vec<_>>();
        let (begun, ended) = ended.unwrap();
        // Each has begun before any has returned.
        assert_eq!(values(begun), [100; 100]);
        let mut ended = values(ended);
        ended.sort_unstable();
        assert_eq!(ended, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn a_call_that_is_dropped_leaves_the_others_alone() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        let (f, waits) = (func(&mut store, instance, "f"), func(&mut store, instance, "waits"));
        let value = block_on(run_concurrent(&mut store, async |accessor| {
            for polls in 0..5 {
                let mut waiting = Box::pin(call(waits, &accessor, 0));
                for _ in 0..polls {
                    // Between two polls guests have their turns, so that it is dropped before it has begun, and after.
                    let polled = std::future::poll_fn(|context| {
                        Poll::Ready(waiting.as_mut().poll(context).is_pending())
                    });
                    assert!(polled.await);
                    assert_eq!(call(f, &accessor, 1).await.unwrap(), 1);
                }
            }
            call(f, &accessor, 3).await
        }));
        assert_eq!(value.unwrap().unwrap(), 3);
        assert!(!instance.is_poisoned(&mut store));
        let ended = block_on(run_concurrent(&mut store, async |accessor| call(f, &accessor, 5).await));
        assert_eq!(ended.unwrap().unwrap(), 5);
    }
}

/// Of the guest that trapped nothing goes on, so that nobody waits for it.
#[test]
fn a_trap_ends_all_calls() {
    for engine in engines() {
        for name in ["traps", "fails"] {
            let (mut store, instance) = instance(&engine);
            let (waits, bad) = (func(&mut store, instance, "waits"), func(&mut store, instance, name));
            let outcome = block_on(run_concurrent(&mut store, async |accessor| {
                all(vec![call(waits, &accessor, 0), call(bad, &accessor, 0)]).await
            }));
            match outcome {
                Ok(calls) => {
                    calls.into_iter().for_each(|outcome| assert!(outcome.is_err(), "{name}: {outcome:?}"))
                }
                Err(error) => assert_eq!(error.trap(), Some(innkeeper::Trap::Unreachable), "{name}: {error}"),
            }
            assert!(instance.is_poisoned(&mut store), "{name}");
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_functions_that_are_not_async_run_whole() {
    for engine in engines() {
        let (mut store, instance) = instance(&engine);
        let (mut other, elsewhere) = self::instance(&engine);
        let foreign = func(&mut other, elsewhere, "f");
        let (f, plain) = (func(&mut store, instance, "f"), func(&mut store, instance, "plain"));
        let value = block_on(run_concurrent(&mut store, async |accessor| {
            assert!(call(foreign, &accessor, 0).await.is_err());
            assert!(f.call_concurrent(&accessor, &[], &mut [Val::Bool(false)]).await.is_err());
            assert!(f.call_concurrent(&accessor, &[Val::U32(0)], &mut []).await.is_err());
            call(plain, &accessor, 6).await
        }));
        assert_eq!(value.unwrap().unwrap(), 7);
    }
}

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A call that is kept where the guest's own host functions reach it.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Option<Call>>>);

/// A function of the host that the guest calls drops the future that waits for the guest: it is given up, and nobody waits for anybody.
#[test]
fn a_call_is_given_up_by_what_it_calls() {
    for (engine, of) in engines().into_iter().flat_map(|engine| [(engine.clone(), ""), (engine, "async")]) {
        let text = format!(
            r#"(component
            (import "give-up" (func $give-up))
            (core func $lowered (canon lower (func $give-up)))
            (core module $m (import "" "give-up" (func $give-up))
                (func (export "f") (param i32) (result i32) (call $give-up) (local.get 0)))
            (core instance $m (instantiate $m (with "" (instance (export "give-up" (func $lowered))))))
            (func (export "f") {of} (param "n" u32) (result u32) (canon lift (core func $m "f"))))"#
        );
        let component = Component::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap();
        let mut linker = Linker::<Kept>::new(&engine);
        linker.root().func_wrap("give-up", |store, ()| {
            let kept = store.data().0.lock().unwrap().take();
            drop(kept);
            Ok(())
        });
        let kept = Kept::default();
        let mut store = Store::new(&engine, kept.clone()).unwrap();
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let func = instance.get_func(&mut store, "f").unwrap();
        let ran = block_on(run_concurrent(&mut store, async |accessor| {
            let beside = accessor.clone();
            let mut call: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(async move {
                let mut results = [Val::Bool(false)];
                let _ = func.call_concurrent(&beside, &[Val::U32(1)], &mut results).await;
            });
            let begun = std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context)));
            assert!(begun.await.is_pending());
            *kept.0.lock().unwrap() = Some(call);
            let mut turns = 0;
            std::future::poll_fn(|_| {
                turns += 1;
                if turns > 10 { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }));
        ran.unwrap();
        assert!(kept.0.lock().unwrap().is_none(), "{of}: the guest has run");
        assert!(!instance.is_poisoned(&mut store));
    }
}
