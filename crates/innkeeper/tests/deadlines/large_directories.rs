//! Every function of WASI that takes a path or lists a directory, in directories of very many names: of each kind that there is.
//!
//! The directory on the host is made once, of links, which are cheap. What names a copy-on-write directory has is read by the first function that needs them, so that
//! each of them is tried with a directory that nobody has looked into.

use std::path::Path;

use innkeeper::wasi::keys::{Access, DirKey, DirectoryOrder, Keys};
use innkeeper::wasi::p1::functions::{Function, ParameterType, functions};
use innkeeper::wasi::p1::{Context, Version};
use innkeeper::{Config, Module, Tiers};

use super::functions::{EndedBy, ends_with};

/// Names in the directory on the host: reading them takes some tenths of a second.
const NAMES: usize = 60_000;

/// Names that a guest gives to a directory in memory: going past them does.
const NAMES_IN_MEMORY: usize = 300_000;

/// Some file systems have no more names for a file.
const NAMES_OF_A_FILE: usize = 20_000;

/// A directory on the host with so many names, in memory if the system has such.
fn large_directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    for first in (0..NAMES).step_by(NAMES_OF_A_FILE) {
        let file = dir.path().join(format!("{first}"));
        std::fs::write(&file, "").unwrap();
        for name in first + 1..NAMES.min(first + NAMES_OF_A_FILE) {
            std::fs::hard_link(&file, dir.path().join(format!("{name}"))).unwrap();
        }
    }
    dir
}

/// Functions that take a path, or list a directory.
fn functions_of_directories() -> impl Iterator<Item = &'static Function> {
    functions(Version::Preview1).iter().filter(|function| {
        let takes_path = function.parameters.iter().any(|(name, _)| name.ends_with("path"));
        takes_path || function.name == "fd_readdir"
    })
}

/// What is passed for a parameter, by its name: at 0 is a name that is there, at 64 one that is not.
fn argument((name, ty): (&str, ParameterType)) -> &'static str {
    match (name, ty) {
        ("fd" | "old_fd" | "new_fd" | "dirfd", _) => "(i32.const 3)",
        ("new_path", _) => "(i32.const 64)",
        ("path" | "old_path", _) => "(i32.const 0)",
        ("path_len" | "old_path_len" | "new_path_len", _) => "(i32.const 1)",
        ("buf", _) => "(i32.const 4096)",
        ("buf_len", _) => "(i32.const 32768)",
        // Further than there are entries.
        ("cookie", _) => "(i64.const 0x7fffffff)",
        (_, ParameterType::I32) if name.contains("flags") => "(i32.const 0)",
        (_, ParameterType::I32) => "(i32.const 128)",
        (_, ParameterType::I64) => "(i64.const 0)",
    }
}

/// A guest that does `before`, and from then on calls the function over and over.
fn module(function: &Function, before: &str) -> Module {
    let types: String = function
        .parameters
        .iter()
        .map(|(_, ty)| match ty {
            ParameterType::I32 => " i32",
            ParameterType::I64 => " i64",
        })
        .collect();
    let arguments: String = function.parameters.iter().map(|parameter| argument(*parameter)).collect();
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "{}" (func $call (param{types}) (result i32)))
            (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
            (import "host" "begin" (func $begin))
            (memory (export "memory") 1)
            (data (i32.const 0) "1") (data (i32.const 64) "x") (data (i32.const 256) "00000000")
            (func $make_names (local $n i32) (local $at i32) (local $rest i32)
                (loop $next
                    (local.set $at (i32.const 263))
                    (local.set $rest (local.get $n))
                    (loop $digit
                        (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $rest) (i32.const 10))))
                        (local.set $rest (i32.div_u (local.get $rest) (i32.const 10)))
                        (local.set $at (i32.sub (local.get $at) (i32.const 1)))
                        (br_if $digit (local.get $rest)))
                    (if (call $symlink (i32.const 64) (i32.const 1) (i32.const 3) (i32.const 256) (i32.const 8)) (then unreachable))
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if $next (i32.lt_u (local.get $n) (i32.const {NAMES_IN_MEMORY})))))
            (func (export "run") {before} (call $begin) (loop $again (drop (call $call {arguments})) (br $again))))"#,
        function.name
    );
    let engine = innkeeper::engine_with(Config::default(), Tiers::Interpreter);
    Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

fn try_function(function: &Function, before: &str, keys: &Keys, case: &str) {
    let what = format!("{case}: {}", function.name);
    ends_with(&what, &module(function, before), (keys, EndedBy::Stopper), |host, handles| {
        (Context::from_parts(host, handles), ())
    });
}

#[test]
fn functions_in_directories_of_very_many_names_end_at_the_deadline() {
    let directory = large_directory();
    for access in [Access::CopyOnWrite, Access::ReadOnly, Access::ReadWrite] {
        for order in [DirectoryOrder::Host, DirectoryOrder::Sorted] {
            let key = DirKey::new(directory.path(), "/", access);
            let keys = Keys::builder().directory(key).directory_order(order).build();
            for function in functions_of_directories() {
                // Only a listing has an order.
                let is_tried = order == DirectoryOrder::Host || function.name == "fd_readdir";
                if is_tried {
                    try_function(function, "", &keys, &format!("{access:?} {order:?}"));
                }
            }
        }
    }
    assert!(functions_of_directories().count() > 8);
}

#[test]
fn functions_in_a_directory_in_memory_of_very_many_names_end_at_the_deadline() {
    let key = DirKey::new("", "/", Access::Temporary { limit_bytes: 1 << 30 });
    let keys = Keys::builder().directory(key).build();
    let of_names = ["fd_readdir", "path_open"];
    for function in functions_of_directories().filter(|function| of_names.contains(&function.name)) {
        try_function(function, "(call $make_names)", &keys, "in memory");
    }
}
