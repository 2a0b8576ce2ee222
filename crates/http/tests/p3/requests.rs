//! Requests that guests send: what is allowed, what is connected to, how bodies go, and what guests are told (H9).

use std::sync::atomic::Ordering;

use innkeeper::wasi::keys::Keys;
use innkeeper_http::{Proxy, full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::answers::{printing, until_printed};
use super::upstream::{Upstream, each};
use super::{answer, engines, proxy_with, read, request, run};

/// Makes a request of this method, authority and path, with the readable end of a stream or none as contents: in the local `$asked`.
fn asking(method: u8, authority: &str, path: &str) -> String {
    format!(
        r#"
        (data (i32.const 60000) "{authority}") (data (i32.const 61000) "{path}")
        (func $asked (param $contents i32) (param $trailers i32) (result i32) (local $request i32)
            (call $request-new (call $fields) (i32.ne (local.get $contents) (i32.const 0)) (local.get $contents)
                (local.get $trailers) (i32.const 0) (i32.const 0) (i32.const 192))
            (local.set $request (i32.load (i32.const 192)))
            (global.set $sent (i32.load (i32.const 196)))
            (drop (call $set-method (local.get $request) (i32.const {method}) (i32.const 0) (i32.const 0)))
            (drop (call $set-scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
            (if (call $set-authority (local.get $request) (i32.const 1) (i32.const 60000) (i32.const {authority_length})) (then (unreachable)))
            (if (call $set-path (local.get $request) (i32.const 1) (i32.const 61000) (i32.const {path_length})) (then (unreachable)))
            (local.get $request))"#,
        authority_length = authority.len(),
        path_length = path.len(),
    )
}

const GET: u8 = 0;
const POST: u8 = 2;

/// Sends a request without a body, and passes its answer on as it is.
const PASS_ON: &str = r#"
    (func $handle (param i32) (local $response i32)
        (local.set $response (call $sent-response (call $asked (i32.const 0) (call $no-trailers))))
        (if (local.get $response) (then (call $give (local.get $response)))))"#;

fn keys(all: &[&str]) -> Keys {
    let builder = all.iter().fold(Keys::builder(), |keys, key| match key.contains("://") {
        true => keys.http(key.parse().expect("key")),
        false => keys.net(key.parse().expect("key")),
    });
    builder.build()
}

/// Guests that ask by a GET, with these keys.
fn asked(authority: &str, path: &str, all: &[&str]) -> [Proxy; 2] {
    let text = format!("{}{PASS_ON}", asking(GET, authority, path));
    engines().map(|engine| proxy_with(&engine, &text, &keys(all)))
}

async fn status(proxy: &Proxy) -> u16 {
    let answered = answer(proxy, request("POST", full(""))).await;
    answered.unwrap_or_else(|failure| panic!("{failure}")).status().as_u16()
}

#[test]
fn a_request_that_a_key_covers_is_sent_and_its_answer_passed_on() {
    run(async {
        let upstream = Upstream::echo().await;
        let authority = upstream.address.to_string();
        for proxy in asked(&authority, "/v1/x?q=1", &[&format!("GET:http://{authority}/v1/*")]) {
            assert_eq!(status(&proxy).await, 234);
        }
        let seen = upstream.requests.lock().unwrap().clone();
        assert_eq!(seen, vec![format!("GET /v1/x?q=1 {:?}", Some(authority)); 2]);
    });
}

/// H9: by method, scheme, host, port and path; and what could be read in several ways is not sent.
#[test]
fn h9_a_request_that_no_key_covers_is_not_sent() {
    run(async {
        let upstream = Upstream::echo().await;
        let (authority, port) = (upstream.address.to_string(), upstream.address.port());
        for key in [
            format!("POST:http://{authority}/v1/*"),
            format!("GET:https://{authority}/v1/*"),
            format!("GET:http://127.0.0.2:{port}/v1/*"),
            format!("GET:http://{authority}/v1/x/*"),
            // To connect is not to send requests.
            format!("connect:{authority}"),
        ] {
            for proxy in asked(&authority, "/v1/x", &[&key]) {
                assert_eq!(status(&proxy).await, 515, "HTTP-request-denied: {key}");
            }
        }
        let any = ["*:http://*:*/*", "*:http://127.0.0.1:*/*"];
        for proxy in asked(&authority, "/v1/../admin", &[&format!("GET:http://{authority}/v1/*")]) {
            assert_eq!(status(&proxy).await, 515);
        }
        // These can be said, and are not sent: HTTP-request-URI-invalid.
        for (authority, path) in
            [(&*format!("user@{authority}"), "/"), (&authority, "a/b"), (&authority, "../a")]
        {
            for proxy in asked(authority, path, &any) {
                assert_eq!(status(&proxy).await, 519, "{authority} {path}");
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
            (&name, vec![any.clone()], 504),
            (&address, vec![any.clone()], 504),
            (&name, vec![any.clone(), format!("connect:127.0.0.1:{port}")], 234),
            (&name, vec![format!("GET:http://localhost:{port}")], 234),
            (&address, vec![format!("GET:http://127.0.0.0:{port}")], 515),
        ] {
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            for proxy in asked(authority, "/", &all) {
                assert_eq!(status(&proxy).await, expected, "{authority} {all:?}");
            }
        }
    });
}

/// Both bodies are longer than what sockets and the host hold, and go at the same time.
#[test]
fn bodies_of_requests_stream_both_ways() {
    run(async {
        let upstream = Upstream::echo().await;
        let authority = upstream.address.to_string();
        let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 7) as u8).collect();
        let both = r#"
            (func $handle (param $request i32) (local $ends i64) (local $in i32) (local $state i32) (local $response i32)
                (local.set $ends (call $stream-new))
                (local.set $in (call $of-request (local.get $request)))
                (local.set $state (call $send (call $asked (call $readable (local.get $ends)) (global.get $behind)) (i32.const 384)))
                ;; It is answered when the first bytes are there.
                (drop (call $read (local.get $in)))
                (drop (call $write (call $writable (local.get $ends)) (i32.const 4096) (i32.const 20000)))
                (local.set $response (call $finish-send (local.get $state)))
                (if (local.get $response) (then (call $give (local.get $response))))
                (call $pump (local.get $in) (call $writable (local.get $ends)))
                (if (call $was-sent) (then (unreachable)))
                (call $print))"#;
        for engine in engines() {
            let (mut keys, printed) = printing();
            keys.http = http_keys(&format!("POST:http://{authority}"));
            let text = format!("{}{both}", asking(POST, &authority, "/"));
            let proxy = proxy_with(&engine, &text, &keys);
            let response = answer(&proxy, request("POST", full(body.clone()))).await.unwrap();
            assert_eq!(response.status(), 234);
            let got = read(response).await.unwrap().0;
            // What of the first piece it has read beside what it has sent on is not there.
            assert!(
                got.len() >= body.len() - 40_000 && body.ends_with(&got[20_000..]),
                "{} bytes",
                got.len()
            );
            until_printed(&printed).await;
        }
    });
}

fn http_keys(key: &str) -> Vec<innkeeper::wasi::keys::HttpKey> {
    keys(&[key]).http
}

#[test]
fn whoever_does_not_answer_is_told_of() {
    run(async {
        let refusing = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let closing = each(|mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
        })
        .await;
        let nonsense = each(|mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"nonsense\r\n\r\n").await;
            let _ = stream.shutdown().await;
        })
        .await;
        for (address, expected) in [
            (refusing, &[506][..]),
            // Of the answer nothing is there: terminated, or incomplete.
            (closing, &[507, 525]),
            (nonsense, &[535]),
        ] {
            let authority = address.to_string();
            let key = format!("GET:http://{authority}");
            // And how it was sent is told with the same words.
            let text = format!(
                r#"{}(func $handle (param i32)
                    (drop (call $send-and-ask (call $asked (i32.const 0) (call $no-trailers)))))
                (func $send-and-ask (param $request i32) (result i32) (local $response i32) (local $sent i32)
                    (local.set $sent (global.get $sent))
                    (local.set $response (call $sent-response (local.get $request)))
                    (global.set $sent (local.get $sent))
                    (if (i32.ne (call $was-sent) (i32.add (i32.const 1) (i32.load8_u (i32.const 392)))) (then (unreachable)))
                    (call $print)
                    (local.get $response))"#,
                asking(GET, &authority, "/")
            );
            for engine in engines() {
                let (mut keys, printed) = printing();
                keys.http = http_keys(&key);
                let status = status(&proxy_with(&engine, &text, &keys)).await;
                assert!(expected.contains(&status), "{status}, not {expected:?}");
                until_printed(&printed).await;
            }
        }
    });
}

