//! Network keys. So far there is one: a listening socket that the guest finds already open.
//!
//! WASI 0.1 cannot name an address, so the address here is the whole of what the guest gets.

use std::net::SocketAddr;

/// A TCP socket that listens on `address`, handed to the guest open. The guest may accept connections on it
/// and read and write those; it can neither connect nor bind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenKey {
    /// The local address and port. Port 0 lets the system choose.
    pub address: SocketAddr,
}

impl ListenKey {
    /// A key to listen on `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> ListenKey {
        ListenKey { address }
    }
}
