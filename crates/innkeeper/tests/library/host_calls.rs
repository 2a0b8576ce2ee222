//! Calls between guests and the host in every direction: reentry, traps, panics, and what is left afterwards.

use std::panic::{AssertUnwindSafe, catch_unwind};

use innkeeper::{Caller, Error, Extern, Func, Instance, Linker, Store, Trap};

use super::{engines, module};

/// `down(n)` calls the host with `n`, which calls `down(n - 1)` and so on.
const PING_PONG: &str = r#"(module (import "host" "pong" (func $pong (param i32) (result i32)))
    (func (export "down") (param i32) (result i32)
        (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 100))
            (else (i32.add (call $pong (local.get 0)) (i32.const 1)))))
    (func (export "trap") (result i32) unreachable)
    (func (export "fine") (result i32) (i32.const 1)))"#;

fn export(caller: &Caller<'_, u32>, name: &str) -> Func {
    caller.get_export(name).and_then(Extern::into_func).unwrap()
}

fn guest(
    engine: &innkeeper::Engine,
    pong: impl Fn(Caller<'_, u32>, i32) -> Result<i32, Error> + Send + Sync + 'static,
) -> (Store<u32>, Instance) {
    let mut linker = Linker::<u32>::new(engine);
    linker.func_wrap("host", "pong", pong).unwrap();
    let mut store = Store::new(engine, 0).unwrap();
    let instance = linker.instantiate(&mut store, &module(engine, PING_PONG)).unwrap();
    (store, instance)
}

fn call(store: &mut Store<u32>, instance: Instance, argument: i32) -> Result<i32, Error> {
    instance.get_typed_func::<i32, i32>(&*store, "down")?.call(store, argument)
}

#[test]
fn guests_and_host_call_each_other() {
    for engine in engines() {
        let (mut store, instance) = guest(&engine, |mut caller, n| {
            *caller.data_mut() += 1;
            export(&caller, "down").typed::<i32, i32>(&caller)?.call(&mut caller, n - 1)
        });
        assert_eq!(call(&mut store, instance, 5).unwrap(), 105);
        assert_eq!(*store.data(), 5);
        // The depth is bounded, and leaves the store as good as before.
        let error = call(&mut store, instance, 1_000_000).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::CallStackExhausted));
        assert_eq!(call(&mut store, instance, 2).unwrap(), 102);
    }
}

#[test]
fn the_host_goes_on_after_a_guests_trap() {
    for engine in engines() {
        let (mut store, instance) = guest(&engine, |mut caller, _| {
            let trapped = export(&caller, "trap").typed::<(), i32>(&caller)?.call(&mut caller, ());
            assert_eq!(trapped.unwrap_err().trap(), Some(Trap::Unreachable));
            export(&caller, "fine").typed::<(), i32>(&caller)?.call(&mut caller, ())
        });
        assert_eq!(call(&mut store, instance, 1).unwrap(), 2);
    }
}

#[test]
fn a_trap_passes_through_the_host_with_all_its_guests_frames() {
    for engine in engines() {
        let (mut store, instance) = guest(&engine, |mut caller, n| match n {
            1 => export(&caller, "trap").typed::<(), i32>(&caller)?.call(&mut caller, ()),
            _ => export(&caller, "down").typed::<i32, i32>(&caller)?.call(&mut caller, n - 1),
        });
        let error = call(&mut store, instance, 3).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::Unreachable));
        let frames: usize = error.backtrace().frames().iter().map(|frame| frame.times).sum();
        assert_eq!(frames, 4, "{}", error.backtrace());
        assert_eq!(call(&mut store, instance, 0).unwrap(), 100);
    }
}

#[test]
fn a_panic_of_the_hosts_passes_through_guests_and_the_store_stays_good() {
    for engine in engines() {
        let (mut store, instance) = guest(&engine, |mut caller, n| match n {
            1 => std::panic::resume_unwind(Box::new("the host's own")),
            _ => export(&caller, "down").typed::<i32, i32>(&caller)?.call(&mut caller, n - 1),
        });
        for depth in [1, 4] {
            let panic = catch_unwind(AssertUnwindSafe(|| call(&mut store, instance, depth))).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"the host's own"));
            assert_eq!(call(&mut store, instance, 0).unwrap(), 100);
        }
    }
}

/// A host function that catches the panic of a deeper one goes on with its guest.
#[test]
fn a_panic_can_be_caught_between_two_guests() {
    for engine in engines() {
        let (mut store, instance) = guest(&engine, |mut caller, n| {
            if n == 1 {
                std::panic::resume_unwind(Box::new(n));
            }
            let down = export(&caller, "down").typed::<i32, i32>(&caller)?;
            match catch_unwind(AssertUnwindSafe(|| down.call(&mut caller, n - 1))) {
                Ok(result) => result,
                Err(_) => Ok(1000),
            }
        });
        assert_eq!(call(&mut store, instance, 2).unwrap(), 1001);
        assert_eq!(call(&mut store, instance, 3).unwrap(), 1002);
    }
}

#[test]
fn an_error_of_a_start_function_fails_the_instantiation() {
    let text = r#"(module (import "host" "start" (func $start)) (start $start))"#;
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("host", "start", || Err::<(), _>(Error::msg("not today"))).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let error = linker.instantiate(&mut store, &module(&engine, text)).unwrap_err();
        assert_eq!(error.to_string(), "not today");
        assert!(linker.instantiate(&mut store, &module(&engine, text)).is_err());
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("host", "start", |_: Caller<'_, ()>| {}).unwrap();
        linker.instantiate(&mut store, &module(&engine, text)).unwrap();
    }
}

#[test]
fn the_host_calls_its_own_functions_and_those_of_guests_alike() {
    let [engine, _] = engines();
    let mut store = Store::new(&engine, 5_i64).unwrap();
    let add = Func::wrap(&mut store, |caller: Caller<'_, i64>, x: i64| x + *caller.data()).unwrap();
    let typed = add.typed::<i64, i64>(&store).unwrap();
    assert_eq!(typed.call(&mut store, 2).unwrap(), 7);
    *store.data_mut() = 1;
    assert_eq!(typed.call(&mut store, 2).unwrap(), 3);
}

/// A host function's closure is dropped with the last who can call it.
#[test]
fn a_linkers_closures_live_as_long_as_anybody_can_call_them() {
    let [engine, _] = engines();
    let held = std::sync::Arc::new(());
    let mut linker = Linker::<()>::new(&engine);
    let kept = std::sync::Arc::clone(&held);
    linker.func_wrap("host", "f", move || std::sync::Arc::strong_count(&kept) as i32).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let text = r#"(module (import "host" "f" (func $f (result i32))) (export "f" (func $f)))"#;
    let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
    drop(linker);
    let f = instance.get_typed_func::<(), i32>(&store, "f").unwrap();
    assert_eq!(f.call(&mut store, ()).unwrap(), 2);
    drop(store);
    assert_eq!(std::sync::Arc::strong_count(&held), 1);
}
