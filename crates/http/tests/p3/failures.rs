//! Guests that fail: before their answer, in the middle of it, and after it; those that give none in time; and clients that go.

use std::time::Duration;

use http_body_util::BodyExt as _;
use innkeeper_http::{Failure, Handler as _};

use super::answers::{printing, until_printed};
use super::{SOON, answer, arrival, engines, get, proxies, proxy_with, read, run};

fn reason(failure: Failure) -> String {
    match failure {
        Failure::Guest(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_guest_that_fails_before_its_answer_gives_none() {
    for (guest, expected) in [
        ("(func $handle (param i32) (unreachable))", "unreachable"),
        ("(func $handle (param i32))", "return"),
        // An error: DNS-timeout.
        (
            r#"(func $handle (param i32) (call $return (i32.const 1) (i32.const 0) (i32.const 0) (i64.const 0)
                (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))"#,
            "DnsTimeout",
        ),
        // A status that informs is no answer, and so is what traps before anything of it was sent.
        ("(func $handle (param i32) (call $answer (i32.const 100) (i32.const 0)))", "HttpProtocolError"),
        (
            "(func $handle (param i32) (call $answer (i32.const 200) (i32.const 0)) (unreachable))",
            "unreachable",
        ),
        // Nobody will ever say what the trailers are.
        (
            r#"(func $handle (param i32)
                (call $answer-with (i32.const 200) (i32.const 0) (call $readable (call $trailers-new)) (call $fields))
                (drop (call $set-wait (global.get $set) (i32.const 32))))"#,
            "",
        ),
    ] {
        for proxy in proxies(guest) {
            // Only the last one has to wait for it.
            let deadline = if expected.is_empty() { Duration::from_millis(300) } else { SOON };
            let failure = run(proxy.handle(get(), arrival(Some(deadline)))).unwrap_err();
            match expected {
                "" => assert!(matches!(failure, Failure::Guest(_) | Failure::Deadline(_)), "{failure:?}"),
                expected => {
                    let told = reason(failure);
                    assert!(told.contains(expected), "{guest}: {told}");
                }
            }
        }
    }
}

/// After the head, no client takes half an answer for a whole one.
#[test]
fn a_guest_that_fails_in_its_answer_cuts_it_short() {
    let begin = r#"(local $ends i64)
        (local.set $ends (call $stream-new))
        (call $answer (i32.const 200) (call $readable (local.get $ends)))
        ;; More than the host holds, so that it is being read.
        (if (i32.eqz (call $write (call $writable (local.get $ends)) (i32.const 65536) (i32.const 100000))) (then (unreachable)))"#;
    for rest in ["(unreachable)", "(call $sleep (i64.const 1000000)) (unreachable)"] {
        for proxy in proxies(&format!("(func $handle (param i32) {begin} {rest})")) {
            run(async {
                let response = answer(&proxy, get()).await.unwrap();
                assert_eq!(response.status(), 200);
                read(response).await.expect_err("it is cut short");
            });
        }
    }
}

#[test]
fn a_body_whose_trailers_are_an_error_is_cut_short() {
    let guest = r#"(func $handle (param i32) (local $ends i64) (local $trailers i64)
        (local.set $ends (call $stream-new)) (local.set $trailers (call $trailers-new))
        (call $answer-with (i32.const 200) (call $readable (local.get $ends)) (call $readable (local.get $trailers)) (call $fields))
        (drop (call $write (call $writable (local.get $ends)) (i32.const 65536) (i32.const 100000)))
        (call $drop-writable (call $writable (local.get $ends)))
        (i32.store8 (i32.const 512) (i32.const 1)) (i32.store8 (i32.const 520) (i32.const 36))
        (drop (call $wait (call $writable (local.get $trailers))
            (call $trailers-write (call $writable (local.get $trailers)) (i32.const 512))))
        ;; It hears of it, too: loop-detected, and one.
        (if (i32.ne (call $was-sent) (i32.const 37)) (then (unreachable)))
        (call $print))"#;
    for engine in engines() {
        let (keys, printed) = printing();
        let proxy = proxy_with(&engine, guest, &keys);
        run(async {
            let told = match answer(&proxy, get()).await {
                Ok(response) => read(response).await.expect_err("it is cut short").to_string(),
                Err(failure) => failure.to_string(),
            };
            assert!(told.contains("LoopDetected"), "{told}");
            until_printed(&printed).await;
        });
    }
}

