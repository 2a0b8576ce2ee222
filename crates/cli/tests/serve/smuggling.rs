//! H4: requests of which two readers could disagree where they end.

use crate::client::Client;
use crate::{Server, guests};

/// The request that nobody may take for one.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The lines that say how long a body is, and what follows the head.
const CASES: &[(&str, &str)] = &[
    ("Content-Length: +5\r\n", "12345"),
    ("Content-Length: 5,5\r\n", "12345"),
    ("Content-Length: 5, 6\r\n", "12345"),
    ("Content-Length: -1\r\n", ""),
    ("Content-Length: 0x5\r\n", "12345"),
    ("Content-Length: 5 5\r\n", "12345"),
    ("Content-Length: \r\n", ""),
    ("Content-Length: 99999999999999999999\r\n", ""),
    ("Content-Length: 5\r\nContent-Length: 6\r\n", "12345"),
    ("Content-Length : 5\r\n", "12345"),
    (" Content-Length: 5\r\n", "12345"),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "+5\r\n12345\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "0x5\r\n12345\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "5 5\r\n12345\r\n0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n"),
    ("X: a\rContent-Length: 5\r\n", "12345"),
    ("X: a\0b\r\n", ""),
    ("X\n: a\r\n", ""),
    // Two lengths, of which chunks count; whatever follows is not read as a request.
    ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
    ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
];

#[test]
fn what_is_ambiguous_is_the_last_request_of_its_connection() {
    let server = Server::of(&guests::hello(), &["--body-time", "2s"]);
    for (fields, after) in CASES {
        let mut client = Client::connect(server.address());
        client.send(format!("POST /first HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n{after}{HIDDEN}"));
        client.finish();
        let answers = String::from_utf8(client.rest()).unwrap();
        assert!(answers.matches("HTTP/1.1 ").count() <= 1, "{fields:?}: {answers}");
        let has_two_lengths = fields.contains("Content-Length: 5\r\n") && fields.contains("Transfer-");
        // The program answers without looking at the body, whose chunks are found to be none after that.
        let is_of_chunks = *fields == "Transfer-Encoding: chunked\r\n";
        if !has_two_lengths && !is_of_chunks {
            assert!(answers.starts_with("HTTP/1.1 400 "), "{fields:?}: {answers}");
        }
    }
    let mut old = Client::connect(server.address());
    old.send(format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"));
    assert_eq!(old.answer().unwrap().status, 400);
    assert!(old.is_closed());
    for head in ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"] {
        let mut client = Client::connect(server.address());
        client.send(head);
        assert_eq!(client.answer().unwrap().status, 400, "{head}");
    }
    let mut tunnel = Client::connect(server.address());
    tunnel.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n");
    assert_eq!(tunnel.answer().unwrap().status, 501);
    assert!(server.log().iter().all(|line| line["target"] != "/hidden"));
}
