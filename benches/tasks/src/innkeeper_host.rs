//! Innkeeper, with what the command uses.

use innkeeper::component::{Component, Func, Instance, Linker, Val};
use innkeeper::{Config, Store, Tiers};

use super::{Host, Round, block_on, guest, resident};

pub const HOST: Host = Host { guest, nop, held };

fn instance(text: &str) -> (Store<u64>, Instance) {
    let engine = innkeeper::engine_with(Config::default(), Tiers::Auto);
    let component = Component::new(&engine, text).unwrap();
    let mut linker: Linker<u64> = Linker::new(&engine);
    linker.root().func_wrap_concurrent("ready", |_, ()| Box::pin(async { Ok(()) }));
    linker.root().func_wrap_concurrent("never", |_, ()| {
        Box::pin(std::future::pending::<Result<(), innkeeper::Error>>())
    });
    let mut store = Store::new(&engine, 0).unwrap();
    let instance = linker.instantiate(&mut store, &component).unwrap();
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
