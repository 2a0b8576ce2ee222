//! Programs in component text that work with streams: all of them import everything, and have the same functions to move bytes with.
//!
//! A program's core function `run` gives 0 where all went well. It has eight numbers, `$a` to `$h`, and bytes go through its memory in pieces of 10,000 at 65536. What waits, waits for one thing at a time.

use std::fmt::Write as _;

use innkeeper::component::Linker;
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::{p2, p3};
use innkeeper::{Engine, Error, Store};

use super::surface::functions;
use super::types::IMPORTS;
use super::{add_to_linker, component, engines};

/// Functions of WASI that programs call, with their names there, and what they are to core code.
const CALLED: &[(&str, &str, &str, &str)] = &[
    ("exit", "wasi:cli/exit", "exit", "(param i32)"),
    ("exit-with-code", "wasi:cli/exit", "exit-with-code", "(param i32)"),
    ("stdin", "wasi:cli/stdin", "read-via-stream", "(param i32)"),
    ("stdout", "wasi:cli/stdout", "write-via-stream", "(param i32) (result i32)"),
    ("wait-for", "wasi:clocks/monotonic-clock", "wait-for", "(param i64)"),
    ("directories", "wasi:filesystem/preopens", "get-directories", "(param i32)"),
    ("open-at", "wasi:filesystem/types", "[method]descriptor.open-at", "(param i32 i32 i32 i32 i32 i32 i32)"),
    ("read-file", "wasi:filesystem/types", "[method]descriptor.read-via-stream", "(param i32 i64 i32)"),
    (
        "write-file",
        "wasi:filesystem/types",
        "[method]descriptor.write-via-stream",
        "(param i32 i32 i64) (result i32)",
    ),
    (
        "append",
        "wasi:filesystem/types",
        "[method]descriptor.append-via-stream",
        "(param i32 i32) (result i32)",
    ),
    ("list", "wasi:filesystem/types", "[method]descriptor.read-directory", "(param i32 i32)"),
    ("tcp-create", "wasi:sockets/types", "[static]tcp-socket.create", "(param i32 i32)"),
    ("tcp-bind", "wasi:sockets/types", "[method]tcp-socket.bind", TO_ADDRESS),
    ("tcp-connect", "wasi:sockets/types", "[method]tcp-socket.connect", TO_ADDRESS),
    ("tcp-listen", "wasi:sockets/types", "[method]tcp-socket.listen", "(param i32 i32)"),
    ("tcp-address", "wasi:sockets/types", "[method]tcp-socket.get-local-address", "(param i32 i32)"),
    ("tcp-peer", "wasi:sockets/types", "[method]tcp-socket.get-remote-address", "(param i32 i32)"),
    ("tcp-send", "wasi:sockets/types", "[method]tcp-socket.send", "(param i32 i32) (result i32)"),
    ("tcp-receive", "wasi:sockets/types", "[method]tcp-socket.receive", "(param i32 i32)"),
];

/// A socket, an address, and where to put what comes of it.
const TO_ADDRESS: &str = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)";

