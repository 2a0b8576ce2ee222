//! Functions of WASI, each in a loop with arguments that mean something, so that whatever it makes the host hold adds up.

use innkeeper::BudgetKind;
use innkeeper::wasi::p1::Version;
use innkeeper::wasi::p1::functions::{Function, ParameterType, functions};

use crate::{inn, limited};

/// Kinds of the budget that the guests here reach.
pub(crate) const KINDS: &[BudgetKind] = &[
    BudgetKind::Descriptor,
    BudgetKind::Listing,
    BudgetKind::Tree,
    BudgetKind::Buffer,
    BudgetKind::Instance,
];

/// How often each function is called.
const CALLS: u32 = 20_000;

/// A guest that opens a file of its directory (descriptor 4) and then calls a function again and again: with other names, offsets and numbers each time.
fn looping(function: &Function) -> String {
    let parameters: String = function
        .parameters
        .iter()
        .map(|(_, ty)| match ty {
            ParameterType::I32 => " i32",
            ParameterType::I64 => " i64",
        })
        .collect();
    let arguments: String =
        function.parameters.iter().map(|(name, ty)| argument(function.name, name, *ty)).collect();
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "{}" (func $call (param{parameters}) (result i32)))
            (memory (export "memory") 2)
            (data (i32.const 1024) "a0000000") (data (i32.const 2048) "b0000000") (data (i32.const 3072) "file")
            (data (i32.const 64) "\00\20\00\00\00\10\00\00")
            (global $i (mut i32) (i32.const 0))
            (func $name (param $at i32) (param $n i32)
                (loop $digit
                    (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
                    (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
                    (local.set $at (i32.add (local.get $at) (i32.const 1)))
                    (br_if $digit (local.get $n))))
            (func (export "_start")
                (drop (call $open (i32.const 3) (i32.const 0) (i32.const 3072) (i32.const 4) (i32.const 1)
                    (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 512)))
                (loop $again
                    (call $name (i32.const 1025) (global.get $i))
                    (call $name (i32.const 2049) (global.get $i))
                    (drop (call $call {arguments}))
                    (global.set $i (i32.add (global.get $i) (i32.const 1)))
                    (br_if $again (i32.lt_u (global.get $i) (i32.const {CALLS}))))))"#,
        function.name
    )
}

/// What is passed for a parameter, by its name.
fn argument(function: &str, name: &str, ty: ParameterType) -> String {
    let on_directory = function.starts_with("path_") || function == "fd_readdir";
    let value = match name {
        "fd" | "old_fd" | "new_fd" if on_directory => "(i32.const 3)",
        "fd" if function == "fd_close" || function.starts_with("sock_") => "(i32.const 5)",
        "fd" | "to" => "(i32.const 4)",
        "path" | "old_path" => "(i32.const 1024)",
        "new_path" => "(i32.const 2048)",
        "path_len" | "old_path_len" | "new_path_len" => "(i32.const 8)",
        "iovs" | "ri_data" | "si_data" => "(i32.const 64)",
        "iovs_len" | "ri_data_len" | "si_data_len" | "count" | "oflags" => "(i32.const 1)",
        "buf" => "(i32.const 16384)",
        "buf_len" => "(i32.const 32768)",
        "subscriptions" => "(i32.const 4096)",
        "rights_base" | "rights_inheriting" => "(i64.const -1)",
        "offset" | "size" if ty == ParameterType::I64 => {
            "(i64.mul (i64.const 16384) (i64.extend_i32_u (global.get $i)))"
        }
        "length" => "(i64.const 16384)",
        _ => match ty {
            ParameterType::I32 if name.contains("flags") || name == "whence" || name == "id" => {
                "(i32.const 0)"
            }
            ParameterType::I32 => "(i32.const 98304)",
            ParameterType::I64 => "(i64.const 0)",
        },
    };
    format!(" {value}")
}

#[test]
fn y7_what_every_function_makes_the_host_hold_is_bounded() {
    for function in functions(Version::Preview1) {
        // They end the guest.
        if matches!(function.name, "proc_exit" | "proc_raise") {
            continue;
        }
        let text = looping(function);
        // Whoever watches holds no more for it.
        let watched = ["--trace", "--trace-file", "/dev/null", "--record", "/dev/null"];
        for observers in [&[][..], &watched] {
            let ran = limited(&[&["--tmp", "/t::4GiB"], observers].concat(), &text);
            ran.is_bounded(function.name);
            assert_eq!(ran.code, Some(0), "{}: {ran:#?}", function.name);
        }
    }
}

