//! Ten thousand instances of one module, each in a store of its own, at the same time.

use innkeeper::{Config, Engine, Linker, MemoryLayout, Module, Result, Store};

const GUEST: &str = r#"(module (memory 1) (data (i32.const 0) "\2a")
    (func (export "answer") (param i32) (result i32)
        (i32.store (i32.const 4) (local.get 0))
        (i32.add (i32.load8_u (i32.const 0)) (i32.load (i32.const 4)))))"#;

pub(crate) fn main() -> Result<()> {
    let mut config = Config::default();
    // Each memory takes the addresses that it uses, and not the 4 GiB that it could: so many would be more than there are.
    config.tuning.memory_layout = MemoryLayout::Exact;
    let engine = Engine::new(config)?;
    let pre = Linker::new(&engine).instantiate_pre(&Module::new(&engine, GUEST)?)?;
    let mut guests = Vec::new();
    for _ in 0..10_000 {
        let mut store = Store::new(&engine, ())?;
        let instance = pre.instantiate(&mut store)?;
        let answer = instance.get_typed_func::<i32, i32>(&store, "answer")?;
        guests.push((store, answer));
    }
    let mut sum = 0_i64;
    for (number, (store, answer)) in (0..).zip(&mut guests) {
        sum += i64::from(answer.call(store, number)?);
    }
    println!("{} guests, together {sum}", guests.len());
    assert_eq!(sum, 10_000 * 42 + 9_999 * 5_000);
    Ok(())
}
