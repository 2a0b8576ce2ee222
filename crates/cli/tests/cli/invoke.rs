//! `--invoke`: typed arguments and results.

use crate::inn;

const ECHO: &str = r#"(module
    (func (export "i32") (param i32) (result i32) (local.get 0))
    (func (export "i64") (param i64) (result i64) (local.get 0))
    (func (export "f32") (param f32) (result f32) (local.get 0))
    (func (export "f64") (param f64) (result f64) (local.get 0))
    (func (export "swap") (param i32 f64) (result f64 i32) (local.get 1) (local.get 0))
    (func (export "none"))
    (func (export "null") (param externref) (result externref funcref) (local.get 0) (ref.null func))
    (func (export "fail") unreachable)
    (memory (export "memory") 1))"#;

#[test]
fn a_reactor_is_initialized_first() {
    inn(&["--invoke", "add", "{reactor}", "2", "40"]).run().code(0).stdout("42\n").stderr("");
    inn(&["--invoke", "add", "{reactor}", "2147483647", "1"]).run().code(0).stdout("-2147483648\n");
    inn(&["--invoke", "_initialize", "{reactor}"]).run().code(0).stdout("");
}

#[test]
fn values_are_read_and_printed_by_type() {
    for (name, given, printed) in [
        ("i32", "-1", "-1"),
        ("i32", "0xffffffff", "-1"),
        ("i32", "4294967295", "-1"),
        ("i64", "-9223372036854775808", "-9223372036854775808"),
        ("i64", "0x10", "16"),
        ("f32", "1.5", "1.5"),
        ("f32", "-inf", "-inf"),
        ("f64", "nan", "NaN"),
        ("f64", "-0", "-0"),
        ("f64", "1e3", "1000"),
    ] {
        inn(&["--invoke", name, "-", given]).stdin(ECHO).run().code(0).stdout(&format!("{printed}\n"));
    }
    inn(&["--invoke", "swap", "-", "7", "-2.5"]).stdin(ECHO).run().code(0).stdout("-2.5\n7\n");
    inn(&["--invoke", "none", "-"]).stdin(ECHO).run().code(0).stdout("");
    inn(&["--invoke", "null", "-", "null"]).stdin(ECHO).run().code(0).stdout("null\nnull\n");
}

#[test]
fn arguments_that_do_not_fit_name_the_functions_type() {
    for args in
        [&["1"][..], &["1", "2", "3"], &["x", "1"], &["1.5", "1"], &["1", "one"], &["4294967296", "1"]]
    {
        let all: Vec<&str> = ["--invoke", "swap", "-"].iter().chain(args).copied().collect();
        let ran = inn(&all).stdin(ECHO).run();
        ran.code(2).stdout("").says(&["error: --invoke swap: ", "help: ", "(i32, f64) -> (f64, i32)"]);
    }
    inn(&["--invoke", "i32", "-", "a\x1b[2Jb"]).stdin(ECHO).run().code(2).says(&["`a\\u{1b}[2Jb`"]);
}

#[test]
fn a_function_that_is_not_there_is_answered_with_those_that_are() {
    inn(&["--invoke", "subtract", "-"])
        .stdin(ECHO)
        .run()
        .code(2)
        .says(&["it exports no function `subtract`", "`i32` (i32) -> (i32)"]);
    inn(&["--invoke", "memory", "-"]).stdin(ECHO).run().code(2).says(&["it exports no function `memory`"]);
}

#[test]
fn a_trap_in_an_invoked_function_exits_134() {
    inn(&["--invoke", "fail", "-"]).stdin(ECHO).run().code(134).stdout("").says(&["wasm trap: unreachable"]);
}
