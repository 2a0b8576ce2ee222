//! Calls between guests and the host: who may enter whom, what ends a call, and what is left after that.

use std::time::{Duration, Instant};

use innkeeper::component::{Func, Linker, Trap, Val};
use innkeeper::{Error, Store};

use super::{call, component, engines, instance};

/// C57: a function of the host may not call into the instance that has called it.
#[test]
fn c57_a_host_function_does_not_enter_its_caller() {
    let text = r#"(component
        (import "host" (func $host))
        (core func $host (canon lower (func $host)))
        (core module $m (import "" "host" (func $host)) (func (export "f") (call $host)) (func (export "g")))
        (core instance $m (instantiate $m (with "" (instance (export "host" (func $host))))))
        (func (export "f") (canon lift (core func $m "f")))
        (func (export "g") (canon lift (core func $m "g"))))"#;
    for engine in engines() {
        let mut linker: Linker<Option<Func>> = Linker::new(&engine);
        linker.root().func_new("host", |mut store, _, _| match *store.data() {
            Some(func) => func.call(&mut store, &[], &mut []),
            None => Ok(()),
        });
        let mut store = Store::new(&engine, None).unwrap();
        let component = component(&engine, text);
        let (one, other) = (
            linker.instantiate(&mut store, &component).unwrap(),
            linker.instantiate(&mut store, &component).unwrap(),
        );
        // Another instance of the same component can be called.
        *store.data_mut() = other.get_func(&mut store, "g");
        call(&mut store, one, "f", &[]).unwrap();
        *store.data_mut() = one.get_func(&mut store, "g");
        let error = call(&mut store, one, "f", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter), "{error}");
        assert!(one.is_poisoned(&mut store) && !other.is_poisoned(&mut store));
        call(&mut store, other, "g", &[]).unwrap();
    }
}

/// C58: a parent may not call its child, nor a child its parent.
#[test]
fn c58_relatives_do_not_call_each_other() {
    let text = r#"(component
        (component $child
            (core module $m (func (export "f")))
            (core instance $m (instantiate $m))
            (func (export "f") (canon lift (core func $m "f"))))
        (instance $child (instantiate $child))
        (core func $f (canon lower (func $child "f")))
        (core module $m (import "" "f" (func $f)) (func (export "g") (call $f)))
        (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
        (func (export "g") (canon lift (core func $m "g")))
        (export "f" (func $child "f")))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        call(&mut store, instance, "f", &[]).unwrap();
        let error = call(&mut store, instance, "g", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter), "{error}");
    }
}

/// C53: what the host gives back and cannot be lowered ends the call, and says why.
#[test]
fn c53_results_of_the_host_that_do_not_fit_end_the_call() {
    let text = r#"(component
        (import "host" (func $host (result (tuple u8 u8))))
        (core module $libc (memory (export "memory") 1))
        (core instance $libc (instantiate $libc))
        (core func $host (canon lower (func $host) (memory (core memory $libc "memory"))))
        (core module $m (import "" "host" (func $host (param i32))) (import "" "memory" (memory 1))
            (func (export "f") (result i32) (call $host (i32.const 16)) (i32.load16_u (i32.const 16))))
        (core instance $m (instantiate $m (with "" (instance
            (export "host" (func $host)) (export "memory" (memory $libc "memory"))))))
        (func (export "f") (result u32) (canon lift (core func $m "f"))))"#;
    for engine in engines() {
        let mut linker: Linker<Val> = Linker::new(&engine);
        linker.root().func_new("host", |store, _, results| {
            results[0] = store.data().clone();
            Ok(())
        });
        let mut store = Store::new(&engine, Val::Tuple(vec![Val::U8(1), Val::U8(2)])).unwrap();
        let component = component(&engine, text);
        let instance = linker.instantiate(&mut store, &component).unwrap();
        assert_eq!(call(&mut store, instance, "f", &[]).unwrap(), Some(Val::U32(0x201)));
        *store.data_mut() = Val::Tuple(vec![Val::U8(1), Val::U16(2)]);
        let error = call(&mut store, instance, "f", &[]).unwrap_err().to_string();
        assert!(
            error.contains("a function of the host has returned") && error.contains("in part 1"),
            "{error}"
        );
    }
}

