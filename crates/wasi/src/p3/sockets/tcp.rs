//! `tcp-socket`: made, bound, connected; what goes over connections. Connections that come are in `listen`.

use std::sync::Arc;

use innkeeper_component::{Borrowed, Lent, Resource, StreamOf};

use super::error_code::{ErrorCode, Failure, Outcome, told};
use super::options::{self, IsSocket};
use crate::host::{self, AddressFamily, Direction, Host, Nonblocking, SocketAddress, Transport};
use crate::p2::Context;
use crate::p2::interface::FindContext;
use crate::p2::sockets::Connection;
use crate::p2::sockets::tcp::USUAL_BACKLOG;
use crate::p2::sockets::types::{IpAddressFamily, IpSocketAddress, local, remote};
use crate::p2::streams::{InputSource, OutputSink};
use crate::p2::table::Held;
use crate::p3::interface::{Beside, Interface};

/// `wasi:sockets/types.tcp-socket`
#[derive(Debug)]
pub(crate) struct TcpSocket {
    pub(super) connection: Arc<Connection>,
    pub(super) state: State,
    /// How many connections may wait to be accepted, about.
    pub(super) backlog: u32,
    /// Whether its streams were given away.
    has_sent: bool,
    has_received: bool,
}

/// Where a socket stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Unbound,
    Bound,
    Listening,
    Connecting,
    Connected,
    /// It could not be connected.
    Closed,
}

impl Held for TcpSocket {
    const NAME: &'static str = "wasi:sockets/types tcp-socket";
    const IS_OPEN_HANDLE: bool = true;
}

impl IsSocket for TcpSocket {
    fn usable(&self) -> Result<&host::Socket, ErrorCode> {
        match self.state {
            State::Closed => Err(ErrorCode::InvalidState),
            _ => Ok(self.socket()),
        }
    }
}

impl TcpSocket {
    pub(super) fn new(socket: host::Socket, state: State) -> TcpSocket {
        let (connection, backlog) = (Connection::new(socket), USUAL_BACKLOG);
        TcpSocket { connection, state, backlog, has_sent: false, has_received: false }
    }

    pub(super) fn socket(&self) -> &host::Socket {
        &self.connection.socket
    }
}

pub(super) type Handle<'a> = Borrowed<'a, TcpSocket>;

pub(super) fn bind<T: Send + 'static, F: FindContext<T>>(types: &mut Interface<'_, T, F>) {
    type Done<R> = Result<R, ErrorCode>;
    types
        .resource::<TcpSocket>("tcp-socket")
        .func::<(IpAddressFamily,), Done<Resource<TcpSocket>>>(
            "[static]tcp-socket.create",
            |cx, (family,)| told(create(cx, family.into())),
        )
        .func::<(Handle<'_>, IpSocketAddress), Done<()>>(
            "[method]tcp-socket.bind",
            |cx, (socket, address)| told(bind_to(cx, socket, address)),
        )
        .beside::<(Lent<TcpSocket>, IpSocketAddress), Done<()>, _>(
            "[method]tcp-socket.connect",
            |beside: Beside<T, F>, (socket, address)| async move { connect(&beside, socket, address).await },
        )
        .writes::<(Lent<TcpSocket>, StreamOf<u8>), ErrorCode>(
            "[method]tcp-socket.send",
            |cx, (socket, data)| {
                let sending = told(stream(cx, socket.borrow(), |socket| &mut socket.has_sent))?;
                Ok((data, sending.map(OutputSink::Connection)))
            },
        )
        .reads::<(Lent<TcpSocket>,), ErrorCode>("[method]tcp-socket.receive", |cx, (socket,)| {
            let receiving = told(stream(cx, socket.borrow(), |socket| &mut socket.has_received))?;
            Ok(receiving.map(InputSource::Connection))
        })
        .func::<(Handle<'_>,), Done<IpSocketAddress>>(
            "[method]tcp-socket.get-local-address",
            |cx, (socket,)| told(local_address(cx, socket)),
        )
        .func::<(Handle<'_>,), Done<IpSocketAddress>>(
            "[method]tcp-socket.get-remote-address",
            |cx, (socket,)| told(remote_address(cx, socket)),
        )
        .func::<(Handle<'_>,), IpAddressFamily>("[method]tcp-socket.get-address-family", |cx, (socket,)| {
            Ok(cx.table.get(socket)?.socket().family().into())
        });
    options::bind_tcp::<TcpSocket, T>(types);
}

