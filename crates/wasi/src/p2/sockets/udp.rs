//! `wasi:sockets/udp` and `udp-create-socket`: sockets. What goes over them is in `datagrams`.

use std::sync::{Arc, Weak};

use innkeeper_component::{Borrowed, Linker, Resource};
use innkeeper_engine::Error;

use super::datagrams::{self, Exchange, IncomingDatagrams, OutgoingDatagrams};
use super::error_code::{ErrorCode, Failure, told};
use super::network::Network;
use super::options::{self, IsSocket};
use super::types::{IpAddressFamily, IpSocketAddress, destination, local};
use crate::host::{self, AddressFamily, Nonblocking, Transport};
use crate::p2::context::Context;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::misuse::Misuse;
use crate::p2::poll::Pollable;
use crate::p2::table::{Held, Room};

/// `wasi:sockets/udp.udp-socket`
#[derive(Debug)]
pub(crate) struct UdpSocket {
    socket: Arc<host::Socket>,
    state: State,
    /// Of the streams that were given last, while they are there.
    exchange: Weak<Exchange>,
    peer: Option<host::SocketAddress>,
}

/// Where a socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unbound,
    BindStarted,
    Bound,
}

impl Held for UdpSocket {
    const NAME: &'static str = "wasi:sockets/udp udp-socket";
    const IS_OPEN_HANDLE: bool = true;
}

impl IsSocket for UdpSocket {
    fn usable(&self) -> Result<&host::Socket, ErrorCode> {
        Ok(&self.socket)
    }
}

type Handle<'a> = Borrowed<'a, UdpSocket>;
type Streams = (Resource<IncomingDatagrams>, Resource<OutgoingDatagrams>);

pub(super) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    type Done<R> = Result<R, ErrorCode>;
    type WithAddress<'a> = (Handle<'a>, Borrowed<'a, Network>, IpSocketAddress);
    let mut udp = Interface::new(linker, "wasi:sockets/udp", context)?;
    udp.resource::<UdpSocket>("udp-socket")
        .func::<WithAddress<'_>, Done<()>>(
            "[method]udp-socket.start-bind",
            |cx, (socket, network, address)| {
                cx.table.get(network)?;
                told(start_bind(cx, socket, address))
            },
        )
        .func::<(Handle<'_>,), Done<()>>("[method]udp-socket.finish-bind", |cx, (socket,)| {
            told(finish_bind(cx, socket))
        })
        .func::<(Handle<'_>, Option<IpSocketAddress>), Done<Streams>>(
            "[method]udp-socket.stream",
            |cx, (socket, peer)| told(stream(cx, socket, peer)),
        )
        .func::<(Handle<'_>,), Done<IpSocketAddress>>("[method]udp-socket.local-address", |cx, (socket,)| {
            told(local_address(cx, socket))
        })
        .func::<(Handle<'_>,), Done<IpSocketAddress>>("[method]udp-socket.remote-address", |cx, (socket,)| {
            let peer = cx.table.get(socket)?.peer;
            Ok(peer.map(IpSocketAddress::from).ok_or(ErrorCode::InvalidState))
        })
        .func::<(Handle<'_>,), IpAddressFamily>("[method]udp-socket.address-family", |cx, (socket,)| {
            Ok(cx.table.get(socket)?.socket.family().into())
        })
        // Nothing that is started takes time.
        .func::<(Handle<'_>,), Resource<Pollable>>("[method]udp-socket.subscribe", |cx, (socket,)| {
            cx.push_child(Pollable::always(), socket)
        });
    options::bind_udp::<UdpSocket, T>(&mut udp);
    datagrams::bind(&mut udp);
    Interface::new(linker, "wasi:sockets/udp-create-socket", context)?
        .func::<(IpAddressFamily,), Done<Resource<UdpSocket>>>("create-udp-socket", |cx, (family,)| {
            told(create(cx, family.into()))
        });
    Ok(())
}

fn create(cx: &mut Context, family: AddressFamily) -> Result<Resource<UdpSocket>, Failure> {
    let room = cx.room()?;
    let socket = cx.host.create_socket(Transport::Udp, family)?;
    cx.host.set_socket_nonblocking(&socket, Nonblocking::Yes)?;
    let socket = Arc::new(socket);
    Ok(cx.table.push(room, UdpSocket { socket, state: State::Unbound, exchange: Weak::new(), peer: None }))
}

fn start_bind(cx: &mut Context, socket: Handle<'_>, address: IpSocketAddress) -> Result<(), Failure> {
    let socket = cx.table.get_mut(socket)?;
    match socket.state {
        State::Unbound => {}
        State::BindStarted => return Err(ErrorCode::ConcurrencyConflict.into()),
        State::Bound => return Err(ErrorCode::InvalidState.into()),
    }
    let address = local(address, socket.socket.family())?;
    cx.host.bind(&socket.socket, address)?;
    socket.state = State::BindStarted;
    Ok(())
}

fn finish_bind(cx: &mut Context, socket: Handle<'_>) -> Result<(), Failure> {
    let socket = cx.table.get_mut(socket)?;
    if socket.state != State::BindStarted {
        return Err(ErrorCode::NotInProgress.into());
    }
    socket.state = State::Bound;
    Ok(())
}

fn stream(cx: &mut Context, handle: Handle<'_>, peer: Option<IpSocketAddress>) -> Result<Streams, Failure> {
    let socket = cx.table.get(handle)?;
    if socket.exchange.strong_count() > 0 {
        let what = "`udp-socket.stream` was called before the streams that it gave last were dropped";
        return Err(Misuse::new(what).into());
    }
    if socket.state != State::Bound {
        return Err(ErrorCode::InvalidState.into());
    }
    let peer = peer.map(|peer| destination(peer, socket.socket.family())).transpose()?;
    let (for_incoming, for_outgoing): (Room<IncomingDatagrams>, Room<OutgoingDatagrams>) = cx.room()?;
    let socket = cx.table.get_mut(handle)?;
    if socket.peer.is_some() {
        cx.host.associate(&socket.socket, None)?;
        socket.peer = None;
    }
    if peer.is_some() {
        cx.host.associate(&socket.socket, peer)?;
        socket.peer = peer;
    }
    let exchange = Arc::new(Exchange { socket: Arc::clone(&socket.socket), peer });
    socket.exchange = Arc::downgrade(&exchange);
    let incoming = IncomingDatagrams { exchange: Arc::clone(&exchange) };
    let outgoing = OutgoingDatagrams { exchange, permitted: None };
    let incoming = cx.table.push_child(for_incoming, incoming, handle)?;
    Ok((incoming, cx.table.push_child(for_outgoing, outgoing, handle)?))
}

fn local_address(cx: &mut Context, socket: Handle<'_>) -> Result<IpSocketAddress, Failure> {
    let socket = cx.table.get(socket)?;
    if socket.state != State::Bound {
        return Err(ErrorCode::InvalidState.into());
    }
    Ok(cx.host.local_address(&socket.socket)?.into())
}
