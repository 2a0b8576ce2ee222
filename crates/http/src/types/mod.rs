//! What all versions of WASI HTTP have: fields, error codes, methods, bodies and requests, with the rules and the bounds that hold for them.
//!
//! Not here: resources and functions as a version has them, which are in `p2` and `p3`.

mod answer;
mod error_code;
pub(crate) mod fields;
mod length;
mod limits;
mod method;
mod pipe;
mod received;
mod request;
mod sending;
mod vals;

pub(crate) use answer::{Answer, Content, Given, Head};
pub use error_code::{DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload};

pub(crate) use length::promised;
pub use limits::HttpLimits;
pub(crate) use method::{Method, Scheme};
pub(crate) use pipe::{Message, Pipe, Sent, Trailers};
pub(crate) use received::Received;
pub(crate) use request::{RequestHead, set_part};
pub(crate) use sending::{RequestTimes, nanoseconds, runtime};
pub(crate) use vals::outcome_to_val;
