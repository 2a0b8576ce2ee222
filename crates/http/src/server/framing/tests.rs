//! Bytes as clients send them, whole and in pieces.

use super::*;

/// Whole conversations, and how many bytes of each are admitted: all where nothing is said.
const CONVERSATIONS: &[(&[u8], Option<usize>)] = &[
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
    (b"\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", None),
    (b"POST / HTTP/1.1\r\nContent-Length:\t5 \r\n\r\n1\n\r\n5GET / HTTP/1.1\r\n\r\n", None),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n2;a=\"b\"\r\n\n\n\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\n\r\n", None),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\n\n\0", None),
    (b"PRI * HTTP/1.1\r\nA: b\r\n\r\n", None),
    (b"PRI * HTTP/2.0\r\n\r\nSM\n", Some(18)),
    (b"GET / HTTP/1.1\n", Some(0)),
    (b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", Some(16)),
    (b"GET / HTTP/1.1\r\nA: b\r\n\n", Some(22)),
    (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Some(64)),
    (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n", Some(51)),
];

/// However the bytes are cut into pieces, the same are admitted.
#[test]
fn what_is_admitted_does_not_depend_on_how_it_comes() {
    for (bytes, admitted) in CONVERSATIONS {
        let wanted = admitted.unwrap_or(bytes.len());
        for size in 1..=bytes.len() {
            let mut framing = Framing::new(1 << 10);
            let mut count = 0;
            for piece in bytes.chunks(size) {
                let passed = framing.admit(piece);
                count += passed;
                if passed < piece.len() {
                    break;
                }
            }
            // Of a line that comes in pieces, those before the last are read; its end is not.
            let (least, last) = match admitted {
                Some(_) => (wanted, bytes.len() - 1),
                None => (wanted, wanted),
            };
            assert!(
                (least..=last).contains(&count),
                "{:?} by {size}: {count}",
                bytes.escape_ascii().to_string()
            );
            assert_eq!(framing.refused().is_some(), admitted.is_some());
        }
    }
}

/// A head is under way from its first byte to its last.
#[test]
fn heads_have_a_beginning_and_an_end() {
    let mut framing = Framing::new(1 << 10);
    for (bytes, is_in_head) in [
        (&b""[..], false),
        (b"P", true),
        (b"OST / HTTP/1.1\r\n", true),
        (b"Content-Length: 2\r\n\r\n", false),
        (b"\n\n", false),
        (b"\r\n", false),
        (b"GET", true),
        (b" / HTTP/1.1\r\n\r\n", false),
    ] {
        assert_eq!(framing.admit(bytes), bytes.len());
        assert_eq!(framing.is_in_head(), is_in_head, "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn no_line_is_kept_that_is_too_long() {
    let mut framing = Framing::new(100);
    assert_eq!(framing.admit(&[b'x'; 100]), 100);
    assert_eq!(framing.admit(b"x"), 0);
    assert_eq!(framing.refused(), Some(Part::Head));
}
