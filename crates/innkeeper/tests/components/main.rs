//! Components through the embedding API: values to and from guests, functions and resources of the host, linking, and what is said where something is missing.
//! Cases have the numbers of the list of what an implementation of components must survive.

mod adapters;
mod allocations;
mod around_calls;
mod beside;
mod blocking;
mod borrows;
mod calls;
#[cfg(feature = "async")]
mod calls_beside;
mod cases;
mod crossing;
mod decoding;
mod ends;
mod ends_of_memory;
mod features;
mod handles;
#[cfg(feature = "async")]
mod held;
mod host_ends;
mod left;
mod linking;
mod memory;
mod mutants;
#[cfg(feature = "async")]
mod parked;
mod reentry;
mod rendezvous;
mod resources;
mod rules;
mod sizes;
mod stops;
mod streams;
mod subtasks;
mod tasks;
#[cfg(feature = "async")]
mod turns;
mod turns_of_others;
mod typed;
mod values;
mod waitables;

use innkeeper::component::{Component, Instance, Linker, Val};
use innkeeper::{Config, Engine, Error, Store, Tiers};

/// An engine of each way to execute guests.
fn engines() -> [Engine; 2] {
    [Tiers::Interpreter, Tiers::Compiled].map(|tiers| innkeeper::engine_with(Config::default(), tiers))
}

fn component(engine: &Engine, text: &str) -> Component {
    Component::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap()
}

/// Instantiates a component that imports nothing.
fn instance(engine: &Engine, text: &str) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &component(engine, text)).unwrap();
    (store, instance)
}

/// Calls a function with or without a result.
fn call<T>(
    store: &mut Store<T>,
    instance: Instance,
    name: &str,
    params: &[Val],
) -> Result<Option<Val>, Error> {
    let func = instance.get_func(&mut *store, name).unwrap();
    let mut results = vec![Val::Bool(false); usize::from(func.ty(&*store).unwrap().result().is_some())];
    func.call(store, params, &mut results)?;
    Ok(results.pop())
}
