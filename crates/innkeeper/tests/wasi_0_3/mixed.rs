//! Programs that use WASI 0.2 and 0.3, which have one count of handles, and the same keys.

use innkeeper::component::Linker;
use innkeeper::wasi::keys::{Access, Capture, Keys, StdoutKey};
use innkeeper::wasi::p3;

use super::driver::Driver;
use super::program::{Ends, linked, start, text};
use super::{component, drivers, engines};

/// A program that exports `run` of these versions: that of 0.2 fails, and that of 0.3 succeeds.
fn program(versions: &[&str]) -> String {
    let exports: String = versions
        .iter()
        .map(|version| {
            let kind = &version[..3];
            format!(
                r#"(instance $program{version} (export "run" (func $run{kind})))
                (export "wasi:cli/run@{version}" (instance $program{version}))"#
            )
        })
        .collect();
    format!(
        r#"(component
            (core module $m
                (func (export "0.2") (result i32) (i32.const 1)) (func (export "0.3") (result i32) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $run0.2 (result (result)) (canon lift (core func $i "0.2")))
            (func $run0.3 async (result (result)) (canon lift (core func $i "0.3")))
            {exports})"#
    )
}

#[test]
fn the_newer_run_is_called_where_there_are_both() {
    for engine in engines() {
        for (versions, code) in
            [(&["0.2.6", "0.3.0"][..], 0), (&["0.3.1", "0.2.0"], 0), (&["0.2.3"], 1), (&["0.3.2"], 0)]
        {
            let component = component(&engine, &program(versions));
            assert_eq!(p3::run(&engine, &component, Keys::default()).unwrap(), code, "{versions:?}");
        }
        let none = component(&engine, "(component)");
        let told = p3::run(&engine, &none, Keys::default()).unwrap_err().to_string();
        assert!(told.contains("exports no `wasi:cli/run`"), "{told}");
    }
}

#[test]
fn what_is_used_is_found_by_the_imports() {
    let [engine, _] = engines();
    let import = |name: &str| {
        format!(
            r#"(component (import "{name}" (instance $i (export "now" (func (result u64)))))
                (core func (canon lower (func $i "now"))))"#
        )
    };
    for (name, is_used) in [
        ("wasi:clocks/monotonic-clock@0.3.0", true),
        ("wasi:clocks/monotonic-clock@0.2.0", false),
        ("wasi:clocks/monotonic-clock@0.30.0", false),
        ("other:clocks/monotonic-clock@0.3.0", false),
        ("monotonic-clock", false),
    ] {
        assert_eq!(p3::is_used_by(&component(&engine, &import(name))), is_used, "{name}");
    }
}

/// D3: descriptors are counted as those of WASI 0.2 are, and the limit is told.
#[test]
fn d3_handles_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), "x").unwrap();
    let mut keys = Keys::builder().dir(folder.path(), "/work", Access::ReadWrite).build();
    keys.limits.max_open_handles = 12;
    for mut driver in drivers(&keys) {
        let at = driver.directories()[0].0;
        let mut open = Vec::new();
        let full = loop {
            match driver.open(at, "f", (&[], &["read"])) {
                Ok(file) => open.push(file),
                Err(full) => break full,
            }
        };
        assert_eq!((full.as_str(), open.len()), ("insufficient-memory", 11));
        let told = driver.store.data().host().explain();
        assert!(format!("{told:?}").contains("LimitReached"), "{told:?}");
        let dropped = open.pop().unwrap();
        driver.drop(dropped);
        driver.open(at, "f", (&[], &["read"])).unwrap();
    }
}

/// The insecure seed is the same each time, and other random numbers are not.
#[test]
fn random_numbers_are_given() {
    let call = |driver: &mut Driver, interface, name| driver.call_of(interface, name).unwrap();
    for mut driver in drivers(&Keys::default()) {
        let mut seed = || call(&mut driver, "wasi:random/insecure-seed", "get-insecure-seed");
        assert_eq!(seed(), seed());
        let mut number = || call(&mut driver, "wasi:random/random", "get-random-u64");
        assert_ne!(number(), number());
    }
}

/// An interface that is defined twice is an error of the host's.
#[test]
fn what_the_linker_has_already_is_said() {
    let [engine, _] = engines();
    let mut linker = Linker::<innkeeper::wasi::p2::Context>::new(&engine);
    linker.root().func_new("wasi:cli/stdin@0.3.2", |_, _, _| Ok(()));
    let told = p3::add_to_linker(&mut linker, |context| context).unwrap_err().to_string();
    assert!(told.contains("wasi:cli/stdin@0.3.2"), "{told}");
}

/// C103: a task ends its program, in its first part, in its callback, and after it has returned, with any code; what it has written until then has arrived.
#[test]
fn c103_tasks_end_their_program() {
    const WRITES: &str = r#"
        (local.set $ends (call $new))
        (local.set $a (call $stdout (call $readable (local.get $ends))))
        (i32.store (i32.const 200) (i32.const 0x65646e65))
        (if (i32.eqz (call $write (call $writable (local.get $ends)) (i32.const 200) (i32.const 4))) (then (unreachable)))"#;
    for engine in engines() {
        for code in [0, 1, 2, 127, 128, 255] {
            let at_once = format!("{WRITES} (call $exit-with-code (i32.const {code})) (unreachable)");
            let printed = Capture::new(1 << 10);
            let keys = Keys::builder().stdout(StdoutKey::Capture(printed.clone())).build();
            let ended = start(&engine, (&at_once, Ends::Returning), &keys, |_| ());
            assert_eq!(innkeeper::wasi::exit_code(&ended.unwrap_err()), Some(code));
            assert_eq!(printed.contents(), b"ende");
        }
        // In a callback; what it would have returned is not told.
        for (status, code) in [(0, 0), (1, 1)] {
            let body = text("(i32.const 1)", Ends::Later);
            let late = body.replace(
                r#"(func (export "callback") (param i32 i32 i32) (result i32) (unreachable))"#,
                &format!(r#"(func (export "callback") (param i32 i32 i32) (result i32) (call $exit (i32.const {status})) (unreachable))"#),
            );
            assert_ne!(body, late);
            assert_eq!(p3::run(&engine, &component(&engine, &late), Keys::default()).unwrap(), code);
        }
    }
}

/// C103: `run` is called again in the same instance, which goes on from where it is.
#[test]
fn c103_a_program_of_0_3_runs_again() {
    for engine in engines() {
        let body = r#"(i32.store (i32.const 40) (i32.add (i32.load (i32.const 40)) (i32.const 1)))
            (i32.eq (i32.load (i32.const 40)) (i32.const 2))"#;
        let (mut store, linker) = linked(&engine, &Keys::default()).unwrap();
        let instance =
            linker.instantiate(&mut store, &component(&engine, &text(body, Ends::Returning))).unwrap();
        for code in [0, 1, 0] {
            assert_eq!(p3::call_run(&mut store, instance).unwrap(), code);
        }
    }
}
