//! Components of WASI 0.2 that answer requests.

use crate::client::{Client, GET, ask, is_served};
use crate::{Server, proxy_guest};

/// Answers with `hello`, in a body of known length.
const HELLO: &str = r#"
    (data (i32.const 128) "hello")
    (func $handle (param $request i32) (param $out i32) (local $body i32) (local $stream i32)
        (local.set $body (call $answer (local.get $out) (i32.const 200)))
        (local.set $stream (call $stream (local.get $body)))
        (if (call $say (local.get $stream) (i32.const 128) (i32.const 5)) (then (unreachable)))
        (call $end (local.get $body) (local.get $stream)))"#;

/// Gives the request's body back as it comes.
const ECHO: &str = r#"
    (import "wasi:io/streams" "[method]output-stream.blocking-splice" (func $splice (param i32 i32 i64 i32)))
    (func $handle (param $request i32) (param $out i32) (local $body i32) (local $stream i32) (local $in i32)
        (local.set $in (call $read_stream (call $reading (local.get $request))))
        (local.set $body (call $answer (local.get $out) (i32.const 200)))
        (local.set $stream (call $stream (local.get $body)))
        (loop $more
            (call $splice (local.get $stream) (local.get $in) (i64.const 65536) (i32.const 64))
            (br_if $more (i32.eqz (i32.load8_u (i32.const 64)))))
        ;; It has ended as a whole.
        (if (i32.eqz (i32.load8_u offset=8 (i32.const 64))) (then (unreachable)))
        (call $end (local.get $body) (local.get $stream)))"#;

#[test]
fn a_component_answers_each_request_in_an_instance_of_its_own() {
    let counting = r#"(global $count (mut i32) (i32.const 200))
        (func $handle (param i32) (param $out i32) (local $body i32)
            (global.set $count (i32.add (global.get $count) (i32.const 1)))
            (local.set $body (call $answer (local.get $out) (global.get $count)))
            (call $end (local.get $body) (call $stream (local.get $body))))"#;
    let server = Server::of_component(counting, &[]);
    let mut client = Client::connect(server.address());
    client.send(GET.repeat(3));
    for _ in 0..3 {
        assert_eq!(client.answer().unwrap().status, 201);
    }
    for line in server.log() {
        assert_eq!((&line["status"], &line["instance"]), (&201.into(), &"new".into()), "{line}");
        assert_eq!((&line["guest"], &line["incomplete"]), (&"guest.wat".into(), &serde_json::Value::Null));
        assert!(line["cpu_us"].is_u64(), "{line}");
    }
}

#[test]
fn a_body_has_the_length_that_is_known() {
    let server = Server::of_component(HELLO, &[]);
    let answer = ask(server.address(), GET);
    assert_eq!((answer.status, &*answer.body), (200, &b"hello"[..]));
    assert!(answer.head.contains("content-length: 5"), "{}", answer.head);
    assert_eq!(server.log()[0]["bytes"], 5);
}

/// Both bodies are longer than what sockets and the host hold, and the answer begins before the request has ended.
#[test]
fn bodies_of_components_stream_both_ways() {
    let server = Server::of_component(ECHO, &[]);
    let mut client = Client::connect(server.address());
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    client.wait_for("first\r\n");
    client.send("6\r\nsecond\r\n0\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((&*answer.body, answer.is_whole), (&b"firstsecond"[..], true));
    let body: Vec<u8> = (0..4_000_000_u32).map(|number| (number / 7) as u8).collect();
    let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = Client::connect(server.address()).answer_while_sending([head.as_bytes(), &body].concat());
    assert!(answer.is_whole && answer.body == body, "{} bytes", answer.body.len());
}

/// A body that is cut short is an error to the guest, and never an answer of 200.
#[test]
fn a_body_that_is_cut_short_is_told() {
    let server = Server::of_component(ECHO, &[]);
    let mut client = Client::connect(server.address());
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nfirst");
    client.finish();
    client.rest();
    let line = &server.log()[0];
    assert!(line["status"] != 200 || line["incomplete"] == true, "{line}");
}

#[test]
fn a_component_that_fails_is_an_error_and_no_answer() {
    let failing = |rest: &str| {
        format!(
            "(func $handle (param $request i32) (param $out i32) (local $body i32) (local $stream i32) {rest})"
        )
    };
    for (rest, reason) in [
        ("(unreachable)", "unreachable"),
        ("", "dropped the response"),
        ("(drop (call $answer (local.get $out) (i32.const 200))) (unreachable)", "unreachable"),
        (
            "(local.set $body (call $answer (local.get $out) (i32.const 200)))
             (call $end (local.get $body) (call $stream (local.get $body))) (unreachable)",
            "unreachable",
        ),
    ] {
        let server = Server::of_component(&failing(rest), &[]);
        let mut client = Client::connect(server.address());
        // The next request is not the failure's trouble.
        client.send(GET.repeat(2));
        for _ in 0..2 {
            assert_eq!(client.answer().unwrap().status, 500, "{rest}");
        }
        let log = server.log();
        assert_eq!(log.len(), 2);
        for line in log {
            assert!(line["note"].as_str().unwrap().contains(reason), "{line}");
        }
    }
    let late = r#"(local.set $body (call $answer (local.get $out) (i32.const 200)))
        (local.set $stream (call $stream (local.get $body)))
        (loop $next
            (drop (call $say (local.get $stream) (i32.const 0) (i32.const 4096)))
            (br_if $next (i32.lt_u (local.tee $request (i32.add (local.get $request) (i32.const 1))) (i32.const 40))))
        (unreachable)"#;
    let server = Server::of_component(&failing(late), &[]);
    let mut client = Client::connect(server.address());
    client.send(GET);
    let answer = client.answer().unwrap();
    assert!(answer.status == 200 && !answer.is_whole);
    assert!(client.is_closed());
    let line = &server.log()[0];
    assert!(line["incomplete"] == true && line["note"].as_str().unwrap().contains("unreachable"), "{line}");
}

/// L3, H8: a guest that computes or waits for ever.
#[test]
fn a_component_that_does_not_end_is_ended() {
    let loops = "(func $handle (param i32 i32) (loop $forever (br $forever)))";
    let waits = r#"(import "wasi:io/poll" "[method]pollable.block" (func $block (param i32)))
        (import "wasi:clocks/monotonic-clock" "subscribe-duration" (func $after (param i64) (result i32)))
        (func $handle (param i32 i32) (call $block (call $after (i64.const 1000000000000))))"#;
    for (guest, flags) in
        [(loops, ["--max-cpu", "200ms"]), (loops, ["--timeout", "200ms"]), (waits, ["--timeout", "200ms"])]
    {
        let server = Server::of_component(guest, &flags);
        assert_eq!(ask(server.address(), GET).status, 504, "{guest} {flags:?}");
    }
    // One after its answer takes the place of a request for as long as it runs.
    let after = "(func $handle (param $request i32) (param $out i32) (local $body i32)
            (local.set $body (call $answer (local.get $out) (i32.const 200)))
            (call $end (local.get $body) (call $stream (local.get $body)))
            (call $block (call $after (i64.const 1000000000000))))";
    let imports = waits.split("(func $handle").next().unwrap();
    let flags = ["--timeout", "1h", "--max-requests", "1", "--max-queue", "0"];
    let server = Server::of_component(&format!("{imports}{after}"), &flags);
    is_served(server.address());
    assert_eq!(ask(server.address(), GET).status, 503);
}

