//! Parts of the component model that can be switched on: each is refused where it is off, and what is not built yet says so where it is on, when it is used.

use innkeeper::component::{Component, Feature, Features, Linker};
use innkeeper::{Config, Engine, ErrorKind, Store};

use super::{call, engines};

/// What becomes of a component that has a part which is on.
enum Built {
    /// It can be instantiated.
    Whole,
    /// It is told when `f` is called.
    NotCalled(&'static str),
}

/// A component whose `f` calls a function of the component model.
fn calls(builtin: &str, ty: &str) -> String {
    let params =
        "(i32.const 0)".repeat(ty.split("(result").next().map_or(0, |params| params.matches("i32").count()));
    let call = if ty.contains("result") {
        format!("(drop (call $b {params}))")
    } else {
        format!("(call $b {params})")
    };
    format!(
        r#"(component
        (type $s (stream u8)) (type $f (future u8))
        (core module $libc (memory (export "mem") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
        (core instance $libc (instantiate $libc)) (alias core export $libc "mem" (core memory $mem))
        (alias core export $libc "realloc" (core func $realloc))
        (core func $b (canon {builtin}))
        (core module $m (import "" "b" (func $b {ty})) (func (export "f") {call}))
        (core instance $m (instantiate $m (with "" (instance (export "b" (func $b))))))
        (func (export "f") async (canon lift (core func $m "f"))))"#
    )
}

/// Components that have a part, each with what becomes of it.
fn with_part(feature: Feature) -> Vec<(String, Built)> {
    let whole = |text: &str| vec![(text.to_owned(), Built::Whole)];
    let unbuilt = |builtins: &[(&str, &str, &'static str)]| {
        let of =
            |(builtin, ty, name): &(&str, &str, &'static str)| (calls(builtin, ty), Built::NotCalled(name));
        builtins.iter().map(of).collect()
    };
    match feature {
        Feature::Async => whole(r#"(component (import "f" (func async)))"#),
        Feature::Map => whole("(component (type (map string u8)))"),
        Feature::Implements => whole(r#"(component (import "one" (implements "a:b/c") (instance)))"#),
        Feature::FixedLengthLists => whole("(component (type (list u8 4)))"),
        Feature::StackfulAsync => whole(
            r#"(component (core module $m (func (export "f"))) (core instance $m (instantiate $m))
                (func (export "f") async (canon lift (core func $m "f") async)))"#,
        ),
        Feature::MoreAsyncBuiltins => {
            whole("(component (type $s (stream u8)) (core func (canon stream.cancel-read $s async)))")
        }
        Feature::Threads => whole("(component (core func (canon thread.index)))"),
        Feature::ErrorContext => unbuilt(&[
            ("error-context.new (memory $mem)", "(param i32 i32) (result i32)", "`error-context.new`"),
            (
                "error-context.debug-message (memory $mem) (realloc $realloc)",
                "(param i32 i32)",
                "`error-context.debug-message`",
            ),
            ("error-context.drop", "(param i32)", "`error-context.drop`"),
        ]),
        Feature::NestedNames => whole(r#"(component (import "a:b:c/d" (instance)))"#),
        Feature::CanonicalNames => {
            whole(r#"(component (import "a:b/c@1" (version-suffix ".2.3") (instance)))"#)
        }
        Feature::Forward => unbuilt(&[
            ("stream.forward $s", "(param i32 i32)", "`stream.forward`"),
            ("future.forward $f", "(param i32 i32)", "`future.forward`"),
        ]),
        Feature::Accessors => whole(r#"(component (import "[get]a" (func (result u8))))"#),
        // No part that validation knows: components.rs of the reference tests and `adapters.rs` have it.
        Feature::CallsToRelatives => vec![],
        other => panic!("{other:?} has no test"),
    }
}

fn made(engine: &Engine, text: &str, features: Features) -> Result<Component, innkeeper::Error> {
    let bytes = innkeeper::to_binary(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    Component::with_features(engine, bytes, features)
}

#[test]
fn every_part_is_refused_where_it_is_off_and_works_or_says_why_not_where_it_is_on() {
    for engine in engines() {
        for feature in Feature::ALL {
            let all = Feature::ALL.iter().fold(Features::default(), |all, feature| all.with(*feature));
            for (text, built) in with_part(*feature) {
                let error = made(&engine, &text, all.without(*feature)).map(drop).expect_err(feature.name());
                assert!(
                    matches!(error.kind(), ErrorKind::MalformedComponent { .. }),
                    "{}: {error}",
                    feature.name()
                );
                let component = made(&engine, &text, all);
                let component = component.unwrap_or_else(|error| panic!("{}: {error}", feature.name()));
                let mut store = Store::new(&engine, ()).unwrap();
                let mut linker: Linker<()> = Linker::new(&engine);
                linker.define_unknown_imports_as_traps(&component).unwrap();
                let instance = linker.instantiate(&mut store, &component).unwrap();
                if let Built::NotCalled(said) = built {
                    let error = call(&mut store, instance, "f", &[]).unwrap_err();
                    assert!(
                        matches!(error.kind(), ErrorKind::Unsupported(what) if what.contains(said)),
                        "{said}: {error}"
                    );
                    assert!(error.to_string().starts_with("not supported: "), "{error}");
                }
            }
        }
    }
}

/// C23: values and start functions of components are no part that can be switched on, and are refused as what is not built.
#[test]
fn c23_values_and_start_functions_are_not_supported() {
    let engine = innkeeper::engine(Config::default());
    for text in [
        r#"(component (import "f" (func $f)) (start $f))"#,
        r#"(component (import "v" (value u8)))"#,
        r#"(component (type (instance (export "v" (value string)))))"#,
        r#"(component (component (import "f" (func $f)) (start $f)))"#,
    ] {
        let error = made(&engine, text, Features::default()).map(drop).unwrap_err();
        assert_eq!(error.to_string(), "not supported: values and start functions of components", "{text}");
    }
}
