//! HTTP/2 without TLS, by frames.

use crate::client::{Client, is_served};
use crate::{Server, guests};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PRIORITY: u8 = 2;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET / HTTP/2` of localhost: the static table's entries, and a literal.
const GET: &[u8] = b"\x82\x84\x86\x41\x09localhost";

/// The same as `POST`, whose body is to come.
const POST: &[u8] = b"\x83\x84\x86\x41\x09localhost";

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
    let open = |stream: u32| frame(HEADERS, END_HEADERS, stream, POST);
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
    // Frames of data without data.
    let begin = frame(HEADERS, END_HEADERS, 1, POST);
    let flood = (0..20_000).map(|_| frame(DATA, 0, 1, &[]));
    until_closed(&server, std::iter::once(begin).chain(flood));
    is_served(server.address());
    // What is answered, changes nothing, or means nothing.
    for (kind, stream, payload) in [
        (PING, 0, &[0; 8][..]),
        (SETTINGS, 0, &[]),
        (PRIORITY, 1, &[0; 5]),
        (WINDOW_UPDATE, 0, &[0, 0, 0, 1]),
        (0xbb, 0, &[]),
    ] {
        let mut client = connect(&server);
        for _ in 0..2000 {
            client.send(frame(kind, 0, stream, payload));
        }
        is_served(server.address());
    }
}

/// One field in the table of the connection, and then as often as its frame has room for it, in many streams.
#[test]
fn heads_do_not_grow_where_they_are_read() {
    let server = Server::of(&guests::hello(), &[]);
    let mut client = connect(&server);
    let field = [&b"\x40\x01x\x7f\xa1\x1e"[..], &[b'y'; 4000]].concat();
    let first = [GET, &field].concat();
    client.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, &first));
    for stream in 1..100 {
        let bomb = [GET, &[0xbe; 16_000]].concat();
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, 2 * stream + 1, &bomb));
    }
    is_served(server.address());
    let (highest, _) = crate::attacks::memory(&server);
    assert!(highest < 128 << 20, "{highest} bytes");
}

/// Clients that open streams and let nothing be sent in them hold places for no longer than others let them, and no longer than their answers may stand still.
#[test]
fn answers_that_nobody_lets_through_do_not_hold_places() {
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let hold = |server: &Server| {
        let mut client = Client::connect(server.address());
        client.send([PREFACE, &no_window].concat());
        for stream in 0..8 {
            client.send(frame(HEADERS, END_STREAM | END_HEADERS, 2 * stream + 1, GET));
        }
        // Four answers have begun.
        let mut begun = 0;
        while begun < 4 {
            begun += u32::from(next(&mut client).expect("a frame").0 == HEADERS);
        }
        client
    };
    let server = Server::of(&guests::hello(), &["--max-requests", "4", "--queue-time", "1m"]);
    let _client = hold(&server);
    is_served(server.address());
    let server = Server::of(&guests::hello(), &["--max-requests", "4", "--body-time", "500ms"]);
    let mut client = hold(&server);
    while next(&mut client).is_some() {}
    is_served(server.address());
}

/// As of HTTP/1.1.
#[test]
fn fields_of_a_head_are_as_many_as_there_may_be() {
    let server = Server::of(&guests::hello(), &[]);
    let mut client = connect(&server);
    // Besides what names the target, which are no fields.
    let mut stream = 1;
    for (count, status) in [(100_u8, 200), (101, 431)] {
        // A literal without indexing, with a new name of three bytes and a value of none.
        let field = |i: u8| [0, 3, b'a' + i / 26, b'a' + i % 26, b'x', 0];
        let head = [GET, (0..count).flat_map(field).collect::<Vec<u8>>().as_slice()].concat();
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, &head));
        loop {
            let (kind, flags, of, payload) = next(&mut client).expect("a frame");
            // 200 is in the static table; another status is a literal in its place.
            if kind == HEADERS && of == stream {
                let is_ok = payload[0] == 0x88;
                assert_eq!(is_ok, status == 200, "{count}: {payload:?}");
            }
            if of == stream && flags & END_STREAM != 0 {
                break;
            }
        }
        stream += 2;
    }
    let log = server.log();
    let statuses: Vec<_> = log.iter().map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 431]);
}
