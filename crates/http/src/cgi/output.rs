//! What a program prints: the head of its answer, and the body.
//!
//! Specification: RFC 3875, section 6.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, StatusCode};
use http_body::Frame;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::unix::pipe;

use super::guest::{Guest, Task};
use crate::{Body, BodyError, Failure, Response, full};

/// Bytes that are read at once.
const READ_BYTES: usize = 16 << 10;

/// Fields of an answer.
const MOST_FIELDS: usize = 100;

/// The output of a program that runs.
pub(super) struct Output {
    stdout: pipe::Receiver,
    /// What has been read and not yet passed on.
    read: BytesMut,
    guest: Guest,
    _feeding: Option<Task<()>>,
    has_ended: bool,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: StatusCode,
    headers: HeaderMap,
}

impl Output {
    pub(super) fn new(stdout: pipe::Receiver, guest: Guest, feeding: Option<Task<()>>) -> Output {
        Output { stdout, read: BytesMut::new(), guest, _feeding: feeding, has_ended: false }
    }

    /// The answer, once its head is there. What follows is its body.
    pub(super) async fn response(mut self, max_header_bytes: usize) -> Result<Response, Failure> {
        let head_bytes = loop {
            if let Some(bytes) = head_bytes(&self.read) {
                break bytes;
            }
            if self.read.len() > max_header_bytes {
                return Err(Failure::Guest(format!(
                    "the head of its answer has more than {max_header_bytes} bytes"
                )));
            }
            let count = std::future::poll_fn(|cx| self.poll_read(cx)).await;
            if count.map_err(|error| Failure::Guest(error.to_string()))? == 0 {
                std::future::poll_fn(|cx| self.guest.poll_end(cx)).await?;
                return Err(Failure::Guest(no_head(&self.read)));
            }
        };
        if head_bytes > max_header_bytes {
            return Err(Failure::Guest(format!(
                "the head of its answer has more than {max_header_bytes} bytes"
            )));
        }
        let Head { status, headers } =
            parse(&self.read[..head_bytes]).map_err(|reason| Failure::Guest(reason.to_owned()))?;
        self.read.advance(head_bytes);
        let mut response = http::Response::new(Body::new(self));
        (*response.status_mut(), *response.headers_mut()) = (status, headers);
        Ok(response)
    }

    /// What has been read. Little is copied: it would keep all of the room that it was read into.
    fn take(&mut self) -> Bytes {
        if self.read.len() >= READ_BYTES / 2 {
            return self.read.split().freeze();
        }
        let bytes = Bytes::copy_from_slice(&self.read);
        self.read.clear();
        bytes
    }

    /// Reads more, and gives how many bytes that was; zero at the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let before = self.read.len();
        self.read.resize(before + READ_BYTES, 0);
        let mut buffer = ReadBuf::new(&mut self.read[before..]);
        let outcome = Pin::new(&mut self.stdout).poll_read(cx, &mut buffer);
        let count = buffer.filled().len();
        self.read.truncate(before + count);
        outcome.map_ok(|()| count)
    }
}

impl http_body::Body for Output {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if self.read.is_empty() && ready!(self.poll_read(cx))? == 0 {
            // Whether that was all is known when the program has ended.
            let outcome = ready!(self.guest.poll_end(cx));
            self.has_ended = true;
            return Poll::Ready(match outcome {
                Ok(()) => None,
                Err(failure) => Some(Err(failure.to_string().into())),
            });
        }
        Poll::Ready(Some(Ok(Frame::data(self.take()))))
    }
}

/// The answer to a request that no program can be told of.
pub(super) fn bad_request() -> Response {
    let mut response = http::Response::new(full("Bad Request\n"));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// What to say of a program that has printed this and no head.
fn no_head(printed: &[u8]) -> String {
    /// Characters of it that are shown.
    const MOST_SHOWN: usize = 60;
    if printed.is_empty() {
        return String::from("the program ended without an answer");
    }
    let line = String::from_utf8_lossy(printed.split(|byte| *byte == b'\n').next().unwrap_or_default());
    let line: String = line.trim_end().chars().take(MOST_SHOWN).collect();
    match line.contains(':') {
        true => String::from("the program's answer ends in its head: an empty line belongs before the body"),
        false => format!(
            "the first line that the program prints is no field, `{line}`: `Content-Type: text/plain`, say, and an empty line come first"
        ),
    }
}

/// How many bytes the head has, with the empty line at its end, once that is there.
fn head_bytes(read: &[u8]) -> Option<usize> {
    let mut begin = 0;
    for (end, _) in read.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        if matches!(&read[begin..end], b"" | b"\r") {
            return Some(end + 1);
        }
        begin = end + 1;
    }
    None
}