/// An error of the host's comes back as it was, through guests.
#[test]
fn c53_errors_of_the_host_come_back() {
    let text = r#"(component
        (import "host" (func $host (result u64)))
        (core func $host (canon lower (func $host)))
        (core module $m (import "" "host" (func $host (result i64)))
            (func (export "f") (result i64) (call $host)))
        (core instance $m (instantiate $m (with "" (instance (export "host" (func $host))))))
        (func (export "f") (result u64) (canon lift (core func $m "f"))))"#;
    for engine in engines() {
        let mut linker: Linker<()> = Linker::new(&engine);
        linker.root().func_new("host", |_, _, _| Err(Error::from_host("x".parse::<u8>().unwrap_err())));
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, text)).unwrap();
        let error = call(&mut store, instance, "f", &[]).unwrap_err();
        assert!(error.downcast_ref::<std::num::ParseIntError>().is_some(), "{error}");
        assert!(instance.is_poisoned(&mut store));
    }
}

/// C60: a deadline ends a guest that computes in a call, and one whose long list is being lifted.
#[test]
fn c60_deadlines_end_calls_and_long_lists() {
    let text = r#"(component
        (core module $m (memory (export "memory") 4096)
            (data (i32.const 0) "\00\00\00\00\00\00\00\0f")
            (func (export "spin") (loop (br 0)))
            (func (export "list") (result i32) (i32.const 0)))
        (core instance $m (instantiate $m))
        (func (export "spin") (canon lift (core func $m "spin")))
        (func (export "list") (result (list bool))
            (canon lift (core func $m "list") (memory (core memory $m "memory")))))"#;
    let mut config = innkeeper::Config::default();
    config.limits.memory_bytes = Some(1 << 40);
    let engine = innkeeper::engine(config);
    for (name, after) in [("spin", Duration::from_millis(20)), ("list", Duration::ZERO)] {
        let (mut store, instance) = instance(&engine, text);
        store.set_deadline(Some(after)).unwrap();
        let begin = Instant::now();
        let error = call(&mut store, instance, name, &[]).unwrap_err();
        // Lists that the system has no memory for are refused before that.
        let is_over = error.trap() == Some(innkeeper::Trap::DeadlineExceeded);
        assert!(is_over || error.to_string().contains("no memory"), "{name}: {error}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{name}");
    }
}

/// Async functions that do not wait return through `task.return`, once.
#[test]
fn c74_async_functions_that_do_not_wait_return() {
    let text = |body: &str| {
        format!(
            r#"(component
                (core func $return (canon task.return (result u32)))
                (core module $m (import "" "return" (func $return (param i32)))
                    (func (export "f") (result i32) {body} (i32.const 0))
                    (func (export "callback") (param i32 i32 i32) (result i32) (i32.const 0)))
                (core instance $m (instantiate $m (with "" (instance (export "return" (func $return))))))
                (func (export "f") async (result u32)
                    (canon lift (core func $m "f") async (callback (core func $m "callback")))))"#
        )
    };
    for engine in engines() {
        let (mut store, made) = instance(&engine, &text("(call $return (i32.const 7))"));
        assert_eq!(call(&mut store, made, "f", &[]).unwrap(), Some(Val::U32(7)));
        let twice = "(call $return (i32.const 7)) (call $return (i32.const 7))";
        for (body, expected) in [("", Trap::NotReturned), (twice, Trap::ReturnedTwice)] {
            let (mut store, made) = instance(&engine, &text(body));
            let error = call(&mut store, made, "f", &[]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&expected));
        }
    }
}

/// The text format is read where modules in it are.
#[test]
fn components_in_the_text_format_are_read() {
    let engine = innkeeper::engine(innkeeper::Config::default());
    let component = innkeeper::component::Component::new(
        &engine,
        "(component (export \"n\" (core module $n)) (core module $n))",
    );
    // What is wrong in the text is said, and what is right is read.
    assert!(component.is_err());
    innkeeper::component::Component::new(
        &engine,
        "(component (core module $n) (export \"n\" (core module $n)))",
    )
    .unwrap();
}
