//! Bounds what guests may hold and how long they may run, for all stores and for one.

use std::time::Duration;

use innkeeper::{Config, Engine, Limits, Linker, Module, Result, Store, Trap};

const GUEST: &str = r#"(module (memory (export "memory") 1)
    (func (export "spin") (loop $again (br $again)))
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func $down (export "recurse") (param i64) (result i64)
        (i64.add (call $down (i64.add (local.get 0) (i64.const 1))) (i64.const 1))))"#;

pub(crate) fn main() -> Result<()> {
    // No store of this engine holds more than 16 MiB, whatever the guest holds it in.
    let limits = Limits { memory_bytes: Some(16 << 20), ..Limits::default() };
    let engine = Engine::new(Config { limits, ..Config::default() })?;
    let module = Module::new(&engine, GUEST)?;
    let pre = Linker::new(&engine).instantiate_pre(&module)?;

    let mut store = Store::builder(&engine, ()).deadline(Duration::from_millis(20)).build()?;
    let instance = pre.instantiate(&mut store)?;
    let spin = instance.get_typed_func::<(), ()>(&store, "spin")?;
    let error = spin.call(&mut store, ()).unwrap_err();
    println!("spin: {error}");
    assert_eq!(error.trap(), Some(Trap::DeadlineExceeded));

    let mut store = Store::new(&engine, ())?;
    let instance = pre.instantiate(&mut store)?;
    let grow = instance.get_typed_func::<u32, i32>(&store, "grow")?;
    // 4 MiB fit, another 64 MiB do not: to the guest, growing fails.
    assert_eq!((grow.call(&mut store, 64)?, grow.call(&mut store, 1024)?), (1, -1));
    let recurse = instance.get_typed_func::<i64, i64>(&store, "recurse")?;
    let error = recurse.call(&mut store, 0).unwrap_err();
    println!("recurse: {error}");
    assert_eq!(error.trap(), Some(Trap::CallStackExhausted));

    // Another thread can stop a guest at any time.
    let handle = store.interrupt_handle();
    let spin = instance.get_typed_func::<(), ()>(&store, "spin")?;
    let stopper = std::thread::spawn(move || handle.interrupt());
    assert_eq!(spin.call(&mut store, ()).unwrap_err().trap(), Some(Trap::Interrupted));
    assert!(stopper.join().is_ok());
    Ok(())
}
