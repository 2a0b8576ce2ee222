//! `--invoke` of components: calls in WAVE, how functions are found, resources that live from one call to the next.

use crate::{Ran, inn};

const SHOP: &str = include_str!("components/shop.wat");
const COUNTER: &str = include_str!("components/counter.wat");

fn invoke(component: &str, calls: &[&str]) -> Ran {
    let flags: Vec<&str> = calls.iter().flat_map(|call| ["--invoke", *call]).chain(["-"]).collect();
    inn(&flags).stdin(component).run()
}

#[test]
fn functions_are_called_with_values_and_results_printed() {
    invoke(SHOP, &["sums.add(1, 2)"]).code(0).stdout("3\n").stderr("");
    invoke(SHOP, &[r#"greet("a \"b\"\n\u{1b}")"#]).code(0).stdout("\"a \\\"b\\\"\\n\\u{1b}\"\n");
    invoke(SHOP, &["checked(1)", "checked(10)"]).code(0).stdout("ok(1)\nerr(10)\n");
    invoke(SHOP, &[r#"item({count: 3, name: "x"})"#, r#"item({name: "", count: 0, kind: %none})"#])
        .code(0)
        .stdout("{name: \"x\", count: 3, kind: none}\n{name: \"\", count: 0, kind: some(%none)}\n");
}

#[test]
fn a_name_alone_takes_its_arguments_from_after_the_file() {
    inn(&["--invoke", "greet", "-", "wörld"]).stdin(SHOP).run().code(0).stdout("\"wörld\"\n");
    inn(&["--invoke", "greet", "-", "\"quoted\""]).stdin(SHOP).run().code(0).stdout("\"quoted\"\n");
    inn(&["--invoke", "sums.add", "-", "1", "41"]).stdin(SHOP).run().code(0).stdout("42\n");
    inn(&["--invoke", "sums.add", "-", "1"])
        .stdin(SHOP)
        .run()
        .code(2)
        .says(&["takes 2 arguments, and 1 were given"]);
}

#[test]
fn names_are_as_short_as_they_are_clear() {
    for name in [
        "test:shop/sums@1.2.0.add",
        "test:shop/sums@1.0.0.add",
        "test:shop/sums.add",
        "test:shop/sums@1.2.0#add",
    ] {
        invoke(SHOP, &[&format!("{name}(1, 2)")]).code(0).stdout("3\n");
    }
    invoke(SHOP, &["add(1, 2)"])
        .code(2)
        .stdout("")
        .says(&["2 functions are called `add`", "`test:shop/sums@1.2.0.add`, `test:shop/others@1.2.0.add`"]);
    invoke(SHOP, &["ad(1)"]).code(2).says(&[
        "exports no function `ad`",
        "did you mean `add`?",
        "greet: func(name: string) -> string",
    ]);
    invoke(SHOP, &["test:shop/sums@2.0.0.add(1, 2)"]).code(2).says(&["exports no function"]);
}

#[test]
fn what_does_not_fit_is_answered_with_the_type() {
    for (call, says) in [
        (r#"sums.add(1, "x")"#, "argument 2 (`b`): expected u32, found `\"x\"`"),
        ("sums.add(1, -1)", "expected u32, found `-1`"),
        ("sums.add(1, 4294967296)", "expected u32, found `4294967296`"),
        ("sums.add(1)", "takes 2 arguments, and 1 were given"),
        ("sums.add(1, 2, 3)", "takes 2 arguments, and 3 were given"),
        ("sums.add(a: 1, b: 2)", "arguments have no names here"),
        ("sums.add(1, ])", "cannot be read"),
        (r#"item({name: "x"})"#, "the field `count` is missing"),
        (r#"item({name: "x", count: "3"})"#, "in the field `count`: expected u32"),
        (r#"item({name: "x", count: 3, colour: red})"#, "has no field `colour`"),
        (
            r#"item({name: "x", count: 3, kind: paper})"#,
            "in the field `kind`: expected enum{book, none}, found `paper`",
        ),
    ] {
        invoke(SHOP, &[call]).code(2).stdout("").says(&[
            &format!("error: --invoke {call}: "),
            says,
            "help: its type is func(",
        ]);
    }
    for call in ["sums.add(1", "(1)", "x = "] {
        invoke(SHOP, &[call]).code(2).says(&["write a call, as in --invoke 'add(1, 2)'"]);
    }
}

#[test]
fn how_it_ends_is_the_exit_code() {
    invoke(SHOP, &["checked(1)", "fail()", "checked(1)"])
        .code(134)
        .stdout("ok(1)\n")
        .says(&["wasm trap: unreachable"]);
    invoke(SHOP, &[r#"ask("x")"#])
        .code(1)
        .says(&["`test:shop/prices@1.0.0#price` was called, which nobody provides"]);
}

#[test]
fn resources_live_from_one_call_to_the_next() {
    let calls = [
        "c = counter.new(5)",
        "counter.new(7)",
        "c.add(2)",
        "counter.sum(c, counter-1)",
        "drops()",
        "c.drop()",
        "consume(counter-1)",
        "drops()",
    ];
    invoke(COUNTER, &calls).code(0).stdout("c\ncounter-1\n7\n14\n0\n2\n").stderr("");
    invoke(COUNTER, &["c = counter.new(5)", "c.substract(1)"])
        .code(2)
        .says(&["the resource `c` has no method `substract`", "it has add, drop"]);
    invoke(COUNTER, &["consume(c)"]).code(2).says(&["expected the name of a counter", "found `c`"]);
    invoke(COUNTER, &["c = counter.new(5)", "consume(c)", "c.add(1)"])
        .code(1)
        .says(&["--invoke c.add(1): ", "the resource handle is gone"]);
    invoke(COUNTER, &["d = drops()"]).code(2).says(&["gives no resource that could be called `d`"]);
}

#[test]
fn what_can_be_called_is_listed_where_there_is_no_program() {
    inn(&["-"]).stdin(SHOP).run().code(2).says(&[
        "it exports no `wasi:cli/run`",
        "inn --invoke 'greet(...)'",
        "`checked: func(n: u32) -> result<u32, u32>`",
    ]);
}

#[test]
fn of_a_module_one_function_is_called() {
    let module = r#"(module (func (export "one") (result i32) (i32.const 1)))"#;
    invoke(module, &["one", "one"]).code(2).says(&["--invoke one: of a module one function is called"]);
}

/// A library that uses WASI, with the keys of the command line.
const TALKER: &str = r#"(component
    (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
    (import "wasi:cli/environment@0.2.0" (instance $environment
        (export "get-environment" (func (result (list (tuple string string)))))))
    (core module $libc (memory (export "memory") 1)
        (global $end (mut i32) (i32.const 64))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (global.get $end) (global.set $end (i32.add (global.get $end) (i32.and (i32.add (local.get 3) (i32.const 7)) (i32.const -8))))))
    (core instance $libc (instantiate $libc))
    (core func $exit (canon lower (func $exit "exit")))
    (core func $get (canon lower (func $environment "get-environment") (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
    (core module $m
        (import "libc" "memory" (memory 1))
        (import "wasi" "exit" (func $exit (param i32)))
        (import "wasi" "get" (func $get (param i32)))
        (func (export "leave") (param i32) (call $exit (local.get 0)))
        (func (export "count") (result i32) (call $get (i32.const 8)) (i32.load (i32.const 12)))
        (func (export "first") (result i32) (call $get (i32.const 8)) (i32.add (i32.load (i32.const 8)) (i32.const 8))))
    (core instance $i (instantiate $m (with "libc" (instance $libc)) (with "wasi" (instance (export "exit" (func $exit)) (export "get" (func $get))))))
    (func (export "leave") (param "failed" bool) (canon lift (core func $i "leave")))
    (func (export "count") (result u32) (canon lift (core func $i "count")))
    (func (export "first") (result string) (canon lift (core func $i "first") (memory (core memory $libc "memory")))))"#;

#[test]
fn what_is_invoked_has_the_keys_of_the_command_line() {
    let run = |args: &[&str]| inn(args).stdin(TALKER).run();
    run(&["--env", "A=first", "--invoke", "count()", "--invoke", "first()", "-"])
        .code(0)
        .stdout("1\n\"first\"\n")
        .stderr("");
    run(&["--invoke", "count()", "-"]).code(0).stdout("0\n");
    // Who ends itself is not called any more, and has the exit code.
    run(&["--invoke", "leave(true)", "--invoke", "count()", "-"]).code(1).stdout("");
    run(&["--invoke", "leave(false)", "--invoke", "count()", "-"]).code(0).stdout("");
}
