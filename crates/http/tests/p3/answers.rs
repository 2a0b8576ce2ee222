//! What guests answer, and what they learn of how it was sent.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use innkeeper::wasi::keys::{Keys, Sink, StdoutKey};

use super::{answer, engines, get, proxies, proxy_with, read, request, run};

const HELLO: &str = r#"
    (data (i32.const 65536) "x-saidsome\ffhello")
    (func $handle (param $request i32) (local $fields i32) (local $ends i64)
        (local.set $fields (call $fields))
        (call $append (local.get $fields) (i32.const 65536) (i32.const 6) (i32.const 65542) (i32.const 5) (i32.const 192))
        (if (i32.load8_u (i32.const 192)) (then (unreachable)))
        (local.set $ends (call $stream-new))
        (call $answer-with (i32.const 203) (call $readable (local.get $ends)) (call $no-trailers) (local.get $fields))
        (if (i32.eqz (call $write (call $writable (local.get $ends)) (i32.const 65547) (i32.const 5))) (then (unreachable)))
        (call $drop-writable (call $writable (local.get $ends))))"#;

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

/// Each request has an instance of its own.
#[test]
fn no_request_finds_anything_of_anothers() {
    let counting = r#"(global $count (mut i32) (i32.const 200))
        (func $handle (param $request i32)
            (global.set $count (i32.add (global.get $count) (i32.const 1)))
            (call $answer (global.get $count) (i32.const 0)))"#;
    for proxy in proxies(counting) {
        run(async {
            for _ in 0..3 {
                assert_eq!(answer(&proxy, get()).await.unwrap().status(), 201);
            }
        });
    }
}

/// Without contents there is a length, and trailers are known before anything is sent.
#[test]
fn an_answer_without_contents_has_a_length_or_trailers() {
    let with_trailers = r#"
        (data (i32.const 65536) "x-behindit")
        (func $handle (param $request i32) (local $fields i32) (local $ends i64)
            (local.set $fields (call $fields))
            (call $append (local.get $fields) (i32.const 65536) (i32.const 8) (i32.const 65544) (i32.const 2) (i32.const 192))
            (local.set $ends (call $trailers-new))
            (call $answer-with (i32.const 200) (i32.const 0) (call $readable (local.get $ends)) (call $fields))
            (i64.store (i32.const 512) (i64.const 0))
            (i32.store (i32.const 520) (i32.const 1))
            (i32.store (i32.const 524) (local.get $fields))
            (if (call $wait (call $writable (local.get $ends))
                (call $trailers-write (call $writable (local.get $ends)) (i32.const 512))) (then (unreachable))))"#;
    for proxy in proxies("(func $handle (param i32) (call $answer (i32.const 404) (i32.const 0)))") {
        run(async {
            let response = answer(&proxy, get()).await.unwrap();
            assert_eq!(response.status(), 404);
            assert_eq!(http_body::Body::size_hint(response.body()).exact(), Some(0));
        });
    }
    for proxy in proxies(with_trailers) {
        run(async {
            let (body, trailers) = read(answer(&proxy, get()).await.unwrap()).await.unwrap();
            assert_eq!((body.len(), &trailers.unwrap()["x-behind"]), (0, &"it".parse().unwrap()));
        });
    }
}

/// More than the host holds: the guest goes on as it is read.
#[test]
fn an_answer_streams_and_the_guest_hears_that_it_was_sent() {
    let large = r#"
        (func $handle (param $request i32) (local $ends i64) (local $left i32)
            (local.set $ends (call $stream-new))
            (call $answer (i32.const 200) (call $readable (local.get $ends)))
            (local.set $left (i32.const 30))
            (loop $more
                (memory.fill (i32.const 65536) (local.get $left) (i32.const 100000))
                (if (i32.eqz (call $write (call $writable (local.get $ends)) (i32.const 65536) (i32.const 100000)))
                    (then (unreachable)))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $more (local.get $left)))
            (call $drop-writable (call $writable (local.get $ends)))
            ;; It traps where it was not sent.
            (if (call $was-sent) (then (unreachable)))
            (call $print))"#;
    for engine in engines() {
        let (keys, printed) = printing();
        let proxy = proxy_with(&engine, large, &keys);
        run(async {
            let response = answer(&proxy, get()).await.unwrap();
            let mut body = response.into_body();
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert!(!first.is_empty() && first.len() <= 64 << 10, "{} bytes at once", first.len());
            assert!(printed.lock().unwrap().is_empty(), "nothing is known before all was taken");
            let rest = body.collect().await.unwrap().to_bytes();
            let all: Vec<u8> = first.iter().chain(&rest).copied().collect();
            let expected: Vec<u8> = (1..=30).rev().flat_map(|byte| vec![byte; 100_000]).collect();
            assert!(all == expected, "{} bytes", all.len());
            until_printed(&printed).await;
        });
    }
}

/// What it passes on, the host does not look into.
#[test]
fn a_request_is_passed_on_as_an_answer() {
    let echo = r#"
        (func $handle (param $request i32) (local $ends i64) (local $in i32)
            (local.set $in (call $of-request (local.get $request)))
            (local.set $ends (call $stream-new))
            (call $answer-with (i32.const 200) (call $readable (local.get $ends)) (global.get $behind) (call $fields))
            (call $pump (local.get $in) (call $writable (local.get $ends))))"#;
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 7) as u8).collect();
    for proxy in proxies(echo) {
        run(async {
            let response = answer(&proxy, request("POST", innkeeper_http::full(body.clone()))).await.unwrap();
            assert!(read(response).await.unwrap().0 == body);
        });
    }
}

/// Keys of a guest that prints, and what it has printed.
pub(crate) fn printing() -> (Keys, Arc<Mutex<Vec<u8>>>) {
    let printed = Arc::new(Mutex::new(Vec::new()));
    let to = Arc::clone(&printed);
    let mut keys = Keys::default();
    keys.stdout = StdoutKey::Sink(Sink::callback(move |bytes: &[u8]| to.lock().unwrap().extend(bytes)));
    (keys, printed)
}

/// Waits until something was printed.
pub(crate) async fn until_printed(printed: &Mutex<Vec<u8>>) {
    poll_fn(|task| match printed.lock().unwrap().is_empty() {
        false => Poll::Ready(()),
        true => {
            task.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}
