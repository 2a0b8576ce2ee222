//! Scripts of our own: what the specification's suites do not ask about pairs of instructions that may become one, values of several slots, memories and tables of several kinds, and
//! threads that share.

use std::path::Path;

use innkeeper::{Config, Engine, MemoryLayout};

#[test]
fn vectors() {
    check("vectors.wast", &innkeeper::engine(Config::default()));
}

#[test]
fn fused_pairs() {
    check("fused.wast", &innkeeper::engine(Config::default()));
}

#[test]
fn memories_and_threads() {
    for layout in [MemoryLayout::Auto, MemoryLayout::Exact] {
        let mut config = Config::default();
        config.tuning.memory_layout = layout;
        let engine = innkeeper::engine(config);
        check("memories.wast", &engine);
        check("threads.wast", &engine);
    }
}

/// A function with so many locals that operands cannot name them.
#[test]
fn vectors_in_far_locals() {
    let many = "v128 ".repeat(15_001);
    let text = format!(
        r#"(module (func (export "far") (param v128 v128) (result v128 v128 v128 i64)
            (local $number i64) (local $a v128) (local {many}) (local $b v128)
            (local.set $a (local.get 0))
            (local.set $b (local.tee $a (i8x16.add (local.get $a) (local.get 1))))
            (local.set $number (i64x2.extract_lane 1 (local.get $a)))
            (local.get $a) (local.set $a (v128.const i64x2 0 0)) (local.get $b) (local.get $a) (local.get $number)))
        (assert_return (invoke "far" (v128.const i64x2 1 2) (v128.const i64x2 3 4))
            (v128.const i64x2 4 6) (v128.const i64x2 4 6) (v128.const i64x2 0 0) (i64.const 6))"#
    );
    let outcome = innkeeper_wast::run(&innkeeper::engine(Config::default()), &text);
    assert_eq!((outcome.passed, outcome.failures), (2, Vec::new()));
}

/// Modules import from a named one by its name, except where the script registered another under it.
#[test]
fn named_modules_are_registered() {
    let text = r#"
        (module $one (func (export "f") (result i32) (i32.const 1)))
        (module (import "one" "f" (func $f (result i32))) (func (export "g") (result i32) (call $f)))
        (assert_return (invoke "g") (i32.const 1))
        (register "two" $one)
        (module $two (func (export "f") (result i32) (i32.const 2)))
        (module (import "two" "f" (func $f (result i32))) (func (export "g") (result i32) (call $f)))
        (assert_return (invoke "g") (i32.const 1))"#;
    let outcome = innkeeper_wast::run(&innkeeper::engine(Config::default()), text);
    assert_eq!((outcome.passed, outcome.failures), (7, Vec::new()));
}

/// Options of `either` may be of other types than the result.
#[test]
fn either_goes_on_after_an_option_of_another_type() {
    let text = r#"
        (module (func (export "f") (result i32) (i32.const 1)))
        (assert_return (invoke "f") (either (i64.const 1) (i32.const 1)))
        (assert_return (invoke "f") (either (i64.const 1) (i32.const 2)))"#;
    let outcome = innkeeper_wast::run(&innkeeper::engine(Config::default()), text);
    assert_eq!((outcome.passed, outcome.failures.len()), (2, 1));
}

/// What is wrong in an annotation's text is found like what is wrong in other text.
#[test]
fn modules_with_malformed_custom_sections_are_rejected() {
    let text = r#"
        (assert_malformed_custom (module quote "(@custom 4)") "expected a string")"#;
    let outcome = innkeeper_wast::run(&innkeeper::engine(Config::default()), text);
    assert_eq!((outcome.passed, outcome.failures), (1, Vec::new()));
}

fn check(name: &str, engine: &Engine) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let outcome = innkeeper_wast::run(engine, &text);
    assert!(outcome.failures.is_empty(), "{name}: {:#?}", outcome.failures);
    assert!(outcome.passed > 0, "{name} asserts nothing");
}
