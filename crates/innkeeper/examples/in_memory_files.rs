//! Gives a program a file system that is nowhere but in memory, with files in it, and reads back what it has written there.

use innkeeper::wasi::keys::{Capture, DirKey, Keys, StdoutKey};
use innkeeper::wasi::p1;
use innkeeper::{Config, Engine, Error, Module, Result};

/// Opens `greeting.txt` in its first directory and writes it to its output, and to `copy.txt`.
const PROGRAM: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 100) "greeting.txt") (data (i32.const 112) "copy.txt")
    (func (export "_start") (local $errno i32)
        (local.tee $errno (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 12) (i32.const 0)
            (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 16)))
        (if (then (call $exit (local.get $errno))))
        (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 4096))
        (drop (call $read (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 4)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (drop (call $open (i32.const 3) (i32.const 0) (i32.const 112) (i32.const 8) (i32.const 1)
            (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 16)))
        (drop (call $write (i32.load (i32.const 16)) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

pub(crate) fn main() -> Result<()> {
    let engine = Engine::new(Config::default())?;
    let module = Module::new(&engine, PROGRAM)?;
    let output = Capture::new(1 << 20);
    // `with_tar` unpacks an archive.
    let files = DirKey::temporary("/", 1 << 20)
        .with_file("greeting.txt", "hello from memory\n")
        .with_files([("etc/one", "1"), ("etc/two", "2")]);
    let keys = Keys::builder().directory(files).stdout(StdoutKey::Capture(output.clone())).build();
    // The files are the context's, and gone with it.
    let context = p1::Context::new(&keys)?;
    assert_eq!(p1::run_in(&engine, &module, &context)?, 0);
    print!("{}", String::from_utf8_lossy(&output.contents()));
    assert_eq!(output.contents(), b"hello from memory\n");
    let root = context.host().kept_directory("/").ok_or_else(|| Error::msg("it was granted above"))?;
    assert_eq!(root.files()?, [&b"copy.txt"[..], b"etc/one", b"etc/two", b"greeting.txt"]);
    assert_eq!(root.read_file("copy.txt", 1 << 20)?, output.contents());
    Ok(())
}