fn create(cx: &mut Context, family: AddressFamily) -> Result<Resource<TcpSocket>, Failure> {
    let room = cx.room()?;
    let socket = cx.host.create_socket(Transport::Tcp, family)?;
    cx.host.set_socket_nonblocking(&socket, Nonblocking::Yes)?;
    Ok(cx.table.push(room, TcpSocket::new(socket, State::Unbound)))
}

fn bind_to(cx: &mut Context, socket: Handle<'_>, address: IpSocketAddress) -> Result<(), Failure> {
    let socket = cx.table.get_mut(socket)?;
    let address = local(address, socket.socket().family())?;
    if socket.state != State::Unbound {
        return Err(ErrorCode::InvalidState.into());
    }
    cx.host.bind(socket.socket(), address)?;
    socket.state = State::Bound;
    Ok(())
}

/// Connects a socket. Whatever comes of it, it cannot be connected again, unless there was no key for it.
async fn connect<T: 'static, F: FindContext<T>>(
    beside: &Beside<T, F>,
    socket: Lent<TcpSocket>,
    address: IpSocketAddress,
) -> Outcome<()> {
    let rep = socket.rep();
    let begun = beside.with(move |cx| {
        let socket = cx.table.get_mut(socket.borrow())?;
        let address = remote(address, socket.socket().family())?;
        if !matches!(socket.state, State::Unbound | State::Bound) {
            return Err(ErrorCode::InvalidState.into());
        }
        let before = std::mem::replace(&mut socket.state, State::Connecting);
        Ok((Arc::clone(&socket.connection), address, before))
    });
    let (connection, address, before) = match told(begun.await)? {
        Ok(begun) => begun,
        Err(code) => return Ok(Err(code)),
    };
    let host = beside.host().await;
    let connected = connected(&host, &connection, address).await;
    let state = match connected {
        Ok(()) => State::Connected,
        Err(host::Error::Denied) => before,
        Err(_) => State::Closed,
    };
    // It is lent until this call has ended.
    let kept = beside.with(move |cx| {
        cx.table.get_mut(Resource::<TcpSocket>::new(rep).borrow()).map(|socket| socket.state = state)
    });
    kept.await?;
    told(connected.map_err(|error| match error {
        // There is no port to connect from.
        host::Error::AddressNotAvailable => ErrorCode::AddressInUse.into(),
        // It was connected, and is no more.
        host::Error::NotConnected => ErrorCode::ConnectionReset.into(),
        error => Failure::from(error),
    }))
}

/// Waits until a socket is connected.
async fn connected(host: &Host, connection: &Connection, to: SocketAddress) -> Result<(), host::Error> {
    host.start_connect(&connection.socket, to)?;
    loop {
        match host.finish_connect(&connection.socket) {
            Err(host::Error::Again) => connection.wait(host, Direction::Write).await?,
            result => return result,
        }
    }
}

/// The connection, to stream one way, for which it is taken once.
fn stream(
    cx: &mut Context,
    socket: Handle<'_>,
    taken: impl FnOnce(&mut TcpSocket) -> &mut bool,
) -> Result<Arc<Connection>, Failure> {
    let socket = cx.table.get_mut(socket)?;
    if socket.state != State::Connected || std::mem::replace(taken(socket), true) {
        return Err(ErrorCode::InvalidState.into());
    }
    Ok(Arc::clone(&socket.connection))
}

fn local_address(cx: &mut Context, socket: Handle<'_>) -> Result<IpSocketAddress, Failure> {
    let socket = cx.table.get(socket)?;
    match socket.state {
        State::Unbound | State::Closed => Err(ErrorCode::InvalidState.into()),
        _ => Ok(cx.host.local_address(socket.socket())?.into()),
    }
}

fn remote_address(cx: &mut Context, socket: Handle<'_>) -> Result<IpSocketAddress, Failure> {
    let socket = cx.table.get(socket)?;
    match socket.state {
        State::Connected => Ok(cx.host.peer_address(socket.socket())?.into()),
        _ => Err(ErrorCode::InvalidState.into()),
    }
}
