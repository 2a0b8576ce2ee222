//! C81: where a guest must not wait, whatever it waits for, and where it may.

use innkeeper::component::{Linker, ResourceAny, Trap, Val};
use innkeeper::{Error, Store};

use super::tasks::{self, STACKFUL, component, instance};
use super::{call, engines};

/// Functions that wait, each for something that is not there.
const WAITS: [&str; 2] = [
    "(drop (call $set-wait (call $set-new) (i32.const 0)))",
    // What the sync variant of `stream.read` would be is `s-cancel-read` here: a cancellation that waits.
    "(drop (call $s-cancel-read (call $low (call $s-new))))",
];

/// Lifts a function whose type is not async.
const SYNC: &str = r#"(func (export "f") (result u32) (canon lift (core func $m "f")))"#;

fn trap_of<R: std::fmt::Debug>(outcome: Result<R, Error>) -> Trap {
    let error = outcome.unwrap_err();
    error.downcast_ref::<Trap>().unwrap_or_else(|| panic!("{error}")).clone()
}

#[test]
fn c81_before_a_sync_function_returns() {
    for engine in engines() {
        for waits in WAITS {
            let body = format!(r#"(func (export "f") (result i32) {waits} (i32.const 1))"#);
            let (mut store, instance) = instance(&engine, &body, SYNC);
            assert_eq!(trap_of(call(&mut store, instance, "f", &[])), Trap::CannotBlock, "{waits}");
            assert!(instance.is_poisoned(&mut store));
        }
        // To let others have a turn, and to look, is no wait.
        let body = r#"(func (export "f") (result i32)
            (i32.add (call $yield) (call $set-poll (call $set-new) (i32.const 0))))"#;
        let (mut store, instance) = instance(&engine, body, SYNC);
        assert_eq!(tasks::result(call(&mut store, instance, "f", &[])), 0);
    }
}

/// After its return an async task may wait; here for what never comes, so that nobody learns of it.
#[test]
fn c81_after_an_async_task_has_returned() {
    let body = format!(r#"(func (export "f") (call $return (i32.const 6)) {})"#, WAITS[0]);
    for engine in engines() {
        let (mut store, instance) = instance(&engine, &body, STACKFUL);
        assert_eq!(tasks::result(call(&mut store, instance, "f", &[])), 6);
        assert_eq!(tasks::result(call(&mut store, instance, "f", &[])), 6);
        assert!(!instance.is_poisoned(&mut store));
    }
}

#[test]
fn c81_in_post_return() {
    let body = format!(
        r#"(func (export "f") (result i32) (i32.const 1)) (func (export "p") (param i32) {})"#,
        WAITS[0]
    );
    let sync = r#"(func (export "f") (result u32) (canon lift (core func $m "f") (post-return (core func $m "p"))))"#;
    let of_task = r#"(func (export "f") async (result u32) (canon lift (core func $m "f") (post-return (core func $m "p"))))"#;
    for engine in engines() {
        for exports in [sync, of_task] {
            let (mut store, instance) = instance(&engine, &body, exports);
            assert_eq!(trap_of(call(&mut store, instance, "f", &[])), Trap::CannotLeave, "{exports}");
        }
    }
}

#[test]
fn c81_in_a_start_function() {
    for engine in engines() {
        for waits in WAITS {
            let body = format!(
                r#"(func $start {waits}) (start $start) (func (export "f") (result i32) (i32.const 1))"#
            );
            let component = component(&engine, &body, SYNC);
            let mut store = Store::new(&engine, ()).unwrap();
            let made = Linker::new(&engine).instantiate(&mut store, &component);
            assert_eq!(trap_of(made), Trap::CannotBlock, "{waits}");
        }
    }
}

#[test]
fn c81_in_realloc() {
    let body = format!(
        r#"(func (export "realloc") (param i32 i32 i32 i32) (result i32) {} (i32.const 0))
        (func (export "f") (param i32 i32) (result i32) (i32.const 1))
        (func (export "g") (param i32 i32) (call $return (i32.const 1)))"#,
        WAITS[0]
    );
    let exports = r#"(func (export "f") (param "s" string) (result u32)
            (canon lift (core func $m "f") (memory $mem) (realloc (core func $m "realloc"))))
        (func (export "g") async (param "s" string) (result u32)
            (canon lift (core func $m "g") async (memory $mem) (realloc (core func $m "realloc"))))"#;
    for engine in engines() {
        for name in ["f", "g"] {
            let (mut store, instance) = instance(&engine, &body, exports);
            let given = [Val::String("text".to_owned())];
            assert_eq!(trap_of(call(&mut store, instance, name, &given)), Trap::CannotLeave, "{name}");
        }
    }
}

#[test]
fn c81_in_a_destructor() {
    let body = format!(r#"(func (export "d") (param i32) {})"#, WAITS[0]);
    let exports = r#"(type $r (resource (rep i32) (dtor (core func $m "d"))))
        (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r))
        (core module $n (import "" "new" (func $new (param i32) (result i32))) (import "" "drop" (func $drop (param i32)))
            (func (export "make") (result i32) (call $new (i32.const 1)))
            (func (export "drops") (call $drop (call $new (i32.const 1)))))
        (core instance $n (instantiate $n (with "" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
        (export $out "r" (type $r))
        (func (export "make") (result (own $out)) (canon lift (core func $n "make")))
        (func (export "drops") async (canon lift (core func $n "drops") async))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, &body, exports);
        let Some(Val::Resource(resource)) = call(&mut store, instance, "make", &[]).unwrap() else {
            panic!("no resource")
        };
        let resource: ResourceAny = resource;
        assert_eq!(trap_of(resource.drop(&mut store)), Trap::CannotBlock);
        // Also where a task drops it, which could wait itself.
        let (mut store, instance) = self::instance(&engine, &body, exports);
        assert_eq!(trap_of(call(&mut store, instance, "drops", &[])), Trap::CannotBlock);
    }
}