/// Reads a head.
fn parse(bytes: &[u8]) -> Result<Head, &'static str> {
    let mut status = None;
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        if headers.len() >= MOST_FIELDS {
            return Err("its answer has too many fields");
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.ok_or("a line of its answer's head has no colon")?);
        let value = value[1..].trim_ascii();
        if name.eq_ignore_ascii_case(b"status") {
            let code = value.get(..3).filter(|_| value.get(3).is_none_or(|byte| *byte == b' '));
            let code = code.and_then(|code| StatusCode::from_bytes(code).ok());
            // Those below are said by a connection, not by an answer.
            let code = code.filter(|code| (200..600).contains(&code.as_u16()));
            status = Some(code.ok_or("the status of its answer is none")?);
            continue;
        }
        let name = HeaderName::from_bytes(name).map_err(|_| "the name of a field of its answer is none")?;
        let value =
            HeaderValue::from_bytes(value).map_err(|_| "the value of a field of its answer is none")?;
        if name == CONTENT_LENGTH && !is_length(value.as_bytes(), headers.get(CONTENT_LENGTH)) {
            return Err("the `Content-Length` of its answer is none, or there are several that differ");
        }
        headers.append(name, value);
    }
    if status.is_none() && !headers.contains_key(CONTENT_TYPE) && !headers.contains_key(LOCATION) {
        return Err("its answer has neither `Status`, `Content-Type` nor `Location`");
    }
    let usual = if headers.contains_key(LOCATION) { StatusCode::FOUND } else { StatusCode::OK };
    Ok(Head { status: status.unwrap_or(usual), headers })
}

/// Whether it is a length, and the one that was there before, if there was.
fn is_length(value: &[u8], before: Option<&HeaderValue>) -> bool {
    let number = str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
    value.iter().all(u8::is_ascii_digit) && number.is_some() && before.is_none_or(|it| it.as_bytes() == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_end_with_an_empty_line() {
        assert_eq!(head_bytes(b"A: b\n\nbody\n\n"), Some(6));
        assert_eq!(head_bytes(b"A: b\r\n\r\nbody"), Some(8));
        assert_eq!(head_bytes(b"\nbody"), Some(1));
        assert_eq!(head_bytes(b"A: b\r\n\r"), None);
    }

    #[test]
    fn programs_without_a_head_are_told_what_is_missing() {
        assert_eq!(no_head(b""), "the program ended without an answer");
        assert!(no_head(b"just text\r\nmore").contains("`just text`"));
        assert!(no_head(b"Content-Type: text/plain\n").contains("empty line"));
        let long = no_head("ü".repeat(1000).as_bytes());
        assert!(long.chars().filter(|it| *it == 'ü').count() == 60, "{long}");
    }

    #[test]
    fn heads_are_read_or_refused() {
        let status = |text: &[u8]| parse(text).map(|head| head.status.as_u16());
        assert_eq!(status(b"Content-Type: text/plain\n\n"), Ok(200));
        assert_eq!(status(b"status: 404 Not Found\r\n\r\n"), Ok(404));
        assert_eq!(status(b"Location: /x\n\n"), Ok(302));
        assert_eq!(status(b"Status: 301\nLocation: /x\n\n"), Ok(301));
        assert_eq!(status(b"Status: 200\nContent-Length: 2\n\n"), Ok(200));
        for bad in [
            &b"\n"[..],
            b"X: y\n\n",
            b"Status: 100\n\n",
            b"Status: 2000\n\n",
            b"Status: 20\n\n",
            b"Status: abc\n\n",
            b"no colon\n\n",
            b"Content-Type: a\nBad Name: b\n\n",
            b"Content-Type: a\nX: \x01\n\n",
            b"Content-Type: a\nContent-Length: abc\n\n",
            b"Content-Type: a\nContent-Length: +2\n\n",
            b"Content-Type: a\nContent-Length: -2\n\n",
            b"Content-Type: a\nContent-Length: 2,2\n\n",
            b"Content-Type: a\nContent-Length:\n\n",
            b"Content-Type: a\nContent-Length: 99999999999999999999\n\n",
            b"Content-Type: a\nContent-Length: 2\nContent-Length: 3\n\n",
        ] {
            assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        let many = "X: y\n".repeat(101);
        assert!(parse(format!("Content-Type: a\n{many}\n").as_bytes()).is_err());
    }
}
