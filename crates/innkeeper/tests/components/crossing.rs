//! The rules around calls from one component to another: who may call when, what ends a call, and what is left after that. Each with generated code and walked.

use std::time::Duration;

use innkeeper::component::{Component, Linker, Resource, Trap, Val};
use innkeeper::{Error, Store};

use super::adapters::{Pair, all_engines};
use super::{call, component};

const NOTHING: Pair<'_> = Pair {
    types: &[],
    ty: "",
    run_ty: "",
    core_c: r#"(func (export "f"))"#,
    core_d: r#"(func (export "run") (call $f))"#,
    import: "",
    options: ["", ""],
};

/// Two components in the text, each with what is given of it, and an import of the host's that `$C` has.
pub(super) fn of_host(c: &str, d: &str) -> String {
    format!(
        r#"(component
        (import "host" (func $host))
        (component $C (import "host" (func $host)) (core func $host (canon lower (func $host))) {c})
        (component $D (import "f" (func $f (result u32))) (core func $f (canon lower (func $f))) {d})
        (instance $c (instantiate $C (with "host" (func $host))))
        (instance $d (instantiate $D (with "f" (func $c "f"))))
        (func (export "run") (alias export $d "run"))
        (func (export "f") (alias export $c "f")))"#
    )
}

pub(super) const CALLER: &str = r#"(core module $m (import "" "f" (func $f (result i32)))
        (func (export "run") (result i32) (call $f)))
    (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
    (func (export "run") (result u32) (canon lift (core func $m "run")))"#;

/// C52: what tidies up after the return is called once, with what was returned, and may call nobody.
#[test]
fn c52_post_return_is_called_once_and_may_not_leave() {
    let callee = |body: &str| {
        format!(
            r#"(core module $m (import "" "host" (func $host)) (global $n (mut i32) (i32.const 0))
                (func (export "f") (result i32) (i32.add (i32.mul (global.get $n) (i32.const 10)) (i32.const 7)))
                (func (export "post") (param i32) {body}))
            (core instance $m (instantiate $m (with "" (instance (export "host" (func $host))))))
            (func (export "f") (result u32)
                (canon lift (core func $m "f") (post-return (core func $m "post"))))"#
        )
    };
    for engine in all_engines() {
        let mut linker: Linker<u32> = Linker::new(&engine);
        linker.root().func_wrap("host", |mut store, ()| {
            *store.data_mut() += 1;
            Ok(())
        });
        let counts = callee("(global.set $n (i32.add (global.get $n) (local.get 0)))");
        let mut store = Store::new(&engine, 0).unwrap();
        let instance =
            linker.instantiate(&mut store, &component(&engine, &of_host(&counts, CALLER))).unwrap();
        for expected in [7, 77, 847] {
            assert_eq!(call(&mut store, instance, "run", &[]).unwrap(), Some(Val::U32(expected)));
        }
        for (body, expected) in [("(call $host)", Some(Trap::CannotLeave)), ("unreachable", None)] {
            let text = of_host(&callee(body), CALLER);
            let instance = linker.instantiate(&mut store, &component(&engine, &text)).unwrap();
            let error = call(&mut store, instance, "run", &[]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), expected.as_ref(), "{error}");
            assert!(instance.is_poisoned(&mut store));
        }
        assert_eq!(*store.data(), 0, "the host was not called");
    }
}

/// C52: an allocator may call nobody, whichever of the generated modules it is that is entered and left through: there is one for each row of calls.
#[test]
fn c52_realloc_may_not_leave_through_code_that_was_made_before() {
    let text = |realloc: &str| {
        format!(
            r#"(component
            (component $A (core module $m (func (export "f"))) (core instance $m (instantiate $m))
                (func (export "f") (canon lift (core func $m "f"))))
            (component $B (import "f" (func $f)) (core func $f (canon lower (func $f)))
                (core module $m (import "" "f" (func $f)) (memory (export "mem") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc} (i32.const 64))
                    (func (export "g") (param i32 i32) (call $f)))
                (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
                (func (export "g") (param "s" string)
                    (canon lift (core func $m "g") (memory (core memory $m "mem")) (realloc (core func $m "realloc")))))
            (component $D (import "g" (func $g (param "s" string)))
                (core module $libc (memory (export "mem") 1)) (core instance $libc (instantiate $libc))
                (core func $g (canon lower (func $g) (memory (core memory $libc "mem"))))
                (core module $m (import "" "g" (func $g (param i32 i32)))
                    (func (export "run") (call $g (i32.const 8) (i32.const 3))))
                (core instance $m (instantiate $m (with "" (instance (export "g" (func $g))))))
                (func (export "run") (canon lift (core func $m "run"))))
            (instance $a (instantiate $A))
            (instance $b (instantiate $B (with "f" (func $a "f"))))
            (instance $d (instantiate $D (with "g" (func $b "g"))))
            (func (export "run") (alias export $d "run")))"#
        )
    };
    for engine in all_engines() {
        let (mut store, instance) = super::instance(&engine, &text(""));
        (0..3).for_each(|_| assert_eq!(call(&mut store, instance, "run", &[]).unwrap(), None));
        let (mut store, instance) = super::instance(&engine, &text("(call $f)"));
        let error = call(&mut store, instance, "run", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotLeave));
    }
}

