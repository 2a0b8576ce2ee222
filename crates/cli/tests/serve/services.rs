//! Components of WASI 0.3, served and run: answers, failures, and requests that they send.

use std::process::Command;

use crate::client::{GET, ask};
use crate::requests::upstream;
use crate::{Server, service_guest};

/// A server of the component whose `handle` is the function `$handle` of this text, in a tier.
fn server(text: &str, tier: &str, flags: &[&str]) -> Server {
    Server::of_kind(&[], &service_guest::component(text), flags, |_, inn| {
        inn.args(["--listen", "0", "--tier", tier]);
    })
}

const TIERS: [&str; 2] = ["interpreter", "compiled"];

const ECHO: &str = r#"
    (func $handle (param $request i32) (local $ends i64) (local $in i32)
        (local.set $in (call $of-request (local.get $request)))
        (local.set $ends (call $stream-new))
        (call $answer-with (i32.const 201) (call $readable (local.get $ends)) (global.get $behind) (call $fields))
        (call $pump (local.get $in) (call $writable (local.get $ends))))"#;

#[test]
fn a_service_answers_with_what_it_is_sent() {
    for tier in TIERS {
        let server = server(ECHO, tier, &[]);
        let answer = ask(
            server.address(),
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        );
        assert_eq!((answer.status, &*answer.body), (201, &b"hello"[..]), "{tier}");
        let log = server.log();
        assert_eq!((&log[0]["status"], &log[0]["instance"]), (&201.into(), &"new".into()));
    }
}

/// Before its head an answer is 500, after it the connection is cut; nobody else is troubled.
#[test]
fn a_service_that_traps_is_its_own_requests_trouble() {
    let before = "(func $handle (param i32) (unreachable))";
    let after = r#"
        (func $handle (param i32) (local $ends i64)
            (local.set $ends (call $stream-new))
            (call $answer (i32.const 200) (call $readable (local.get $ends)))
            (drop (call $write (call $writable (local.get $ends)) (i32.const 65536) (i32.const 200000)))
            (unreachable))"#;
    for tier in TIERS {
        let failing = server(before, tier, &[]);
        assert_eq!(ask(failing.address(), GET).status, 500);
        assert_eq!(ask(failing.address(), GET).status, 500);
        assert!(failing.log()[0]["note"].as_str().unwrap().contains("unreachable"));
        let cutting = server(after, tier, &[]);
        for _ in 0..2 {
            let answer = ask(cutting.address(), GET);
            assert_eq!((answer.status, answer.is_whole), (200, false), "{tier}");
        }
    }
}

#[test]
fn a_service_that_never_answers_is_ended_by_its_deadline() {
    for tier in TIERS {
        let sleeping = "(func $handle (param i32) (call $sleep (i64.const 3600000000000)))";
        let server = server(sleeping, tier, &["--timeout", "100ms"]);
        assert_eq!(ask(server.address(), GET).status, 504);
        assert_eq!(server.log()[0]["status"], 504);
    }
}

/// Sends a request to an authority, and answers with its answer.
fn passing(address: &str) -> String {
    sending(address)
        + r#"(func $handle (param i32) (local $response i32)
            (local.set $response (call $ask))
            (if (local.get $response) (then (call $give (local.get $response)))))"#
}

fn sending(authority: &str) -> String {
    format!(
        r#"(data (i32.const 60000) "{authority}/v1/x?q=1")
        (func $ask (result i32) (local $request i32)
            (call $request-new (call $fields) (i32.const 0) (i32.const 0) (call $no-trailers) (i32.const 0) (i32.const 0) (i32.const 192))
            (local.set $request (i32.load (i32.const 192)))
            (drop (call $set-scheme (local.get $request) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0)))
            (drop (call $set-authority (local.get $request) (i32.const 1) (i32.const 60000) (i32.const {length})))
            (drop (call $set-path (local.get $request) (i32.const 1) (i32.const {path}) (i32.const 9)))
            (call $sent-response (local.get $request)))"#,
        length = authority.len(),
        path = 60000 + authority.len(),
    )
}

/// H9: with the flag that would grant it.
#[test]
fn a_service_sends_what_its_keys_cover_and_is_told_which_would() {
    let address = upstream();
    let key = format!("GET:http://{address}/v1/*");
    let any = format!("*:http://*:{}/*", address.port());
    for tier in TIERS {
        let granted = server(&passing(&address.to_string()), tier, &["--http", &key]);
        let answer = ask(granted.address(), GET);
        assert_eq!((answer.status, &*answer.body), (200, &b"GET /v1/x?q=1 HTTP/1.1"[..]));
        assert_eq!(granted.log()[0]["denied"], serde_json::Value::Null);
        for (flags, status, mend) in [
            (vec![], 515, format!("--http GET:http://{address}/v1/x")),
            (vec!["--http", &*any], 504, format!("--net connect:{address}")),
        ] {
            let denied = server(&passing(&address.to_string()), tier, &flags);
            assert_eq!(ask(denied.address(), GET).status, status);
            let log = denied.log();
            let told = log[0]["denied"][0].as_str().unwrap();
            assert!(told.ends_with(&format!("grant it with {mend}")), "{told}");
        }
    }
}

/// A program of WASI 0.3 that prints what it is answered.
fn printing(authority: &str) -> String {
    let text = sending(authority)
        + r#"(func $handle (param i32) (local $ends i64)
            (local.set $ends (call $stream-new))
            (drop (call $stdout (call $readable (local.get $ends))))
            (call $pump (call $of-response (call $ask)) (call $writable (local.get $ends))))"#;
    let text = service_guest::component(&text);
    let replace = |text: String, from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    };
    let text = replace(
        text,
        r#"(func $handled async (param "request" $own-request) (result $returned)"#,
        "(type $nothing (result)) (func $handled async (result $nothing)",
    );
    let text = replace(
        text,
        r#""handle") async (memory $mem) (realloc $realloc)
                (callback (core func $m "callback"))))"#,
        r#""handle")))"#,
    );
    let text = replace(
        text,
        r#"(func (export "handle") (param $request i32) (result i32)"#,
        r#"(func (export "handle") (result i32) (local $request i32)"#,
    );
    let text = replace(text, r#"export "handle" (func $handled)"#, r#"export "run" (func $handled)"#);
    replace(
        text,
        "wasi:http/handler@0.3.2\" (instance $exported)",
        "wasi:cli/run@0.3.2\" (instance $exported)",
    )
}

#[test]
fn a_program_of_wasi_0_3_sends_what_its_keys_cover() {
    let address = upstream();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("guest.wat"), printing(&address.to_string())).unwrap();
    for tier in TIERS {
        let inn = |args: &[&str]| {
            let mut inn = Command::new(env!("CARGO_BIN_EXE_inn"));
            inn.args(["run", "--tier", tier])
                .args(args)
                .args(["--cache", "off", "guest.wat"])
                .current_dir(dir.path());
            let ran = inn.output().unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            (ran.status.code(), text(ran.stdout), text(ran.stderr))
        };
        let key = format!("GET:http://{address}/v1/*");
        assert_eq!(inn(&["--http", &key]), (Some(0), String::from("GET /v1/x?q=1 HTTP/1.1"), String::new()));
        let (code, stdout, stderr) = inn(&[]);
        assert!(code != Some(0) && stdout.is_empty(), "{code:?} {stdout}");
        let expected = format!(
            "request GET http://{address}/v1/x: no key covers it; grant it with --http GET:http://{address}/v1/x"
        );
        assert!(stderr.contains(&expected), "{stderr}");
    }
}
