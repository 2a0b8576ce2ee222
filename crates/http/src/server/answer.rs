//! The body of an answer, as it goes to the client: with it goes whatever lasts as long as the request.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::access_log::Entry;
use super::activity::UnderWay;
use super::bound::Bound;
use super::flow::Flow;
use super::pieces::Pieces;
use crate::{Body, BodyError, Place};

/// The body of an answer until its end. It is cut short where the request's time is over.
pub(super) struct Answer {
    body: Pieces,
    deadline: Pin<Box<Sleep>>,
    flow: Flow,
    /// Bytes of the part that was given last, which are taken when somebody asks for the next.
    given: usize,
    /// In the order in which they go: the log's entry says what the request was, then there is room for another.
    entry: Entry,
    _admitted: Option<Place>,
    _under_way: UnderWay,
}

/// Why an answer is cut short at its deadline.
const TIME_IS_OVER: &str = "the request's time is over";

/// What an [`Answer`] is made of besides its body.
pub(super) struct Parts {
    is_head: bool,
    flow: Flow,
    request: (Entry, Option<Place>, UnderWay),
}

impl Answer {
    /// Begins an answer.
    pub(super) fn begin(is_head: bool, flow: Flow, request: (Entry, Option<Place>, UnderWay)) -> Parts {
        Parts { is_head, flow, request }
    }
}

impl Parts {
    /// The answer with this body, which is not sent to one that asked for the head. What the client does not take for longer than `least` before the deadline is cut short, too.
    pub(super) fn of(self, body: Body, least: Duration) -> Answer {
        let (mut entry, admitted, under_way) = self.request;
        if self.is_head || body.is_end_stream() {
            entry.completed();
        }
        // An answer that tells of the deadline itself is still sent.
        let deadline = self.flow.deadline();
        let deadline = if deadline <= Instant::now() { Instant::now() + least } else { deadline };
        self.flow.offers_answer();
        Answer {
            body: Pieces::of(body),
            deadline: Box::pin(sleep_until(deadline)),
            flow: self.flow,
            given: 0,
            entry,
            _admitted: admitted,
            _under_way: under_way,
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let given = std::mem::take(&mut self.given);
        self.flow.answer_taken(given);
        if self.deadline.as_mut().poll(cx).is_ready() {
            self.entry.limited(Bound::Timeout, TIME_IS_OVER);
            return Poll::Ready(Some(Err(TIME_IS_OVER.into())));
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            None => self.entry.completed(),
            Some(Ok(frame)) => {
                let count = frame.data_ref().map_or(0, Bytes::len);
                self.given = count;
                self.entry.sent(count);
                self.flow.offers_answer();
                if self.body.is_end_stream() {
                    self.entry.completed();
                }
            }
            // Of the two who watch the deadline, the guest's may be the first.
            Some(Err(_)) if self.flow.deadline() <= Instant::now() => {
                self.entry.limited(Bound::Timeout, TIME_IS_OVER);
            }
            Some(Err(error)) => self.entry.note(&error.to_string()),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if self.flow.is_cut() {
            self.entry.was_limited(Bound::MinRate, "its client is slow, and others wait");
        }
        // What its guest may still do waits for no client.
        self.flow.answer_taken(self.given);
    }
}
