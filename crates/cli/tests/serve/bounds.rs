//! What clients and guests cannot do to others: bounds in number, size and time.

use crate::client::{Client, GET, ask, is_served};
use crate::{Server, guests};

/// The head of a request whose body never comes to its end.
const OPEN: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";

/// H2: those who say nothing or little take no place from others, and are closed.
#[test]
fn clients_that_send_no_request_keep_nobody_out() {
    let flags = ["--max-connections", "200", "--max-connections-per-peer", "2000", "--header-time", "1s"];
    let server = Server::of(&guests::hello(), &flags);
    let mut slow = Vec::new();
    for number in 0..1000 {
        let mut client = Client::connect(server.address());
        client.send(["", "G", "GET / HTTP/1.1\r\nHost: loc", "PRI * HTTP/2.0\r\n"][number % 4]);
        slow.push(client);
        if number % 100 == 0 {
            is_served(server.address());
        }
    }
    is_served(server.address());
    for mut client in slow {
        // Those that were not closed for others are told why they are closed.
        let rest = client.rest();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408 "), "{}", rest.escape_ascii());
    }
    is_served(server.address());
}

#[test]
fn one_peer_has_so_many_connections() {
    let server = Server::of(&guests::echo(), &["--max-connections-per-peer", "2"]);
    let busy: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = Client::connect(server.address());
            client.send([OPEN, "1\r\nx\r\n"].concat());
            client.wait_for("x\r\n");
            client
        })
        .collect();
    assert!(Client::connect(server.address()).is_closed(), "both have requests");
    drop(busy);
}

#[test]
fn a_connection_without_requests_is_closed() {
    let server = Server::of(&guests::hello(), &["--idle-time", "200ms"]);
    let mut client = Client::connect(server.address());
    client.send(GET);
    assert_eq!(client.answer().unwrap().status, 200);
    assert!(client.is_closed());
}

/// H1: fields and their bytes.
#[test]
fn heads_have_so_many_bytes_and_fields() {
    let server = Server::of(&guests::hello(), &[]);
    let with = |fields: &str| format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    for fields in [
        format!("X: {}\r\n", "x".repeat(17 << 10)),
        "X: y\r\n".repeat(101),
        format!("X: {}\r\n", "x".repeat(1 << 10)).repeat(17),
    ] {
        assert_eq!(ask(server.address(), with(&fields)).status, 431);
    }
    assert_eq!(ask(server.address(), with(&format!("X: {}\r\n", "x".repeat(15 << 10)))).status, 200);
    let long = format!("GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n", "x".repeat(17 << 10));
    assert!(matches!(ask(server.address(), long).status, 414 | 431));
    is_served(server.address());
}

/// H3: a body that is too large, said before or found out, and one that stands still.
#[test]
fn bodies_have_so_many_bytes_and_go_on() {
    let server = Server::of(&guests::echo(), &["--max-body", "1000", "--body-time", "300ms"]);
    let said = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n";
    assert_eq!(ask(server.address(), said).status, 413);
    // The program prints its head before it reads, so that an answer may be under way: it is cut short then.
    let refused = |body: &str, wanted: u16| {
        let mut client = Client::connect(server.address());
        client.send([OPEN, body].concat());
        if let Some(answer) = client.answer() {
            assert!(answer.status == wanted || !answer.is_whole, "{answer:?}");
        }
        assert!(client.is_closed());
    };
    refused(
        &"64\r\n".chars().chain("x".repeat(100).chars()).chain("\r\n".chars()).collect::<String>().repeat(11),
        413,
    );
    refused("5\r\nfirst\r\n", 408);
    refused("zzz\r\n", 400);
    let exact =
        format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{}", "x".repeat(1000));
    assert_eq!(ask(server.address(), exact).body.len(), 1000);
}

/// Whoever is refused and goes on sending reads the answer all the same: the connection is not reset.
#[test]
fn who_still_sends_gets_the_answer_to_what_was_refused() {
    let body = vec![b'x'; 6 << 20];
    let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let server = Server::of(&guests::hello(), &["--max-body", "1MiB"]);
    let mut client = Client::connect(server.address());
    // All of it is sent before anything is read.
    assert!(client.sends([head.as_bytes(), &body].concat()));
    assert_eq!(client.answer().unwrap().status, 413);
    assert!(client.is_closed());
    // What is no request at all has no end.
    let mut client = Client::connect(server.address());
    assert!(client.sends(["GET / HTTP/1.1\n".as_bytes(), &body].concat()));
    assert_eq!(client.answer().unwrap().status, 400);
    assert!(client.is_closed());
    client.finish();
    // Nobody is waited for longer than that.
    let server = Server::of(&guests::hello(), &["--max-body", "1MiB", "--linger-time", "100ms"]);
    let mut client = Client::connect(server.address());
    client.send(head);
    assert_eq!(client.answer().unwrap().status, 413);
    while client.sends(&body) {}
}

