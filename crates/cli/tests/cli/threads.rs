//! Threads of guests and stacks of the host, where there is little left of either: Y2 and Y8 of the sandbox's list.

use std::process::{Command, Output, Stdio};

use crate::{Ran, inn, scratch};

/// Imports, a shared memory, and whatever the test wants.
fn module(rest: &str) -> String {
    format!(
        r#"(module
            (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "env" "memory" (memory 1 1 shared))
            (export "memory" (memory 0))
            (func $wait (param $address i32)
                (block $set (loop $again
                    (br_if $set (i32.atomic.load (local.get $address)))
                    (drop (memory.atomic.wait32 (local.get $address) (i32.const 0) (i64.const -1)))
                    (br $again))))
            (func $set (param $address i32) (param $value i32)
                (i32.atomic.store (local.get $address) (local.get $value))
                (drop (memory.atomic.notify (local.get $address) (i32.const -1))))
            {rest})"#
    )
}

/// `inn` with these arguments, within limits that a shell sets.
fn within(limits: &str, args: &[&str], text: &str) -> Ran {
    let dir = scratch();
    let file = dir.path().join("guest.wat");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("sh");
    let script = format!("{limits}; exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_inn"), "--cache", "off"]).args(args).arg(&file);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: status.code(), stdout: text(&stdout), stderr: text(&stderr) }
}

#[test]
fn y2_start_functions_that_start_threads_without_end_are_an_error() {
    let text = module(
        r#"(func $start (drop (call $spawn (i32.const 0))))
        (start $start)
        (func (export "wasi_thread_start") (param i32 i32))
        (func (export "_start"))"#,
    );
    for tier in ["interpreter", "compiled", "auto"] {
        for threads in ["1000", "100000"] {
            let ran = inn(&["--tier", tier, "--max-threads", threads, "-"]).stdin(text.as_str()).run();
            ran.code(1).says(&["start function starts a thread", "64 deep"]);
        }
        // With fewer, the guest is told that there are no more, and does not mind.
        inn(&["--tier", tier, "--max-threads", "10", "-"]).stdin(text.as_str()).run().code(0).stderr("");
    }
}

/// The spawner's stack may be nearly used up; the thread's is its own.
#[test]
fn y2_threads_are_started_from_the_end_of_a_stack() {
    let text = module(
        r#"(func $down (param $calls i32)
            (if (local.get $calls)
                (then (call $down (i32.sub (local.get $calls) (i32.const 1))))
                (else (drop (call $spawn (i32.const 0))))))
        (func $first (result i32) (i32.eqz (i32.atomic.rmw.add (i32.const 0) (i32.const 1))))
        (func $start (if (call $first) (then (call $down (i32.const 20000)))))
        (start $start)
        (func (export "wasi_thread_start") (param i32 i32) (call $set (i32.const 4) (i32.const 1)))
        (func (export "_start") (call $down (i32.const 30000)) (call $wait (i32.const 4)))"#,
    );
    for tier in ["interpreter", "compiled", "auto"] {
        inn(&["--tier", tier, "-"]).stdin(text.as_str()).run().code(0).stderr("");
    }
}

/// What is done with a thread's number after it was started is done, however long its start function takes: that is not on the spawner's stack.
#[test]
fn y2_a_threads_start_function_runs_on_the_thread() {
    let text = module(
        r#"(func $start (if (i32.atomic.rmw.add (i32.const 0) (i32.const 1)) (then (call $wait (i32.const 4)))))
        (start $start)
        (func (export "wasi_thread_start") (param $id i32) (param i32)
            (if (i32.ne (local.get $id) (i32.atomic.load (i32.const 4))) (then unreachable))
            (call $exit (i32.const 7)))
        (func (export "_start")
            (call $set (i32.const 4) (call $spawn (i32.const 0)))
            (call $wait (i32.const 8)))"#,
    );
    inn(&["--timeout", "60s", "-"]).stdin(text).run().code(7).stderr("");
}

/// A thread that cannot be instantiated ends the guest, with the reason.
#[test]
fn y2_a_start_function_that_traps_on_a_thread_ends_the_guest() {
    let text = module(
        r#"(func $start (if (i32.atomic.rmw.add (i32.const 0) (i32.const 1)) (then unreachable)))
        (start $start)
        (func (export "wasi_thread_start") (param i32 i32))
        (func (export "_start") (drop (call $spawn (i32.const 0))) (call $wait (i32.const 8)))"#,
    );
    inn(&["--timeout", "60s", "-"]).stdin(text).run().code(134).says(&["wasm trap: unreachable"]);
}

#[test]
fn y2_a_small_stack_of_the_first_thread_is_no_danger() {
    let deep = r#"(module (func $again (param i32) (result i32) (i32.add (i32.const 1) (call $again (local.get 0))))
        (func (export "_start") (drop (call $again (i32.const 1)))))"#;
    for kibibytes in [64, 100, 256, 1024] {
        let limit = format!("ulimit -s {kibibytes}");
        for tier in ["interpreter", "compiled", "auto"] {
            within(&limit, &["--tier", tier], r#"(module (func (export "_start")))"#).code(0).stderr("");
            within(&limit, &["--tier", tier], deep).code(134).says(&["call stack exhausted"]);
        }
    }
}

/// Starts threads that wait for ever, until it is told that there are no more.
#[test]
fn y8_a_thread_that_the_system_refuses_is_an_error_that_the_guest_can_handle() {
    let text = module(
        r#"(func (export "wasi_thread_start") (param i32 i32) (call $wait (i32.const 8)))
        (func (export "_start") (local $left i32)
            (local.set $left (i32.const 5000))
            (loop $again
                (if (i32.lt_s (call $spawn (i32.const 0)) (i32.const 0)) (then (call $exit (i32.const 7))))
                (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (call $exit (i32.const 8)))"#,
    );
    for kibibytes in [1_000_000, 1_500_000, 1_500_100, 1_501_000] {
        let limit = format!("ulimit -v {kibibytes}");
        let ran = within(&limit, &["--max-threads", "100000", "--tier", "interpreter"], &text);
        ran.code(7).stderr("");
    }
}

/// There can only be so many mappings in a process (65,530 as a rule), of which each thread takes several, some of them before it runs its first line.
#[test]
fn y8_threads_until_the_system_has_no_mappings_left_are_an_error_that_the_guest_can_handle() {
    let text = module(
        r#"(func (export "wasi_thread_start") (param i32 i32) (call $wait (i32.const 8)))
        (func (export "_start")
            (loop $again (br_if $again (i32.gt_s (call $spawn (i32.const 0)) (i32.const 0))))
            (call $exit (i32.const 7)))"#,
    );
    let flags =
        ["--max-threads", "20000", "--max-memory", "60GiB", "--tier", "interpreter", "--cache", "off", "-"];
    inn(&flags).stdin(text).run().code(7).stderr("");
}
