//! Waiting and clocks.

use std::time::{Duration, Instant};

use innkeeper::Store;
use innkeeper::component::{Linker, List, ResourceAny, Trap, Val};
use innkeeper::wasi::keys::{Clocks, Keys, StdinKey};
use innkeeper::wasi::p2::Misuse;

use super::driver::{Driver, resource};
use super::{add_to_linker, component, context, drivers, engines};

fn after(driver: &mut Driver, time: Duration) -> ResourceAny {
    resource(driver.call("subscribe-duration", &[Val::U64(time.as_nanos() as u64)]).unwrap())
}

fn poll(driver: &mut Driver, pollables: &[ResourceAny]) -> Vec<u32> {
    let list = pollables.iter().map(|pollable| Val::Resource(*pollable)).collect();
    match driver.call("poll", &[Val::List(List::Vals(list))]).unwrap() {
        Some(Val::List(List::U32(ready))) => ready,
        other => panic!("{other:?}"),
    }
}

const LONG: Duration = Duration::from_secs(3600);

/// C108: duplicates are each told; nothing to wait for is a trap.
#[test]
fn c108_what_is_ready_is_told_by_its_place() {
    let keys = Keys::builder().stdin(StdinKey::Bytes(b"x".to_vec())).build();
    for mut driver in drivers(&keys) {
        let (never, now) = (after(&mut driver, LONG), after(&mut driver, Duration::ZERO));
        let stdin = resource(driver.call("get-stdin", &[]).unwrap());
        let input = resource(driver.call("[method]input-stream.subscribe", &[Val::Resource(stdin)]).unwrap());
        assert_eq!(poll(&mut driver, &[never, now, never, now, input]), [1, 3, 4]);
        let ready = |driver: &mut Driver, pollable| {
            driver.call("[method]pollable.ready", &[Val::Resource(pollable)]).unwrap()
        };
        assert_eq!(ready(&mut driver, never), Some(Val::Bool(false)));
        assert_eq!(ready(&mut driver, input), Some(Val::Bool(true)));
        driver.call("[method]pollable.block", &[Val::Resource(now)]).unwrap();
        let told = driver.call("poll", &[Val::List(List::Vals(vec![]))]).unwrap_err();
        assert!(told.is::<Misuse>(), "{told}");
    }
}

/// C108, C111: times pass, also those that have passed before.
#[test]
fn c111_times_come() {
    for mut driver in drivers(&Keys::default()) {
        let past = resource(driver.call("subscribe-instant", &[Val::U64(0)]).unwrap());
        // A time begins when it is subscribed to.
        let begin = Instant::now();
        let (never, soon) = (after(&mut driver, LONG), after(&mut driver, Duration::from_millis(20)));
        assert_eq!(poll(&mut driver, &[never, past]), [1]);
        assert_eq!(poll(&mut driver, &[soon, never]), [0]);
        assert!(begin.elapsed() >= Duration::from_millis(15));
        let forever = resource(driver.call("subscribe-instant", &[Val::U64(u64::MAX)]).unwrap());
        assert_eq!(poll(&mut driver, &[forever, soon]), [1]);
    }
}

/// C108: very many, and what cannot be waited for at once.
#[test]
fn c108_very_many_pollables() {
    let mut keys = Keys::default();
    keys.limits.max_interests = 5000;
    for mut driver in drivers(&keys) {
        let (never, now) = (after(&mut driver, LONG), after(&mut driver, Duration::ZERO));
        let mut many = vec![never; 4999];
        many.push(now);
        assert_eq!(poll(&mut driver, &many), [4999]);
        many.push(never);
        let list = many.iter().map(|pollable| Val::Resource(*pollable)).collect();
        let told = driver.call("poll", &[Val::List(List::Vals(list))]).unwrap_err().to_string();
        assert!(told.contains("5001 pollables, and 5000 may be waited for"), "{told}");
    }
}

/// P2, C108: a hundred thousand at once, of which the last one is ready.
#[test]
fn c108_a_hundred_thousand_pollables() {
    const COUNT: usize = 100_000;
    let mut keys = Keys::default();
    keys.limits.max_interests = COUNT as u32;
    for mut driver in drivers(&keys) {
        let (never, now) = (after(&mut driver, LONG), after(&mut driver, Duration::ZERO));
        let mut many = vec![never; COUNT - 1];
        many.push(now);
        assert_eq!(poll(&mut driver, &many), [COUNT as u32 - 1]);
    }
}

