//! Names, versions, imports of all kinds, and what is said where one is missing.

use innkeeper::component::{Export, InstancePre, Linker, ResourceType, Val};
use innkeeper::{ErrorKind, Module, Store};

use super::{call, component, engines, instance};

/// Imports one function of an interface in a version, and exports it under its own interface.
const USES_CLOCK: &str = r#"(component
    (import "test:clocks/clock@0.2.3" (instance $clock
        (export "now" (func (result u64)))
        (export "unused" (func (param "never" string)))))
    (core func $now (canon lower (func $clock "now")))
    (core module $m (import "" "now" (func $now (result i64))) (func (export "f") (result i64) (call $now)))
    (core instance $m (instantiate $m (with "" (instance (export "now" (func $now))))))
    (func $f (result u64) (canon lift (core func $m "f")))
    (instance $out (export "get" (func $f)))
    (export "test:out/run@1.2.0" (instance $out)))"#;

fn clock(linker: &mut Linker<()>, version: &str, now: u64) {
    let mut clock = linker.instance(&format!("test:clocks/clock@{version}")).unwrap();
    clock.func_new("now", move |_, _, results| {
        results[0] = Val::U64(now);
        Ok(())
    });
}

#[test]
fn c10_c11_compatible_versions_serve_each_other() {
    for engine in engines() {
        for (version, serves) in
            [("0.2.3", true), ("0.2.0", true), ("0.2.12", true), ("0.3.0", false), ("0.2.3-rc.1", false)]
        {
            let mut linker = Linker::new(&engine);
            clock(&mut linker, version, 7);
            let mut store = Store::new(&engine, ()).unwrap();
            let made = linker.instantiate(&mut store, &component(&engine, USES_CLOCK));
            match made {
                Ok(instance) => {
                    assert!(serves, "{version}");
                    for path in ["test:out/run@1.2.0#get", "test:out/run@1.0.0#get", "test:out/run@1.9.9#get"]
                    {
                        assert_eq!(call(&mut store, instance, path, &[]).unwrap(), Some(Val::U64(7)));
                    }
                    assert!(instance.get_func(&mut store, "test:out/run@2.0.0#get").is_none());
                }
                Err(error) => {
                    assert!(!serves, "{version}: {error}");
                    let said = format!("there is `test:clocks/clock@{version}` only");
                    assert!(error.to_string().contains(&said), "{error}");
                }
            }
        }
    }
}

#[test]
fn c11_what_is_missing_is_told_at_once_with_what_there_is() {
    let text = r#"(component
        (import "a:b/c@1.0.0" (instance $c (export "f" (func (param "x" u8))) (export "g" (func))))
        (import "d:e/f@0.3.0" (instance $f (export "h" (func (result string)))))
        (import "plain" (func $plain))
        (core module $libc (memory (export "m") 1)
            (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
        (core instance $libc (instantiate $libc))
        (core func (canon lower (func $c "f")))
        (core func (canon lower (func $c "g")))
        (core func (canon lower (func $f "h") (memory (core memory $libc "m")) (realloc (core func $libc "r"))))
        (core func (canon lower (func $plain))))"#;
    let engine = innkeeper::engine(innkeeper::Config::default());
    let component = component(&engine, text);
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.instance("a:b/c@1.4.0").unwrap().func_new("g", |_, _, _| Ok(()));
    linker.instance("d:e/f@0.2.0").unwrap().func_new("h", |_, _, _| Ok(()));
    let error = linker.instantiate_pre(&component).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Link(_)));
    assert_eq!(
        error.to_string(),
        "the component has 3 imports that nobody provides:\n  \
         `plain` (func())\n  \
         `a:b/c@1.0.0#f` (func(x: u8)): there is `a:b/c@1.0.0`, without it\n  \
         `d:e/f@0.3.0#h` (func() -> string): there is `d:e/f@0.2.0` only"
    );
    // What fills the holes leaves alone what there is.
    linker.define_unknown_imports_as_traps(&component).unwrap();
    linker.instantiate_pre(&component).unwrap();
}

#[test]
fn c12_what_nothing_is_used_of_needs_no_provider() {
    let text = r#"(component
        (import "a:b/types@1.0.0" (instance $types
            (export "r" (type (sub resource)))
            (export "f" (func))))
        (import "a:b/empty@1.0.0" (instance)))"#;
    for engine in engines() {
        let component = component(&engine, text);
        assert_eq!(component.import_names().collect::<Vec<_>>(), ["a:b/types@1.0.0", "a:b/empty@1.0.0"]);
        assert!(component.imports().all(|import| import.is_optional));
        let mut store = Store::new(&engine, ()).unwrap();
        Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    }
}

