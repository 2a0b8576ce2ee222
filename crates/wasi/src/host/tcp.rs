//! Sockets that a guest makes itself: made, bound, listening, connected. What is exchanged over connections is in [`super::socket`], datagrams are in [`super::udp`].
//!
//! Must stay true: an address is brought into its canonical form, decided on, and used as it was decided on. Sockets of IPv6 speak nothing else (S5), so that no address of
//! IPv4 is reached, or listened on, by another name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::credentials::{Credentials, Grant, Rights};
use super::error::Error;
use super::gate::{Operation, Request};
use super::network::{Target, Transport};
use super::poll::Direction;
use super::socket::{Socket, SocketAddress, SocketKind};
use super::{Host, sys};
use crate::keys::{NetAction, canonical};

/// Which addresses a socket has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AddressFamily {
    /// Those of IPv4.
    Ipv4,
    /// Those of IPv6, and no others.
    Ipv6,
}

impl AddressFamily {
    /// The family of an address.
    #[must_use]
    pub fn of(address: SocketAddress) -> AddressFamily {
        if address.is_ipv4() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 }
    }

    /// The address that stands for every one of this machine, and a port that the system chooses.
    fn unspecified(self) -> SocketAddress {
        match self {
            AddressFamily::Ipv4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            AddressFamily::Ipv6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        }
    }
}

/// Connections that wait to be accepted, at most.
const MOST_WAITING: u32 = 4096;

impl Host {
    /// Makes a socket that is neither bound nor connected.
    ///
    /// # Errors
    /// [`Error::Denied`] where no key is for anything that it could be used for; [`Error::TooManyHandles`], [`Error::NoMemory`], [`Error::AddressFamily`].
    pub fn create_socket(&self, transport: Transport, family: AddressFamily) -> Result<Socket, Error> {
        let target = Target::Socket(transport);
        let permit = self.gate.decide(&Request::network(Operation::CreateSocket, &target))?;
        let room = self.socket_room()?;
        let fd = sys::create_socket(&permit, transport, family)?;
        let (kind, name) = match transport {
            Transport::Tcp => (SocketKind::Unconnected, "a TCP socket"),
            Transport::Udp => (SocketKind::Datagram, "a UDP socket"),
        };
        Ok(Socket::made(fd, Credentials::of_grant(Grant::Network, name), kind, (family, room)))
    }

    /// Binds a socket to an address of this machine; port 0 lets the system choose one.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::Invalid`] for an address of the other family, or where it is bound; [`Error::AddressInUse`], [`Error::AddressNotAvailable`].
    pub fn bind(&self, socket: &Socket, address: SocketAddress) -> Result<(), Error> {
        let address = canonical(address);
        let target = Target::Address(socket.bound_for(), address);
        let permit = match socket.kind() {
            // Whoever may connect may do so from a port that the system chooses: before it listens there, it is asked again.
            SocketKind::Unconnected if address.port() == 0 && self.gate.network().has(NetAction::Connect) => {
                self.decide_for_socket(Operation::Bind, Rights::NONE, socket)?
            }
            _ => self.gate.decide(&Request::network(Operation::Bind, &target))?,
        };
        socket.require_family(address)?;
        sys::bind(&permit, socket.as_fd(), address)?;
        let is_open_to_all = self.gate.network().covers(socket.bound_for(), address);
        socket.note_bound(address, is_open_to_all);
        Ok(())
    }

    /// Lets a TCP socket accept connections, of which at most about `backlog` wait. One that is not bound is bound to every address, and a port that the system chooses.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::Invalid`] where it is connected; [`Error::AddressInUse`].
    pub fn listen(&self, socket: &Socket, backlog: u32) -> Result<(), Error> {
        let address = socket.bound().unwrap_or_else(|| socket.family().unspecified());
        let target = Target::Address(NetAction::Listen, address);
        let permit = self.gate.decide(&Request::network(Operation::Listen, &target))?;
        if !matches!(socket.kind(), SocketKind::Unconnected | SocketKind::Listener) {
            return Err(Error::Invalid);
        }
        sys::listen_on(&permit, socket.as_fd(), backlog.clamp(1, MOST_WAITING))?;
        socket.become_kind(SocketKind::Listener);
        Ok(())
    }

    /// Begins to connect a TCP socket. Whether it has been, [`Host::finish_connect`] tells; until then the socket is not ready for writing.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::Invalid`] for an address of the other family, or where it listens; what is known at once, such as [`Error::ConnectionRefused`].
    pub fn start_connect(&self, socket: &Socket, address: SocketAddress) -> Result<(), Error> {
        let address = peer(address);
        let target = Target::Address(NetAction::Connect, address);
        let permit = self.gate.decide(&Request::network(Operation::Connect, &target))?;
        if socket.kind() != SocketKind::Unconnected {
            return Err(Error::Invalid);
        }
        socket.require_family(address)?;
        match sys::connect(&permit, socket.as_fd(), address) {
            Ok(()) | Err(Error::InProgress) => Ok(()),
            result => result,
        }
    }

    /// Tells whether a socket has been connected.
    ///
    /// # Errors
    /// [`Error::Again`] while it has not been decided; [`Error::ConnectionRefused`], [`Error::TimedOut`], [`Error::Unreachable`]...
    pub fn finish_connect(&self, socket: &Socket) -> Result<(), Error> {
        let permit = self.decide_for_socket(Operation::Connect, Rights::NONE, socket)?;
        match socket.kind() {
            SocketKind::Connection => return Ok(()),
            SocketKind::Unconnected => {}
            _ => return Err(Error::Invalid),
        }
        socket.note_peer(sys::connected(&permit, socket.as_fd())?);
        socket.become_kind(SocketKind::Connection);
        Ok(())
    }

    /// Connects a TCP socket, and waits for that.
    ///
    /// # Errors
    /// As [`Host::start_connect`] and [`Host::finish_connect`], and [`Error::Interrupted`].
    pub async fn connect(&self, socket: &Socket, address: SocketAddress) -> Result<(), Error> {
        self.start_connect(socket, address)?;
        let permit = self.decide_for_socket(Operation::Connect, Rights::NONE, socket)?;
        let finish = || self.finish_connect(socket);
        self.when_socket_ready(&permit, socket, Direction::Write, finish).await
    }

    /// The address that a socket is bound to; the unspecified one and port 0 where it is not.
    ///
    /// # Errors
    /// What the system reports.
    pub fn local_address(&self, socket: &Socket) -> Result<SocketAddress, Error> {
        let permit = self.decide_for_socket(Operation::Stat, Rights::NONE, socket)?;
        sys::local_address(&permit, socket.as_fd())
    }

    /// The address that a socket is connected to. Of one that the guest has made, or has accepted on one that it has made, it stays known where the peer has gone.
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub fn peer_address(&self, socket: &Socket) -> Result<SocketAddress, Error> {
        let permit = self.decide_for_socket(Operation::Stat, Rights::NONE, socket)?;
        match socket.peer() {
            Some(peer) => Ok(peer),
            None => sys::peer_address(&permit, socket.as_fd()),
        }
    }
}

/// An address to connect or send to, in its canonical form. The system takes the unspecified one for this machine's own: then that is what is decided on.
pub(super) fn peer(address: SocketAddress) -> SocketAddress {
    let mut address = canonical(address);
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
