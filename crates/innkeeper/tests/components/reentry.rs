//! Calls of the host into an instance that is in a call: where the rules allow them, and what is said where they do not.

use std::sync::OnceLock;

use innkeeper::Store;
use innkeeper::component::{Component, Feature, Features, Func, Instance, Linker, Trap, Val};

use super::adapters::all_engines;
use super::crossing::{CALLER, of_host};
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

/// C57: a component around one that leads nowhere is entered with it, whoever is in it may not be met.
#[test]
fn c57_a_callee_that_leads_nowhere_is_in_one_that_is_entered() {
    let text = r#"(component
        (import "host" (func $host))
        (component $P
            (import "host" (func $host))
            (component $Inner (core module $m (func (export "f"))) (core instance $m (instantiate $m))
                (func (export "f") (canon lift (core func $m "f"))))
            (component $Calls (import "host" (func $host)) (core func $host (canon lower (func $host)))
                (core module $m (import "" "host" (func $host)) (func (export "g") (call $host)))
                (core instance $m (instantiate $m (with "" (instance (export "host" (func $host))))))
                (func (export "g") (canon lift (core func $m "g"))))
            (instance $inner (instantiate $Inner))
            (instance $calls (instantiate $Calls (with "host" (func $host))))
            (func (export "f") (alias export $inner "f"))
            (func (export "g") (alias export $calls "g")))
        (component $D (import "f" (func $f)) (import "g" (func $g))
            (core func $f (canon lower (func $f))) (core func $g (canon lower (func $g)))
            (core module $m (import "" "f" (func $f)) (import "" "g" (func $g))
                (func (export "run") (call $f) (call $g) (call $f)))
            (core instance $m (instantiate $m (with "" (instance (export "f" (func $f)) (export "g" (func $g))))))
            (func (export "run") (canon lift (core func $m "run"))))
        (instance $p (instantiate $P (with "host" (func $host))))
        (instance $d (instantiate $D (with "f" (func $p "f")) (with "g" (func $p "g"))))
        (func (export "run") (alias export $d "run"))
        (func (export "f") (alias export $p "f")))"#;
    for engine in all_engines() {
        let mut linker: Linker<Option<innkeeper::component::Func>> = Linker::new(&engine);
        linker.root().func_new("host", |mut store, _, _| match *store.data() {
            Some(func) => func.call(&mut store, &[], &mut []),
            None => Ok(()),
        });
        let mut store = Store::new(&engine, None).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, text)).unwrap();
        (0..2).for_each(|_| assert_eq!(call(&mut store, instance, "run", &[]).unwrap(), None));
        *store.data_mut() = instance.get_func(&mut store, "f");
        let error = call(&mut store, instance, "run", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter), "{error}");
        assert!(instance.is_poisoned(&mut store));
    }
}

/// C57: who is in a call is not entered again, whichever way that comes.
#[test]
fn c57_the_host_does_not_enter_the_caller_of_its_caller() {
    let callee = r#"(core module $m (import "" "host" (func $host))
            (func (export "f") (result i32) (call $host) (i32.const 1)))
        (core instance $m (instantiate $m (with "" (instance (export "host" (func $host))))))
        (func (export "f") (result u32) (canon lift (core func $m "f")))"#;
    for engine in all_engines() {
        for name in ["run", "f"] {
            let mut linker: Linker<Option<innkeeper::component::Func>> = Linker::new(&engine);
            linker.root().func_new("host", |mut store, _, _| match *store.data() {
                Some(func) => func.call(&mut store, &[], &mut [Val::U32(0)]),
                None => Ok(()),
            });
            let mut store = Store::new(&engine, None).unwrap();
            let instance =
                linker.instantiate(&mut store, &component(&engine, &of_host(callee, CALLER))).unwrap();
            assert_eq!(call(&mut store, instance, "run", &[]).unwrap(), Some(Val::U32(1)));
            *store.data_mut() = instance.get_func(&mut store, name);
            let error = call(&mut store, instance, "run", &[]).unwrap_err();
            assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter), "{error}");
        }
    }
}

/// A guest whose resource has a destructor that calls the host; `gives` gives the host one, in a call of this guest's.
const DESTROYS: &str = r#"(component
    (import "host" (func $host))
    (core func $host (canon lower (func $host)))
    (core module $d (import "" "host" (func $host)) (func (export "dtor") (param i32) (call $host)))
    (core instance $d (instantiate $d (with "" (instance (export "host" (func $host))))))
    (type $r' (resource (rep i32) (dtor (core func $d "dtor")))) (export $r "r" (type $r'))
    (core func $new (canon resource.new $r')) (core func $drop (canon resource.drop $r'))
    (core module $m (import "" "new" (func $new (param i32) (result i32))) (import "" "drop" (func $drop (param i32)))
        (import "" "host" (func $host))
        (func (export "make") (result i32) (call $new (i32.const 1)))
        (func (export "drops") (call $drop (call $new (i32.const 1))))
        (func (export "calls") (call $host))
        (func (export "idle")))
    (core instance $m (instantiate $m (with "" (instance
        (export "new" (func $new)) (export "drop" (func $drop)) (export "host" (func $host))))))
    (func (export "make") (result (own $r)) (canon lift (core func $m "make")))
    (func (export "drops") (canon lift (core func $m "drops")))
    (func (export "calls") (canon lift (core func $m "calls")))
    (func (export "idle") (canon lift (core func $m "idle"))))"#;

