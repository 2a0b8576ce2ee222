//! What applying the changes of copy-on-write directories makes the host hold: about as much again as the changes themselves, which the limit bounds, whatever they
//! are and however long their journal is.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{CONSTANT_BYTES, LIMIT, LIMIT_BYTES, run};

/// Files that are there before.
const OLD: usize = 15_000;

/// A guest that makes a call with one name after the other, until it is refused. Names have `length` bytes, of which the last eight count.
fn each_name(import: &str, call: &str, length: usize) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "{import}" (func $f {}))
            (memory (export "memory") 1)
            (data (i32.const 500) "z")
            (data (i32.const 999) "z")
            (func $name (param $i i32) (local $k i32)
                (loop $l
                    (i32.store8
                        (i32.add (i32.const {}) (local.get $k))
                        (i32.add (i32.const 97) (i32.and (local.get $i) (i32.const 15))))
                    (local.set $i (i32.shr_u (local.get $i) (i32.const 4)))
                    (local.set $k (i32.add (local.get $k) (i32.const 1)))
                    (br_if $l (i32.lt_u (local.get $k) (i32.const 8)))))
            (func (export "_start") (local $i i32)
                (memory.fill (i32.const 1000) (i32.const 1) (i32.const {length}))
                (loop $l
                    (call $name (local.get $i))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $l (i32.eqz {call})))))"#,
        match import {
            "path_create_directory" | "path_unlink_file" => "(param i32 i32 i32) (result i32)",
            "path_symlink" => "(param i32 i32 i32 i32 i32) (result i32)",
            _ => "(param i32 i32 i32 i32 i32 i32) (result i32)",
        },
        1000 + length - 8,
    )
}

#[test]
fn y7_applying_changes_takes_as_much_again_as_they_do() {
    let name = |length: usize| format!("(i32.const 1000) (i32.const {length})");
    let link = |length| format!("(call $f (i32.const 500) (i32.const 1) (i32.const 3) {})", name(length));
    let cases = [
        ("links with long names", each_name("path_symlink", &link(255), 255)),
        (
            "directories",
            each_name("path_create_directory", &format!("(call $f (i32.const 3) {})", name(8)), 8),
        ),
        (
            "what was there is moved",
            each_name(
                "path_rename",
                &format!("(call $f (i32.const 3) {} (i32.const 3) (i32.const 999) (i32.const 9))", name(8)),
                8,
            ),
        ),
        (
            "what was there is removed",
            each_name("path_unlink_file", &format!("(call $f (i32.const 3) {})", name(8)), 8),
        ),
    ];
    for (what, text) in cases {
        // In memory where that is to be had: how fast a disk is does not matter here.
        let memory = PathBuf::from("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let directory = directory.expect("a directory");
        let host = directory.path().join("d");
        fs::create_dir(&host).expect("d");
        if what.starts_with("what was there") {
            for index in 0..OLD {
                let name: String =
                    (0..8).map(|digit| char::from(b'a' + (index >> (4 * digit) & 15) as u8)).collect();
                fs::write(host.join(name), "").expect("a file");
            }
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
        command.args([
            "--cache",
            "off",
            "--timeout",
            "100s",
            "--max-memory",
            LIMIT,
            "--cow-changes",
            "apply",
        ]);
        command.env("XDG_STATE_HOME", directory.path().join("state"));
        command.arg("--dir").arg(format!("{}::/::cow", host.display())).arg("-");
        let ran = run(command, &text);
        assert_eq!(ran.code, Some(0), "{what}: {ran:#?}");
        let count = fs::read_dir(&host).expect("list").count();
        // Nothing is compiled here and little else held, so that half of what is allowed on top is enough.
        let most = 2 * LIMIT_BYTES + CONSTANT_BYTES / 2;
        assert!(ran.held_bytes <= most, "{what}: {} bytes held", ran.held_bytes);
        assert!(count > OLD - 1 || what.ends_with("removed"), "{what}: only {count}");
    }
}
