//! Standard streams: bytes go between them and a guest's memory, and from one to the other; clocks, which are waited for beside them.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use innkeeper::wasi::keys::{Capture, Clocks, Keys, StdinKey, StdoutKey};
use innkeeper::{ErrorKind, Trap};

use super::engines;
use super::program::{Ends, run, start};

/// Writes what it reads.
pub(crate) const CAT: &str = "
    (call $stdin (i32.const 16))
    (local.set $a (i32.load (i32.const 16))) (local.set $b (i32.load (i32.const 20)))
    (local.set $ends (call $new))
    (local.set $e (call $stdout (call $readable (local.get $ends))))
    (call $pump (local.get $a) (call $writable (local.get $ends)))
    (i32.or (call $ended (local.get $b)) (call $ended (local.get $e)))";

/// Has the host write what it reads: no byte of it comes by.
const PASS: &str = "
    (call $stdin (i32.const 16))
    (local.set $b (i32.load (i32.const 20)))
    (local.set $e (call $stdout (i32.load (i32.const 16))))
    (i32.or (call $ended (local.get $b)) (call $ended (local.get $e)))";

fn some_bytes(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * 7 + index / 251) as u8).collect()
}

#[test]
fn bytes_go_through_a_guest_and_past_it() {
    for program in [CAT, PASS] {
        for count in [0, 1, 9_999, 10_000, 10_001, 300_000] {
            let (bytes, capture) = (some_bytes(count), Capture::new(1 << 20));
            let keys = Keys::builder()
                .stdin(StdinKey::Bytes(bytes.clone()))
                .stdout(StdoutKey::Capture(capture.clone()))
                .build();
            assert_eq!(run(program, &keys), [0, 0], "{count}");
            // Only the first of the two runs finds something to read, or both do: then it is there twice.
            let written = capture.contents();
            assert!(
                written == bytes || written == [&bytes[..], &bytes].concat(),
                "{count}: {}",
                written.len()
            );
        }
    }
}

/// What is written to a pipe in pieces of all lengths, and read from one, waits on both sides.
#[test]
fn pipes_are_waited_for() {
    for program in [CAT, PASS] {
        for engine in engines() {
            let (stdin, mut to) = std::io::pipe().unwrap();
            let (mut from, stdout) = std::io::pipe().unwrap();
            let bytes = some_bytes(700_000);
            let sent = bytes.clone();
            let writer = thread::spawn(move || {
                let mut rest = &sent[..];
                for length in [1, 5, 4_096, 70_000, 3].iter().cycle() {
                    if rest.is_empty() {
                        break;
                    }
                    let (piece, after) = rest.split_at(rest.len().min(*length));
                    to.write_all(piece).unwrap();
                    rest = after;
                }
            });
            let reader = thread::spawn(move || {
                let mut read = Vec::new();
                from.read_to_end(&mut read).unwrap();
                read
            });
            let keys = Keys::builder()
                .stdin(StdinKey::Opened(Arc::new(OwnedFd::from(stdin))))
                .stdout(StdoutKey::Opened(Arc::new(OwnedFd::from(stdout))))
                .build();
            assert_eq!(start(&engine, (program, Ends::Returning), &keys, |_| ()).unwrap(), 0);
            drop(keys);
            writer.join().unwrap();
            assert!(reader.join().unwrap() == bytes);
        }
    }
}

/// C105: streams that are not there have no bytes, and take none; nor does what is full, or is not read any more.
#[test]
fn c105_what_cannot_be_written_is_an_error() {
    let bytes = || Keys::builder().stdin(StdinKey::Bytes(b"four".to_vec()));
    let unread = || {
        let (_, writer) = std::io::pipe().unwrap();
        StdoutKey::Opened(Arc::new(OwnedFd::from(writer)))
    };
    for program in [CAT, PASS] {
        let closed = Keys::builder().stdin(StdinKey::Closed).stdout(StdoutKey::Closed).build();
        assert_eq!(run(program, &closed), [0, 0], "nothing is read, so nothing has to be written");
        for stdout in [StdoutKey::Closed, StdoutKey::Capture(Capture::new(3)), unread()] {
            let keys = bytes().stdout(stdout).build();
            assert_eq!(run(program, &keys), [1, 1]);
        }
    }
}

