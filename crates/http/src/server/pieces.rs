//! Small pieces of an answer's body, put together where there are many of them.
//!
//! A program that prints without a buffer makes a piece of each byte. What is kept for a client that takes nothing is bounded in bytes, and each piece of HTTP/2 costs some hundred more
//! than its bytes. A few small pieces go out at once, as somebody may wait for them; of very many, those of a moment go together.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{Body, BodyError};

/// A piece with so many bytes goes out as it is.
const LARGE_BYTES: usize = 1 << 10;

/// Small pieces that may go out at once, and again after a time without any.
const MOST_AT_ONCE: u32 = 256;

/// After this time one more may.
const INTERVAL: Duration = Duration::from_millis(20);

/// A body whose small pieces are put together.
pub(super) struct Pieces {
    body: Body,
    held: BytesMut,
    /// What comes after what is held: the end, trailers or an error.
    next: Option<Option<Result<Frame<Bytes>, BodyError>>>,
    allowance: Allowance,
    timer: Option<Pin<Box<Sleep>>>,
}

/// How many small pieces may go out.
struct Allowance {
    left: u32,
    /// When `left` was counted.
    at: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Allowance {
        Allowance { left: MOST_AT_ONCE, at: now }
    }

    /// Takes one; when there will be one, where there is none.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let since = now.saturating_duration_since(self.at);
        let more = u32::try_from(since.as_millis() / INTERVAL.as_millis()).unwrap_or(u32::MAX);
        if self.left.saturating_add(more) >= MOST_AT_ONCE {
            *self = Allowance::new(now);
        } else {
            self.left += more;
            self.at += INTERVAL * more;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.at + INTERVAL),
        }
    }
}

impl Pieces {
    pub(super) fn of(body: Body) -> Pieces {
        let allowance = Allowance::new(Instant::now());
        Pieces { body, held: BytesMut::new(), next: None, allowance, timer: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // Until there is nothing more at this moment: no more than a large piece.
        while self.next.is_none() && self.held.len() < LARGE_BYTES {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if self.held.is_empty() && data.len() >= LARGE_BYTES => {
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    Ok(data) => self.held.extend_from_slice(&data),
                    Err(trailers) => self.next = Some(Some(Ok(trailers))),
                },
                Poll::Ready(end) => self.next = Some(end),
            }
        }
        if self.held.is_empty() {
            return match self.next.take() {
                None => Poll::Pending,
                Some(end) => {
                    if end.is_none() {
                        self.next = Some(None);
                    }
                    Poll::Ready(end)
                }
            };
        }
        let is_last_or_large = self.next.is_some() || self.held.len() >= LARGE_BYTES;
        if !is_last_or_large && let Err(at) = self.allowance.take(Instant::now()) {
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
            timer.as_mut().reset(at);
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Some(Ok(Frame::data(self.held.split().freeze()))))
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty()
            && match &self.next {
                None => self.body.is_end_stream(),
                Some(next) => next.is_none(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.held.len() as u64;
        let rest = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + held);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http::HeaderMap;
    use http_body_util::BodyExt as _;

    use super::*;

    /// Gives what it has, and then is pending or at its end.
    struct Given(VecDeque<Frame<Bytes>>, bool);

    impl http_body::Body for Given {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            match self.0.pop_front() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None if self.1 => Poll::Ready(None),
                None => Poll::Pending,
            }
        }
    }

    fn data(length: usize) -> Frame<Bytes> {
        Frame::data(Bytes::from(vec![b'x'; length]))
    }

    fn lengths(frames: Vec<Frame<Bytes>>) -> Vec<Option<usize>> {
        let mut body = Pieces::of(Body::new(Given(frames.into(), true)));
        let mut lengths = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        loop {
            match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Ready(Some(frame)) => {
                    let frame = frame.expect("no error");
                    lengths.push(frame.data_ref().map(Bytes::len));
                }
                Poll::Ready(None) => break,
                Poll::Pending => panic!("it is all there"),
            }
        }
        assert!(body.is_end_stream());
        lengths
    }

    #[tokio::test]
    async fn what_is_there_goes_together_and_large_pieces_as_they_are() {
        assert_eq!(lengths(vec![]), []);
        assert_eq!(lengths(vec![data(5)]), [Some(5)]);
        assert_eq!(lengths(vec![data(5), data(6)]), [Some(11)]);
        assert_eq!(lengths(vec![data(1023), data(1), data(1)]), [Some(1024), Some(1)]);
        assert_eq!(
            lengths(vec![data(4096), data(1), data(4096), data(7)]),
            [Some(4096), Some(4097), Some(7)]
        );
        assert_eq!(lengths(vec![data(3), Frame::trailers(HeaderMap::new())]), [Some(3), None]);
        assert_eq!(lengths(vec![Frame::trailers(HeaderMap::new())]), [None]);
    }

    #[tokio::test]
    async fn what_is_held_counts_as_still_to_come() {
        let body = http_body_util::Full::new(Bytes::from_static(b"hello")).map_err(|never| match never {});
        let mut body = Pieces::of(Body::new(body));
        assert_eq!(http_body::Body::size_hint(&body).exact(), Some(5));
        assert!(!http_body::Body::is_end_stream(&body));
        let frame = body.frame().await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), "hello");
        assert!(http_body::Body::is_end_stream(&body));
    }

    #[test]
    fn a_few_small_pieces_go_out_at_once_and_then_one_in_each_interval() {
        let begin = Instant::now();
        let mut allowance = Allowance::new(begin);
        assert!((0..MOST_AT_ONCE).all(|_| allowance.take(begin).is_ok()));
        assert_eq!(allowance.take(begin), Err(begin + INTERVAL));
        assert_eq!(allowance.take(begin + INTERVAL), Ok(()));
        assert_eq!(allowance.take(begin + INTERVAL), Err(begin + 2 * INTERVAL));
        // In a second of one piece a millisecond no more than are in its intervals.
        let second =
            (1..=1000).filter(|ms| allowance.take(begin + INTERVAL + Duration::from_millis(*ms)).is_ok());
        assert_eq!(second.count(), 50);
        let later = begin + Duration::from_secs(60);
        assert!((0..MOST_AT_ONCE).all(|_| allowance.take(later).is_ok()));
        assert!(allowance.take(later).is_err());
    }
}
