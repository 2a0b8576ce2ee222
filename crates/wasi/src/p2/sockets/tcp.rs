//! `wasi:sockets/tcp` and `tcp-create-socket`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper_component::{Borrowed, ComponentType, Lift, Linker, Resource};
use innkeeper_engine::Error;

use super::error_code::{ErrorCode, Failure, told};
use super::network::Network;
use super::options::{self, IsSocket};
use super::types::{IpAddressFamily, IpSocketAddress, local, remote};
use crate::host::{
    self, AddressFamily, Direction, Host, Interest, Nonblocking, ReceiveFlags, ShutdownHow, Transport,
    WaitRequest, hold_thread,
};
use crate::p2::context::Context;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::poll::Pollable;
use crate::p2::streams::{InputSource, InputStream, OutputSink, OutputStream};
use crate::p2::table::{Held, Room};

/// `wasi:sockets/tcp.tcp-socket`
#[derive(Debug)]
pub(crate) struct TcpSocket {
    connection: Arc<Connection>,
    state: State,
    /// How many connections may wait to be accepted, about.
    backlog: u32,
}

/// A TCP socket, which its streams share with it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: host::Socket,
    /// Whether the guest has closed its streams by `shutdown`.
    input_closed: AtomicBool,
    output_closed: AtomicBool,
    /// Whether it was reset, which the system tells only once.
    is_reset: AtomicBool,
}

/// Where a socket stands. What the specification calls `closed` is one that could not be connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unbound,
    BindStarted,
    Bound,
    ListenStarted,
    Listening,
    /// With why it has failed at once, if it has.
    ConnectStarted(Option<host::Error>),
    Connected,
    Closed,
}

/// `wasi:sockets/tcp.shutdown-type`
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(path = innkeeper_component)]
enum ShutdownType {
    Receive,
    Send,
    Both,
}

/// How many connections wait where the guest has not said it.
pub(crate) const USUAL_BACKLOG: u32 = 128;

impl Held for TcpSocket {
    const NAME: &'static str = "wasi:sockets/tcp tcp-socket";
    const IS_OPEN_HANDLE: bool = true;
}

impl Connection {
    pub(crate) fn new(socket: host::Socket) -> Arc<Connection> {
        Arc::new(Connection {
            socket,
            input_closed: AtomicBool::new(false),
            output_closed: AtomicBool::new(false),
            is_reset: AtomicBool::new(false),
        })
    }

    /// Receives what has come; zero bytes at the end.
    pub(crate) async fn receive(&self, host: &Host, buffer: &mut [u8]) -> Result<usize, host::Error> {
        let received = host.receive(&self.socket, buffer, ReceiveFlags::default()).await;
        self.mind_reset(received, Ok(0))
    }

    /// Sends part or all.
    pub(crate) async fn send(&self, host: &Host, bytes: &[u8]) -> Result<usize, host::Error> {
        let sent = host.send(&self.socket, bytes).await;
        self.mind_reset(sent, Err(host::Error::Pipe))
    }

    /// What the system says of a connection that was reset, after it has said so once, is `after`: whoever has not heard of it, as one who receives where another has sent, is told the same.
    fn mind_reset(
        &self,
        moved: Result<usize, host::Error>,
        after: Result<usize, host::Error>,
    ) -> Result<usize, host::Error> {
        const RESET: Result<usize, host::Error> = Err(host::Error::ConnectionReset);
        if moved == RESET {
            self.is_reset.store(true, Ordering::Relaxed);
        }
        if moved == after && self.is_reset.load(Ordering::Relaxed) { RESET } else { moved }
    }

    /// Whether nothing is to be received any more, also of what has come.
    pub(crate) fn is_input_closed(&self) -> bool {
        self.input_closed.load(Ordering::Relaxed)
    }

    /// Waits until something can be received or sent, or it has failed.
    pub(crate) async fn wait(&self, host: &Host, direction: Direction) -> Result<(), host::Error> {
        let interests = [Interest { on: host::Pollable::Socket(&self.socket), direction }];
        host.wait(&WaitRequest { interests: &interests, timeout: None }).await.map(drop)
    }

