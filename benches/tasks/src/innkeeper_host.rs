//! Innkeeper, with what the command uses.

use innkeeper::component::{Component, Instance, Linker};
use innkeeper::{Config, Store, Tiers};

use super::{Host, Round, block_on, guest, poll, resident};

pub const HOST: Host = Host { guest, nop, held };

fn instance(text: &str) -> (Store<u64>, Instance) {
    let engine = innkeeper::engine_with(Config::default(), Tiers::Auto);
    let component = Component::new(&engine, text).unwrap();
    let mut linker: Linker<u64> = Linker::new(&engine);
    linker.root().func_wrap_concurrent("ready", |_, ()| Box::pin(async { Ok(()) }));
    let mut store = Store::new(&engine, 0).unwrap();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

super::rounds::rounds!();