/// A program that reads first is told of no end of a body that has none, and the client is told why.
#[test]
fn a_body_that_was_cut_short_looks_like_no_whole_one() {
    let server = Server::of(&guests::reader(), &["--max-body", "1000", "--body-time", "200ms"]);
    assert_eq!(ask(server.address(), [OPEN, "5\r\nfirst\r\n0\r\n\r\n"].concat()).body, b"read");
    assert_eq!(ask(server.address(), [OPEN, "5\r\nfirst\r\n"].concat()).status, 408);
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    assert_eq!(ask(server.address(), [OPEN, &chunk, "1\r\nx\r\n"].concat()).status, 413);
    assert_eq!(ask(server.address(), [OPEN, "zzz\r\n"].concat()).status, 400);
}

#[test]
fn requests_beyond_those_that_may_wait_are_sent_away() {
    let server = Server::of(&guests::echo(), &["--max-requests", "1", "--max-queue", "0"]);
    let mut first = Client::connect(server.address());
    first.send([OPEN, "1\r\nx\r\n"].concat());
    first.wait_for("x\r\n");
    let answer = ask(server.address(), GET);
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    first.send("0\r\n\r\n");
    assert!(first.answer().unwrap().is_whole);
}

#[test]
fn a_request_waits_for_its_turn() {
    let server = Server::of(&guests::echo(), &["--max-requests", "1"]);
    let mut first = Client::connect(server.address());
    first.send([OPEN, "1\r\nx\r\n"].concat());
    first.wait_for("x\r\n");
    let mut second = Client::connect(server.address());
    second.send(GET);
    first.send("0\r\n\r\n");
    assert!(first.answer().unwrap().is_whole);
    assert_eq!(second.answer().unwrap().status, 200);
}

/// Its program has ended, and so there is room for the next.
#[test]
fn a_client_that_goes_away_takes_its_request_along() {
    let server = Server::of(&guests::echo(), &["--max-requests", "1"]);
    for _ in 0..5 {
        let mut client = Client::connect(server.address());
        client.send([OPEN, "1\r\nx\r\n"].concat());
        client.wait_for("x\r\n");
    }
    is_served(server.address());
}

/// L4: endless loops, and waits without end.
#[test]
fn requests_have_so_much_time() {
    let endless = guests::prints("", "(loop (br 0))");
    for flags in [["--max-cpu", "100ms"], ["--timeout", "200ms"]] {
        for tier in ["interpreter", "compiled"] {
            let flags = [&flags[..], &["--tier", tier]].concat();
            let server = Server::of(&endless, &flags);
            assert_eq!(ask(server.address(), GET).status, 504, "{flags:?}");
        }
    }
    let server = Server::of(&guests::echo(), &["--timeout", "300ms"]);
    let mut client = Client::connect(server.address());
    client.send([OPEN, "5\r\nfirst\r\n"].concat());
    assert!(!client.answer().unwrap().is_whole);
    assert!(client.is_closed());
    is_served(server.address());
}

/// Many that compute do not keep others from being answered.
#[test]
fn guests_that_compute_share_their_threads() {
    let server = Server::of(&guests::prints("", "(loop (br 0))"), &["--max-cpu", "300ms"]);
    let mut busy: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = Client::connect(server.address());
            client.send(GET);
            client
        })
        .collect();
    // Refused without a guest, and so while all of them compute.
    assert_eq!(ask(server.address(), "GET / HTTP/1.1\r\n\r\n").status, 400);
    for client in &mut busy {
        assert_eq!(client.answer().unwrap().status, 504);
    }
}

#[test]
fn a_program_has_so_much_memory() {
    let grow = "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
        (if (i32.gt_u (memory.size) (i32.const 200)) (then unreachable))";
    let server = Server::of(&guests::prints("Status: 200\n\n", grow), &["--max-memory", "10MiB"]);
    let answer = ask(server.address(), GET);
    assert!(answer.is_whole, "{answer:?}");
}