/// What one call gives or takes is as large as the guest's memory: it is neither recorded nor replayed by way of a copy.
#[test]
fn y7_a_call_is_recorded_and_replayed_without_a_copy_of_what_it_moves() {
    const MEMORY_BYTES: u64 = 200 << 20;
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 3200)
        (func (export "_start")
            (if (call $random (i32.const 65536) (i32.const 209000000)) (then unreachable))
            (i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 209000000))
            (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)) (then unreachable))))"#;
    std::fs::write(path("m.wat"), text).expect("module");
    for args in [
        &["--max-memory", "210MiB", "--record", &path("r"), &path("m.wat")][..],
        // Here the command itself counts, too.
        &["replay", "--max-memory", "240MiB", &path("r"), &path("m.wat")],
    ] {
        let mut command = std::process::Command::new("sh");
        command.args(["-c", "exec \"$@\" > /dev/null", "sh", env!("CARGO_BIN_EXE_inn")]).args(args);
        command.env("XDG_CACHE_HOME", folder.path()).env("XDG_STATE_HOME", folder.path());
        let ran = crate::run(command, "");
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:#?}");
        assert!(ran.held_bytes <= MEMORY_BYTES + crate::CONSTANT_BYTES, "{args:?}: {ran:#?}");
    }
}

/// The same of a component: what a function gives it is there once more while it is given, in a run as in its replay, and no third time.
#[test]
fn y7_a_call_of_a_component_is_recorded_and_replayed_without_a_copy_of_what_it_moves() {
    const LIMIT_BYTES: u64 = 300 << 20;
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let text = r#"(component
        (import "wasi:random/random@0.2.0" (instance $random
            (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
        (core module $m0 (memory (export "memory") 2100)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
        (core instance $m0 (instantiate $m0))
        (core func $random (canon lower (func $random "get-random-bytes")
            (memory (core memory $m0 "memory")) (realloc (core func $m0 "realloc"))))
        (core module $m (import "" "random" (func $random (param i64 i32)))
            (func (export "run") (result i32) (call $random (i64.const 134217728) (i32.const 8)) (i32.const 0)))
        (core instance $i (instantiate $m (with "" (instance (export "random" (func $random))))))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $program (export "run" (func $run)))
        (export "wasi:cli/run@0.2.3" (instance $program)))"#;
    std::fs::write(path("m.wat"), text).expect("component");
    for args in [
        &["--max-memory", "300MiB", "--record", &path("r"), &path("m.wat")][..],
        // Here the command itself counts, too.
        &["replay", "--max-memory", "340MiB", &path("r"), &path("m.wat")],
    ] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_inn"));
        command.args(args).env("XDG_CACHE_HOME", folder.path()).env("XDG_STATE_HOME", folder.path());
        let ran = crate::run(command, "");
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:#?}");
        assert!(ran.held_bytes <= LIMIT_BYTES + crate::CONSTANT_BYTES, "{args:?}: {ran:#?}");
    }
}

/// What a function gives is charged until the guest has it: the guest's memory may grow for it meanwhile.
#[test]
fn y7_what_a_function_gives_a_component_counts_while_its_memory_grows_for_it() {
    let of = |interface: &str, function: &str| {
        format!(
            r#"(component
        (import "wasi:random/{interface}@0.2.0" (instance $random
            (export "{function}" (func (param "len" u64) (result (list u8))))))
        (core module $m0 (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (if (i32.eq (memory.grow (i32.const 3200)) (i32.const -1)) (then unreachable))
                (i32.const 65536)))
        (core instance $m0 (instantiate $m0))
        (core func $random (canon lower (func $random "{function}")
            (memory (core memory $m0 "memory")) (realloc (core func $m0 "realloc"))))
        (core module $m (import "" "random" (func $random (param i64 i32)))
            (func (export "run") (result i32) (call $random (i64.const 209715200) (i32.const 8)) (i32.const 0)))
        (core instance $i (instantiate $m (with "" (instance (export "random" (func $random))))))
        (func $run (result (result)) (canon lift (core func $i "run")))
        (instance $program (export "run" (func $run)))
        (export "wasi:cli/run@0.2.3" (instance $program)))"#
        )
    };
    for (interface, function) in [("random", "get-random-bytes"), ("insecure", "get-insecure-random-bytes")] {
        let ran = inn(&["--max-memory", "256MiB"], &of(interface, function));
        assert!(ran.held_bytes <= (256 << 20) + crate::CONSTANT_BYTES, "{function}: {ran:#?}");
        assert_eq!(ran.code, Some(134), "{function}: {ran:#?}");
    }
}

/// As many descriptors as there may be, each with a long name, are more than the limit.
#[test]
fn y7_descriptors_are_bounded_by_what_they_cost() {
    let text = guest(
        r#"(import "wasi_snapshot_preview1" "path_open" (func $call (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"#,
        "(call $call (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 2) (i64.const 24576) (i64.const 0)
            (i32.const 0) (i32.const 512))",
    );
    // Not memory.
    let ran = limited(&["--explain", "--max-handles", "100000", "--tmp", "/t"], &text);
    ran.is_bounded("descriptors");
    assert_eq!(ran.code, Some(48), "{ran:#?}");
    assert!(ran.stderr.contains("more for descriptors were refused"), "{ran:#?}");
}

