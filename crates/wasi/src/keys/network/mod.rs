//! Network keys: what a guest may connect to, listen on, exchange datagrams with and look up, and sockets that it finds already open.
//!
//! A [`NetKey`] is one sentence, written as a flag or a policy has it: what for, which host, which ports. A [`ListenKey`] is a socket that is opened before the guest runs, for
//! guests that cannot name an address (WASI 0.1).
//!
//! Must stay true: what a key prints as is read back as the same key; an address is compared in one form only ([`canonical`]).
//!
//! What this is not: a decision. What is tried is put to the gate of the host layer, which knows what names have resolved to.

mod address;
mod name;
mod parse;
mod ports;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use address::{AddressRange, canonical};
pub use name::{HostName, NamePattern};
pub(super) use parse::host as parse_host;
pub use ports::PortSet;

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

/// What a network key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NetAction {
    /// To make TCP connections to a host.
    Connect,
    /// To bind TCP sockets to a local address and accept connections there.
    Listen,
    /// To exchange datagrams with a host.
    Udp,
    /// To bind UDP sockets to a local address, and receive datagrams there from anybody.
    UdpBind,
    /// To look up the addresses of a name.
    Resolve,
}

impl NetAction {
    /// Every action, in the order in which they are listed.
    pub const ALL: &'static [NetAction] =
        &[NetAction::Connect, NetAction::Listen, NetAction::Udp, NetAction::UdpBind, NetAction::Resolve];

    /// What a key begins with, before the colon.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            NetAction::Connect => "connect",
            NetAction::Listen => "listen",
            NetAction::Udp => "udp",
            NetAction::UdpBind => "udp-bind",
            NetAction::Resolve => "resolve",
        }
    }

    /// Whether its addresses are those of this machine.
    #[must_use]
    pub fn is_local(self) -> bool {
        matches!(self, NetAction::Listen | NetAction::UdpBind)
    }
}

/// A right to use the network: what for, with whom, on which ports.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct NetKey {
    /// What for.
    pub action: NetAction,
    /// Which hosts, or for [`NetAction::is_local`] which addresses of this machine.
    pub host: NetHost,
    /// Which ports; for [`NetAction::Resolve`] none.
    pub ports: PortSet,
}

/// The hosts that a network key is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NetHost {
    /// Every address and every name.
    Any,
    /// Addresses.
    Addresses(AddressRange),
    /// Names, and what they have resolved to when the guest looked them up first.
    Names(NamePattern),
}

impl NetKey {
    /// A key for one address and port.
    #[must_use]
    pub fn of_address(action: NetAction, address: SocketAddr) -> NetKey {
        let address = canonical(address);
        let host = NetHost::Addresses(AddressRange::single(address.ip()));
        NetKey { action, host, ports: PortSet::single(address.port()) }
    }

    /// A key for one name and port.
    #[must_use]
    pub fn of_name(action: NetAction, name: &HostName, port: u16) -> NetKey {
        NetKey { action, host: NetHost::Names(NamePattern::from(name)), ports: PortSet::single(port) }
    }

    /// A key to look up one name.
    #[must_use]
    pub fn to_resolve(name: &HostName) -> NetKey {
        let host = NetHost::Names(NamePattern::from(name));
        NetKey { action: NetAction::Resolve, host, ports: PortSet::default() }
    }

    /// Whether it grants this action with a [`canonical`] address, whatever names have resolved to.
    #[must_use]
    pub fn covers_address(&self, action: NetAction, address: SocketAddr) -> bool {
        if self.action != action || !self.ports.contains(address.port()) {
            return false;
        }
        match &self.host {
            NetHost::Any => true,
            NetHost::Addresses(range) if action.is_local() => range.covers_local(address.ip()),
            NetHost::Addresses(range) => range.contains(address.ip()),
            // The one name whose addresses are known without asking.
            NetHost::Names(pattern) => pattern.is_localhost() && is_localhost(address.ip()),
        }
    }

    /// Whether it grants this action with what `name` has resolved to.
    #[must_use]
    pub fn covers_name(&self, action: NetAction, name: &HostName, port: u16) -> bool {
        self.action == action && self.ports.contains(port) && self.names(name)
    }

    /// Whether it lets the guest look up `name`: to do so is part of the right to connect to it.
    #[must_use]
    pub fn covers_lookup(&self, name: &HostName) -> bool {
        match self.host {
            NetHost::Any => !self.action.is_local(),
            _ => self.names(name),
        }
    }

    fn names(&self, name: &HostName) -> bool {
        matches!(&self.host, NetHost::Names(pattern) if pattern.matches(name))
    }
}

/// Whether an address is what `localhost` stands for.
pub(super) fn is_localhost(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address == Ipv4Addr::LOCALHOST,
        IpAddr::V6(address) => address.is_loopback(),
    }
}

