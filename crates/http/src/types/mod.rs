//! What all versions of WASI HTTP have: fields, error codes, methods, bodies and requests, with the rules and the bounds that hold for them.
//!
//! # What is held for guests, and how it is charged
//!
//! Whoever has the memory has the charge, in one value, so that neither is without the other. What a guest can have held, from the first byte to the last:
//!
//! | what | who has it | charged as |
//! |---|---|---|
//! | fields and trailers, made, received, or on their way; shared by handles and messages | `FieldMap` | what the map has room for, and its text |
//! | the head of a request that was received or made: method, path, authority | its resource (`request`, `incoming-request`, `outgoing-request`) | the most that it can be set to, or what it is |
//! | a message whose body is received, that body, and the future of its trailers | each resource | `Received::COST_BYTES` |
//! | the part of such a body that was read and not asked for yet | `Received` | the whole piece that it was read in |
//! | a body that a guest writes | `Pipe` | its whole buffer, from when it is there |
//! | a request that is on its way, its connection, and the body of its answer until the last byte | `client::RequestCharge` | a connection's buffers |
//! | an answer that nobody has asked for yet | `ReceivedResponse` | as fields |
//! | an answer of the guest's own, until its body is sent | `body::holding` | as fields |
//! | texts of errors | whoever is told | nothing: 256 bytes at most, cut where they come in (`ErrorCode::of_val`, `Answer::give`) |
//! | values that were read of a guest's future or stream | the component model's `host_end` | as they were lifted, until whoever reads has them |
//! | tasks of functions that go on beside guests | `component::spawn` | their size |
//!
//! What a function copies for its caller alone is gone when it returns, and no more than `HttpLimits::max_fields_bytes`, twice. What servers and connections hold for clients has the server's own bounds (`server::Limits`).
//!
//! Not here: resources and functions as a version has them, which are in `p2` and `p3`.

mod answer;
mod error_code;
mod field_map;
pub(crate) mod fields;
mod length;
mod limits;
mod method;
mod passed;
mod pipe;
mod received;
mod request;
mod sending;
mod vals;

pub(crate) use answer::{Answer, Content, Given, Head};
pub use error_code::{DnsErrorPayload, ErrorCode, FieldSizePayload, TlsAlertReceivedPayload};
pub(crate) use field_map::FieldMap;

pub(crate) use length::promised;
pub use limits::HttpLimits;
pub(crate) use method::{Method, Scheme};
pub(crate) use passed::{Passed, over_the_allowance};
pub(crate) use pipe::{Message, Pipe, Sent};
pub(crate) use received::{Received, ReceivedResponse};
pub(crate) use request::{RequestHead, own_path, set_part};
pub(crate) use sending::{RequestTimes, nanoseconds, runtime};
pub(crate) use vals::outcome_to_val;