/// C54: what traps in one component poisons both.
#[test]
fn c54_a_trap_poisons_both() {
    let callee = r#"(core module $m (func (export "f") (result i32) unreachable))
        (core instance $m (instantiate $m))
        (func (export "f") (result u32) (canon lift (core func $m "f")))"#;
    for engine in all_engines() {
        let mut linker: Linker<()> = Linker::new(&engine);
        linker.root().func_wrap("host", |_, ()| Ok(()));
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, &of_host(callee, CALLER))).unwrap();
        let error = call(&mut store, instance, "run", &[]).unwrap_err();
        assert_eq!(error.trap(), Some(innkeeper::Trap::Unreachable));
        // Generated code between the two is not told of.
        assert_eq!(error.backtrace().frames().len(), 2, "{error:?}");
        for name in ["run", "f"] {
            let error = call(&mut store, instance, name, &[]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter));
        }
    }
}

/// C54: so it is where the callee can call nobody, which generated code does not look at its flags for; with and without something to do at the call's end.
#[test]
fn c54_a_trap_in_a_callee_that_leads_nowhere_poisons_both() {
    for (ty, end) in [("u32", ""), ("bool", ""), ("u32", r#"(post-return (core func $m "post"))"#)] {
        let text = format!(
            r#"(component
            (component $C
                (core module $m (global $n (mut i32) (i32.const 0)) (func (export "post") (param i32))
                    (func (export "f") (result i32)
                        (global.set $n (i32.add (global.get $n) (i32.const 1)))
                        (if (i32.eq (global.get $n) (i32.const 3)) (then unreachable))
                        (i32.const 1)))
                (core instance $m (instantiate $m))
                (func (export "f") (result {ty}) (canon lift (core func $m "f") {end})))
            (component $D (import "f" (func $f (result {ty}))) (core func $f (canon lower (func $f))) {})
            (instance $c (instantiate $C))
            (instance $d (instantiate $D (with "f" (func $c "f"))))
            (func (export "run") (alias export $d "run"))
            (func (export "f") (alias export $c "f")))"#,
            CALLER.replace("u32", ty)
        );
        for engine in all_engines() {
            let (mut store, instance) = super::instance(&engine, &text);
            let one = if ty == "u32" { Val::U32(1) } else { Val::Bool(true) };
            for name in ["f", "run"] {
                assert_eq!(call(&mut store, instance, name, &[]).unwrap(), Some(one.clone()));
            }
            let error = call(&mut store, instance, "run", &[]).unwrap_err();
            assert_eq!(error.trap(), Some(innkeeper::Trap::Unreachable));
            assert_eq!(error.backtrace().frames().len(), 2, "{error:?}");
            assert!(instance.is_poisoned(&mut store));
            for name in ["run", "f"] {
                let error = call(&mut store, instance, name, &[]).unwrap_err();
                assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter));
            }
        }
    }
}

