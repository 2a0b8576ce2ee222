//! Components with their machine code: from bytes and files, with what is generated for calls between their instances, and refused where they are not what they should be.
#![cfg(feature = "component")]
#![allow(
    unsafe_code,
    reason = "what is deserialized is executed: here, it is what was serialized a moment ago, or refused"
)]

use innkeeper::component::{Component, Feature, Features, Linker};
use innkeeper::{Config, Engine, ErrorKind, Module, Store, Tiers};

/// A component of two, of which one calls the other: two modules, and code between them. `run` gives the number that `result` and one are.
fn text(result: u32) -> String {
    format!(
        r#"(component
            (component $one
                (core module $m (func (export "one") (result i32) (i32.const {result})))
                (core instance $i (instantiate $m))
                (func (export "one") (result u32) (canon lift (core func $i "one"))))
            (component $two
                (import "one" (func $one (result u32)))
                (core func $one (canon lower (func $one)))
                (core module $m
                    (import "" "one" (func $one (result i32)))
                    (func (export "run") (result i32) (i32.add (call $one) (i32.const 1))))
                (core instance $i (instantiate $m (with "" (instance (export "one" (func $one))))))
                (func (export "run") (result u32) (canon lift (core func $i "run"))))
            (instance $one (instantiate $one))
            (instance $two (instantiate $two (with "one" (func $one "one"))))
            (func (export "run") (alias export $two "run")))"#
    )
}

fn run(component: &Component) -> u32 {
    let mut store = Store::new(component.engine(), ()).unwrap();
    let instance = Linker::new(component.engine()).instantiate(&mut store, component).unwrap();
    let run = instance.get_typed_func::<(), u32>(&mut store, "run").unwrap();
    run.call(&mut store, ()).unwrap()
}

fn serialized(result: u32) -> Vec<u8> {
    let engine = innkeeper::engine(Config::default());
    Component::new(&engine, text(result)).unwrap().serialize().unwrap()
}

#[test]
fn many_serialized_components_in_one_engine_from_bytes_and_files() {
    let directory = tempfile::tempdir().unwrap();
    // One function of each module, and two that stand between, of which one is not called: where nothing is compiled ahead it is not looked for.
    for (tiers, functions) in [(Tiers::Auto, 3), (Tiers::Compiled, 4)] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let mut components = Vec::new();
        for i in 0..8 {
            let bytes = serialized(i);
            let component = match i % 2 {
                // SAFETY: serialized just now.
                0 => unsafe { Component::deserialize(&engine, &bytes) },
                _ => {
                    let path = directory.path().join(format!("{i}.cwasm"));
                    std::fs::write(&path, &bytes).unwrap();
                    // SAFETY: as above.
                    let component = unsafe { Component::deserialize_file(&engine, &path) };
                    // Whatever becomes of the name.
                    std::fs::remove_file(&path).unwrap();
                    component
                }
            };
            components.push(component.unwrap());
        }
        for (i, component) in (0..).zip(&components) {
            assert_eq!(run(component), i + 1, "{tiers:?}");
        }
        let statistics = engine.compile_statistics();
        assert_eq!((statistics.compiled, statistics.known_valid), (0, 8), "{tiers:?} {statistics:?}");
        assert_eq!(statistics.cached, 8 * functions, "{tiers:?}");
        // One from source beside them.
        assert_eq!(run(&Component::new(&engine, text(9)).unwrap()), 10);
    }
}

#[test]
fn a_deserialized_component_is_the_same_component() {
    let engine = innkeeper::engine(Config::default());
    let component = Component::new(&engine, text(3)).unwrap();
    let bytes = component.serialize().unwrap();
    // SAFETY: serialized just now.
    let again = unsafe { Component::deserialize(&engine, &bytes).unwrap() };
    assert_eq!(again.bytes(), component.bytes());
    assert_eq!(again.module_ranges(), component.module_ranges());
    assert_eq!(again.exported_funcs().len(), component.exported_funcs().len());
    assert_eq!(again.serialize().unwrap().len(), bytes.len());
}

