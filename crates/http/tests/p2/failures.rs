//! Guests that fail, before their answer and after it, that take too long, and that nobody waits for any more (H8).

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use innkeeper::wasi::keys::Keys;
use innkeeper_http::{Body, BodyError, Failure, Handler as _};

use super::{answer, arrival, engines, get, proxies, proxy_with, read, request, run};

const MOMENT: Duration = Duration::from_millis(50);

/// H8: the server lives, and no answer looks like one.
#[test]
fn h8_a_guest_without_an_answer_is_a_failure() {
    for (body, reason) in [
        ("", "dropped the response without giving one"),
        ("(call $drop_outparam (local.get $out))", "dropped the response without giving one"),
        ("(unreachable)", "unreachable"),
        ("(call $drop_outparam (local.get $out)) (unreachable)", "unreachable"),
        // An error in the place of a response.
        (
            "(call $set (local.get $out) (i32.const 1) (i32.const 4) (i32.const 0) (i64.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
            "DestinationIpProhibited",
        ),
        // A response that was set, whose body is not finished, and a trap after it.
        ("(drop (call $answer (local.get $out) (i32.const 200)))", "not finished"),
        ("(call $drop_body (call $answer (local.get $out) (i32.const 200)))", "not finished"),
        ("(drop (call $answer (local.get $out) (i32.const 200))) (unreachable)", "unreachable"),
        // Rules that are broken are traps.
        (
            "(call $finish_body (local.tee $body (call $answer (local.get $out) (i32.const 200)))
                (i32.const 0) (drop (call $stream (local.get $body))) (i32.const 0) (i32.const 64))",
            "was dropped before the wasi:io/streams output-stream",
        ),
    ] {
        let text = format!("(func $handle (param $request i32) (param $out i32) (local $body i32) {body})");
        for proxy in proxies(&text) {
            match run(answer(&proxy, get())) {
                Err(Failure::Guest(told)) => assert!(told.contains(reason), "{body}: {told}"),
                Err(other) => panic!("{body}: {other:?}"),
                Ok(response) => panic!("{body}: {response:?}"),
            }
        }
    }
}

/// Says something, waits until that is taken, and goes on.
fn saying_then(rest: &str) -> String {
    format!(
        r#"(func $handle (param $request i32) (param $out i32) (local $body i32) (local $stream i32)
            (local.set $body (call $answer (local.get $out) (i32.const 200)))
            (local.set $stream (call $stream (local.get $body)))
            ;; More than anybody holds.
            (local.set $request (i32.const 0))
            (loop $next
                (if (call $say (local.get $stream) (i32.const 0) (i32.const 4096)) (then (unreachable)))
                (br_if $next (i32.lt_u (local.tee $request (i32.add (local.get $request) (i32.const 1))) (i32.const 20))))
            {rest})"#
    )
}

/// H8: once an answer is being sent, its body tells that it is cut short.
#[test]
fn h8_a_guest_that_fails_after_its_answer_cuts_the_body_short() {
    for (rest, reason) in [("(unreachable)", "unreachable"), ("", "dropped the body")] {
        for proxy in proxies(&saying_then(rest)) {
            run(async {
                let response = answer(&proxy, get()).await.unwrap();
                assert_eq!(response.status(), 200);
                let told = read(response).await.unwrap_err().to_string();
                assert!(told.contains(reason), "{told}");
            });
        }
    }
    for proxy in proxies(&saying_then("(call $end (local.get $body) (local.get $stream))")) {
        run(async {
            let response = answer(&proxy, get()).await.unwrap();
            assert_eq!(read(response).await.unwrap().0.len(), 20 * 4096);
        });
    }
}

/// The deadline ends a guest that computes, that waits, and that has answered.
#[test]
fn a_deadline_ends_a_guest() {
    let waits = r#"(import "wasi:io/poll" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:clocks/monotonic-clock" "subscribe-duration" (func $after (param i64) (result i32)))
        (func $handle (param i32 i32) (call $block (call $after (i64.const 1000000000000))))"#;
    for text in ["(func $handle (param i32 i32) (loop $forever (br $forever)))", waits] {
        for proxy in proxies(text) {
            let ended = run(proxy.handle(get(), arrival(Some(MOMENT))));
            assert!(matches!(ended, Err(Failure::Deadline(_))), "{ended:?}");
        }
    }
    for proxy in proxies(&saying_then("(loop $forever (br $forever))")) {
        run(async {
            // Its answer has to have begun by then, on a machine that is busy.
            let response = proxy.handle(get(), arrival(Some(20 * MOMENT))).await.unwrap();
            let told = read(response).await.unwrap_err().to_string();
            assert!(told.contains("deadline"), "{told}");
        });
    }
}

/// Who answers is not held up by who computes on the same thread.
#[test]
fn a_guest_that_computes_lets_others_answer() {
    let looping = "(func $handle (param i32 i32) (loop $forever (br $forever)))";
    let quick = "(func $handle (param $request i32) (param $out i32)
        (call $send (local.get $out) (call $response (call $fields))))";
    for engine in engines() {
        let looping = proxy_with(&engine, looping, &Keys::default());
        let quick = proxy_with(&engine, quick, &Keys::default());
        run(async {
            let mut forever = pin!(looping.handle(get(), arrival(None)));
            let both = tokio::select! {
                biased;
                _ = &mut forever => None,
                answered = quick.handle(get(), arrival(None)) => Some(answered),
            };
            assert_eq!(both.expect("the other one never ends").unwrap().status(), 200);
        });
    }
}

