//! What bounds calls that wait: what a guest may write in all, however its calls end, and what many subscriptions cost.

use std::fs::File;
use std::io::{Read, Write};
use std::pin::pin;
use std::sync::PoisonError;

use innkeeper::wasi::host::Host;
use innkeeper::wasi::keys::{Access, DirKey, FileMode, Keys, StdinKey, StdoutKey, WasiLimits};
use innkeeper::wasi::p1::Context;
use innkeeper::{Config, ErrorKind, Tiers, Trap};

use super::sleeper::Sleeper;
use super::world::open_pipe;
use super::{ALONE, Guest, MOMENT, guest, watched_descriptors};

/// More than the guest writes at once, which is more than a portion, so that a call goes on to wait in the middle.
const MAY_WRITE: usize = 1_200_000;

/// What a pipe has room for, which is the first of two buffers.
const ROOM: usize = 1 << 16;

/// Writes to standard output.
const WRITES_OUTPUT: &str = "(i32.const 1)";

/// The same to a pipe in a directory, which is opened once.
const WRITES_FILE: &str = r#"(block (result i32)
    (if (i32.lt_s (global.get $file) (i32.const 0))
        (then
            (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0) (i64.const 0x40) (i64.const 0) (i32.const 0) (i32.const 8))
                (then (unreachable)))
            (global.set $file (i32.load (i32.const 8)))))
    (global.get $file))"#;

/// A guest that writes to a pipe, and the end that is read.
fn writer(descriptor: &str) -> (tempfile::TempDir, Guest, File) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    let pipe = open_pipe(&path);
    let mut limits = WasiLimits::default();
    limits.written_bytes = Some(MAY_WRITE as u64);
    let keys = Keys::builder()
        .stdout(StdoutKey::File { path, mode: FileMode::Append })
        .directory(DirKey::new(dir.path(), "/", Access::ReadWrite))
        .limits(limits)
        .build();
    let (host, handles) = Host::open(&keys).unwrap();
    let text = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 32)
            (global $file (mut i32) (i32.const -1))
            (data (i32.const 0) "pipe")
            (func (export "idle") (result i32) (i32.const 7))
            (func (export "run") (result i32)
                (i32.store (i32.const 16) (i32.const 4096)) (i32.store (i32.const 20) (i32.const {ROOM}))
                (i32.store (i32.const 24) (i32.const 4096)) (i32.store (i32.const 28) (i32.const 1000000))
                (call $write {descriptor} (i32.const 16) (i32.const 2) (i32.const 40))))"#
    );
    let engine = innkeeper::engine_with(Config::default(), Tiers::Interpreter);
    (dir, guest(&engine, &text, Context::from_parts(host, handles)), pipe)
}

/// Reads what is there.
fn drain(pipe: &mut File) -> usize {
    let mut buffer = vec![0; ROOM];
    std::iter::from_fn(|| pipe.read(&mut buffer).ok()).sum()
}

/// What was written counts, also where nobody learns of it because the call is given up.
#[test]
fn what_was_written_before_a_call_is_given_up_counts() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for descriptor in [WRITES_OUTPUT, WRITES_FILE] {
        for ends_by_deadline in [false, true] {
            let (_dir, mut guest, mut pipe) = writer(descriptor);
            let (mut read, mut given_up) = (0, 0);
            for _ in 0..2 + MAY_WRITE / ROOM {
                guest.store.set_deadline(ends_by_deadline.then_some(MOMENT)).unwrap();
                let mut call = Box::pin(guest.run.call_async(&mut guest.store, ()));
                if ends_by_deadline {
                    if let Err(error) = Sleeper::new().run(call.as_mut()) {
                        assert!(matches!(error.kind(), ErrorKind::Trap(Trap::DeadlineExceeded)), "{error}");
                        given_up += 1;
                    }
                } else if Sleeper::new().poll(call.as_mut()).is_pending() {
                    given_up += 1;
                }
                drop(call);
                read += drain(&mut pipe);
            }
            assert!(given_up > 1, "{descriptor}");
            assert_eq!(read, MAY_WRITE, "{descriptor} {ends_by_deadline}");
        }
    }
}

/// As many subscriptions as there may be, all to one descriptor, and each is answered. That they are watched as one is shown where they are
/// (`crates/wasi/src/host/suspend.rs`).
#[test]
fn many_subscriptions_to_one_descriptor_are_all_answered() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stdin");
    let mut pipe = open_pipe(&path);
    let keys = Keys::builder().stdin(StdinKey::File(path)).build();
    let (host, handles) = Host::open(&keys).unwrap();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 32)
        (func (export "idle") (result i32) (i32.const 7))
        (func (export "run") (result i32) (local $i i32)
            (loop $next
                (i32.store8 offset=8 (i32.mul (local.get $i) (i32.const 48)) (i32.const 1))
                (br_if $next
                    (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 16384))))
            (if (call $poll (i32.const 0) (i32.const 1000000) (i32.const 16384) (i32.const 2000000))
                (then (unreachable)))
            (i32.load (i32.const 2000000))))"#;
    let engine = innkeeper::engine_with(Config::default(), Tiers::Interpreter);
    let mut guest = guest(&engine, text, Context::from_parts(host, handles));
    let mut call = pin!(guest.run.call_async(&mut guest.store, ()));
    let sleeper = Sleeper::new();
    assert!(sleeper.poll(call.as_mut()).is_pending());
    assert!(watched_descriptors() <= 2);
    pipe.write_all(b"input").unwrap();
    assert_eq!(sleeper.run(call.as_mut()).unwrap(), 16_384);
    assert_eq!(watched_descriptors(), 0);
}
