//! What guests answer, and how it is sent.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt as _;
use innkeeper::wasi::keys::{Keys, Sink, StdoutKey};
use innkeeper_http::{Body, BodyError, full};

use super::{answer, engines, get, proxies, proxy_with, read, request, run};

/// A body of these pieces, and trailers.
fn pieces(pieces: Vec<Bytes>, trailers: Option<HeaderMap>) -> Body {
    let frames = pieces.into_iter().map(Frame::data).chain(trailers.map(Frame::trailers));
    Frames(frames).boxed_unsync()
}

/// An iterator as a body.
struct Frames<I>(I);

impl<I: Iterator<Item = Frame<Bytes>> + Unpin> http_body::Body for Frames<I> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

const HELLO: &str = r#"
    (data (i32.const 128) "x-saidsome\ffhello")
    (func $handle (param $request i32) (param $out i32)
        (local $fields i32) (local $body i32) (local $stream i32)
        (local.set $fields (call $fields))
        (call $append (local.get $fields) (i32.const 128) (i32.const 6) (i32.const 134) (i32.const 5) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then (unreachable)))
        (local.set $body (call $answer_with (local.get $out) (i32.const 203) (local.get $fields)))
        (local.set $stream (call $stream (local.get $body)))
        (if (call $say (local.get $stream) (i32.const 139) (i32.const 5)) (then (unreachable)))
        (call $end (local.get $body) (local.get $stream)))"#;

#[test]
fn a_guest_answers() {
    for proxy in proxies(HELLO) {
        run(async {
            let response = answer(&proxy, get()).await.unwrap();
            assert_eq!(response.status(), 203);
            assert_eq!(response.headers()["x-said"].as_bytes(), b"some\xff");
            let hint = http_body::Body::size_hint(response.body());
            assert_eq!(hint.exact(), Some(5), "it is known before it is sent");
            assert_eq!(read(response).await.unwrap(), (Bytes::from("hello"), None));
        });
    }
}

/// H10: each request has an instance of its own.
#[test]
fn h10_no_request_finds_anything_of_another() {
    let counting = r#"(global $count (mut i32) (i32.const 0))
        (func $handle (param i32) (param $out i32)
            (local $body i32) (local $stream i32)
            (global.set $count (i32.add (global.get $count) (i32.const 1)))
            (i32.store (i32.const 128) (i32.add (i32.load (i32.const 128)) (i32.const 1)))
            (local.set $body (call $answer (local.get $out)
                (i32.add (i32.const 200) (i32.add (global.get $count) (i32.load (i32.const 128))))))
            (local.set $stream (call $stream (local.get $body)))
            (call $end (local.get $body) (local.get $stream)))"#;
    for proxy in proxies(counting) {
        for _ in 0..20 {
            assert_eq!(run(answer(&proxy, get())).unwrap().status(), 202);
        }
    }
}

/// What a guest sees of a request, written to its standard output: method, path, scheme, authority, and the names of its fields.
const SEEING: &str = r#"
    (import "wasi:http/types" "[method]incoming-request.method" (func $method (param i32 i32)))
    (import "wasi:http/types" "[method]incoming-request.path-with-query" (func $path (param i32 i32)))
    (import "wasi:http/types" "[method]incoming-request.scheme" (func $scheme (param i32 i32)))
    (import "wasi:http/types" "[method]incoming-request.authority" (func $authority (param i32 i32)))
    (import "wasi:http/types" "[method]incoming-request.headers" (func $headers (param i32) (result i32)))
    (import "wasi:http/types" "[method]fields.entries" (func $entries (param i32 i32)))
    (import "wasi:cli/stdout" "get-stdout" (func $stdout (result i32)))
    (data (i32.const 128) "\n0123456789")
    (func $print (param $at i32) (param $length i32) (local $to i32)
        (local.set $to (call $stdout))
        (if (local.get $length) (then
            (if (call $say (local.get $to) (local.get $at) (local.get $length)) (then (unreachable)))))
        (if (call $say (local.get $to) (i32.const 128) (i32.const 1)) (then (unreachable)))
        (call $drop_output (local.get $to)))
    (func $print_digit (param $digit i32)
        (call $print (i32.add (i32.const 129) (local.get $digit)) (i32.const 1)))
    (func $print_option (param $at i32)
        (if (i32.load8_u (local.get $at))
            (then (call $print (i32.load offset=4 (local.get $at)) (i32.load offset=8 (local.get $at))))
            (else (call $print (i32.const 0) (i32.const 0)))))
    (func $handle (param $request i32) (param $out i32) (local $fields i32) (local $at i32) (local $left i32)
        (call $method (local.get $request) (i32.const 64))
        (call $print_digit (i32.load8_u (i32.const 64)))
        (call $path (local.get $request) (i32.const 64))
        (call $print_option (i32.const 64))
        (call $scheme (local.get $request) (i32.const 64))
        (call $print_digit (i32.load8_u offset=4 (i32.const 64)))
        (call $authority (local.get $request) (i32.const 64))
        (call $print_option (i32.const 64))
        (local.set $fields (call $headers (local.get $request)))
        (call $append (local.get $fields) (i32.const 129) (i32.const 1) (i32.const 129) (i32.const 1) (i32.const 64))
        (call $print_digit (i32.load8_u offset=1 (i32.const 64)))
        (call $entries (local.get $fields) (i32.const 64))
        (local.set $at (i32.load (i32.const 64)))
        (local.set $left (i32.load offset=4 (i32.const 64)))
        (block $done (loop $next
            (br_if $done (i32.eqz (local.get $left)))
            (call $print (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))
            (local.set $at (i32.add (local.get $at) (i32.const 16)))
            (local.set $left (i32.sub (local.get $left) (i32.const 1)))
            (br $next))))"#;

