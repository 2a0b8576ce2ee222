//! Bodies of requests and responses, as they go between the server and whoever answers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use innkeeper_engine::Charge;

/// Why a body ended before its end. The reason is for the log: a client sees only that it was cut short.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that is made or read as it goes, in frames of data and at last trailers. Nothing is read ahead of whoever reads.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// A body without a byte.
pub fn empty() -> Body {
    Empty::new().map_err(never).boxed_unsync()
}

/// A body that is there as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(never).boxed_unsync()
}

fn never(infallible: Infallible) -> BodyError {
    match infallible {}
}

/// A body that holds what is charged for its message's head, which is sent before it.
pub(crate) fn holding<B>(body: B, charge: Charge) -> Body
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin + Send + 'static,
{
    Holding { body, _charge: charge }.boxed_unsync()
}

struct Holding<B> {
    body: B,
    _charge: Charge,
}

impl<B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin> http_body::Body for Holding<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(task)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
