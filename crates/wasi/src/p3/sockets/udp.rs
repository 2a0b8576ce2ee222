//! `udp-socket`: datagrams, each sent or received whole.

use std::sync::Arc;

use innkeeper_component::{Borrowed, Lent, Resource};
use innkeeper_engine::BudgetKind;

use super::error_code::{ErrorCode, Failure, Outcome, told};
use super::options::{self, IsSocket};
use crate::host::{
    self, AddressFamily, Direction, Host, Interest, Nonblocking, Socket, SocketAddress, Transport,
    WaitRequest, hold_thread,
};
use crate::p2::Context;
use crate::p2::charged::Charged;
use crate::p2::interface::FindContext;
use crate::p2::sockets::types::{IpAddressFamily, IpSocketAddress, destination, local};
use crate::p2::table::Held;
use crate::p3::interface::{Beside, Interface};

/// `wasi:sockets/types.udp-socket`
#[derive(Debug)]
pub(crate) struct UdpSocket {
    socket: Arc<Socket>,
    /// Whether it has an address, which the system gives one that sends.
    is_bound: bool,
    peer: Option<SocketAddress>,
}

/// Bytes that no datagram has.
const LONGEST_BYTES: usize = 1 << 16;

impl Held for UdpSocket {
    const NAME: &'static str = "wasi:sockets/types udp-socket";
    const IS_OPEN_HANDLE: bool = true;
}

impl IsSocket for UdpSocket {
    fn usable(&self) -> Result<&Socket, ErrorCode> {
        Ok(&self.socket)
    }
}

type Handle<'a> = Borrowed<'a, UdpSocket>;
type Datagram = (Charged<Vec<u8>>, IpSocketAddress);

pub(super) fn bind<T: Send + 'static, F: FindContext<T>>(types: &mut Interface<'_, T, F>) {
    type Done<R> = Result<R, ErrorCode>;
    types
        .resource::<UdpSocket>("udp-socket")
        .func::<(IpAddressFamily,), Done<Resource<UdpSocket>>>(
            "[static]udp-socket.create",
            |cx, (family,)| told(create(cx, family.into())),
        )
        .func::<(Handle<'_>, IpSocketAddress), Done<()>>(
            "[method]udp-socket.bind",
            |cx, (socket, address)| told(bind_to(cx, socket, address)),
        )
        .func::<(Handle<'_>, IpSocketAddress), Done<()>>(
            "[method]udp-socket.connect",
            |cx, (socket, address)| told(connect(cx, socket, address)),
        )
        .func::<(Handle<'_>,), Done<()>>("[method]udp-socket.disconnect", |cx, (socket,)| {
            told(disconnect(cx, socket))
        })
        .beside::<(Lent<UdpSocket>, Vec<u8>, Option<IpSocketAddress>), Done<()>, _>(
            "[method]udp-socket.send",
            |beside: Beside<T, F>, (socket, data, to)| async move { send(&beside, socket, (data, to)).await },
        )
        .beside::<(Lent<UdpSocket>,), Done<Datagram>, _>(
            "[method]udp-socket.receive",
            |beside: Beside<T, F>, (socket,)| async move { receive(&beside, socket).await },
        )
        .func::<(Handle<'_>,), Done<IpSocketAddress>>(
            "[method]udp-socket.get-local-address",
            |cx, (socket,)| told(local_address(cx, socket)),
        )
        .func::<(Handle<'_>,), Done<IpSocketAddress>>(
            "[method]udp-socket.get-remote-address",
            |cx, (socket,)| {
                let peer = cx.table.get(socket)?.peer;
                Ok(peer.map(IpSocketAddress::from).ok_or(ErrorCode::InvalidState))
            },
        )
        .func::<(Handle<'_>,), IpAddressFamily>("[method]udp-socket.get-address-family", |cx, (socket,)| {
            Ok(cx.table.get(socket)?.socket.family().into())
        });
    options::bind_udp::<UdpSocket, T>(types);
}

fn create(cx: &mut Context, family: AddressFamily) -> Result<Resource<UdpSocket>, Failure> {
    let room = cx.room()?;
    let socket = cx.host.create_socket(Transport::Udp, family)?;
    cx.host.set_socket_nonblocking(&socket, Nonblocking::Yes)?;
    let socket = Arc::new(socket);
    Ok(cx.table.push(room, UdpSocket { socket, is_bound: false, peer: None }))
}

fn bind_to(cx: &mut Context, socket: Handle<'_>, address: IpSocketAddress) -> Result<(), Failure> {
    let socket = cx.table.get_mut(socket)?;
    let address = local(address, socket.socket.family())?;
    if socket.is_bound {
        return Err(ErrorCode::InvalidState.into());
    }
    cx.host.bind(&socket.socket, address)?;
    socket.is_bound = true;
    Ok(())
}