#[test]
fn a_guest_sees_the_request_and_nothing_of_its_connection() {
    for engine in engines() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&seen);
        let mut keys = Keys::default();
        keys.stdout = StdoutKey::Sink(Sink::callback(move |bytes: &[u8]| to.lock().unwrap().extend(bytes)));
        let proxy = proxy_with(&engine, SEEING, &keys);
        let mut asked = request("POST", full(Bytes::new()));
        for name in ["host", "x-hop", "keep-alive", "te", "transfer-encoding", "upgrade", "proxy-connection"]
        {
            asked.headers_mut().insert(name, "value".parse().unwrap());
        }
        asked.headers_mut().insert("cookie", "a".parse().unwrap());
        run(answer(&proxy, asked)).expect_err("it does not answer");
        let text = String::from_utf8(seen.lock().unwrap().clone()).unwrap();
        let mut lines = text.lines();
        // A post, over a plain connection; headers that were received are immutable.
        let first: Vec<&str> = lines.by_ref().take(5).collect();
        assert_eq!(first, ["2", "/path?query=1", "0", "guest.example:81", "2"]);
        let mut names: Vec<&str> = lines.collect();
        names.sort_unstable();
        assert_eq!(names, ["cookie", "x-asked"]);
    }
}

/// Sends back what it is sent, piece by piece, and the trailers.
const ECHO: &str = r#"
    (import "wasi:io/streams" "[method]output-stream.blocking-splice" (func $splice (param i32 i32 i64 i32)))
    (import "wasi:http/types" "[method]future-trailers.subscribe" (func $subscribe (param i32) (result i32)))
    (import "wasi:http/types" "[method]future-trailers.get" (func $get (param i32 i32)))
    (import "wasi:http/types" "[method]fields.clone" (func $clone (param i32) (result i32)))
    (import "wasi:io/poll" "[method]pollable.block" (func $block (param i32)))
    (import "drop" "pollable" (func $drop_pollable (param i32)))
    (func $handle (param $request i32) (param $out i32)
        (local $from i32) (local $in i32) (local $body i32) (local $stream i32) (local $future i32) (local $ready i32)
        (local.set $from (call $reading (local.get $request)))
        (local.set $in (call $read_stream (local.get $from)))
        (local.set $body (call $answer (local.get $out) (i32.const 200)))
        (local.set $stream (call $stream (local.get $body)))
        (loop $next
            (call $splice (local.get $stream) (local.get $in) (i64.const 70000) (i32.const 64))
            (br_if $next (i32.eqz (i32.load8_u (i32.const 64)))))
        ;; closed
        (if (i32.ne (i32.load8_u offset=8 (i32.const 64)) (i32.const 1)) (then (unreachable)))
        (call $drop_input (local.get $in))
        (call $drop_output (local.get $stream))
        (local.set $future (call $finish_read (local.get $from)))
        (local.set $ready (call $subscribe (local.get $future)))
        (call $block (local.get $ready))
        (call $drop_pollable (local.get $ready))
        (call $get (local.get $future) (i32.const 512))
        ;; some(ok(ok(...)))
        (if (i32.ne (i32.load8_u (i32.const 512)) (i32.const 1)) (then (unreachable)))
        (if (i32.load8_u offset=8 (i32.const 512)) (then (unreachable)))
        (if (i32.load8_u offset=16 (i32.const 512)) (then (unreachable)))
        (call $finish_body (local.get $body) (i32.load8_u offset=24 (i32.const 512))
            (i32.load offset=28 (i32.const 512)) (i32.const 64)))"#;