    /// Ends a direction, of which a stream was that has ended. Where the peer has ended all, there is nothing left to be done.
    pub(crate) fn end(&self, host: &Host, how: ShutdownHow) {
        let _ = host.shutdown(&self.socket, how);
    }

    /// Whether nothing can be sent any more.
    pub(crate) fn is_output_closed(&self) -> bool {
        self.output_closed.load(Ordering::Relaxed)
    }
}

impl IsSocket for TcpSocket {
    fn usable(&self) -> Result<&host::Socket, ErrorCode> {
        match self.state {
            State::Closed => Err(ErrorCode::InvalidState),
            _ => Ok(&self.connection.socket),
        }
    }
}

impl TcpSocket {
    fn socket(&self) -> &host::Socket {
        &self.connection.socket
    }

    /// What has to be waited for before whatever was started can be finished, or somebody accepted; none where there is nothing to wait for, as where it has failed already.
    pub(in crate::p2) fn awaits(&self) -> Option<(&host::Socket, Direction)> {
        match self.state {
            State::Listening => Some((self.socket(), Direction::Read)),
            State::ConnectStarted(None) => Some((self.socket(), Direction::Write)),
            State::Unbound
            | State::BindStarted
            | State::Bound
            | State::ListenStarted
            | State::ConnectStarted(Some(_))
            | State::Connected
            | State::Closed => None,
        }
    }

    /// Goes on where an operation was started, and is told to whoever finishes it.
    fn finish(&mut self, started: State, done: State) -> Result<(), ErrorCode> {
        if self.state != started {
            return Err(ErrorCode::NotInProgress);
        }
        self.state = done;
        Ok(())
    }

    /// What is said where something cannot be started in the state that there is.
    fn cannot_start(&self) -> ErrorCode {
        match self.state {
            State::BindStarted | State::ListenStarted | State::ConnectStarted(_) => {
                ErrorCode::ConcurrencyConflict
            }
            _ => ErrorCode::InvalidState,
        }
    }
}

type Handle<'a> = Borrowed<'a, TcpSocket>;
type Streams = (Resource<InputStream>, Resource<OutputStream>);
type StreamRooms = (Room<InputStream>, Room<OutputStream>);
type Accepted = (Resource<TcpSocket>, Resource<InputStream>, Resource<OutputStream>);

pub(super) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    type Done<R> = Result<R, ErrorCode>;
    type WithAddress<'a> = (Handle<'a>, Borrowed<'a, Network>, IpSocketAddress);
    let mut tcp = Interface::new(linker, "wasi:sockets/tcp", context)?;
    tcp.resource::<TcpSocket>("tcp-socket")
        .func::<WithAddress<'_>, Done<()>>(
            "[method]tcp-socket.start-bind",
            |cx, (socket, network, address)| {
                cx.table.get(network)?;
                told(start_bind(cx, socket, address))
            },
        )
        .func::<(Handle<'_>,), Done<()>>("[method]tcp-socket.finish-bind", |cx, (socket,)| {
            Ok(cx.table.get_mut(socket)?.finish(State::BindStarted, State::Bound))
        })
        .func::<WithAddress<'_>, Done<()>>(
            "[method]tcp-socket.start-connect",
            |cx, (socket, network, address)| {
                cx.table.get(network)?;
                told(start_connect(cx, socket, address))
            },
        )
        .func::<(Handle<'_>,), Done<Streams>>("[method]tcp-socket.finish-connect", |cx, (socket,)| {
            told(finish_connect(cx, socket))
        })
        .func::<(Handle<'_>,), Done<()>>("[method]tcp-socket.start-listen", |cx, (socket,)| {
            told(start_listen(cx, socket))
        })
        .func::<(Handle<'_>,), Done<()>>("[method]tcp-socket.finish-listen", |cx, (socket,)| {
            Ok(cx.table.get_mut(socket)?.finish(State::ListenStarted, State::Listening))
        })
        .func::<(Handle<'_>,), Done<Accepted>>("[method]tcp-socket.accept", |cx, (socket,)| {
            told(accept(cx, socket))
        })
        .func::<(Handle<'_>, ShutdownType), Done<()>>("[method]tcp-socket.shutdown", |cx, (socket, how)| {
            told(shutdown(cx, socket, how))
        });
    bind_questions(&mut tcp);
    options::bind_tcp::<TcpSocket, T>(&mut tcp);
    Interface::new(linker, "wasi:sockets/tcp-create-socket", context)?
        .func::<(IpAddressFamily,), Done<Resource<TcpSocket>>>("create-tcp-socket", |cx, (family,)| {
            told(create(cx, family.into()))
        });
    Ok(())
}

