//! Calls of the host into an instance that is in a call: where the rules allow them, and what is said where they do not.

use std::sync::OnceLock;

use innkeeper::Store;
use innkeeper::component::{Func, Instance, Linker, Trap, Val};

use super::{call, component, engines};

const GUEST: &str = r#"(component
    (import "test:host/back" (instance $back (export "call" (func (param "n" u32) (result u32)))))
    (core func $call (canon lower (func $back "call")))
    (core module $m (import "" "call" (func $call (param i32) (result i32)))
        (func (export "outer") (param i32) (result i32) (call $call (local.get 0)))
        (func (export "inner") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
        (func (export "fail") unreachable))
    (core instance $i (instantiate $m (with "" (instance (export "call" (func $call))))))
    (func $outer (param "n" u32) (result u32) (canon lift (core func $i "outer")))
    (func $inner (param "n" u32) (result u32) (canon lift (core func $i "inner")))
    (func (export "fail") (canon lift (core func $i "fail")))
    (instance $api (export "outer" (func $outer)) (export "inner" (func $inner)))
    (export "test:guest/api" (instance $api)))"#;

const OUTER: &str = "test:guest/api#outer";
const INNER: &str = "test:guest/api#inner";

/// Which function the host calls when a guest calls it.
#[derive(Default)]
struct Back(OnceLock<Func>);

fn linker(engine: &innkeeper::Engine, is_typed: bool) -> Linker<Back> {
    let mut linker: Linker<Back> = Linker::new(engine);
    linker.instance("test:host/back").unwrap().func_wrap("call", move |mut store, (n,): (u32,)| {
        let func = *store.data().0.get().unwrap();
        if is_typed {
            return func.typed::<(u32,), u32>(&mut store)?.call(&mut store, (n,));
        }
        let mut results = [Val::Bool(false)];
        func.call(&mut store, &[Val::U32(n)], &mut results)?;
        match results {
            [Val::U32(n)] => Ok(n),
            _ => Ok(0),
        }
    });
    linker
}

/// Another instance may be called back into, the same one not; the message says which calls lead to it.
#[test]
fn the_host_calls_back_where_the_rules_allow_it() {
    for engine in engines() {
        for is_typed in [false, true] {
            let (linker, guest) = (linker(&engine, is_typed), component(&engine, GUEST));
            let mut store = Store::new(&engine, Back::default()).unwrap();
            let make = |store: &mut Store<Back>| -> Instance { linker.instantiate(store, &guest).unwrap() };
            let (first, second) = (make(&mut store), make(&mut store));
            let inner = second.get_func(&mut store, INNER).unwrap();
            store.data().0.set(inner).unwrap();
            assert_eq!(call(&mut store, first, OUTER, &[Val::U32(6)]).unwrap(), Some(Val::U32(7)));
            let error = call(&mut store, second, OUTER, &[Val::U32(6)]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter));
            assert_eq!(
                error.to_string(),
                "wasm trap: cannot enter component instance: the host calls `test:guest/api#inner` while a call of the same instance is under way: \
                 test:guest/api#outer -> the host -> test:guest/api#inner; call it when `test:guest/api#outer` has returned, or in another instance"
            );
            let error = call(&mut store, second, INNER, &[Val::U32(6)]).unwrap_err().to_string();
            assert!(error.contains("something in it has trapped or was given up before"), "{error}");
            assert_eq!(
                call(&mut store, first, INNER, &[Val::U32(6)]).unwrap(),
                Some(Val::U32(7)),
                "the first lives on"
            );
        }
    }
}
