//! WASI HTTP: the server behind `inn serve`, and the interfaces by which guests are called and call out.
//!
//! The way of a request: a connection is accepted and bounded by the server, a request with its deadlines is handed to a [`Handler`], and what the handler
//! answers is sent as the client takes it. A handler is a component of the world `wasi:http/proxy` (WASI 0.2) or `wasi:http/service` (WASI 0.3), or a program of WASI 0.1 that is run as CGI describes. None of them knows the
//! server, and the server knows neither components nor keys.

#![forbid(unsafe_code)]

mod body;
mod cgi;
mod client;
mod component;
mod files;
mod handler;
pub mod p2;
pub mod p3;
mod replaceable;
mod routes;
pub mod server;
mod types;

pub use body::{Body, BodyError, empty, full};
pub use cgi::{Cgi, CgiLimits};
pub use component::{Proxy, ProxyTimes};
pub use files::Files;
pub use handler::{Arrival, Failure, Handler, Place, Response, Words};
pub use replaceable::Replaceable;
pub use routes::{HostPattern, Routes};
pub use types::{DnsErrorPayload, ErrorCode, FieldSizePayload, HttpLimits, TlsAlertReceivedPayload};
