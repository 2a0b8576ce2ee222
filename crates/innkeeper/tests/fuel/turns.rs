//! Guests that let others have their turn whenever they have used so much fuel: at the same places in every tier, and what they use is the same.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use innkeeper::{Engine, Instance, Linker, Module, Store};

use super::{PLENTY, Prepared, outcome_of, prepared, run};

fn store(engine: &Engine, module: &Module, (fuel, portion): (u64, u64)) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ()).unwrap();
    store.yield_every_fuel(Some(portion)).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, module).unwrap();
    store.set_fuel(fuel).unwrap();
    assert_eq!(store.fuel().unwrap(), fuel, "what is not at hand is there all the same");
    (store, instance)
}

/// As `run`, and in how many turns, if at most so many are given.
fn in_turns(
    Prepared { engine, module }: &Prepared,
    fuel: (u64, u64),
    most: usize,
) -> Option<(super::Outcome, u64, usize)> {
    let (mut store, instance) = store(engine, module, fuel);
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let mut turns = 0;
    let result = {
        let mut call = pin!(run.call_async(&mut store, 9));
        loop {
            if turns == most {
                break None;
            }
            turns += 1;
            if let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                break Some(result);
            }
        }
    };
    match result {
        Some(result) => Some((outcome_of(result), store.fuel().unwrap(), turns)),
        None => {
            // The call was dropped; what it has not used is left, and the store can be used.
            assert!(store.fuel().unwrap() > 0);
            store.set_fuel(PLENTY).unwrap();
            assert!(run.call(&mut store, 9).is_ok());
            None
        }
    }
}

#[test]
fn turns_end_at_the_same_places_in_every_tier_and_change_nothing() {
    let tiers = prepared();
    let used = PLENTY - run(&tiers[0], PLENTY).1;
    for fuel in [0, 1, 50, used / 2, used - 1, used, PLENTY] {
        let expected = run(&tiers[0], fuel);
        for portion in [0, 1, 7, 64, 100, 1000, used, u64::MAX] {
            let turns: Vec<usize> = tiers
                .iter()
                .map(|tier| {
                    let (outcome, left, turns) = in_turns(tier, (fuel, portion), usize::MAX).unwrap();
                    assert_eq!((outcome, left), expected, "with {fuel} units, {portion} at once");
                    turns
                })
                .collect();
            assert!(
                turns.iter().all(|&count| count == turns[0]),
                "{turns:?} with {fuel} units, {portion} at once"
            );
            if fuel == PLENTY && (64..used / 2).contains(&portion) {
                // A straight run of instructions is not split.
                let count = turns[0] as u64;
                assert!(
                    (used / (portion + 64)..=used / portion + 1).contains(&count),
                    "{count} turns of {portion}"
                );
            }
        }
    }
}

#[test]
fn a_call_is_dropped_between_any_two_turns() {
    for tier in &prepared() {
        let (_, _, turns) = in_turns(tier, (PLENTY, 20), usize::MAX).unwrap();
        assert!(turns > 10);
        for most in 0..turns {
            assert!(in_turns(tier, (PLENTY, 20), most).is_none());
        }
    }
}

#[test]
fn a_call_that_cannot_wait_takes_one_turn() {
    for Prepared { engine, module } in &prepared() {
        let (mut store, instance) = store(engine, module, (PLENTY, 10));
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let result = run.call(&mut store, 9);
        assert_eq!(
            (outcome_of(result), store.fuel().unwrap()),
            super::run(&Prepared { engine: engine.clone(), module: module.clone() }, PLENTY)
        );
        // No more is at hand at once any longer.
        store.set_fuel(PLENTY).unwrap();
        store.yield_every_fuel(None).unwrap();
        assert_eq!(store.fuel().unwrap(), PLENTY);
        let mut call = pin!(run.call_async(&mut store, 9));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }
}

#[test]
fn an_engine_that_meters_nothing_says_so() {
    let engine = innkeeper::engine(innkeeper::Config::default());
    let mut store = Store::new(&engine, ()).unwrap();
    let error = store.yield_every_fuel(Some(1)).unwrap_err();
    assert!(error.to_string().contains("Config::metering"), "{error}");
}