/// What is asked of a socket, and how long its queue is to be.
fn bind_questions<T: Send + 'static>(tcp: &mut Interface<'_, T, impl FindContext<T>>) {
    type Done<R> = Result<R, ErrorCode>;
    tcp.func::<(Handle<'_>,), Done<IpSocketAddress>>("[method]tcp-socket.local-address", |cx, (socket,)| {
        told(local_address(cx, socket))
    })
    .func::<(Handle<'_>,), Done<IpSocketAddress>>("[method]tcp-socket.remote-address", |cx, (socket,)| {
        told(remote_address(cx, socket))
    })
    .func::<(Handle<'_>,), bool>("[method]tcp-socket.is-listening", |cx, (socket,)| {
        Ok(cx.table.get(socket)?.state == State::Listening)
    })
    .func::<(Handle<'_>,), IpAddressFamily>("[method]tcp-socket.address-family", |cx, (socket,)| {
        Ok(cx.table.get(socket)?.socket().family().into())
    })
    .func::<(Handle<'_>, u64), Done<()>>(
        "[method]tcp-socket.set-listen-backlog-size",
        |cx, (socket, size)| told(set_backlog(cx, socket, size)),
    )
    .func::<(Handle<'_>,), Resource<Pollable>>("[method]tcp-socket.subscribe", |cx, (socket,)| {
        cx.push_child(Pollable::progress(socket), socket)
    });
}

fn create(cx: &mut Context, family: AddressFamily) -> Result<Resource<TcpSocket>, Failure> {
    let room = cx.room()?;
    let socket = cx.host.create_socket(Transport::Tcp, family)?;
    cx.host.set_socket_nonblocking(&socket, Nonblocking::Yes)?;
    let connection = Connection::new(socket);
    Ok(cx.table.push(room, TcpSocket { connection, state: State::Unbound, backlog: USUAL_BACKLOG }))
}

fn start_bind(cx: &mut Context, socket: Handle<'_>, address: IpSocketAddress) -> Result<(), Failure> {
    let socket = cx.table.get_mut(socket)?;
    if socket.state != State::Unbound {
        return Err(socket.cannot_start().into());
    }
    let address = local(address, socket.socket().family())?;
    cx.host.bind(socket.socket(), address)?;
    socket.state = State::BindStarted;
    Ok(())
}

fn start_connect(cx: &mut Context, socket: Handle<'_>, address: IpSocketAddress) -> Result<(), Failure> {
    let socket = cx.table.get_mut(socket)?;
    if !matches!(socket.state, State::Unbound | State::Bound) {
        return Err(socket.cannot_start().into());
    }
    let address = remote(address, socket.socket().family())?;
    let failed = match cx.host.start_connect(socket.socket(), address) {
        Err(error @ (host::Error::Denied | host::Error::Interrupted)) => return Err(error.into()),
        result => result.err(),
    };
    socket.state = State::ConnectStarted(failed);
    Ok(())
}

fn finish_connect(cx: &mut Context, handle: Handle<'_>) -> Result<Streams, Failure> {
    let socket = cx.table.get(handle)?;
    let State::ConnectStarted(failed) = socket.state else { return Err(ErrorCode::NotInProgress.into()) };
    // Who has no room can make some and ask again.
    let rooms: StreamRooms = cx.room()?;
    let socket = cx.table.get_mut(handle)?;
    match failed.map_or_else(|| cx.host.finish_connect(socket.socket()), Err) {
        Ok(()) => {}
        Err(host::Error::Again) => return Err(ErrorCode::WouldBlock.into()),
        Err(error) => {
            socket.state = State::Closed;
            return Err(match error {
                // There is no port to connect from.
                host::Error::AddressNotAvailable => ErrorCode::AddressInUse.into(),
                // It was connected, and is no more.
                host::Error::NotConnected => ErrorCode::ConnectionReset.into(),
                error => error.into(),
            });
        }
    }
    socket.state = State::Connected;
    let connection = Arc::clone(&socket.connection);
    streams(cx, (rooms, connection), handle)
}