/// The system's allocator had a heap for each of them, which kept what it had once given.
#[test]
fn y7_what_a_thread_gives_back_is_there_for_others() {
    let ran = limited(&["--tmp", "/a::1GiB"], include_str!("give_back.wat"));
    ran.is_bounded("twelve threads");
    assert_eq!(ran.code, Some(0), "{ran:#?}");
}

/// A listing that was begun holds names, of each descriptor its own: in every kind of directory, also of names that are gone by then.
#[test]
fn y7_listings_that_were_begun_are_bounded_by_what_they_cost() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_readdir" (func $readdir (param i32 i32 i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1) (data (i32.const 100) ".")
        (func $each_name (param $is_made i32) (local $n i32)
            (loop $next
                (i32.store8 (i32.const 1024) (i32.add (i32.const 65) (local.get $n)))
                (if (local.get $is_made)
                    (then (drop (call $symlink (i32.const 100) (i32.const 1) (i32.const 3) (i32.const 1024) (i32.const 255))))
                    (else (drop (call $unlink (i32.const 3) (i32.const 1024) (i32.const 255)))))
                (local.set $n (i32.add (local.get $n) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $n) (i32.const 32)))))
        (func (export "_start") (local $errno i32)
            (memory.fill (i32.const 1024) (i32.const 120) (i32.const 255))
            (loop $again
                (call $each_name (i32.const 1))
                (local.set $errno (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 2)
                    (i64.const 0x4002) (i64.const 0x4002) (i32.const 0) (i32.const 512)))
                (if (local.get $errno) (then (call $exit (local.get $errno))))
                (local.set $errno (call $readdir (i32.load (i32.const 512)) (i32.const 2048) (i32.const 100) (i64.const 2) (i32.const 520)))
                (if (local.get $errno) (then (call $exit (local.get $errno))))
                (call $each_name (i32.const 0))
                (br $again))))"#;
    let (full, empty) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
    for number in 0..130 {
        std::fs::write(full.path().join(format!("{number:0250}")), "").expect("a file with a long name");
    }
    let grant = |dir: &tempfile::TempDir, access: &str| format!("{}::/d::{access}", dir.path().display());
    for flags in [
        &["--dir", &grant(&full, "ro")][..],
        &["--dir", &grant(&full, "ro"), "--deterministic"],
        &["--dir", &grant(&full, "cow")],
        &["--dir", &grant(&empty, "cow")],
        &["--dir", &grant(&full, "rw")],
        &["--tmp", "/t"],
    ] {
        let ran = limited(&[&["--explain", "--max-handles", "8000"], flags].concat(), text);
        ran.is_bounded(&format!("listings: {flags:?}"));
        ran.names_limit("listings");
        // Not memory.
        assert_eq!(ran.code, Some(48), "{flags:?}: {ran:#?}");
    }
}

/// Subscriptions of one wait are kept while it lasts.
#[test]
fn y7_subscriptions_are_bounded_by_what_they_cost() {
    let text = guest(
        r#"(import "wasi_snapshot_preview1" "poll_oneoff" (func $call (param i32 i32 i32 i32) (result i32)))"#,
        "(call $call (i32.const 1024) (i32.const 900000) (i32.const 16000) (i32.const 512))",
    )
    .replace("(memory (export \"memory\") 2)", "(memory (export \"memory\") 230)");
    let ran = limited(&["--explain"], &text);
    ran.is_bounded("subscriptions");
    assert!(ran.stderr.contains("more for buffers were refused"), "{ran:#?}");
}

/// Threads are stores with instances, stacks and a thread of the host each, on one budget.
#[test]
fn y7_threads_share_one_budget() {
    let text = r#"(module
        (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
        (import "env" "memory" (memory 1 1024 shared))
        (export "memory" (memory 0))
        (table 2000 funcref)
        (elem declare func $f) (func $f)
        (func (export "wasi_thread_start") (param i32 i32)
            (drop (memory.grow (i32.const 16)))
            (drop (table.grow 0 (ref.func $f) (i32.const 100000)))
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 300000000))))
        (func (export "_start") (local $i i32)
            (loop $again
                (drop (call $spawn (i32.const 0)))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $i) (i32.const 200))))
            (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 200000000)))))"#;
    let ran = limited(&["--explain"], text);
    ran.is_bounded("threads");
    ran.names_limit("threads");
}

/// A guest that does something until it fails, and exits with the error's number.
fn guest(import: &str, call: &str) -> String {
    format!(
        r#"(module {import}
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 2) (data (i32.const 100) ".")
            (func (export "_start") (local $errno i32)
                (loop $again
                    (local.set $errno {call})
                    (br_if $again (i32.eqz (local.get $errno))))
                (call $exit (local.get $errno))))"#
    )
}