/// C105: a broken pipe is told as one.
#[test]
fn c105_what_nobody_reads_any_more_is_a_broken_pipe() {
    let (_, writer) = std::io::pipe().unwrap();
    let keys = Keys::builder().stdout(StdoutKey::Opened(Arc::new(OwnedFd::from(writer)))).build();
    let body = "
        (local.set $ends (call $new))
        (local.set $e (call $stdout (call $readable (local.get $ends))))
        (drop (call $write (call $writable (local.get $ends)) (i32.const 200) (i32.const 4)))
        (if (i32.eqz (call $ended (local.get $e))) (then (return (i32.const 1))))
        ;; `pipe`
        (i32.ne (i32.load8_u (i32.const 49)) (i32.const 2))";
    assert_eq!(run(body, &keys), [0, 0]);
}

#[test]
fn who_has_read_enough_is_told_of_no_error() {
    let keys = Keys::builder().stdin(StdinKey::Bytes(some_bytes(300_000))).build();
    let body = "
        (call $stdin (i32.const 16))
        (drop (call $read (i32.load (i32.const 16))))
        (call $drop-readable (i32.load (i32.const 16)))
        (call $ended (i32.load (i32.const 20)))";
    assert_eq!(run(body, &keys), [0, 0]);
}

/// A read that waits for a pipe nobody writes to holds up nothing else, and is given up.
#[test]
fn a_read_that_waits_is_cancelled() {
    for engine in engines() {
        let (stdin, _to) = std::io::pipe().unwrap();
        let capture = Capture::new(100);
        let keys = Keys::builder()
            .stdin(StdinKey::Opened(Arc::new(OwnedFd::from(stdin))))
            .stdout(StdoutKey::Capture(capture.clone()))
            .build();
        let body = "
            (call $stdin (i32.const 16))
            (local.set $a (i32.load (i32.const 16)))
            (if (i32.ne (call $stream-read (local.get $a) (i32.const 65536) (i32.const 100)) (i32.const -1))
                (then (return (i32.const 1))))
            (local.set $ends (call $new))
            (local.set $e (call $stdout (call $readable (local.get $ends))))
            (i32.store (i32.const 200) (i32.const 0x21696821))
            (drop (call $write (call $writable (local.get $ends)) (i32.const 201) (i32.const 3)))
            (call $drop-writable (call $writable (local.get $ends)))
            (if (call $ended (local.get $e)) (then (return (i32.const 1))))
            ;; `cancelled`, after no bytes
            (if (i32.ne (call $cancel-read (local.get $a)) (i32.const 2)) (then (return (i32.const 1))))
            (call $drop-readable (local.get $a))
            (call $ended (i32.load (i32.const 20)))";
        assert_eq!(start(&engine, (body, Ends::Returning), &keys, |_| ()).unwrap(), 0);
        assert_eq!(capture.contents(), b"hi!");
    }
}

#[test]
fn a_deadline_ends_every_wait() {
    let waits = "(call $wait-for (i64.const 3600000000000)) (i32.const 0)";
    for engine in engines() {
        for body in [CAT, PASS, waits] {
            let (stdin, _to) = std::io::pipe().unwrap();
            let keys = Keys::builder().stdin(StdinKey::Opened(Arc::new(OwnedFd::from(stdin)))).build();
            let ended = start(&engine, (body, Ends::Returning), &keys, |store| {
                store.set_deadline(Some(Duration::from_millis(20))).unwrap();
            });
            let error = ended.unwrap_err();
            assert_eq!(error.trap(), Some(Trap::DeadlineExceeded), "{error}");
        }
    }
}

/// What the host moves from a file to where nothing waits is always ready, and still others have their turn.
#[test]
fn a_stream_without_end_starves_nobody() {
    let body = "
        (call $stdin (i32.const 16))
        (drop (call $stdout (i32.load (i32.const 16))))
        (call $wait-for (i64.const 1000000))
        (i32.const 1)";
    for engine in engines() {
        let keys = Keys::builder().stdin(StdinKey::File("/dev/zero".into())).build();
        let ended = start(&engine, (body, Ends::Returning), &keys, |store| {
            store.set_deadline(Some(Duration::from_secs(60))).unwrap();
        });
        // It has failed, and was not stopped.
        assert_eq!(ended.unwrap(), 1);
    }
}

/// A clock that stands still never shows a later time.
#[test]
fn a_clock_that_stands_still_is_waited_for_once() {
    let keys = Keys::builder().clocks(Clocks::Fixed { realtime: Duration::from_secs(9) }).build();
    assert_eq!(run("(call $wait-for (i64.const 1000000)) (i32.const 0)", &keys), [0, 0]);
}

