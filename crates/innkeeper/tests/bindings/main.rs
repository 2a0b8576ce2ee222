//! `bindgen!`: twelve worlds, each with a component that is made of a module in the text format and the same WIT, and a host that implements and calls what was made of it.

mod exports;
mod imports;
mod resources;
mod shared;
mod waiting;

use innkeeper::component::Component;
use innkeeper::{Config, Engine, Store};

/// Parts of a module that most have: a memory, an allocator that never frees, and room for results at 16.
const RUNTIME: &str = r#"
    (memory (export "memory") 1)
    (global $end (mut i32) (i32.const 1024))
    (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (global.set $end (i32.and (i32.add (global.get $end) (i32.const 7)) (i32.const -8)))
        (global.get $end)
        (global.set $end (i32.add (global.get $end) (local.get 3))))
    (func $pair (param i32 i32) (result i32)
        (i32.store (i32.const 16) (local.get 0))
        (i32.store (i32.const 20) (local.get 1))
        (i32.const 16))"#;

/// A component of a world: a module with these imports and functions.
fn component(engine: &Engine, wit: &str, world: &str, imports: &str, functions: &str) -> Component {
    let text = format!("(module {imports} {RUNTIME} {functions})");
    let mut module = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
    let mut resolve = wit_parser::Resolve { all_features: true, ..Default::default() };
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let encoding = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, encoding, false).unwrap();
    let mut encoder = wit_component::ComponentEncoder::default();
    encoder.validate(true);
    Component::new(engine, encoder.module(&module).unwrap().encode().unwrap()).unwrap()
}

fn store<T>(data: T) -> (Engine, Store<T>) {
    let engine = Engine::new(Config::default()).unwrap();
    let store = Store::new(&engine, data).unwrap();
    (engine, store)
}
