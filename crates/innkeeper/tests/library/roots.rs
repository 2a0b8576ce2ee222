//! For how long references are good, and what they keep alive.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use innkeeper::{
    AsContextMut, Caller, Collection, Config, Engine, ExternRef, Linker, OwnedRooted, Reference, RootScope,
    Store, Tuning,
};

use super::{engines, module};

/// Says when it goes.
struct Noted(Arc<AtomicUsize>);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn store() -> (Store<()>, Arc<AtomicUsize>) {
    let engine = innkeeper::engine(Config::default());
    (Store::new(&engine, ()).unwrap(), Arc::default())
}

#[test]
fn owned_roots_are_released_one_by_one() {
    let (mut store, dropped) = store();
    let mut kept: Vec<OwnedRooted<ExternRef>> = (0..100)
        .map(|_| {
            let object = ExternRef::new(&mut store, Noted(Arc::clone(&dropped))).unwrap();
            object.to_owned_rooted(&mut store).unwrap()
        })
        .collect();
    store.release_references();
    store.gc();
    assert_eq!(dropped.load(Ordering::SeqCst), 0, "each is held");
    let middle = kept.remove(50);
    let (again, handle) = (middle.clone(), middle.get());
    assert_eq!(again.holders(), 2);
    drop(middle);
    store.gc();
    assert_eq!(dropped.load(Ordering::SeqCst), 0, "a clone holds it");
    assert!(handle.data(&store).unwrap().is_some());
    drop(again);
    assert!(handle.data(&store).unwrap_err().to_string().contains("no longer good"));
    store.gc();
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
    kept.truncate(9);
    store.gc();
    assert_eq!(dropped.load(Ordering::SeqCst), 91);
    assert!(kept.iter().all(|kept| kept.get().data(&store).unwrap().is_some()));
}

#[test]
fn places_of_released_roots_are_used_again_and_old_handles_are_found_out() {
    let (mut store, _) = store();
    let mut stale = Vec::new();
    for i in 0..10_000_u32 {
        let owned = ExternRef::new(&mut store, i).unwrap().to_owned_rooted(&mut store).unwrap();
        store.release_references();
        stale.push(owned.get());
        stale.truncate(1000);
        drop(owned);
    }
    let owned = ExternRef::new(&mut store, 7_u64).unwrap().to_owned_rooted(&mut store).unwrap();
    assert!(stale.iter().all(|handle| handle.data(&store).is_err()));
    assert!(owned.get().data(&store).unwrap().unwrap().is::<u64>());
}

#[test]
fn a_scope_ends_the_references_made_in_it_and_no_others() {
    let (mut store, dropped) = store();
    let before = ExternRef::new(&mut store, 1_u8).unwrap();
    let inside = {
        let mut scope = RootScope::new(&mut store);
        ExternRef::new(scope.as_context_mut(), Noted(Arc::clone(&dropped))).unwrap()
    };
    assert!(inside.data(&store).is_err() && before.data(&store).unwrap().is_some());
    store.gc();
    assert_eq!(dropped.load(Ordering::SeqCst), 1);
}

/// A reference of one host call is none in the next, unless it is owned.
#[test]
fn references_end_with_the_host_call_they_were_made_in_unless_they_are_owned() {
    #[derive(Default)]
    struct Host {
        seen: Option<ExternRef>,
        owned: Option<OwnedRooted<ExternRef>>,
        calls: u32,
    }
    let text = r#"(module (import "host" "see" (func $see (param externref)))
        (func (export "run") (param externref) (call $see (local.get 0)) (call $see (local.get 0))))"#;
    for engine in engines() {
        let mut linker = Linker::<Host>::new(&engine);
        linker
            .func_wrap("host", "see", |mut caller: Caller<'_, Host>, object: Option<ExternRef>| {
                let object = object.unwrap();
                if caller.data().calls == 0 {
                    let owned = object.to_owned_rooted(&mut caller)?;
                    let host = caller.data_mut();
                    (host.seen, host.owned) = (Some(object), Some(owned));
                } else {
                    let (seen, owned) = (caller.data().seen.unwrap(), caller.data().owned.clone().unwrap());
                    assert!(seen.data(&caller).unwrap_err().to_string().contains("no longer good"));
                    assert!(owned.get().data(&caller)?.unwrap().is::<&str>());
                }
                caller.data_mut().calls += 1;
                Ok::<_, innkeeper::Error>(())
            })
            .unwrap();
        let mut store = Store::new(&engine, Host::default()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let object = ExternRef::new(&mut store, "text").unwrap();
        let run = instance.get_typed_func::<Option<ExternRef>, ()>(&store, "run").unwrap();
        run.call(&mut store, Some(object)).unwrap();
        assert_eq!(store.data().calls, 2);
        store.release_references();
        let owned = store.data().owned.clone().unwrap();
        assert!(owned.get().data(&store).unwrap().is_some());
    }
}

/// Typed parameters are references during the call: collections in it leave them.
#[test]
fn typed_references_outlive_collections_in_the_call() {
    let tuning = Tuning { collection: Collection::EveryAllocation, ..Tuning::default() };
    for tiers in [innkeeper::Tiers::Interpreter, innkeeper::Tiers::Compiled] {
        let engine: Engine =
            innkeeper::engine_with(Config { tuning: tuning.clone(), ..Config::default() }, tiers);
        let text = r#"(module (import "host" "f" (func $f (param externref) (result externref)))
            (import "host" "make" (func $make (result externref)))
            (func (export "run") (result externref) (call $f (call $make))))"#;
        let mut linker = Linker::<()>::new(&engine);
        linker
            .func_wrap("host", "make", |mut caller: Caller<'_, ()>| {
                ExternRef::new(&mut caller, 5_u16).map(Some)
            })
            .unwrap();
        linker
            .func_wrap("host", "f", |mut caller: Caller<'_, ()>, object: Option<ExternRef>| {
                for i in 0..50 {
                    ExternRef::new(&mut caller, i)?;
                }
                caller.gc();
                assert!(object.unwrap().data(&caller)?.unwrap().is::<u16>());
                Ok::<_, innkeeper::Error>(object)
            })
            .unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<(), Option<ExternRef>>(&store, "run").unwrap();
        let object = run.call(&mut store, ()).unwrap().unwrap();
        store.gc();
        assert!(object.data(&store).unwrap().unwrap().is::<u16>());
    }
}

/// Also a function that is not given the store is given references for the time of its call only.
#[test]
fn references_end_with_calls_of_functions_that_do_not_see_the_store() {
    let text = r#"(module (import "host" "make" (func $make (result externref)))
        (import "host" "see" (func $see (param externref) (result externref)))
        (func (export "run") (drop (call $see (call $make)))))"#;
    for engine in engines() {
        let dropped = Arc::new(AtomicUsize::new(0));
        let mut linker = Linker::<()>::new(&engine);
        let noted = Arc::clone(&dropped);
        let make = move |mut caller: Caller<'_, ()>| {
            ExternRef::new(&mut caller, Noted(Arc::clone(&noted))).map(Some)
        };
        linker.func_wrap("host", "make", make).unwrap();
        linker.func_wrap("host", "see", |object: Option<ExternRef>| object).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
        for _ in 0..10 {
            run.call(&mut store, ()).unwrap();
        }
        store.gc();
        // Slots of the guest's stack that nobody has written to since may keep the last one.
        assert!(dropped.load(Ordering::SeqCst) >= 9, "{}", dropped.load(Ordering::SeqCst));
    }
}
