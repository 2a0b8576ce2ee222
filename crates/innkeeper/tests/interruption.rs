//! Guests that run too long are stopped: from another thread, by a deadline, by fuel. Case names are those of the sandbox's list.

use std::time::Duration;

use innkeeper::{Config, Engine, Error, ErrorKind, Instance, Linker, Metering, Module, Store, Trap};

/// Every way to stay busy: a tight loop, a loop with a table, calls, tail calls, and calls of the host.
const BUSY: &str = r#"(module
    (import "host" "nothing" (func $nothing))
    (table 1 funcref)
    (elem (i32.const 0) $tail)
    (type $unit (func))
    (func (export "loop") (loop $l (br $l)))
    (func (export "counting") (local i64) (loop $l (local.set 0 (i64.add (local.get 0) (i64.const 1))) (br_if $l (i32.const 1))))
    (func (export "table") (loop $l (br_table $l $l (i32.const 0))))
    (func $tail (export "tail") (return_call $tail))
    (func (export "indirect") (return_call_indirect (type $unit) (i32.const 0)))
    (func $leaf)
    (func (export "calls") (loop $l (call $leaf) (br $l)))
    (func (export "host") (loop $l (call $nothing) (br $l))))"#;

const BUSY_FUNCTIONS: [&str; 7] = ["loop", "counting", "table", "tail", "indirect", "calls", "host"];

fn instantiate(engine: &Engine, text: &str) -> Result<(Store<()>, Instance), Error> {
    let mut store = Store::new(engine, ())?;
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "nothing", || {}).unwrap();
    let module = Module::new(engine, innkeeper::to_binary(text.as_bytes())?.into_owned())?;
    let instance = linker.instantiate(&mut store, &module)?;
    Ok((store, instance))
}

#[test]
fn l4_endless_guests_stop_when_another_thread_says_so() {
    let engine = innkeeper::engine(Config::default());
    let (mut store, instance) = instantiate(&engine, BUSY).unwrap();
    for name in BUSY_FUNCTIONS {
        let busy = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
        let handle = store.interrupt_handle();
        let stopper = std::thread::spawn(move || handle.interrupt());
        assert_eq!(busy.call(&mut store, ()).unwrap_err().trap(), Some(Trap::Interrupted), "{name}");
        stopper.join().unwrap();
    }
}

#[test]
fn l4_endless_guests_stop_at_the_deadline() {
    let engine = innkeeper::engine(Config::default());
    let (mut store, instance) = instantiate(&engine, BUSY).unwrap();
    for name in BUSY_FUNCTIONS {
        let busy = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
        store.set_deadline(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(busy.call(&mut store, ()).unwrap_err().trap(), Some(Trap::DeadlineExceeded), "{name}");
    }
}

#[test]
fn l4_an_endless_start_function_stops_at_the_deadline() {
    let engine = innkeeper::engine(Config::default());
    let text = "(module (func $busy (loop $l (br $l))) (start $busy))";
    let module = Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    store.set_deadline(Some(Duration::from_millis(5))).unwrap();
    let error = Linker::new(&engine).instantiate(&mut store, &module).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::DeadlineExceeded));
}

#[test]
fn a_deadline_that_was_lifted_stops_nobody() {
    let engine = innkeeper::engine(Config::default());
    let text = r#"(module (func (export "run") (param i32)
        (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let (mut store, instance) = instantiate(&engine, text).unwrap();
    store.set_deadline(Some(Duration::from_millis(1))).unwrap();
    store.set_deadline(None).unwrap();
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
    // It may have struck before it was lifted; then the store works on after that one trap.
    if let Err(error) = run.call(&mut store, 10) {
        assert_eq!(error.trap(), Some(Trap::DeadlineExceeded));
    }
    run.call(&mut store, 3_000_000).unwrap();
}

#[test]
fn an_interrupt_handle_may_outlive_its_store() {
    let engine = innkeeper::engine(Config::default());
    let handle = Store::new(&engine, ()).unwrap().interrupt_handle();
    handle.interrupt();
}

fn metered() -> Engine {
    innkeeper::engine(Config { metering: Metering::Fuel, ..Config::default() })
}

#[test]
fn l5_fuel_counts_the_instructions_that_are_entered() {
    let text = r#"(module
        (func (export "straight") (result i32) (i32.add (i32.const 1) (i32.const 2)))
        (func (export "loop") (param i32)
            (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;
    let (mut store, instance) = instantiate(&metered(), text).unwrap();
    store.set_fuel(1000).unwrap();
    instance.get_typed_func::<(), i32>(&mut store, "straight").unwrap().call(&mut store, ()).unwrap();
    let straight = 1000 - store.fuel().unwrap();
    assert_eq!(straight, 4, "two constants, an addition, the end");
    let run = instance.get_typed_func::<i32, ()>(&mut store, "loop").unwrap();
    let mut used = Vec::new();
    for rounds in [1, 2, 3, 100] {
        store.set_fuel(1000).unwrap();
        run.call(&mut store, rounds).unwrap();
        used.push(1000 - store.fuel().unwrap());
    }
    let round = used[1] - used[0];
    assert_eq!(round, 5, "local.get, i32.const, i32.sub, local.tee, br_if");
    assert_eq!(used[2] - used[1], round);
    assert_eq!(used[3] - used[0], 99 * round);
}

#[test]
fn l5_without_fuel_a_guest_stops_where_it_would_the_next_time_too() {
    let text = r#"(module (global $n (export "n") (mut i32) (i32.const 0))
        (func (export "run") (loop $l (global.set $n (i32.add (global.get $n) (i32.const 1))) (br $l))))"#;
    let reached: Vec<i32> = (0..3)
        .map(|_| {
            let (mut store, instance) = instantiate(&metered(), text).unwrap();
            store.set_fuel(10_000).unwrap();
            let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
            assert_eq!(run.call(&mut store, ()).unwrap_err().trap(), Some(Trap::OutOfFuel));
            assert_eq!(store.fuel().unwrap(), 0);
            let global = instance.get_export(&mut store, "n").unwrap().into_global().unwrap();
            match global.get(&mut store).unwrap() {
                innkeeper::Val::I32(n) => n,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert_eq!(reached[0], 1999, "5 units a round, and 1 for the entry of the loop");
    assert!(reached.iter().all(|n| *n == reached[0]));
}

#[test]
fn fuel_without_metering_is_a_clear_error() {
    let mut store = Store::new(&innkeeper::engine(Config::default()), ()).unwrap();
    let error = store.set_fuel(1).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Usage(text) if text.contains("Config::metering")), "{error}");
}