/// C108: a pollable that was dropped is none any more, in a list as by itself; the others in it are not waited for.
#[test]
fn c108_pollables_that_were_dropped_are_refused() {
    let text = |call: &str| {
        format!(
            r#"(component
            (import "wasi:io/poll@0.2.0" (instance $io (export "pollable" (type $p (sub resource)))
                (export "[method]pollable.block" (func (param "self" (borrow $p))))
                (export "poll" (func (param "in" (list (borrow $p))) (result (list u32))))))
            (alias export $io "pollable" (type $pollable))
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
                (alias outer 1 $pollable (type $p)) (export "pollable" (type $own (eq $p)))
                (export "subscribe-duration" (func (param "when" u64) (result (own $own))))))
            (core module $libc (memory (export "mem") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 512)))
            (core instance $libc (instantiate $libc)) (alias core export $libc "mem" (core memory $mem))
            (alias core export $libc "realloc" (core func $realloc))
            (core func $after (canon lower (func $clock "subscribe-duration")))
            (core func $poll (canon lower (func $io "poll") (memory $mem) (realloc $realloc)))
            (core func $block (canon lower (func $io "[method]pollable.block"))) (core func $drop (canon resource.drop $pollable))
            (core module $m (import "" "mem" (memory 1)) (import "" "after" (func $after (param i64) (result i32)))
                (import "" "poll" (func $poll (param i32 i32 i32))) (import "" "block" (func $block (param i32)))
                (import "" "drop" (func $drop (param i32)))
                (func (export "f")
                    ;; An hour, and one that is gone.
                    (i32.store (i32.const 0) (call $after (i64.const 3600000000000)))
                    (i32.store (i32.const 4) (call $after (i64.const 0)))
                    (call $drop (i32.load (i32.const 4)))
                    {call}))
            (core instance $m (instantiate $m (with "" (instance (export "mem" (memory $mem)) (export "after" (func $after))
                (export "poll" (func $poll)) (export "block" (func $block)) (export "drop" (func $drop))))))
            (func (export "f") (canon lift (core func $m "f"))))"#
        )
    };
    for engine in engines() {
        for call in [
            "(call $poll (i32.const 0) (i32.const 2) (i32.const 64))",
            "(call $block (i32.load (i32.const 4)))",
            "(call $drop (i32.load (i32.const 4)))",
        ] {
            let mut linker = Linker::new(&engine);
            add_to_linker(&mut linker).unwrap();
            let mut store = Store::new(&engine, context()).unwrap();
            let instance = linker.instantiate(&mut store, &component(&engine, &text(call))).unwrap();
            let error =
                instance.get_func(&mut store, "f").unwrap().call(&mut store, &[], &mut []).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnknownHandle(2)), "{call}: {error}");
        }
    }
}

/// P6: short sleeps leave nothing behind, and clocks that are not the host's pass as they are slept.
#[test]
fn p6_short_sleeps_take_nothing() {
    let clocks =
        Clocks::Stepped { realtime: Duration::from_secs(1_000_000_000), step: Duration::from_micros(1) };
    let mut keys = Keys::builder().clocks(clocks).build();
    keys.limits.memory_bytes = Some(8 << 20);
    for mut driver in drivers(&keys) {
        for _ in 0..20_000 {
            let soon = after(&mut driver, Duration::from_secs(1));
            driver.call("[method]pollable.block", &[Val::Resource(soon)]).unwrap();
            driver.drop(soon);
        }
        let Some(Val::Record(now)) = driver.call_of("wasi:clocks/wall-clock", "now").unwrap() else {
            panic!()
        };
        let Val::U64(seconds) = now[0].1 else { panic!() };
        assert!((1_000_020_000..1_000_020_100).contains(&seconds), "{seconds}");
        let Some(Val::U64(step)) = driver.call_of("wasi:clocks/monotonic-clock", "resolution").unwrap()
        else {
            panic!()
        };
        assert_eq!(step, 1000);
    }
}
