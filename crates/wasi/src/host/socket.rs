//! Sockets, those that the guest finds open and those that it makes, and what goes over connections: accepting, receiving, sending.
//!
//! Descriptors are non-blocking; where the guest expects to wait, the host waits for readiness. Nothing here takes an address: that is in [`super::tcp`] and [`super::udp`].

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::credentials::{Credentials, Grant, Rights};
use super::error::Error;
use super::gate::{Operation, Permit, Request};
use super::poll::Direction;
use super::socket_room::SocketRoom;
use super::stdio::Nonblocking;
use super::tcp::AddressFamily;
use super::{Host, sys};
use crate::keys::NetAction;

/// An address and a port.
pub type SocketAddress = std::net::SocketAddr;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// Accepting connections.
    Listener,
    /// Exchanging bytes with one peer.
    Connection,
    /// One or the other, once it listens or is connected.
    Unconnected,
    /// Exchanging datagrams.
    Datagram,
}

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    pub(super) fd: Arc<OwnedFd>,
    pub(super) credentials: Credentials,
    kind: Mutex<SocketKind>,
    nonblocking: AtomicBool,
    /// Of one that the guest has made.
    made: Option<Made>,
}

/// What is known of a socket that a guest has made, or accepted on one that it has made.
#[derive(Debug)]
struct Made {
    family: AddressFamily,
    /// What the guest has bound it to, in canonical form, and whether that is open to all.
    bound: OnceLock<(SocketAddress, bool)>,
    /// Whom it was connected to, which the system forgets where that one has gone.
    peer: OnceLock<SocketAddress>,
    _room: SocketRoom,
}

/// How to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveFlags {
    /// Leave the bytes in the queue.
    pub peek: bool,
    /// Wait until the buffer is full or the peer has closed.
    pub wait_all: bool,
}

/// What to shut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownHow {
    /// Receiving.
    Receive,
    /// Sending.
    Send,
    /// Both.
    Both,
}

impl Socket {
    pub(super) fn new(fd: impl Into<Arc<OwnedFd>>, credentials: Credentials, kind: SocketKind) -> Socket {
        let (kind, nonblocking) = (Mutex::new(kind), AtomicBool::new(false));
        Socket { fd: fd.into(), credentials, kind, nonblocking, made: None }
    }

    /// One that the guest makes.
    pub(super) fn made(
        fd: OwnedFd,
        credentials: Credentials,
        kind: SocketKind,
        (family, room): (AddressFamily, SocketRoom),
    ) -> Socket {
        let made = Made { family, bound: OnceLock::new(), peer: OnceLock::new(), _room: room };
        Socket { made: Some(made), ..Socket::new(fd, credentials, kind) }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Its rights and origin. A listener's origin has the address that was really bound.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The address that it was granted for.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddress> {
        match *self.credentials.grant {
            Grant::Listener(address) => Some(address),
            _ => None,
        }
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> SocketKind {
        *self.kind.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn become_kind(&self, kind: SocketKind) {
        *self.kind.lock().unwrap_or_else(PoisonError::into_inner) = kind;
    }

    /// Which addresses it has.
    #[must_use]
    pub fn family(&self) -> AddressFamily {
        match (&self.made, self.address()) {
            (Some(made), _) => made.family,
            (None, Some(address)) => AddressFamily::of(address),
            (None, None) => AddressFamily::Ipv4,
        }
    }

    /// What it takes to bind it.
    pub(super) fn bound_for(&self) -> NetAction {
        if self.kind() == SocketKind::Datagram { NetAction::UdpBind } else { NetAction::Listen }
    }

    pub(super) fn note_bound(&self, address: SocketAddress, is_open_to_all: bool) {
        if let Some(made) = &self.made {
            // The system binds a socket once.
            let _ = made.bound.set((address, is_open_to_all));
        }
    }

    /// What the guest has bound it to.
    pub(super) fn bound(&self) -> Option<SocketAddress> {
        Some(self.made.as_ref()?.bound.get()?.0)
    }

    pub(super) fn note_peer(&self, address: SocketAddress) {
        if let Some(made) = &self.made {
            // The system connects a socket for TCP once.
            let _ = made.peer.set(address);
        }
    }

    /// Whom it was connected to, where that is known.
    pub(super) fn peer(&self) -> Option<SocketAddress> {
        self.made.as_ref()?.peer.get().copied()
    }

    /// Whether a key lets the guest receive datagrams from anybody on it.
    pub(super) fn is_open_to_all(&self) -> bool {
        self.made.as_ref().and_then(|made| made.bound.get()).is_some_and(|(_, is_open)| *is_open)
    }

    /// # Errors
    /// [`Error::Invalid`] for an address of the other family.
    pub(super) fn require_family(&self, address: SocketAddress) -> Result<(), Error> {
        if AddressFamily::of(address) == self.family() { Ok(()) } else { Err(Error::Invalid) }
    }

    /// # Errors
    /// [`Error::Invalid`] where it exchanges datagrams: those have functions of their own.
    fn require_stream(&self) -> Result<(), Error> {
        if self.kind() == SocketKind::Datagram { Err(Error::Invalid) } else { Ok(()) }
    }

    /// Whether operations fail instead of waiting.
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }
}

impl Host {
    /// Accepts a connection.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the socket does not listen, [`Error::Again`], [`Error::Interrupted`],
    /// [`Error::ConnectionAborted`], [`Error::TooManyHandles`].
    pub async fn accept(&self, listener: &Socket, nonblocking: Nonblocking) -> Result<Socket, Error> {
        let permit = self.decide_for_socket(Operation::Accept, Rights::READ, listener)?;
        if listener.kind() != SocketKind::Listener {
            return Err(Error::Invalid);
        }
        let room = listener.made.is_some().then(|| self.socket_room()).transpose()?;
        let accept = || sys::accept(&permit, listener.as_fd());
        let (fd, peer) = self.when_socket_ready(&permit, listener, Direction::Read, accept).await?;
        let (credentials, kind) = (listener.credentials.clone(), SocketKind::Connection);
        let socket = match room {
            Some(room) => Socket::made(fd, credentials, kind, (listener.family(), room)),
            None => Socket::new(fd, credentials, kind),
        };
        if let Some(peer) = peer {
            socket.note_peer(peer);
        }
        self.set_socket_nonblocking(&socket, nonblocking)?;
        Ok(socket)
    }

