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
    // That trailers are understood, whoever reads them says.
    let good = [("X-a", "b c\\ff", 2), ("te", "trailers", 2), ("TE", "Trailers", 2)];
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

/// What is kept is charged to whoever has it, whatever else has gone: so many of each are more than the guest has.
#[test]
fn what_a_guest_keeps_is_charged_for_as_long_as_it_is_there() {
    const ASKING: &str = r#"(import "wasi:http/types" "[constructor]outgoing-request" (func $asking (param i32) (result i32)))
        (import "wasi:http/types" "[method]outgoing-request.body" (func $asking_body (param i32 i32)))
        (import "wasi:http/types" "[method]outgoing-request.set-method" (func $set_method (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types" "[method]outgoing-request.set-authority" (func $set_authority (param i32 i32 i32 i32) (result i32)))
        (import "wasi:http/types" "[method]outgoing-request.set-path-with-query" (func $set_path (param i32 i32 i32 i32) (result i32)))"#;
    let written = "(local.set $stream (call $stream (local.get $body)))
        (drop (call $say (local.get $stream) (i32.const 256) (i32.const 4096)))
        (call $end (local.get $body) (local.get $stream))";
    let with_trailers = "(local.set $fields (call $fields))
        (call $append (local.get $fields) (i32.const 250) (i32.const 1) (i32.const 256) (i32.const 100000) (i32.const 64))
        (call $finish_body (local.get $body) (i32.const 1) (local.get $fields) (i32.const 64))";
    for (times, make) in [
        (400, format!("(call $response_body (call $response (call $fields)) (i32.const 64)) (local.set $body (call $ok (i32.const 64))) {written}")),
        (400, format!("(call $asking_body (call $asking (call $fields)) (i32.const 64)) (local.set $body (call $ok (i32.const 64))) {written}")),
        (400, format!("(call $asking_body (call $asking (call $fields)) (i32.const 64)) (local.set $body (call $ok (i32.const 64))) {with_trailers}")),
        (1500, "(drop (call $set_path (call $asking (call $fields)) (i32.const 1) (i32.const 255) (i32.const 16000)))".to_owned()),
        (1500, "(drop (call $set_method (call $asking (call $fields)) (i32.const 9) (i32.const 256) (i32.const 100000)))".to_owned()),
        (1500, "(drop (call $set_authority (call $asking (call $fields)) (i32.const 1) (i32.const 256) (i32.const 100000)))".to_owned()),
    ] {
        let text = format!(
            r#"{ASKING} (data (i32.const 250) "x") (func $handle (param $request i32) (param $out i32)
                (local $left i32) (local $body i32) (local $stream i32) (local $fields i32)
                (memory.fill (i32.const 255) (i32.const 97) (i32.const 100000))
                (i32.store8 (i32.const 255) (i32.const 47))
                (local.set $left (i32.const {times}))
                (loop $next {make} (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (local.set $body (call $answer (local.get $out) (i32.const 200)))
                (call $end (local.get $body) (call $stream (local.get $body))))"#
        );
        for engine in engines() {
            let mut keys = Keys::default();
            keys.limits.memory_bytes = Some(20 << 20);
            let proxy = proxy_with(&engine, &text, &keys);
            match run(answer(&proxy, get())) {
                Err(Failure::Guest(told)) => assert!(told.contains("guest") || told.contains("memory"), "{make}: {told}"),
                other => panic!("{make}: {other:?}"),
            }
        }
    }
}

/// A guest can name the same bytes as often as it likes: nothing is copied before it is clear how much that is.
#[test]
fn a_list_of_the_same_bytes_is_refused_as_a_whole() {
    for (function, params) in
        [("[method]fields.set", "(i32.const 250) (i32.const 1)"), ("[static]fields.from-list", "")]
    {
        // Entries of lists are a name and a value, or a value.
        let (size, set) = if params.is_empty() { (16, "") } else { (8, "(call $fields)") };
        let taken = if params.is_empty() { "(param i32 i32 i32)" } else { "(param i32 i32 i32 i32 i32 i32)" };
        let name = if params.is_empty() {
            "(i32.store (local.get $at) (i32.const 250)) (i32.store offset=4 (local.get $at) (i32.const 1))"
        } else {
            ""
        };
        let value = size - 8;
        let text = format!(
            r#"(import "wasi:http/types" "{function}" (func $all {taken}))
            (data (i32.const 250) "x")
            (func $handle (param $request i32) (param $out i32) (local $i i32) (local $at i32) (local $body i32)
                (memory.fill (i32.const 0x200000) (i32.const 97) (i32.const 0x100000))
                (loop $next
                    (local.set $at (i32.add (i32.const 0x300000) (i32.mul (local.get $i) (i32.const {size}))))
                    {name}
                    (i32.store offset={value} (local.get $at) (i32.const 0x200000))
                    (i32.store offset={value} align=1 (i32.add (local.get $at) (i32.const 4)) (i32.const 0x100000))
                    (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
                (call $all {set} {params} (i32.const 0x300000) (i32.const 1000) (i32.const 64))
                ;; `error`, `forbidden`
                (if (i32.eqz (i32.load8_u (i32.const 64))) (then (unreachable)))
                (local.set $body (call $answer (local.get $out) (i32.const 201)))
                (call $end (local.get $body) (call $stream (local.get $body))))"#
        );
        for engine in engines() {
            let mut keys = Keys::default();
            keys.limits.memory_bytes = Some(20 << 20);
            let response = run(answer(&proxy_with(&engine, &text, &keys), get())).unwrap();
            assert_eq!(response.status(), 201, "{function}");
        }
    }
}
