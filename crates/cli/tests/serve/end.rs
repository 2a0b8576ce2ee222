//! How a server ends.

use std::net::TcpStream;
use std::time::Instant;

use crate::client::{Client, GET};
use crate::{PATIENCE, Server, guests};

const OPEN: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n";

/// Those that have no request are closed, those that have one get their whole answer, and nobody else is let in.
#[test]
fn requests_in_flight_are_answered_before_the_end() {
    for signal in ["-TERM", "-INT"] {
        let server = Server::of(&guests::echo(), &[]);
        let address = server.address();
        let mut idle: Vec<Client> = (0..10)
            .map(|_| {
                let mut client = Client::connect(address);
                client.send(GET);
                assert_eq!(client.answer().unwrap().status, 200);
                client
            })
            .collect();
        let mut busy: Vec<Client> = (0..10).map(|_| Client::connect(address)).collect();
        for client in &mut busy {
            client.send(OPEN);
            client.wait_for("x\r\n");
        }
        server.signal(signal);
        for client in &mut idle {
            assert!(client.is_closed());
        }
        // Soon, though not before the idle ones are closed.
        let begin = Instant::now();
        while TcpStream::connect(address).is_ok() {
            assert!(begin.elapsed() < PATIENCE, "nobody is accepted any more");
        }
        for client in &mut busy {
            client.send("4\r\nmore\r\n0\r\n\r\n");
            let answer = client.answer().unwrap();
            assert!(answer.is_whole && answer.body == b"xmore", "{answer:?}");
            assert!(client.is_closed());
        }
        let ended = server.ended();
        assert_eq!(ended.code, Some(0), "{signal}");
        assert_eq!(ended.log.len(), 20);
        assert!(ended.log.iter().all(|line| line["incomplete"].is_null()));
    }
}

#[test]
fn requests_that_do_not_end_are_cut_short() {
    for (drain, second) in [("200ms", None), ("1h", Some("-TERM"))] {
        let server = Server::of(&guests::echo(), &["--drain", drain]);
        let mut idle = Client::connect(server.address());
        idle.send(GET);
        assert_eq!(idle.answer().unwrap().status, 200);
        let mut client = Client::connect(server.address());
        client.send(OPEN);
        client.wait_for("x\r\n");
        server.signal("-TERM");
        // So that the first signal has been seen when the second is sent.
        assert!(idle.is_closed());
        if let Some(signal) = second {
            server.signal(signal);
        }
        assert!(!client.answer().unwrap().is_whole);
        let ended = server.ended();
        assert_eq!(ended.code, Some(0));
        assert_eq!(ended.log.last().unwrap()["incomplete"], true);
    }
}
