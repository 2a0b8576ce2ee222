//! WASI HTTP 0.3: the interfaces of `wasi:http` that components import, in version 0.3.2, and how the handler is called that they export ([`crate::Proxy`]).
//!
//! They are bound as `innkeeper_wasi::p3` says. What one makes with the other version it cannot use here, but for fields: one component may have both.
//!
//! A body is a stream of bytes with a future of its trailers. What a guest receives goes from the frame that was read into its memory; what it sends goes into a buffer of bounded size (`types::Pipe`), from where the connection takes it.
//! A message that a guest has got and not looked into is passed on as it came.
//!
//! Choices, where the specification leaves room:
//! - Fields over a limit are `size-exceeded`. Those that belong to a connection, and `Host`, are neither seen nor set by guests, as in `p2`.
//! - A message without contents is sent once its trailers are known, so that it has a length.
//! - The future of how a message was sent has `ok` when all of it was taken by the connection, and for a request also answered; and an error where the message was dropped without being sent.
//! - Where a guest drops a stream that it reads before its end, [`HttpLimits::body_buffer_bytes`](crate::HttpLimits) more are received and thrown away; where there is more, the connection ends, and the trailers are `connection-terminated`. An error that it tells by `res` ends it at once.
//! - A path without a slash at its beginning and an authority with a user's name can be set, but not sent. A status of 100 to 199 can be set, and is no answer.
//! - `wasi:http/handler`, which a middleware imports, is the network where nothing is plugged in, as `wasi:http/client` is.
//!
//! Specification: <https://github.com/WebAssembly/WASI/tree/v0.3.0/proposals/http>

mod body;
mod call;
mod client;
mod fields;
mod link;
mod options;
mod request;
mod response;
mod sent;

pub(crate) use call::call;
pub use link::add_to_linker;

/// What a component exports that answers requests, without its version.
pub const HANDLER: &str = "wasi:http/handler";
