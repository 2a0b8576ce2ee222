//! `--timeout` is a promise: whatever the guest or `inn` itself is doing ends then.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{inn, scratch};

/// What a guest that is stopped is told of with: not the last resort, which ends the process.
const STOPPED: &str = "wasm trap: deadline exceeded";

/// Runs `text` with a deadline; standard streams are pipes that nobody reads or writes.
fn start(text: &str, flags: &[&str]) -> (tempfile::TempDir, Child) {
    let dir = scratch();
    std::fs::write(dir.path().join("guest.wat"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
    command
        .args(["--cache", "off", "--timeout", "300ms"])
        .args(flags)
        .arg("guest.wat")
        .current_dir(dir.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    (dir, command.spawn().unwrap())
}

/// Waits for the end without reading anything before.
fn end(mut child: Child) -> (Option<i32>, String) {
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(60), "it runs on");
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn arrays_and_randomness_of_gigabytes_end() {
    let arrays = r#"(module
        (type $a (array (mut i8)))
        (type $l (struct (field (ref null $a)) (field (ref null $l))))
        (memory (export "memory") 1)
        (func (export "_start") (local $n (ref null $l))
            (loop $l
                (local.set $n (struct.new $l (array.new $a (i32.const 1) (i32.const 100000000)) (local.get $n)))
                (br $l))))"#;
    let array = r#"(module
        (type $a (array (mut i32)))
        (global $a (mut (ref null $a)) (ref.null $a))
        (memory (export "memory") 1)
        (func (export "_start") (global.set $a (array.new $a (i32.const 1) (i32.const 500000000)))))"#;
    let random = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))
        (memory (export "memory") 65535)
        (func (export "_start") (drop (call $r (i32.const 0) (i32.const 0xfffeffff)))))"#;
    for text in [arrays, array, random] {
        for tier in ["interpreter", "compiled", "auto"] {
            let (_dir, child) = start(text, &["--tier", tier, "--max-memory", "8GiB"]);
            let (code, said) = end(child);
            assert_eq!(code, Some(134), "{tier}: {said}");
            assert!(said.contains(STOPPED), "{tier}: {said}");
        }
    }
}

/// A guest that writes 40 KiB at a time for ever, so that a pipe has room for a part of the second.
fn writes_to(fd: u32) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 2)
            (data (i32.const 16) "\20\00\00\00\00\a0\00\00")
            (func (export "_start")
                (loop $again
                    (drop (call $write (i32.const {fd}) (i32.const 16) (i32.const 1) (i32.const 8)))
                    (br $again))))"#
    )
}

#[test]
fn a_write_to_a_full_pipe_ends() {
    let (_dir, child) = start(&writes_to(1), &[]);
    let (code, said) = end(child);
    assert_eq!((code, said.contains(STOPPED)), (Some(134), true), "{said}");
}

#[test]
fn messages_that_nobody_reads_do_not_keep_it() {
    // The guest fills the pipe that its own end would be told to.
    let (_dir, child) = start(&writes_to(2), &[]);
    assert_eq!(end(child).0, Some(134));
    let yields = r#"(module
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (loop $l (drop (call $yield)) (br $l))))"#;
    let (_dir, child) = start(yields, &["--trace"]);
    assert_eq!(end(child).0, Some(134));
}

#[test]
fn threads_that_read_one_stdin_end() {
    let text = r#"(module
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "env" "memory" (memory 2 2 shared))
        (export "memory" (memory 0))
        (data (i32.const 16) "\00\00\01\00\01\00\00\00")
        (func $reads (loop $l (drop (call $read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8))) (br $l)))
        (func (export "wasi_thread_start") (param i32 i32) (call $reads))
        (func (export "_start")
            (drop (call $spawn (i32.const 0))) (drop (call $spawn (i32.const 0))) (drop (call $spawn (i32.const 0)))
            (call $reads)))"#;
    let (_dir, mut child) = start(text, &[]);
    let mut stdin = child.stdin.take().unwrap();
    // Each byte wakes all of them, and is there for one.
    let feeding = std::thread::spawn(move || {
        for _ in 0..200 {
            let _ = stdin.write_all(b"x");
            std::thread::sleep(Duration::from_millis(1));
        }
        stdin
    });
    let (code, said) = end(child);
    assert_eq!((code, said.contains(STOPPED)), (Some(134), true), "{said}");
    drop(feeding.join());
}

#[test]
fn reading_decoding_and_compiling_count() {
    // Each takes seconds as a whole.
    let body = "(local.set 0 (i32.add (local.get 0) (i32.load (local.get 0))))".repeat(2000);
    let functions = format!("(func (param i32) {body})").repeat(100);
    let text = format!(r#"(module (memory 1) (func (export "_start")) {functions})"#);
    let compiled =
        inn(&["--cache", "off", "--tier", "compiled", "--timeout", "50ms", "-"]).stdin(text.clone()).run();
    compiled.code(134).says(&["deadline exceeded while it was read, decoded and compiled"]);
    // Standard input that never ends.
    let dir = scratch();
    let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
    command.args(["--timeout", "100ms", "-"]).current_dir(dir.path());
    let mut child =
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    let (code, said) = end(child);
    assert_eq!(code, Some(134), "{said}");
    assert!(said.contains("while it was read"), "{said}");
    drop(stdin);
}

#[test]
fn changes_are_not_written_out_after_the_deadline() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_create_directory" (func $make (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "d")
        (func (export "_start") (drop (call $make (i32.const 3) (i32.const 0) (i32.const 1))) (loop $l (br $l))))"#;
    let granted = scratch();
    let granted = format!("{}::/::cow", granted.path().display());
    for changes in ["list", "tar=o.tar", "apply"] {
        let (dir, child) = start(text, &["--dir", &granted, "--cow-changes", changes]);
        let (code, said) = end(child);
        assert_eq!((code, said.contains("the deadline has passed")), (Some(134), true), "{said}");
        assert!(!dir.path().join("o.tar").exists());
    }
}

#[test]
fn a_named_pipe_that_nobody_writes_to_is_named() {
    let dir = scratch();
    let made = Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap();
    assert!(made.success());
    std::fs::write(dir.path().join("m.wat"), "(module (func (export \"_start\")))").unwrap();
    let ran = inn(&["--timeout", "300ms", "--stdin", "file:pipe", "m.wat"]).current_dir(&dir).run();
    ran.code(134)
        .says(&["pipe: deadline exceeded while waiting for a program to open this named pipe", "--stdin"]);
}
