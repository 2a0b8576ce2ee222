//! What a connection's bytes go through: it notes when some come and when none are taken, and lets nothing pass that `framing` refuses.
//!
//! At the end it reads what its client still sends, for a while, and throws it away: to close a connection that has unread bytes is to reset it, and then a client that was still sending loses the answer
//! to what was refused (RFC 9112, section 9.6).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::Activity;
use super::framing::{Framing, Part};

/// A stream of bytes that an [`Activity`] is told of.
pub(super) struct Transport<S> {
    stream: S,
    activity: Arc<Activity>,
    framing: Framing,
    /// What is read next, and is the last of all.
    last: Option<&'static [u8]>,
    /// Whether everything has been said.
    is_shut: bool,
}

/// Bytes that are thrown away at a time.
const DISCARDED_BYTES: usize = 8 << 10;

/// What is read in the place of a line that was refused, and of all behind it: no head has such a line, and whoever waits for a head's end before looking at it finds one.
const NO_HEAD: &[u8] = b"\0\r\n\r\n";

/// The same within a body, which must not come to its end.
const NO_BODY: &[u8] = b"\0";

/// What a client is told whose head takes too long.
const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

impl<S> Transport<S> {
    /// Lines that are longer are refused, if nobody has refused them before.
    pub(super) fn new(stream: S, activity: Arc<Activity>, max_line_bytes: usize) -> Transport<S> {
        Transport { stream, activity, framing: Framing::new(max_line_bytes), last: None, is_shut: false }
    }

    fn note<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.activity.written(outcome.is_pending());
        outcome
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Transport<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.activity.take_late() {
            this.last = Some(&[]);
            // It is told if it can be: there is room where nothing else waits to be sent.
            if let Poll::Ready(Ok(_)) = Pin::new(&mut this.stream).poll_write(cx, LATE) {
                let _ = Pin::new(&mut this.stream).poll_flush(cx);
            }
        }
        if let Some(last) = &mut this.last {
            let (now, then) = last.split_at(last.len().min(buffer.remaining()));
            buffer.put_slice(now);
            *last = then;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        let come = &buffer.filled()[before..];
        if come.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let admitted = this.framing.admit(come);
        this.activity.received(&this.framing);
        if let Some(part) = this.framing.refused() {
            buffer.set_filled(before + admitted);
            this.last = Some(if part == Part::Head { NO_HEAD } else { NO_BODY });
            // There is room for some of it, where there was some for what was refused.
            return self.poll_read(cx, buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> Transport<S> {
    /// Throws away what comes, until nothing more is to be expected.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; DISCARDED_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending if self.framing.is_within_message() => {
                    self.activity.lingers();
                    return Poll::Pending;
                }
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    let _ = self.framing.admit(buffer.filled());
                }
                Poll::Pending | Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Transport<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.is_shut {
            let outcome = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.note(outcome))?;
            this.is_shut = true;
        }
        this.poll_discard(cx).map(Ok)
    }
}
