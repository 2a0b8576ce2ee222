//! Requests of HTTP: which a guest may send, and sockets to send them by.
//!
//! Must stay true: a request is decided on by what it names, and again by the address that this stands for; the address that was decided on is the one that is connected to.
//!
//! What this is not: HTTP. What is said over a connection is no matter of the host layer.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use super::error::Error;
use super::gate::{Operation, Permit, Request};
use super::network::{Target, Transport};
use super::socket_room::SocketRoom;
use super::tcp::{AddressFamily, peer};
use super::{Host, sys};
use crate::keys::{HttpHost, HttpTarget};

/// A request that the guest may send.
#[derive(Clone, Debug)]
pub struct AllowedRequest(HttpTarget);

/// Room for the connection of a request among the guest's sockets, until this is dropped.
#[derive(Debug)]
pub struct RequestRoom {
    _room: SocketRoom,
}

impl AllowedRequest {
    /// The request.
    #[must_use]
    pub fn target(&self) -> &HttpTarget {
        &self.0
    }
}

impl Host {
    /// Allows or denies a request.
    ///
    /// # Errors
    /// [`Error::Denied`].
    pub fn allow_request(&self, target: HttpTarget) -> Result<AllowedRequest, Error> {
        let target = Target::Request(target);
        self.gate.decide(&Request::network(Operation::HttpRequest, &target))?;
        match target {
            Target::Request(target) => Ok(AllowedRequest(target)),
            _ => Err(Error::Invalid),
        }
    }

    /// Finds the addresses that a request can be sent to. Nothing holds a thread meanwhile, whatever the guest's calls do.
    ///
    /// # Errors
    /// As [`Host::look_up`].
    pub async fn addresses_for(&self, request: &AllowedRequest) -> Result<Arc<[IpAddr]>, Error> {
        match &request.0.host {
            HttpHost::Name(name) => self.suspending().look_up(name.as_str()).await,
            HttpHost::Address(address) => Ok([*address].into()),
        }
    }

    /// Begins to connect to an address that a request can be sent to. Whether the socket is connected is known when it is ready for writing.
    ///
    /// # Errors
    /// [`Error::Denied`] for an address that is not of the open network, unless a key is for it; [`Error::TooManyHandles`], [`Error::NoMemory`], and what is known at once, such
    /// as [`Error::Unreachable`].
    pub fn connect_for(
        &self,
        request: &AllowedRequest,
        address: IpAddr,
    ) -> Result<(OwnedFd, RequestRoom), Error> {
        let (permit, address) = self.decide_on_address(request, address)?;
        let room = RequestRoom { _room: self.socket_room()? };
        let fd = sys::create_socket(&permit, Transport::Tcp, AddressFamily::of(address))?;
        match sys::connect(&permit, fd.as_fd(), address) {
            Ok(()) | Err(Error::InProgress) => Ok((fd, room)),
            Err(error) => Err(error),
        }
    }

    /// Allows or denies that a request is sent by a connection to `address` that is there already.
    ///
    /// # Errors
    /// As [`Host::connect_for`].
    pub fn reuse_for(&self, request: &AllowedRequest, address: IpAddr) -> Result<RequestRoom, Error> {
        self.decide_on_address(request, address)?;
        Ok(RequestRoom { _room: self.socket_room()? })
    }

    fn decide_on_address(
        &self,
        request: &AllowedRequest,
        address: IpAddr,
    ) -> Result<(Permit, SocketAddr), Error> {
        let address = peer(SocketAddr::new(address, request.0.port));
        let is_foreign_name = matches!(&request.0.host, HttpHost::Name(name) if !name.is_localhost());
        let is_own = is_foreign_name && sys::is_own_address(address.ip());
        let target = Target::RequestAddress { request: request.0.clone(), address, is_own };
        Ok((self.gate.decide(&Request::network(Operation::HttpRequest, &target))?, address))
    }
}
