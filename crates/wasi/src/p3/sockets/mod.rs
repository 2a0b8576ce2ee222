//! `wasi:sockets`: TCP, UDP and names, as far as the keys to the network go.
//!
//! The states that a socket goes through, and which function may be called in which, are here; what a guest may reach is decided by the host, by each address. What waits, waits beside the guest. Bytes of connections go
//! between the system and the guest's memory.
//!
//! Choices, where the specification leaves room:
//! - What no key covers is `access-denied`, also for names, and changes nothing of a socket.
//! - An address of the wrong family, or that nobody can have, is `invalid-argument` before it is asked whether it is granted.
//! - A connection that comes and that there is no room for is closed at once, and the stream of them goes on; one is accepted before anybody reads it.
//! - A stream of a connection that has ended, or is dropped, ends that direction for the peer.

mod error_code;
mod listen;
mod lookup;
mod options;
mod tcp;
mod udp;

use innkeeper_component::Linker;
use innkeeper_engine::Error;

use super::interface::Interface;
use crate::p2::interface::FindContext;

pub(super) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    let mut types = Interface::new(linker, "wasi:sockets/types", context)?;
    tcp::bind(&mut types);
    listen::bind(&mut types);
    udp::bind(&mut types);
    lookup::bind(linker, context)
}
