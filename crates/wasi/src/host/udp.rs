//! Datagrams.
//!
//! Must stay true: each datagram that is sent is decided on by its own address (S4). A socket that is bound without a key to receive from anybody, as whoever sends needs one,
//! hands the guest only what comes from where it may send to.

use std::io::IoSlice;

use super::credentials::Rights;
use super::error::Error;
use super::gate::{Operation, Permit, Request};
use super::network::Target;
use super::poll::Direction;
use super::socket::{Socket, SocketAddress, SocketKind};
use super::tcp::peer;
use super::{Host, sys};
use crate::keys::{NetAction, canonical};

/// A datagram that has been received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// Bytes of it in the buffer; the rest of a longer one is lost.
    pub length_bytes: usize,
    /// From where.
    pub from: SocketAddress,
}

/// Datagrams from strangers that one call throws away.
const MOST_THROWN_AWAY: u32 = 64;

impl Host {
    /// Has a UDP socket exchange datagrams with one address only, or with any again.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::Invalid`] for an address of the other family; [`Error::Unreachable`].
    pub fn associate(&self, socket: &Socket, with: Option<SocketAddress>) -> Result<(), Error> {
        if socket.kind() != SocketKind::Datagram {
            return Err(Error::Invalid);
        }
        let Some(address) = with.map(peer) else {
            let permit = self.decide_for_socket(Operation::Connect, Rights::NONE, socket)?;
            return sys::disconnect(&permit, socket.as_fd());
        };
        let target = Target::Address(NetAction::Udp, address);
        let permit = self.gate.decide(&Request::network(Operation::Connect, &target))?;
        socket.require_family(address)?;
        sys::connect(&permit, socket.as_fd(), address)
    }

    /// Sends one datagram, whole or not at all: to an address, or to the one that the socket was associated with.
    ///
    /// # Errors
    /// [`Error::Denied`]; [`Error::Invalid`] without an address, or for one of the other family; [`Error::MessageSize`], [`Error::Unreachable`], [`Error::Quota`], [`Error::Again`],
    /// [`Error::Interrupted`].
    pub async fn send_datagram(
        &self,
        socket: &Socket,
        datagram: &[u8],
        to: Option<SocketAddress>,
    ) -> Result<(), Error> {
        let to = to.map(peer);
        let permit = self.decide_on_datagram(socket, to)?;
        let buffers = [IoSlice::new(datagram)];
        let mut allowed = self.take_whole_allowance(&buffers)?;
        let (_, unwritten) = allowed.parts();
        let send = || {
            let sent = match to {
                Some(address) => sys::send_to(&permit, socket.as_fd(), datagram, address),
                None => sys::send(&permit, socket.as_fd(), datagram),
            };
            unwritten.settle(&sent);
            sent.map(|_| ())
        };
        self.when_socket_ready(&permit, socket, Direction::Write, send).await
    }

    fn decide_on_datagram(&self, socket: &Socket, to: Option<SocketAddress>) -> Result<Permit, Error> {
        if socket.kind() != SocketKind::Datagram {
            return Err(Error::Invalid);
        }
        match to {
            Some(address) => {
                let target = Target::Address(NetAction::Udp, address);
                let permit = self.gate.decide(&Request::network(Operation::Send, &target))?;
                socket.require_family(address)?;
                Ok(permit)
            }
            // Decided on when it was associated.
            None => self.decide_for_socket(Operation::Send, Rights::WRITE, socket),
        }
    }

    /// Receives one datagram.
    ///
    /// # Errors
    /// [`Error::Again`], [`Error::Interrupted`]; [`Error::ConnectionRefused`] and the like where what was sent before did not arrive.
    pub async fn receive_datagram(&self, socket: &Socket, buffer: &mut [u8]) -> Result<Received, Error> {
        let permit = self.decide_for_socket(Operation::Receive, Rights::READ, socket)?;
        if socket.kind() != SocketKind::Datagram {
            return Err(Error::Invalid);
        }
        let receive = || {
            for _ in 0..MOST_THROWN_AWAY {
                let (length_bytes, from) = sys::receive_from(&permit, socket.as_fd(), buffer)?;
                if self.is_welcome(socket, from) {
                    return Ok(Received { length_bytes, from });
                }
            }
            Err(Error::Again)
        };
        self.when_socket_ready(&permit, socket, Direction::Read, receive).await
    }

    fn is_welcome(&self, socket: &Socket, from: SocketAddress) -> bool {
        socket.is_open_to_all() || self.gate.network().covers(NetAction::Udp, canonical(from))
    }
}
