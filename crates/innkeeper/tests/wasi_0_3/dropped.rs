//! What guests drop: whatever the handles and ends of it are, and in which order they go, it is closed when the last one has gone, and not some time after.

use std::net::{Ipv4Addr, TcpListener};

use innkeeper::wasi::keys::{Access, Keys, StdinKey, StdoutKey};

use super::engines;
use super::program::{Ends, start};

const OPEN_TO_READ: &str = "(local.set $b (call $open (local.get $a) (i32.const 0) (i32.const 1)))
    (call $read-file (local.get $b) (i64.const 0) (i32.const 16))";

/// To write, with a stream of the guest's.
const OPEN_TO_WRITE: &str = "(local.set $b (call $open (local.get $a) (i32.const 0) (i32.const 2)))
    (local.set $ends (call $new))";

/// To whoever listens at the test's port.
const CONNECT: &str = "(local.set $c (call $socket))
    (if (call $connect (local.get $c) (i32.const PORT)) (then (return (i32.const 1))))";

/// At the port that the first one got: each one after it fails to, where the one before it is still there.
const LISTEN: &str = "(local.set $d (call $socket))
    (if (call $bind (local.get $d) (local.get $g)) (then (return (i32.const 1))))
    (local.set $g (call $port (local.get $d)))
    (call $tcp-listen (local.get $d) (i32.const 128))
    (if (i32.load8_u (i32.const 128)) (then (return (i32.const 1))))
    (local.set $e (i32.load (i32.const 132)))";

const DESCRIPTOR: &str = "(call $drop-descriptor (local.get $b))";
const CONNECTION: &str = "(call $drop-tcp (local.get $c))";
const LISTENER: &str = "(call $drop-tcp (local.get $d))";
const COMING: &str = "(call $drop-sockets (local.get $e))";
const READABLE: &str = "(call $drop-readable (i32.load (i32.const 16)))";
const WRITABLE: &str = "(call $drop-writable (call $writable (local.get $ends)))";

/// Traps where the stream at 16 has ended, as one does for which there was no room.
const CAN_BE_READ: &str =
    "(local.set $f (call $stream-read (i32.load (i32.const 16)) (i32.const 65536) (i32.const 1)))
    (if (i32.eq (local.get $f) (i32.const -1)) (then (drop (call $cancel-read (i32.load (i32.const 16))))))
    (if (i32.eq (local.get $f) (i32.const 1)) (then (unreachable)))";

const CAN_BE_WRITTEN: &str = "(if (i32.eq (i32.const 1)
    (call $stream-write (call $writable (local.get $ends)) (i32.const 200) (i32.const 1))) (then (unreachable)))";

/// Something that guests open: how, how they find that it is open, and what they drop of it.
struct Opened {
    name: &'static str,
    open: String,
    check: &'static str,
    drops: Vec<&'static str>,
}