/// What `Content-Length` says is what is sent.
#[test]
fn a_body_of_another_length_than_was_said_is_no_answer() {
    for (length, bytes) in [("9", 7), ("5", 7)] {
        let guest = format!(
            r#"(data (i32.const 65536) "content-length{length}")
            (func $handle (param i32) (local $ends i64) (local $fields i32)
                (local.set $fields (call $fields))
                (call $append (local.get $fields) (i32.const 65536) (i32.const 14) (i32.const 65550) (i32.const 1) (i32.const 192))
                (local.set $ends (call $stream-new))
                (call $answer-with (i32.const 200) (call $readable (local.get $ends)) (call $no-trailers) (local.get $fields))
                (drop (call $write (call $writable (local.get $ends)) (i32.const 65536) (i32.const {bytes})))
                (call $drop-writable (call $writable (local.get $ends))))"#
        );
        for proxy in proxies(&guest) {
            run(async {
                if let Ok(response) = answer(&proxy, get()).await {
                    let told = read(response).await.expect_err("it is not whole").to_string();
                    assert!(told.contains("HttpResponseBodySize"), "{told}");
                }
            });
        }
    }
}

/// H7: waiting or computing, a guest ends with its time.
#[test]
fn h7_a_guest_that_never_answers_is_ended() {
    for guest in [
        "(func $handle (param i32) (call $sleep (i64.const 3600000000000)))",
        "(func $handle (param i32) (loop $on (br $on)))",
        // For what never comes: nobody writes to this.
        r#"(func $handle (param i32) (local $ends i64)
            (local.set $ends (call $stream-new))
            (drop (call $wait (call $readable (local.get $ends))
                (call $stream-read (call $readable (local.get $ends)) (i32.const 4096) (i32.const 1)))))"#,
    ] {
        for proxy in proxies(guest) {
            let ended = run(proxy.handle(get(), arrival(Some(Duration::from_millis(50)))));
            match ended.unwrap_err() {
                Failure::Deadline(_) => {}
                // That nobody can ever go on is seen at once.
                Failure::Guest(reason) => assert!(reason.contains("deadlock"), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

/// H8: a client that goes away ends what works for it.
#[test]
fn h8_a_guest_whose_client_goes_is_ended() {
    let guest = r#"(func $handle (param i32) (local $ends i64)
        (local.set $ends (call $stream-new))
        (call $answer (i32.const 200) (call $readable (local.get $ends)))
        (loop $more
            (br_if $more (call $write (call $writable (local.get $ends)) (i32.const 65536) (i32.const 100000)))))"#;
    for proxy in proxies(guest) {
        run(async {
            let request = get();
            let response = answer(&proxy, request).await.unwrap();
            let mut body = response.into_body();
            body.frame().await.unwrap().unwrap();
            drop(body);
            // Whatever it holds goes with it, so that this ends: the runtime has no other task.
            let metrics = tokio::runtime::Handle::current().metrics();
            while metrics.num_alive_tasks() > 0 {
                tokio::task::yield_now().await;
            }
        });
    }
}

/// What it goes on with when its answer was sent has its time as well.
#[test]
fn a_guest_goes_on_after_its_answer() {
    let guest = r#"(func $handle (param i32)
        (call $answer (i32.const 200) (i32.const 0))
        (call $sleep (i64.const 1000000))
        (call $print))"#;
    for engine in engines() {
        let (keys, printed) = printing();
        let proxy = proxy_with(&engine, guest, &keys);
        run(async {
            assert_eq!(answer(&proxy, get()).await.unwrap().status(), 200);
            until_printed(&printed).await;
        });
    }
}
