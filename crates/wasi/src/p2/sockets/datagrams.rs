//! `wasi:sockets/udp`: the streams of datagrams.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_component::{Borrowed, ComponentType, Lift, Lower, Resource};
use innkeeper_engine::BudgetKind;

use super::error_code::{ErrorCode, Failure, told};
use super::types::{IpSocketAddress, destination};
use crate::host::{self, Direction, Interest, WaitRequest, hold_thread};
use crate::p2::charged::Charged;
use crate::p2::context::Context;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::misuse::Misuse;
use crate::p2::poll::{Pollable, Waitable};
use crate::p2::table::Held;

/// What the streams of one socket have in common.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) socket: Arc<host::Socket>,
    /// The only one with whom datagrams are exchanged, if that is so.
    pub(super) peer: Option<host::SocketAddress>,
}

/// `wasi:sockets/udp.incoming-datagram-stream`
#[derive(Debug)]
pub(crate) struct IncomingDatagrams {
    pub(super) exchange: Arc<Exchange>,
}

/// `wasi:sockets/udp.outgoing-datagram-stream`
#[derive(Debug)]
pub(crate) struct OutgoingDatagrams {
    pub(super) exchange: Arc<Exchange>,
    /// How many datagrams `check-send` has allowed the guest to send.
    pub(super) permitted: Option<u64>,
}

impl Held for IncomingDatagrams {
    const NAME: &'static str = "wasi:sockets/udp incoming-datagram-stream";
}

impl Held for OutgoingDatagrams {
    const NAME: &'static str = "wasi:sockets/udp outgoing-datagram-stream";
}

/// `wasi:sockets/udp.incoming-datagram`
#[derive(Debug, ComponentType, Lower)]
#[component(path = innkeeper_component)]
pub(super) struct IncomingDatagram {
    data: Vec<u8>,
    remote_address: IpSocketAddress,
}

/// `wasi:sockets/udp.outgoing-datagram`
#[derive(Debug, ComponentType, Lift)]
#[component(path = innkeeper_component)]
pub(super) struct OutgoingDatagram {
    data: Vec<u8>,
    remote_address: Option<IpSocketAddress>,
}

/// Datagrams that one call moves at most: the guest asks again, and can be stopped between two calls.
const MOST_AT_ONCE: u64 = 16;

/// Bytes of the longest datagram; and of those that are received by one call, before the last of them.
const LONGEST_BYTES: usize = 1 << 16;

type Incoming<'a> = Borrowed<'a, IncomingDatagrams>;
type Outgoing<'a> = Borrowed<'a, OutgoingDatagrams>;

pub(super) fn bind<T: Send + 'static>(udp: &mut Interface<'_, T, impl FindContext<T>>) {
    udp.resource::<IncomingDatagrams>("incoming-datagram-stream")
        .func::<(Incoming<'_>, u64), Result<Charged<Vec<IncomingDatagram>>, ErrorCode>>(
            "[method]incoming-datagram-stream.receive",
            |cx, (stream, most)| told(receive(cx, stream, most)),
        )
        .func::<(Incoming<'_>,), Resource<Pollable>>(
            "[method]incoming-datagram-stream.subscribe",
            |cx, (stream,)| {
                let on = Waitable::Socket(Arc::clone(&cx.table.get(stream)?.exchange.socket));
                cx.push_child(Pollable::ready(on, Direction::Read), stream)
            },
        )
        .resource::<OutgoingDatagrams>("outgoing-datagram-stream")
        .func::<(Outgoing<'_>,), Result<u64, ErrorCode>>(
            "[method]outgoing-datagram-stream.check-send",
            |cx, (stream,)| told(check_send(cx, stream)),
        )
        .func::<(Outgoing<'_>, Vec<OutgoingDatagram>), Result<u64, ErrorCode>>(
            "[method]outgoing-datagram-stream.send",
            |cx, (stream, datagrams)| told(send(cx, stream, &datagrams)),
        )
        .func::<(Outgoing<'_>,), Resource<Pollable>>(
            "[method]outgoing-datagram-stream.subscribe",
            |cx, (stream,)| {
                let on = Waitable::Socket(Arc::clone(&cx.table.get(stream)?.exchange.socket));
                cx.push_child(Pollable::ready(on, Direction::Write), stream)
            },
        );
}