#[test]
fn a_component_with_features_is_deserialized_with_the_same() {
    let text = r#"(component
        (core module $m (func (export "run") (result i32) (i32.const 6)))
        (core instance $i (instantiate $m))
        (type $t (list u8 4))
        (func (export "run") (result u32) (canon lift (core func $i "run"))))"#;
    let engine = innkeeper::engine(Config::default());
    let features = Features::default().with(Feature::FixedLengthLists);
    let bytes = Component::with_features(&engine, text, features).unwrap().serialize().unwrap();
    // SAFETY: serialized just now.
    let with = unsafe { Component::deserialize_with_features(&engine, &bytes, features) };
    assert_eq!(run(&with.unwrap()), 6);
    // SAFETY: as above.
    let without = unsafe { Component::deserialize(&engine, &bytes) }.map(drop).unwrap_err();
    assert!(matches!(without.kind(), ErrorKind::MalformedComponent { .. }), "{without}");
}

fn refusal(engine: &Engine, bytes: &[u8]) -> String {
    // SAFETY: it is refused: what is damaged or foreign is found out before anything of it is executed.
    let error = unsafe { Component::deserialize(engine, bytes) }.map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Precompiled(_)), "{error}");
    let told = error.to_string();
    assert!(told.starts_with("the precompiled component "), "{told}");
    told
}

#[test]
fn components_that_are_something_else_are_refused() {
    let engine = innkeeper::engine(Config::default());
    let wasm = Component::new(&engine, text(1)).unwrap().bytes().to_vec();
    for bytes in [&[][..], b"(component)", &wasm, &[0; 4096], b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"] {
        let refused = refusal(&engine, bytes);
        assert!(refused.starts_with("the precompiled component is "), "{refused}");
    }
    // SAFETY: there is no such file.
    let error = unsafe { Component::deserialize_file(&engine, "/nowhere/x.cwasm") }.map(drop).unwrap_err();
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn modules_are_no_components_and_components_no_modules_with_code_too() {
    let engine = innkeeper::engine(Config::default());
    let module = Module::new(&engine, r#"(module (func (export "run")))"#).unwrap().serialize().unwrap();
    assert!(refusal(&engine, &module).contains("load it with Module::deserialize"));
    // SAFETY: serialized just now, and refused.
    let error = unsafe { Module::deserialize(&engine, serialized(1)) }.map(drop).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Precompiled(_)), "{error}");
    assert!(error.to_string().contains("load it with Component::deserialize"), "{error}");
}

#[test]
fn components_that_are_damaged_or_cut_off_are_refused() {
    let engine = innkeeper::engine(Config::default());
    let bytes = serialized(1);
    for end in [1, 8, 64, bytes.len() / 2, bytes.len() - 1] {
        refusal(&engine, &bytes[..end]);
    }
    // Damage of the head and of the component is found when it is opened, that of a function's code when the function is first called, which is compiled anew then.
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(bytes.len().div_ceil(64)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        // SAFETY: every part of it is compared with its digest before it is used.
        match unsafe { Component::deserialize(&engine, &damaged) } {
            Ok(component) => assert_eq!(run(&component), 2, "byte {at}"),
            Err(error) => {
                assert!(matches!(error.kind(), ErrorKind::Precompiled(_)), "byte {at}: {error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn components_that_were_made_for_another_configuration_are_refused() {
    let bytes = serialized(1);
    let nans = Config { nan_bits: innkeeper::NanBits::Canonical, ..Config::default() };
    let fuel = Config { metering: innkeeper::Metering::Fuel, ..Config::default() };
    for config in [fuel, nans] {
        let refused = refusal(&innkeeper::engine(config), &bytes);
        assert!(refused.contains("was compiled for"), "{refused}");
    }
    let refused = refusal(&innkeeper::engine_with(Config::default(), Tiers::Interpreter), &bytes);
    assert!(refused.contains("only interprets"), "{refused}");
}

#[test]
fn components_are_not_serialized_where_there_is_nothing_to_compile() {
    let interpreter = innkeeper::engine_with(Config::default(), Tiers::Interpreter);
    let error = Component::new(&interpreter, text(1)).unwrap().serialize().unwrap_err();
    assert!(error.to_string().contains("only interprets"), "{error}");
    let engine = innkeeper::engine(Config::default());
    let error = Component::new(&engine, "(component)").unwrap().serialize().unwrap_err();
    assert!(error.to_string().contains("there is no module in it"), "{error}");
    assert!(matches!(error.kind(), ErrorKind::Precompiled(_)), "{error}");
}
