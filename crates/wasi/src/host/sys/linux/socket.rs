//! Sockets that are already open: accept, receive, send, shut down.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags};

use super::{Error, retry};
use crate::host::gate::Permit;
use crate::host::socket::ShutdownHow;

/// Listens on an address for a key. The descriptor is non-blocking.
pub(crate) fn listen(_: &Permit, address: SocketAddr) -> Result<(OwnedFd, SocketAddr), std::io::Error> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener.into(), address))
}

/// Takes one connection; [`Error::Again`] if there is none. The new descriptor is non-blocking.
pub(crate) fn accept(_: &Permit, fd: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    retry(|| rustix::net::accept_with(fd, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK))
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
