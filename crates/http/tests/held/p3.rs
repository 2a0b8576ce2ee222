//! Rows for WASI HTTP 0.3.

use innkeeper::component::Linker;
use innkeeper::wasi::host::OpenKeys;
use innkeeper::wasi::p2::Context;
use innkeeper::wasi::p3;
use innkeeper_http::{HttpLimits, Proxy, ProxyTimes};

use super::guest_of_p3::{IMPORTS, component_with};
use super::{Row, alone, check, check_that_all_are_called, component, engine, keys, upstream};

/// What guests call here, and nowhere else in tests.
const CALLED: &[(&str, &str, &str, &str)] = &[
    ("from-list", "types", "[static]fields.from-list", "(param i32 i32 i32)"),
    ("get", "types", "[method]fields.get", "(param i32 i32 i32 i32)"),
    ("has", "types", "[method]fields.has", "(param i32 i32 i32) (result i32)"),
    ("set-field", "types", "[method]fields.set", "(param i32 i32 i32 i32 i32 i32)"),
    ("delete", "types", "[method]fields.delete", "(param i32 i32 i32 i32)"),
    ("get-and-delete", "types", "[method]fields.get-and-delete", "(param i32 i32 i32 i32)"),
    ("clone", "types", "[method]fields.clone", "(param i32) (result i32)"),
    ("get-method", "types", "[method]request.get-method", "(param i32 i32)"),
    ("get-path", "types", "[method]request.get-path-with-query", "(param i32 i32)"),
    ("get-scheme", "types", "[method]request.get-scheme", "(param i32 i32)"),
    ("get-authority", "types", "[method]request.get-authority", "(param i32 i32)"),
    ("get-options", "types", "[method]request.get-options", "(param i32 i32)"),
    ("request-headers", "types", "[method]request.get-headers", "(param i32) (result i32)"),
    ("response-headers", "types", "[method]response.get-headers", "(param i32) (result i32)"),
    ("clone-options", "types", "[method]request-options.clone", "(param i32) (result i32)"),
    ("get-connect", "types", "[method]request-options.get-connect-timeout", "(param i32 i32)"),
    ("set-connect", "types", "[method]request-options.set-connect-timeout", "(param i32 i32 i64 i32)"),
    ("get-first-byte", "types", "[method]request-options.get-first-byte-timeout", "(param i32 i32)"),
    ("get-between", "types", "[method]request-options.get-between-bytes-timeout", "(param i32 i32)"),
    ("set-between", "types", "[method]request-options.set-between-bytes-timeout", "(param i32 i32 i64 i32)"),
];

