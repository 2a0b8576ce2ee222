//! The wasmtime crate, as its documentation says.

use wasmtime::component::{Component, Func, Instance, Linker, Val};
use wasmtime::{Config, Engine, Store};

use super::{Host, Round, block_on, guest, resident};

pub const HOST: Host = Host { guest, nop, held };

fn instance(text: &str) -> (Store<u64>, Instance) {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    let engine = Engine::new(&config).unwrap();
    let component = Component::new(&engine, &*innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap();
    let mut linker: Linker<u64> = Linker::new(&engine);
    linker.root().func_wrap_concurrent("ready", |_, ()| Box::pin(async { Ok(()) })).unwrap();
    linker
        .root()
        .func_wrap_concurrent(
            "never",
            |_, ()| Box::pin(std::future::pending::<Result<(), wasmtime::Error>>()),
        )
        .unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = block_on(linker.instantiate_async(&mut store, &component)).unwrap();
    (store, instance)
}

fn func(store: &mut Store<u64>, instance: &Instance, name: &str) -> Func {
    instance.get_func(store, name).unwrap()
}

async fn call(func: &Func, store: &mut Store<u64>, numbers: [u32; 2]) {
    func.call_async(store, &numbers.map(Val::U32), &mut []).await.unwrap();
}

async fn call_nop(func: &Func, store: &mut Store<u64>) {
    func.call_async(store, &[], &mut []).await.unwrap();
}

super::rounds::rounds!();