fn start_listen(cx: &mut Context, socket: Handle<'_>) -> Result<(), Failure> {
    let socket = cx.table.get_mut(socket)?;
    if socket.state != State::Bound {
        return Err(socket.cannot_start().into());
    }
    cx.host.listen(socket.socket(), socket.backlog)?;
    socket.state = State::ListenStarted;
    Ok(())
}

fn accept(cx: &mut Context, socket: Handle<'_>) -> Result<Accepted, Failure> {
    let listener = cx.table.get(socket)?;
    if listener.state != State::Listening {
        return Err(ErrorCode::InvalidState.into());
    }
    let (room, rooms): (Room<TcpSocket>, StreamRooms) = cx.room()?;
    // One that does not wait.
    let accepted = hold_thread(cx.host.accept(listener.socket(), Nonblocking::Yes))?;
    let (connection, backlog) = (Connection::new(accepted), USUAL_BACKLOG);
    let state = State::Connected;
    let socket = cx.table.push(room, TcpSocket { connection: Arc::clone(&connection), state, backlog });
    let (input, output) = streams(cx, (rooms, connection), socket.borrow())?;
    Ok((socket, input, output))
}

/// The streams of a connection, which do not outlive its socket.
fn streams(
    cx: &mut Context,
    ((for_input, for_output), connection): (StreamRooms, Arc<Connection>),
    socket: Handle<'_>,
) -> Result<Streams, Failure> {
    let input = InputStream::new(InputSource::Connection(Arc::clone(&connection)));
    let output = OutputStream::new(OutputSink::Connection(connection));
    Ok((cx.table.push_child(for_input, input, socket)?, cx.table.push_child(for_output, output, socket)?))
}

fn shutdown(cx: &mut Context, socket: Handle<'_>, how: ShutdownType) -> Result<(), Failure> {
    let socket = cx.table.get(socket)?;
    if socket.state != State::Connected {
        return Err(ErrorCode::InvalidState.into());
    }
    let (input, output, how) = match how {
        ShutdownType::Receive => (true, false, ShutdownHow::Receive),
        ShutdownType::Send => (false, true, ShutdownHow::Send),
        ShutdownType::Both => (true, true, ShutdownHow::Both),
    };
    match cx.host.shutdown(socket.socket(), how) {
        // Both sides have ended it, or one has reset it: there is nothing left to shut down.
        Ok(()) | Err(host::Error::NotConnected) => {}
        Err(error) => return Err(error.into()),
    }
    let Connection { input_closed, output_closed, .. } = &*socket.connection;
    input_closed.fetch_or(input, Ordering::Relaxed);
    output_closed.fetch_or(output, Ordering::Relaxed);
    Ok(())
}

fn local_address(cx: &mut Context, socket: Handle<'_>) -> Result<IpSocketAddress, Failure> {
    let socket = cx.table.get(socket)?;
    match socket.state {
        State::Unbound | State::BindStarted | State::Closed => Err(ErrorCode::InvalidState.into()),
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

fn set_backlog(cx: &mut Context, socket: Handle<'_>, size: u64) -> Result<(), Failure> {
    let socket = cx.table.get_mut(socket)?;
    let backlog = u32::try_from(size).unwrap_or(u32::MAX);
    match socket.state {
        _ if size == 0 => return Err(ErrorCode::InvalidArgument.into()),
        State::Unbound | State::BindStarted | State::Bound => {}
        State::ListenStarted | State::Listening => cx.host.listen(socket.socket(), backlog)?,
        State::ConnectStarted(_) | State::Connected | State::Closed => {
            return Err(ErrorCode::InvalidState.into());
        }
    }
    socket.backlog = backlog;
    Ok(())
}
