//! Loops that machine code is entered at, inside every kind of block: what the interpreter's frame brings, and what is computed later on a way past the loop, is the
//! same operand.

use innkeeper::{Config, Linker, Module, Store, TierUp, Tiers};

/// Blocks of each kind around a `body`, in which control comes past the body while `past` is not zero; `rounds` is a local for those that go round. All leave `$sum` different on each way.
fn around(body: &str, past: &str, rounds: &str) -> Vec<(&'static str, String)> {
    let other = "(local.set $sum (i32.mul (local.get $sum) (i32.const 3)))";
    let throws = format!("(if {past} (then (throw $t)))");
    let throws_value = format!("(if {past} (then (throw $value (i32.const 9))))");
    let adds = "(local.set $sum (i32.add (local.get $sum)))";
    vec![
        ("block", format!("(block (br_if 0 {past}) {body})")),
        (
            "block with a result",
            format!("(block (result i32) (br_if 0 (i32.const 5) {past}) drop {body} (i32.const 7)) {adds}"),
        ),
        ("block left by a table", format!("(block (block (br_table 1 0 (i32.eqz {past}))) {body})")),
        ("loop", format!("(loop {body})")),
        (
            "loop gone round",
            format!(
                "(loop (local.set {rounds} (i32.add (local.get {rounds}) (i32.const 1))) (block (br_if 0 {past}) {body}) (br_if 0 (i32.and (local.get {rounds}) (i32.const 1))))"
            ),
        ),
        (
            "loop with a parameter",
            format!(
                "(local.get {rounds}) (loop (param i32) {adds} (block (br_if 0 {past}) {body}) (br_if 0 (i32.const 3) (i32.and (local.tee {rounds} (i32.add (local.get {rounds}) (i32.const 1))) (i32.const 3))) drop)"
            ),
        ),
        ("then", format!("(if {past} (then {other}) (else {body}))")),
        ("else", format!("(if (i32.eqz {past}) (then {body}) (else {other}))")),
        ("if without else", format!("(if (i32.eqz {past}) (then {body}))")),
        (
            "if with a parameter",
            format!(
                "(call $next (local.get $sum)) (if (param i32) (result i32) (i32.eqz {past}) (then {body}) (else {other})) {adds}"
            ),
        ),
        (
            "if with a parameter, without else",
            format!(
                "(call $next (local.get $sum)) (if (param i32) (result i32) (i32.eqz {past}) (then {body})) {adds}"
            ),
        ),
        ("try_table", format!("(block (try_table (catch $t 0) {throws} {body}))")),
        (
            "try_table that throws later",
            format!("(block (try_table (catch_all 0) {throws} {body} {throws} (throw $t)))"),
        ),
        (
            "try_table with a value",
            format!(
                "(block (result i32) (try_table (catch $value 0) {throws_value} {body}) (i32.const 4)) {adds}"
            ),
        ),
        (
            "try_table that goes to a loop",
            format!(
                "(loop (local.set {rounds} (i32.add (local.get {rounds}) (i32.const 1))) (try_table (catch $t 0) {body} (if (i32.and (local.get {rounds}) (i32.const 3)) (then (call $throws)))))"
            ),
        ),
        ("older try", format!("try {throws} {body} catch $t {other} end")),
        (
            "older try that throws later",
            format!("try {throws_value} {body} (call $throws) catch $value {adds} catch_all {other} end"),
        ),
        ("older try that delegates", format!("try try {throws} {body} delegate 0 catch_all {other} end")),
    ]
}

/// A block with operands below, which are used behind it; they are different each time.
fn above_operands(block: &str) -> String {
    format!(
        "(i64.extend_i32_u (call $next (local.get $i))) (call $next (i32.add (local.get $sum) (local.get $i))) {block} \
         (local.set $sum (i32.mul (i32.add (local.get $sum)) (i32.const 5))) i32.wrap_i64 (local.set $sum (i32.add (local.get $sum)))"
    )
}

fn program(body: &str) -> String {
    format!(
        r#"(module
        (tag $t) (tag $value (param i32))
        (func $throws (throw $t))
        ;; What is inlined has operands of its own.
        (func $next (param i32) (result i32)
            (i32.const 77) (block (br_if 0 (i32.and (local.get 0) (i32.const 4))) (local.set 0 (i32.add (local.get 0) (i32.const 1))))
            (i32.add (local.get 0)))
        (func (export "run") (param $n i32) (result i32)
            (local $i i32) (local $k i32) (local $inner i32) (local $outer i32) (local $sum i32)
            (call $next (local.get $n))
            (loop $outer
                {body}
                (br_if $outer (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
            (i32.add (local.get $sum))))"#
    )
}

const INNERMOST: &str = "(local.set $k (i32.const 0)) (loop \
    (local.set $sum (i32.add (local.get $sum) (i32.const 1))) \
    (br_if 0 (i32.lt_u (local.tee $k (i32.add (local.get $k) (i32.const 1))) (i32.const 4))))";

/// What the program comes to; with machine code, how many loops were compiled.
fn outcome(text: &str, tiers: Tiers, looks: u32) -> (i32, usize) {
    let mut config = Config::default();
    // Loops only, so that they are entered from the interpreter.
    config.tuning.tier_up = TierUp { calls: u32::MAX, looks, ..TierUp::eager() };
    let engine = innkeeper::engine_with(config, tiers);
    let module = Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let result = run.call(&mut store, 24).unwrap();
    let statistics = engine.compile_statistics();
    assert!(statistics.refused.is_empty(), "{statistics:?}");
    (result, statistics.compiled)
}

#[test]
fn operands_below_every_kind_of_block_around_the_loop_that_is_entered_are_kept() {
    for (inner, block) in around(INNERMOST, "(i32.and (local.get $i) (i32.const 2))", "$inner") {
        for (outer, block) in
            around(&above_operands(&block), "(i32.and (local.get $i) (i32.const 1))", "$outer")
        {
            let text = program(&above_operands(&block));
            let expected = outcome(&text, Tiers::Interpreter, 1).0;
            for looks in [1, 2, 3, 6, 11] {
                let (result, compiled) = outcome(&text, Tiers::Auto, looks);
                assert_eq!(result, expected, "{inner} in {outer}, entered after {looks}: {text}");
                assert!(compiled > 0, "{inner} in {outer}, entered after {looks}");
            }
        }
    }
}