/// C57: a destructor is entered as a function is: not while its instance is in a call, unless that drops the resource itself, and nobody enters beside it.
#[test]
fn c57_destructors_are_entered_as_functions_are() {
    for engine in engines() {
        let mut linker: Linker<Option<Func>> = Linker::new(&engine);
        linker.root().func_new("host", |mut store, _, _| match store.data_mut().take() {
            Some(func) => func.call(&mut store, &[], &mut []),
            None => Ok(()),
        });
        let guest = component(&engine, DESTROYS);
        // Whether a resource is dropped by the host or by the guest; whether its destructor leads back to its instance.
        for by_host in [false, true] {
            for back in [false, true] {
                let mut store = Store::new(&engine, None).unwrap();
                let instance = linker.instantiate(&mut store, &guest).unwrap();
                let made = super::resources::resource(call(&mut store, instance, "make", &[]).unwrap());
                *store.data_mut() = back.then(|| instance.get_func(&mut store, "idle").unwrap());
                let outcome = match by_host {
                    true => made.drop(&mut store),
                    false => call(&mut store, instance, "drops", &[]).map(drop),
                };
                match back {
                    false => outcome.unwrap(),
                    true => {
                        let error = outcome.unwrap_err();
                        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter), "{error}");
                    }
                }
                assert_eq!(instance.is_poisoned(&mut store), back);
            }
        }
    }
}

/// C71: the host drops a guest's resource in a call from that guest, whose destructor is not entered then.
#[test]
fn c71_the_host_drops_a_resource_of_its_caller() {
    for engine in engines() {
        let mut linker: Linker<Option<innkeeper::component::ResourceAny>> = Linker::new(&engine);
        linker.root().func_new("host", |mut store, _, _| match store.data_mut().take() {
            Some(resource) => resource.drop(&mut store),
            None => Ok(()),
        });
        let guest = component(&engine, DESTROYS);
        let mut store = Store::new(&engine, None).unwrap();
        let [one, other] = [0; 2].map(|_| linker.instantiate(&mut store, &guest).unwrap());
        let [of_one, of_other] = [one, other]
            .map(|instance| super::resources::resource(call(&mut store, instance, "make", &[]).unwrap()));
        // That of another instance can be dropped.
        *store.data_mut() = Some(of_other);
        call(&mut store, one, "calls", &[]).unwrap();
        *store.data_mut() = Some(of_one);
        let error = call(&mut store, one, "calls", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter), "{error}");
        assert!(one.is_poisoned(&mut store) && !other.is_poisoned(&mut store));
    }
}

/// C57: who is in a component's own function is not passed by on the way into one inside it, which it exports.
#[test]
fn c57_the_host_does_not_enter_a_child_of_its_caller() {
    let text = r#"(component
        (import "host" (func $host))
        (component $Child (core module $m (func (export "f"))) (core instance $m (instantiate $m))
            (func (export "f") (canon lift (core func $m "f"))))
        (instance $child (instantiate $Child))
        (core func $host (canon lower (func $host)))
        (core module $m (import "" "host" (func $host)) (func (export "g") (call $host)))
        (core instance $m (instantiate $m (with "" (instance (export "host" (func $host))))))
        (func (export "g") (canon lift (core func $m "g")))
        (func (export "f") (alias export $child "f")))"#;
    for engine in all_engines() {
        let mut linker: Linker<Option<Func>> = Linker::new(&engine);
        linker.root().func_new("host", |mut store, _, _| match *store.data() {
            Some(func) => func.call(&mut store, &[], &mut []),
            None => Ok(()),
        });
        let mut store = Store::new(&engine, None).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, text)).unwrap();
        for name in ["f", "g"] {
            call(&mut store, instance, name, &[]).unwrap();
        }
        *store.data_mut() = instance.get_func(&mut store, "f");
        let error = call(&mut store, instance, "g", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter), "{error}");
        assert!(instance.is_poisoned(&mut store));
    }
}

/// C57: a table of the parent's leads a child back to itself.
#[test]
fn c57_a_child_does_not_come_back_through_a_table_of_its_parent() {
    let text = r#"(component
        (core module $shim (table (export "t") 1 1 funcref) (type $f (func (result i32)))
            (func (export "f") (result i32) (call_indirect (type $f) (i32.const 0))))
        (core instance $shim (instantiate $shim))
        (func $back (result u32) (canon lift (core func $shim "f")))
        (component $A (import "back" (func $back (result u32)))
            (core func $back (canon lower (func $back)))
            (core module $m (import "" "back" (func $back (result i32)))
                (func (export "run") (result i32) (call $back)) (func (export "g") (result i32) (i32.const 7)))
            (core instance $m (instantiate $m (with "" (instance (export "back" (func $back))))))
            (func (export "run") (result u32) (canon lift (core func $m "run")))
            (func (export "g") (result u32) (canon lift (core func $m "g"))))
        (instance $a (instantiate $A (with "back" (func $back))))
        (core func $g (canon lower (func $a "g")))
        (core module $fill (import "" "t" (table 1 1 funcref)) (import "" "g" (func $g (result i32)))
            (elem (i32.const 0) func $g))
        (core instance (instantiate $fill (with "" (instance (export "t" (table $shim "t")) (export "g" (func $g))))))
        (func (export "run") (alias export $a "run")) (func (export "g") (alias export $a "g"))
        (export "back" (func $back)))"#;
    for engine in all_engines() {
        let features = Features::default().with(Feature::CallsToRelatives);
        let bytes = innkeeper::to_binary(text.as_bytes()).unwrap();
        let guest = Component::with_features(&engine, bytes, features).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &guest).unwrap();
        for name in ["g", "back"] {
            assert_eq!(call(&mut store, instance, name, &[]).unwrap(), Some(Val::U32(7)), "{name}");
        }
        let error = call(&mut store, instance, "run", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::CannotEnter), "{error}");
        assert!(instance.is_poisoned(&mut store));
    }
}
