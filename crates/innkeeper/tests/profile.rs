//! Profiles: what a sample sees, in every tier and across them.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use innkeeper::{
    Config, FrameTier, InterruptHandle, Linker, Module, Profile, Store, TierUp, Tiers, Trap, Tuning,
    engine_with,
};

/// `outer` calls `inner`, which asks for a sample in a function of the host, whose time it is, and takes it at its loop's header.
const NESTED: &str = r#"(module $m
    (import "host" "sample" (func $sample))
    (import "host" "interrupt" (func $interrupt))
    (func $count (param i32) (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func $inner (local i32)
        (call $sample)
        (local.set 0 (i32.const 100000))
        (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
    (func $outer (export "outer") (call $inner) (call $inner))
    (func $recurse (export "recurse") (param i32)
        (if (local.get 0)
            (then (call $recurse (i32.sub (local.get 0) (i32.const 1))))
            (else (call $inner))))
    (func (export "stopped") (call $sample) (call $interrupt) (call $count (i32.const 100000))))"#;

fn configurations() -> Vec<(Config, Tiers)> {
    let eager = Tuning { tier_up: TierUp::eager(), ..Tuning::default() };
    vec![
        (Config::default(), Tiers::Interpreter),
        (Config::default(), Tiers::Compiled),
        (Config { tuning: eager, ..Config::default() }, Tiers::Auto),
    ]
}

struct Guest {
    store: Store<()>,
    instance: innkeeper::Instance,
}

fn guest(config: Config, tiers: Tiers) -> Guest {
    let engine = engine_with(config, tiers);
    let handle = Arc::new(OnceLock::<InterruptHandle>::new());
    let mut store = Store::new(&engine, ()).unwrap();
    let mut linker = Linker::new(&engine);
    let (sampled, interrupted) = (Arc::clone(&handle), Arc::clone(&handle));
    linker.func_wrap("host", "sample", move || sampled.get().unwrap().sample()).unwrap();
    linker.func_wrap("host", "interrupt", move || interrupted.get().unwrap().interrupt()).unwrap();
    let binary = innkeeper::to_binary(NESTED.as_bytes()).unwrap().into_owned();
    let instance = linker.instantiate(&mut store, &Module::new(&engine, binary).unwrap()).unwrap();
    assert!(handle.set(store.interrupt_handle()).is_ok());
    Guest { store, instance }
}

/// Each stack as names from the outermost in, whatever executed it, with its ticks.
fn stacks(profile: &Profile) -> Vec<(String, u64)> {
    let names = |stack: &[innkeeper::FrameInfo]| {
        assert!(stack.iter().all(|frame| frame.offset_bytes.is_none()));
        let names = stack.iter().rev().map(|frame| frame.func_name.clone().unwrap_or_default());
        names.collect::<Vec<_>>().join(";")
    };
    let mut ticks_of = BTreeMap::new();
    for (stack, ticks) in profile.stacks() {
        *ticks_of.entry(names(stack)).or_default() += ticks;
    }
    ticks_of.into_iter().collect()
}

#[test]
fn a_sample_is_the_stack_of_who_polls_next() {
    for (config, tiers) in configurations() {
        let mut guest = guest(config, tiers);
        let outer = guest.instance.get_typed_func::<(), ()>(&mut guest.store, "outer").unwrap();
        for rounds in 1..=3 {
            guest.store.start_profile();
            outer.call(&mut guest.store, ()).unwrap();
            let profile = guest.store.take_profile().unwrap();
            assert_eq!(stacks(&profile), [("outer;inner;sample".to_owned(), 2)], "round {rounds}, {tiers:?}");
            assert_eq!(profile.ticks(), 2);
        }
        assert!(guest.store.take_profile().is_none());
        // Nobody gathers samples, and asking changes nothing, nor later.
        outer.call(&mut guest.store, ()).unwrap();
        guest.store.start_profile();
        outer.call(&mut guest.store, ()).unwrap();
        assert_eq!(guest.store.take_profile().unwrap().ticks(), 2);
    }
}

/// What passes in functions of the host is theirs, by the names of the imports that they are; what passes after that is the guest's.
#[test]
fn time_in_the_host_is_told_apart() {
    const TEXT: &str = r#"(module
        (import "env" "wait" (func $wait (param i32))) (import "env" "other" (func $other (param i32)))
        (func $main (export "main") (local i32)
            (call $wait (i32.const 5)) (call $other (i32.const 2)) (call $wait (i32.const 1))
            (local.set 0 (i32.const 1000))
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
    for (config, tiers) in configurations() {
        let engine = engine_with(config, tiers);
        let handle = Arc::new(OnceLock::<InterruptHandle>::new());
        let mut store = Store::new(&engine, ()).unwrap();
        let mut linker = Linker::new(&engine);
        for name in ["wait", "other"] {
            let sampled = Arc::clone(&handle);
            linker
                .func_wrap("env", name, move |ticks: i32| {
                    (0..ticks).for_each(|_| sampled.get().unwrap().sample())
                })
                .unwrap();
        }
        let binary = innkeeper::to_binary(TEXT.as_bytes()).unwrap().into_owned();
        let instance = linker.instantiate(&mut store, &Module::new(&engine, binary).unwrap()).unwrap();
        assert!(handle.set(store.interrupt_handle()).is_ok());
        store.start_profile();
        // A tick that no function of the host has seen.
        store.interrupt_handle().sample();
        instance.get_typed_func::<(), ()>(&mut store, "main").unwrap().call(&mut store, ()).unwrap();
        let profile = store.take_profile().unwrap();
        let in_host =
            |stack: &[innkeeper::FrameInfo]| stack.first().is_some_and(|frame| frame.tier == FrameTier::Host);
        let host: u64 = profile.stacks().filter(|(stack, _)| in_host(stack)).map(|(_, ticks)| ticks).sum();
        assert_eq!((host, profile.ticks()), (8, 9), "{tiers:?}");
        let told = stacks(&profile);
        assert!(told.iter().any(|(stack, ticks)| stack == "main;wait" && *ticks == 6), "{told:?}");
        assert!(told.iter().any(|(stack, ticks)| stack == "main;other" && *ticks == 2), "{told:?}");
    }
}

#[test]
fn deep_stacks_are_cut_at_the_outer_end() {
    for (config, tiers) in configurations() {
        let mut guest = guest(config, tiers);
        let recurse = guest.instance.get_typed_func::<i32, ()>(&mut guest.store, "recurse").unwrap();
        guest.store.start_profile();
        recurse.call(&mut guest.store, 2000).unwrap();
        let profile = guest.store.take_profile().unwrap();
        let (stack, ticks) = profile.stacks().next().unwrap();
        assert_eq!(
            (stack.len(), stack[0].func_name.as_deref(), ticks),
            (513, Some("sample"), 1),
            "{tiers:?}"
        );
    }
}

#[test]
fn stopping_comes_before_sampling() {
    for (config, tiers) in configurations() {
        let mut guest = guest(config, tiers);
        let stopped = guest.instance.get_typed_func::<(), ()>(&mut guest.store, "stopped").unwrap();
        guest.store.start_profile();
        let error = stopped.call(&mut guest.store, ()).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::Interrupted), "{tiers:?}");
    }
}
