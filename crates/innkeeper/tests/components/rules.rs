//! What validation refuses of names, definitions and options, and what is next to that and good.

use innkeeper::component::{Component, Linker, Val};
use innkeeper::{Config, Engine, Store};

use super::{call, component, engines, instance};

/// Whether a component is valid; why not, where it is not.
fn checked(engine: &Engine, text: &str) -> Result<(), String> {
    let bytes = innkeeper::to_binary(text.as_bytes()).map_err(|error| error.to_string())?;
    Component::new(engine, bytes).map(drop).map_err(|error| error.to_string())
}

/// Components that are valid, and those that are not, with a part of the reason.
#[track_caller]
fn check(valid: &[&str], refused: &[(&str, &str)]) {
    let engine = innkeeper::engine(Config::default());
    for text in valid {
        let told = checked(&engine, &format!("(component {text})"));
        assert_eq!(told, Ok(()), "{text}");
    }
    for (text, reason) in refused {
        let told = checked(&engine, &format!("(component {text})")).expect_err(text);
        assert!(told.contains(reason), "{text}: {told}");
    }
}

#[test]
fn c9_labels_are_words_and_unlike_each_other() {
    check(
        &[
            r#"(import "a" (func)) (import "a-b" (func)) (import "abc" (func))"#,
            r#"(import "a-1b" (func)) (import "a-URL" (func)) (import "URL-a" (func))"#,
            r#"(import "a" (type $a (sub resource))) (import "[constructor]a" (func (result (own $a))))
               (import "[method]a.b" (func (param "self" (borrow $a)))) (import "[static]a.c" (func))"#,
        ],
        &[
            (r#"(import "1a" (func))"#, "not in kebab case"),
            (r#"(import "aB" (func))"#, "not in kebab case"),
            (r#"(import "a--b" (func))"#, "not in kebab case"),
            (r#"(import "a-" (func))"#, "not in kebab case"),
            (r#"(import "" (func))"#, "not in kebab case"),
            (r#"(import "a" (func)) (import "A" (func))"#, "conflicts with previous name"),
            (r#"(import "a-b" (func)) (import "ab" (func))"#, "conflicts with previous name"),
            (r#"(type (record (field "a" u8) (field "A" u8)))"#, "conflicts with"),
            (r#"(type (enum "a" "A"))"#, "conflicts with"),
            (
                r#"(import "a" (type $a (sub resource))) (import "[method]a.b" (func (param "self" (borrow $a))))
                   (import "[static]a.b" (func))"#,
                "conflicts with previous name",
            ),
            (r#"(import "[method]a.b" (func))"#, "at least one argument"),
            // What is unlike its neighbours is not unlike all of them.
            (
                r#"(import "a" (type $a (sub resource))) (import "[constructor]a" (func (result (own $a))))
                   (import "[method]a.a" (func (param "self" (borrow $a))))"#,
                "conflicts with previous name",
            ),
            (
                r#"(import "a" (type $a (sub resource))) (import "[static]a.a" (func))"#,
                "conflicts with previous name",
            ),
            (r#"(import "a-b-c" (func)) (import "d" (func)) (import "aBC" (func))"#, "not in kebab case"),
            (
                r#"(import "a-b-c" (func)) (import "d" (func)) (import "A-b-C" (func))"#,
                "conflicts with previous name",
            ),
        ],
    );
}

/// C14: an interface that is imported twice under names of its own comes from where each name leads.
#[test]
fn c14_imports_of_one_interface_have_different_providers() {
    let text = r#"(component
        (import "one" (implements "a:b/c") (instance $one (export "f" (func (result u32)))))
        (import "two" (implements "a:b/c") (external-id "!") (instance $two (export "f" (func (result u32)))))
        (core func $one (canon lower (func $one "f"))) (core func $two (canon lower (func $two "f")))
        (core module $m (import "" "one" (func $one (result i32))) (import "" "two" (func $two (result i32)))
            (func (export "f") (result i32) (i32.sub (call $two) (call $one))))
        (core instance $m (instantiate $m (with "" (instance (export "one" (func $one)) (export "two" (func $two))))))
        (func (export "f") (result u32) (canon lift (core func $m "f"))))"#;
    for engine in engines() {
        let mut linker: Linker<()> = Linker::new(&engine);
        for (name, number) in [("one", 2), ("two", 44)] {
            let mut provider = linker.instance(name).unwrap();
            provider.func_wrap("f", move |_, (): ()| Ok(number as u32));
        }
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, text)).unwrap();
        assert_eq!(call(&mut store, instance, "f", &[]).unwrap(), Some(Val::U32(42)));
    }
}

#[test]
fn c15_exports_are_unique() {
    check(
        &[
            r#"(import "f" (func $f)) (export "a" (func $f)) (export "b" (func $f))"#,
            // Imports have names of their own, and so have modules and components.
            r#"(import "f" (func $f)) (export "f" (func $f))"#,
            r#"(core module $m) (export "a" (core module $m)) (component $c) (export "b" (component $c))"#,
        ],
        &[
            (
                r#"(import "f" (func $f)) (export "a" (func $f)) (export "a" (func $f))"#,
                "conflicts with previous name",
            ),
            (
                r#"(import "f" (func $f)) (export "a" (func $f)) (export "A" (func $f))"#,
                "conflicts with previous name",
            ),
            (
                r#"(import "f" (func $f)) (component $c) (export "a" (func $f)) (export "a" (component $c))"#,
                "conflicts with previous name",
            ),
            (
                r#"(import "f" (func $f)) (export "f" (func $f)) (import "f" (func))"#,
                "conflicts with previous name",
            ),
        ],
    );
}

/// C15: an export may be said to be less than it is, and not to be more; components and modules are exported as well.
#[test]
fn c15_exports_have_at_least_what_is_said_of_them() {
    let text = r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 1)) (func (export "g") (result i32) (i32.const 2)))
        (core instance $m (instantiate $m))
        (func $f (result u32) (canon lift (core func $m "f"))) (func $g (result u32) (canon lift (core func $m "g")))
        (instance $both (export "f" (func $f)) (export "g" (func $g)))
        (export "whole" (instance $both))
        (export "part" (instance $both) (instance (export "f" (func (result u32)))))
        (component $c (export "m" (core module $m)))
        (export "c" (component $c)) (export "m" (core module $m)))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        for (name, expected) in [("whole#f", 1), ("whole#g", 2), ("part#f", 1)] {
            assert_eq!(call(&mut store, instance, name, &[]).unwrap(), Some(Val::U32(expected)), "{name}");
        }
        let names: Vec<_> = instance.exports(&mut store).into_iter().map(|(name, _)| name).collect();
        assert!(
            ["whole#g", "part#f", "m"].iter().all(|name| names.iter().any(|known| known == name)),
            "{names:?}"
        );
    }
    // Whoever is around it finds what is named, and no more.
    let around = |name: &str| {
        format!(
            r#"(component $c (core module $m (func (export "f"))) (core instance $m (instantiate $m))
                (func $f (canon lift (core func $m "f")))
                (instance $both (export "f" (func $f)) (export "g" (func $f)))
                (export "part" (instance $both) (instance (export "f" (func)))))
            (instance $i (instantiate $c)) (alias export $i "part" (instance $part)) (alias export $part "{name}" (func))"#
        )
    };
    check(&[&around("f")], &[(&around("g"), "no export named `g`")]);
    let refused = text.replace("(export \"f\" (func (result u32)))", "(export \"h\" (func (result u32)))");
    let inner = refused.strip_prefix("(component").and_then(|text| text.strip_suffix(')')).unwrap();
    check(&[], &[(inner, "missing expected export `h`")]);
}

#[test]
fn c17_outer_aliases_end_at_the_outermost_component_and_at_its_resources() {
    check(
        &["(type $t (list u8)) (component (alias outer 1 $t (type $mine)) (type (list $mine)))"],
        &[
            ("(component (alias outer 9 0 (type)))", "invalid outer alias count"),
            ("(alias outer 1 0 (type))", "invalid outer alias count"),
            (
                "(type $r (resource (rep i32))) (component (alias outer 1 $r (type)))",
                "refers to resources not defined in the current component",
            ),
            (
                "(type $r (resource (rep i32))) (type $t (list (own $r))) (component (alias outer 1 $t (type)))",
                "refers to resources not defined in the current component",
            ),
        ],
    );
}

/// C18: things are there in the order of their definition, and what is used before is not there.
#[test]
fn c18_nothing_is_used_before_it_is_there() {
    check(
        &["(core module $m) (core instance (instantiate $m))"],
        &[
            ("(core instance (instantiate 0)) (core module)", "unknown module 0"),
            ("(instance (instantiate 0)) (component)", "unknown component 0"),
            (r#"(core func (canon lower (func 0))) (import "f" (func))"#, "unknown function 0"),
            (r#"(alias core export 0 "f" (core func))"#, "unknown core instance 0"),
        ],
    );
    // A cycle is closed by a table that is filled last, as adapters do.
    let text = r#"(component
        (core module $shim (table (export "table") 1 1 funcref) (type $f (func (result i32)))
            (func (export "f") (result i32) (call_indirect (type $f) (i32.const 0))))
        (core instance $shim (instantiate $shim))
        (core module $main (import "shim" "f" (func $f (result i32)))
            (func (export "seven") (result i32) (i32.const 7))
            (func (export "run") (result i32) (call $f)))
        (core instance $main (instantiate $main (with "shim" (instance $shim))))
        (core module $fill (import "shim" "table" (table 1 1 funcref)) (import "main" "seven" (func $seven (result i32)))
            (elem (i32.const 0) func $seven))
        (core instance (instantiate $fill (with "shim" (instance $shim)) (with "main" (instance $main))))
        (func (export "run") (result u32) (canon lift (core func $main "run"))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        assert_eq!(call(&mut store, instance, "run", &[]).unwrap(), Some(Val::U32(7)));
    }
}

#[test]
fn c19_modules_are_given_what_they_import() {
    let module = r#"(core module $m (import "e" "x" (memory 2))) "#;
    let of = |given: &str| {
        format!(
            r#"(core module $g {given}) (core instance $g (instantiate $g)) {module}
               (core instance (instantiate $m (with "e" (instance $g))))"#
        )
    };
    let [right, larger] = ["2", "3"].map(|pages| of(&format!(r#"(memory (export "x") {pages})"#)));
    let [smaller, wrong] = [r#"(memory (export "x") 1)"#, r#"(func (export "x"))"#].map(of);
    let missing = of("");
    check(
        &[&right, &larger],
        &[
            (&smaller, "mismatch in memory limits"),
            (&wrong, "expected memory, found func"),
            (&missing, "does not export an item named `x`"),
            (
                r#"(core module $m (func (export "f"))) (core instance $i (instantiate $m))
                   (core instance (export "a" (func $i "f")) (export "a" (func $i "f")))"#,
                "duplicate instantiation export name",
            ),
        ],
    );
}

#[test]
fn c24_canonical_options_are_those_that_are_needed_and_no_others() {
    let lower = |ty: &str, options: &str| {
        format!(
            r#"(import "f" (func $f {ty}))
               (core module $m (memory (export "memory") 1) (memory (export "other") 1)
                   (func (export "realloc") (param i32 i32 i32 i32) (result i32) (unreachable))
                   (func (export "wrong") (param i32) (result i32) (unreachable)))
               (core instance $m (instantiate $m))
               (alias core export $m "memory" (core memory $memory))
               (alias core export $m "realloc" (core func $realloc)) (alias core export $m "wrong" (core func $wrong))
               (core func (canon lower (func $f) {options}))"#
        )
    };
    let lift = |ty: &str, core: &str, options: &str| {
        format!(
            r#"(core module $m (memory (export "memory") 1) (func (export "f") {core})
                   (func (export "after") (param i32)) (func (export "callback") (param i32 i32 i32) (result i32) (unreachable)))
               (core instance $m (instantiate $m)) (alias core export $m "memory" (core memory $memory))
               (alias core export $m "after" (core func $after)) (alias core export $m "callback" (core func $callback))
               (func {ty} (canon lift (core func $m "f") {options}))"#
        )
    };
    let text = r#"(param "s" string)"#;
    let result = "(result string)";
    let valid = [
        lower("", ""),
        lower(text, "(memory $memory)"),
        lower(result, "(memory $memory) (realloc $realloc)"),
        lift(result, "(result i32) (unreachable)", "(memory $memory) (post-return $after)"),
        lift("async", "(result i32) (unreachable)", "async (callback $callback)"),
        // A future of nothing needs no memory.
        String::from("(type $f (future)) (core func (canon future.read $f async))"),
    ];
    let refused = [
        (lower(text, ""), "canonical option `memory` is required"),
        (lower(result, "(memory $memory)"), "canonical option `realloc` is required"),
        (lower(text, "(memory $memory) (memory $memory)"), "`memory` is specified more than once"),
        (lower(text, "(memory $memory) string-encoding=utf8 string-encoding=utf16"), "conflicts with option"),
        (lower(result, "(memory $memory) (realloc $wrong)"), "realloc"),
        (lower("", "(post-return $wrong)"), "post-return"),
        (lift("", "", "(callback $callback)"), "cannot specify callback without async"),
        (lift("", "(result i32) (unreachable)", "async (callback $callback)"), "async"),
        (
            lift(
                "async (result string)",
                "(result i32) (unreachable)",
                "async (callback $callback) (memory $memory) (post-return $after)",
            ),
            "post-return",
        ),
    ];
    let refused: Vec<(&str, &str)> = refused.iter().map(|(text, reason)| (&**text, *reason)).collect();
    check(&valid.each_ref().map(|text| &**text), &refused);
}

/// C24, B15: what moves values has the memory that they are in, and the allocator that they need; what moves none needs neither.
#[test]
fn c24_copies_of_streams_and_futures_have_the_memory_that_they_need() {
    let text = |kind: &str, element: &str, verb: &str, options: &str| {
        format!(
            r#"(core module $m (memory (export "memory") 1)
                   (func (export "realloc") (param i32 i32 i32 i32) (result i32) (unreachable)))
               (core instance $m (instantiate $m)) (alias core export $m "memory" (core memory $memory))
               (alias core export $m "realloc" (core func $realloc))
               (type $t ({kind} {element})) (core func (canon {kind}.{verb} $t async {options}))"#
        )
    };
    const NO_MEMORY: &str = "canonical option `memory` is required";
    const NO_REALLOC: &str = "canonical option `realloc` is required";
    for kind in ["stream", "future"] {
        for verb in ["read", "write"] {
            check(&[&text(kind, "", verb, "")], &[]);
            for element in ["u8", "bool", "string", "(list u32)", "(tuple u8 u64)"] {
                let allocates = matches!(element, "string" | "(list u32)");
                check(&[], &[(&text(kind, element, verb, ""), NO_MEMORY)]);
                let with_memory = text(kind, element, verb, "(memory $memory)");
                match verb == "read" && allocates {
                    true => check(&[], &[(&with_memory, NO_REALLOC)]),
                    false => check(&[&with_memory], &[]),
                }
                check(&[&text(kind, element, verb, "(memory $memory) (realloc $realloc)")], &[]);
            }
        }
    }
}

#[test]
fn c40_keys_of_maps_are_what_can_be_compared() {
    check(
        &[
            "(type (map string u8))",
            "(type (map char (list u8)))",
            "(type (map bool u8))",
            "(type (map s64 u8))",
        ],
        &[
            ("(type (map f64 u8))", "map key"),
            ("(type (map (list u8) u8))", "map key"),
            ("(type (record (field \"f\" f32))) (type (map 0 u8))", "map key"),
        ],
    );
}
