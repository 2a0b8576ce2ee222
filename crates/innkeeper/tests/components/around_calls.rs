//! What runs around a call: allocators and what tidies up after a return. Both may leave nothing behind of the task in whose call they run, and may call nobody.

use innkeeper::Store;
use innkeeper::component::{Component, Feature, Features, Instance, Linker, Trap, Val};

use super::adapters::all_engines;
use super::call;

/// With what async functions may have beyond the frozen standard.
fn made(engine: &innkeeper::Engine, text: &str) -> (Store<()>, Instance) {
    let features = [Feature::StackfulAsync, Feature::MoreAsyncBuiltins];
    let features = features.into_iter().fold(Features::default(), Features::with);
    let bytes = innkeeper::to_binary(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let component = Component::with_features(engine, bytes, features).unwrap();
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &component).unwrap();
    (store, instance)
}

/// A memory, and an allocator that notes every context that it sees, and sets one of its own.
const LIBC: &str = r#"
    (core func $get (canon context.get i32 0)) (core func $set (canon context.set i32 0))
    (core module $libc (import "" "get" (func $get (result i32))) (import "" "set" (func $set (param i32)))
        (memory (export "mem") 1) (global $seen (mut i32) (i32.const 0)) (global $calls (mut i32) (i32.const 0))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.set $seen (i32.or (global.get $seen) (call $get)))
            (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
            (call $set (i32.const 64))
            (i32.const 1024))
        ;; How often it was called, or what it has seen.
        (func (export "seen") (result i32)
            (if (global.get $seen) (then (return (i32.sub (i32.const 0) (global.get $seen))))) (global.get $calls)))
    (core instance $libc (instantiate $libc (with "" (instance (export "get" (func $get)) (export "set" (func $set))))))
    (alias core export $libc "mem" (core memory $mem)) (alias core export $libc "realloc" (core func $realloc))
    (func (export "seen") (result s32) (canon lift (core func $libc "seen")))"#;

/// `run` has a context, calls `f` with a string, which has one too, and gets a string from it.
fn with_contexts(callee: &str, lift: &str, ty: &str, lowers: &str, call: &str) -> String {
    format!(
        r#"(component
        (component $C {LIBC}
            (core func $return (canon task.return (result string) (memory $mem)))
            (core module $m (import "" "mem" (memory 1)) (import "" "get" (func $get (result i32))) (import "" "set" (func $set (param i32)))
                (import "" "return" (func $return (param i32 i32)))
                (func (export "cb") (param i32 i32 i32) (result i32) (unreachable))
                (func (export "f") (param i32 i32) (result i32)
                    ;; Where the allocator has run, nothing is left of it.
                    (if (call $get) (then (unreachable)))
                    (call $set (i32.const 9)) {callee}))
            (core instance $m (instantiate $m (with "" (instance (export "mem" (memory $mem)) (export "get" (func $get)) (export "set" (func $set))
                (export "return" (func $return))))))
            (func (export "f") {ty} (param "s" string) (result string)
                (canon lift (core func $m "f") (memory $mem) (realloc $realloc) {lift})))
        (component $D {LIBC}
            (import "f" (func $f {ty} (param "s" string) (result string)))
            (core func $f (canon lower (func $f) (memory $mem) (realloc $realloc) {lowers}))
            (core module $m (import "" "mem" (memory 1)) (import "" "get" (func $get (result i32))) (import "" "set" (func $set (param i32)))
                (import "" "f" (func $f (param i32 i32 i32) {}))
                (func (export "run") (result i32)
                    (call $set (i32.const 5))
                    {call}
                    (if (i32.ne (i32.load (i32.const 16)) (i32.const 1024)) (then (unreachable)))
                    (call $get)))
            (core instance $m (instantiate $m (with "" (instance (export "mem" (memory $mem)) (export "get" (func $get)) (export "set" (func $set))
                (export "f" (func $f))))))
            (func (export "run") {ty} (result u32) (canon lift (core func $m "run"))))
        (instance $c (instantiate $C))
        (instance $d (instantiate $D (with "f" (func $c "f"))))
        (func (export "run") (alias export $d "run"))
        (func (export "seen-c") (alias export $c "seen"))
        (func (export "seen-d") (alias export $d "seen")))"#,
        if lowers.is_empty() { "" } else { "(result i32)" }
    )
}

/// C50, B6: allocators of a call see a context of zeros, whoever calls and however, and neither the caller's nor the callee's is another one after them.
#[test]
fn c50_allocators_see_no_context_and_leave_none() {
    let returns =
        "(i32.store (i32.const 8) (i32.const 0)) (i32.store (i32.const 12) (i32.const 1)) (i32.const 8)";
    let as_task = r#"(call $return (i32.const 0) (i32.const 1))
        (if (i32.ne (call $get) (i32.const 9)) (then (unreachable))) (i32.const 0)"#;
    let callback = r#"async (callback (core func $m "cb"))"#;
    let waits = "(call $f (i32.const 0) (i32.const 1) (i32.const 16))";
    // RETURNED
    let beside = "(if (i32.ne (call $f (i32.const 0) (i32.const 1) (i32.const 16)) (i32.const 2)) (then (unreachable)))";
    for (what, text) in [
        ("neither is async", with_contexts(returns, "", "", "", waits)),
        ("the type is async", with_contexts(returns, "", "async", "", waits)),
        ("a callee with a callback", with_contexts(as_task, callback, "async", "", waits)),
        ("called beside the caller", with_contexts(as_task, callback, "async", "async", beside)),
    ] {
        for engine in all_engines() {
            let (mut store, instance) = made(&engine, &text);
            for round in 1..=3 {
                assert_eq!(call(&mut store, instance, "run", &[]).unwrap(), Some(Val::U32(5)), "{what}");
                for seen in ["seen-c", "seen-d"] {
                    let calls = call(&mut store, instance, seen, &[]).unwrap();
                    assert_eq!(calls, Some(Val::S32(round)), "{what}: {seen}");
                }
            }
        }
    }
}

