//! Every function of WASI 0.2.12 is bound with the type that the specification has for it, and serves whoever wants any version since 0.2.0.

use innkeeper::component::Linker;
use innkeeper::wasi::keys::{Capture, Keys, StdoutKey};
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

/// C11: parts of one component were made for different versions, and each interface is that of its own; an interface that nobody knows is in nobody's way while nothing of it is used.
#[test]
fn c11_versions_of_0_2_are_mixed_in_one_component() {
    let [engine, _] = engines();
    let functions = bound_functions();
    let bound = || functions.iter().filter(|function| function.name != "exit-with-code");
    let versions = ["0.2.0", "0.2.12", "0.2.3", "0.2.99", "0.2.6"];
    let mut parts = IMPORTS.split("@0.2.12");
    let mut mixed = parts.next().unwrap().to_owned();
    for (i, part) in parts.enumerate() {
        mixed = format!("{mixed}@{}{part}", versions[i % versions.len()]);
    }
    assert!(versions.iter().all(|version| mixed.contains(&format!("@{version}\""))));
    link(&engine, &using(&mixed, bound())).unwrap();
    // One interface in two versions, and one that is unknown; `used` is of the older or of the newer.
    let program = |used: &str, unknown: &str| {
        format!(
            r#"(component
                (import "wasi:cli/exit@0.2.0" (instance $older (export "exit" (func (param "status" (result))))))
                (import "wasi:cli/exit@0.2.12" (instance $newer (export "exit-with-code" (func (param "status-code" u8)))))
                (import "wasi:made/up@0.2.6" (instance $unknown (export "f" (func))))
                (core func $older (canon lower (func $older "exit"))) (core func $newer (canon lower (func $newer "exit-with-code")))
                {unknown}
                (core module $m (import "" "older" (func $older (param i32))) (import "" "newer" (func $newer (param i32)))
                    (func (export "run") (result i32) (call ${used} (i32.const 1)) (unreachable)))
                (core instance $i (instantiate $m (with "" (instance (export "older" (func $older)) (export "newer" (func $newer))))))
                (func $run (result (result)) (canon lift (core func $i "run")))
                (instance $program (export "run" (func $run)))
                (export "wasi:cli/run@0.2.3" (instance $program)))"#
        )
    };
    for engine in engines() {
        for used in ["older", "newer"] {
            let component = component(&engine, &program(used, ""));
            assert_eq!(p2::run(&engine, &component, Keys::default()).unwrap(), 1, "{used}");
        }
        let uses = program("older", r#"(core func (canon lower (func $unknown "f")))"#);
        let told = link(&engine, &uses).unwrap_err().to_string();
        assert!(told.contains("wasi:made/up@0.2.6#f"), "{told}");
    }
}

