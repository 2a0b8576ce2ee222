//! Sockets: made, bound, connected; accept, receive, send, shut down. Options are in `socket_option`.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, sockopt};

use super::{Error, PollEntry, poll, retry};
use crate::host::gate::Permit;
use crate::host::network::Transport;
use crate::host::poll::Direction;
use crate::host::socket::ShutdownHow;
use crate::host::tcp::AddressFamily;

/// Listens on an address for a key. The descriptor is non-blocking.
pub(crate) fn listen(_: &Permit, address: SocketAddr) -> Result<(OwnedFd, SocketAddr), std::io::Error> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener.into(), address))
}

/// Takes one connection, and tells from where, unless that has no address on the network; [`Error::Again`] if there is none. The new descriptor is non-blocking.
pub(crate) fn accept(_: &Permit, fd: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddr>), Error> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (accepted, from) = retry(|| rustix::net::acceptfrom_with(fd, flags))?;
    Ok((accepted, from.and_then(|from| from.try_into().ok())))
}

/// Receives what is there; [`Error::Again`] if nothing is.
pub(crate) fn receive(_: &Permit, fd: BorrowedFd<'_>, buffer: &mut [u8], peek: Peek) -> Result<usize, Error> {
    let flags = if peek == Peek::Yes { RecvFlags::PEEK } else { RecvFlags::empty() };
    let (received, _) = retry(|| rustix::net::recv(fd, &mut *buffer, flags))?;
    Ok(received)
}

/// Whether received bytes stay in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peek {
    Yes,
    No,
}

/// Sends part of `buffer`; [`Error::Again`] if there is no room. No signal is raised.
pub(crate) fn send(_: &Permit, fd: BorrowedFd<'_>, buffer: &[u8]) -> Result<usize, Error> {
    retry(|| rustix::net::send(fd, buffer, SendFlags::NOSIGNAL))
}

pub(crate) fn shutdown(_: &Permit, fd: BorrowedFd<'_>, how: ShutdownHow) -> Result<(), Error> {
    let how = match how {
        ShutdownHow::Receive => Shutdown::Read,
        ShutdownHow::Send => Shutdown::Write,
        ShutdownHow::Both => Shutdown::Both,
    };
    Ok(rustix::net::shutdown(fd, how)?)
}

/// Makes a socket that is non-blocking, and, if it is of IPv6, of nothing else.
pub(crate) fn create_socket(
    _: &Permit,
    transport: Transport,
    family: AddressFamily,
) -> Result<OwnedFd, Error> {
    let kind = match transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let family_number = match family {
        AddressFamily::Ipv4 => rustix::net::AddressFamily::INET,
        AddressFamily::Ipv6 => rustix::net::AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family_number, kind, flags, None)?;
    if family == AddressFamily::Ipv6 {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    if transport == Transport::Tcp {
        // A port stays bound for a while by connections that are no more.
        sockopt::set_socket_reuseaddr(&fd, true)?;
    }
    Ok(fd)
}

pub(crate) fn bind(_: &Permit, fd: BorrowedFd<'_>, address: SocketAddr) -> Result<(), Error> {
    Ok(rustix::net::bind(fd, &address)?)
}

/// Whether an interface of this machine's has the address: what is sent there, as routes are, is sent from there. Nothing is sent, and where that cannot be told, nobody gets
/// there either.
pub(crate) fn is_own_address(address: IpAddr) -> bool {
    /// Discard; no datagram goes there.
    const ANY_PORT: u16 = 9;
    let family = match address {
        IpAddr::V4(_) => rustix::net::AddressFamily::INET,
        IpAddr::V6(_) => rustix::net::AddressFamily::INET6,
    };
    let source = || {
        let socket = rustix::net::socket_with(family, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        rustix::net::connect(&socket, &SocketAddr::new(address, ANY_PORT))?;
        SocketAddr::try_from(rustix::net::getsockname(&socket)?)
    };
    source().is_ok_and(|source| source.ip() == address)
}

pub(crate) fn listen_on(_: &Permit, fd: BorrowedFd<'_>, backlog: u32) -> Result<(), Error> {
    Ok(rustix::net::listen(fd, i32::try_from(backlog).unwrap_or(i32::MAX))?)
}

/// Connects; [`Error::InProgress`] where that goes on.
pub(crate) fn connect(_: &Permit, fd: BorrowedFd<'_>, address: SocketAddr) -> Result<(), Error> {
    match rustix::net::connect(fd, &address) {
        // What a signal has interrupted goes on all the same. For want of a port there is no other way to be told.
        Err(Errno::INTR) => Err(Error::InProgress),
        Err(Errno::AGAIN) => Err(Error::AddressInUse),
        // It has begun already, and to another address maybe.
        Err(Errno::ALREADY) => Err(Error::Busy),
        result => Ok(result?),
    }
}

/// Has a socket that exchanges datagrams exchange them with anybody.
pub(crate) fn disconnect(_: &Permit, fd: BorrowedFd<'_>) -> Result<(), Error> {
    Ok(rustix::net::connect_unspec(fd)?)
}

/// Whom a socket has been connected to; [`Error::Again`] while that goes on, and why it has not been.
pub(crate) fn connected(permit: &Permit, fd: BorrowedFd<'_>) -> Result<SocketAddr, Error> {
    let mut entries = [PollEntry { fd, direction: Direction::Write, ready: false, hangup: false }];
    match poll(permit, &mut entries, Some(Duration::ZERO)) {
        Ok(()) if entries[0].ready => {}
        Ok(()) | Err(Error::Interrupted) => return Err(Error::Again),
        Err(error) => return Err(error),
    }
    sockopt::socket_error(fd)??;
    peer_address(permit, fd)
}

pub(crate) fn local_address(_: &Permit, fd: BorrowedFd<'_>) -> Result<SocketAddr, Error> {
    Ok(rustix::net::getsockname(fd)?.try_into()?)
}

pub(crate) fn peer_address(_: &Permit, fd: BorrowedFd<'_>) -> Result<SocketAddr, Error> {
    let address = rustix::net::getpeername(fd)?.ok_or(Error::NotConnected)?;
    Ok(address.try_into()?)
}

/// Sends one datagram; [`Error::Again`] if there is no room.
pub(crate) fn send_to(
    _: &Permit,
    fd: BorrowedFd<'_>,
    datagram: &[u8],
    to: SocketAddr,
) -> Result<usize, Error> {
    retry(|| rustix::net::sendto(fd, datagram, SendFlags::NOSIGNAL, &to))
}

/// Receives one datagram, and from where; [`Error::Again`] if there is none.
pub(crate) fn receive_from(
    _: &Permit,
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> Result<(usize, SocketAddr), Error> {
    let (_, received, from) = retry(|| rustix::net::recvfrom(fd, &mut *buffer, RecvFlags::empty()))?;
    let from = from.ok_or(Error::NotConnected)?;
    Ok((received, from.try_into()?))
}
