//! Where the messages end that a client sends with HTTP/1.1, read strictly: whatever two readers could disagree about is refused.
//!
//! hyper reads messages leniently where RFC 9112 lets a recipient choose, as servers have to that meet clients of every age. A proxy in front may choose otherwise, and then both take different bytes
//! for the next request (request smuggling). So bytes pass this before hyper reads them: lines end with CR LF and nothing else, a length is said once and one way, and the end of each body is known. It passes on
//! what it has checked and nothing behind it; docs/http1.md has the answers, case by case.
//!
//! What must stay true: hyper never sees the end of a head, of a chunk's size or of trailers before it was found to be in order. What is not checked here, because it says nothing of where a message
//! ends, hyper checks: methods, targets, versions, values of fields, sizes.
//!
//! Specification: RFC 9112, sections 2.2, 5, 6 and 7.1.

mod head;

use head::{BodyLength, Head};

/// What connections of HTTP/2 begin with: RFC 9113, section 3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of a chunk's size with its extensions.
const MOST_CHUNK_LINE_BYTES: usize = 1024;

/// Follows the bytes that a client sends.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    /// What has come of a line whose end has not.
    line: Vec<u8>,
    max_line_bytes: usize,
}

#[derive(Debug)]
enum State {
    /// So many bytes of the connection are those that HTTP/2 begins with.
    Start(usize),
    /// Not looked at any further.
    Http2,
    /// Between two messages, or in the lines of a head.
    Head(Head),
    /// So many bytes of a body are still to come.
    Sized(u64),
    /// The line with a chunk's size.
    ChunkSize,
    /// So many bytes of a chunk are still to come.
    Chunk(u64),
    /// The end of the line that a chunk's bytes are.
    ChunkEnd,
    /// The lines behind the last chunk.
    Trailers,
    Refused(Part),
}

/// What was refused was a part of this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Head,
    Body,
}

/// What a line that has come as a whole leads to.
type Next = Result<State, Ambiguous>;

/// A line is not what it has to be.
#[derive(Debug, PartialEq, Eq)]
struct Ambiguous;

impl Framing {
    /// That of a connection that begins; no line is kept that is longer.
    pub(super) fn new(max_line_bytes: usize) -> Framing {
        Framing { state: State::Start(0), line: Vec::new(), max_line_bytes }
    }

    /// Looks at the next bytes, and gives how many of them may be read: all, or those before the line that is refused.
    pub(super) fn admit(&mut self, bytes: &[u8]) -> usize {
        let mut seen = 0;
        while seen < bytes.len() {
            let rest = &bytes[seen..];
            seen += match &mut self.state {
                State::Start(count) => {
                    let known = *count;
                    let same = HTTP2_PREFACE[known..].iter().zip(rest).take_while(|(a, b)| a == b).count();
                    *count += same;
                    if *count == HTTP2_PREFACE.len() {
                        self.state = State::Http2;
                    } else if same < rest.len() {
                        // It was the beginning of something else.
                        self.state = State::Head(Head::default());
                        let from_before = self.admit(&HTTP2_PREFACE[..known]);
                        debug_assert_eq!(from_before, known);
                        continue;
                    }
                    same
                }
                State::Http2 => rest.len(),
                State::Sized(left) | State::Chunk(left) => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= count as u64;
                    if *left == 0 {
                        self.state = match self.state {
                            State::Chunk(_) => State::ChunkEnd,
                            _ => State::Head(Head::default()),
                        };
                    }
                    count
                }
                State::Head(_) | State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    let part = if matches!(self.state, State::Head(_)) { Part::Head } else { Part::Body };
                    match self.line(rest) {
                        Ok(count) => count,
                        Err(Ambiguous) => {
                            self.state = State::Refused(part);
                            return seen;
                        }
                    }
                }
                State::Refused(_) => return seen,
            };
        }
        seen
    }

    /// What was refused, if something was: nothing behind it is read.
    pub(super) fn refused(&self) -> Option<Part> {
        match self.state {
            State::Refused(part) => Some(part),
            _ => None,
        }
    }

    /// Whether HTTP/2 is spoken.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self.state, State::Http2)
    }

    /// Whether a head has begun that has not come to its end.
    pub(super) fn is_in_head(&self) -> bool {
        match &self.state {
            State::Start(count) => *count > 0,
            State::Head(head) => head.has_begun() || !self.line.is_empty(),
            _ => false,
        }
    }

    /// Whether more has to come of a message that has begun, or of one that was refused.
    pub(super) fn is_within_message(&self) -> bool {
        match &self.state {
            State::Start(_) | State::Head(_) => self.is_in_head(),
            State::Http2 => false,
            _ => true,
        }
    }

    /// Reads on until a line's end, and gives how many bytes that is.
    fn line(&mut self, rest: &[u8]) -> Result<usize, Ambiguous> {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            if self.line.len() + rest.len() > self.max_line_bytes {
                return Err(Ambiguous);
            }
            self.line.extend_from_slice(rest);
            return Ok(rest.len());
        };
        let whole = std::mem::take(&mut self.line);
        let joined;
        let line = if whole.is_empty() {
            &rest[..end]
        } else {
            joined = [&whole, &rest[..end]].concat();
            &joined[..]
        };
        let line = without_end(line)?;
        self.state = match std::mem::replace(&mut self.state, State::Refused(Part::Body)) {
            State::Head(head) => after_head_line(head, line)?,
            State::ChunkSize => after_chunk_size(line)?,
            State::ChunkEnd if line.is_empty() => State::ChunkSize,
            State::Trailers if line.is_empty() => State::Head(Head::default()),
            State::Trailers => {
                head::field(line)?;
                State::Trailers
            }
            _ => return Err(Ambiguous),
        };
        Ok(end + 1)
    }
}

/// A line of which the last byte, before LF, is to be CR.
fn without_end(line: &[u8]) -> Result<&[u8], Ambiguous> {
    match line.split_last() {
        Some((b'\r', line)) if !line.iter().any(|byte| matches!(byte, b'\r' | b'\0')) => Ok(line),
        _ => Err(Ambiguous),
    }
}

fn after_head_line(mut head: Head, line: &[u8]) -> Next {
    // Empty lines before a request are left over from the body before.
    if !line.is_empty() || !head.has_begun() {
        head.line(line)?;
        return Ok(State::Head(head));
    }
    Ok(match head.body_length()? {
        BodyLength::Bytes(0) => State::Head(Head::default()),
        BodyLength::Bytes(count) => State::Sized(count),
        BodyLength::Chunked => State::ChunkSize,
    })
}

/// `chunk-size [ chunk-ext ]`; extensions mean nothing to anybody.
fn after_chunk_size(line: &[u8]) -> Next {
    if line.len() > MOST_CHUNK_LINE_BYTES {
        return Err(Ambiguous);
    }
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    let is_extension = extension.is_empty() || extension.trim_ascii_start().first() == Some(&b';');
    let size = str::from_utf8(size).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
    match size {
        Some(0) if is_extension => Ok(State::Trailers),
        Some(size) if is_extension => Ok(State::Chunk(size)),
        _ => Err(Ambiguous),
    }
}

#[cfg(test)]
mod tests;
