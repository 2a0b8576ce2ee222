//! Calls a function of a guest.

use innkeeper::{Config, Engine, Linker, Module, Result, Store};

pub(crate) fn main() -> Result<()> {
    let engine = Engine::new(Config::default())?;
    let module = Module::new(
        &engine,
        r#"(module (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#,
    )?;
    let mut store = Store::new(&engine, ())?;
    let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
    let add = instance.get_typed_func::<(i32, i32), i32>(&store, "add")?;
    let sum = add.call(&mut store, (2, 3))?;
    println!("2 + 3 = {sum}");
    assert_eq!(sum, 5);
    Ok(())
}