/// What is printed is told where `inn` complains, as the log has standard output; and nobody's input is a guest's.
#[test]
fn a_component_prints_to_standard_error_and_reads_nothing() {
    let printing = r#"(import "wasi:cli/stdout" "get-stdout" (func $stdout (result i32)))
        (import "wasi:cli/stdin" "get-stdin" (func $stdin (result i32)))
        (import "wasi:io/streams" "[method]input-stream.blocking-read" (func $read (param i32 i64 i32)))
        (data (i32.const 128) "printed\n")
        (func $handle (param $request i32) (param $out i32)
            (call $read (call $stdin) (i64.const 1) (i32.const 64))
            ;; It is at its end.
            (if (i32.eqz (i32.load8_u offset=4 (i32.const 64))) (then (unreachable)))
            (drop (call $say (call $stdout) (i32.const 128) (i32.const 8)))
            (call $send (local.get $out) (call $response (call $fields))))"#;
    let server = Server::of_kind(&[], &proxy_guest::component(printing), &[], |dir, inn| {
        std::fs::write(dir.join("input"), "secret").unwrap();
        inn.args(["--listen", "0"]).stdin(std::fs::File::open(dir.join("input")).unwrap());
    });
    is_served(server.address());
    assert_eq!(server.line(), "printed");
    assert_eq!(server.log().len(), 1);
}

#[test]
fn components_of_other_worlds_are_told_what_they_are_for() {
    let says = |text: &str, command: &[&str], wanted: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("guest.wat"), text).unwrap();
        let mut inn = std::process::Command::new(env!("CARGO_BIN_EXE_inn"));
        inn.args(command).args(["--cache", "off", "guest.wat"]).current_dir(dir.path());
        let ran = inn.output().unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success(), "{stderr}");
        for wanted in wanted {
            assert!(stderr.contains(wanted), "no {wanted} in {stderr}");
        }
    };
    let exporting = |interface: &str, function: &str| {
        format!(
            r#"(component
            (core module $m (func (export "f") (result i32) (i32.const 0)))
            (core instance $m (instantiate $m))
            (func $f (result u32) (canon lift (core func $m "f")))
            (instance $i (export "{function}" (func $f)))
            (export "{interface}" (instance $i)))"#
        )
    };
    let serve = ["serve", "--listen", "0"];
    says(&exporting("wasi:cli/run@0.2.6", "run"), &serve, &["`wasi:cli/run@0.2.6`", "inn run guest.wat"]);
    let later = exporting("wasi:http/handler@0.4.0", "handle");
    says(&later, &serve, &["another version", "`wasi:http/handler@0.4.0`", "wasi:http/proxy"]);
    says(&exporting("test:shop/cart", "add"), &serve, &["answers no requests", "--invoke", "cart.add"]);
    says("(component)", &serve, &["no `wasi:http/incoming-handler`", "no function at all"]);
    let hello = proxy_guest::component(HELLO);
    says(&hello, &["serve", "--cgi"], &["leave --cgi away"]);
    says(&hello, &["run"], &["inn serve guest.wat"]);
}