/// Functions of the host that wait take memory, of which guests have so much.
#[test]
fn waits_are_charged() {
    let body = "
        (loop
            (drop (call $begin-wait-for (i64.const 3600000000000)))
            (br_if 0 (i32.lt_u (local.tee $f (i32.add (local.get $f) (i32.const 1))) (i32.const 40000))))
        (i32.const 0)";
    for engine in engines() {
        let mut keys = Keys::default();
        keys.limits.memory_bytes = Some(32 << 20);
        let error = start(&engine, (body, Ends::Returning), &keys, |_| ()).unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }
}

/// Two waits go on beside each other: the shorter one ends first, though it was begun later, and the other is given up.
#[test]
fn waits_go_on_beside_each_other() {
    let body = "
        (local.set $a (i32.shr_u (call $begin-wait-for (i64.const 3600000000000)) (i32.const 4)))
        (local.set $b (call $begin-wait-for (i64.const 1000000)))
        (call $join (local.get $a) (global.get $set))
        ;; Where it is not over already.
        (if (i32.ne (local.get $b) (i32.const 2)) (then
            (local.set $b (i32.shr_u (local.get $b) (i32.const 4)))
            (call $join (local.get $b) (global.get $set))
            (drop (call $set-wait (global.get $set) (i32.const 32)))
            (if (i32.ne (i32.load (i32.const 32)) (local.get $b)) (then (return (i32.const 1))))
            (call $subtask-drop (local.get $b))))
        (call $join (local.get $a) (i32.const 0))
        ;; `cancelled before returned`
        (if (i32.ne (call $subtask-cancel (local.get $a)) (i32.const 4)) (then (return (i32.const 1))))
        (call $subtask-drop (local.get $a))
        ;; What has been is not waited for.
        (i32.ne (call $begin-wait-for (i64.const 0)) (i32.const 2))";
    assert_eq!(run(body, &Keys::default()), [0, 0]);
}

/// A program that has returned goes on with what it has begun.
#[test]
fn a_program_may_go_on_after_it_has_returned() {
    let body = "
        (call $return (i32.const 0))
        (call $wait-for (i64.const 1000000))
        (local.set $ends (call $new))
        (local.set $e (call $stdout (call $readable (local.get $ends))))
        (i32.store (i32.const 200) (i32.const 0x21696821))
        (drop (call $write (call $writable (local.get $ends)) (i32.const 201) (i32.const 3)))
        (call $drop-writable (call $writable (local.get $ends)))
        (drop (call $ended (local.get $e)))
        (i32.const 0)";
    for engine in engines() {
        let capture = Capture::new(100);
        let keys = Keys::builder().stdout(StdoutKey::Capture(capture.clone())).build();
        assert_eq!(start(&engine, (body, Ends::Later), &keys, |_| ()).unwrap(), 0);
        assert_eq!(capture.contents(), b"hi!");
    }
}

/// D3: a stream that is under way is an open handle, as long as it is.
#[test]
fn d3_streams_are_counted() {
    let mut keys = Keys::builder().stdin(StdinKey::Closed).build();
    keys.limits.max_open_handles = 5;
    let body = "
        (local.set $a (i32.const 100))
        (block $full (loop $more
            (call $stdin (i32.const 16))
            (local.set $b (i32.load (i32.const 20)))
            (local.set $c (call $read (i32.load (i32.const 16))))
            (call $drop-readable (i32.load (i32.const 16)))
            (if (call $ended (local.get $b)) (then (return (i32.const 1))))
            (local.set $a (i32.sub (local.get $a) (i32.const 1)))
            (br_if $more (local.get $a))))
        ;; These are not read to their end.
        (loop $more
            (call $stdin (i32.const 16))
            (local.set $b (i32.load (i32.const 20)))
            (local.set $a (i32.add (local.get $a) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $a) (i32.const 20))))
        (i32.eqz (call $ended (local.get $b)))";
    assert_eq!(run(body, &keys), [0, 0]);
}

/// Whoever makes streams without end, and reads none of them, comes to the end of what the host may hold.
#[test]
fn streams_without_end_are_bounded() {
    let mut keys = Keys::builder().stdin(StdinKey::Closed).build();
    keys.limits.memory_bytes = Some(16 << 20);
    let body = "(loop $more (call $stdin (i32.const 16)) (br $more)) (unreachable)";
    for engine in engines() {
        let error = start(&engine, (body, Ends::Returning), &keys, |_| ()).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
    }
}
