//! A plugin with state, that the host resets to how it began: for each customer a fresh one, without instantiating from nothing.

use innkeeper::{Caller, Config, Engine, Extern, Linker, Module, Result, Store};

/// Counts, and tells the host by a line of text.
const PLUGIN: &str = r#"(module
    (import "host" "say" (func $say (param i32 i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "visits: 0")
    (func (export "visit")
        (i32.store8 (i32.const 8) (i32.add (i32.load8_u (i32.const 8)) (i32.const 1)))
        (call $say (i32.const 0) (i32.const 9))))"#;

/// What a plugin has said.
type Said = Vec<String>;

fn say(mut caller: Caller<'_, Said>, at: u32, bytes: u32) -> Result<()> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    let memory = memory.ok_or_else(|| innkeeper::Error::msg("the plugin exports no memory"))?;
    let (data, said) = memory.data_and_store_mut(&mut caller)?;
    let text = data.get(at as usize..).and_then(|rest| rest.get(..bytes as usize));
    let text = text.ok_or_else(|| innkeeper::Error::msg("the plugin's text is not in its memory"))?;
    said.push(String::from_utf8_lossy(text).into_owned());
    Ok(())
}

pub(crate) fn main() -> Result<()> {
    let engine = Engine::new(Config::default())?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "say", say)?;
    let pre = linker.instantiate_pre(&Module::new(&engine, PLUGIN)?)?;
    let mut store = Store::new(&engine, Said::new())?;
    let mut plugin = pre.instantiate(&mut store)?;
    for customer in ["first", "second"] {
        let visit = plugin.get_typed_func::<(), ()>(&store, "visit")?;
        visit.call(&mut store, ())?;
        visit.call(&mut store, ())?;
        println!("{customer}: {:?}", store.data());
        assert_eq!(std::mem::take(store.data_mut()), ["visits: 1", "visits: 2"]);
        // Memory, globals and tables are as they began, and handles to the old instance are useless.
        plugin = store.reset(&pre)?;
    }
    Ok(())
}
