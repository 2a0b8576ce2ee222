//! Bodies that guests read: as they come, with what is behind them, and not at all.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::BodyExt as _;
use innkeeper_http::{Body, BodyError, ErrorCode};

use super::{answer, proxies, read, request, run};

/// A body of frames that counts how many were asked for.
struct Counted {
    frames: Vec<Result<Frame<Bytes>, ErrorCode>>,
    asked: Arc<AtomicUsize>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.frames.is_empty() {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(self.frames.remove(0).map_err(|code| Box::new(code) as BodyError)))
    }
}

fn counted(frames: Vec<Result<Frame<Bytes>, ErrorCode>>) -> (Body, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    (Counted { frames, asked: Arc::clone(&asked) }.boxed_unsync(), asked)
}

fn pieces(count: usize, bytes: usize) -> Vec<Result<Frame<Bytes>, ErrorCode>> {
    (0..count).map(|number| Ok(Frame::data(Bytes::from(vec![number as u8; bytes])))).collect()
}

/// Reads all, and answers with 200 and a number: of trailers, or 100 and that of the error.
const READING: &str = r#"
    (func $handle (param $request i32) (local $in i32)
        (local.set $in (call $of-request (local.get $request)))
        (loop $more
            (br_if $more (i32.eqz (i32.and (call $read (local.get $in)) (i32.const 15)))))
        (call $drop-readable (local.get $in))
        (call $trailers)
        (if (i32.load8_u (i32.const 256)) (then
            (return (call $answer (i32.add (i32.const 300) (i32.load8_u (i32.const 264))) (i32.const 0)))))
        (if (i32.load8_u (i32.const 264)) (then
            (call $copy-all (i32.load (i32.const 268)) (i32.const 192)))
            (else (i32.store (i32.const 196) (i32.const 0))))
        (call $answer (i32.add (i32.const 200) (i32.load (i32.const 196))) (i32.const 0)))"#;

#[test]
fn trailers_are_behind_a_body() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-one", "1".parse().unwrap());
    trailers.insert("x-two", "2".parse().unwrap());
    // It belongs to the connection.
    trailers.insert("transfer-encoding", "chunked".parse().unwrap());
    for proxy in proxies(READING) {
        run(async {
            let mut with = pieces(3, 10_000);
            with.push(Ok(Frame::trailers(trailers.clone())));
            assert_eq!(answer(&proxy, request("POST", counted(with).0)).await.unwrap().status(), 202);
            let without = counted(pieces(3, 10_000)).0;
            assert_eq!(answer(&proxy, request("POST", without)).await.unwrap().status(), 200);
            let mut cut = pieces(2, 10);
            cut.push(Err(ErrorCode::ConnectionReadTimeout));
            assert_eq!(answer(&proxy, request("POST", counted(cut).0)).await.unwrap().status(), 309);
        });
    }
}

/// Whoever does not read holds its client back, and is not held back itself.
#[test]
fn what_a_guest_does_not_read_is_not_asked_for() {
    let ignoring = "(func $handle (param $request i32) (call $answer (i32.const 200) (i32.const 0)))";
    let holding = r#"
        (func $handle (param $request i32)
            (drop (call $of-request (local.get $request)))
            (call $answer (i32.const 200) (i32.const 0)))"#;
    let first = r#"
        (func $handle (param $request i32) (local $in i32)
            (local.set $in (call $of-request (local.get $request)))
            (drop (call $read (local.get $in)))
            (call $answer (i32.const 200) (i32.const 0)))"#;
    for (guest, expected) in [(ignoring, 0), (holding, 0), (first, 1)] {
        for proxy in proxies(guest) {
            run(async {
                let (body, asked) = counted(pieces(100, 50_000));
                let response = answer(&proxy, request("POST", body)).await.unwrap();
                assert_eq!(response.status(), 200);
                read(response).await.unwrap();
                assert_eq!(asked.load(Ordering::Relaxed), expected);
            });
        }
    }
}

/// A little more is received and thrown away, so that what is behind the body is known, and no more.
#[test]
fn a_stream_that_is_dropped_early_ends_its_body() {
    let dropping = r#"
        (func $handle (param $request i32) (local $in i32)
            (local.set $in (call $of-request (local.get $request)))
            (drop (call $read (local.get $in)))
            (call $drop-readable (local.get $in))
            (call $trailers)
            (call $answer (i32.add (i32.const 200)
                (i32.mul (i32.load8_u (i32.const 256)) (i32.add (i32.const 100) (i32.load8_u (i32.const 264)))))
                (i32.const 0)))"#;
    for proxy in proxies(dropping) {
        run(async {
            let (body, asked) = counted(pieces(3, 10_000));
            assert_eq!(answer(&proxy, request("POST", body)).await.unwrap().status(), 200);
            assert_eq!(asked.load(Ordering::Relaxed), 4);
            let (body, asked) = counted(pieces(1000, 10_000));
            // connection-terminated
            assert_eq!(answer(&proxy, request("POST", body)).await.unwrap().status(), 307);
            assert!(asked.load(Ordering::Relaxed) < 12, "{asked:?}");
        });
    }
}

/// By the future that it gives, a guest says that it cannot deal with what it reads.
#[test]
fn a_guest_that_refuses_a_body_ends_it() {
    let refusing = r#"
        (func $handle (param $request i32) (local $ends i64)
            (local.set $ends (call $outcome-new))
            (call $read-request (local.get $request) (call $readable (local.get $ends)) (i32.const 192))
            (global.set $behind (i32.load (i32.const 196)))
            ;; loop-detected
            (i32.store8 (i32.const 512) (i32.const 1))
            (i32.store8 (i32.const 520) (i32.const 36))
            (if (call $wait (call $writable (local.get $ends))
                (call $outcome-write (call $writable (local.get $ends)) (i32.const 512))) (then (unreachable)))
            (call $trailers)
            (if (i32.ne (call $read (i32.load (i32.const 192))) (i32.const 1)) (then (unreachable)))
            (call $answer (i32.add (i32.const 300) (i32.load8_u (i32.const 264))) (i32.const 0)))"#;
    for proxy in proxies(refusing) {
        run(async {
            let (body, asked) = counted(pieces(1000, 10_000));
            assert_eq!(answer(&proxy, request("POST", body)).await.unwrap().status(), 336);
            assert_eq!(asked.load(Ordering::Relaxed), 0);
        });
    }
}