fn connect(cx: &mut Context, socket: Handle<'_>, address: IpSocketAddress) -> Result<(), Failure> {
    let socket = cx.table.get_mut(socket)?;
    let address = destination(address, socket.socket.family())?;
    if socket.peer.take().is_some() {
        cx.host.associate(&socket.socket, None)?;
    }
    cx.host.associate(&socket.socket, Some(address)).map_err(no_port)?;
    (socket.peer, socket.is_bound) = (Some(address), true);
    Ok(())
}

fn disconnect(cx: &mut Context, socket: Handle<'_>) -> Result<(), Failure> {
    let socket = cx.table.get_mut(socket)?;
    if socket.peer.is_none() {
        return Err(ErrorCode::InvalidState.into());
    }
    cx.host.associate(&socket.socket, None)?;
    socket.peer = None;
    Ok(())
}

/// Where a socket that has no address finds no port to send from, that is said, as when it is bound.
fn no_port(error: host::Error) -> Failure {
    match error {
        host::Error::AddressNotAvailable => ErrorCode::AddressInUse.into(),
        error => error.into(),
    }
}

/// Waits until a datagram can be sent or received, or something has failed.
async fn wait(host: &Host, socket: &Socket, direction: Direction) -> Result<(), host::Error> {
    let interests = [Interest { on: host::Pollable::Socket(socket), direction }];
    host.wait(&WaitRequest { interests: &interests, timeout: None }).await.map(drop)
}

async fn send<T: 'static, F: FindContext<T>>(
    beside: &Beside<T, F>,
    socket: Lent<UdpSocket>,
    (data, to): (Vec<u8>, Option<IpSocketAddress>),
) -> Outcome<()> {
    let rep = socket.rep();
    let begun = beside.with(move |cx| {
        let socket = cx.table.get(socket.borrow())?;
        let to = to.map(|to| destination(to, socket.socket.family())).transpose()?;
        let to = match (socket.peer, to) {
            (Some(peer), Some(to)) if peer != to => return Err(ErrorCode::InvalidArgument.into()),
            (None, None) => return Err(ErrorCode::InvalidArgument.into()),
            (Some(_), _) => None,
            (None, to) => to,
        };
        Ok((Arc::clone(&socket.socket), to))
    });
    let (socket, to) = match told(begun.await)? {
        Ok(begun) => begun,
        Err(code) => return Ok(Err(code)),
    };
    if data.len() >= LONGEST_BYTES {
        return Ok(Err(ErrorCode::DatagramTooLarge));
    }
    let host = beside.host().await;
    let sent = loop {
        match hold_thread(host.send_datagram(&socket, &data, to)) {
            Err(host::Error::Again) => {
                if let Err(error) = wait(&host, &socket, Direction::Write).await {
                    break Err(error);
                }
            }
            sent => break sent,
        }
    };
    // It is lent until this call has ended. Also where sending has failed, the system may have bound it.
    let bound = beside.with(move |cx| {
        cx.table.get_mut(Resource::<UdpSocket>::new(rep).borrow()).map(|kept| {
            kept.is_bound |= cx.host.local_address(&kept.socket).is_ok_and(|address| address.port() != 0);
        })
    });
    bound.await?;
    told(sent.map_err(no_port))
}

async fn receive<T: 'static, F: FindContext<T>>(
    beside: &Beside<T, F>,
    socket: Lent<UdpSocket>,
) -> Outcome<Datagram> {
    let begun = beside.with(move |cx| {
        let socket = cx.table.get(socket.borrow())?;
        if !socket.is_bound {
            return Err(ErrorCode::InvalidState.into());
        }
        let charge = cx.host.budget().hold(BudgetKind::Buffer, LONGEST_BYTES as u64);
        let charge = charge.map_err(|_| ErrorCode::OutOfMemory)?;
        Ok((Arc::clone(&socket.socket), socket.peer, charge))
    });
    let (socket, peer, charge) = match told(begun.await)? {
        Ok(begun) => begun,
        Err(code) => return Ok(Err(code)),
    };
    let host = beside.host().await;
    let mut buffer = vec![0; LONGEST_BYTES];
    loop {
        match hold_thread(host.receive_datagram(&socket, &mut buffer)) {
            // One that another has sent before the socket was to have one peer only.
            Ok(received) if peer.is_some_and(|peer| peer != received.from) => {}
            Ok(received) => {
                buffer.truncate(received.length_bytes);
                return Ok(Ok((Charged::new(buffer, charge), received.from.into())));
            }
            Err(host::Error::Again) => {
                if let Err(error) = wait(&host, &socket, Direction::Read).await {
                    return told(Err(error.into()));
                }
            }
            Err(error) => return told(Err(error.into())),
        }
    }
}

fn local_address(cx: &mut Context, socket: Handle<'_>) -> Result<IpSocketAddress, Failure> {
    let socket = cx.table.get(socket)?;
    if !socket.is_bound {
        return Err(ErrorCode::InvalidState.into());
    }
    Ok(cx.host.local_address(&socket.socket)?.into())
}
