//! Innkeeper, with what the command uses.

use innkeeper::component::{Borrowed, Component, Instance, Linker, Resource};
use innkeeper::{Config, Engine, Store, Tiers};

use super::{Host, Round, guest};

pub const HOST: Host = Host { guest, typed, untyped };

struct Thing;

fn instance(text: &str) -> (Store<u64>, Instance) {
    let engine = engine();
    let component = Component::new(&engine, text).unwrap();
    let mut linker: Linker<u64> = Linker::new(&engine);
    let mut root = linker.root();
    root.func_wrap_borrowed::<(), ()>("nop", |calls, ()| {
        *calls += 1;
        Ok(())
    });
    root.func_wrap_borrowed::<(&str,), ()>("string", |calls, (text,)| {
        *calls += text.len() as u64;
        Ok(())
    });
    root.func_wrap("list", |mut store, (list,): (Vec<u32>,)| {
        *store.data_mut() += u64::from(list[list.len() - 1]);
        Ok(())
    });
    root.func_wrap_borrowed::<(&[u32],), ()>("borrowed-list", |calls, (list,)| {
        *calls += u64::from(list[list.len() - 1]);
        Ok(())
    });
    let mut res = root.instance("res").unwrap();
    res.resource_of::<Thing>("thing", |_, _| Ok(()));
    res.func_wrap("make", |_, ()| Ok(Resource::<Thing>::new(7)));
    res.func_wrap_borrowed::<(Borrowed<'_, Thing>,), u32>("get", |_, (thing,)| Ok(thing.rep()));
    let mut store = Store::new(&engine, 0).unwrap();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance)
}

fn engine() -> Engine {
    innkeeper::engine_with(Config::default(), Tiers::Auto)
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
