//! A plugin with an interface in WIT: the host implements what it imports, and calls what it exports, with types of Rust.
//!
//! Run it with `cargo run -p innkeeper --features bindgen --example component_plugin`. Plugins are made from the same WIT by the tools of their language; the one here is in the text format.

use innkeeper::component::{Component, Linker, bindgen};
use innkeeper::{Config, Engine, Store};

bindgen!({
    inline: "
        package example:calculator;
        interface log { line: func(text: string); }
        interface operations { divide: func(a: u64, b: u64) -> result<u64, string>; }
        world calculator { import log; export operations; }",
});

const PLUGIN: &str = r#"(component
    (import "example:calculator/log" (instance $log (export "line" (func (param "text" string)))))
    (core module $memory (memory (export "memory") 1))
    (core instance $memory (instantiate $memory))
    (alias core export $memory "memory" (core memory $memory))
    (core func $line (canon lower (func $log "line") (memory $memory)))
    (core module $plugin
        (import "memory" "memory" (memory 1))
        (import "log" "line" (func $line (param i32 i32)))
        (data (i32.const 0) "a division")
        (data (i32.const 16) "there is no division by zero")
        (func (export "divide") (param i64 i64) (result i32)
            (call $line (i32.const 0) (i32.const 10))
            (i32.store8 (i32.const 64) (i64.eqz (local.get 1)))
            (if (i64.eqz (local.get 1))
                (then (i32.store (i32.const 72) (i32.const 16)) (i32.store (i32.const 76) (i32.const 28)))
                (else (i64.store (i32.const 72) (i64.div_u (local.get 0) (local.get 1)))))
            (i32.const 64)))
    (core instance $plugin (instantiate $plugin
        (with "memory" (instance $memory)) (with "log" (instance (export "line" (func $line))))))
    (func $divide (param "a" u64) (param "b" u64) (result (result u64 (error string)))
        (canon lift (core func $plugin "divide") (memory $memory)))
    (instance $operations (export "divide" (func $divide)))
    (export "example:calculator/operations" (instance $operations)))"#;

/// What the host keeps for a plugin.
#[derive(Default)]
struct Host {
    lines: Vec<String>,
}

impl example::calculator::log::Host for Host {
    fn line(&mut self, text: &str) {
        self.lines.push(text.to_owned());
    }
}

pub(crate) fn main() -> Result<(), innkeeper::Error> {
    let engine = Engine::new(Config::default())?;
    let component = Component::new(&engine, PLUGIN)?;
    let mut linker = Linker::new(&engine);
    Calculator::add_to_linker(&mut linker, |host: &mut Host| host)?;
    let mut store = Store::new(&engine, Host::default())?;
    let calculator = Calculator::instantiate(&mut store, &linker, &component)?;
    let operations = calculator.example_calculator_operations();
    println!("84 / 2 = {:?}", operations.call_divide(&mut store, 84, 2)?);
    println!("84 / 0 = {:?}", operations.call_divide(&mut store, 84, 0)?);
    println!("it has logged {:?}", store.data().lines);
    Ok(())
}
