//! `wasi:sockets`: TCP, UDP and names, as far as the keys to the network go.
//!
//! The states that a socket goes through, and which function may be called in which, are here; what a guest may reach is decided by the host, by each address. Nothing here waits:
//! whoever cannot go on is told so, and waits by a pollable.
//!
//! Choices, where the specification leaves room:
//! - Every `network` is the same, and grants nothing: the keys do.
//! - What no key covers is `access-denied`, also for names.
//! - An address of the wrong family, or that nobody can have, is `invalid-argument` before it is asked whether it is granted.
//! - Binding and listening are done when they are started; finishing tells that they are.
//! - A connection that fails at once is told of by `finish-connect`, as every other.
//! - `udp-socket.stream` is a trap while the streams that it gave before are there.

mod datagrams;
pub(crate) mod error_code;
mod lookup;
mod network;
mod options;
pub(crate) mod tcp;
pub(crate) mod types;
mod udp;

use innkeeper_component::Linker;
use innkeeper_engine::Error;

use super::interface::FindContext;

pub(crate) use tcp::{Connection, TcpSocket};

pub(super) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    network::bind(linker, context)?;
    lookup::bind(linker, context)?;
    tcp::bind(linker, context)?;
    udp::bind(linker, context)
}
