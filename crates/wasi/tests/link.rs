//! The binding into the engine's linker: every import of both versions links, and a guest runs through it.

use std::fmt::Write as _;

use innkeeper_engine::{Config, Engine, Linker, Module, Store};
use innkeeper_interp::Interpreter;
use innkeeper_wasi::keys::{Capture, Keys, StdoutKey};
use innkeeper_wasi::p1::functions::{ParameterType, Returns};
use innkeeper_wasi::p1::{Context, Exit, Version, add_to_linker, functions};

fn run(text: &str, keys: &Keys, export: &str) -> Result<i32, innkeeper_engine::Error> {
    let engine = Engine::with_tier(Config::default(), Interpreter);
    let mut linker = Linker::<Context>::new(&engine);
    add_to_linker(&mut linker, |context| context).unwrap();
    let module = Module::new(&engine, wat::parse_str(text).expect("text"))?;
    let mut store = Store::new(&engine, Context::new(keys).expect("keys open"))?;
    let instance = linker.instantiate(&mut store, &module)?;
    instance.get_typed_func::<(), i32>(&mut store, export)?.call(&mut store, ())
}

#[test]
fn every_function_of_both_versions_links() {
    let mut text = String::from("(module\n");
    for version in Version::ALL {
        for function in functions(version) {
            write!(text, "(import {:?} {:?} (func", version.module_name(), function.name).expect("text");
            for (_, kind) in function.parameters {
                text.push_str(match kind {
                    ParameterType::I32 => " (param i32)",
                    ParameterType::I64 => " (param i64)",
                });
            }
            text.push_str(if function.returns == Returns::Errno { " (result i32)))\n" } else { "))\n" });
        }
    }
    text.push_str("(func (export \"run\") (result i32) i32.const 7))");
    assert_eq!(run(&text, &Keys::builder().build(), "run").expect("runs"), 7);
}

#[test]
fn a_guest_writes_and_exits() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_unstable" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 8) "\20\00\00\00\05\00\00\00")
        (data (i32.const 32) "hello")
        (func (export "write") (result i32)
            (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))
        (func (export "fault") (result i32)
            (call $write (i32.const 1) (i32.const -8) (i32.const 1) (i32.const 0)))
        (func (export "exit") (result i32) (call $exit (i32.const 42)) (i32.const 0)))"#;
    let out = Capture::new(100);
    let keys = Keys::builder().stdout(StdoutKey::Capture(out.clone())).build();
    assert_eq!(run(text, &keys, "write").expect("runs"), 0);
    assert_eq!(out.contents(), b"hello");
    assert_eq!(run(text, &keys, "fault").expect("runs"), 21);
    let error = run(text, &keys, "exit").expect_err("it exits");
    assert_eq!(error.downcast_ref::<Exit>(), Some(&Exit(42)));
}

#[test]
fn a_guest_without_a_memory_gets_faults() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
        (func (export "random") (result i32) (call $random (i32.const 0) (i32.const 1)))
        (func (export "yield") (result i32) (call $yield)))"#;
    assert_eq!(run(text, &Keys::builder().build(), "random").expect("runs"), 21);
    assert_eq!(run(text, &Keys::builder().build(), "yield").expect("runs"), 0);
}

/// More instances than are remembered, in one store and in another that begins with the same context, some of them without a memory.
#[test]
fn calls_work_on_the_memory_of_the_instance_that_calls() {
    const INSTANCES: u8 = 20;
    let engine = Engine::with_tier(Config::default(), Interpreter);
    let mut linker = Linker::<Context>::new(&engine);
    add_to_linker(&mut linker, |context| context).unwrap();
    let out = Capture::new(1 << 16);
    let context =
        Context::new(&Keys::builder().stdout(StdoutKey::Capture(out.clone())).build()).expect("keys open");
    let mut stores = [(); 2].map(|()| Store::new(&engine, context.clone()).expect("store"));
    let has_memory = |i: u8| i % 7 != 3;
    let letter = |i: u8| char::from(b'a' + i);
    let funcs = stores.each_mut().map(|store| {
        (0..INSTANCES)
            .map(|i| {
                let export = if has_memory(i) { r#"(export "memory")"# } else { "" };
                let text = format!(
                    r#"(module
                        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
                        (memory {export} 1)
                        (data (i32.const 8) "\20\00\00\00\01\00\00\00")
                        (data (i32.const 32) "{}")
                        (func (export "run") (result i32)
                            (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0))))"#,
                    letter(i)
                );
                let module = Module::new(&engine, wat::parse_str(text).expect("text")).expect("module");
                let instance = linker.instantiate(&mut *store, &module).expect("instance");
                instance.get_typed_func::<(), i32>(&mut *store, "run").expect("run")
            })
            .collect::<Vec<_>>()
    });
    let mut expected = String::new();
    for step in [1, 3, 19, 7, 0] {
        for turn in 0..u8::MAX {
            let i = (u32::from(turn) * step % u32::from(INSTANCES)) as u8;
            let which = usize::from(turn % 3 == 0);
            let errno = funcs[which][usize::from(i)].call(&mut stores[which], ()).expect("returns");
            assert_eq!(errno, if has_memory(i) { 0 } else { 21 });
            expected.extend(has_memory(i).then(|| letter(i)));
        }
    }
    assert_eq!(String::from_utf8_lossy(&out.contents()), expected);
}
