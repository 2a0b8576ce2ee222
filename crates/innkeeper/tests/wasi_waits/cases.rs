//! The calls of WASI that wait, each with something that it waits for.

use innkeeper::wasi::p1::Version;

use super::world::Peer;

/// A call that waits. Descriptor 3 is a directory, 4 a listener; `$open` opens the pipe there in `$file`, `$accept` accepts what has connected before.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    params: &'static str,
    pub(crate) before: &'static str,
    arguments: &'static str,
    /// Called until it fails.
    pub(crate) is_repeated: bool,
    pub(crate) peer: Peer,
}

const fn case(
    name: &'static str,
    params: &'static str,
    before: &'static str,
    arguments: &'static str,
    peer: Peer,
) -> Case {
    Case { name, params, before, arguments, is_repeated: false, peer }
}

const IO: &str = "i32 i32 i32 i32";
const OPEN: &str = "i32 i32 i32 i32 i32 i64 i64 i32 i32";

pub(crate) const CASES: &[Case] = &[
    case("poll_oneoff", IO, "", "(i32.const 32) (i32.const 200) (i32.const 1) (i32.const 8)", Peer::Nothing),
    // A readable descriptor.
    case(
        "poll_oneoff",
        IO,
        "(i64.store (i32.const 32) (i64.const 0)) (i32.store (i32.const 40) (i32.const 1)) (i32.store (i32.const 48) (i32.const 0))",
        "(i32.const 32) (i32.const 200) (i32.const 1) (i32.const 8)",
        Peer::WritesInput,
    ),
    case("fd_read", IO, "", "(i32.const 0) (i32.const 16) (i32.const 1) (i32.const 8)", Peer::WritesInput),
    case(
        "fd_read",
        IO,
        "(call $open)",
        "(global.get $file) (i32.const 16) (i32.const 1) (i32.const 8)",
        Peer::WritesPipe,
    ),
    case(
        "fd_read",
        IO,
        "(call $accept)",
        "(i32.load (i32.const 8)) (i32.const 16) (i32.const 1) (i32.const 12)",
        Peer::Sends,
    ),
    case("fd_write", IO, "", "(i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)", Peer::ReadsOutput),
    case(
        "fd_write",
        IO,
        "(call $open)",
        "(global.get $file) (i32.const 16) (i32.const 1) (i32.const 8)",
        Peer::ReadsPipe,
    ),
    Case {
        is_repeated: true,
        ..case(
            "fd_write",
            IO,
            "(call $accept)",
            "(i32.load (i32.const 8)) (i32.const 16) (i32.const 1) (i32.const 12)",
            Peer::Closes,
        )
    },
    case("sock_accept", "i32 i32 i32", "", "(i32.const 4) (i32.const 0) (i32.const 8)", Peer::Connects),
    case(
        "sock_recv",
        "i32 i32 i32 i32 i32 i32",
        "(call $accept)",
        "(i32.load (i32.const 8)) (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 12) (i32.const 28)",
        Peer::Sends,
    ),
    Case {
        is_repeated: true,
        ..case(
            "sock_send",
            "i32 i32 i32 i32 i32",
            "(call $accept)",
            "(i32.load (i32.const 8)) (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 12)",
            Peer::Closes,
        )
    },
    case(
        "path_open",
        OPEN,
        "",
        "(i32.const 3) (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)",
        Peer::OpensToWrite,
    ),
    case(
        "path_open",
        OPEN,
        "",
        "(i32.const 3) (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 0) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8)",
        Peer::OpensToRead,
    ),
];

/// At 0 is the name of one pipe, at 4 of the other, at 16 a vector of one buffer of 4096 bytes at 4096, at 32 a subscription to 50 ms of the monotonic clock.
const MODULE: &str = r#"
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "sock_accept" (func $sock_accept (param i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (global $file (mut i32) (i32.const -1))
    (data (i32.const 0) "pipe")
    (data (i32.const 4) "none")
    (data (i32.const 16) "\00\10\00\00\00\10\00\00")
    (func $open
        (if (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0) (i64.const 0x42) (i64.const 0) (i32.const 0) (i32.const 8))
            (then (unreachable)))
        (global.set $file (i32.load (i32.const 8))))
    (func $accept (if (call $sock_accept (i32.const 4) (i32.const 0) (i32.const 8)) (then (unreachable))))
    (func (export "idle") (result i32) (i32.const 7))"#;

impl Case {
    pub(crate) fn text(&self, version: Version) -> String {
        let Case { name, params, before, arguments, is_repeated, .. } = self;
        let module = version.module_name();
        // Where the clock and its time are.
        let (clock, time) = if version == Version::Preview1 { (48, 56) } else { (56, 64) };
        let again = if *is_repeated { "(br_if $again (i32.eqz (local.get $errno)))" } else { "" };
        format!(
            r#"(module (import "{module}" "{name}" (func $call (param {params}) (result i32))) {MODULE}
                (func (export "run") (result i32) (local $errno i32)
                    (i32.store (i32.const {clock}) (i32.const 1)) (i64.store (i32.const {time}) (i64.const 50000000))
                    {before}
                    (loop $again (local.set $errno (call $call {arguments})) {again})
                    (local.get $errno)))"#
        )
    }
}
