//! Addresses of `wasi:sockets`, and what they are for the host.

use innkeeper_component::{ComponentType, Lift, Lower};

use super::error_code::ErrorCode;
use crate::host::{AddressFamily, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6, SocketAddress};

/// `wasi:sockets/network.ip-address-family`
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub(crate) enum IpAddressFamily {
    Ipv4,
    Ipv6,
}

type Ipv4Bytes = (u8, u8, u8, u8);
type Ipv6Words = (u16, u16, u16, u16, u16, u16, u16, u16);

/// `wasi:sockets/network.ip-address`
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(path = innkeeper_component)]
pub(crate) enum IpAddress {
    Ipv4(Ipv4Bytes),
    Ipv6(Ipv6Words),
}

/// `wasi:sockets/network.ipv4-socket-address`
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub(crate) struct Ipv4SocketAddress {
    port: u16,
    address: Ipv4Bytes,
}

/// `wasi:sockets/network.ipv6-socket-address`
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub(crate) struct Ipv6SocketAddress {
    port: u16,
    flow_info: u32,
    address: Ipv6Words,
    scope_id: u32,
}

/// `wasi:sockets/network.ip-socket-address`
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub(crate) enum IpSocketAddress {
    Ipv4(Ipv4SocketAddress),
    Ipv6(Ipv6SocketAddress),
}

impl From<IpAddressFamily> for AddressFamily {
    fn from(family: IpAddressFamily) -> AddressFamily {
        match family {
            IpAddressFamily::Ipv4 => AddressFamily::Ipv4,
            IpAddressFamily::Ipv6 => AddressFamily::Ipv6,
        }
    }
}

impl From<AddressFamily> for IpAddressFamily {
    fn from(family: AddressFamily) -> IpAddressFamily {
        match family {
            AddressFamily::Ipv4 => IpAddressFamily::Ipv4,
            AddressFamily::Ipv6 => IpAddressFamily::Ipv6,
        }
    }
}

impl From<IpAddr> for IpAddress {
    fn from(address: IpAddr) -> IpAddress {
        match address {
            IpAddr::V4(address) => IpAddress::Ipv4(address.octets().into()),
            IpAddr::V6(address) => IpAddress::Ipv6(address.segments().into()),
        }
    }
}

impl From<IpSocketAddress> for SocketAddress {
    fn from(address: IpSocketAddress) -> SocketAddress {
        match address {
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address }) => {
                SocketAddress::from((Ipv4Addr::from(<[u8; 4]>::from(address)), port))
            }
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port, flow_info, address, scope_id }) => {
                let address = Ipv6Addr::from(<[u16; 8]>::from(address));
                SocketAddress::V6(SocketAddrV6::new(address, port, flow_info, scope_id))
            }
        }
    }
}

impl From<SocketAddress> for IpSocketAddress {
    fn from(address: SocketAddress) -> IpSocketAddress {
        let port = address.port();
        match address {
            SocketAddress::V4(address) => {
                IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: address.ip().octets().into() })
            }
            SocketAddress::V6(address) => IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port,
                flow_info: address.flowinfo(),
                address: address.ip().segments().into(),
                scope_id: address.scope_id(),
            }),
        }
    }
}

/// An address that a socket of this family can be bound to.
///
/// # Errors
/// `invalid-argument` for another family, an address that is not one machine's, or one of IPv4 that is written as one of IPv6.
pub(crate) fn local(address: IpSocketAddress, family: AddressFamily) -> Result<SocketAddress, ErrorCode> {
    let address = SocketAddress::from(address);
    let is_one_machines = match address.ip() {
        IpAddr::V4(ip) => !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_multicast() && ip.to_ipv4_mapped().is_none(),
    };
    if AddressFamily::of(address) == family && is_one_machines {
        Ok(address)
    } else {
        Err(ErrorCode::InvalidArgument)
    }
}

/// An address that a TCP socket of this family can be connected to.
///
/// # Errors
/// `invalid-argument` as for [`local`], and for the unspecified address and port 0.
pub(crate) fn remote(address: IpSocketAddress, family: AddressFamily) -> Result<SocketAddress, ErrorCode> {
    peer(local(address, family)?)
}

/// An address that datagrams of a socket of this family can be sent to: also one of many machines.
///
/// # Errors
/// `invalid-argument` for another family, the unspecified address, port 0, and one of IPv4 that is written as one of IPv6.
pub(crate) fn destination(
    address: IpSocketAddress,
    family: AddressFamily,
) -> Result<SocketAddress, ErrorCode> {
    let address = SocketAddress::from(address);
    let is_mapped = matches!(address.ip(), IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
    if AddressFamily::of(address) == family && !is_mapped {
        peer(address)
    } else {
        Err(ErrorCode::InvalidArgument)
    }
}

fn peer(address: SocketAddress) -> Result<SocketAddress, ErrorCode> {
    if address.ip().is_unspecified() || address.port() == 0 {
        Err(ErrorCode::InvalidArgument)
    } else {
        Ok(address)
    }
}
