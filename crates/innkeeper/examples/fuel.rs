//! Counts what guests execute, stops one that has used up its share, and lets guests take turns by fuel and by time.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use innkeeper::{Config, Engine, Linker, Metering, Module, Result, Store, Trap};

const GUEST: &str = r#"(module (func (export "count") (param i32) (result i32) (local $i i32)
    (loop $again
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $i) (local.get 0))))
    (local.get $i)))"#;

pub(crate) fn main() -> Result<()> {
    let engine = Engine::new(Config { metering: Metering::Fuel, ..Config::default() })?;
    let pre = Linker::new(&engine).instantiate_pre(&Module::new(&engine, GUEST)?)?;
    let mut store = Store::new(&engine, ())?;
    let count = pre.instantiate(&mut store)?.get_typed_func::<u32, u32>(&store, "count")?;

    store.set_fuel(100_000)?;
    count.call(&mut store, 1_000)?;
    let used = 100_000 - store.fuel()?;
    println!("a thousand rounds take {used} units");
    store.set_fuel(used)?;
    let error = count.call(&mut store, 1_000_000).unwrap_err();
    assert_eq!((error.trap(), store.fuel()?), (Some(Trap::OutOfFuel), 0));

    // In a call that can wait, whoever has used so much lets others have their turn: the future is pending, and goes on where it was.
    store.set_fuel(u64::MAX)?;
    store.yield_every_fuel(Some(10_000))?;
    store.yield_every(Some(Duration::from_millis(5)));
    let mut turns = 0;
    let mut call = pin!(count.call_async(&mut store, 100_000));
    let result = loop {
        turns += 1;
        if let Poll::Ready(result) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break result?;
        }
    };
    println!("{result} rounds in {turns} turns");
    assert!(turns > 10);
    Ok(())
}