fn opened() -> Vec<Opened> {
    let file_read = "(call $drop-file (i32.load (i32.const 20)))";
    let file_written = "(call $drop-file (local.get $e))";
    let received = "(call $drop-net (i32.load (i32.const 20)))";
    let begin_reading =
        "(drop (call $stream-read (i32.load (i32.const 16)) (i32.const 65536) (i32.const 9)))";
    let stop_reading = "(drop (call $cancel-read (i32.load (i32.const 16))))";
    let new = |name, open: &str, check, drops: &[&'static str]| Opened {
        name,
        open: open.to_owned(),
        check,
        drops: drops.to_vec(),
    };
    vec![
        new(
            "standard input",
            "(call $stdin (i32.const 16))",
            CAN_BE_READ,
            &[READABLE, "(call $drop-future (i32.load (i32.const 20)))"],
        ),
        new(
            "standard output",
            "(local.set $ends (call $new)) (local.set $e (call $stdout (call $readable (local.get $ends))))",
            CAN_BE_WRITTEN,
            &[WRITABLE, "(call $drop-future (local.get $e))"],
        ),
        new("a file to read", OPEN_TO_READ, CAN_BE_READ, &[DESCRIPTOR, READABLE, file_read]),
        new(
            "a file that was read in part",
            &format!("{OPEN_TO_READ} {begin_reading}"),
            "",
            &[DESCRIPTOR, READABLE, file_read],
        ),
        new(
            "a file to write",
            &format!(
                "{OPEN_TO_WRITE} (local.set $e
                    (call $write-file (local.get $b) (call $readable (local.get $ends)) (i64.const 0)))"
            ),
            CAN_BE_WRITTEN,
            &[DESCRIPTOR, WRITABLE, file_written],
        ),
        new(
            "a file to append to",
            &format!(
                "{OPEN_TO_WRITE}
                (local.set $e (call $append (local.get $b) (call $readable (local.get $ends))))"
            ),
            CAN_BE_WRITTEN,
            &[DESCRIPTOR, WRITABLE, file_written],
        ),
        new(
            "a directory's entries",
            "(call $list (local.get $a) (i32.const 16))",
            "(if (i32.eq (i32.const 1) (call $entries-read (i32.load (i32.const 16)) (i32.const 65536) (i32.const 1)))
                (then (unreachable)))",
            &["(call $drop-entries (i32.load (i32.const 16)))", file_read],
        ),
        new(
            "a connection to receive from",
            &format!("{CONNECT} (call $tcp-receive (local.get $c) (i32.const 16))"),
            CAN_BE_READ,
            &[CONNECTION, READABLE, received],
        ),
        new(
            "a connection that was waited for in vain",
            &format!(
                "{CONNECT} (call $tcp-receive (local.get $c) (i32.const 16)) {begin_reading} {stop_reading}"
            ),
            "",
            &[CONNECTION, READABLE, received],
        ),
        new(
            "a connection to send to",
            &format!(
                "{CONNECT} (local.set $ends (call $new))
                (local.set $e (call $tcp-send (local.get $c) (call $readable (local.get $ends))))"
            ),
            CAN_BE_WRITTEN,
            &[CONNECTION, WRITABLE, "(call $drop-net (local.get $e))"],
        ),
        new("a socket that listens", LISTEN, "", &[LISTENER, COMING]),
        new(
            "a socket that listened in vain",
            &format!(
                "{LISTEN} (drop (call $sockets-read (local.get $e) (i32.const 65536) (i32.const 1)))
                (drop (call $cancel-sockets (local.get $e)))"
            ),
            "",
            &[LISTENER, COMING],
        ),
        new(
            "a socket to which somebody has come whom nobody has seen",
            &format!(
                "{LISTEN} (local.set $c (call $socket))
                (if (call $connect (local.get $c) (local.get $g)) (then (return (i32.const 1))))"
            ),
            "",
            &[LISTENER, COMING, CONNECTION],
        ),
    ]
}

/// Every order of what there is.
fn orders<'a>(of: &[&'a str]) -> Vec<Vec<&'a str>> {
    if of.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for (index, first) in of.iter().enumerate() {
        let rest: Vec<&str> = [&of[..index], &of[index + 1..]].concat();
        all.extend(orders(&rest).into_iter().map(|order| [&[*first][..], &order].concat()));
    }
    all
}

/// A guest that may have a few handles opens each thing many times, and never waits between dropping it and opening it again.
#[test]
fn what_is_dropped_is_closed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), "content").unwrap();
    let there = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    there.set_nonblocking(true).unwrap();
    let port = there.local_addr().unwrap().port().to_string();
    let network = ["connect:127.0.0.1:*", "listen:127.0.0.1:*"];
    let mut keys = network
        .iter()
        .fold(Keys::builder(), |keys, key| keys.net(key.parse().unwrap()))
        .dir(folder.path(), "/work", Access::ReadWrite)
        .stdin(StdinKey::Bytes(vec![7; 1 << 16]))
        .stdout(StdoutKey::Discard)
        .build();
    keys.limits.max_open_handles = 6;
    let engines = engines();
    let mut failed = Vec::new();
    for Opened { name, open, check, drops } in opened() {
        let open = open.replace("PORT", &port);
        for order in orders(&drops) {
            let drops = order.join(" ");
            let body = format!(
                "(local.set $a (call $directory))
                (loop $again
                    {open} {drops}
                    (local.set $f (i32.add (local.get $f) (i32.const 1)))
                    (br_if $again (i32.lt_u (local.get $f) (i32.const 10))))
                {open} {check} {drops}
                (i32.const 0)"
            );
            for engine in &engines {
                match start(engine, (&body, Ends::Returning), &keys, |_| ()) {
                    Ok(0) => {}
                    ended => failed.push(format!("{name}, {order:?}: {ended:?}")),
                }
                // Nobody accepts them, and few may wait for that.
                while there.accept().is_ok() {}
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
