//! Programs of WASI 0.1 as the Common Gateway Interface has them.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;

use crate::client::{Client, GET, ask, is_served};
use crate::{Server, guests};

#[test]
fn requests_of_one_connection_are_answered_in_their_order() {
    let server = Server::of(&guests::hello(), &[]);
    let mut client = Client::connect(server.address());
    client.send(GET.repeat(3));
    for _ in 0..3 {
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, &*answer.body), (200, &b"hello\n"[..]));
    }
    client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let head = String::from_utf8(client.rest()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let log = server.log();
    assert_eq!(log.len(), 4);
    let traces: std::collections::HashSet<_> =
        log.iter().map(|line| line["trace"].as_str().unwrap()).collect();
    assert_eq!(traces.len(), 4);
    for line in log {
        assert_eq!((&line["status"], &line["instance"]), (&200.into(), &"new".into()), "{line}");
        assert_eq!((&line["guest"], &line["incomplete"]), (&"guest.wat".into(), &serde_json::Value::Null));
        assert_eq!(line["bytes"], if line["method"] == "HEAD" { 0 } else { 6 }, "{line}");
    }
}

#[test]
fn a_program_finds_its_request_in_its_environment() {
    let server = Server::of(&guests::environment(), &["--env", "MINE=1"]);
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let request = format!(
        "GET /a%20b/c?d=%20e HTTP/1.1\r\nHost: example.com:80\r\nX-Some-Field: text\r\nProxy: evil\r\n\
         traceparent: 00-{trace}-b7ad6b7169203331-01\r\nConnection: close\r\n\r\n"
    );
    let answer = ask(server.address(), request);
    let text = String::from_utf8(answer.body).unwrap();
    let variables: Vec<&str> = text.split('\0').collect();
    let port = server.address().port();
    for wanted in [
        "MINE=1",
        "GATEWAY_INTERFACE=CGI/1.1",
        "REQUEST_METHOD=GET",
        "PATH_INFO=/a b/c",
        "QUERY_STRING=d=%20e",
        "REQUEST_URI=/a%20b/c?d=%20e",
        "SERVER_NAME=example.com",
        "SERVER_PROTOCOL=HTTP/1.1",
        "HTTP_X_SOME_FIELD=text",
        "REMOTE_ADDR=127.0.0.1",
        &format!("SERVER_PORT={port}"),
    ] {
        assert!(variables.contains(&wanted), "no {wanted} in {variables:?}");
    }
    assert!(!text.contains("evil"), "{text}");
    assert!(text.contains(&format!("HTTP_TRACEPARENT=00-{trace}-")), "{text}");
    assert_eq!(server.log()[0]["trace"], trace);
}

/// Both bodies are longer than what pipes and sockets hold, and the answer begins before the request has ended.
#[test]
fn bodies_stream_both_ways() {
    let server = Server::of(&guests::echo(), &[]);
    let mut client = Client::connect(server.address());
    client.send("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    client.wait_for("first\r\n");
    client.send("6\r\nsecond\r\n0\r\n\r\n");
    let answer = client.answer().unwrap();
    assert_eq!((&*answer.body, answer.is_whole), (&b"firstsecond"[..], true));
    let body: Vec<u8> = (0..4_000_000_u32).map(|number| (number / 7) as u8).collect();
    let request = [
        format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
        &body,
    ]
    .concat();
    let answer = Client::connect(server.address()).answer_while_sending(request);
    assert!(answer.is_whole && answer.body == body, "{} bytes", answer.body.len());
}

#[test]
fn a_program_that_fails_is_an_error_and_no_answer() {
    let head = "Content-Type: text/plain\n\nsome";
    for (text, then, reason) in [
        ("", "unreachable", "unreachable"),
        ("Content-Type: text/plain\n", "unreachable", "unreachable"),
        ("", "", "without an answer"),
        ("Content-Type: text/plain\n", "", "an empty line belongs before the body"),
        ("just text\n", "", "is no field, `just text`"),
        ("", "(call $exit (i32.const 3))", "exited with 3"),
        ("no head\n\n", "", "no colon"),
    ] {
        let server = Server::of(&guests::prints(text, then), &[]);
        let answer = ask(server.address(), GET);
        assert_eq!(answer.status, 500, "{text} {then}");
        let note = server.log()[0]["note"].as_str().unwrap().to_owned();
        assert!(note.contains(reason), "{note}");
    }
    for then in ["unreachable", "(call $exit (i32.const 3))"] {
        let server = Server::of(&guests::prints(head, then), &[]);
        let mut client = Client::connect(server.address());
        client.send(GET);
        // Where the end is known before the head is sent, there is no answer at all.
        if let Some(answer) = client.answer() {
            assert!(!answer.is_whole, "{answer:?}");
        }
        assert!(client.is_closed());
        let line = &server.log()[0];
        assert_eq!(line["incomplete"], true, "{line}");
    }
    let server = Server::of(&guests::prints(head, "(call $exit (i32.const 0))"), &[]);
    let answer = ask(server.address(), GET);
    assert!(answer.is_whole && answer.body == b"some", "{answer:?}");
}

#[test]
fn what_a_program_was_denied_is_in_the_log() {
    let guest = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 64) "Status: 200\n\nhello/etc/passwd")
        (func (export "_start")
            (drop (call $open (i32.const 3) (i32.const 0) (i32.const 82) (i32.const 11) (i32.const 0) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 8)))
            (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 18))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;
    let server = Server::of(guest, &["--tmp", "/t"]);
    is_served(server.address());
    let line = server.log().remove(0);
    assert!(line["denied"][0].as_str().unwrap().contains("etc/passwd"), "{line}");
}

#[test]
fn sockets_of_the_file_system_are_served_and_taken_away() {
    let mut path = None;
    let server = Server::with(&guests::environment(), &[], |dir, inn| {
        path = Some(dir.join("socket"));
        // One that nobody listens at any more.
        drop(std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap());
        inn.args(["--listen", "unix:socket"]);
    });
    assert_eq!(server.addresses, ["unix:socket"]);
    let path = path.unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("REQUEST_METHOD=GET"), "{text}");
    server.signal("-TERM");
    let mut server = server;
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(!path.exists());
}

/// As systemd starts it, with the socket as descriptor 3.
#[test]
fn sockets_that_were_opened_for_it_are_served() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("guest.wat"), guests::hello()).unwrap();
    let mut command = std::process::Command::new("sh");
    command.args(["-c", r#"LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@" 3<&0"#, env!("CARGO_BIN_EXE_inn")]);
    command.args(["serve", "--cgi", "--cache", "off", "guest.wat"]).current_dir(dir.path());
    command.stdin(std::os::fd::OwnedFd::from(listener));
    let server = Server::start(command, dir);
    assert_eq!(server.address(), address);
    is_served(address);
}

#[test]
fn what_cannot_be_served_is_said() {
    let says = |text: &str, args: &[&str], wanted: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("guest.wat"), text).unwrap();
        let mut inn = std::process::Command::new(env!("CARGO_BIN_EXE_inn"));
        inn.arg("serve").args(args).args(["--cache", "off", "--listen", "0", "guest.wat"]);
        let ran = inn.current_dir(dir.path()).output().unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && stderr.contains(wanted), "{stderr}");
    };
    says(&guests::hello(), &[], "--cgi");
    says("(module)", &["--cgi"], "_start");
    says(r#"(module (import "x" "y" (func)) (func (export "_start")))"#, &["--cgi"], "x");
}
