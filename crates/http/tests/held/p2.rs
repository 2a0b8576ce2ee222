//! Rows for WASI HTTP 0.2.

use innkeeper::component::Linker;
use innkeeper::wasi::host::OpenKeys;
use innkeeper::wasi::p2::{self, Context};
use innkeeper_http::{HttpLimits, Proxy, ProxyTimes};

use super::guest_of_p2::{IMPORTS, component as guest};
use super::{Row, alone, check, check_that_all_are_called, component, engine, keys, upstream};

/// What all rows may use.
const ITEMS: &str = r#"
    (import "wasi:http/types" "[constructor]outgoing-request" (func $asking (param i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-request.set-scheme" (func $set_scheme (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-request.set-authority" (func $set_authority (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/outgoing-handler" "handle" (func $ask (param i32 i32 i32 i32)))
    (import "wasi:http/types" "[method]future-incoming-response.subscribe" (func $answered (param i32) (result i32)))
    (import "wasi:http/types" "[method]future-incoming-response.get" (func $got (param i32 i32)))
    (import "wasi:io/poll" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/streams" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
    (import "wasi:http/types" "[method]incoming-response.consume" (func $consume_answer (param i32 i32)))
    (import "drop" "pollable" (func $drop_pollable (param i32)))
    (import "drop" "future-incoming-response" (func $drop_future (param i32)))
    (import "drop" "incoming-response" (func $drop_answer (param i32)))
    (import "drop" "outgoing-request" (func $drop_asking (param i32)))
    (data (i32.const 250) "x")
    ;; Fields with one of 100,000 bytes.
    (func $big (result i32) (local $fields i32)
        (local.set $fields (call $fields))
        (call $append (local.get $fields) (i32.const 250) (i32.const 1) (i32.const 256) (i32.const 100000) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then (unreachable)))
        (local.get $fields))
    ;; A request to the server that is there: its future, or 0 where there is no room for it.
    (func $asked (result i32) (local $asking i32)
        (local.set $asking (call $asking (call $fields)))
        (drop (call $set_scheme (local.get $asking) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
        (drop (call $set_authority (local.get $asking) (i32.const 1) (i32.const 0x3f0000) (global.get $authority)))
        (call $ask (local.get $asking) (i32.const 0) (i32.const 0) (i32.const 128))
        (if (i32.load8_u (i32.const 128)) (then (return (i32.const 0))))
        (i32.load (i32.const 136)))
    ;; Its answer, or 0.
    (func $answer_of (param $future i32) (result i32) (local $pollable i32)
        (local.set $pollable (call $answered (local.get $future)))
        (call $block (local.get $pollable))
        (call $drop_pollable (local.get $pollable))
        (call $got (local.get $future) (i32.const 128))
        (call $drop_future (local.get $future))
        (if (i32.load8_u (i32.const 144)) (then (return (i32.const 0))))
        (i32.load (i32.const 152)))"#;

const ROWS: &[Row] = &[
    Row { of: &["[constructor]fields"], times: 20_000, items: "", before: "", act: "(drop (call $fields))" },
    Row { of: &["[method]fields.append"], times: 600, items: "", before: "", act: "(drop (call $big))" },
    // Room for many values stays when they are gone.
    Row {
        of: &["[method]fields.set", "[method]fields.delete"],
        times: 600,
        items: r#"
            (import "wasi:http/types" "[method]fields.set" (func $set_field (param i32 i32 i32 i32 i32 i32)))
            (import "wasi:http/types" "[method]fields.delete" (func $delete (param i32 i32 i32 i32)))"#,
        before: "",
        act: r#"
            (local.set $f (call $fields))
            (call $set_field (local.get $f) (i32.const 250) (i32.const 1) (i32.const 0x380000) (i32.const 1000) (i32.const 64))
            (if (i32.load8_u (i32.const 64)) (then (unreachable)))
            (call $delete (local.get $f) (i32.const 250) (i32.const 1) (i32.const 64))
            (call $append (local.get $f) (i32.const 250) (i32.const 1) (i32.const 256) (i32.const 1) (i32.const 64))"#,
    },
    Row {
        of: &["[static]fields.from-list"],
        times: 300,
        items: r#"(import "wasi:http/types" "[static]fields.from-list" (func $from_list (param i32 i32 i32)))"#,
        before: r#"
            (loop $entry
                (i32.store (i32.add (i32.const 0x380000) (i32.mul (local.get $r) (i32.const 16))) (i32.add (i32.const 256) (local.get $r)))
                (i32.store (i32.add (i32.const 0x380004) (i32.mul (local.get $r) (i32.const 16))) (i32.add (i32.const 1) (i32.rem_u (local.get $r) (i32.const 60))))
                (br_if $entry (i32.lt_u (local.tee $r (i32.add (local.get $r) (i32.const 1))) (i32.const 1000))))"#,
        act: r#"
            (call $from_list (i32.const 0x380000) (i32.const 1000) (i32.const 64))
            (if (i32.load8_u (i32.const 64)) (then (unreachable)))"#,
    },
    Row {
        of: &["[method]fields.clone"],
        times: 600,
        items: r#"(import "wasi:http/types" "[method]fields.clone" (func $clone (param i32) (result i32)))"#,
        before: "(local.set $f (call $big))",
        act: "(drop (call $clone (local.get $f)))",
    },
    Row {
        of: &["[method]fields.get", "[method]fields.has", "[method]fields.entries"],
        times: 200,
        items: r#"
            (import "wasi:http/types" "[method]fields.get" (func $get (param i32 i32 i32 i32)))
            (import "wasi:http/types" "[method]fields.has" (func $has (param i32 i32 i32) (result i32)))
            (import "wasi:http/types" "[method]fields.entries" (func $entries (param i32 i32)))"#,
        before: "(local.set $f (call $big))",
        act: r#"
            (call $get (local.get $f) (i32.const 250) (i32.const 1) (i32.const 64))
            (drop (call $has (local.get $f) (i32.const 256) (i32.const 100000)))
            (call $entries (local.get $f) (i32.const 64))"#,
    },
    // What is of one message goes into another one, which stays when the first has gone.
    Row {
        of: &["[method]outgoing-request.headers", "[constructor]outgoing-response"],
        times: 600,
        items: r#"(import "wasi:http/types" "[method]outgoing-request.headers" (func $headers (param i32) (result i32)))"#,
        before: "",
        act: r#"
            (local.set $r (call $asking (call $big)))
            (drop (call $response (call $headers (local.get $r))))
            (call $drop_asking (local.get $r))"#,
    },
    Row {
        of: &["[method]outgoing-response.headers", "[constructor]outgoing-request"],
        times: 600,
        items: r#"
            (import "wasi:http/types" "[method]outgoing-response.headers" (func $headers (param i32) (result i32)))
            (import "drop" "outgoing-response" (func $drop_response (param i32)))"#,
        before: "",
        act: r#"
            (local.set $r (call $response (call $big)))
            (drop (call $asking (call $headers (local.get $r))))
            (call $drop_response (local.get $r))"#,
    },
    Row {
        of: &["[method]incoming-request.headers"],
        times: 20_000,
        items: r#"(import "wasi:http/types" "[method]incoming-request.headers" (func $headers (param i32) (result i32)))"#,
        before: "",
        act: "(drop (call $headers (local.get $request)))",
    },
    Row {
        of: &[
            "[method]outgoing-request.set-method",
            "[method]outgoing-request.set-path-with-query",
            "[method]outgoing-request.set-scheme",
            "[method]outgoing-request.set-authority",
            "[method]outgoing-request.method",
            "[method]outgoing-request.path-with-query",
            "[method]outgoing-request.scheme",
            "[method]outgoing-request.authority",
        ],
        times: 1000,
        items: r#"
            (import "wasi:http/types" "[method]outgoing-request.set-method" (func $set_method (param i32 i32 i32 i32) (result i32)))
            (import "wasi:http/types" "[method]outgoing-request.set-path-with-query" (func $set_path (param i32 i32 i32 i32) (result i32)))
            (import "wasi:http/types" "[method]outgoing-request.method" (func $method (param i32 i32)))
            (import "wasi:http/types" "[method]outgoing-request.path-with-query" (func $path (param i32 i32)))
            (import "wasi:http/types" "[method]outgoing-request.scheme" (func $scheme (param i32 i32)))
            (import "wasi:http/types" "[method]outgoing-request.authority" (func $authority (param i32 i32)))"#,
        before: "",
        act: r#"
            (local.set $r (call $asking (call $fields)))
            (drop (call $set_method (local.get $r) (i32.const 9) (i32.const 256) (i32.const 64)))
            (if (call $set_path (local.get $r) (i32.const 1) (i32.const 255) (i32.const 16384)) (then (unreachable)))
            (drop (call $set_scheme (local.get $r) (i32.const 1) (i32.const 2) (i32.const 256) (i32.const 64)))
            (drop (call $set_authority (local.get $r) (i32.const 1) (i32.const 256) (i32.const 512)))
            (drop (call $set_method (local.get $r) (i32.const 9) (i32.const 256) (i32.const 100000)))
            (drop (call $set_path (local.get $r) (i32.const 1) (i32.const 255) (i32.const 100000)))
            (drop (call $set_scheme (local.get $r) (i32.const 1) (i32.const 2) (i32.const 256) (i32.const 100000)))
            (drop (call $set_authority (local.get $r) (i32.const 1) (i32.const 256) (i32.const 100000)))
            (call $method (local.get $r) (i32.const 64))
            (call $path (local.get $r) (i32.const 64))
            (call $scheme (local.get $r) (i32.const 64))
            (call $authority (local.get $r) (i32.const 64))"#,
    },
    Row {
        of: &["[method]outgoing-request.body", "[method]outgoing-body.write"],
        times: 400,
        items: r#"
            (import "wasi:http/types" "[method]outgoing-request.body" (func $body (param i32 i32)))"#,
        before: "",
        act: r#"
            (call $body (call $asking (call $fields)) (i32.const 64))
            (local.set $s (call $stream (call $ok (i32.const 64))))
            (local.set $b (i32.const 16))
            (loop $more
                (drop (call $say (local.get $s) (i32.const 256) (i32.const 4096)))
                (br_if $more (local.tee $b (i32.sub (local.get $b) (i32.const 1)))))"#,
    },
    Row {
        of: &["[method]outgoing-response.body", "[static]outgoing-body.finish"],
        times: 400,
        items: "",
        before: "",
        act: r#"
            (call $response_body (call $response (call $fields)) (i32.const 64))
            (local.set $b (call $ok (i32.const 64)))
            (call $finish_body (local.get $b) (i32.const 1) (call $big) (i32.const 64))"#,
    },
    Row {
        of: &["[method]outgoing-response.status-code", "[method]outgoing-response.set-status-code"],
        times: 20_000,
        items: r#"
            (import "wasi:http/types" "[method]outgoing-response.status-code" (func $status (param i32) (result i32)))"#,
        before: "",
        act: r#"
            (local.set $r (call $response (call $fields)))
            (drop (call $set_status (local.get $r) (call $status (local.get $r))))"#,
    },
    Row {
        of: &[
            "[constructor]request-options",
            "[method]request-options.connect-timeout",
            "[method]request-options.set-connect-timeout",
            "[method]request-options.first-byte-timeout",
            "[method]request-options.set-first-byte-timeout",
            "[method]request-options.between-bytes-timeout",
            "[method]request-options.set-between-bytes-timeout",
        ],
        times: 10_000,
        items: r#"
            (import "wasi:http/types" "[constructor]request-options" (func $options (result i32)))
            (import "wasi:http/types" "[method]request-options.connect-timeout" (func $connect (param i32 i32)))
            (import "wasi:http/types" "[method]request-options.set-connect-timeout" (func $set_connect (param i32 i32 i64) (result i32)))
            (import "wasi:http/types" "[method]request-options.first-byte-timeout" (func $first (param i32 i32)))
            (import "wasi:http/types" "[method]request-options.set-first-byte-timeout" (func $set_first (param i32 i32 i64) (result i32)))
            (import "wasi:http/types" "[method]request-options.between-bytes-timeout" (func $between (param i32 i32)))
            (import "wasi:http/types" "[method]request-options.set-between-bytes-timeout" (func $set_between (param i32 i32 i64) (result i32)))"#,
        before: "",
        act: r#"
            (local.set $r (call $options))
            (drop (call $set_connect (local.get $r) (i32.const 1) (i64.const -1)))
            (drop (call $set_first (local.get $r) (i32.const 1) (i64.const -1)))
            (drop (call $set_between (local.get $r) (i32.const 1) (i64.const -1)))
            (call $connect (local.get $r) (i32.const 64))
            (call $first (local.get $r) (i32.const 64))
            (call $between (local.get $r) (i32.const 64))"#,
    },
    Row {
        of: &[
            "[method]incoming-request.method",
            "[method]incoming-request.path-with-query",
            "[method]incoming-request.scheme",
            "[method]incoming-request.authority",
        ],
        times: 1000,
        items: r#"
            (import "wasi:http/types" "[method]incoming-request.method" (func $method (param i32 i32)))
            (import "wasi:http/types" "[method]incoming-request.path-with-query" (func $path (param i32 i32)))
            (import "wasi:http/types" "[method]incoming-request.scheme" (func $scheme (param i32 i32)))
            (import "wasi:http/types" "[method]incoming-request.authority" (func $authority (param i32 i32)))"#,
        before: "",
        act: r#"
            (call $method (local.get $request) (i32.const 64))
            (call $path (local.get $request) (i32.const 64))
            (call $scheme (local.get $request) (i32.const 64))
            (call $authority (local.get $request) (i32.const 64))"#,
    },
    Row {
        of: &["[method]incoming-request.consume", "[method]incoming-body.stream"],
        times: 1000,
        items: "",
        before: "(local.set $b (call $reading (local.get $request))) (local.set $s (call $read_stream (local.get $b)))",
        act: r#"
            (call $consume (local.get $request) (i32.const 64))
            (call $read_body (local.get $b) (i32.const 64))
            (call $read (local.get $s) (i64.const 1) (i32.const 64))"#,
    },
    Row {
        of: &[
            "[static]incoming-body.finish",
            "[method]future-trailers.subscribe",
            "[method]future-trailers.get",
        ],
        times: 20_000,
        items: r#"
            (import "wasi:http/types" "[method]future-trailers.subscribe" (func $subscribe (param i32) (result i32)))
            (import "wasi:http/types" "[method]future-trailers.get" (func $trailers (param i32 i32)))"#,
        before: "(local.set $r (call $finish_read (call $reading (local.get $request))))",
        act: r#"
            (drop (call $subscribe (local.get $r)))
            (call $trailers (local.get $r) (i32.const 64))"#,
    },
    // Requests that nobody asks after.
    Row {
        of: &["handle", "[method]future-incoming-response.subscribe"],
        times: 400,
        items: "",
        before: "",
        act: r#"
            (local.set $r (call $asked))
            (if (local.get $r) (then (drop (call $answered (local.get $r)))))"#,
    },
    // Answers of which nothing is read.
    Row {
        of: &["[method]future-incoming-response.get", "[method]incoming-response.status"],
        times: 300,
        items: r#"(import "wasi:http/types" "[method]incoming-response.status" (func $status (param i32) (result i32)))"#,
        before: "",
        act: r#"
            (local.set $r (call $asked))
            (if (local.get $r) (then
                (local.set $r (call $answer_of (local.get $r)))
                (if (local.get $r) (then (drop (call $status (local.get $r)))))))"#,
    },
    // Answers of which nothing is left but their fields, in another message.
    Row {
        of: &["[method]incoming-response.headers"],
        times: 300,
        items: r#"(import "wasi:http/types" "[method]incoming-response.headers" (func $headers (param i32) (result i32)))"#,
        before: "",
        act: r#"
            (local.set $r (call $asked))
            (if (local.get $r) (then
                (local.set $r (call $answer_of (local.get $r)))
                (if (local.get $r) (then
                    (drop (call $response (call $headers (local.get $r))))
                    (call $drop_answer (local.get $r))))))"#,
    },
    // Answers of whose body nearly all is there, and a little was read.
    Row {
        of: &["[method]incoming-response.consume"],
        times: 300,
        items: "",
        before: "",
        act: r#"
            (local.set $r (call $asked))
            (if (local.get $r) (then
                (local.set $r (call $answer_of (local.get $r)))
                (if (local.get $r) (then
                    (call $consume_answer (local.get $r) (i32.const 64))
                    (call $drop_answer (local.get $r))
                    (call $read (call $read_stream (call $ok (i32.const 64))) (i64.const 1) (i32.const 128))))))"#,
    },
    // Errors of streams, with what is behind them.
    Row {
        of: &["http-error-code"],
        times: 400,
        items: r#"
            (import "wasi:http/types" "http-error-code" (func $code (param i32 i32)))
            (data (i32.const 0x3f0100) "content-length") (data (i32.const 0x3f0120) "1")"#,
        before: "",
        act: r#"
            (local.set $f (call $fields))
            (call $append (local.get $f) (i32.const 0x3f0100) (i32.const 14) (i32.const 0x3f0120) (i32.const 1) (i32.const 64))
            (local.set $r (call $response (local.get $f)))
            (call $response_body (local.get $r) (i32.const 64))
            (local.set $s (call $stream (call $ok (i32.const 64))))
            (call $write (local.get $s) (i32.const 256) (i32.const 4096) (i32.const 64))
            ;; `last-operation-failed`
            (if (i32.ne (i32.load8_u (i32.const 64)) (i32.const 1)) (then (unreachable)))
            (if (i32.load8_u (i32.const 68)) (then (unreachable)))
            (call $code (i32.load (i32.const 72)) (i32.const 128))
            (if (i32.eqz (i32.load8_u (i32.const 128))) (then (unreachable)))"#,
    },
    // An answer that is an error with a text of a megabyte, which may be said once.
    Row {
        of: &["[static]response-outparam.set"],
        times: 1,
        items: "",
        before: "",
        act: r#"
            (memory.fill (i32.const 256) (i32.const 97) (i32.const 0x300000))
            (call $set (local.get $out) (i32.const 1) (i32.const 38) (i32.const 1) (i64.const 256)
                (i32.const 0x300000) (i32.const 0) (i32.const 0) (i32.const 0))
            (return)"#,
    },
];

fn text(row: &Row, authority: &str) -> String {
    let Row { times, items, before, act, .. } = row;
    format!(
        r#"{ITEMS} {items} (data (i32.const 0x3f0000) "{authority}") (global $authority i32 (i32.const {}))
        (func $handle (param $request i32) (param $out i32)
            (local $left i32) (local $f i32) (local $r i32) (local $b i32) (local $s i32)
            (memory.fill (i32.const 255) (i32.const 97) (i32.const 131000))
            (i32.store8 (i32.const 255) (i32.const 47))
            {before}
            (local.set $left (i32.const {times}))
            (loop $next {act} (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (local.set $b (call $answer (local.get $out) (i32.const 299)))
            (call $end (local.get $b) (call $stream (local.get $b))))"#,
        authority.len()
    )
}

#[test]
fn functions_of_0_2_hold_what_is_charged() {
    let _alone = alone();
    check_that_all_are_called(IMPORTS, ROWS);
    let engine = engine();
    let mut linker = Linker::new(&engine);
    p2::add_to_linker(&mut linker, |context: &mut Context| context).unwrap();
    let limits = HttpLimits::default();
    innkeeper_http::p2::add_to_linker(&mut linker, |context: &mut Context| context, &limits).unwrap();
    let upstream = upstream();
    for row in ROWS {
        let pre =
            linker.instantiate_pre(&component(&engine, &guest(&text(row, &upstream.to_string())))).unwrap();
        let keys = OpenKeys::open(&keys(upstream)).unwrap();
        let proxy = Proxy::new(pre, keys, String::from("guest"), ProxyTimes::default()).unwrap();
        check(row.of, &proxy);
    }
}
