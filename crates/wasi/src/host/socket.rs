//! Sockets that the guest finds open, and the connections it accepts on them.
//!
//! Descriptors are non-blocking; where the guest expects to wait, the host waits for readiness. Nothing here makes an address.

use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::credentials::{Credentials, Grant, Rights};
use super::error::Error;
use super::gate::{Operation, Permit, Request};
use super::poll::Direction;
use super::stdio::Nonblocking;
use super::{Host, sys};

/// Where a socket listens.
pub type SocketAddress = std::net::SocketAddr;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// Accepting connections.
    Listener,
    /// Exchanging bytes with one peer.
    Connection,
}

/// An open socket.
#[derive(Debug)]
pub struct Socket {
    pub(super) fd: Arc<OwnedFd>,
    pub(super) credentials: Credentials,
    kind: SocketKind,
    nonblocking: AtomicBool,
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
        Socket { fd: fd.into(), credentials, kind, nonblocking: AtomicBool::new(false) }
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
        self.kind
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
        if listener.kind != SocketKind::Listener {
            return Err(Error::Invalid);
        }
        let accept = || sys::accept(&permit, listener.as_fd());
        let fd = self.when_socket_ready(&permit, listener, Direction::Read, accept).await?;
        let socket = Socket::new(fd, listener.credentials.clone(), SocketKind::Connection);
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

    fn decide_for_socket(
        &self,
        operation: Operation,
        needs: Rights,
        socket: &Socket,
    ) -> Result<Permit, Error> {
        self.gate.decide(&Request::handle(operation, needs, &socket.credentials))
    }

    async fn when_socket_ready<T>(
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
