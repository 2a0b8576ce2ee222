//! Every function of WASI 0.2.12 is bound with the type that the specification has for it, and serves whoever wants any version since 0.2.0.

use innkeeper::component::Linker;
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p2;
use innkeeper::{Error, Store};

use super::bound::{check_bound, using, without};
use super::surface::{Function, functions};
use super::{component, context, engines};

/// The interfaces with the types of their functions.
pub(crate) const IMPORTS: &str = include_str!("wasi-0.2.12.wat");

/// Functions that are not bound yet, one a line. One that is bound by now, or that there never was, fails the test.
const KNOWN_GAPS: &str = include_str!("known-gaps.txt");

/// Those that are bound.
pub(crate) fn bound_functions() -> Vec<Function> {
    without(IMPORTS, KNOWN_GAPS)
}

fn link(engine: &innkeeper::Engine, text: &str) -> Result<(), Error> {
    let mut linker = Linker::new(engine);
    p2::add_to_linker(&mut linker, |context: &mut p2::Context| context)?;
    let mut store = Store::new(engine, context())?;
    linker.instantiate(&mut store, &component(engine, text)).map(drop)
}

#[test]
fn every_function_is_bound_with_its_type() {
    let [engine, _] = engines();
    let functions = functions(IMPORTS);
    assert!(functions.len() > 120, "{}", functions.len());
    check_bound((IMPORTS, KNOWN_GAPS), &functions, |text| link(&engine, text));
}

/// C10, C11: a program says the version that it was made for, and may have parts that were made for different ones.
#[test]
fn c11_every_version_of_0_2_links() {
    let [engine, _] = engines();
    let functions = bound_functions();
    // There is no earlier version of it.
    let bound = || functions.iter().filter(|function| function.name != "exit-with-code");
    for version in ["0.2.0", "0.2.6", "0.2.12", "0.2.99"] {
        let imports = IMPORTS.replace("@0.2.12", &format!("@{version}"));
        link(&engine, &using(&imports, bound())).unwrap_or_else(|error| panic!("{version}: {error}"));
    }
    for version in ["0.1.0", "0.3.0", "0.2.0-rc.1"] {
        let imports = IMPORTS.replace("@0.2.12", &format!("@{version}"));
        let told = link(&engine, &using(&imports, bound())).unwrap_err().to_string();
        assert!(told.contains("there is `wasi:io/poll@0.2.12` only"), "{version}: {told}");
    }
}

/// C103: a program ends by `run` returning or by `exit`, and is a command: what it gave its host is told apart from failing.
#[test]
fn c103_programs_end_with_a_code() {
    let program = |body: &str| {
        format!(
            r#"(component
                (import "wasi:cli/exit@0.2.0" (instance $e (export "exit" (func (param "status" (result))))))
                (core func $exit (canon lower (func $e "exit")))
                (core module $m (import "" "exit" (func $exit (param i32)))
                    (func (export "run") (result i32) {body}))
                (core instance $i (instantiate $m (with "" (instance (export "exit" (func $exit))))))
                (func $run (result (result)) (canon lift (core func $i "run")))
                (instance $program (export "run" (func $run)))
                (export "wasi:cli/run@0.2.0" (instance $program)))"#
        )
    };
    for engine in engines() {
        for (body, code) in [
            ("(i32.const 0)", 0),
            ("(i32.const 1)", 1),
            ("(call $exit (i32.const 0)) (unreachable)", 0),
            ("(call $exit (i32.const 1)) (unreachable)", 1),
        ] {
            let component = component(&engine, &program(body));
            assert_eq!(p2::run(&engine, &component, Keys::default()).unwrap(), code, "{body}");
        }
        let trapping = component(&engine, &program("(unreachable)"));
        let error = p2::run(&engine, &trapping, Keys::default()).unwrap_err();
        assert_eq!(error.trap(), Some(innkeeper::Trap::Unreachable));
        let none = component(&engine, "(component)");
        let told = p2::run(&engine, &none, Keys::default()).unwrap_err().to_string();
        assert!(told.contains("exports no `wasi:cli/run`"), "{told}");
    }
}