    /// Receives bytes; zero when the peer has closed.
    ///
    /// # Errors
    /// [`Error::NotConnected`], [`Error::ConnectionReset`], [`Error::Again`], [`Error::Interrupted`].
    pub async fn receive(
        &self,
        socket: &Socket,
        buffer: &mut [u8],
        flags: ReceiveFlags,
    ) -> Result<usize, Error> {
        let permit = self.decide_for_socket(Operation::Receive, Rights::READ, socket)?;
        socket.require_stream()?;
        let peek = if flags.peek { sys::Peek::Yes } else { sys::Peek::No };
        let mut received = 0;
        loop {
            let rest = &mut buffer[received..];
            let receive = || sys::receive(&permit, socket.as_fd(), rest, peek);
            let result = match self.heed_interrupt() {
                // A peer that never stops sending is never waited for.
                Err(interrupted) => Err(interrupted),
                Ok(()) => self.when_socket_ready(&permit, socket, Direction::Read, receive).await,
            };
            let count = match result {
                Err(_) if received > 0 => return Ok(received),
                result => result?,
            };
            received += count;
            // Peeking again would give the same bytes again.
            if count == 0 || received == buffer.len() || !flags.wait_all || flags.peek {
                return Ok(received);
            }
        }
    }

    /// Sends part or all.
    ///
    /// # Errors
    /// [`Error::NotConnected`], [`Error::Pipe`], [`Error::ConnectionReset`], [`Error::Again`], [`Error::Interrupted`].
    pub async fn send(&self, socket: &Socket, buffer: &[u8]) -> Result<usize, Error> {
        let permit = self.decide_for_socket(Operation::Send, Rights::WRITE, socket)?;
        socket.require_stream()?;
        let buffers = [IoSlice::new(buffer)];
        let mut allowed = self.take_allowance(&buffers)?;
        let (buffers, unwritten) = allowed.parts();
        let send = || {
            let sent = sys::send(&permit, socket.as_fd(), &buffers[0]);
            unwritten.settle(&sent);
            sent
        };
        self.when_socket_ready(&permit, socket, Direction::Write, send).await
    }

    /// Shuts down one or both directions.
    ///
    /// # Errors
    /// [`Error::NotConnected`].
    pub fn shutdown(&self, socket: &Socket, how: ShutdownHow) -> Result<(), Error> {
        let permit = self.decide_for_socket(Operation::Shutdown, Rights::NONE, socket)?;
        sys::shutdown(&permit, socket.as_fd(), how)
    }

    /// Changes whether the socket's operations wait.
    ///
    /// # Errors
    /// None at present.
    pub fn set_socket_nonblocking(&self, socket: &Socket, nonblocking: Nonblocking) -> Result<(), Error> {
        self.decide_for_socket(Operation::SetFlags, Rights::NONE, socket)?;
        socket.nonblocking.store(nonblocking == Nonblocking::Yes, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn decide_for_socket(
        &self,
        operation: Operation,
        needs: Rights,
        socket: &Socket,
    ) -> Result<Permit, Error> {
        self.gate.decide(&Request::handle(operation, needs, &socket.credentials))
    }

    pub(super) async fn when_socket_ready<T>(
        &self,
        permit: &Permit,
        socket: &Socket,
        direction: Direction,
        mut call: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        match call() {
            Err(Error::Again) if !socket.is_nonblocking() => {
                let waited = (Some(socket.as_fd()), direction);
                Box::pin(self.when_ready(permit, waited, || socket.is_nonblocking(), call)).await
            }
            result => result,
        }
    }
}
