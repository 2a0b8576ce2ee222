//! Addresses, in the one form in which they are compared and used, and ranges of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// An address in the one form in which it is checked, and then used: an IPv4 address that is written as one of IPv6 (`::ffff:192.0.2.1`) is that of IPv4, and an address of
/// IPv6 has no flow, and a zone only where it is of one link.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    let SocketAddr::V6(address) = address else { return address };
    match address.ip().to_ipv4_mapped() {
        Some(ip) => SocketAddr::from((ip, address.port())),
        None => {
            let zone = if address.ip().is_unicast_link_local() { address.scope_id() } else { 0 };
            SocketAddr::V6(SocketAddrV6::new(*address.ip(), address.port(), 0, zone))
        }
    }
}

/// The addresses of one family that begin with the same bits, in canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    first: IpAddr,
    prefix_bits: u8,
}

impl AddressRange {
    /// One address.
    #[must_use]
    pub fn single(address: IpAddr) -> AddressRange {
        let first = address.to_canonical();
        AddressRange { first, prefix_bits: width(first) }
    }

    /// All addresses that share the first `prefix_bits` bits of `first`, which has no others.
    ///
    /// # Errors
    /// What is wrong, and what is expected.
    pub(super) fn new(first: IpAddr, prefix_bits: u8) -> Result<AddressRange, String> {
        if first.to_canonical() != first {
            return Err(format!(
                "a range of IPv4 addresses is written as one: {}/BITS",
                first.to_canonical()
            ));
        }
        let width = width(first);
        if prefix_bits > width {
            return Err(format!(
                "an address of this family has {width} bits, so /{prefix_bits} is no prefix"
            ));
        }
        let range = AddressRange { first: masked(first, prefix_bits), prefix_bits };
        if range.first != first {
            let address = AddressRange::single(first);
            return Err(format!(
                "{first} has bits beyond /{prefix_bits}: write {range} for the range, or {address} for the address"
            ));
        }
        Ok(range)
    }

    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && masked(address, self.prefix_bits) == self.first
    }

    /// Whether a socket may be bound to `address` by a key for these. The unspecified address stands for every address of its family: in a key, and where something is
    /// bound.
    #[must_use]
    pub fn covers_local(self, address: IpAddr) -> bool {
        let is_all = self.prefix_bits == 0 || self == AddressRange::single(unspecified(self.first));
        if is_all {
            return self.first.is_ipv4() == address.is_ipv4();
        }
        !address.is_unspecified() && self.contains(address)
    }

    /// The address, if it is only one.
    #[must_use]
    pub fn as_single(self) -> Option<IpAddr> {
        (self.prefix_bits == width(self.first)).then_some(self.first)
    }
}

/// As keys have it: `192.0.2.1`, `10.0.0.0/8`, `[::1]`, `[fd00::/8]`.
impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.as_single()) {
            (IpAddr::V4(first), Some(_)) => write!(f, "{first}"),
            (IpAddr::V4(first), None) => write!(f, "{first}/{}", self.prefix_bits),
            (IpAddr::V6(first), Some(_)) => write!(f, "[{first}]"),
            (IpAddr::V6(first), None) => write!(f, "[{first}/{}]", self.prefix_bits),
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn unspecified(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// An address without the bits after the first ones.
fn masked(address: IpAddr, prefix_bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix_bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix_bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s2_an_address_has_one_form() {
        for (written, canonical_form) in [
            ("[::ffff:192.0.2.1]:80", "192.0.2.1:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[::]:80", "[::]:80"),
            ("[2001:db8::1%7]:80", "[2001:db8::1]:80"),
            ("[fe80::1%7]:80", "[fe80::1%7]:80"),
        ] {
            let address: SocketAddr = written.parse().expect("address");
            assert_eq!(canonical(address).to_string(), canonical_form, "{written}");
        }
        let with_flow = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 1, 9, 0));
        assert_eq!(canonical(with_flow).to_string(), "[::1]:1");
    }

    /// What a range contains, bit by bit.
    #[test]
    fn a_range_contains_what_begins_with_its_bits() {
        let bit = |address: IpAddr, index: u8| match address {
            IpAddr::V4(address) => address.to_bits() >> (31 - index) & 1 == 1,
            IpAddr::V6(address) => address.to_bits() >> (127 - index) & 1 == 1,
        };
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..20_000 {
            let wide = u128::from(next()) << 64 | u128::from(next());
            let address = match round % 2 {
                0 => IpAddr::V4(Ipv4Addr::from_bits(next() as u32)),
                _ => IpAddr::V6(Ipv6Addr::from_bits(wide)),
            };
            let prefix_bits = (next() % (u64::from(width(address)) + 1)) as u8;
            let first = masked(address, prefix_bits);
            if first.to_canonical() != first {
                continue;
            }
            let range = AddressRange::new(first, prefix_bits).expect("a range");
            let changed = (next() % u64::from(width(address))) as u8;
            let other = match address {
                IpAddr::V4(address) => {
                    IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() ^ 1 << (31 - changed)))
                }
                IpAddr::V6(address) => {
                    IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() ^ 1 << (127 - changed)))
                }
            };
            for address in [address, other] {
                let begins = (0..prefix_bits).all(|index| bit(address, index) == bit(first, index));
                assert_eq!(range.contains(address), begins, "{range} {address}");
            }
        }
    }
}
