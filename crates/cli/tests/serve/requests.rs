//! Requests that guests send, by `inn serve` and `inn run`: keys as flags and policies have them, denials with the flag, TLS.

use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;

use crate::client::{GET, ask};
use crate::{Server, proxy_guest};

/// Sends a request to an authority by a scheme (0 is HTTP, 1 is HTTPS), and gives the response in `$response`, or the number of the error and 500 in `$failed`.
fn sending(scheme: u8, authority: &str) -> String {
    format!(
        r#"
    (import "wasi:http/types" "[constructor]outgoing-request" (func $new (param i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-request.set-scheme" (func $set_scheme (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-request.set-authority" (func $set_authority (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-request.set-path-with-query" (func $set_path (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/outgoing-handler" "handle" (func $handle_out (param i32 i32 i32 i32)))
    (import "wasi:http/types" "[method]future-incoming-response.subscribe" (func $subscribe (param i32) (result i32)))
    (import "wasi:http/types" "[method]future-incoming-response.get" (func $get (param i32 i32)))
    (import "wasi:http/types" "[method]incoming-response.consume" (func $consume_response (param i32 i32)))
    (import "wasi:io/poll" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/streams" "[method]output-stream.blocking-splice" (func $splice (param i32 i32 i64 i32)))
    (data (i32.const 1024) "{authority}/v1/x?q=1")
    (global $failed (mut i32) (i32.const 0))
    ;; Gives the stream of the answer's body, or fails.
    (func $ask (result i32) (local $asked i32) (local $future i32)
        (local.set $asked (call $new (call $fields)))
        (drop (call $set_scheme (local.get $asked) (i32.const 1) (i32.const {scheme}) (i32.const 0) (i32.const 0)))
        (drop (call $set_authority (local.get $asked) (i32.const 1) (i32.const 1024) (i32.const {length})))
        (drop (call $set_path (local.get $asked) (i32.const 1) (i32.const {path}) (i32.const 9)))
        (call $handle_out (local.get $asked) (i32.const 0) (i32.const 0) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then
            (global.set $failed (i32.add (i32.const 500) (i32.load8_u (i32.const 72)))) (return (i32.const 0))))
        (local.set $future (i32.load (i32.const 72)))
        (call $block (call $subscribe (local.get $future)))
        (call $get (local.get $future) (i32.const 64))
        (if (i32.load8_u (i32.const 80)) (then
            (global.set $failed (i32.add (i32.const 500) (i32.load8_u (i32.const 88)))) (return (i32.const 0))))
        (call $consume_response (i32.load (i32.const 88)) (i32.const 64))
        (call $read_stream (call $ok (i32.const 64))))
    (func $copy (param $to i32) (param $from i32)
        (loop $more
            (call $splice (local.get $to) (local.get $from) (i64.const 65536) (i32.const 64))
            (br_if $more (i32.eqz (i32.load8_u (i32.const 64))))))"#,
        length = authority.len(),
        path = 1024 + authority.len(),
    )
}

/// Answers with what it is answered.
fn passing(scheme: u8, authority: &str) -> String {
    sending(scheme, authority)
        + r#"(func $handle (param $request i32) (param $out i32) (local $from i32) (local $body i32) (local $stream i32)
            (local.set $from (call $ask))
            (local.set $body (call $answer (local.get $out)
                (select (global.get $failed) (i32.const 200) (global.get $failed))))
            (local.set $stream (call $stream (local.get $body)))
            (if (i32.eqz (global.get $failed)) (then (call $copy (local.get $stream) (local.get $from))))
            (call $end (local.get $body) (local.get $stream)))"#
}

/// A program that prints what it is answered, and fails where it is not.
fn printing(authority: &str) -> String {
    let text = sending(0, authority)
        + r#"(import "wasi:cli/stdout" "get-stdout" (func $stdout (result i32)))
        (func $handle (result i32) (local $from i32)
            (local.set $from (call $ask))
            (if (global.get $failed) (then (return (i32.const 1))))
            (call $copy (call $stdout) (local.get $from))
            (i32.const 0))"#;
    proxy_guest::component(&text)
        .replace(
            r#"(func $lifted (param "request" (own $request)) (param "response-out" (own $outparam))"#,
            "(func $lifted (result (result))",
        )
        .replace(r#"export "handle" (func $lifted)"#, r#"export "run" (func $lifted)"#)
        .replace("wasi:http/incoming-handler", "wasi:cli/run")
}

/// Answers every request with its first line.
pub(super) fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || answer_with_line(&mut stream));
        }
    });
    address
}

fn answer_with_line(stream: &mut (impl std::io::Read + std::io::Write)) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        read.push(byte[0]);
    }
    let line = read.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", line.len());
    let _ = stream.write_all(&[head.as_bytes(), line].concat());
    let _ = stream.flush();
}

#[test]
fn a_served_component_sends_what_its_keys_cover() {
    let address = upstream();
    let key = format!("GET:http://{address}/v1/*");
    let server = Server::of_component(&passing(0, &address.to_string()), &["--http", &key]);
    let answer = ask(server.address(), GET);
    assert_eq!((answer.status, &*answer.body), (200, &b"GET /v1/x?q=1 HTTP/1.1"[..]));
    assert_eq!(server.log()[0]["denied"], serde_json::Value::Null);
}

