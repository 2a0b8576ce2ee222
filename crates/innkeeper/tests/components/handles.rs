//! Handles that destructors make, very many of them, and types of the host's that are one under several names.

use innkeeper::component::{Linker, ResourceAny, ResourceType, Val};
use innkeeper::{Config, Store, Tiers};

use super::resources::resource;
use super::{call, component, engines, instance};

/// C69: a destructor makes handles of its own, and drops others, whose destructors run then.
#[test]
fn c69_destructors_make_and_drop_handles() {
    let text = r#"(component
        (core module $state (global (export "held") (mut i32) (i32.const 0)) (global (export "dropped") (mut i32) (i32.const 0))
            (table (export "t") 2 2 funcref))
        (core instance $state (instantiate $state))
        (core module $inner (import "" "dropped" (global $dropped (mut i32)))
            (func (export "dtor") (param i32) (global.set $dropped (i32.add (global.get $dropped) (local.get 0)))))
        (core instance $inner (instantiate $inner (with "" (instance (export "dropped" (global $state "dropped"))))))
        (type $inner (resource (rep i32) (dtor (core func $inner "dtor"))))
        (core func $new-inner (canon resource.new $inner)) (core func $drop-inner (canon resource.drop $inner))
        ;; It keeps one, and drops the one that it had kept.
        (core module $outer (import "" "held" (global $held (mut i32)))
            (import "" "new" (func $new (param i32) (result i32))) (import "" "drop" (func $drop (param i32)))
            (func (export "dtor") (param i32) (local i32)
                (local.set 1 (call $new (local.get 0)))
                (if (global.get $held) (then (call $drop (global.get $held))))
                (global.set $held (local.get 1))))
        (core instance $outer (instantiate $outer (with "" (instance (export "held" (global $state "held"))
            (export "new" (func $new-inner)) (export "drop" (func $drop-inner))))))
        (type $r' (resource (rep i32) (dtor (core func $outer "dtor")))) (export $r "r" (type $r'))
        (core func $new (canon resource.new $r')) (core func $drop (canon resource.drop $r'))
        (core module $m (import "" "new" (func $new (param i32) (result i32))) (import "" "drop" (func $drop (param i32)))
            (import "" "dropped" (global $dropped (mut i32)))
            (func (export "make") (result i32) (call $new (i32.const 3)))
            (func (export "drops") (param i32) (loop (call $drop (call $new (i32.const 1)))
                (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
            (func (export "dropped") (result i32) (global.get $dropped)))
        (core instance $m (instantiate $m (with "" (instance (export "new" (func $new)) (export "drop" (func $drop))
            (export "dropped" (global $state "dropped"))))))
        (func (export "make") (result (own $r)) (canon lift (core func $m "make")))
        (func (export "drops") (param "n" u32) (canon lift (core func $m "drops")))
        (func (export "dropped") (result u32) (canon lift (core func $m "dropped"))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        let made = resource(call(&mut store, instance, "make", &[]).unwrap());
        made.drop(&mut store).unwrap();
        call(&mut store, instance, "drops", &[Val::U32(10)]).unwrap();
        let used = store.budget().used_bytes();
        call(&mut store, instance, "drops", &[Val::U32(20_000)]).unwrap();
        assert_eq!(store.budget().used_bytes(), used);
        // The last one is held still.
        let dropped = call(&mut store, instance, "dropped", &[]).unwrap();
        assert_eq!(dropped, Some(Val::U32(3 + 10 + 20_000 - 1)));
    }
}

/// C70: two million handles that are made and dropped take no more than a few, and those that are kept are bounded.
#[test]
fn c70_handles_that_are_dropped_take_nothing() {
    let text = r#"(component
        (type $r (resource (rep i32)))
        (core func $new (canon resource.new $r)) (core func $drop (canon resource.drop $r))
        (core module $m (import "" "new" (func $new (param i32) (result i32))) (import "" "drop" (func $drop (param i32)))
            (func (export "drops") (param i32) (loop (call $drop (call $new (i32.const 1)))
                (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
            (func (export "keeps") (loop (drop (call $new (i32.const 1))) (br 0))))
        (core instance $m (instantiate $m (with "" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
        (func (export "drops") (param "n" u32) (canon lift (core func $m "drops")))
        (func (export "keeps") (canon lift (core func $m "keeps"))))"#;
    let mut config = Config::default();
    config.limits.memory_bytes = Some(64 << 20);
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = innkeeper::engine_with(config.clone(), tiers);
        let (mut store, instance) = instance(&engine, text);
        call(&mut store, instance, "drops", &[Val::U32(10)]).unwrap();
        let used = store.budget().used_bytes();
        call(&mut store, instance, "drops", &[Val::U32(2_000_000)]).unwrap();
        assert_eq!(store.budget().used_bytes(), used);
        let error = call(&mut store, instance, "keeps", &[]).unwrap_err().to_string();
        assert!(error.contains("Limits::memory_bytes"), "{error}");
        let budget = store.budget().clone();
        drop(store);
        assert_eq!(budget.used_bytes(), 0);
    }
}

/// C16: one resource type that the host gives under two names is one where the component says so. What is of another type of the host's is not taken for it where it is used.
#[test]
fn c16_types_of_the_host_are_equal_where_they_are_one() {
    let text = r#"(component
        (import "files" (instance $files (export "file" (type $file (sub resource))) (export "open" (func (result (own $file))))))
        (alias export $files "file" (type $file))
        (import "reads" (instance $reads (export "file" (type $same (eq $file))) (export "read" (func (param "f" (borrow $same)) (result u32)))))
        (core func $open (canon lower (func $files "open"))) (core func $read (canon lower (func $reads "read")))
        (core module $m (import "" "open" (func $open (result i32))) (import "" "read" (func $read (param i32) (result i32)))
            (func (export "run") (result i32) (call $read (call $open))))
        (core instance $m (instantiate $m (with "" (instance (export "open" (func $open)) (export "read" (func $read))))))
        (func (export "run") (result u32) (canon lift (core func $m "run"))))"#;
    for engine in engines() {
        let (file, other) = (ResourceType::new("file"), ResourceType::new("file"));
        for (read, is_same) in [(&file, true), (&other, false)] {
            let mut linker: Linker<()> = Linker::new(&engine);
            let opened = file.clone();
            let mut files = linker.instance("files").unwrap();
            files.resource("file", &file, |_, _| Ok(()));
            files.func_new("open", move |mut store, _, results| {
                results[0] = ResourceAny::new(&mut store, &opened, 42)?.into();
                Ok(())
            });
            let mut reads = linker.instance("reads").unwrap();
            let read = read.clone();
            reads.func_new("read", move |mut store, params, results| {
                let Val::Resource(given) = params[0] else { unreachable!() };
                results[0] = Val::U32(given.rep(&mut store, &read)?);
                Ok(())
            });
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = linker.instantiate(&mut store, &component(&engine, text)).unwrap();
            match (is_same, call(&mut store, instance, "run", &[])) {
                (true, read) => assert_eq!(read.unwrap(), Some(Val::U32(42))),
                (false, read) => {
                    let error = read.unwrap_err().to_string();
                    assert!(error.contains("another resource type"), "{error}");
                }
            }
        }
    }
}
