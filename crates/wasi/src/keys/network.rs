//! Network keys. So far there is one: a listening socket that the guest finds already open.
//!
//! WASI 0.1 cannot name an address, so the address here is the whole of what the guest gets.

use std::net::{Ipv4Addr, SocketAddr};

/// A TCP socket that listens on `address`, handed to the guest open. The guest may accept connections on it
/// and read and write those; it can neither connect nor bind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenKey {
    /// The local address and port. Port 0 lets the system choose.
    pub address: SocketAddr,
}

/// Reads an address to listen on: `ADDRESS:PORT`, `PORT` for this machine alone, or `localhost:PORT`.
///
/// # Errors
/// What is wrong, and what is expected.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix("localhost:").unwrap_or(text);
    let port = port.strip_prefix(':').unwrap_or(port);
    if let Ok(port) = port.parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| {
        format!("`{text}` is no address: write PORT, or ADDRESS:PORT as in 0.0.0.0:8080 or [::1]:8080")
    })
}

impl ListenKey {
    /// A key to listen on `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> ListenKey {
        ListenKey { address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_as_people_write_them() {
        for (text, address) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "127.0.0.1:8080"),
            ("localhost:80", "127.0.0.1:80"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(parse_address(text).map(|it| it.to_string()), Ok(address.to_owned()), "{text}");
        }
        for text in ["", ":", "host:80", "99999", "1.2.3.4", "-1"] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }
}