/// A body that never comes, and tells when it is dropped.
struct Never(Arc<AtomicBool>);

impl http_body::Body for Never {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Pending
    }
}

impl Drop for Never {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn never() -> (Body, Arc<AtomicBool>) {
    let is_dropped = Arc::new(AtomicBool::new(false));
    (Never(Arc::clone(&is_dropped)).boxed_unsync(), is_dropped)
}

/// Whatever a guest holds goes when nobody waits for its answer, or for its body, any more.
#[test]
fn a_guest_that_nobody_waits_for_ends() {
    let read_forever =
        "(call $read (call $read_stream (call $reading (local.get $request))) (i64.const 1) (i32.const 64))";
    let import =
        r#"(import "wasi:io/streams" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))"#;
    let before = format!("{import} (func $handle (param $request i32) (param $out i32) {read_forever})");
    for proxy in proxies(&before) {
        run(async {
            let (body, is_dropped) = never();
            let mut waiting = Box::pin(proxy.handle(request("POST", body), arrival(None)));
            for _ in 0..5 {
                assert!(polled_once(waiting.as_mut()).await.is_pending());
            }
            assert!(!is_dropped.load(Ordering::Acquire));
            drop(waiting);
            assert!(is_dropped.load(Ordering::Acquire));
        });
    }
    let after = format!(
        "{import} (func $handle (param $request i32) (param $out i32)
            (drop (call $answer (local.get $out) (i32.const 200))) {read_forever})"
    );
    for proxy in proxies(&after) {
        run(async {
            let (body, is_dropped) = never();
            let response = proxy.handle(request("POST", body), arrival(None)).await.unwrap();
            assert!(!is_dropped.load(Ordering::Acquire));
            drop(response);
            while !is_dropped.load(Ordering::Acquire) {
                tokio::task::yield_now().await;
            }
        });
    }
}

async fn polled_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|task| Poll::Ready(future.as_mut().poll(task))).await
}

/// A guest may go on after its body is whole.
#[test]
fn a_guest_goes_on_after_its_body() {
    let text = r#"(import "wasi:io/poll" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:clocks/monotonic-clock" "subscribe-duration" (func $after (param i64) (result i32)))
        (import "wasi:cli/stdout" "get-stdout" (func $stdout (result i32)))
        (func $handle (param $request i32) (param $out i32) (local $body i32)
            (local.set $body (call $answer (local.get $out) (i32.const 200)))
            (call $end (local.get $body) (call $stream (local.get $body)))
            (call $block (call $after (i64.const 20000000)))
            (drop (call $say (call $stdout) (i32.const 0) (i32.const 1))))"#;
    for engine in engines() {
        let has_written = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&has_written);
        let mut keys = Keys::default();
        let sink = innkeeper::wasi::keys::Sink::callback(move |_: &[u8]| told.store(true, Ordering::Release));
        keys.stdout = innkeeper::wasi::keys::StdoutKey::Sink(sink);
        let proxy = proxy_with(&engine, text, &keys);
        run(async {
            let response = answer(&proxy, get()).await.unwrap();
            assert!(!has_written.load(Ordering::Acquire));
            assert!(read(response).await.unwrap().0.is_empty());
            while !has_written.load(Ordering::Acquire) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }
}

/// A request whose body fails is told to the guest by the code of its failure.
#[test]
fn a_body_that_fails_is_told_to_the_guest() {
    struct Failing;
    impl http_body::Body for Failing {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            Poll::Ready(Some(Err(Box::new(innkeeper_http::ErrorCode::ConnectionReadTimeout))))
        }
    }
    let text = r#"
        (import "wasi:io/streams" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
        (import "wasi:http/types" "http-error-code" (func $code (param i32 i32)))
        (func $handle (param $request i32) (param $out i32) (local $body i32) (local $in i32)
            (local.set $in (call $read_stream (call $reading (local.get $request))))
            (call $read (local.get $in) (i64.const 1) (i32.const 64))
            ;; last-operation-failed
            (if (i32.ne (i32.load8_u (i32.const 64)) (i32.const 1)) (then (unreachable)))
            (if (i32.load8_u offset=4 (i32.const 64)) (then (unreachable)))
            (call $code (i32.load offset=8 (i32.const 64)) (i32.const 128))
            (if (i32.eqz (i32.load8_u (i32.const 128))) (then (unreachable)))
            (call $read (local.get $in) (i64.const 1) (i32.const 64))
            ;; closed
            (if (i32.ne (i32.load8_u offset=4 (i32.const 64)) (i32.const 1)) (then (unreachable)))
            (local.set $body (call $answer (local.get $out)
                (i32.add (i32.const 500) (i32.load8_u offset=8 (i32.const 128)))))
            (call $end (local.get $body) (call $stream (local.get $body))))"#;
    for proxy in proxies(text) {
        let response = run(answer(&proxy, request("POST", Failing.boxed_unsync()))).unwrap();
        // `connection-read-timeout` is number 9.
        assert_eq!(response.status(), 509);
    }
}
