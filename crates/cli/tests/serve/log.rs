//! What a request's line in the log says of limits and of heads that nobody could read.

use crate::client::{Client, GET, ask};
use crate::{Server, guests, proxy_guest, service_guest};

/// A head that the strict reader lets pass and the other refuses, one that it refuses itself, and what has no end.
const UNREAD: [(&str, u16, &str); 3] = [
    ("GET / HTTP/1.1\r\nHost: a\r\nA: \x01\r\n\r\n", 400, "not in order"),
    ("GET / HTTP/1.1\nHost: a\n\n", 400, "not in order"),
    ("GET / HTTP/7.3\r\nHost: a\r\n\r\n", 400, "not in order"),
];

/// Prints a second time.
fn twice() -> String {
    guests::prints("Content-Type: text/plain\n\n", "(call $print (i32.const 4096) (i32.const 10))")
}

/// Whoever sends what is no request is found in the log all the same, with what it was answered.
#[test]
fn heads_that_cannot_be_read_have_a_line() {
    let server = Server::of(&guests::hello(), &["--max-header", "256KiB", "--header-time", "300ms"]);
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000));
    let mut wanted: Vec<(String, u16, &str)> =
        UNREAD.iter().map(|(head, status, note)| ((*head).to_owned(), *status, *note)).collect();
    wanted.push((many, 431, "--max-header is 256 KiB"));
    wanted.push((long, 414, "too large"));
    wanted.push((String::from("GET / HT"), 408, "--header-time is 300ms"));
    for (head, status, _) in &wanted {
        assert_eq!(ask(server.address(), head).status, *status, "{head:?}");
    }
    // In whichever order their connections have ended.
    let mut log = server.log();
    for (head, status, note) in &wanted {
        let is_meant = |line: &serde_json::Value| {
            line["status"] == *status && line["note"].as_str().is_some_and(|said| said.contains(note))
        };
        let found = log.iter().position(is_meant).unwrap_or_else(|| panic!("{head:?}: {log:?}"));
        let line = log.swap_remove(found);
        assert!(
            line["target"].is_null() && line["method"].is_null() && line["peer"] == "127.0.0.1",
            "{line}"
        );
    }
    assert!(log.is_empty(), "{log:?}");
}

/// Whatever limit is in the way of a request, its line names the flag that sets it, and the value that it has.
#[test]
fn each_limit_is_named_by_its_flag() {
    const OPEN: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";
    const LONG: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
    let header = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(9000));
    let endless = guests::prints("", "(loop (br 0))");
    let chunks = format!("{OPEN}8\r\nxxxxxxxx\r\n");
    let late = guests::prints("Content-Type: text/plain\r\n\r\n", "(loop (br 0))");
    let cases: [(&str, &[&str], &str, &str); 10] = [
        (&endless, &["--timeout", "200ms"], GET, "--timeout is 200ms"),
        (&endless, &["--max-cpu", "100ms"], GET, "--max-cpu is 100ms"),
        (&late, &["--timeout", "200ms"], GET, "--timeout is 200ms"),
        (&late, &["--max-cpu", "100ms"], GET, "--max-cpu is 100ms"),
        (&guests::reader(), &["--max-body", "8"], LONG, "--max-body is 8 bytes"),
        (&guests::reader(), &["--max-body", "8"], &chunks, "--max-body is 8 bytes"),
        (&guests::reader(), &["--body-time", "200ms"], OPEN, "--body-time is 200ms"),
        (&guests::hello(), &["--max-header", "8KiB"], &header, "--max-header is 8 KiB"),
        (&twice(), &["--max-written", "20"], GET, "--max-written is 20 bytes"),
        (
            &guests::prints("Content-Type: text/plain\n\n", "(drop (memory.grow (i32.const 1000)))"),
            &["--max-memory", "20MiB"],
            GET,
            "--max-memory is 20 MiB",
        ),
    ];
    for (guest, flags, request, wanted) in cases {
        let server = Server::of(guest, flags);
        let mut client = Client::connect(server.address());
        client.send(request);
        client.answer();
        let log = server.log();
        let note = log[0]["note"].as_str().unwrap_or_else(|| panic!("{flags:?}: {}", log[0]));
        assert!(note.contains(wanted), "{flags:?}: {note}");
    }
}

#[test]
fn who_is_sent_away_is_told_for_which_limits() {
    let server = Server::of(&guests::echo(), &["--max-requests", "1", "--max-queue", "0"]);
    let mut first = Client::connect(server.address());
    first.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    first.wait_for("x\r\n");
    assert_eq!(ask(server.address(), GET).status, 503);
    first.send("0\r\n\r\n");
    assert!(first.answer().unwrap().is_whole);
    let note = server.log()[0]["note"].as_str().unwrap().to_owned();
    assert!(note.contains("--max-requests is 1, --max-queue is 0, --queue-time is 5s"), "{note}");
}

/// A limit that a policy has set is named as it is there, and what a policy has granted is granted further there.
#[test]
fn limits_and_keys_of_policies_are_named_as_they_are_there() {
    let server = Server::with(&twice(), &[], |dir, inn| {
        std::fs::write(dir.join("policy.toml"), "[limits]\nwritten = 20\n").unwrap();
        inn.args(["--listen", "0", "--policy", "policy.toml"]);
    });
    ask(server.address(), GET);
    let note = server.log()[0]["note"].as_str().unwrap().to_owned();
    assert!(note.contains("`written` under [limits] in policy.toml"), "{note}");
}

/// What a component sends counts as written, bodies of answers and requests included.
#[test]
fn bodies_of_components_count_as_written() {
    let hello = r#"
        (data (i32.const 128) "hello")
        (func $handle (param $request i32) (param $out i32) (local $body i32) (local $stream i32)
            (local.set $body (call $answer (local.get $out) (i32.const 200)))
            (local.set $stream (call $stream (local.get $body)))
            (if (call $say (local.get $stream) (i32.const 128) (i32.const 5)) (then (unreachable)))
            (call $end (local.get $body) (local.get $stream)))"#;
    let hello_of_p3 = r#"
        (data (i32.const 65536) "hello")
        (func $handle (param $request i32) (local $ends i64)
            (local.set $ends (call $stream-new))
            (call $answer (i32.const 200) (call $readable (local.get $ends)))
            (if (i32.eqz (call $write (call $writable (local.get $ends)) (i32.const 65536) (i32.const 5))) (then (unreachable)))
            (call $drop-writable (call $writable (local.get $ends))))"#;
    let guests = [proxy_guest::component(hello), service_guest::component(hello_of_p3)];
    for (guest, limit, is_enough) in guests.iter().flat_map(|guest| [(guest, "4", false), (guest, "5", true)])
    {
        let server = Server::of_kind(&[], guest, &["--max-written", limit], |_, inn| {
            inn.args(["--listen", "0"]);
        });
        let mut client = Client::connect(server.address());
        client.send(GET);
        let answer = client.answer().unwrap();
        assert_eq!(
            answer.status == 200 && answer.is_whole && answer.body == b"hello",
            is_enough,
            "{answer:?}"
        );
        let log = server.log();
        let note = log[0]["note"].as_str().unwrap_or_default();
        assert_eq!(note.contains("--max-written is 4 bytes"), !is_enough, "{note}");
    }
}
