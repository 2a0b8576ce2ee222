//! Fuel is the same in every tier: how much is used, and where it runs out (case L5 of the sandbox's list).

#[cfg(feature = "async")]
mod turns;

use innkeeper::{Config, Engine, Error, Linker, Metering, Module, Store, TierUp, Tiers};

/// Loops, conditionals, tables of branches, code that is never reached, calls, tail calls and exceptions.
const PROGRAM: &str = r#"(module
    (tag $e (param i32))
    (func $choose (param i32) (result i32)
        (block $c (block $b (block $a
            (br_table $a $b $c (local.get 0)))
            (return (i32.const 10)))
            (return (i32.const 20)))
        (if (result i32) (i32.and (local.get 0) (i32.const 1))
            (then (block (result i32) (block (unreachable)) (br 0 (i32.const 1))) )
            (else (i32.const 30) (nop))))
    (func $maybe (param i32) (result i32)
        (if (i32.eqz (i32.rem_u (local.get 0) (i32.const 4))) (then (throw $e (local.get 0))))
        (return_call $choose (i32.and (local.get 0) (i32.const 2))))
    (func $count (param i32) (result i32) (local i32)
        (loop $again
            (local.set 1 (i32.add (local.get 1) (local.get 0)))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1))
    (func (export "run") (param $n i32) (result i32) (local $sum i32)
        (loop $again
            (block $caught (result i32)
                (try_table (catch $e $caught)
                    (local.set $sum (i32.add (local.get $sum) (call $maybe (local.get $n)))))
                (i32.const 0))
            (if (then (local.set $sum (i32.mul (local.get $sum) (i32.const 3))))
                (else (local.set $sum (i32.add (local.get $sum) (call $count (local.get $n))))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))"#;

fn engines() -> Vec<Engine> {
    let config = || Config { metering: Metering::Fuel, ..Config::default() };
    let mut eager = config();
    eager.tuning.tier_up = TierUp::eager();
    vec![
        innkeeper::engine_with(config(), Tiers::Interpreter),
        innkeeper::engine_with(config(), Tiers::Compiled),
        innkeeper::engine_with(eager, Tiers::Auto),
    ]
}

/// What a call gave, or where it stopped.
type Outcome = Result<i32, String>;

struct Prepared {
    engine: Engine,
    module: Module,
}

/// The program in every tier.
fn prepared() -> Vec<Prepared> {
    let binary = innkeeper::to_binary(PROGRAM.as_bytes()).unwrap().into_owned();
    let prepare = |engine: Engine| Prepared { module: Module::new(&engine, binary.clone()).unwrap(), engine };
    engines().into_iter().map(prepare).collect()
}

fn outcome_of(result: Result<i32, Error>) -> Outcome {
    result.map_err(|error| {
        let frames = error.backtrace().frames().iter().map(|frame| (frame.func, frame.offset_bytes));
        format!("{:?} {:?}", error.trap(), frames.collect::<Vec<_>>())
    })
}

/// More than the program needs.
const PLENTY: u64 = 1 << 20;

/// What `run(9)` gives with so much fuel, where it stops if it does, and what is left.
fn run(Prepared { engine, module }: &Prepared, fuel: u64) -> (Outcome, u64) {
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    store.set_fuel(fuel).unwrap();
    let result = run.call(&mut store, 9);
    (outcome_of(result), store.fuel().unwrap())
}

#[test]
fn l5_fuel_is_used_and_runs_out_at_the_same_places_in_every_tier() {
    let tiers = prepared();
    let (outcome, left) = run(&tiers[0], PLENTY);
    assert!(outcome.is_ok(), "{outcome:?}");
    let used = PLENTY - left;
    assert!(used > 300, "only {used} instructions: the program does not do what it says");
    for fuel in (0..=used + 1).chain([PLENTY]) {
        let expected = run(&tiers[0], fuel);
        assert_eq!(expected.0.is_ok(), fuel >= used);
        for tier in &tiers[1..] {
            assert_eq!(run(tier, fuel), expected, "with {fuel} units");
        }
    }
    for Prepared { engine, .. } in &tiers {
        assert!(
            engine.compile_statistics().refused.is_empty(),
            "interpreted: {:?}",
            engine.compile_statistics()
        );
    }
    assert!(tiers[1..].iter().all(|tier| tier.engine.compile_statistics().compiled > 3));
}
