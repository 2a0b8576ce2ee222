//! What guests answer, byte by byte as a client gets it.

use std::sync::Arc;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use innkeeper_http::{BodyError, Handler as _, Proxy};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{SOON, arrival, proxies, run};

/// Serves one connection, on which a client sends this and no more; gives all that it gets.
async fn served(proxy: Proxy, sent: &str) -> String {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let proxy = Arc::new(proxy);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let proxy = Arc::clone(&proxy);
        async move {
            let request =
                request.map(|body| body.map_err(|error| Box::new(error) as BodyError).boxed_unsync());
            proxy.handle(request, arrival(Some(SOON))).await.map_err(|failure| failure.to_string())
        }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let connection = tokio::spawn(connection);
    client.write_all(sent.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    // How it ends is for the server to say; that it panics is not.
    let _ = connection.await.unwrap();
    String::from_utf8(got).unwrap()
}

/// A guest that answers with these fields, and says these many bytes, or has no body at all.
fn guest(status: u16, length: Option<&str>, bytes: Option<u32>) -> String {
    let append = length.map_or(String::new(), |length| {
        format!(
            "(call $append (local.get $fields) (i32.const 128) (i32.const 14) (i32.const 142) (i32.const {}) (i32.const 64))",
            length.len()
        )
    });
    let answer = match bytes {
        None => format!(
            "(local.set $body (call $response (local.get $fields)))
            (if (call $set_status (local.get $body) (i32.const {status})) (then (unreachable)))
            (call $send (local.get $out) (local.get $body))"
        ),
        Some(bytes) => {
            let say = match bytes {
                0 => String::new(),
                bytes => format!(
                    "(if (call $say (local.get $stream) (i32.const 128) (i32.const {bytes})) (then (unreachable)))"
                ),
            };
            format!(
                "(local.set $body (call $answer_with (local.get $out) (i32.const {status}) (local.get $fields)))
                (local.set $stream (call $stream (local.get $body)))
                {say}
                (call $end (local.get $body) (local.get $stream))"
            )
        }
    };
    format!(
        r#"(data (i32.const 128) "content-length{}")
        (func $handle (param $request i32) (param $out i32)
            (local $fields i32) (local $body i32) (local $stream i32)
            (local.set $fields (call $fields)) {append} {answer})"#,
        length.unwrap_or_default()
    )
}

/// A head and a body that go together, whatever the guest says of them.
#[test]
fn messages_are_framed_as_their_bodies_are() {
    for (method, guest, status, length, body) in [
        ("GET", guest(200, None, Some(7)), "200 OK", Some("7"), "content"),
        ("GET", guest(200, Some("7"), Some(7)), "200 OK", Some("7"), "content"),
        ("GET", guest(200, Some("9"), None), "200 OK", Some("0"), ""),
        ("GET", guest(404, None, Some(0)), "404 Not Found", Some("0"), ""),
        ("HEAD", guest(200, Some("4000"), Some(0)), "200 OK", Some("4000"), ""),
        ("HEAD", guest(200, Some("4000"), None), "200 OK", Some("4000"), ""),
        ("HEAD", guest(200, Some("7"), Some(7)), "200 OK", Some("7"), ""),
        // The library that writes messages leaves lengths out where no body may be.
        ("GET", guest(304, Some("4000"), None), "304 Not Modified", None, ""),
        ("GET", guest(304, Some("4000"), Some(0)), "304 Not Modified", None, ""),
        ("GET", guest(204, None, None), "204 No Content", None, ""),
        ("GET", guest(204, None, Some(0)), "204 No Content", None, ""),
    ] {
        for proxy in proxies(&guest) {
            let asked = format!("{method} / HTTP/1.1\r\nhost: guest.example\r\nconnection: close\r\n\r\n");
            let got = run(served(proxy, &asked));
            let (head, rest) =
                got.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {status}: {got:?}"));
            assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{method} {status}: {head}");
            let is_length = |line: &&str| line.to_ascii_lowercase().starts_with("content-length:");
            let told = head.lines().find(is_length).map(|line| line[15..].trim());
            assert_eq!(told, length, "{method} {status}: {head}");
            assert_eq!(rest, body, "{method} {status}");
        }
    }
}