/// Trailers go behind a body, also where all of it is known before it is sent.
#[test]
fn trailers_of_a_request_are_sent() {
    let trailing = r#"
        (data (i32.const 62000) "trailerx-behindit")
        (func $handle (param i32) (local $ends i64) (local $trailers i64) (local $fields i32) (local $state i32) (local $response i32)
            (local.set $ends (call $stream-new)) (local.set $trailers (call $trailers-new))
            (local.set $state (call $send (call $asked (call $readable (local.get $ends)) (call $readable (local.get $trailers))) (i32.const 384)))
            (drop (call $write (call $writable (local.get $ends)) (i32.const 62000) (i32.const 7)))
            (call $drop-writable (call $writable (local.get $ends)))
            (local.set $fields (call $fields))
            (call $append (local.get $fields) (i32.const 62007) (i32.const 8) (i32.const 62015) (i32.const 2) (i32.const 192))
            (i64.store (i32.const 512) (i64.const 0))
            (i32.store (i32.const 520) (i32.const 1))
            (i32.store (i32.const 524) (local.get $fields))
            (if (call $wait (call $writable (local.get $trailers))
                (call $trailers-write (call $writable (local.get $trailers)) (i32.const 512))) (then (unreachable)))
            (local.set $response (call $finish-send (local.get $state)))
            (if (local.get $response) (then (call $give (local.get $response)))))"#;
    run(async {
        let (told, mut seen) = tokio::sync::mpsc::unbounded_channel();
        let address = each(move |mut stream| {
            let told = told.clone();
            async move {
                let mut got = Vec::new();
                while got.windows(4).filter(|bytes| bytes == b"\r\n\r\n").count() < 2 {
                    if stream.read_buf(&mut got).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                told.send(String::from_utf8(got).unwrap()).unwrap();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
            }
        })
        .await;
        let authority = address.to_string();
        for engine in engines() {
            // They are sent where they are announced.
            let text = asking(POST, &authority, "/").replace(
                "(call $fields) (i32.ne (local.get $contents)",
                "(call $announcing) (i32.ne (local.get $contents)",
            );
            let announcing = r#"(func $announcing (result i32) (local $fields i32)
                (local.set $fields (call $fields))
                (call $append (local.get $fields) (i32.const 62000) (i32.const 7) (i32.const 62007) (i32.const 8) (i32.const 192))
                (local.get $fields))"#;
            let proxy =
                proxy_with(&engine, &format!("{text}{announcing}{trailing}"), &http_key_alone(&authority));
            assert_eq!(status(&proxy).await, 200);
            let got = seen.recv().await.unwrap();
            assert!(got.contains("transfer-encoding: chunked") && !got.contains("content-length"), "{got}");
            assert!(got.ends_with("\r\n0\r\nx-behind: it\r\n\r\n"), "{got}");
        }
    });
}

