//! Components of the world `wasi:http/service`, made of core text: a module that imports functions of the interfaces and of the canonical ABI by short names.

use std::fmt::Write as _;

/// The interfaces that the world `wasi:http/middleware` imports, with the types of their functions.
pub(crate) const IMPORTS: &str = include_str!("wasi-http-0.3.2.wat");

/// Functions of interfaces that guests call, with their names there, and what they are to core code.
const CALLED: &[(&str, &str, &str, &str)] = &[
    ("fields", "types", "[constructor]fields", "(result i32)"),
    ("append", "types", "[method]fields.append", "(param i32 i32 i32 i32 i32 i32)"),
    ("copy-all", "types", "[method]fields.copy-all", "(param i32 i32)"),
    ("response-new", "types", "[static]response.new", "(param i32 i32 i32 i32 i32)"),
    ("set-status", "types", "[method]response.set-status-code", "(param i32 i32) (result i32)"),
    ("status", "types", "[method]response.get-status-code", "(param i32) (result i32)"),
    ("request-new", "types", "[static]request.new", "(param i32 i32 i32 i32 i32 i32 i32)"),
    ("set-method", "types", "[method]request.set-method", "(param i32 i32 i32 i32) (result i32)"),
    ("set-scheme", "types", "[method]request.set-scheme", "(param i32 i32 i32 i32 i32) (result i32)"),
    ("set-authority", "types", "[method]request.set-authority", "(param i32 i32 i32 i32) (result i32)"),
    ("set-path", "types", "[method]request.set-path-with-query", "(param i32 i32 i32 i32) (result i32)"),
    ("read-request", "types", "[static]request.consume-body", "(param i32 i32 i32)"),
    ("read-response", "types", "[static]response.consume-body", "(param i32 i32 i32)"),
    ("options", "types", "[constructor]request-options", "(result i32)"),
    ("set-first-byte", "types", "[method]request-options.set-first-byte-timeout", "(param i32 i32 i64 i32)"),
    ("stdout", "stdout", "write-via-stream", "(param i32) (result i32)"),
    ("sleep", "clock", "wait-for", "(param i64)"),
    ("pass-on", "handler", "handle", "(param i32 i32)"),
];

/// Functions of the canonical ABI that they call: each with what is written for it, and what it is to core code.
const BUILTINS: &[(&str, &str, &str)] = &[
    (
        "send",
        "lower (func $client \"send\") async (memory $mem) (realloc $realloc)",
        "(param i32 i32) (result i32)",
    ),
    ("stream-new", "stream.new $bytes", "(result i64)"),
    ("stream-read", "stream.read $bytes async (memory $mem)", "(param i32 i32 i32) (result i32)"),
    ("stream-write", "stream.write $bytes async (memory $mem)", "(param i32 i32 i32) (result i32)"),
    ("drop-readable", "stream.drop-readable $bytes", "(param i32)"),
    ("drop-writable", "stream.drop-writable $bytes", "(param i32)"),
    ("trailers-new", "future.new $trailers", "(result i64)"),
    ("trailers-write", "future.write $trailers async (memory $mem)", "(param i32 i32) (result i32)"),
    (
        "trailers-read",
        "future.read $trailers async (memory $mem) (realloc $realloc)",
        "(param i32 i32) (result i32)",
    ),
    ("outcome-new", "future.new $outcome", "(result i64)"),
    ("outcome-write", "future.write $outcome async (memory $mem)", "(param i32 i32) (result i32)"),
    (
        "outcome-read",
        "future.read $outcome async (memory $mem) (realloc $realloc)",
        "(param i32 i32) (result i32)",
    ),
    ("set-new", "waitable-set.new", "(result i32)"),
    ("set-wait", "waitable-set.wait (memory $mem)", "(param i32 i32) (result i32)"),
    ("join", "waitable.join", "(param i32 i32)"),
    ("subtask-drop", "subtask.drop", "(param i32)"),
    ("drop-request", "resource.drop $request", "(param i32)"),
    ("drop-response", "resource.drop $response", "(param i32)"),
    ("return", "task.return (result $returned) (memory $mem)", "(param i32 i32 i32 i64 i32 i32 i32 i32)"),
];

