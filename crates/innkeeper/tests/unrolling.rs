//! Loops that are there several times: nobody can tell, except by the time it takes.
//!
//! Each program runs in every tier, with unrolling and without, and leaves its loop after every number of rounds up to some that all copies have seen.

use innkeeper::{
    Config, Engine, Error, Linker, Metering, Module, Store, TierUp, Tiers, Trap, Tuning, Unrolling,
};

fn engines(metering: Metering) -> Vec<Engine> {
    let config = |tier_up: Option<TierUp>, unrolling: Unrolling| {
        let tuning = Tuning::default();
        let tuning = Tuning { tier_up: tier_up.unwrap_or(tuning.tier_up.clone()), unrolling, ..tuning };
        Config { tuning, metering, ..Config::default() }
    };
    let twice = Unrolling { twice_operators: 1000, four_times_operators: 0 };
    vec![
        innkeeper::engine_with(config(None, Unrolling::never()), Tiers::Interpreter),
        innkeeper::engine_with(config(None, Unrolling::never()), Tiers::Compiled),
        innkeeper::engine_with(config(None, Unrolling::default()), Tiers::Compiled),
        innkeeper::engine_with(config(None, twice), Tiers::Compiled),
        innkeeper::engine_with(config(Some(TierUp::eager()), Unrolling::default()), Tiers::Auto),
    ]
}

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

/// What there is to be told of an error: the trap, and all frames.
fn told(error: &Error) -> String {
    let frames = error.backtrace().frames().iter();
    let frames: Vec<_> = frames.map(|frame| (frame.func_name.clone(), frame.offset_bytes)).collect();
    format!("{:?} {frames:?}", error.trap())
}

/// What `run` gives for 0 to 12, and the fuel that is left each time where that is metered, in every tier.
fn same_everywhere(text: &str, metering: Metering) -> Vec<(Result<i32, String>, u64)> {
    let mut expected: Option<Vec<_>> = None;
    for (i, engine) in engines(metering).iter().enumerate() {
        let module = module(engine, text);
        for _ in 0..2 {
            let mut store = Store::new(engine, ()).unwrap();
            let instance = Linker::new(engine).instantiate(&mut store, &module).unwrap();
            let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
            let outcomes: Vec<_> = (0..=12)
                .map(|argument| {
                    if metering == Metering::Fuel {
                        store.set_fuel(300).unwrap();
                    }
                    let outcome = run.call(&mut store, argument).map_err(|error| told(&error));
                    (outcome, store.fuel().unwrap_or(0))
                })
                .collect();
            let expected = expected.get_or_insert_with(|| outcomes.clone());
            assert_eq!(&outcomes, expected, "engine {i}");
        }
        assert!(engine.compile_statistics().refused.is_empty(), "{:?}", engine.compile_statistics());
    }
    expected.unwrap()
}

/// As [`same_everywhere`], for programs that do not trap.
fn values(text: &str) -> Vec<i32> {
    let outcomes = same_everywhere(text, Metering::Off).into_iter();
    outcomes.map(|(outcome, _)| outcome.unwrap()).collect()
}

#[test]
fn loops_end_after_any_round() {
    let text = r#"(module (func (export "run") (param i32) (result i32) (local $n i32) (local $sum i32)
        (block $out
            (loop $l
                (br_if $out (i32.ge_u (local.get $n) (local.get 0)))
                (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 3)) (local.get $n)))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br $l)))
        (local.get $sum)))"#;
    let expected = |rounds| (0..rounds).fold(0i32, |sum, n| sum.wrapping_mul(3).wrapping_add(n));
    assert_eq!(values(text), (0..=12).map(expected).collect::<Vec<_>>());
}

#[test]
fn loops_carry_operands_round_and_keep_those_below() {
    let text = r#"(module (func (export "run") (param i32) (result i32)
        (i32.mul (local.get 0) (i32.const 1000))
        (i32.const 7)
        (i64.const 5)
        (local.get 0)
        (loop $l (param i64 i32) (result i32)
            (local.set 0)
            (i64.add (i64.const 3))
            (i32.sub (local.get 0) (i32.const 1))
            (br_if $l (i32.gt_s (local.get 0) (i32.const 0)))
            (drop)
            (i32.wrap_i64))
        (i32.add) (i32.add)))"#;
    let expected = |n: i32| n * 1000 + 7 + 5 + 3 * (n + 1).max(1);
    assert_eq!(values(text), (0..=12).map(expected).collect::<Vec<_>>());
}

