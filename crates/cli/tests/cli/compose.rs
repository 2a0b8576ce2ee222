//! `inn compose`: several components become one.

use std::fs;

use crate::components::component_of;
use crate::{Ran, guest, inn, scratch};

const FILES: [(&str, &str); 3] = [
    ("math.wat", include_str!("components/math.wat")),
    ("constants.wat", include_str!("components/constants.wat")),
    ("app.wat", include_str!("components/app.wat")),
];

fn folder(more: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = scratch();
    for (name, text) in FILES.iter().chain(more) {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

#[test]
fn one_component_is_made_of_a_program_and_its_plugs() {
    let folder = folder(&[]);
    let run = |args: &[&str]| inn(args).current_dir(folder.path()).run();
    run(&["compose", "app.wat", "--plug", "constants.wat", "--plug", "math.wat", "-o", "all.wasm"])
        .code(0)
        .prints(&["all.wasm: 3 components, "]);
    run(&["validate", "all.wasm"]).code(0);
    run(&["all.wasm"]).code(0).stdout("").stderr("");
    run(&["--invoke", "nine", "all.wasm"]).code(0).stdout("9\n");
    let inspected = run(&["inspect", "all.wasm"]);
    assert!(!inspected.stdout.contains("test:math"), "{inspected:#?}");
    // What no plug gives is imported as before, and can be plugged in later.
    run(&["compose", "app.wat", "--plug", "math.wat", "-o", "less.wasm"]).code(0);
    run(&["compose", "less.wasm", "--plug", "constants.wat", "-o", "later.wasm"]).code(0);
    run(&["--invoke", "nine", "later.wasm"]).code(0).stdout("9\n");
}

/// An interface with a resource, of which each of the two uses another function, and values of types that have names; the order of imports differs.
const USES: &str = r#"(import "test:host/values@1.0.0" (instance $values
        (type $e (enum "red" "green")) (export "colour" (type (eq $e)))
        (export "thing" (type (sub resource)))))
    (alias export $values "thing" (type $thing))
    (alias export $values "colour" (type $colour))"#;

#[test]
fn what_several_import_is_imported_once_with_all_that_they_want_of_it() {
    // The plug wants types of another interface that the program does not import.
    let plug = format!(
        r#"(component {USES}
            (import "test:host/things@1.0.0" (instance $things
                (alias outer 1 $thing (type $t)) (export "thing" (type $own (eq $t)))
                (alias outer 1 $colour (type $c)) (export "colour" (type $named (eq $c)))
                (type $pair (record (field "first" u8) (field "rest" (list string)))) (export "pair" (type $p (eq $pair)))
                (export "paint" (func (param "what" (borrow $own)) (param "with" $named) (result (option $p))))))
        (core module $m (func (export "triple") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3))))
        (core instance $i (instantiate $m))
        (func $triple (param "of" u32) (result u32) (canon lift (core func $i "triple")))
        (instance $operations (export "triple" (func $triple)))
        (export "test:math/operations@1.0.0" (instance $operations)))"#
    );
    let counts = r#"(component
        (import "test:host/things@1.0.0" (instance $things (export "count" (func (result u32)))))"#;
    let program = FILES[2].1.replacen("(component", counts, 1);
    let folder = folder(&[("plug.wat", &plug), ("program.wat", &program)]);
    let run = |args: &[&str]| inn(args).current_dir(folder.path()).run();
    run(&["validate", "program.wat"]).code(0);
    run(&["compose", "program.wat", "--plug", "plug.wat", "-o", "all.wasm"]).code(0);
    run(&["--invoke", "nine", "all.wasm"]).code(0).stdout("9\n");
    let said = run(&["inspect", "all.wasm"]).stdout;
    for part in ["test:host/things@1.0.0", "test:host/values@1.0.0", "count", "paint"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// A plug between a program of WASI and the host.
#[test]
fn a_plug_can_stand_for_an_interface_of_wasi() {
    let plug = r#"(component
        (core module $m (memory (export "memory") 1)
            (func (export "none") (result i32) (i32.const 8))
            (func (export "nothing") (result i32) (i32.const 8))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
        (core instance $i (instantiate $m))
        (func $pairs (result (list (tuple string string))) (canon lift (core func $i "none") (memory (core memory $i "memory"))))
        (func $list (result (list string)) (canon lift (core func $i "none") (memory (core memory $i "memory"))))
        (func $cwd (result (option string)) (canon lift (core func $i "nothing") (memory (core memory $i "memory"))))
        (instance $environment
            (export "get-environment" (func $pairs)) (export "get-arguments" (func $list)) (export "initial-cwd" (func $cwd)))
        (export "wasi:cli/environment@0.2.3" (instance $environment)))"#;
    let folder = folder(&[("plug.wat", plug)]);
    fs::write(folder.path().join("file.txt"), "seen").unwrap();
    let module = fs::read(guest("cat")).unwrap();
    fs::write(folder.path().join("guest.wasm"), component_of(&module).unwrap()).unwrap();
    let run = |args: &[&str]| -> Ran { inn(args).current_dir(folder.path()).run() };
    run(&["--dir", ".", "guest.wasm", "file.txt"]).code(0).stdout("seen");
    run(&["compose", "guest.wasm", "--plug", "plug.wat", "-o", "all.wasm"]).code(0);
    // It sees no arguments any more, and reads its standard input.
    run(&["--dir", ".", "all.wasm", "file.txt"]).code(0).stdout("").stderr("");
}

#[test]
fn what_cannot_be_composed_is_said() {
    let wrong = FILES[1].1.replace("(result u32)", "(result s32)");
    let folder = folder(&[("wrong.wat", &wrong), ("module.wat", "(module)")]);
    let run = |args: &[&str]| {
        let args = [&["compose"][..], args, &["-o", "out.wasm"]].concat();
        let ran = inn(&args).current_dir(folder.path()).run();
        assert!(!folder.path().join("out.wasm").exists(), "{ran:#?}");
        ran
    };
    run(&["app.wat", "--plug", "constants.wat"])
        .code(2)
        .says(&["--plug constants.wat: nothing that it exports is imported"]);
    // Plugs are given to those after them.
    run(&["app.wat", "--plug", "math.wat", "--plug", "constants.wat"])
        .code(2)
        .says(&["--plug constants.wat"]);
    run(&["app.wat", "--plug", "module.wat"]).code(2).says(&["module.wat: it is a module"]);
    run(&["app.wat", "--plug", "wrong.wat", "--plug", "math.wat"])
        .code(1)
        .says(&["cannot be composed of these", "inn inspect"]);
    run(&["app.wat", "--plug", "gone.wat"]).code(2).says(&["gone.wat"]);
}
