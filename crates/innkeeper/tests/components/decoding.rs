//! Decoding, and what is refused there.

use std::time::{Duration, Instant};

use innkeeper::component::{Component, Features};
use innkeeper::{Config, ErrorKind, Module};

fn rejected(text: &str) -> String {
    let engine = innkeeper::engine(Config::default());
    let bytes = innkeeper::to_binary(text.as_bytes()).unwrap();
    let error = Component::new(&engine, bytes).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::MalformedComponent { .. }), "{error}");
    error.to_string()
}

#[test]
fn c1_a_module_is_no_component_and_a_component_no_module() {
    let engine = innkeeper::engine(Config::default());
    let module = innkeeper::to_binary(b"(module)").unwrap().into_owned();
    let component = innkeeper::to_binary(b"(component)").unwrap().into_owned();
    assert!(Component::is_one(&component) && !Component::is_one(&module));
    let error = Component::new(&engine, module).unwrap_err();
    assert!(error.to_string().contains("this is a core module, not a component"), "{error}");
    let error = Module::new(&engine, component).unwrap_err();
    assert!(error.to_string().contains("this is a component, not a core module"), "{error}");
}

#[test]
fn c1_wrong_versions_and_truncated_components_are_refused() {
    let engine = innkeeper::engine(Config::default());
    let nested = innkeeper::to_binary(b"(component (component (core module (func))))").unwrap().into_owned();
    // The header alone is a component.
    for end in (0..nested.len()).filter(|end| *end != HEADER.len()) {
        Component::new(&engine, &nested[..end]).unwrap_err();
    }
    for version in [b"\0asm\x0c\0\x01\0", b"\0asm\x0e\0\x01\0", b"\0asm\x0d\0\x02\0"] {
        Component::new(&engine, version.as_slice()).unwrap_err();
    }
}

/// A section with its length.
fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    let mut section = vec![id];
    leb(&mut section, contents.len());
    section.extend_from_slice(contents);
    section
}

fn leb(to: &mut Vec<u8>, mut number: usize) {
    while number > 0x7f {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";

/// Refused, and soon.
fn refused_soon(bytes: Vec<u8>) -> String {
    let engine = innkeeper::engine(Config::default());
    let begin = Instant::now();
    let error = Component::new(&engine, bytes).unwrap_err().to_string();
    let taken = begin.elapsed();
    // A hundred milliseconds where the machine has nothing else to do.
    assert!(taken < Duration::from_secs(2), "{taken:?} until {error}");
    error
}

#[test]
fn c2_components_ten_thousand_deep_are_refused() {
    let mut bytes = HEADER.to_vec();
    for _ in 0..10_000 {
        let mut outer = HEADER.to_vec();
        outer.extend(section(4, &bytes));
        bytes = outer;
    }
    refused_soon(bytes);
}

#[test]
fn c2_types_ten_thousand_deep_are_refused() {
    for kind in [0x41, 0x42] {
        // A type of a component or instance, of one declaration, which is a type.
        let mut types = vec![1];
        for _ in 0..10_000 {
            types.extend([kind, 1, 1]);
        }
        types.extend([kind, 0]);
        let mut bytes = HEADER.to_vec();
        bytes.extend(section(7, &types));
        refused_soon(bytes);
    }
}

#[test]
fn c3_deep_value_types_and_empty_ones_are_refused() {
    let mut text = String::from("(component (type $t0 (list u8))");
    for i in 1..120 {
        text += &format!("(type $t{i} (list $t{}))", i - 1);
    }
    let error = rejected(&(text + ")"));
    assert!(error.contains("nesting is too deep"), "{error}");
    for empty in ["record", "tuple", "flags", "enum", "variant"] {
        let text = format!("(component (type ({empty})))");
        // Some are no text already.
        if let Ok(bytes) = innkeeper::to_binary(text.as_bytes()) {
            Component::new(&innkeeper::engine(Config::default()), bytes).unwrap_err();
        }
    }
}

/// C4: components that instantiate each other many times over stand for more than anybody can make.
#[test]
fn c4_what_grows_without_bound_is_refused() {
    let mut text = String::from("(component (component $c0)");
    for i in 1..60 {
        let inner = i - 1;
        text += &format!(
            "(component $c{i} (alias outer 1 $c{inner} (component $inner)) \
                (instance (instantiate $inner)) (instance (instantiate $inner)))"
        );
    }
    text += "(instance (instantiate $c59)))";
    let engine = innkeeper::engine(Config::default());
    let bytes = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
    Component::validate(&engine, &bytes, Features::default()).unwrap();
    assert!(refused_soon(bytes).contains("steps"));
}

#[test]
fn c6_more_than_thirty_two_flags_are_refused() {
    let labels = |count: usize| (0..count).map(|i| format!("\"l{i}\" ")).collect::<String>();
    let text = |count| format!("(component (type (flags {})))", labels(count));
    let engine = innkeeper::engine(Config::default());
    Component::new(&engine, innkeeper::to_binary(text(32).as_bytes()).unwrap()).unwrap();
    rejected(&text(33));
}

/// A million types are as many as there may be.
#[test]
fn c4_a_million_types_are_decided_soon() {
    let count = 1_000_001;
    let mut types = Vec::new();
    leb(&mut types, count);
    types.extend(std::iter::repeat_n(0x7f, count));
    let mut bytes = HEADER.to_vec();
    bytes.extend(section(7, &types));
    refused_soon(bytes);
}

/// What decoding takes is bounded: a byte of a component can become hundreds.
#[test]
fn decoding_is_charged_to_the_budget() {
    let count = 900_000;
    let mut types = Vec::new();
    leb(&mut types, count);
    types.extend(std::iter::repeat_n(0x7f, count));
    let mut bytes = HEADER.to_vec();
    bytes.extend(section(7, &types));
    let mut config = Config::default();
    config.limits.memory_bytes = Some(64 << 20);
    let error = Component::new(&innkeeper::engine(config), bytes.clone()).unwrap_err().to_string();
    assert!(error.contains("Limits::memory_bytes") && error.contains("decoding"), "{error}");
    Component::new(&innkeeper::engine(Config::default()), bytes).unwrap();
}

#[test]
fn c23_components_with_nothing_and_with_types_only_can_be_instantiated() {
    for engine in super::engines() {
        let (mut store, instance) = super::instance(&engine, "(component)");
        assert!(instance.exports(&mut store).is_empty());
        let (mut store, instance) = super::instance(
            &engine,
            r#"(component (type $t (record (field "a" u8))) (export "t" (type $t)))"#,
        );
        assert_eq!(instance.exports(&mut store).len(), 1);
    }
}
