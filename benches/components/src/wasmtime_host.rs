//! The wasmtime crate, as its documentation says.

use wasmtime::component::{Component, Instance, Linker, Resource, ResourceType, WasmList};
use wasmtime::{Engine, Store, StoreContextMut};

use super::{Host, Round, guest};

pub const HOST: Host = Host { guest, typed, untyped };

struct Thing;

fn instance(text: &str) -> (Store<u64>, Instance) {
    let engine = Engine::default();
    let component = Component::new(&engine, &*innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap();
    let mut linker: Linker<u64> = Linker::new(&engine);
    let mut root = linker.root();
    root.func_wrap("nop", |mut store: StoreContextMut<'_, u64>, ()| {
        *store.data_mut() += 1;
        Ok(())
    })
    .unwrap();
    root.func_wrap("string", |mut store: StoreContextMut<'_, u64>, (text,): (String,)| {
        *store.data_mut() += text.len() as u64;
        Ok(())
    })
    .unwrap();
    root.func_wrap("list", |mut store: StoreContextMut<'_, u64>, (list,): (Vec<u32>,)| {
        *store.data_mut() += u64::from(list[list.len() - 1]);
        Ok(())
    })
    .unwrap();
    root.func_wrap("borrowed-list", |mut store: StoreContextMut<'_, u64>, (list,): (WasmList<u32>,)| {
        let list = list.as_le_slice(&store);
        let last = u64::from(list[list.len() - 1]);
        *store.data_mut() += last;
        Ok(())
    })
    .unwrap();
    let mut res = root.instance("res").unwrap();
    res.resource("thing", ResourceType::host::<Thing>(), |_, _| Ok(())).unwrap();
    res.func_wrap("make", |_: StoreContextMut<'_, u64>, ()| Ok((Resource::<Thing>::new_own(7),))).unwrap();
    res.func_wrap("get", |_: StoreContextMut<'_, u64>, (thing,): (Resource<Thing>,)| Ok((thing.rep(),)))
        .unwrap();
    let mut store = Store::new(&engine, 0);
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

fn guest(text: &str) -> Round {
    let (mut store, instance) = instance(text);
    let run = instance.get_typed_func::<(u32,), ()>(&mut store, "run").unwrap();
    Box::new(move |times| run.call(&mut store, (times,)).unwrap())
}

fn typed() -> Round {
    let (mut store, instance) = instance(guest::CALLED);
    let nop = instance.get_typed_func::<(), ()>(&mut store, "nop").unwrap();
    Box::new(move |times| (0..times).for_each(|_| nop.call(&mut store, ()).unwrap()))
}

fn untyped() -> Round {
    let (mut store, instance) = instance(guest::CALLED);
    let nop = instance.get_func(&mut store, "nop").unwrap();
    Box::new(move |times| (0..times).for_each(|_| nop.call(&mut store, &[], &mut []).unwrap()))
}