/// H9: with the flag that would grant it.
#[test]
fn what_a_served_component_was_denied_is_in_the_log_with_its_flag() {
    let address = upstream();
    let any = format!("*:http://*:{}/*", address.port());
    for (flags, status, mend) in [
        (vec![], 515, format!("--http GET:http://{address}/v1/x")),
        (vec!["--http", "POST:http://127.0.0.1/*"], 515, format!("--http GET:http://{address}/v1/x")),
        (vec!["--http", &*any], 504, format!("--net connect:{address}")),
    ] {
        let server = Server::of_component(&passing(0, &address.to_string()), &flags);
        assert_eq!(ask(server.address(), GET).status, status);
        let log = server.log();
        let denied = log[0]["denied"][0].as_str().unwrap();
        assert!(denied.ends_with(&format!("grant it with {mend}")), "{denied}");
    }
}

#[test]
fn a_program_sends_what_its_keys_cover() {
    let address = upstream();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("guest.wat"), printing(&address.to_string())).unwrap();
    let inn = |args: &[&str]| {
        let mut inn = Command::new(env!("CARGO_BIN_EXE_inn"));
        inn.args(args).args(["--cache", "off", "guest.wat"]).current_dir(dir.path());
        let ran = inn.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (ran.status.code(), text(ran.stdout), text(ran.stderr))
    };
    let key = format!("GET:http://{address}/v1/*");
    let answered = (Some(0), String::from("GET /v1/x?q=1 HTTP/1.1"), String::new());
    assert_eq!(inn(&["--http", &key]), answered);
    std::fs::write(dir.path().join("p.toml"), format!("[http]\nallow = [{key:?}]\n")).unwrap();
    assert_eq!(inn(&["--policy", "p.toml"]), answered);
    let (code, stdout, stderr) = inn(&[]);
    assert_eq!((code, &*stdout), (Some(1), ""));
    assert!(stderr.contains(&format!("request GET http://{address}/v1/x: no key covers it; grant it with --http GET:http://{address}/v1/x")), "{stderr}");
    // What is learned is the least, and enough.
    let any = format!("*:http://{address}");
    let (code, ..) = inn(&["policy", "learn", "--to", "learned.toml", "--http", &any]);
    assert_eq!(code, Some(0));
    let learned = std::fs::read_to_string(dir.path().join("learned.toml")).unwrap();
    assert!(learned.contains(&format!("allow = [\"GET:http://{address}/v1/x\"]")), "{learned}");
    assert_eq!(inn(&["--policy", "learned.toml"]), answered);
    let said = Command::new(env!("CARGO_BIN_EXE_inn"))
        .args(["policy", "check", "learned.toml"])
        .current_dir(dir.path())
        .output();
    let said = String::from_utf8(said.unwrap().stdout).unwrap();
    assert!(said.contains(&format!("requests by GET to http://{address}/v1/x")), "{said}");
}

/// Only whoever the machine's authorities vouch for is answered to.
#[test]
fn requests_over_tls_are_sent_to_whoever_proves_to_be_meant() {
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    use tokio_rustls::rustls::{ServerConfig, ServerConnection, Stream, crypto};

    let dir = tempfile::tempdir().unwrap();
    let signed = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        rcgen::generate_simple_self_signed(names).unwrap()
    };
    let serve = |certificate: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let key = PrivateKeyDer::try_from(certificate.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.cert.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, config) = (stream.unwrap(), Arc::clone(&config));
                std::thread::spawn(move || {
                    let mut connection = ServerConnection::new(config).unwrap();
                    answer_with_line(&mut Stream::new(&mut connection, &mut stream));
                    connection.send_close_notify();
                    let _ = connection.complete_io(&mut stream);
                    let _ = stream.read(&mut [0]);
                });
            }
        });
        port
    };
    let (known, other, unknown) = (signed(&["localhost"]), signed(&["example.com"]), signed(&["localhost"]));
    let authorities = dir.path().join("authorities.pem");
    std::fs::write(&authorities, [known.cert.pem(), other.cert.pem()].concat()).unwrap();
    for (certificate, expected) in [
        (&known, 200),
        // TLS-certificate-error
        (&other, 513),
        (&unknown, 513),
    ] {
        let port = serve(certificate);
        let authority = format!("localhost:{port}");
        let guest = proxy_guest::component(&passing(1, &authority));
        let key = format!("GET:https://{authority}");
        let server = Server::of_kind(&[], &guest, &["--http", &key], |_, inn| {
            inn.args(["--listen", "0"]).env("SSL_CERT_FILE", &authorities).env_remove("SSL_CERT_DIR");
        });
        let answer = ask(server.address(), GET);
        assert_eq!(answer.status, expected);
        if expected == 200 {
            assert_eq!(answer.body, b"GET /v1/x?q=1 HTTP/1.1");
        }
    }
}
