//! Gives a guest functions of the host: plain ones, ones that see the store's data, and ones that fail.

use std::fmt;

use innkeeper::{Caller, Config, Engine, Linker, Module, Result, Store};

/// What the guest may not do, as an error of our own.
#[derive(Debug)]
struct TooMany(u32);

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is too many", self.0)
    }
}

impl std::error::Error for TooMany {}

const GUEST: &str = r#"(module
    (import "host" "square" (func $square (param f64) (result f64)))
    (import "host" "order" (func $order (param i32)))
    (func (export "area") (param f64) (result f64) (f64.mul (f64.const 3.14159) (call $square (local.get 0))))
    (func (export "order") (param i32) (call $order (local.get 0))))"#;

pub(crate) fn main() -> Result<()> {
    let engine = Engine::new(Config::default())?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "square", |x: f64| x * x)?;
    // The store's data counts what was ordered. Any error ends the guest, and comes back to whoever called it.
    linker.func_wrap("host", "order", |mut caller: Caller<'_, u32>, count: u32| {
        if count > 10 {
            return Err(TooMany(count));
        }
        *caller.data_mut() += count;
        Ok(())
    })?;
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, 0_u32)?;
    let instance = linker.instantiate(&mut store, &module)?;
    let area = instance.get_typed_func::<f64, f64>(&store, "area")?;
    println!("area: {}", area.call(&mut store, 2.0)?);
    let order = instance.get_typed_func::<u32, ()>(&store, "order")?;
    order.call(&mut store, 4)?;
    let error = order.call(&mut store, 11).unwrap_err();
    println!("refused: {error}");
    assert!(error.is::<TooMany>() && *store.data() == 4);
    Ok(())
}
