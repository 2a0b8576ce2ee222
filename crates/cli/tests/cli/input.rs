//! FILE: formats, standard input, and files that are no modules.

use std::fs;

use crate::{guest, inn, scratch};

#[test]
fn a_module_may_be_text_or_come_from_standard_input() {
    let text = r#"(module (func (export "f") (result i32) (i32.const 7)))"#;
    let dir = scratch();
    fs::write(dir.path().join("f.wat"), text).unwrap();
    inn(&["--invoke", "f", "f.wat"]).current_dir(&dir).run().code(0).stdout("7\n");
    inn(&["--invoke", "f", "-"]).stdin(text).run().code(0).stdout("7\n");
    inn(&["-"]).stdin(fs::read(guest("exit-code")).unwrap()).run().code(42);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = scratch();
    for command in ["run", "inspect", "validate"] {
        let said = |file: &str| inn(&[command, file]).current_dir(&dir).run();
        said("gone.wasm").code(2).says(&["error: gone.wasm: no such file", "help: "]);
        said("gnoe").code(2).says(&["error: gnoe: no such file", "check the path"]);
        said(".").code(2).says(&["error: .: it is a directory", "--dir"]);
        said("a\x1b[2Jb.wasm").code(2).says(&["error: a\\u{1b}[2Jb.wasm: no such file"]);
    }
}

#[test]
fn a_file_that_is_no_module_is_named_with_the_place() {
    let dir = scratch();
    let hello = fs::read(guest("hello-c")).unwrap();
    let mut flipped = hello.clone();
    flipped[0] ^= 1;
    for (name, bytes, said) in [
        ("empty.wasm", &[][..], "it is empty"),
        ("cut-in-magic.wasm", &hello[..3], "(at offset 0x0)"),
        ("cut.wasm", &hello[..1000], "(at offset 0x"),
        ("flipped.wasm", &flipped, "it does not begin with"),
        ("zeros.wasm", &[0; 64], "it does not begin with"),
        ("bad.wat", b"(module\n  (func (i32.cons 1)))", "bad.wat:2:10"),
        ("not-utf8.wat", b"(module \xff)", "not UTF-8"),
        (
            "invalid.wat",
            b"(module (func i32.const 1))",
            "its text can be read, and is not valid: type mismatch",
        ),
    ] {
        fs::write(dir.path().join(name), bytes).unwrap();
        for command in ["run", "inspect", "validate"] {
            let ran = inn(&[command, name]).current_dir(&dir).run();
            ran.code(1).stdout("").says(&[&format!("error: {name}: "), said]);
        }
    }
}

#[test]
fn a_component_is_told_apart() {
    let component = b"\0asm\x0d\0\x01\0";
    inn(&["validate", "-"]).stdin(*component).run().code(0).stdout("standard input: valid\n");
    inn(&["compile", "-", "-o", "-"]).stdin(*component).run().code(1).says(&["nothing to compile"]);
    let damaged = b"\0asm\x0d\0\x01\0\x01\x05\x01";
    inn(&["validate", "-"]).stdin(*damaged).run().code(1).says(&["not a valid WebAssembly component"]);
}

#[test]
fn a_feature_that_is_missing_is_told_apart_from_damage() {
    let ran = inn(&["validate", "-"]).stdin("(module (type (shared (func))))").run();
    ran.code(1).says(&["shared-everything-threads", "help: build the guest without it"]);
}

#[test]
fn a_file_over_the_limit_is_refused_unread() {
    let folder = crate::scratch();
    let file = std::fs::File::create(folder.path().join("large.wasm")).unwrap();
    // Sparse: it takes no room.
    file.set_len((1 << 30) + 1).unwrap();
    let ran = inn(&["validate", "large.wasm"]).current_dir(folder.path()).run();
    ran.code(1).says(&["error: large.wasm: larger than 1073741824 bytes"]);
}
