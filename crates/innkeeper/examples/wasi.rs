//! Runs a program of WASI with just the keys it needs, and reads what it wrote.

use innkeeper::wasi::keys::{Capture, Keys, Sink, StdinKey, StdoutKey};
use innkeeper::wasi::p1;
use innkeeper::{Config, Engine, Module, Result};

/// Writes its input to its output, and to its errors whether it has been given a directory.
const PROGRAM: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 100) "no directory\n")
    (func (export "_start")
        (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 4096))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (if (call $prestat (i32.const 3) (i32.const 16)) (then
            (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 13))
            (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))))
        (call $exit (i32.const 3))))"#;

pub(crate) fn main() -> Result<()> {
    let engine = Engine::new(Config::default())?;
    let module = Module::new(&engine, PROGRAM)?;
    let output = Capture::new(1 << 20);
    let keys = Keys::builder()
        .argument("program")
        .variable("LANG", "C")
        .stdin(StdinKey::Bytes(b"what goes in\n".to_vec()))
        .stdout(StdoutKey::Capture(output.clone()))
        .stderr(StdoutKey::Sink(Sink::callback(|bytes| print!("stderr: {}", String::from_utf8_lossy(bytes)))))
        .build();
    let code = p1::run(&engine, &module, keys)?;
    println!("stdout: {}exit code {code}", String::from_utf8_lossy(&output.contents()));
    assert_eq!((code, output.contents().as_slice()), (3, &b"what goes in\n"[..]));
    Ok(())
}
