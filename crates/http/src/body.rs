//! Bodies of requests and responses, as they go between the server and whoever answers.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};

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
