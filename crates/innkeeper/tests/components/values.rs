//! Values between the host and guests.

use std::sync::{Arc, Mutex};

use innkeeper::component::{Linker, List, Trap, Val};
use innkeeper::{Engine, Store};

use super::{call, component, engines, instance};

/// A component whose function gives back what it is given, whatever type that is; its memory begins with `start` pages.
fn echo(types: &str, ty: &str, options: &str) -> String {
    format!(
        r#"(component
            (import "host" (func $host (param "v" {ty}) (result {ty})))
            (core module $libc
                (memory (export "memory") 2)
                (global $next (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and
                        (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                        (i32.sub (i32.const 0) (local.get 2))))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (memory.copy (local.get $at) (local.get 0)
                        (select (local.get 1) (local.get 3) (i32.lt_u (local.get 1) (local.get 3))))
                    (local.get $at)))
            (core instance $libc (instantiate $libc))
            {types}
            (core func $host (canon lower (func $host)
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")) {options}))
            (func (export "echo") (param "v" {ty}) (result {ty})
                (canon lift (core func $through "echo")
                    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")) {options})))"#
    )
}

/// The module in the middle of [`echo`]: what it is given, it gives to the host, and gives back what comes from there. Values of one or two slots.
const ONE_SLOT: &str = r#"
    (core module $m (import "" "host" (func $host (param SLOT) (result SLOT)))
        (func (export "echo") (param SLOT) (result SLOT) (call $host (local.get 0))))"#;

#[test]
fn c26_c28_numbers_arrive_as_they_are() {
    let cases = [
        ("i32", "bool", Val::Bool(true)),
        ("i32", "s8", Val::S8(-128)),
        ("i32", "u8", Val::U8(255)),
        ("i32", "s16", Val::S16(-32_768)),
        ("i32", "u16", Val::U16(65_535)),
        ("i32", "s32", Val::S32(i32::MIN)),
        ("i32", "u32", Val::U32(u32::MAX)),
        ("i64", "s64", Val::S64(i64::MIN)),
        ("i64", "u64", Val::U64(u64::MAX)),
        ("f32", "f32", Val::Float32(-0.5)),
        ("f64", "f64", Val::Float64(1e300)),
        ("i32", "char", Val::Char('\u{10ffff}')),
        ("i32", "char", Val::Char('\u{d7ff}')),
    ];
    for engine in engines() {
        for (slot, ty, val) in &cases {
            let module = ONE_SLOT.replace("SLOT", slot);
            let text = format!(
                r#"(component
                    (import "host" (func $host (param "v" {ty}) (result {ty})))
                    {module}
                    (core func $host' (canon lower (func $host)))
                    (core instance $m (instantiate $m (with "" (instance (export "host" (func $host'))))))
                    (func (export "echo") (param "v" {ty}) (result {ty}) (canon lift (core func $m "echo"))))"#
            );
            assert_eq!(echoed(&engine, &text, val), *val, "{ty}");
        }
    }
}

/// Calls `echo` with a host that gives back what it is given, and tells what has arrived there and here.
fn echoed(engine: &Engine, text: &str, val: &Val) -> Val {
    let seen = Arc::new(Mutex::new(None));
    let mut linker: Linker<()> = Linker::new(engine);
    let to = Arc::clone(&seen);
    linker.root().func_new("host", move |_, params, results| {
        *to.lock().unwrap() = Some(params[0].clone());
        results[0] = params[0].clone();
        Ok(())
    });
    let mut store = Store::new(engine, ()).unwrap();
    let instance = linker.instantiate(&mut store, &component(engine, text)).unwrap();
    let result = call(&mut store, instance, "echo", std::slice::from_ref(val)).unwrap().unwrap();
    assert_eq!(seen.lock().unwrap().as_ref(), Some(&result));
    result
}

/// Values that are passed by address and length, in all encodings.
#[test]
fn c45_strings_and_lists_go_through_a_guest() {
    let through = r#"
        (core module $m (import "" "host" (func $host (param i32 i32 i32)))
            (import "" "memory" (memory 1))
            (func (export "echo") (param i32 i32) (result i32)
                (call $host (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16)))
        (core instance $through (instantiate $m (with "" (instance
            (export "host" (func $host)) (export "memory" (memory $libc "memory"))))))"#;
    let strings = [
        "",
        "a",
        "plain",
        "caf\u{e9}",
        "\u{20ac}uro",
        "\u{1f350}\u{e9}",
        &"x".repeat(5000),
        &"\u{e9}".repeat(700),
    ];
    for engine in engines() {
        for options in ["", "string-encoding=utf16", "string-encoding=latin1+utf16"] {
            let text = echo("", "string", options);
            // The module in the middle needs the lowered function, which comes before the lifted one.
            let text =
                text.replace("(func (export \"echo\")", &format!("{through}\n(func (export \"echo\")"));
            for string in strings {
                let val = Val::from(string);
                assert_eq!(echoed(&engine, &text, &val), val, "{options} {string}");
            }
        }
        for (ty, val) in [
            ("(list u8)", Val::from((0..=255).collect::<Vec<u8>>())),
            ("(list u64)", Val::from(vec![1_u64, u64::MAX])),
            ("(list s16)", Val::from(vec![-1_i16, 5])),
            ("(list f64)", Val::from(vec![Val::Float64(0.25), Val::Float64(-1.0)])),
            ("(list bool)", Val::from(vec![Val::Bool(true), Val::Bool(false)])),
            ("(list string)", Val::from(vec![Val::from("a"), Val::from("\u{20ac}")])),
            ("(list (tuple u8 u32))", Val::from(vec![Val::Tuple(vec![Val::U8(1), Val::U32(2)])])),
            (
                "(map string u32)",
                Val::Map(vec![(Val::from("k"), Val::U32(1)), (Val::from("k"), Val::U32(2))]),
            ),
        ] {
            let text = echo("", ty, "");
            let text =
                text.replace("(func (export \"echo\")", &format!("{through}\n(func (export \"echo\")"));
            assert_eq!(echoed(&engine, &text, &val), val, "{ty}");
        }
    }
}

/// C27, C32, C42: what a guest may not give.
#[test]
fn c27_c32_what_is_no_value_traps() {
    let text = r#"(component
        (core module $m (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\03\00\00\00")
            (data (i32.const 8) "\ff\ff\00\00\03\00\00\00")
            (data (i32.const 16) "\e2\82\41")
            (func (export "surrogate") (result i32) (i32.const 0xd800))
            (func (export "beyond") (result i32) (i32.const 0x110000))
            (func (export "case") (result i32) (i32.const 2))
            (func (export "string") (result i32) (i32.const 0))
            (func (export "outside") (result i32) (i32.const 8))
            (func (export "unaligned") (result i32) (i32.const 2)))
        (core instance $m (instantiate $m))
        (func (export "surrogate") (result char) (canon lift (core func $m "surrogate")))
        (func (export "beyond") (result char) (canon lift (core func $m "beyond")))
        (func (export "case") (result (enum "a" "b")) (canon lift (core func $m "case")))
        (func (export "string") (result string) (canon lift (core func $m "string") (memory (core memory $m "memory"))))
        (func (export "outside") (result string) (canon lift (core func $m "outside") (memory (core memory $m "memory"))))
        (func (export "unaligned") (result string)
            (canon lift (core func $m "unaligned") (memory (core memory $m "memory")))))"#;
    // An enum is exported by a name only.
    let text = text.replace(
        "(func (export \"case\") (result (enum \"a\" \"b\"))",
        "(type $e (enum \"a\" \"b\")) (export $e' \"e\" (type $e)) (func (export \"case\") (result $e')",
    );
    for engine in engines() {
        for (name, expected) in [
            ("surrogate", Trap::InvalidChar(0xd800)),
            ("beyond", Trap::InvalidChar(0x11_0000)),
            ("case", Trap::InvalidDiscriminant(2)),
            ("outside", Trap::StringOutOfBounds),
            ("unaligned", Trap::Unaligned),
        ] {
            let (mut store, instance) = instance(&engine, &text);
            let error = call(&mut store, instance, name, &[]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&expected), "{error}");
            // C54: what has trapped is not entered again.
            assert!(instance.is_poisoned(&mut store));
            let error = call(&mut store, instance, "surrogate", &[]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter));
        }
        let (mut store, instance) = instance(&engine, &text);
        let error = call(&mut store, instance, "string", &[]).unwrap_err();
        assert!(matches!(error.downcast_ref::<Trap>(), Some(Trap::InvalidUtf8(_))), "{error}");
    }
}

/// C33: values of the host's that do not fit are errors, after which the instance can be used.
#[test]
fn c33_values_that_do_not_fit_are_told_and_harm_nothing() {
    let text = r#"(component
        (core module $m (func (export "f") (param i32 i32) (result i32) (local.get 1)))
        (core instance $m (instantiate $m))
        (type $f (flags "a" "b")) (export $f' "flags" (type $f))
        (type $r (record (field "x" u8) (field "flags" $f'))) (export $r' "record" (type $r))
        (func (export "f") (param "r" $r') (result u32) (canon lift (core func $m "f"))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let record =
            |x, flags: &[&str]| Val::record([("x", x), ("flags", Val::flags(flags.iter().copied()))]);
        for (val, said) in [
            (Val::U8(1), "expected record, found u8"),
            (record(Val::U32(1), &[]), "in the field `x`: expected u8, found u32"),
            (record(Val::U8(1), &["c"]), "the flags have no label `c`"),
            (
                Val::record([("flags", Val::flags([])), ("x", Val::U8(1))]),
                "the fields x, flags in this order",
            ),
        ] {
            let error = call(&mut store, instance, "f", &[val]).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("`r`"), "{error}");
        }
        let good = record(Val::U8(1), &["b"]);
        assert_eq!(call(&mut store, instance, "f", &[good]).unwrap(), Some(Val::U32(2)));
        let func = instance.get_func(&mut store, "f").unwrap();
        let error = func.call(&mut store, &[], &mut []).unwrap_err().to_string();
        assert!(error.contains("func(r: record{x: u8, flags: flags{a, b}}) -> u32"), "{error}");
    }
}

/// C52, C56: a function that runs after the return may not call out, and an exception ends at the boundary.
#[test]
fn c56_exceptions_become_traps() {
    let text = r#"(component
        (core module $m (tag $t) (func (export "f") (throw $t)))
        (core instance $m (instantiate $m))
        (func (export "f") (canon lift (core func $m "f"))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let error = call(&mut store, instance, "f", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UncaughtException));
    }
}

/// C35: what a guest makes the host hold is bounded by its budget.
#[test]
fn c35_lists_are_charged_to_the_budget() {
    let text = r#"(component
        (core module $m (memory (export "memory") 2048)
            (data (i32.const 0) "\00\00\00\00\00\00\00\07")
            (func (export "f") (result i32) (i32.const 0)))
        (core instance $m (instantiate $m))
        (func (export "f") (result (list bool)) (canon lift (core func $m "f") (memory (core memory $m "memory")))))"#;
    let mut config = innkeeper::Config::default();
    config.limits.memory_bytes = Some(512 << 20);
    let engine = innkeeper::engine(config);
    let (mut store, instance) = instance(&engine, text);
    let error = call(&mut store, instance, "f", &[]).unwrap_err().to_string();
    assert!(error.contains("Limits::memory_bytes"), "{error}");
}

#[test]
fn lists_of_numbers_are_equal_in_either_form() {
    let numbers = List::from(vec![1_u32, 2]);
    let vals = List::Vals(vec![Val::U32(1), Val::U32(2)]);
    assert_eq!(numbers, vals);
    assert_ne!(numbers, List::from(vec![1_u32, 3]));
    assert_eq!((numbers.len(), numbers.get(1), numbers.is_empty()), (2, Some(Val::U32(2)), false));
}
