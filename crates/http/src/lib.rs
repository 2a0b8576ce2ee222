//! WASI HTTP: the server behind `inn serve`, and the interfaces by which guests are called and call out.
//!
//! The way of a request: a connection is accepted and bounded by the server, a request with its deadlines is handed to a [`Handler`], and what the handler
//! answers is sent as the client takes it. A handler is a component of the world `wasi:http/proxy`, or a program of WASI 0.1 that is run as CGI describes. None of them knows the
//! server, and the server knows neither components nor keys.

#![forbid(unsafe_code)]

mod body;
mod cgi;
mod client;
mod files;
mod handler;
pub mod p2;
mod replaceable;
mod routes;
pub mod server;

pub use body::{Body, BodyError, empty, full};
pub use cgi::{Cgi, CgiLimits};
pub use files::Files;
pub use handler::{Arrival, Failure, Handler, Place, Response, Words};
pub use replaceable::Replaceable;
pub use routes::{HostPattern, Routes};
