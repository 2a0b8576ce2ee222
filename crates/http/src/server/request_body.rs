//! The body of a request: bounded, and not standing still for long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use super::Limits;
use super::bound::Bound;
use super::flow::Flow;
use crate::BodyError;

/// Why a body was not taken as a whole, once that is so. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Trouble(Arc<AtomicU16>);

/// What is answered to a request that is refused, the bound that it is over, and the reason.
pub(super) type Refusal = (StatusCode, Option<Bound>, &'static str);

impl Trouble {
    /// More than a body may have.
    pub(super) const TOO_LARGE: Refusal =
        (StatusCode::PAYLOAD_TOO_LARGE, Some(Bound::Body), "the request's body is too large");

    /// What the client is told, and why, of a request that has gone on like this.
    pub(super) fn of(&self, flow: &Flow) -> Option<Refusal> {
        let status = self.status()?;
        Some(match status {
            StatusCode::PAYLOAD_TOO_LARGE => Trouble::TOO_LARGE,
            StatusCode::REQUEST_TIMEOUT if flow.is_cut() => {
                (status, Some(Bound::MinRate), "the request's body comes slowly, and others wait")
            }
            StatusCode::REQUEST_TIMEOUT => (status, Some(Bound::BodyTime), "the request's body stands still"),
            _ => (status, None, "the request's body ended before its end"),
        })
    }

    fn status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.0.load(Ordering::Relaxed)).ok()
    }

    fn note(&self, status: StatusCode) {
        let _ = self.0.compare_exchange(0, status.as_u16(), Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// See the module.
pub(super) struct RequestBody {
    body: Incoming,
    left_bytes: u64,
    /// How long it may stand still, and the time of that while somebody waits.
    progress: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    flow: Flow,
    trouble: Trouble,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, limits: &Limits, (flow, trouble): (Flow, Trouble)) -> RequestBody {
        RequestBody {
            body,
            left_bytes: limits.max_body_bytes,
            progress: limits.body_time,
            waiting: None,
            is_waiting: false,
            flow,
            trouble,
        }
    }

    fn end(&mut self, status: StatusCode, reason: &str) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.trouble.note(status);
        Poll::Ready(Some(Err(reason.into())))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.trouble.status().is_some() {
            return this.end(StatusCode::BAD_REQUEST, "the request's body was not taken as a whole");
        }
        let frame = match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending if this.flow.is_cut() => {
                return this
                    .end(StatusCode::REQUEST_TIMEOUT, "the request's body comes slowly, and others wait");
            }
            Poll::Pending => {
                this.flow.waits_for_body(cx.waker());
                let progress = this.progress;
                let waiting = this.waiting.get_or_insert_with(|| Box::pin(sleep(progress)));
                if !std::mem::replace(&mut this.is_waiting, true) {
                    waiting.as_mut().reset(Instant::now() + progress);
                }
                return match waiting.as_mut().poll(cx) {
                    Poll::Ready(()) => {
                        this.end(StatusCode::REQUEST_TIMEOUT, "the request's body stands still")
                    }
                    Poll::Pending => Poll::Pending,
                };
            }
        };
        this.is_waiting = false;
        let count = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        this.flow.body_came(count);
        match frame {
            None => Poll::Ready(None),
            Some(Err(error)) => {
                let reason = format!("the request's body ended before its end: {error}");
                this.end(StatusCode::BAD_REQUEST, &reason)
            }
            Some(Ok(frame)) => match this.left_bytes.checked_sub(count as u64) {
                Some(left) => {
                    this.left_bytes = left;
                    Poll::Ready(Some(Ok(frame)))
                }
                None => this.end(StatusCode::PAYLOAD_TOO_LARGE, "the request's body is too large"),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