/// As a flag or a policy has it.
impl fmt::Display for NetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.action.word(), self.host)?;
        match self.action {
            NetAction::Resolve => Ok(()),
            _ => write!(f, ":{}", self.ports),
        }
    }
}

impl fmt::Display for NetHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetHost::Any => f.write_str("*"),
            NetHost::Addresses(range) => range.fmt(f),
            NetHost::Names(pattern) => pattern.fmt(f),
        }
    }
}

/// Reads a key: `connect:HOST:PORTS`, `listen:ADDRESS:PORTS`, `udp:HOST:PORTS`, `udp-bind:ADDRESS:PORTS` or `resolve:NAME`.
impl FromStr for NetKey {
    type Err = String;

    fn from_str(text: &str) -> Result<NetKey, String> {
        parse::key(text)
    }
}

impl Serialize for NetKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NetKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NetKey, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
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

    fn covers(key: &str, action: NetAction, address: &str) -> bool {
        let key: NetKey = key.parse().unwrap_or_else(|error| panic!("{error}"));
        key.covers_address(action, canonical(address.parse().expect("address")))
    }

    #[test]
    fn a_key_covers_its_action_hosts_and_ports_and_nothing_else() {
        use NetAction::*;
        for (key, action, address, expected) in [
            ("connect:192.0.2.1:80", Connect, "192.0.2.1:80", true),
            ("connect:192.0.2.1:80", Connect, "192.0.2.1:81", false),
            ("connect:192.0.2.1:80", Connect, "192.0.2.2:80", false),
            ("connect:192.0.2.1:80", Udp, "192.0.2.1:80", false),
            ("connect:192.0.2.1:80", Listen, "192.0.2.1:80", false),
            ("connect:10.0.0.0/8:*", Connect, "10.255.0.1:65535", true),
            ("connect:10.0.0.0/8:*", Connect, "11.0.0.0:1", false),
            ("connect:[fd00::/8]:443,8000-8999", Connect, "[fd12::1]:8500", true),
            ("connect:[fd00::/8]:443,8000-8999", Connect, "[fe12::1]:8500", false),
            // S2: one address, however it is written.
            ("connect:127.0.0.1:80", Connect, "[::ffff:127.0.0.1]:80", true),
            ("connect:10.0.0.0/8:80", Connect, "[::ffff:10.1.1.1]:80", true),
            ("connect:[::/0]:80", Connect, "[::ffff:10.1.1.1]:80", false),
            ("connect:[fe80::1]:80", Connect, "[fe80::1%3]:80", true),
            ("connect:localhost:80", Connect, "127.0.0.1:80", true),
            ("connect:localhost:80", Connect, "[::1]:80", true),
            ("connect:localhost:80", Connect, "127.0.0.2:80", false),
            ("connect:example.com:80", Connect, "127.0.0.1:80", false),
            ("connect:*:80", Connect, "[2001:db8::1]:80", true),
            // To be bound to the unspecified address is to be bound to all of them.
            ("listen:127.0.0.1:80", Listen, "0.0.0.0:80", false),
            ("listen:0.0.0.0/8:80", Listen, "0.0.0.0:80", false),
            ("listen:0.0.0.0:80", Listen, "0.0.0.0:80", true),
            ("listen:0.0.0.0:80", Listen, "192.0.2.1:80", true),
            ("listen:0.0.0.0:80", Listen, "[::]:80", false),
            ("listen:[::]:80", Listen, "[::1]:80", true),
            ("listen:[::]:80", Listen, "0.0.0.0:80", false),
            ("listen:*:80", Listen, "[::]:80", true),
            ("listen:localhost:0", Listen, "127.0.0.1:0", true),
            ("udp-bind:127.0.0.1:1-65535", UdpBind, "127.0.0.1:0", false),
            ("udp-bind:127.0.0.1:*", UdpBind, "127.0.0.1:0", true),
        ] {
            assert_eq!(covers(key, action, address), expected, "{key} {action:?} {address}");
        }
    }

    #[test]
    fn names_can_be_looked_up_by_whoever_may_use_what_they_stand_for() {
        let name = HostName::parse("API.example.com.").expect("name");
        for (key, expected) in [
            ("resolve:api.example.com", true),
            ("resolve:*", true),
            ("resolve:*.example.com", true),
            ("resolve:example.com", false),
            ("connect:api.example.com:443", true),
            ("udp:*:53", true),
            ("connect:10.0.0.0/8:443", false),
            ("listen:*:80", false),
        ] {
            let parsed: NetKey = key.parse().expect("key");
            assert_eq!(parsed.covers_lookup(&name), expected, "{key}");
            assert!(!parsed.covers_name(NetAction::Connect, &name, 80), "{key}");
        }
        let key: NetKey = "connect:*.example.com:443".parse().expect("key");
        assert!(key.covers_name(NetAction::Connect, &name, 443));
        assert!(!key.covers_name(NetAction::Udp, &name, 443));
    }
}