fn http_key_alone(authority: &str) -> Keys {
    keys(&[&format!("POST:http://{authority}")])
}

/// A middleware's handler is the network, where nothing is plugged in: a request is passed on as it came.
#[test]
fn a_request_is_passed_on_as_it_came() {
    run(async {
        let upstream = Upstream::echo().await;
        let authority = upstream.address.to_string();
        let passing = r#"
            (func $handle (param $request i32)
                (call $pass-on (local.get $request) (i32.const 384))
                (if (i32.load8_u (i32.const 384)) (then
                    (return (call $answer (i32.add (i32.const 500) (i32.load8_u (i32.const 392))) (i32.const 0)))))
                (call $give (i32.load (i32.const 392))))"#;
        for (key, expected) in
            [(format!("POST:http://{authority}/a/*"), 234), (String::from("GET:http://x/"), 515)]
        {
            for engine in engines() {
                let proxy = proxy_with(&engine, passing, &keys(&[&key]));
                let request =
                    http::Request::builder().method("POST").uri(format!("http://{authority}/a/b?c"));
                let response = answer(&proxy, request.body(full("hello")).unwrap()).await.unwrap();
                assert_eq!(response.status(), expected);
                if expected == 234 {
                    assert_eq!(read(response).await.unwrap().0, "hello");
                }
            }
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
        for proxy in asked(&authority, "/", &[&format!("GET:http://{authority}")]) {
            let mut answering = Box::pin(answer(&proxy, request("GET", full(""))));
            tokio::select! {
                _ = &mut answering => panic!("nobody answers"),
                came = seen.recv() => assert_eq!(came, Some("came")),
            }
            drop(answering);
            assert_eq!(seen.recv().await, Some("gone"));
        }
    });
}

/// What a guest passes on counts as written, as what it writes itself.
#[test]
fn what_is_passed_on_counts_as_written() {
    run(async {
        let address = answering("Content-Length: 5\r\n\r\nhello").await;
        let authority = address.to_string();
        let text = format!("{}{PASS_ON}", asking(GET, &authority, "/"));
        for (most, is_enough) in [(4, false), (5, true)] {
            for engine in engines() {
                let mut keys = keys(&[&format!("GET:http://{authority}")]);
                keys.limits.written_bytes = Some(most);
                let response =
                    answer(&proxy_with(&engine, &text, &keys), request("GET", full(""))).await.unwrap();
                let body = read(response).await.map(|(body, _)| body);
                assert_eq!(body.is_ok_and(|body| body == "hello"), is_enough, "{most}");
            }
        }
    });
}

/// How long a body is, an answer says that has none, to HEAD or as 304: passed on as an answer to something else, it must not.
#[test]
fn a_response_without_its_body_is_passed_on_without_its_length() {
    const HEAD: u8 = 1;
    let with_200 = r#"
        (func $handle (param i32) (local $response i32)
            (local.set $response (call $sent-response (call $asked (i32.const 0) (call $no-trailers))))
            (drop (call $set-status (local.get $response) (i32.const 200)))
            (call $give (local.get $response)))"#;
    run(async {
        let of_head = answering("Content-Length: 60\r\n\r\n").await.to_string();
        let unchanged = each(|mut stream| async move {
            while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {
                let _ = stream.write_all(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 60\r\n\r\n").await;
            }
        });
        let unchanged = unchanged.await.to_string();
        for (method, authority) in [(HEAD, &of_head), (GET, &unchanged)] {
            let text = format!("{}{with_200}", asking(method, authority, "/"));
            for engine in engines() {
                let proxy = proxy_with(&engine, &text, &keys(&[&format!("*:http://{authority}")]));
                for (asked, length) in [("GET", None), ("HEAD", Some("60"))] {
                    let response = answer(&proxy, request(asked, full(""))).await.unwrap();
                    let said = response.headers().get("content-length").map(|said| said.to_str().unwrap());
                    assert_eq!((response.status().as_u16(), said), (200, length), "{method} {asked}");
                    assert_eq!(read(response).await.unwrap().0, "");
                }
            }
        }
    });
}

/// A server that answers everything with this, behind the first line.
async fn answering(rest: &'static str) -> std::net::SocketAddr {
    each(move |mut stream| async move {
        while matches!(stream.read(&mut [0; 4096]).await, Ok(1..)) {
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{rest}").as_bytes()).await;
        }
    })
    .await
}
