//! WASI HTTP 0.2: the interfaces of `wasi:http` that components import, in version 0.2.12, and how the handler is called that they export ([`crate::Proxy`]).
//!
//! They are bound as `innkeeper_wasi::p2` says, and what must stay true there must here: everything that a guest makes the host hold is in its table, charged and counted.
//! Bodies are streams of `wasi:io` that are no handles of the system's: a guest reads a body frame by frame as it comes, and writes one into a buffer of bounded size.
//!
//! Choices, where the specification leaves room:
//! - Fields over a limit are `forbidden`: there is no better word for it.
//! - Fields that belong to a connection (`Connection`, `Transfer-Encoding` and their like), and `Host`, which is the authority, are neither seen nor set by guests.
//! - A status of 100 to 199 is not one of a response. A user's name in an authority is refused.
//! - Trailers that a guest asks for without having read the body are got by throwing the rest of it away.
//! - A request without a scheme is sent over TLS. None is sent for the guest that it has not sent: redirects are answers.
//! - A guest that fails before anything of its answer was sent is no answer, also where it has given one.
//!
//! Specification: <https://github.com/WebAssembly/wasi-http/tree/v0.2.12>

mod call;
mod fields;
mod incoming;
mod link;
mod outgoing;
mod outgoing_handler;
mod outparam;

pub(crate) use call::call;
pub use link::add_to_linker;

/// What a component exports that answers requests, without its version.
pub const INCOMING_HANDLER: &str = "wasi:http/incoming-handler";