/// C55: a trap while the result is handed to the caller: its allocator, or where it wants the result.
#[test]
fn c55_results_that_cannot_be_handed_over_trap() {
    let returns = Pair {
        ty: "(result string)",
        core_c: r#"(data (i32.const 64) "\00\01\00\00\05\00\00\00") (func (export "f") (result i32) (i32.const 64))"#,
        core_d: "",
        import: "(param i32)",
        ..NOTHING
    };
    for (at, expected) in [
        (16, None),
        (18, Some("unaligned pointer")),
        (4 * 65_536 - 4, Some("pointer out of bounds of memory")),
        (-4, Some("pointer out of bounds of memory")),
    ] {
        let run = format!(r#"(func (export "run") (call $f (i32.const {at})))"#);
        let outcome = Pair { core_d: &run, ..returns }.run(&[]);
        match expected {
            None => assert_eq!(outcome, Ok(None)),
            Some(text) => assert!(outcome.unwrap_err().contains(text)),
        }
    }
    // The allocator of the caller, of which there is none so large.
    let run = r#"(func (export "run") (call $f (i32.const 16)))"#;
    for (gives, expected) in
        [("(i32.const -1)", "string content out-of-bounds"), ("unreachable", "unreachable")]
    {
        let text = Pair { core_d: run, ..returns }.text();
        let (before, caller) = text.split_once("(component $D").unwrap();
        let broken = caller.replacen(
            "(result i32) (local $at i32)",
            &format!("(result i32) (local $at i32) (return {gives})"),
            1,
        );
        let text = format!("{before}(component $D{broken}");
        for engine in all_engines() {
            let (mut store, instance) = super::instance(&engine, &text);
            let error = call(&mut store, instance, "run", &[]).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(instance.is_poisoned(&mut store));
        }
    }
}

/// C56: an exception ends at the boundary, where it is a trap that nobody catches.
#[test]
fn c56_exceptions_end_at_the_boundary() {
    let pair = Pair {
        core_c: r#"(tag $e) (func (export "f") (throw $e))"#,
        core_d: r#"(func (export "run") (block (try_table (catch_all 0) (call $f))))"#,
        ..NOTHING
    };
    assert!(pair.run(&[]).unwrap_err().contains("an exception was thrown out of the component instance"));
}

/// C48, C50: what allocates may call nobody, and gives what is checked.
#[test]
fn c50_realloc_may_not_leave() {
    let callee = r#"(core module $m (import "" "host" (func $host)) (memory (export "mem") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (call $host) (i32.const 0))
            (func (export "f") (param i32 i32) (result i32) (i32.const 0)))
        (core instance $m (instantiate $m (with "" (instance (export "host" (func $host))))))
        (func (export "f") (param "s" string) (result u32)
            (canon lift (core func $m "f") (memory (core memory $m "mem")) (realloc (core func $m "realloc"))))"#;
    let caller = r#"(core module $m (import "" "f" (func $f (param i32 i32) (result i32)))
            (func (export "run") (result i32) (call $f (i32.const 0) (i32.const 1))))
        (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
        (func (export "run") (result u32) (canon lift (core func $m "run")))"#;
    let text = of_host(callee, caller)
        .replace(r#"(import "f" (func $f (result u32)))"#, r#"(import "f" (func $f (param "s" string) (result u32))) (core module $mem (memory (export "mem") 1)) (core instance $mem (instantiate $mem))"#)
        .replace("(canon lower (func $f))", r#"(canon lower (func $f) (memory (core memory $mem "mem")))"#);
    for engine in all_engines() {
        let mut linker: Linker<()> = Linker::new(&engine);
        linker.root().func_wrap("host", |_, ()| Ok(()));
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, &text)).unwrap();
        let error = call(&mut store, instance, "run", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotLeave), "{error}");
    }
}

/// C59: the stack's end is a trap wherever it is reached: at each depth, another component is called, which is given a string.
#[test]
fn c59_the_stack_ends_in_generated_code_too() {
    let pair = Pair {
        ty: r#"(param "s" string)"#,
        core_c: r#"(func (export "f") (param i32 i32))"#,
        core_d: r#"(func $deep (call $f (i32.const 0) (i32.const 8)) (call $deep) (call $deep))
            (func (export "run") (call $deep))"#,
        import: "(param i32 i32)",
        ..NOTHING
    };
    let text = pair.text().replace(
        "(global.set $next (i32.add (local.get $at) (local.get 3)))",
        "(local.set $at (i32.const 1024))",
    );
    for engine in all_engines() {
        let (mut store, instance) = super::instance(&engine, &text);
        let error = call(&mut store, instance, "run", &[]).unwrap_err();
        assert_eq!(error.trap(), Some(innkeeper::Trap::CallStackExhausted), "{error}");
        assert!(instance.is_poisoned(&mut store));
    }
}