/// Functions of the canonical ABI that they call: each with what is written for it, and what it is to core code.
const BUILTINS: &[(&str, &str, &str)] = &[
    ("new", "stream.new $bytes", "(result i64)"),
    ("stream-read", "stream.read $bytes async (memory $mem)", "(param i32 i32 i32) (result i32)"),
    ("stream-write", "stream.write $bytes async (memory $mem)", "(param i32 i32 i32) (result i32)"),
    ("cancel-read", "stream.cancel-read $bytes", "(param i32) (result i32)"),
    ("drop-readable", "stream.drop-readable $bytes", "(param i32)"),
    ("drop-writable", "stream.drop-writable $bytes", "(param i32)"),
    (
        "entries-read",
        "stream.read $entries async (memory $mem) (realloc $realloc)",
        "(param i32 i32 i32) (result i32)",
    ),
    ("drop-entries", "stream.drop-readable $entries", "(param i32)"),
    ("future-read", "future.read $ended async (memory $mem)", "(param i32 i32) (result i32)"),
    ("drop-future", "future.drop-readable $ended", "(param i32)"),
    (
        "file-read",
        "future.read $file-ended async (memory $mem) (realloc $realloc)",
        "(param i32 i32) (result i32)",
    ),
    ("drop-file", "future.drop-readable $file-ended", "(param i32)"),
    ("sockets-read", "stream.read $sockets async (memory $mem)", "(param i32 i32 i32) (result i32)"),
    ("cancel-sockets", "stream.cancel-read $sockets", "(param i32) (result i32)"),
    ("drop-sockets", "stream.drop-readable $sockets", "(param i32)"),
    ("drop-descriptor", "resource.drop $descriptor", "(param i32)"),
    ("drop-tcp", "resource.drop $tcp", "(param i32)"),
    (
        "net-read",
        "future.read $net-ended async (memory $mem) (realloc $realloc)",
        "(param i32 i32) (result i32)",
    ),
    ("drop-net", "future.drop-readable $net-ended", "(param i32)"),
    ("set-new", "waitable-set.new", "(result i32)"),
    ("set-wait", "waitable-set.wait (memory $mem)", "(param i32 i32) (result i32)"),
    ("join", "waitable.join", "(param i32 i32)"),
    ("subtask-cancel", "subtask.cancel", "(param i32) (result i32)"),
    ("subtask-drop", "subtask.drop", "(param i32)"),
    ("return", "task.return (result $nothing)", "(param i32)"),
];

