//! Strings at the end of a memory: of nothing, whole, and cut short.

use innkeeper::component::{Trap, Val};

use super::adapters::Pair;
use super::sizes::trap;
use super::{call, engines, instance};

/// A guest that returns a string from an address, of so many units.
fn text_at(data: &str, encoding: &str) -> String {
    format!(
        r#"(component
            (core module $m (memory (export "mem") 1) {data}
                (func (export "f") (param i32 i32) (result i32)
                    (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16)))
            (core instance $m (instantiate $m))
            (func (export "f") (param "at" u32) (param "n" u32) (result string)
                (canon lift (core func $m "f") (memory (core memory $m "mem")) string-encoding={encoding})))"#
    )
}

/// C36: an empty string has a place too, which is looked at.
#[test]
fn c36_empty_strings_are_looked_at_too() {
    for (encoding, at, said) in [
        ("utf8", 65_536, None),
        ("utf8", 65_537, Some(Trap::StringOutOfBounds)),
        ("utf8", u32::MAX, Some(Trap::StringOutOfBounds)),
        ("utf16", 65_536, None),
        ("utf16", 65_538, Some(Trap::StringOutOfBounds)),
        ("utf16", 1, Some(Trap::Unaligned)),
        ("latin1+utf16", 65_536, None),
        ("latin1+utf16", 65_538, Some(Trap::StringOutOfBounds)),
        ("latin1+utf16", 1, Some(Trap::Unaligned)),
    ] {
        for engine in engines() {
            let (mut store, made) = instance(&engine, &text_at("", encoding));
            let got = call(&mut store, made, "f", &[Val::U32(at), Val::U32(0)]);
            match &said {
                None => assert_eq!(got.unwrap(), Some(Val::from("")), "{encoding}"),
                Some(expected) => assert_eq!(&trap(got), expected, "{encoding} at {at}"),
            }
        }
    }
    let pair = |options| Pair {
        types: &[],
        ty: r#"(param "s" string) (result u32)"#,
        run_ty: r#"(param "at" u32) (result u32)"#,
        core_c: r#"(func (export "f") (param i32 i32) (result i32) (local.get 1))"#,
        core_d: r#"(func (export "run") (param i32) (result i32) (call $f (local.get 0) (i32.const 0)))"#,
        import: "(param i32 i32) (result i32)",
        options: ["", options],
    };
    const END: u32 = 4 * 65_536;
    let beyond = Err("string content out-of-bounds");
    for (encoding, at, expected) in [
        ("", END, Ok(())),
        ("", END + 1, beyond),
        ("string-encoding=utf16", END, Ok(())),
        ("string-encoding=utf16", END + 2, beyond),
        ("string-encoding=utf16", 1, Err("unaligned pointer")),
        ("string-encoding=latin1+utf16", END + 2, beyond),
    ] {
        let outcome = pair(encoding).run(&[Val::U32(at)]);
        match expected {
            Ok(()) => assert_eq!(outcome, Ok(Some(Val::U32(0))), "{encoding}"),
            Err(said) => assert!(outcome.as_ref().is_err_and(|told| told.contains(said)), "{outcome:?}"),
        }
    }
}

/// C42: a sequence that the end of the memory cuts short is broken, and nothing beyond is read; one that ends there is whole.
#[test]
fn c42_sequences_at_the_end_of_a_memory() {
    for (whole, cut) in
        [("\\c3\\a9", "\\c3"), ("\\e2\\82\\ac", "\\e2\\82"), ("\\f0\\9f\\8d\\90", "\\f0\\9f\\8d")]
    {
        for (bytes, is_whole) in [(whole, true), (cut, false)] {
            let length = bytes.len() / 3;
            let data = format!(r#"(data (i32.const {}) "{bytes}")"#, 65_536 - length);
            for before in [0, 1, 7, 15, 16, 31, 32, 33, 64] {
                let (at, units) = (65_536 - length - before, length + before);
                let given = [Val::U32(at as u32), Val::U32(units as u32)];
                for engine in engines() {
                    let (mut store, made) = instance(&engine, &text_at(&data, "utf8"));
                    let got = call(&mut store, made, "f", &given);
                    match is_whole {
                        true => assert!(matches!(got, Ok(Some(Val::String(text))) if text.len() == units)),
                        false => assert!(matches!(trap(got), Trap::InvalidUtf8(_)), "{bytes}, {before}"),
                    }
                }
                let pair = Pair {
                    types: &[],
                    ty: r#"(param "s" string) (result u32)"#,
                    run_ty: "(result u32)",
                    core_c: r#"(func (export "f") (param i32 i32) (result i32) (local.get 1))"#,
                    core_d: &format!(
                        r#"(data (i32.const {}) "{bytes}")
                        (func (export "run") (result i32) (call $f (i32.const {}) (i32.const {units})))"#,
                        4 * 65_536 - length,
                        4 * 65_536 - units,
                    ),
                    import: "(param i32 i32) (result i32)",
                    options: ["", ""],
                };
                let outcome = pair.run(&[]);
                match is_whole {
                    true => assert_eq!(outcome, Ok(Some(Val::U32(units as u32)))),
                    false => assert!(outcome.is_err_and(|told| told.contains("utf-8"))),
                }
            }
        }
    }
}
