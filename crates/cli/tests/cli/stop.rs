//! Deadlines, ctrl-C, limits and threads. Case names are those of the sandbox's list.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::{guest, inn, scratch};

/// A guest that stays in one call or loop for ever; what is imported is told by name.
fn forever(import: &str, body: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" {import})
            (memory (export "memory") 1)
            (func (export "_start") {body}))"#
    )
}

/// Every way to wait: for time, for input, for nothing at all, and not to wait.
fn blocked() -> Vec<(&'static str, String)> {
    let poll = r#""poll_oneoff" (func $call (param i32 i32 i32 i32) (result i32))"#;
    let read = r#""fd_read" (func $call (param i32 i32 i32 i32) (result i32))"#;
    let accept = r#""sock_accept" (func $call (param i32 i32 i32) (result i32))"#;
    let yields = r#""sched_yield" (func $call (result i32))"#;
    let sleep = "(i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const -1))
        (drop (call $call (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))";
    vec![
        ("poll_oneoff", forever(poll, sleep)),
        (
            "fd_read",
            forever(
                read,
                "(i32.store (i32.const 4) (i32.const 1)) (drop (call $call (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))",
            ),
        ),
        ("sock_accept", forever(accept, "(drop (call $call (i32.const 4) (i32.const 0) (i32.const 8)))")),
        ("sched_yield", forever(yields, "(loop $l (drop (call $call)) (br $l))")),
        ("loop", forever(yields, "(loop $l (br $l))")),
        (
            "memory.atomic.wait32",
            String::from(
                r#"(module (memory (export "memory") 1 1 shared) (func (export "_start")
                    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"#,
            ),
        ),
    ]
}

/// Standard input of these stays open and empty.
fn blocked_command(flags: &[&str], text: &str) -> (tempfile::TempDir, Command) {
    let dir = scratch();
    std::fs::write(dir.path().join("blocked.wat"), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
    // The listener is the fourth descriptor, after a directory.
    command
        .args(flags)
        .args(["--tmp", "/t", "--listen", "127.0.0.1:0", "blocked.wat"])
        .current_dir(dir.path());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    (dir, command)
}

#[test]
fn l4_p4_whatever_blocks_ends_at_the_deadline() {
    for (name, text) in blocked() {
        for flags in [&["--timeout", "30ms"][..], &["--timeout", "30ms", "--max-cpu", "1h"]] {
            let (_dir, mut command) = blocked_command(flags, &text);
            let child = command.spawn().unwrap();
            let output = wait_with_open_stdin(child);
            assert_eq!(output.0, Some(134), "{name}: {}", output.1);
            assert!(output.1.contains("deadline exceeded"), "{name}: {}", output.1);
        }
    }
}

#[test]
fn l4_processor_time_is_bounded() {
    let (_dir, mut command) = blocked_command(&["--max-cpu", "30ms"], &blocked()[4].1);
    let output = wait_with_open_stdin(command.spawn().unwrap());
    assert_eq!(output.0, Some(134), "{}", output.1);
}

/// Waits for the end, and keeps standard input open until then.
fn wait_with_open_stdin(mut child: std::process::Child) -> (Option<i32>, String) {
    let stdin = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn x3_an_interrupt_ends_what_blocks_and_the_report_is_still_written() {
    for (name, text) in blocked() {
        // It says that it has begun with its first call; the others have begun when they can be interrupted, which is always.
        let (_dir, mut command) = blocked_command(&["--trace=summary", "--trace"], &text);
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (said, first) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| {
                let _ = said.send(line);
            });
        });
        if name == "sched_yield" {
            // Notes on what it was granted come first.
            while !first.recv().unwrap().contains("sched_yield") {}
        }
        // Signals that come before `inn` listens for them end it, too, but not with its own exit code. A second one that it hears ends it without a report.
        let pid = child.id().to_string();
        let mut is_sent = false;
        let code = loop {
            if name != "sched_yield" || !is_sent {
                is_sent = Command::new("kill").args(["-INT", &pid]).status().unwrap().success();
            }
            std::thread::yield_now();
            if let Some(status) = child.try_wait().unwrap() {
                break status.code();
            }
        };
        assert!(code == Some(130) || code.is_none(), "{name}: {code:?}");
        reader.join().unwrap();
        if name == "sched_yield" {
            assert_eq!(code, Some(130));
            assert!(first.iter().any(|line| line.ends_with("  all")), "the summary is missing");
        }
    }
}

