//! What users of other hosts' libraries rely on, by name: one file a theme.

mod arguments;
mod errors;
mod exceptions;
mod foreign;
mod host_backtraces;
mod host_calls;
mod hostile_sources;
mod items;
mod linking;
mod references;
mod roots;
mod serialized;
mod shared;
mod sources;
mod wasi;

use innkeeper::{Config, Engine, Instance, Linker, Module, Store, Tiers};

/// An engine of each kind: interpreted, and compiled.
fn engines() -> [Engine; 2] {
    [Tiers::Interpreter, Tiers::Compiled].map(|tiers| innkeeper::engine_with(Config::default(), tiers))
}

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, text).unwrap()
}

/// A module without imports, in a store of its own.
fn instance(engine: &Engine, text: &str) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &module(engine, text)).unwrap();
    (store, instance)
}