fn receive(
    cx: &mut Context,
    stream: Incoming<'_>,
    most: u64,
) -> Result<Charged<Vec<IncomingDatagram>>, Failure> {
    let exchange = &cx.table.get(stream)?.exchange;
    let mut datagrams = Vec::new();
    // The buffer, all datagrams but the last, and the last.
    let charge = cx.host.budget().hold(BudgetKind::Buffer, 3 * LONGEST_BYTES as u64);
    let charge = charge.map_err(|_| ErrorCode::OutOfMemory)?;
    let (mut buffer, mut received_bytes) = (vec![0; LONGEST_BYTES], 0);
    // Those of others, who have sent them before the socket was to have one peer only, count too.
    for _ in 0..most.min(MOST_AT_ONCE) {
        if received_bytes >= LONGEST_BYTES {
            break;
        }
        let received = match hold_thread(cx.host.receive_datagram(&exchange.socket, &mut buffer)) {
            Ok(received) => received,
            Err(host::Error::Again) => break,
            Err(error) if datagrams.is_empty() => return Err(error.into()),
            Err(_) => break,
        };
        received_bytes += received.length_bytes;
        if exchange.peer.is_none_or(|peer| peer == received.from) {
            let data = buffer[..received.length_bytes].to_vec();
            datagrams.push(IncomingDatagram { data, remote_address: received.from.into() });
        }
    }
    Ok(Charged::new(datagrams, charge))
}

fn check_send(cx: &mut Context, stream: Outgoing<'_>) -> Result<u64, Failure> {
    let stream = cx.table.get_mut(stream)?;
    let on = host::Pollable::Socket(&stream.exchange.socket);
    let interests = [Interest { on, direction: Direction::Write }];
    let request = WaitRequest { interests: &interests, timeout: Some(Duration::ZERO) };
    let answers = hold_thread(cx.host.wait(&request))?;
    let permitted = if answers.iter().any(|answer| answer.ready || answer.hangup) { MOST_AT_ONCE } else { 0 };
    stream.permitted = Some(permitted);
    Ok(permitted)
}

fn send(cx: &mut Context, stream: Outgoing<'_>, datagrams: &[OutgoingDatagram]) -> Result<u64, Failure> {
    let stream = cx.table.get_mut(stream)?;
    if datagrams.is_empty() {
        return Ok(0);
    }
    let permitted = stream.permitted.take().unwrap_or(0);
    if datagrams.len() as u64 > permitted {
        return Err(Misuse::new(format!(
            "`outgoing-datagram-stream.send` was given {} datagrams, and `check-send` has allowed {permitted}",
            datagrams.len()
        ))
        .into());
    }
    let mut sent = 0;
    for datagram in datagrams {
        match send_one(&cx.host, &stream.exchange, datagram) {
            Ok(()) => sent += 1,
            Err(Failure::Code(ErrorCode::WouldBlock)) => break,
            Err(Failure::Code(_)) if sent > 0 => break,
            Err(failure) => return Err(failure),
        }
    }
    Ok(sent)
}

fn send_one(host: &host::Host, exchange: &Exchange, datagram: &OutgoingDatagram) -> Result<(), Failure> {
    let to = datagram.remote_address.map(|to| destination(to, exchange.socket.family())).transpose()?;
    let to = match (exchange.peer, to) {
        (Some(peer), Some(to)) if peer != to => return Err(ErrorCode::InvalidArgument.into()),
        (None, None) => return Err(ErrorCode::InvalidArgument.into()),
        (Some(_), _) => None,
        (None, to) => to,
    };
    Ok(hold_thread(host.send_datagram(&exchange.socket, &datagram.data, to))?)
}