#[test]
fn c13_functions_of_another_type_are_refused_with_both_types() {
    let provider = r#"(component
        (core module $m (func (export "f") (param i32)))
        (core instance $m (instantiate $m))
        (func $f (param "x" u8) (canon lift (core func $m "f")))
        (instance $inner (export "f" (func $f)))
        (export "inner" (instance $inner)))"#;
    let user = |ty: &str| {
        format!(
            r#"(component
                (import "outer" (instance $outer (export "inner" (instance (export "f" (func (param "x" {ty})))))))
                (alias export $outer "inner" (instance $inner))
                (core func (canon lower (func $inner "f"))))"#
        )
    };
    for engine in engines() {
        let (mut store, provider) = instance(&engine, provider);
        let mut linker = Linker::new(&engine);
        linker.define_instance(&mut store, "outer", provider).unwrap();
        linker.instantiate(&mut store, &component(&engine, &user("u8"))).unwrap();
        let error =
            linker.instantiate(&mut store, &component(&engine, &user("u16"))).unwrap_err().to_string();
        assert_eq!(error, "the component imports `outer#inner#f` as func(x: u16), but it is func(x: u8)");
    }
}

#[test]
fn c15_an_imported_function_can_be_exported() {
    let text = r#"(component (import "f" (func $f (param "x" u8) (result u8))) (export "g" (func $f)))"#;
    for engine in engines() {
        let mut linker: Linker<()> = Linker::new(&engine);
        linker.root().func_new("f", |_, params, results| {
            results[0] = params[0].clone();
            Ok(())
        });
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, text)).unwrap();
        assert_eq!(call(&mut store, instance, "g", &[Val::U8(9)]).unwrap(), Some(Val::U8(9)));
    }
}

#[test]
fn modules_are_imported_and_exported() {
    let text = r#"(component
        (import "m" (core module $m (import "env" "n" (global i32)) (export "f" (func (result i32)))))
        (core module $n (global (export "n") i32 (i32.const 41)))
        (core instance $n (instantiate $n))
        (core instance $m (instantiate $m (with "env" (instance $n))))
        (func (export "f") (result u32) (canon lift (core func $m "f")))
        (export "m" (core module $m))
        (export "n" (core module $n)))"#;
    for engine in engines() {
        let module = innkeeper::to_binary(
            br#"(module (import "env" "n" (global i32))
                (func (export "f") (result i32) (i32.add (global.get 0) (i32.const 1))))"#,
        );
        let module = Module::new(&engine, module.unwrap()).unwrap();
        let mut linker: Linker<()> = Linker::new(&engine);
        linker.root().module("m", &module);
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, text)).unwrap();
        assert_eq!(call(&mut store, instance, "f", &[]).unwrap(), Some(Val::U32(42)));
        assert!(matches!(instance.get_export(&mut store, "m"), Some(Export::Module(_))));
        assert!(matches!(instance.get_export(&mut store, "n"), Some(Export::Module(_))));
    }
}

/// C22: many instances of one component in one store, prepared once, up to the store's limit.
#[test]
fn c22_a_thousand_instances_in_one_store() {
    let text = r#"(component
        (core module $m (global $n (mut i32) (i32.const 0))
            (func (export "next") (result i32)
                (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))
        (core instance $m (instantiate $m))
        (func (export "next") (result u32) (canon lift (core func $m "next"))))"#;
    for engine in engines() {
        let pre: InstancePre<()> = Linker::new(&engine).instantiate_pre(&component(&engine, text)).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instances: Vec<_> = (0..1000).map(|_| pre.instantiate(&mut store).unwrap()).collect();
        for instance in [instances[0], instances[999], instances[0]] {
            call(&mut store, instance, "next", &[]).unwrap();
        }
        assert_eq!(call(&mut store, instances[0], "next", &[]).unwrap(), Some(Val::U32(3)));
        assert_eq!(call(&mut store, instances[999], "next", &[]).unwrap(), Some(Val::U32(2)));
        let mut config = innkeeper::Config::default();
        config.limits.instances = 3;
        let engine = innkeeper::engine(config);
        let pre: InstancePre<()> = Linker::new(&engine).instantiate_pre(&component(&engine, text)).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        for _ in 0..3 {
            pre.instantiate(&mut store).unwrap();
        }
        assert!(pre.instantiate(&mut store).unwrap_err().to_string().contains("Limits::instances"));
    }
}

