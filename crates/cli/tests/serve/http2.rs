//! HTTP/2 without TLS, by frames.

use crate::client::{Client, is_served};
use crate::{Server, guests};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET / HTTP/2` of localhost: the static table's entries, and a literal.
const GET: &[u8] = b"\x82\x84\x86\x41\x09localhost";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A connection whose settings have been exchanged.
fn connect(server: &Server) -> Client {
    let mut client = Client::connect(server.address());
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[]), &frame(SETTINGS, 1, 0, &[])].concat());
    client
}

/// The next frame: kind, flags, stream and payload. None where the connection is closed.
fn next(client: &mut Client) -> Option<(u8, u8, u32, Vec<u8>)> {
    let head = client.exactly(9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    Some((head[3], head[4], stream, client.exactly(length)?))
}

#[test]
fn streams_of_one_connection_are_answered() {
    let server = Server::of(&guests::hello(), &[]);
    let mut client = connect(&server);
    for stream in [1, 3, 5] {
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, GET));
    }
    let mut bodies = std::collections::BTreeMap::<u32, Vec<u8>>::new();
    let mut ended = 0;
    while ended < 3 {
        let (kind, flags, stream, payload) = next(&mut client).expect("a frame");
        if kind == DATA {
            bodies.entry(stream).or_default().extend(payload);
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            ended += 1;
        }
    }
    let hello = b"hello\n".to_vec();
    assert_eq!(bodies, [1, 3, 5].map(|stream| (stream, hello.clone())).into());
    let log = server.log();
    assert!(log.iter().all(|line| line["version"] == "HTTP/2.0" && line["status"] == 200), "{log:?}");
}

/// What is sent until the server has had enough of it.
fn until_closed(server: &Server, attack: impl Iterator<Item = Vec<u8>>) {
    let mut client = connect(server);
    for bytes in attack {
        client.send(bytes);
    }
    while let Some((kind, ..)) = next(&mut client) {
        if kind == GOAWAY {
            return;
        }
    }
}

/// H9 and rapid reset: the connection ends, and others are served.
#[test]
fn floods_end_their_connection_alone() {
    let flags = ["--max-requests", "8", "--header-time", "500ms", "--idle-time", "500ms"];
    let server = Server::of(&guests::echo(), &flags);
    let open = |stream: u32| frame(HEADERS, END_HEADERS, stream, b"\x83\x84\x86\x41\x09localhost");
    let reset = |stream: u32| frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    until_closed(&server, (0..2000).map(|number| [open(2 * number + 1), reset(2 * number + 1)].concat()));
    is_served(server.address());
    let field = b"\x00\x01x\x7f\x81\x07".iter().copied().chain([b'y'; 262]).collect::<Vec<u8>>();
    let begin = frame(HEADERS, END_STREAM, 1, GET);
    let flood = (0..2000).map(|_| frame(CONTINUATION, 0, 1, &field));
    until_closed(&server, std::iter::once(begin).chain(flood));
    is_served(server.address());
    let endless = frame(HEADERS, 0, 1, GET);
    until_closed(&server, std::iter::once(endless));
    is_served(server.address());
    // Frames of data without data: the stream goes on until its time is over, or the connection ends.
    let mut client = connect(&server);
    client.send(open(1));
    for _ in 0..2000 {
        client.send(frame(DATA, 0, 1, &[]));
    }
    is_served(server.address());
}