#[test]
fn loops_go_back_from_several_places() {
    // By a table of branches, by a condition inside a block, and at the end; and out of the middle.
    let text = r#"(module (func (export "run") (param i32) (result i32) (local $n i32) (local $sum i32)
        (block $out (result i32)
            (loop $l (result i32)
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (drop (br_if $out (i32.sub (i32.const 0) (local.get $sum)) (i32.gt_u (local.get $n) (local.get 0))))
                (block $even
                    (block $third
                        (br_table $third $even $l (i32.rem_u (local.get $n) (i32.const 3))))
                    (local.set $sum (i32.add (local.get $sum) (i32.const 100)))
                    (br_if $l (i32.lt_u (local.get $n) (i32.const 6))))
                (local.set $sum (i32.add (local.get $sum) (i32.const 1)))
                (br_if $l (i32.ne (local.get $n) (i32.const 10)))
                (local.get $sum)))))"#;
    let expected = |rounds| {
        let mut sum = 0;
        for n in 1..=rounds {
            match n % 3 {
                0 if n < 6 => sum += 100,
                0 => sum += 101,
                1 => sum += 1,
                _ => {}
            }
            if n == 10 {
                return sum;
            }
        }
        -sum
    };
    assert_eq!(values(text), (0..=12).map(expected).collect::<Vec<_>>());
}

#[test]
fn traps_are_where_they_are_in_every_copy() {
    // Two loads of which one takes its address from the other, one whose value another instruction takes, and a division: each traps in its turn.
    let text = |what: &str| {
        format!(
            r#"(module (memory 1)
            (func $inner (param i32) (result i32) (local $n i32) (local $sum i32)
                (loop $l
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (local.set $sum {what})
                    (br_if $l (i32.lt_u (local.get $n) (i32.const 9))))
                (local.get $sum))
            (func $outer (param i32) (result i32) (i32.add (call $inner (local.get 0)) (i32.const 1)))
            (func (export "run") (param i32) (result i32)
                (memory.fill (i32.const 0) (i32.const 0) (i32.const 64))
                (i32.store (i32.mul (local.get 0) (i32.const 4)) (i32.const 0x10000))
                (call $outer (local.get 0))))"#
        )
    };
    let at = "(i32.mul (local.get $n) (i32.const 4))";
    let is_last = "(i32.eq (local.get $n) (local.get 0))";
    for (what, trap) in [
        (format!("(i32.load (i32.load {at}))"), Trap::MemoryOutOfBounds),
        (format!("(i32.load (i32.load (i32.load {at})))"), Trap::MemoryOutOfBounds),
        (
            format!("(i32.add (local.get $sum) (i32.load (i32.mul {is_last} (i32.const 0x10000))))"),
            Trap::MemoryOutOfBounds,
        ),
        (
            format!("(i32.load (i32.sub (i32.load {at}) (i32.load (i32.mul {is_last} (i32.const 0xfffc)))))"),
            Trap::MemoryOutOfBounds,
        ),
        (format!("(i32.div_u (local.get $n) (i32.xor {is_last} (i32.const 1)))"), Trap::IntegerDivideByZero),
    ] {
        let outcomes = same_everywhere(&text(&what), Metering::Off);
        for (outcome, _) in &outcomes[1..=9] {
            let error = outcome.as_ref().unwrap_err();
            assert!(error.starts_with(&format!("Some({trap:?})")), "{what}: {error}");
        }
        assert!(outcomes[10].0.is_ok(), "{what}: {outcomes:?}");
    }
}

#[test]
fn rounds_cost_the_same_fuel() {
    let text = r#"(module (func (export "run") (param i32) (result i32) (local $n i32)
        (loop $l
            (block $skip
                (br_if $skip (i32.and (local.get $n) (i32.const 1)))
                (drop (i32.mul (local.get $n) (local.get $n))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $n) (i32.mul (local.get 0) (i32.const 3)))))
        (local.get $n)))"#;
    let outcomes = same_everywhere(text, Metering::Fuel);
    let left: Vec<u64> = outcomes.iter().map(|(_, left)| *left).collect();
    assert!(left[1] > left[2] && left[2] > left[3] && left[3] > 0, "{left:?}");
    assert!(outcomes[12].0.as_ref().unwrap_err().starts_with("Some(OutOfFuel)"), "{outcomes:?}");
}

#[test]
fn limits_of_unrolling_hold() {
    let times = |body: &str, unrolling: Unrolling| {
        let text = format!(
            r#"(module (memory 1) (func $other) (func (export "run") (param i32)
                (block $out (loop $l (i32.store8 (local.get 0) (i32.const 9)) {body}))))"#
        );
        let tuning = Tuning { unrolling, ..Tuning::default() };
        let engine = innkeeper::engine_with(Config { tuning, ..Config::default() }, Tiers::Compiled);
        let module = module(&engine, &text);
        let func = module.functions().last().unwrap().func;
        module.explain(func).unwrap().unwrap().intermediate.matches("istore8").count()
    };
    let back = "(br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))";
    let long = |operators: usize| format!("{}{back}", "(nop)".repeat(operators));
    let default = Unrolling::default();
    assert_eq!(times(back, default.clone()), 4);
    assert_eq!(times(&long(default.four_times_operators as usize), default.clone()), 2);
    assert_eq!(times(&long(default.twice_operators as usize), default.clone()), 1);
    assert_eq!(times(back, Unrolling::never()), 1);
    // Calls, loops inside, and what never goes back.
    assert_eq!(times(&format!("(call $other) {back}"), default.clone()), 1);
    assert_eq!(times(&format!("(loop) {back}"), default.clone()), 1);
    assert_eq!(times("(br $out)", default), 1);
}