/// C60: a deadline is kept while a long list is taken over, one that is checked and one that is copied, and a long string.
#[test]
fn c60_deadlines_end_what_takes_long_in_calls() {
    for (ty, length) in [("(list bool)", 0x0fff_ffff_u32), ("(list (tuple u8 bool))", 0x07ff_ffff)] {
        let pair = Pair {
            ty: &format!(r#"(param "l" {ty})"#),
            core_c: r#"(func (export "f") (param i32 i32))"#,
            core_d: &format!(
                r#"(func (export "run") (loop (call $f (i32.const 0) (i32.const {length})) (br 0)))"#
            ),
            import: "(param i32 i32)",
            ..NOTHING
        };
        let text = pair.text().replace("(memory (export \"mem\") 4)", "(memory (export \"mem\") 4200)");
        for engine in all_engines() {
            let (mut store, instance) = super::instance(&engine, &text);
            store.set_deadline(Some(Duration::from_millis(30))).unwrap();
            let begin = std::time::Instant::now();
            let error = call(&mut store, instance, "run", &[]).unwrap_err();
            // The walk makes values of the host's of them, for which there may be no room.
            let is_over = error.trap() == Some(innkeeper::Trap::DeadlineExceeded);
            assert!(is_over || is_of_memory(&error), "{error}");
            assert!(begin.elapsed() < Duration::from_secs(5));
        }
    }
}

fn is_of_memory(error: &Error) -> bool {
    let text = error.to_string();
    text.contains("memory") && !text.contains("bounds")
}

/// C20, C21: what fails while it is instantiated drops the host's resources that it owns, and another instance can be made.
#[test]
fn c21_an_instantiation_that_fails_leaves_nothing_behind() {
    let text = r#"(component
        (import "r" (type $r (sub resource)))
        (import "make" (func $make (result (own $r))))
        (import "host" (func $host))
        (core func $host (canon lower (func $host)))
        (core func $make (canon lower (func $make)))
        (core module $m (import "" "host" (func $host)) (import "" "make" (func $make (result i32)))
            (start $go) (func $go (drop (call $make)) (drop (call $make)) (call $host)))
        (core instance (instantiate $m (with "" (instance
            (export "host" (func $host)) (export "make" (func $make)))))))"#;
    struct Thing;
    for engine in all_engines() {
        let mut linker: Linker<(bool, Vec<u32>)> = Linker::new(&engine);
        let mut root = linker.root();
        root.resource_of::<Thing>("r", |mut store, thing| {
            store.data_mut().1.push(thing.rep());
            Ok(())
        });
        root.func_wrap("make", |_, ()| Ok(Resource::<Thing>::new(7)));
        root.func_wrap("host", |store, ()| if store.data().0 { Err(Error::msg("not now")) } else { Ok(()) });
        let mut store = Store::new(&engine, (true, Vec::new())).unwrap();
        let component: Component = component(&engine, text);
        assert!(linker.instantiate(&mut store, &component).unwrap_err().to_string().contains("not now"));
        assert_eq!(store.data().1, [7, 7]);
        store.data_mut().0 = false;
        let instance = linker.instantiate(&mut store, &component).unwrap();
        assert!(!instance.is_poisoned(&mut store));
        assert_eq!(store.data().1.len(), 2, "what is in use stays");
    }
}

/// C64, C65: what is borrowed for a call must be gone at its end, and is lent no longer after that.
#[test]
fn c64_borrowed_handles_end_with_the_call() {
    let text = |drop: &str| {
        format!(
            r#"(component
            (component $R
                (type $r' (resource (rep i32)))
                (core func $new (canon resource.new $r'))
                (core module $m (import "" "new" (func $new (param i32) (result i32)))
                    (func (export "make") (result i32) (call $new (i32.const 42))))
                (core instance $m (instantiate $m (with "" (instance (export "new" (func $new))))))
                (export $r "r" (type $r'))
                (func (export "make") (result (own $r)) (canon lift (core func $m "make"))))
            (component $C
                (import "r" (type $r (sub resource)))
                (core func $drop (canon resource.drop $r))
                (core module $m (import "" "drop" (func $drop (param i32)))
                    (func (export "f") (param i32) {drop}))
                (core instance $m (instantiate $m (with "" (instance (export "drop" (func $drop))))))
                (func (export "f") (param "r" (borrow $r)) (canon lift (core func $m "f"))))
            (component $D
                (import "r" (type $r (sub resource)))
                (import "make" (func $make (result (own $r))))
                (import "f" (func $f (param "r" (borrow $r))))
                (core func $drop (canon resource.drop $r))
                (core func $make (canon lower (func $make)))
                (core func $f (canon lower (func $f)))
                (core module $m
                    (import "" "drop" (func $drop (param i32)))
                    (import "" "make" (func $make (result i32)))
                    (import "" "f" (func $f (param i32)))
                    (func (export "run") (result i32) (local $it i32)
                        (local.set $it (call $make))
                        (call $f (local.get $it)) (call $f (local.get $it))
                        (call $drop (local.get $it)) (local.get $it)))
                (core instance $m (instantiate $m (with "" (instance
                    (export "drop" (func $drop)) (export "make" (func $make)) (export "f" (func $f))))))
                (func (export "run") (result u32) (canon lift (core func $m "run"))))
            (instance $r (instantiate $R))
            (instance $c (instantiate $C (with "r" (type $r "r"))))
            (instance $d (instantiate $D (with "r" (type $r "r")) (with "make" (func $r "make")) (with "f" (func $c "f"))))
            (func (export "run") (alias export $d "run")))"#
        )
    };
    for engine in all_engines() {
        let (mut store, instance) = super::instance(&engine, &text("(call $drop (local.get 0))"));
        for _ in 0..3 {
            assert_eq!(call(&mut store, instance, "run", &[]).unwrap(), Some(Val::U32(1)));
        }
        let (mut store, instance) = super::instance(&engine, &text(""));
        let error = call(&mut store, instance, "run", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::BorrowsRemain), "{error}");
    }
}