/// C25: what is of another store or engine is refused.
#[test]
fn c25_things_of_other_stores_and_engines_are_refused() {
    let text = r#"(component
        (core module $m (func (export "f"))) (core instance $m (instantiate $m))
        (func (export "f") (canon lift (core func $m "f"))))"#;
    let [engine, other_engine] = engines();
    let (mut store, made) = instance(&engine, text);
    let func = made.get_func(&mut store, "f").unwrap();
    let mut other: Store<()> = Store::new(&engine, ()).unwrap();
    assert!(made.get_func(&mut other, "f").is_none());
    assert!(func.call(&mut other, &[], &mut []).unwrap_err().to_string().contains("another store"));
    assert!(func.ty(&other).is_err());
    let mut linker: Linker<()> = Linker::new(&engine);
    assert!(linker.define_instance(&mut other, "x", made).is_err());
    assert!(linker.instantiate_pre(&component(&other_engine, text)).is_err());
    let mut third: Store<()> = Store::new(&other_engine, ()).unwrap();
    assert!(linker.instantiate(&mut third, &component(&engine, text)).is_err());
    let ty = ResourceType::new("r");
    assert!(innkeeper::component::ResourceAny::new(&mut store, &ty, 1).is_err());
}

/// C20, C21: a start function may call what the component imports; where it fails, so does instantiating.
#[test]
fn c20_c21_start_functions_call_imports_and_may_fail() {
    let text = r#"(component
        (import "f" (func $f))
        (core func $f' (canon lower (func $f)))
        (core module $m (import "" "f" (func $f)) (start $f))
        (core instance (instantiate $m (with "" (instance (export "f" (func $f')))))))"#;
    for engine in engines() {
        let component = component(&engine, text);
        let mut store = Store::new(&engine, 0).unwrap();
        let mut linker: Linker<i32> = Linker::new(&engine);
        linker.root().func_new("f", |mut store, _, _| {
            *store.data_mut() += 1;
            match *store.data() {
                1 => Ok(()),
                _ => Err(innkeeper::Error::limit("enough")),
            }
        });
        linker.instantiate(&mut store, &component).unwrap();
        assert_eq!(linker.instantiate(&mut store, &component).unwrap_err().to_string(), "enough");
        assert_eq!(*store.data(), 2);
    }
}

/// What one component exports, another imports, under a version that is compatible, with a resource type that is the first one's.
#[test]
fn exports_are_imports_of_others() {
    let provider = r#"(component
        (core module $m
            (func (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
            (func (export "dropped") (param i32)))
        (core instance $i (instantiate $m))
        (type $thing (resource (rep i32) (dtor (core func $i "dropped"))))
        (core func $new (canon resource.new $thing))
        (core module $n (import "" "new" (func $new (param i32) (result i32))) (func (export "make") (result i32) (call $new (i32.const 21))))
        (core instance $n (instantiate $n (with "" (instance (export "new" (func $new))))))
        (func $twice (param "thing" (borrow $thing)) (result u32) (canon lift (core func $i "twice")))
        (func $make (result (own $thing)) (canon lift (core func $n "make")))
        (component $shape
            (import "thing" (type $thing (sub resource)))
            (import "twice" (func $twice (param "thing" (borrow $thing)) (result u32)))
            (import "make" (func $make (result (own $thing))))
            (export $out "thing" (type $thing))
            (export "twice" (func $twice) (func (param "thing" (borrow $out)) (result u32)))
            (export "make" (func $make) (func (result (own $out)))))
        (instance $ops (instantiate $shape (with "thing" (type $thing)) (with "twice" (func $twice)) (with "make" (func $make))))
        (export "test:math/ops@1.2.0" (instance $ops)))"#;
    let user = r#"(component
        (import "test:math/ops@1.0.0" (instance $ops
            (export "thing" (type $thing (sub resource)))
            (export "twice" (func (param "thing" (borrow $thing)) (result u32)))
            (export "make" (func (result (own $thing))))))
        (core func $twice (canon lower (func $ops "twice")))
        (core func $make (canon lower (func $ops "make")))
        (core module $m (import "" "twice" (func $twice (param i32) (result i32))) (import "" "make" (func $make (result i32)))
            (func (export "f") (result i32) (call $twice (call $make))))
        (core instance $i (instantiate $m (with "" (instance (export "twice" (func $twice)) (export "make" (func $make))))))
        (func (export "f") (result u32) (canon lift (core func $i "f"))))"#;
    for engine in engines() {
        let (mut store, provider) = instance(&engine, provider);
        let mut linker = Linker::new(&engine);
        let user = component(&engine, user);
        assert_eq!(linker.missing_imports(&user).len(), 3);
        linker.define_exports(&mut store, provider).unwrap();
        assert!(linker.missing_imports(&user).is_empty());
        assert_eq!(linker.found_as("test:math/ops@1.0.0"), Some("test:math/ops@1.2.0"));
        let user = linker.instantiate(&mut store, &user).unwrap();
        assert_eq!(call(&mut store, user, "f", &[]).unwrap(), Some(Val::U32(42)));
        let mut other: Store<()> = Store::new(&engine, ()).unwrap();
        assert!(
            linker.define_exports(&mut other, provider).unwrap_err().to_string().contains("another store")
        );
    }
}

/// What an imported module imports and exports is what the component says, in each respect.
#[test]
fn imported_modules_are_checked_when_they_are_linked() {
    let text = r#"(component
        (import "m" (core module $m (import "env" "n" (global i32)) (import "env" "t" (table 2 funcref))
            (export "f" (func (result i32))) (export "memory" (memory 1)) (export "g" (global (mut i64)))))
        (core module $n (global (export "n") i32 (i32.const 41)) (table (export "t") 2 funcref))
        (core instance $n (instantiate $n))
        (core instance $m (instantiate $m (with "env" (instance $n))))
        (func (export "f") (result u32) (canon lift (core func $m "f"))))"#;
    let f = r#"(func (export "f") (result i32) (i32.const 1))"#;
    let memory = r#"(memory (export "memory") 1)"#;
    let g = r#"(global (export "g") (mut i64) (i64.const 0))"#;
    let cases: [(String, Option<&str>); 12] = [
        (format!("{f} {memory} {g}"), None),
        (
            format!(
                r#"(import "env" "n" (global i32)) (import "env" "t" (table 1 funcref)) {f} {memory} {g}"#
            ),
            None,
        ),
        (format!(r#"{f} (memory (export "memory") 3 4) {g} (func (export "more"))"#), None),
        (
            format!(r#"(import "env" "x" (func)) {f} {memory} {g}"#),
            Some("imports `env` `x`, which the component does not give"),
        ),
        (
            format!(r#"(import "env" "n" (global i64)) {f} {memory} {g}"#),
            Some("imports `env` `n` of another type"),
        ),
        (
            format!(r#"(import "env" "t" (table 3 funcref)) {f} {memory} {g}"#),
            Some("imports `env` `t` of another type"),
        ),
        (format!("{memory} {g}"), Some("does not export the function `f`")),
        (
            format!(r#"(func (export "f") (result i64) (i64.const 1)) {memory} {g}"#),
            Some("`f` is not the function"),
        ),
        (
            format!(r#"(func (export "f") (param i32) (result i32) (i32.const 1)) {memory} {g}"#),
            Some("`f` is not the function"),
        ),
        (format!(r#"{f} (memory (export "memory") 0) {g}"#), Some("`memory` is not the memory")),
        (format!(r#"{f} (table (export "memory") 1 funcref) {g}"#), Some("`memory` is not the memory")),
        (format!(r#"{f} {memory} (global (export "g") i64 (i64.const 0))"#), Some("`g` is not the global")),
    ];
    let engine = &engines()[0];
    let component = component(engine, text);
    for (module, wrong) in cases {
        let bytes = innkeeper::to_binary(format!("(module {module})").as_bytes()).unwrap().into_owned();
        let mut linker: Linker<()> = Linker::new(engine);
        linker.root().module("m", &Module::new(engine, bytes).unwrap());
        match (linker.instantiate_pre(&component), wrong) {
            (Ok(pre), None) => drop(pre.instantiate(Store::new(engine, ()).unwrap()).unwrap()),
            (Err(error), Some(wrong)) => assert!(error.to_string().contains(wrong), "{module}: {error}"),
            (linked, _) => panic!("{module}: {:?}", linked.map(drop).map_err(|error| error.to_string())),
        }
    }
}