#[test]
fn l1_memory_and_handles_and_bytes_written_are_bounded() {
    let grow = r#"(module (memory (export "memory") 1) (func (export "grow") (result i32) (memory.grow (i32.const 32))))"#;
    inn(&["--max-memory", "1MiB", "--invoke", "grow", "-"]).stdin(grow).run().code(0).stdout("-1\n");
    inn(&["--max-memory", "4MiB", "--invoke", "grow", "-"]).stdin(grow).run().code(0).stdout("1\n");
    let many = "x".repeat(100);
    let ran = inn(&["--max-written", "10", "{cat}"]).stdin(many).run();
    assert_eq!(ran.stdout.len(), 10, "{ran:#?}");
    inn(&["--max-handles", "3", "--tmp", "/helloworld", "{hello-c}"]).run().code(2).says(&["the limit is 3"]);
    inn(&["--max-handles", "4", "--tmp", "/helloworld", "{hello-c}"])
        .run()
        .code(1)
        .says(&["No file descriptors available"]);
}

/// The first thread starts another, which writes `n` to the shared memory and wakes the first; then `end` is done.
fn threads(second: &str, first: &str) -> String {
    format!(
        r#"(module
            (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "env" "memory" (memory 1 1 shared))
            (export "memory" (memory 0))
            (data (i32.const 100) "\10\00\00\00\03\00\00\00")
            (data (i32.const 16) "hi\n")
            (func $say (drop (call $write (i32.const 1) (i32.const 100) (i32.const 1) (i32.const 8))))
            (func (export "wasi_thread_start") (param $id i32) (param $argument i32)
                (i32.atomic.store (i32.const 0) (i32.add (local.get $id) (local.get $argument)))
                (drop (memory.atomic.notify (i32.const 0) (i32.const 1)))
                {second})
            (func $wait
                (block $set (loop $again
                    (br_if $set (i32.atomic.load (i32.const 0)))
                    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
                    (br $again))))
            (func (export "_start")
                (if (i32.le_s (call $spawn (i32.const 40)) (i32.const 0)) (then unreachable))
                {first}))"#
    )
}

#[test]
fn threads_share_memory_and_end_together() {
    let forever = "(drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const -1)))";
    let busy = "(loop $l (br $l))";
    // What a thread computes reaches the first; the first one's return ends a thread that waits or is busy.
    for second in ["", forever, busy] {
        let first =
            "(call $wait) (call $say) (call $exit (i32.sub (i32.atomic.load (i32.const 0)) (i32.const 1)))";
        inn(&["-"]).stdin(threads(second, first)).run().code(40).stdout("hi\n").stderr("");
        inn(&["-"]).stdin(threads(second, "(call $wait)")).run().code(0).stderr("");
    }
    // A thread's exit or trap ends the first, whatever that does.
    for first in [forever, busy] {
        inn(&["-"]).stdin(threads("(call $exit (i32.const 7))", first)).run().code(7).stderr("");
        inn(&["-"]).stdin(threads("unreachable", first)).run().code(134).says(&["wasm trap: unreachable"]);
        let ran = inn(&["--timeout", "30ms", "-"]).stdin(threads(busy, first)).run();
        ran.code(134).says(&["deadline exceeded"]);
    }
    let none = inn(&["--max-threads", "0", "-"]).stdin(threads("", "")).run();
    none.code(134).says(&["unreachable"]);
    let dir = scratch();
    let ran = inn(&["--record", "r", "-"]).current_dir(&dir).stdin(threads("", "")).run();
    ran.code(1).says(&["no order that could be replayed"]);
}

#[test]
fn a_program_that_waits_for_input_is_the_same_with_and_without_a_deadline() {
    assert!(guest("cat").exists());
    inn(&["--timeout", "1h", "{cat}"]).stdin("through\n").run().code(0).stdout("through\n").stderr("");
}

/// As natively: whoever ignores the error is ended, quietly, unless `inn` was started to ignore the signal.
#[test]
fn a_guest_that_writes_on_though_nobody_reads_is_ended() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\02\00\00\00y\n")
        (data (i32.const 16) "y\n")
        (func (export "_start") (local $left i32)
            (local.set $left (i32.const 3))
            (loop $l
                (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))
                    (then
                        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                        (if (i32.eqz (local.get $left)) (then (call $exit (i32.const 7))))))
                (br $l)))
        (func (export "heeds")
            (loop $l (br_if $l (i32.eqz (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
            (call $exit (i32.const 8))))"#;
    let dir = scratch();
    std::fs::write(dir.path().join("yes.wat"), text).unwrap();
    let inn = env!("CARGO_BIN_EXE_inn");
    for (before, flags, code) in [
        ("", "yes.wat", "141"),
        ("", "--tier interpreter yes.wat", "141"),
        // One that heeds the error ends as it wants.
        ("", "--invoke heeds yes.wat", "8"),
        ("trap '' PIPE;", "yes.wat", "7"),
    ] {
        let script = format!("{before} {{ {inn} --cache off {flags}; echo $? > code; }} | head -1");
        let ran = std::process::Command::new("sh").args(["-c", &script]).current_dir(&dir).output().unwrap();
        let told = std::fs::read_to_string(dir.path().join("code")).unwrap();
        assert_eq!(told.trim(), code, "{script}: {ran:?}");
        assert_eq!((&*ran.stdout, &*ran.stderr), (&b"y\n"[..], &b""[..]), "{script}");
    }
}