/// What all guests have in their core module. Below 1024 is what calls give; from 4096 what they read; from 65536 what they write.
const HELPERS: &str = r#"
    (global $set (mut i32) (i32.const 0))
    ;; How the last response, or the last request, was sent: a future.
    (global $sent (mut i32) (i32.const 0))
    ;; The trailers of what is read: a future.
    (global $behind (mut i32) (i32.const 0))
    ;; Waits for the end of what was begun with a handle, if it has not ended at once; gives what came of it.
    (func $wait (param $handle i32) (param $result i32) (result i32)
        (if (i32.ne (local.get $result) (i32.const -1)) (then (return (local.get $result))))
        (call $join (local.get $handle) (global.get $set))
        (drop (call $set-wait (global.get $set) (i32.const 32)))
        (call $join (local.get $handle) (i32.const 0))
        (i32.load (i32.const 36)))
    (func $readable (param $ends i64) (result i32) (i32.wrap_i64 (local.get $ends)))
    (func $writable (param $ends i64) (result i32)
        (i32.wrap_i64 (i64.shr_u (local.get $ends) (i64.const 32))))
    ;; Trailers that are none.
    (func $no-trailers (result i32) (local $ends i64)
        (local.set $ends (call $trailers-new))
        (i64.store (i32.const 64) (i64.const 0)) (i64.store (i32.const 72) (i64.const 0))
        (drop (call $trailers-write (call $writable (local.get $ends)) (i32.const 64)))
        (call $readable (local.get $ends)))
    ;; That all is well with what is read.
    (func $well (result i32) (local $ends i64)
        (local.set $ends (call $outcome-new))
        (i64.store (i32.const 128) (i64.const 0))
        (drop (call $outcome-write (call $writable (local.get $ends)) (i32.const 128)))
        (call $readable (local.get $ends)))
    ;; Returns a response with a status and these trailers, and with the readable end of a stream as contents, or none where that is 0.
    (func $answer-with (param $status i32) (param $contents i32) (param $trailers i32) (param $fields i32)
        (local $response i32)
        (call $response-new (local.get $fields) (i32.ne (local.get $contents) (i32.const 0))
            (local.get $contents) (local.get $trailers) (i32.const 192))
        (local.set $response (i32.load (i32.const 192)))
        (global.set $sent (i32.load (i32.const 196)))
        (if (call $set-status (local.get $response) (local.get $status)) (then (unreachable)))
        (call $give (local.get $response)))
    (func $give (param $response i32)
        (call $return (i32.const 0) (local.get $response) (i32.const 0) (i64.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
    (func $answer (param $status i32) (param $contents i32)
        (call $answer-with (local.get $status) (local.get $contents) (call $no-trailers) (call $fields)))
    ;; Writes bytes that lie somewhere; gives whether anybody still reads.
    (func $write (param $stream i32) (param $at i32) (param $count i32) (result i32) (local $result i32)
        (loop $more
            (local.set $result (call $wait (local.get $stream)
                (call $stream-write (local.get $stream) (local.get $at) (local.get $count))))
            (local.set $at (i32.add (local.get $at) (i32.shr_u (local.get $result) (i32.const 4))))
            (local.set $count (i32.sub (local.get $count) (i32.shr_u (local.get $result) (i32.const 4))))
            (if (i32.and (local.get $result) (i32.const 15)) (then (return (i32.const 0))))
            (br_if $more (local.get $count)))
        (i32.const 1))
    ;; Reads a piece; gives its length times 16, and whether that was all.
    (func $read (param $stream i32) (result i32)
        (call $wait (local.get $stream) (call $stream-read (local.get $stream) (i32.const 4096) (i32.const 32768))))
    ;; Writes all that is read, and drops both ends.
    (func $pump (param $from i32) (param $to i32) (local $result i32)
        (block $end (loop $more
            (local.set $result (call $read (local.get $from)))
            (if (i32.shr_u (local.get $result) (i32.const 4)) (then
                (br_if $end (i32.eqz (call $write (local.get $to) (i32.const 4096)
                    (i32.shr_u (local.get $result) (i32.const 4)))))))
            (br_if $more (i32.eqz (i32.and (local.get $result) (i32.const 15))))))
        (call $drop-readable (local.get $from))
        (call $drop-writable (local.get $to)))
    ;; The stream of a request's body, or of a response's.
    (func $of-request (param $request i32) (result i32)
        (call $read-request (local.get $request) (call $well) (i32.const 192))
        (global.set $behind (i32.load (i32.const 196)))
        (i32.load (i32.const 192)))
    (func $of-response (param $response i32) (result i32)
        (call $read-response (local.get $response) (call $well) (i32.const 192))
        (global.set $behind (i32.load (i32.const 196)))
        (i32.load (i32.const 192)))
    ;; Waits for the trailers of what was read: at 256, in the form of the canonical ABI. Traps where they do not come.
    (func $trailers
        (if (call $wait (global.get $behind) (call $trailers-read (global.get $behind) (i32.const 256)))
            (then (unreachable))))
    ;; Waits until it is known how the last message was sent; gives 0, or 1 and the number of the error.
    (func $was-sent (result i32)
        (if (call $wait (global.get $sent) (call $outcome-read (global.get $sent) (i32.const 320))) (then (unreachable)))
        (if (i32.eqz (i32.load8_u (i32.const 320))) (then (return (i32.const 0))))
        (i32.add (i32.const 1) (i32.load8_u (i32.const 328))))
    ;; Prints a line.
    (func $print (local $ends i64)
        (local.set $ends (call $stream-new))
        (drop (call $stdout (call $readable (local.get $ends))))
        (i32.store (i32.const 448) (i32.const 0x0a796573))
        (drop (call $write (call $writable (local.get $ends)) (i32.const 448) (i32.const 4)))
        (call $drop-writable (call $writable (local.get $ends))))
    ;; Sends a request; gives the response, or traps for want of it, but for an error that is known: then it answers with 500 and its number, and gives 0.
    (func $sent-response (param $request i32) (result i32)
        (call $finish-send (call $send (local.get $request) (i32.const 384))))
    (func $finish-send (param $state i32) (result i32) (local $subtask i32)
        (local.set $subtask (i32.shr_u (local.get $state) (i32.const 4)))
        (if (local.get $subtask) (then
            (call $join (local.get $subtask) (global.get $set))
            (block $returned (loop $again
                (drop (call $set-wait (global.get $set) (i32.const 32)))
                (br_if $returned (i32.eq (i32.load (i32.const 36)) (i32.const 2)))
                (br $again)))
            (call $join (local.get $subtask) (i32.const 0))
            (call $subtask-drop (local.get $subtask))))
        (if (i32.load8_u (i32.const 384)) (then
            (call $answer (i32.add (i32.const 500) (i32.load8_u (i32.const 392))) (i32.const 0))
            (return (i32.const 0))))
        (i32.load (i32.const 392)))
"#;

/// A component whose `handle` is the function `$handle` of this text, with the request's handle as parameter.
#[allow(dead_code, reason = "not all tests have only these functions")]
pub(crate) fn component(text: &str) -> String {
    component_with(&[], text)
}

/// One that calls more functions of interfaces than others do.
pub(crate) fn component_with(called: &[(&str, &str, &str, &str)], text: &str) -> String {
    let mut component = IMPORTS.trim_end().strip_suffix(')').unwrap().to_owned();
    component += r#"
        (type $bytes (stream u8))
        (type $own-fields (own $fields)) (type $some-fields (option $own-fields))
        (type $arrived (result $some-fields (error $code))) (type $trailers (future $arrived))
        (type $sent (result (error $code))) (type $outcome (future $sent))
        (type $own-request (own $request)) (type $own-response (own $response))
        (type $returned (result $own-response (error $code)))
        (core module $memory (memory (export "memory") 8) (global $next (mut i32) (i32.const 262144))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
                (if (i32.gt_u (global.get $next) (i32.const 500000)) (then (global.set $next (i32.const 262144))))
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.set $next (i32.add (local.get $at) (local.get 3)))
                (local.get $at)))
        (core instance $memory (instantiate $memory))
        (alias core export $memory "memory" (core memory $mem))
        (alias core export $memory "realloc" (core func $realloc))"#;
    let (mut imports, mut items) = (String::new(), String::new());
    let mut define = |name: &str, definition: &str, ty: &str| {
        write!(component, "(core func $core-{name} (canon {definition}))").unwrap();
        write!(imports, r#"(import "" "{name}" (func ${name} {ty}))"#).unwrap();
        write!(items, r#"(export "{name}" (func $core-{name}))"#).unwrap();
    };
    for (name, instance, function, ty) in CALLED.iter().chain(called) {
        define(
            name,
            &format!(r#"lower (func ${instance} "{function}") (memory $mem) (realloc $realloc)"#),
            ty,
        );
    }
    for (name, definition, ty) in BUILTINS {
        define(name, definition, ty);
    }
    write!(
        component,
        r#"(core module $m (import "memory" "memory" (memory 1)) {imports} {HELPERS} {text}
            (func (export "callback") (param i32 i32 i32) (result i32) (unreachable))
            (func (export "handle") (param $request i32) (result i32)
                (global.set $set (call $set-new))
                (call $handle (local.get $request))
                (i32.const 0)))
        (core instance $m (instantiate $m
            (with "memory" (instance $memory)) (with "" (instance {items}))))
        (func $handled async (param "request" $own-request) (result $returned)
            (canon lift (core func $m "handle") async (memory $mem) (realloc $realloc)
                (callback (core func $m "callback"))))
        (instance $exported (export "handle" (func $handled)))
        (export "wasi:http/handler@0.3.2" (instance $exported)))"#
    )
    .unwrap();
    component
}
