//! The wasmtime crate, as its documentation says.

use wasmtime::component::{Component, Instance, Linker};
use wasmtime::{Config, Engine, Store};

use super::{Host, Round, block_on, guest, poll, resident};

pub const HOST: Host = Host { guest, nop, held };

fn instance(text: &str) -> (Store<u64>, Instance) {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    let engine = Engine::new(&config).unwrap();
    let component = Component::new(&engine, &*innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap();
    let mut linker: Linker<u64> = Linker::new(&engine);
    linker.root().func_wrap_concurrent("ready", |_, ()| Box::pin(async { Ok(()) })).unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = block_on(linker.instantiate_async(&mut store, &component)).unwrap();
    (store, instance)
}

super::rounds::rounds!();