/// C52: what tidies up after a return may use none of the functions of the component model either, but those that look at a context, a resource of its own, or backpressure.
#[test]
fn c52_post_return_may_use_no_builtin() {
    let refused = [
        ("resource.new $r", "(param i32) (result i32)"),
        ("resource.drop $r", "(param i32)"),
        ("task.cancel", ""),
        ("thread.yield", "(result i32)"),
        ("waitable-set.new", "(result i32)"),
        ("waitable-set.drop", "(param i32)"),
        ("waitable-set.poll (memory $mem)", "(param i32 i32) (result i32)"),
        ("waitable-set.wait (memory $mem)", "(param i32 i32) (result i32)"),
        ("waitable.join", "(param i32 i32)"),
        ("subtask.cancel", "(param i32) (result i32)"),
        ("subtask.drop", "(param i32)"),
        ("stream.new $s", "(result i64)"),
        ("stream.read $s async (memory $mem)", "(param i32 i32 i32) (result i32)"),
        ("stream.write $s async (memory $mem)", "(param i32 i32 i32) (result i32)"),
        ("stream.cancel-read $s", "(param i32) (result i32)"),
        ("stream.cancel-write $s", "(param i32) (result i32)"),
        ("stream.drop-readable $s", "(param i32)"),
        ("stream.drop-writable $s", "(param i32)"),
        ("future.new $f", "(result i64)"),
        ("future.read $f async (memory $mem)", "(param i32 i32) (result i32)"),
        ("future.write $f async (memory $mem)", "(param i32 i32) (result i32)"),
        ("future.cancel-read $f", "(param i32) (result i32)"),
        ("future.cancel-write $f", "(param i32) (result i32)"),
        ("future.drop-readable $f", "(param i32)"),
        ("future.drop-writable $f", "(param i32)"),
    ];
    let allowed = [
        ("resource.rep $r", "(param i32) (result i32)"),
        ("context.get i32 0", "(result i32)"),
        ("backpressure.inc", ""),
        ("context.set i32 0", "(param i32)"),
    ];
    let text = |builtin: &str, ty: &str| {
        let given: String =
            ty.split('(').find(|part| part.starts_with("param")).map_or(String::new(), |params| {
                // The first is a handle that there is.
                "(local.get 0)".repeat(params.matches("i32").count())
            });
        let body = match ty.contains("result") {
            true => format!("(drop (call $b {given}))"),
            false => format!("(call $b {given})"),
        };
        format!(
            r#"(component
            (component $C
                (type $r (resource (rep i32))) (type $s (stream u8)) (type $f (future u8))
                (core module $libc (memory (export "mem") 1)) (core instance $libc (instantiate $libc))
                (alias core export $libc "mem" (core memory $mem))
                (core func $b (canon {builtin})) (core func $new (canon resource.new $r))
                (core module $m (import "" "b" (func $b {ty})) (import "" "new" (func $new (param i32) (result i32)))
                    (func (export "f") (result i32) (call $new (i32.const 3)))
                    (func (export "post") (param i32) {body}))
                (core instance $m (instantiate $m (with "" (instance (export "b" (func $b)) (export "new" (func $new))))))
                (func (export "f") (result u32) (canon lift (core func $m "f") (post-return (core func $m "post")))))
            (component $D (import "f" (func $f (result u32))) (core func $f (canon lower (func $f)))
                (core module $m (import "" "f" (func $f (result i32))) (func (export "run") (result i32) (call $f)))
                (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
                (func (export "run") (result u32) (canon lift (core func $m "run"))))
            (instance $c (instantiate $C))
            (instance $d (instantiate $D (with "f" (func $c "f"))))
            (func (export "run") (alias export $d "run")) (func (export "f") (alias export $c "f")))"#
        )
    };
    for engine in all_engines() {
        for (builtin, ty) in refused {
            for name in ["run", "f"] {
                let (mut store, instance) = made(&engine, &text(builtin, ty));
                let outcome = call(&mut store, instance, name, &[]);
                let trap = outcome.as_ref().err().and_then(|error| error.downcast_ref::<Trap>());
                assert_eq!(trap, Some(&Trap::CannotLeave), "{builtin}: {outcome:?}");
            }
        }
        for (builtin, ty) in allowed {
            let (mut store, instance) = made(&engine, &text(builtin, ty));
            let first = call(&mut store, instance, "run", &[]);
            assert_eq!(first.unwrap_or_else(|error| panic!("{builtin}: {error}")), Some(Val::U32(1)));
        }
    }
}