/// What all rows may use. Texts of 100,000 bytes are at 65536, a list of a thousand of nothing at 180,000.
const ITEMS: &str = r#"
    ;; Fields with one of 100,000 bytes.
    (func $big (result i32) (local $fields i32)
        (local.set $fields (call $fields))
        (call $append (local.get $fields) (i32.const 65537) (i32.const 1) (i32.const 65537) (i32.const 100000) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then (unreachable)))
        (local.get $fields))
    (func $new-request (param $fields i32) (result i32)
        (call $request-new (local.get $fields) (i32.const 0) (i32.const 0) (call $no-trailers) (i32.const 0) (i32.const 0) (i32.const 192))
        (i32.load (i32.const 192)))
    (func $new-response (param $fields i32) (result i32)
        (call $response-new (local.get $fields) (i32.const 0) (i32.const 0) (call $no-trailers) (i32.const 192))
        (i32.load (i32.const 192)))
    ;; A request to the server that is there.
    (func $asking (result i32) (local $request i32)
        (local.set $request (call $new-request (call $fields)))
        (drop (call $set-scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
        (drop (call $set-authority (local.get $request) (i32.const 1) (i32.const 1024) (global.get $authority)))
        (local.get $request))
    ;; Its answer; 0 where there is none.
    (func $asked (result i32)
        (call $pass-on (call $asking) (i32.const 384))
        (if (i32.load8_u (i32.const 384)) (then (return (i32.const 0))))
        (i32.load (i32.const 392)))
    ;; Says that a message was of no use, with a text of 100,000 bytes.
    (func $refusal (result i32) (local $ends i64)
        (local.set $ends (call $outcome-new))
        (i32.store (i32.const 128) (i32.const 1))
        (i32.store (i32.const 136) (i32.const 38))
        (i32.store (i32.const 144) (i32.const 1))
        (i32.store (i32.const 148) (i32.const 65537))
        (i32.store (i32.const 152) (i32.const 100000))
        (global.set $said (call $writable (local.get $ends)))
        (call $readable (local.get $ends)))
    (global $said (mut i32) (i32.const 0))"#;

const ROWS: &[Row] = &[
    Row { of: &["[constructor]fields"], times: 20_000, items: "", before: "", act: "(drop (call $fields))" },
    Row { of: &["[method]fields.append"], times: 600, items: "", before: "", act: "(drop (call $big))" },
    // Room for many values stays when they are gone.
    Row {
        of: &["[method]fields.set", "[method]fields.delete", "[method]fields.get-and-delete"],
        times: 600,
        items: "",
        before: "",
        act: r#"
            (local.set $f (call $fields))
            (call $set-field (local.get $f) (i32.const 65537) (i32.const 1) (i32.const 180000) (i32.const 1000) (i32.const 64))
            (if (i32.load8_u (i32.const 64)) (then (unreachable)))
            (if (i32.and (local.get $left) (i32.const 1))
                (then (call $delete (local.get $f) (i32.const 65537) (i32.const 1) (i32.const 64)))
                (else (call $get-and-delete (local.get $f) (i32.const 65537) (i32.const 1) (i32.const 64))))
            (call $append (local.get $f) (i32.const 65537) (i32.const 1) (i32.const 65537) (i32.const 1) (i32.const 64))"#,
    },
    Row {
        of: &["[static]fields.from-list"],
        times: 300,
        items: "",
        before: r#"
            (loop $entry
                (i32.store (i32.add (i32.const 190000) (i32.mul (local.get $r) (i32.const 16))) (i32.add (i32.const 65537) (local.get $r)))
                (i32.store (i32.add (i32.const 190004) (i32.mul (local.get $r) (i32.const 16))) (i32.add (i32.const 1) (i32.rem_u (local.get $r) (i32.const 60))))
                (br_if $entry (i32.lt_u (local.tee $r (i32.add (local.get $r) (i32.const 1))) (i32.const 1000))))"#,
        act: r#"
            (call $from-list (i32.const 190000) (i32.const 1000) (i32.const 64))
            (if (i32.load8_u (i32.const 64)) (then (unreachable)))"#,
    },
    Row {
        of: &["[method]fields.clone"],
        times: 600,
        items: "",
        before: "(local.set $f (call $big))",
        act: "(drop (call $clone (local.get $f)))",
    },
    Row {
        of: &["[method]fields.get", "[method]fields.has", "[method]fields.copy-all"],
        times: 200,
        items: "",
        // No more than is free of the guest's memory.
        before: r#"
            (local.set $f (call $fields))
            (call $append (local.get $f) (i32.const 65537) (i32.const 1) (i32.const 65537) (i32.const 20000) (i32.const 64))"#,
        act: r#"
            (call $get (local.get $f) (i32.const 65537) (i32.const 1) (i32.const 64))
            (drop (call $has (local.get $f) (i32.const 65537) (i32.const 100000)))
            (call $copy-all (local.get $f) (i32.const 64))"#,
    },
    Row {
        of: &["[static]response.new", "[method]response.get-status-code", "[method]response.set-status-code"],
        times: 600,
        items: "",
        before: "",
        act: r#"
            (local.set $r (call $new-response (call $big)))
            (drop (call $set-status (local.get $r) (call $status (local.get $r))))"#,
    },
    // The fields of messages that are gone.
    Row {
        of: &["[method]response.get-headers"],
        times: 600,
        items: "",
        before: "",
        act: r#"
            (local.set $r (call $new-response (call $big)))
            (drop (call $response-headers (local.get $r)))
            (call $drop-response (local.get $r))"#,
    },
    Row {
        of: &["[method]request.get-headers"],
        times: 600,
        items: "",
        before: "",
        act: r#"
            (local.set $r (call $new-request (call $big)))
            (drop (call $request-headers (local.get $r)))
            (call $drop-request (local.get $r))"#,
    },
    Row {
        of: &[
            "[static]request.new",
            "[method]request.set-method",
            "[method]request.set-path-with-query",
            "[method]request.set-scheme",
            "[method]request.set-authority",
            "[method]request.get-method",
            "[method]request.get-path-with-query",
            "[method]request.get-scheme",
            "[method]request.get-authority",
        ],
        times: 600,
        items: "",
        before: "",
        act: r#"
            (local.set $r (call $new-request (call $fields)))
            (drop (call $set-method (local.get $r) (i32.const 9) (i32.const 65537) (i32.const 64)))
            (if (call $set-path (local.get $r) (i32.const 1) (i32.const 65537) (i32.const 16383)) (then (unreachable)))
            (drop (call $set-scheme (local.get $r) (i32.const 1) (i32.const 2) (i32.const 65537) (i32.const 64)))
            (drop (call $set-authority (local.get $r) (i32.const 1) (i32.const 65537) (i32.const 512)))
            (drop (call $set-method (local.get $r) (i32.const 9) (i32.const 65537) (i32.const 100000)))
            (drop (call $set-path (local.get $r) (i32.const 1) (i32.const 65537) (i32.const 100000)))
            (drop (call $set-scheme (local.get $r) (i32.const 1) (i32.const 2) (i32.const 65537) (i32.const 100000)))
            (drop (call $set-authority (local.get $r) (i32.const 1) (i32.const 65537) (i32.const 100000)))
            (call $get-method (local.get $r) (i32.const 64))
            (call $get-path (local.get $r) (i32.const 64))
            (call $get-scheme (local.get $r) (i32.const 64))
            (call $get-authority (local.get $r) (i32.const 64))"#,
    },
    Row {
        of: &[
            "[constructor]request-options",
            "[method]request-options.clone",
            "[method]request-options.get-connect-timeout",
            "[method]request-options.set-connect-timeout",
            "[method]request-options.get-first-byte-timeout",
            "[method]request-options.set-first-byte-timeout",
            "[method]request-options.get-between-bytes-timeout",
            "[method]request-options.set-between-bytes-timeout",
        ],
        times: 10_000,
        items: "",
        before: "",
        act: r#"
            (local.set $r (call $clone-options (call $options)))
            (call $set-connect (local.get $r) (i32.const 1) (i64.const -1) (i32.const 64))
            (call $set-first-byte (local.get $r) (i32.const 1) (i64.const -1) (i32.const 64))
            (call $set-between (local.get $r) (i32.const 1) (i64.const -1) (i32.const 64))
            (call $get-connect (local.get $r) (i32.const 64))
            (call $get-first-byte (local.get $r) (i32.const 64))
            (call $get-between (local.get $r) (i32.const 64))"#,
    },
    Row {
        of: &["[method]request.get-options"],
        times: 20_000,
        items: "",
        before: r#"
            (call $request-new (call $fields) (i32.const 0) (i32.const 0) (call $no-trailers) (i32.const 1) (call $options) (i32.const 192))
            (local.set $r (i32.load (i32.const 192)))"#,
        act: "(call $get-options (local.get $r) (i32.const 64))",
    },
    // What a guest says of its own messages, for whoever asks how they were sent.
    Row {
        of: &["[static]response.consume-body"],
        times: 600,
        items: "",
        before: "",
        act: r#"
            (call $read-response (call $new-response (call $fields)) (call $refusal) (i32.const 200))
            (if (call $outcome-write (global.get $said) (i32.const 128)) (then (unreachable)))"#,
    },
    Row {
        of: &["[static]request.consume-body"],
        times: 600,
        items: "",
        before: "",
        act: r#"
            (call $read-request (call $new-request (call $fields)) (call $refusal) (i32.const 200))
            (if (call $outcome-write (global.get $said) (i32.const 128)) (then (unreachable)))"#,
    },
    // Answers of which nothing is read.
    Row { of: &["handle"], times: 300, items: "", before: "", act: "(drop (call $asked))" },
    // Answers of which nothing is left but their fields.
    Row {
        of: &["handle"],
        times: 300,
        items: "",
        before: "",
        act: r#"
            (local.set $r (call $asked))
            (if (local.get $r) (then
                (drop (call $response-headers (local.get $r)))
                (call $drop-response (local.get $r))))"#,
    },
    // Answers of whose body nearly all is there, and a little was read.
    Row {
        of: &["handle"],
        times: 300,
        items: "",
        before: "",
        act: r#"
            (local.set $r (call $asked))
            (if (local.get $r) (then
                (local.set $r (call $of-response (local.get $r)))
                (drop (call $wait (local.get $r) (call $stream-read (local.get $r) (i32.const 4096) (i32.const 1))))))"#,
    },
    // Answers that come while the guest computes.
    Row {
        of: &["send"],
        times: 300,
        items: "",
        before: "",
        act: r#"
            (drop (call $send (call $asking) (i32.const 384)))
            (local.set $f (i32.const 200000))
            (loop $compute (br_if $compute (local.tee $f (i32.sub (local.get $f) (i32.const 1)))))"#,
    },
];

fn text(row: &Row, authority: &str) -> String {
    let Row { times, items, before, act, .. } = row;
    format!(
        r#"{ITEMS} {items} (data (i32.const 1024) "{authority}") (global $authority i32 (i32.const {}))
        (func $handle (param $request i32) (local $left i32) (local $f i32) (local $r i32)
            (memory.fill (i32.const 65537) (i32.const 97) (i32.const 100000))
            {before}
            (local.set $left (i32.const {times}))
            (loop $next {act} (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (call $answer (i32.const 299) (i32.const 0)))"#,
        authority.len()
    )
}

#[test]
fn functions_of_0_3_hold_what_is_charged() {
    let _alone = alone();
    check_that_all_are_called(IMPORTS, ROWS);
    let engine = engine();
    let mut linker = Linker::new(&engine);
    p3::add_to_linker(&mut linker, |context: &mut Context| context).unwrap();
    let limits = HttpLimits::default();
    innkeeper_http::p3::add_to_linker(&mut linker, |context: &mut Context| context, &limits).unwrap();
    let upstream = upstream();
    for row in ROWS {
        let text = component_with(CALLED, &text(row, &upstream.to_string()));
        let pre = linker.instantiate_pre(&component(&engine, &text)).unwrap();
        let keys = OpenKeys::open(&keys(upstream)).unwrap();
        let proxy = Proxy::new(pre, keys, String::from("guest"), ProxyTimes::default()).unwrap();
        check(row.of, &proxy);
    }
}