/// C103: a component in a component ends the program, with any code, in the middle of calls; what was written before, and not flushed, has arrived; and `run` can be called again.
#[test]
fn c103_programs_end_in_nested_components_and_run_again() {
    let text = |version: &str| {
        format!(
            r#"(component
            (import "wasi:cli/exit@0.2.12" (instance $exit (export "exit-with-code" (func (param "status-code" u8)))))
            (import "wasi:io/error@{version}" (instance $error (export "error" (type (sub resource)))))
            (alias export $error "error" (type $error-type))
            (import "wasi:io/streams@{version}" (instance $io
                (export "output-stream" (type $out (sub resource)))
                (alias outer 1 $error-type (type $theirs)) (export "error" (type $err (eq $theirs)))
                (type $stream-error (variant (case "last-operation-failed" (own $err)) (case "closed")))
                (export "stream-error" (type $e (eq $stream-error)))
                (export "[method]output-stream.check-write" (func (param "self" (borrow $out)) (result (result u64 (error $e)))))
                (export "[method]output-stream.write"
                    (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $e)))))))
            (alias export $io "output-stream" (type $out))
            (import "wasi:cli/stdout@{version}" (instance $cli
                (alias outer 1 $out (type $o)) (export "output-stream" (type $so (eq $o)))
                (export "get-stdout" (func (result (own $so))))))
            (component $inner
                (import "exit" (func $exit (param "status-code" u8)))
                (core func $exit (canon lower (func $exit)))
                (core module $m (import "" "exit" (func $exit (param i32))) (global $runs (mut i32) (i32.const 0))
                    ;; A second time only it returns.
                    (func (export "ends") (param i32) (result i32)
                        (global.set $runs (i32.add (global.get $runs) (i32.const 1)))
                        (if (i32.eq (global.get $runs) (i32.const 2)) (then (call $exit (local.get 0)) (unreachable)))
                        (i32.const 0)))
                (core instance $m (instantiate $m (with "" (instance (export "exit" (func $exit))))))
                (func (export "ends") (param "code" u8) (result u32) (canon lift (core func $m "ends"))))
            (instance $inner (instantiate $inner (with "exit" (func $exit "exit-with-code"))))
            (component $outer
                (import "ends" (func $ends (param "code" u8) (result u32)))
                (import "out" (type $out (sub resource))) (import "error" (type $err (sub resource)))
                (type $stream-error' (variant (case "last-operation-failed" (own $err)) (case "closed")))
                (import "stream-error" (type $e (eq $stream-error')))
                (import "stdout" (func $stdout (result (own $out))))
                (import "check" (func $check (param "self" (borrow $out)) (result (result u64 (error $e)))))
                (import "write" (func $write (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $e)))))
                (core module $libc (memory (export "mem") 1) (data (i32.const 100) "ended"))
                (core instance $libc (instantiate $libc)) (alias core export $libc "mem" (core memory $mem))
                (core func $ends (canon lower (func $ends))) (core func $stdout (canon lower (func $stdout)))
                (core func $check (canon lower (func $check) (memory $mem))) (core func $write (canon lower (func $write) (memory $mem)))
                (core module $m (import "" "ends" (func $ends (param i32) (result i32))) (import "" "stdout" (func $stdout (result i32)))
                    (import "" "check" (func $check (param i32 i32))) (import "" "write" (func $write (param i32 i32 i32 i32)))
                    (func (export "run") (result i32) (local i32)
                        (local.set 0 (call $stdout))
                        (call $check (local.get 0) (i32.const 0))
                        (call $write (local.get 0) (i32.const 100) (i32.const 5) (i32.const 0))
                        (call $ends (i32.const CODE))))
                (core instance $m (instantiate $m (with "" (instance (export "ends" (func $ends)) (export "stdout" (func $stdout))
                    (export "check" (func $check)) (export "write" (func $write))))))
                (func (export "run") (result (result)) (canon lift (core func $m "run"))))
            (instance $outer (instantiate $outer (with "ends" (func $inner "ends")) (with "out" (type $out)) (with "error" (type $error-type))
                (with "stream-error" (type $io "stream-error")) (with "stdout" (func $cli "get-stdout"))
                (with "check" (func $io "[method]output-stream.check-write")) (with "write" (func $io "[method]output-stream.write"))))
            (instance $program (export "run" (func $outer "run")))
            (export "wasi:cli/run@0.2.0" (instance $program)))"#
        )
    };
    for engine in engines() {
        for code in [0, 1, 2, 127, 128, 255] {
            let printed = Capture::new(1 << 10);
            let keys = Keys::builder().stdout(StdoutKey::Capture(printed.clone())).build();
            let mut linker = Linker::new(&engine);
            p2::add_to_linker(&mut linker, |context: &mut p2::Context| context).unwrap();
            let mut store = Store::new(&engine, p2::Context::new(&keys).unwrap()).unwrap();
            let program = component(&engine, &text("0.2.0").replace("CODE", &code.to_string()));
            let instance = linker.instantiate(&mut store, &program).unwrap();
            assert_eq!(p2::call_run(&mut store, instance).unwrap(), 0);
            let ended = p2::call_run(&mut store, instance);
            let ended = ended.or_else(|error| innkeeper::wasi::exit_code(&error).ok_or(error));
            assert_eq!(ended.unwrap(), code);
            assert_eq!(printed.contents(), b"endedended");
        }
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