#[test]
fn bodies_stream_both_ways_with_trailers() {
    let piece = Bytes::from((0..100_000_u32).map(|number| number as u8).collect::<Vec<u8>>());
    for proxy in proxies(ECHO) {
        for with_trailers in [false, true] {
            let trailers = with_trailers.then(|| {
                let mut trailers = HeaderMap::new();
                trailers.insert("x-sum", "7".parse().unwrap());
                trailers
            });
            let body = pieces(vec![piece.clone(); 30], trailers.clone());
            let (bytes, sent) = run(async {
                let response = answer(&proxy, request("POST", body)).await.unwrap();
                read(response).await.unwrap()
            });
            assert_eq!(bytes.len(), 3_000_000);
            assert!(bytes.chunks(100_000).all(|chunk| chunk == piece));
            assert_eq!(sent, trailers);
        }
    }
}

/// H7: what nobody takes is not taken from the guest, and what the guest does not read is not asked for.
#[test]
fn h7_bodies_have_back_pressure() {
    for proxy in proxies(ECHO) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let piece = Bytes::from(vec![7; 4096]);
        let endless = std::iter::from_fn(move || {
            counted.fetch_add(piece.len(), Ordering::Relaxed);
            Some(Frame::data(piece.clone()))
        });
        let body = Frames(endless).boxed_unsync();
        run(async {
            let mut body = answer(&proxy, request("POST", body)).await.unwrap().into_body();
            let mut got = 0;
            for _ in 0..50 {
                // Whoever else has something to do does it now.
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                let ahead = asked.load(Ordering::Relaxed) - got;
                assert!(ahead <= (64 << 10) + 2 * 4096, "{ahead} bytes are held");
                got += body.frame().await.unwrap().unwrap().into_data().unwrap().len();
            }
            assert!(got >= 50 * 4096, "{got}");
        });
    }
}

/// `Content-Length` is a promise, which is kept or told to be broken; of an answer to `HEAD` it says what another would have.
#[test]
fn a_body_is_as_long_as_its_length_says() {
    let guest = |length: &str| {
        format!(
            r#"(data (i32.const 128) "content-length{length}")
            (func $handle (param $request i32) (param $out i32)
                (local $fields i32) (local $body i32) (local $stream i32)
                (local.set $fields (call $fields))
                (call $append (local.get $fields) (i32.const 128) (i32.const 14) (i32.const 142) (i32.const {}) (i32.const 64))
                (local.set $body (call $answer_with (local.get $out) (i32.const 200) (local.get $fields)))
                (local.set $stream (call $stream (local.get $body)))
                (drop (call $say (local.get $stream) (i32.const 128) (i32.const 5)))
                (call $drop_output (local.get $stream))
                (call $finish_body (local.get $body) (i32.const 0) (i32.const 0) (i32.const 64)))"#,
            length.len()
        )
    };
    for (length, fails) in
        [("5", None), ("05", None), ("4", Some("BodySize(Some(5))")), ("6", Some("BodySize(Some(5))"))]
    {
        for proxy in proxies(&guest(length)) {
            run(async {
                match (answer(&proxy, get()).await, fails) {
                    (Ok(response), None) => assert_eq!(&read(response).await.unwrap().0[..], b"conte"),
                    (Err(failure), Some(reason)) => {
                        assert!(failure.to_string().contains(reason), "{length}: {failure}");
                    }
                    (Ok(response), Some(_)) => panic!("{length}: {response:?}"),
                    (Err(failure), None) => panic!("{length}: {failure}"),
                }
            });
        }
    }
    // A number that is none, and two of them: the guest has no body.
    for length in ["+5", "5,5", "5 5", "99999999999999999999999"] {
        for proxy in proxies(&guest(length)) {
            let failure = run(answer(&proxy, get())).unwrap_err().to_string();
            assert!(failure.contains("unreachable"), "{length}: {failure}");
        }
    }
    let head =
        guest("4000").replace("(drop (call $say (local.get $stream) (i32.const 128) (i32.const 5)))", "");
    for proxy in proxies(&head) {
        run(async {
            let response = answer(&proxy, request("HEAD", full(Bytes::new()))).await.unwrap();
            assert_eq!(response.headers()["content-length"], "4000");
            assert!(read(response).await.unwrap().0.is_empty());
        });
    }
}
