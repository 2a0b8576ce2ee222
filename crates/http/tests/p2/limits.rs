//! What a guest may make its host hold of HTTP (H1, H5), as errors that it sees where WASI has them.

use innkeeper::wasi::keys::Keys;
use innkeeper_http::{Failure, full};

use super::{answer, engines, get, proxies, proxy_with, request, run};

/// A guest that answers with the number of fields that it could append, less 200, of so many bytes each.
fn appending(value_bytes: usize) -> String {
    format!(
        r#"(func $handle (param $request i32) (param $out i32) (local $fields i32) (local $count i32) (local $body i32)
            (i32.store8 (i32.const 128) (i32.const 120))
            (memory.fill (i32.const 256) (i32.const 97) (i32.const {value_bytes}))
            (local.set $fields (call $fields))
            (block $full (loop $next
                (call $append (local.get $fields) (i32.const 128) (i32.const 1) (i32.const 256) (i32.const {value_bytes}) (i32.const 64))
                (br_if $full (i32.load8_u (i32.const 64)))
                (local.set $count (i32.add (local.get $count) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $count) (i32.const 1000000)))))
            ;; forbidden
            (if (i32.ne (i32.load8_u offset=1 (i32.const 64)) (i32.const 1)) (then (unreachable)))
            (if (i32.gt_u (local.get $count) (i32.const 600)) (then (local.set $count (i32.sub (local.get $count) (i32.const 600)))))
            (local.set $body (call $answer (local.get $out) (i32.add (i32.const 200) (local.get $count))))
            (call $end (local.get $body) (call $stream (local.get $body))))"#
    )
}

/// H5: a million fields are an error.
#[test]
fn h5_fields_are_limited() {
    // By their number, and by their bytes: 8192, 32 and the name are as many as fit sixteen times but not seventeen.
    for (value_bytes, status) in [(1, 200 + 1024 - 600), (8192 - 33, 216), (130 << 10, 200)] {
        for proxy in proxies(&appending(value_bytes)) {
            let response = run(answer(&proxy, get())).unwrap();
            assert_eq!(response.status(), status, "{value_bytes}");
        }
    }
}

/// What cannot be sent, and what is the host's to say, is refused.
#[test]
fn fields_that_are_none_of_a_guests_are_refused() {
    let forbidden = [
        "connection",
        "Host",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "TE",
        "Transfer-Encoding",
        "upgrade",
        "http2-settings",
    ];
    let cases = forbidden.map(|name| (name, "a", 1));
    let invalid =
        [("", "a", 0), ("a b", "a", 0), ("a:", "a", 0), ("a", "b\\0a", 0), ("a", "b\\0d\\0ac: d", 0)];
    let good = [("X-a", "b c\\ff", 2)];
    for (name, value, told) in cases.into_iter().chain(invalid).chain(good) {
        let (name_bytes, value_bytes) = (name.len(), value.len() - 2 * value.matches('\\').count());
        let text = format!(
            r#"(data (i32.const 128) "{name}") (data (i32.const 256) "{value}")
            (func $handle (param $request i32) (param $out i32) (local $fields i32) (local $told i32) (local $body i32)
                (local.set $fields (call $fields))
                (call $append (local.get $fields) (i32.const 128) (i32.const {name_bytes}) (i32.const 256)
                    (i32.const {value_bytes}) (i32.const 64))
                (local.set $told (i32.const 2))
                (if (i32.load8_u (i32.const 64)) (then (local.set $told (i32.load8_u offset=1 (i32.const 64)))))
                (local.set $body (call $answer (local.get $out) (i32.add (i32.const 200) (local.get $told))))
                (call $end (local.get $body) (call $stream (local.get $body))))"#
        );
        for proxy in proxies(&text) {
            assert_eq!(run(answer(&proxy, get())).unwrap().status(), 200 + told, "{name}: {value}");
        }
    }
}

/// A guest that keeps making things of one kind ends by its own limit of memory or handles, and not the host.
#[test]
fn what_a_guest_makes_is_bounded() {
    for (import, make) in [
        ("", "(drop (call $fields))"),
        ("", "(drop (call $response (call $fields)))"),
        (
            r#"(import "wasi:http/types" "[constructor]outgoing-request" (func $asking (param i32) (result i32)))"#,
            "(drop (call $asking (call $fields)))",
        ),
        (
            r#"(import "wasi:http/types" "[constructor]request-options" (func $options (result i32)))"#,
            "(drop (call $options))",
        ),
        ("", "(call $response_body (call $response (call $fields)) (i32.const 64))"),
        (
            r#"(import "wasi:http/types" "[method]incoming-request.headers" (func $headers (param i32) (result i32)))"#,
            "(drop (call $headers (local.get $request)))",
        ),
        (
            r#"(import "wasi:http/types" "[method]incoming-request.headers" (func $headers (param i32) (result i32)))
            (import "wasi:http/types" "[method]fields.clone" (func $clone (param i32) (result i32)))"#,
            "(drop (call $clone (call $headers (local.get $request))))",
        ),
    ] {
        let text = format!(
            "{import} (func $handle (param $request i32) (param $out i32) (loop $next {make} (br $next)))"
        );
        for engine in engines() {
            let mut keys = Keys::default();
            keys.limits.memory_bytes = Some(16 << 20);
            let proxy = proxy_with(&engine, &text, &keys);
            let mut asked = request("POST", full("x"));
            asked.headers_mut().insert("x-long", "a".repeat(4000).parse().unwrap());
            match run(answer(&proxy, asked)) {
                Err(Failure::Guest(told)) => assert!(told.contains("guest"), "{make}: {told}"),
                other => panic!("{make}: {other:?}"),
            }
        }
    }
}
