//! Requests that guests send: what is allowed, what is connected to, how bodies go, and what is told when something fails (H9).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use innkeeper::wasi::keys::Keys;
use innkeeper_http::{Body, Proxy, full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::upstream::{Upstream, each};
use super::{answer, engines, proxy_with, read, request, run};

/// What a guest says to whom.
struct Asked<'a> {
    /// The number of a method.
    method: u8,
    authority: &'a str,
    path: &'a str,
    /// In milliseconds, for the first byte and between bytes; zero for none.
    times: (u32, u32),
    /// Instructions in the place of sending the request's own body on.
    body: &'a str,
}

const GET: u8 = 0;
const POST: u8 = 2;

/// Sends on what it is sent.
const PASS: &str = r#"
    (local.set $in (call $read_stream (call $reading (local.get $request))))
    (loop $more
        (call $splice (local.get $stream) (local.get $in) (i64.const 65536) (i32.const 64))
        (br_if $more (i32.eqz (i32.load8_u (i32.const 64)))))
    (call $drop_input (local.get $in))"#;

/// A guest that sends a request, and answers as it is answered. Where that fails, its status is 500 and the number of the error if that was known at once, or else 700 and the number.
fn guest(asked: &Asked<'_>) -> String {
    let Asked { method, authority, path, times: (first, between), body } = asked;
    let time = |name: &str, milliseconds: u32| match milliseconds {
        0 => String::new(),
        time => format!(
            "(drop (call ${name} (local.get $options) (i32.const 1) (i64.const {})))",
            u64::from(time) * 1_000_000
        ),
    };
    format!(
        r#"
    (import "wasi:http/types" "[constructor]outgoing-request" (func $new (param i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-request.set-method" (func $set_method (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-request.set-scheme" (func $set_scheme (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-request.set-authority" (func $set_authority (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-request.set-path-with-query" (func $set_path (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-request.body" (func $request_body (param i32 i32)))
    (import "wasi:http/types" "[constructor]request-options" (func $options (result i32)))
    (import "wasi:http/types" "[method]request-options.set-first-byte-timeout" (func $first (param i32 i32 i64) (result i32)))
    (import "wasi:http/types" "[method]request-options.set-between-bytes-timeout" (func $between (param i32 i32 i64) (result i32)))
    (import "wasi:http/outgoing-handler" "handle" (func $handle_out (param i32 i32 i32 i32)))
    (import "wasi:http/types" "[method]future-incoming-response.subscribe" (func $subscribe (param i32) (result i32)))
    (import "wasi:http/types" "[method]future-incoming-response.get" (func $get (param i32 i32)))
    (import "wasi:http/types" "[method]incoming-response.status" (func $status (param i32) (result i32)))
    (import "wasi:http/types" "[method]incoming-response.consume" (func $consume_response (param i32 i32)))
    (import "wasi:io/poll" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/streams" "[method]output-stream.blocking-splice" (func $splice (param i32 i32 i64 i32)))
    (import "drop" "pollable" (func $drop_pollable (param i32)))
    (import "drop" "future-incoming-response" (func $drop_future (param i32)))
    (import "drop" "incoming-response" (func $drop_response (param i32)))
    (data (i32.const 1024) "{authority}")
    (data (i32.const 1280) "{path}")
    (func $ended (param $out i32) (param $status i32)
        (call $finish_empty (call $answer (local.get $out) (local.get $status))))
    (func $finish_empty (param $body i32)
        (call $end (local.get $body) (call $stream (local.get $body))))
    (func $handle (param $request i32) (param $out i32)
        (local $asked i32) (local $options i32) (local $body i32) (local $stream i32) (local $in i32)
        (local $future i32) (local $pollable i32) (local $response i32)
        (local.set $asked (call $new (call $fields)))
        (drop (call $set_method (local.get $asked) (i32.const {method}) (i32.const 0) (i32.const 0)))
        (drop (call $set_scheme (local.get $asked) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
        (if (call $set_authority (local.get $asked) (i32.const 1) (i32.const 1024) (i32.const {authority_length}))
            (then (unreachable)))
        (if (call $set_path (local.get $asked) (i32.const 1) (i32.const 1280) (i32.const {path_length})) (then (unreachable)))
        (call $request_body (local.get $asked) (i32.const 64))
        (local.set $body (call $ok (i32.const 64)))
        (local.set $options (call $options))
        {first} {between}
        (call $handle_out (local.get $asked) (i32.const 1) (local.get $options) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then
            (return (call $ended (local.get $out) (i32.add (i32.const 500) (i32.load8_u (i32.const 72)))))))
        (local.set $future (i32.load (i32.const 72)))
        (local.set $stream (call $stream (local.get $body)))
        {body}
        (call $end (local.get $body) (local.get $stream))
        (local.set $pollable (call $subscribe (local.get $future)))
        (call $block (local.get $pollable))
        (call $drop_pollable (local.get $pollable))
        (call $get (local.get $future) (i32.const 64))
        (if (i32.ne (i32.load8_u (i32.const 64)) (i32.const 1)) (then (unreachable)))
        (if (i32.load8_u (i32.const 72)) (then (unreachable)))
        (if (i32.load8_u (i32.const 80)) (then
            (return (call $ended (local.get $out) (i32.add (i32.const 700) (i32.load8_u (i32.const 88)))))))
        (local.set $response (i32.load (i32.const 88)))
        ;; It is given once.
        (call $get (local.get $future) (i32.const 64))
        (if (i32.eqz (i32.load8_u (i32.const 72))) (then (unreachable)))
        (call $drop_future (local.get $future))
        (call $consume_response (local.get $response) (i32.const 64))
        (local.set $in (call $read_stream (call $ok (i32.const 64))))
        (local.set $body (call $answer (local.get $out) (call $status (local.get $response))))
        (local.set $stream (call $stream (local.get $body)))
        (loop $more
            (call $splice (local.get $stream) (local.get $in) (i64.const 65536) (i32.const 64))
            (br_if $more (i32.eqz (i32.load8_u (i32.const 64)))))
        ;; It has ended as a whole.
        (if (i32.eqz (i32.load8_u offset=8 (i32.const 64))) (then (unreachable)))
        (call $end (local.get $body) (local.get $stream)))"#,
        authority_length = authority.len(),
        path_length = path.len(),
        first = time("first", *first),
        between = time("between", *between),
    )
}

fn keys(all: &[&str]) -> Keys {
    let builder = all.iter().fold(Keys::builder(), |keys, key| match key.contains("://") {
        true => keys.http(key.parse().expect("key")),
        false => keys.net(key.parse().expect("key")),
    });
    builder.build()
}

/// Guests that ask so, with these keys.
fn asking(asked: &Asked<'_>, all: &[&str]) -> [Proxy; 2] {
    engines().map(|engine| proxy_with(&engine, &guest(asked), &keys(all)))
}

fn asked(authority: &str) -> Asked<'_> {
    Asked { method: GET, authority, path: "/v1/x?q=1", times: (0, 0), body: "" }
}

async fn status(proxy: &Proxy, body: Body) -> u16 {
    answer(proxy, request("POST", body)).await.unwrap_or_else(|failure| panic!("{failure}")).status().as_u16()
}

#[test]
fn a_request_that_a_key_covers_is_sent_and_answered() {
    run(async {
        let upstream = Upstream::echo().await;
        let authority = upstream.address.to_string();
        let key = format!("GET,POST:http://{authority}/v1/*");
        for proxy in asking(&Asked { method: POST, body: PASS, ..asked(&authority) }, &[&key]) {
            let response = answer(&proxy, request("POST", full("hello"))).await.unwrap();
            assert_eq!(response.status(), 234);
            assert_eq!(read(response).await.unwrap().0, "hello");
        }
        let seen = upstream.requests.lock().unwrap().clone();
        assert_eq!(seen, vec![format!("POST /v1/x?q=1 {:?}", Some(authority)); 2]);
    });
}

/// H9: by method, scheme, host, port and path.
#[test]
fn h9_a_request_that_no_key_covers_is_not_sent() {
    run(async {
        let upstream = Upstream::echo().await;
        let (authority, port) = (upstream.address.to_string(), upstream.address.port());
        let other = port ^ 1;
        for key in [
            format!("POST:http://{authority}/v1/*"),
            format!("GET:https://{authority}/v1/*"),
            format!("GET:http://127.0.0.2:{port}/v1/*"),
            format!("GET:http://127.0.0.1:{other}/v1/*"),
            format!("GET:http://{authority}/v1/"),
            format!("GET:http://{authority}/v1/x/*"),
            format!("GET:http://example.com:{port}/v1/*"),
            // To connect is not to send requests.
            format!("connect:{authority}"),
        ] {
            for proxy in asking(&asked(&authority), &[&key]) {
                assert_eq!(status(&proxy, full("")).await, 515, "HTTP-request-denied: {key}");
            }
        }
        let escaping = Asked { path: "/v1/../admin", ..asked(&authority) };
        for proxy in asking(&escaping, &[&format!("GET:http://{authority}/v1/*")]) {
            assert_eq!(status(&proxy, full("")).await, 515);
        }
        for authority in ["user@127.0.0.1", "127.1", "0x7f000001", "127.0.0.1:", "127.0.0.1:99999"] {
            // Some of these are no authority at all.
            let guest = guest(&asked(authority));
            for engine in engines() {
                let proxy = proxy_with(&engine, &guest, &keys(&["*:http://*:*/*"]));
                let answered = answer(&proxy, request("GET", full(""))).await;
                assert!(
                    answered.is_err() || answered.is_ok_and(|response| response.status() == 519),
                    "{authority}"
                );
            }
        }
        assert_eq!(upstream.connections.load(Ordering::Relaxed), 0);
    });
}

/// S3, H9: what a name leads to is decided on, too.
#[test]
fn h9_nothing_is_sent_to_this_machine_unless_a_key_says_so() {
    run(async {
        let upstream = Upstream::echo().await;
        let port = upstream.address.port();
        let (name, address) = (format!("localhost:{port}"), format!("127.0.0.1:{port}"));
        let any = format!("GET:http://*:{port}/*");
        for (authority, all, expected) in [
            // destination-IP-prohibited
            (&name, vec![any.clone()], 704),
            (&address, vec![any.clone()], 704),
            (&name, vec![any.clone(), format!("connect:127.0.0.1:{}", port ^ 1)], 704),
            (&name, vec![any.clone(), format!("connect:127.0.0.1:{port}")], 234),
            (&name, vec![any.clone(), format!("GET:http://127.0.0.1:{port}/v1/*")], 234),
            (&name, vec![any.clone(), format!("POST:http://127.0.0.1:{port}/v1/*")], 704),
            (&name, vec![format!("GET:http://localhost:{port}")], 234),
            (&address, vec![format!("GET:http://localhost:{port}")], 234),
            (&address, vec![format!("GET:http://127.0.0.0:{port}")], 515),
        ] {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            for proxy in asking(&asked(authority), &all) {
                assert_eq!(status(&proxy, full("")).await, expected, "{authority} {all:?}");
            }
        }
    });
}

/// Both bodies are longer than what sockets and the host hold.
#[test]
fn bodies_of_requests_stream_both_ways() {
    run(async {
        let upstream = Upstream::echo().await;
        let authority = upstream.address.to_string();
        let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 7) as u8).collect();
        // Whoever reads only when it has sent all would wait for ever.
        let both = r#"
            (local.set $in (call $read_stream (call $reading (local.get $request))))
            (call $splice (local.get $stream) (local.get $in) (i64.const 60000) (i32.const 64))
            (call $drop_input (local.get $in))"#;
        let key = format!("POST:http://{authority}");
        for proxy in asking(&Asked { method: POST, body: both, ..asked(&authority) }, &[&key]) {
            let response = answer(&proxy, request("POST", full(body.clone()))).await.unwrap();
            let read = read(response).await.unwrap().0;
            assert!(!read.is_empty() && body.starts_with(&read), "{} bytes", read.len());
        }
        let large = Arc::new(body);
        let sent = Arc::clone(&large);
        let address = each(move |mut stream| {
            let sent = Arc::clone(&sent);
            async move {
                let head =
                    format!("HTTP/1.1 234 x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", sent.len());
                stream.write_all(head.as_bytes()).await.unwrap();
                stream.write_all(&sent).await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
            }
        })
        .await;
        let authority = address.to_string();
        for proxy in asking(&asked(&authority), &[&format!("GET:http://{authority}")]) {
            let response = answer(&proxy, request("GET", full(""))).await.unwrap();
            assert!(read(response).await.unwrap().0 == *large);
        }
    });
}

#[test]
fn whoever_does_not_answer_is_told_of() {
    run(async {
        let refusing = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let read_head = |mut stream: TcpStream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            stream
        };
        let closing = each(move |stream| async move { drop(read_head(stream).await) }).await;
        let silent = each(move |stream| async move {
            let _open = read_head(stream).await;
            std::future::pending::<()>().await;
        })
        .await;
        let saying = |text: &'static str| {
            each(move |stream| async move {
                let mut stream = read_head(stream).await;
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
            })
        };
        let nonsense = saying("nonsense\r\n\r\n").await;
        for (address, times, expected) in [
            (refusing, (0, 0), &[706][..]),
            // Of the answer nothing is there: terminated, or incomplete.
            (closing, (0, 0), &[707, 725]),
            // connection-read-timeout
            (silent, (50, 0), &[709]),
            (nonsense, (0, 0), &[735]),
        ] {
            let authority = address.to_string();
            for proxy in asking(&Asked { times, ..asked(&authority) }, &[&format!("GET:http://{authority}")])
            {
                let status = status(&proxy, full("")).await;
                assert!(expected.contains(&status), "{status}, not {expected:?}");
            }
        }
        let cut = saying("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort").await;
        let stuck = each(move |stream| async move {
            let mut stream = read_head(stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort").await;
            std::future::pending::<()>().await;
        })
        .await;
        for (address, between) in [(cut, 0), (stuck, 50)] {
            let authority = address.to_string();
            let key = format!("GET:http://{authority}");
            for proxy in asking(&Asked { times: (0, between), ..asked(&authority) }, &[&key]) {
                // It traps where the body does not end as a whole, so there is no answer, or none that is whole.
                if let Ok(response) = answer(&proxy, request("GET", full(""))).await {
                    read(response).await.expect_err("it is cut short");
                }
            }
        }
    });
}

/// A connection a request would use up all ports.
#[test]
fn a_connection_carries_one_request_after_the_other() {
    run(async {
        let upstream = Upstream::echo().await;
        let authority = upstream.address.to_string();
        let key = format!("POST:http://{authority}");
        for proxy in asking(&Asked { method: POST, body: PASS, ..asked(&authority) }, &[&key]) {
            let before = upstream.connections.load(Ordering::Relaxed);
            for _ in 0..5 {
                let response = answer(&proxy, request("POST", full("hello"))).await.unwrap();
                assert_eq!(read(response).await.unwrap().0, "hello");
                // So that the task that puts it back has had its turn.
                tokio::task::yield_now().await;
            }
            assert_eq!(upstream.connections.load(Ordering::Relaxed) - before, 1);
        }
    });
}

/// Whoever waits for a request that nobody wants any more sees the connection end.
#[test]
fn a_guest_that_ends_ends_its_requests() {
    run(async {
        let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let address = each(move |mut stream| {
            let told = told.clone();
            async move {
                let _ = stream.read(&mut [0; 4096]).await;
                told.send("came").unwrap();
                while !matches!(stream.read(&mut [0; 4096]).await, Ok(0) | Err(_)) {}
                told.send("gone").unwrap();
            }
        })
        .await;
        let authority = address.to_string();
        for proxy in asking(&asked(&authority), &[&format!("GET:http://{authority}")]) {
            tokio::select! {
                answered = answer(&proxy, request("GET", full(""))) => panic!("{answered:?}"),
                came = seen.recv() => assert_eq!(came, Some("came")),
            }
            assert_eq!(seen.recv().await, Some("gone"));
        }
    });
}