/// What all programs have in their core module.
const HELPERS: &str = r#"
    (global $set (mut i32) (i32.const 0))
    ;; Waits for the end of what was begun with a handle, if it has not ended at once; gives what came of it.
    (func $wait (param $handle i32) (param $result i32) (result i32)
        (if (i32.ne (local.get $result) (i32.const -1)) (then (return (local.get $result))))
        (call $join (local.get $handle) (global.get $set))
        (drop (call $set-wait (global.get $set) (i32.const 32)))
        (call $join (local.get $handle) (i32.const 0))
        (i32.load (i32.const 36)))
    ;; Reads a piece; gives its length times 16, and whether that was all.
    (func $read (param $stream i32) (result i32)
        (call $wait (local.get $stream)
            (call $stream-read (local.get $stream) (i32.const 65536) (i32.const 10000))))
    ;; Writes bytes that lie somewhere; gives whether anybody still reads.
    (func $write (param $stream i32) (param $at i32) (param $count i32) (result i32) (local $result i32)
        (loop $more
            (local.set $result (call $wait (local.get $stream)
                (call $stream-write (local.get $stream) (local.get $at) (local.get $count))))
            (if (i32.and (local.get $result) (i32.const 15)) (then (return (i32.const 0))))
            (local.set $at (i32.add (local.get $at) (i32.shr_u (local.get $result) (i32.const 4))))
            (local.set $count (i32.sub (local.get $count) (i32.shr_u (local.get $result) (i32.const 4))))
            (br_if $more (local.get $count)))
        (i32.const 1))
    ;; Writes all that is read, and drops both ends.
    (func $pump (param $from i32) (param $to i32) (local $result i32)
        (block $end (loop $more
            (local.set $result (call $read (local.get $from)))
            (if (i32.shr_u (local.get $result) (i32.const 4)) (then
                (br_if $end (i32.eqz (call $write (local.get $to) (i32.const 65536)
                    (i32.shr_u (local.get $result) (i32.const 4)))))))
            (br_if $more (i32.eqz (i32.and (local.get $result) (i32.const 15))))))
        (call $drop-readable (local.get $from))
        (call $drop-writable (local.get $to)))
    ;; Whether a standard stream has ended with an error.
    (func $ended (param $future i32) (result i32)
        (drop (call $wait (local.get $future) (call $future-read (local.get $future) (i32.const 48))))
        (call $drop-future (local.get $future))
        (i32.load8_u (i32.const 48)))
    ;; Whether a stream of a file has ended with an error, whose number is at 68.
    (func $file-ended (param $future i32) (result i32)
        (drop (call $wait (local.get $future) (call $file-read (local.get $future) (i32.const 64))))
        (call $drop-file (local.get $future))
        (i32.load8_u (i32.const 64)))
    ;; The same of a connection.
    (func $net-ended (param $future i32) (result i32)
        (drop (call $wait (local.get $future) (call $net-read (local.get $future) (i32.const 64))))
        (call $drop-net (local.get $future))
        (i32.load8_u (i32.const 64)))
    ;; A socket of IPv4.
    (func $socket (result i32)
        (call $tcp-create (i32.const 0) (i32.const 128))
        (if (i32.load8_u (i32.const 128)) (then (unreachable)))
        (i32.load (i32.const 132)))
    ;; Binds a socket to a port of this machine, or connects it to one; gives whether that has failed.
    (func $bind (param $socket i32) (param $port i32) (result i32)
        (call $tcp-bind (local.get $socket) (i32.const 0) (local.get $port)
            (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 128))
        (i32.load8_u (i32.const 128)))
    (func $connect (param $socket i32) (param $port i32) (result i32)
        (call $tcp-connect (local.get $socket) (i32.const 0) (local.get $port)
            (i32.const 127) (i32.const 0) (i32.const 0) (i32.const 1)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 128))
        (i32.load8_u (i32.const 128)))
    ;; The port that a socket is bound to.
    (func $port (param $socket i32) (result i32)
        (call $tcp-address (local.get $socket) (i32.const 128))
        (i32.load16_u (i32.const 136)))
    ;; The first directory.
    (func $directory (result i32)
        (call $directories (i32.const 16))
        (i32.load (i32.load (i32.const 16))))
    ;; Opens the file of the name `f`, with flags for opening and for the descriptor, and traps where that is not possible.
    (func $open (param $at i32) (param $open i32) (param $flags i32) (result i32)
        (i32.store8 (i32.const 96) (i32.const 102))
        (call $open-at (local.get $at) (i32.const 0) (i32.const 96) (i32.const 1) (local.get $open)
            (local.get $flags) (i32.const 128))
        (if (i32.load8_u (i32.const 128)) (then (unreachable)))
        (i32.load (i32.const 132)))
    ;; The two halves of what `new` gives.
    (func $readable (param $ends i64) (result i32) (i32.wrap_i64 (local.get $ends)))
    (func $writable (param $ends i64) (result i32)
        (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
"#;

/// What a program is a task of.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Ends {
    /// It has ended when it returns.
    Returning,
    /// It says what it returns by `$return`, and may go on.
    Later,
}

/// The text of a program whose core function `run` has this body.
pub(crate) fn text(body: &str, ends: Ends) -> String {
    let all = functions(IMPORTS);
    let mut text = IMPORTS.trim_end().strip_suffix(')').unwrap().to_owned();
    let instance_of = |interface: &str| {
        let found = all.iter().find(|function| function.interface.split('@').next() == Some(interface));
        found.unwrap_or_else(|| panic!("there is no {interface}")).instance
    };
    write!(
        text,
        r#"(alias export {files} "error-code" (type $file-code))
        (alias export {files} "directory-entry" (type $entry))
        (alias export {files} "descriptor" (type $descriptor))
        (alias export {sockets} "error-code" (type $net-code))
        (alias export {sockets} "tcp-socket" (type $tcp))
        (type $own-tcp (own $tcp)) (type $sockets (stream $own-tcp))
        (type $net-outcome (result (error $net-code))) (type $net-ended (future $net-outcome))
        (type $nothing (result))
        (type $bytes (stream u8)) (type $entries (stream $entry))
        (type $code (enum "io" "illegal-byte-sequence" "pipe"))
        (type $outcome (result (error $code))) (type $ended (future $outcome))
        (type $file-outcome (result (error $file-code))) (type $file-ended (future $file-outcome))
        (core module $memory (memory (export "memory") 4) (global $next (mut i32) (i32.const 131072))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get 3)))))
        (core instance $memory (instantiate $memory))
        (alias core export $memory "memory" (core memory $mem))
        (alias core export $memory "realloc" (core func $realloc))"#,
        files = instance_of("wasi:filesystem/types"),
        sockets = instance_of("wasi:sockets/types"),
    )
    .unwrap();
    let (mut imports, mut items) = (String::new(), String::new());
    let mut define = |name: &str, definition: &str, ty: &str| {
        write!(text, "(core func $core-{name} (canon {definition}))").unwrap();
        write!(imports, r#"(import "" "{name}" (func ${name} {ty}))"#).unwrap();
        write!(items, r#"(export "{name}" (func $core-{name}))"#).unwrap();
    };
    for (name, interface, function, ty) in CALLED {
        let instance = instance_of(interface);
        let called = format!(r#"lower (func {instance} "{function}") (memory $mem) (realloc $realloc)"#);
        define(name, &called, ty);
    }
    let clocks = instance_of("wasi:clocks/monotonic-clock");
    let begun = format!(r#"lower (func {clocks} "wait-for") async (memory $mem)"#);
    define("begin-wait-for", &begun, "(param i64) (result i32)");
    for (name, definition, ty) in BUILTINS {
        define(name, definition, ty);
    }
    let (lift, callback) = match ends {
        Ends::Returning => ("", ""),
        Ends::Later => (
            r#"async (callback (core func $m "callback"))"#,
            r#"(func (export "callback") (param i32 i32 i32) (result i32) (unreachable))"#,
        ),
    };
    write!(
        text,
        r#"(core module $m (import "memory" "memory" (memory 1)) {imports} {HELPERS} {callback}
            (func (export "run") (result i32)
                (local $a i32) (local $b i32) (local $c i32) (local $d i32) (local $e i32) (local $f i32)
                (local $g i32) (local $ends i64)
                (global.set $set (call $set-new))
                {body}))
        (core instance $m (instantiate $m
            (with "memory" (instance $memory)) (with "" (instance {items}))))
        (func $run async (result $nothing) (canon lift (core func $m "run") {lift}))
        (instance $program (export "run" (func $run)))
        (export "wasi:cli/run@0.3.0" (instance $program)))"#
    )
    .unwrap();
    text
}

/// Runs a program in the interpreter and in compiled code; gives the exit codes.
pub(crate) fn run(body: &str, keys: &Keys) -> [i32; 2] {
    engines().map(|engine| start(&engine, (body, Ends::Returning), keys, |_| ()).unwrap())
}

/// Runs a program, whose store is given to `prepare` first; gives the exit code.
pub(crate) fn start(
    engine: &Engine,
    (body, ends): (&str, Ends),
    keys: &Keys,
    prepare: impl FnOnce(&mut Store<p2::Context>),
) -> Result<i32, Error> {
    let (mut store, linker) = linked(engine, keys)?;
    prepare(&mut store);
    let instance = linker.instantiate(&mut store, &component(engine, &text(body, ends)))?;
    p3::call_run(&mut store, instance)
}

/// Runs a program in a way that can wait; gives the exit code.
#[cfg(feature = "async")]
pub(crate) async fn start_async(engine: &Engine, body: &str, keys: &Keys) -> Result<i32, Error> {
    let (mut store, linker) = linked(engine, keys)?;
    let component = component(engine, &text(body, Ends::Returning));
    let instance = linker.instantiate_async(&mut store, &component).await?;
    p3::call_run_async(&mut store, instance).await
}

pub(crate) fn linked(
    engine: &Engine,
    keys: &Keys,
) -> Result<(Store<p2::Context>, Linker<p2::Context>), Error> {
    let mut linker = Linker::new(engine);
    add_to_linker(&mut linker)?;
    let context = p2::Context::new(keys).unwrap();
    let budget = context.host().budget().clone();
    Ok((Store::with_budget(engine, context, &budget)?, linker))
}
