//! `tcp-socket` that listens: a stream of the connections that come.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use innkeeper_component::{
    Accessor, Lent, List, Resource, ResourceAny, ResourceType, StreamOf, StreamWriter, Val, spawn,
};
use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

use super::error_code::{ErrorCode, Failure, told};
use super::tcp::{Handle, State, TcpSocket};
use crate::host::{self, Direction, Host, Nonblocking, WaitRequest};
use crate::p2::Context;
use crate::p2::interface::FindContext;
use crate::p2::misuse::interrupted;
use crate::p2::sockets::Connection;
use crate::p2::table::Room;
use crate::p3::interface::{Beside, Interface};
use crate::p3::streams::{Start, finish};

/// How long to wait where the host has no room for a connection that has come.
const NO_ROOM: Duration = Duration::from_millis(20);

pub(super) fn bind<T: Send + 'static, F: FindContext<T>>(types: &mut Interface<'_, T, F>) {
    type Done<R> = Result<R, ErrorCode>;
    types
        .with_store::<(Lent<TcpSocket>,), Done<StreamOf<Resource<TcpSocket>>>>(
            "[method]tcp-socket.listen",
            listen,
        )
        .func::<(Handle<'_>,), bool>("[method]tcp-socket.get-is-listening", |cx, (socket,)| {
            Ok(cx.table.get(socket)?.state == State::Listening)
        })
        .func::<(Handle<'_>, u64), Done<()>>(
            "[method]tcp-socket.set-listen-backlog-size",
            |cx, (socket, size)| told(set_backlog(cx, socket, size)),
        );
}

fn set_backlog(cx: &mut Context, socket: Handle<'_>, size: u64) -> Result<(), Failure> {
    let socket = cx.table.get_mut(socket)?;
    let backlog = u32::try_from(size).unwrap_or(u32::MAX);
    match socket.state {
        _ if size == 0 => return Err(ErrorCode::InvalidArgument.into()),
        State::Unbound | State::Bound => {}
        State::Listening => cx.host.listen(socket.socket(), backlog)?,
        State::Connecting | State::Connected | State::Closed => return Err(ErrorCode::InvalidState.into()),
    }
    socket.backlog = backlog;
    Ok(())
}

/// Begins to listen; what comes is accepted beside the guest until nobody reads the stream any more.
fn listen<T: Send + 'static>(
    mut store: StoreContextMut<'_, T>,
    context: impl FindContext<T>,
    (socket,): (Lent<TcpSocket>,),
) -> Result<Result<StreamOf<Resource<TcpSocket>>, ErrorCode>, Error> {
    let Start { of, host } =
        Start::<Arc<Connection>, ErrorCode>::prepare(store.as_context_mut(), context, |cx| {
            told(begin(cx, socket.borrow()))
        })?;
    let (listener, kept) = match of {
        Ok(of) => of,
        Err(code) => return Ok(Err(code)),
    };
    let (mut writer, stream) = StreamWriter::new(store.as_context_mut())?;
    let beside = Beside::new(Accessor::of(store.as_context_mut()), context);
    spawn(store, async move {
        let mut closed = pin!(writer.closed(beside.accessor()));
        loop {
            let accepted = {
                let mut next = pin!(next(&host, &listener));
                let first = poll_fn(|task| match closed.as_mut().poll(task) {
                    Poll::Ready(closed) => Poll::Ready(closed.map(|()| None)),
                    Poll::Pending => next.as_mut().poll(task).map(|next| Ok(Some(next))),
                });
                match first.await? {
                    None => break,
                    Some(Ok(accepted)) => accepted,
                    Some(Err(host::Error::Interrupted)) => return Err(interrupted()),
                    // The socket accepts nothing any more.
                    Some(Err(_)) => break,
                }
            };
            let Some(socket) = keep(&beside, accepted).await else { continue };
            let rep = socket.rep();
            let given = beside.accessor().with(move |store| {
                ResourceAny::new(store, &ResourceType::of::<TcpSocket>(), rep).map(Val::Resource)
            });
            let given = List::Vals(vec![given.await?]);
            if writer.write(beside.accessor(), given).await? == 0 {
                // Nobody has it.
                beside.with(move |cx| cx.table.delete(&socket)).await?;
                break;
            }
        }
        drop(writer);
        finish(&beside, kept).await
    })?;
    Ok(Ok(stream.into()))
}

fn begin(cx: &mut Context, socket: Handle<'_>) -> Result<Arc<Connection>, Failure> {
    let socket = cx.table.get_mut(socket)?;
    if !matches!(socket.state, State::Unbound | State::Bound) {
        return Err(ErrorCode::InvalidState.into());
    }
    cx.host.listen(socket.socket(), socket.backlog)?;
    socket.state = State::Listening;
    Ok(Arc::clone(&socket.connection))
}

/// The next connection. What only that one has failed by is not told; where the host has no room for it, it waits for a while.
async fn next(host: &Host, listener: &Connection) -> Result<host::Socket, host::Error> {
    use host::Error;
    loop {
        match host.accept(&listener.socket, Nonblocking::Yes).await {
            Err(Error::Again) => listener.wait(host, Direction::Read).await?,
            Err(Error::TooManyHandles | Error::SystemHandles | Error::NoMemory) => {
                host.wait(&WaitRequest { interests: &[], timeout: Some(NO_ROOM) }).await?;
            }
            Err(
                Error::ConnectionAborted
                | Error::ConnectionReset
                | Error::NetworkDown
                | Error::Unreachable
                | Error::TimedOut
                | Error::NotPermitted,
            ) => {}
            result => return result,
        }
    }
}

/// Keeps a connection for the guest; one that there is no room for is closed.
async fn keep<T: 'static, F: FindContext<T>>(
    beside: &Beside<T, F>,
    accepted: host::Socket,
) -> Option<Resource<TcpSocket>> {
    beside
        .with(move |cx| {
            let room: Room<TcpSocket> = cx.room().ok()?;
            Some(cx.table.push(room, TcpSocket::new(accepted, State::Connected)))
        })
        .await
}
