//! `wasi:io/poll`: waiting for several things at once.
//!
//! A pollable is a time, or the readiness of a handle of the host's: it takes no thread, and nothing happens before it is polled. However many are polled, that is one wait of
//! the host's, which the store's deadline ends.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_component::{Borrowed, Linker};
use innkeeper_engine::{BudgetKind, Error};

use super::context::Context;
use super::interface::{FindContext, Interface};
use super::misuse::{Misuse, interrupted};
use super::sockets::Connection;
use super::table::Held;
use crate::host::{self, Clock, Direction, File, Interest, Lookup, Socket, SocketKind, Stream, WaitRequest};

/// What a `pollable` waits for.
#[derive(Debug)]
pub(super) enum Pollable {
    /// Nothing: it is ready.
    Always,
    /// That the monotonic clock shows this time.
    At(Duration),
    /// That a handle can be read from or written to without waiting.
    Ready(Waitable, Direction),
    /// That what a TCP socket is about to do can be finished: there is a connection to accept, or it is connected, or it has failed.
    Progress(Arc<Connection>),
}

/// A handle of the host's, shared with the resource that it was subscribed to.
#[derive(Clone, Debug)]
pub(super) enum Waitable {
    Stream(Arc<Stream>),
    File(Arc<File>),
    /// The stream of a connection.
    Connection(Arc<Connection>),
    /// The stream of a socket for datagrams.
    Socket(Arc<Socket>),
    Lookup(Arc<Lookup>),
}

impl Waitable {
    pub(super) fn as_host(&self) -> host::Pollable<'_> {
        match self {
            Waitable::Stream(stream) => host::Pollable::Stream(stream),
            Waitable::File(file) => host::Pollable::File(file),
            Waitable::Connection(connection) => host::Pollable::Socket(&connection.socket),
            Waitable::Socket(socket) => host::Pollable::Socket(socket),
            Waitable::Lookup(lookup) => host::Pollable::Lookup(lookup),
        }
    }
}

impl Held for Pollable {
    const NAME: &'static str = "wasi:io/poll pollable";
}

/// What the host holds of one pollable during a wait, about.
const COST_BYTES: u64 = 128;

pub(super) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:io/poll", context)?
        .resource::<Pollable>("pollable")
        .waiting::<(Borrowed<'_, Pollable>,), bool>("[method]pollable.ready", ready)
        .waiting::<(Borrowed<'_, Pollable>,), ()>("[method]pollable.block", block)
        .waiting::<(Vec<Borrowed<'_, Pollable>>,), Vec<u32>>("poll", poll);
    Ok(())
}

async fn ready(cx: &mut Context, (pollable,): (Borrowed<'_, Pollable>,)) -> Result<bool, Error> {
    let ready = wait(cx, &[pollable], Some(Duration::ZERO)).await?;
    Ok(!ready.is_empty())
}

async fn block(cx: &mut Context, (pollable,): (Borrowed<'_, Pollable>,)) -> Result<(), Error> {
    wait(cx, &[pollable], None).await.map(drop)
}

async fn poll(cx: &mut Context, (pollables,): (Vec<Borrowed<'_, Pollable>>,)) -> Result<Vec<u32>, Error> {
    if pollables.is_empty() {
        return Err(Misuse::new("`poll` was given an empty list, and would never return").into());
    }
    wait(cx, &pollables, None).await
}

/// Waits until something is ready, but no longer than `at_most`; gives the numbers of what is.
async fn wait(
    cx: &mut Context,
    pollables: &[Borrowed<'_, Pollable>],
    at_most: Option<Duration>,
) -> Result<Vec<u32>, Error> {
    let limit = cx.host.limits().max_interests;
    if pollables.len() > limit as usize {
        let count = pollables.len();
        return Err(Error::limit(format!(
            "`poll` was given {count} pollables, and {limit} may be waited for"
        )));
    }
    let _charge = cx.host.budget().hold(BudgetKind::Buffer, pollables.len() as u64 * COST_BYTES)?;
    let pollables: Vec<&Pollable> =
        pollables.iter().map(|pollable| cx.table.get(*pollable)).collect::<Result<_, _>>()?;
    let mut interests = Vec::new();
    let mut soonest: Option<Duration> = None;
    for pollable in &pollables {
        let time = match pollable {
            Pollable::Always => Some(Duration::ZERO),
            Pollable::At(time) => Some(*time),
            Pollable::Ready(on, direction) => {
                interests.push(Interest { on: on.as_host(), direction: *direction });
                None
            }
            Pollable::Progress(connection) => {
                let socket = &connection.socket;
                // Only now: it may have begun to listen since it was subscribed to.
                let direction = match socket.kind() {
                    SocketKind::Listener => Direction::Read,
                    _ => Direction::Write,
                };
                interests.push(Interest { on: host::Pollable::Socket(socket), direction });
                None
            }
        };
        soonest = [soonest, time].into_iter().flatten().min();
    }
    let failed = |error| match error {
        host::Error::Interrupted => interrupted(),
        error => Error::from_host(error),
    };
    let left = match soonest {
        Some(soonest) => Some(soonest.saturating_sub(cx.host.now(Clock::Monotonic).map_err(failed)?)),
        None => None,
    };
    let timeout = [left, at_most].into_iter().flatten().min();
    let answers = cx.host.wait(&WaitRequest { interests: &interests, timeout }).await.map_err(failed)?;
    let mut now = match soonest {
        Some(_) => cx.host.now(Clock::Monotonic).map_err(failed)?,
        None => Duration::ZERO,
    };
    if timeout == left && !answers.iter().any(|answer| answer.ready) {
        // The wait has ended, so the soonest time has come, however coarse the clock.
        now = now.max(soonest.unwrap_or_default());
    }
    let mut answers = answers.iter();
    let is_ready = |pollable: &&Pollable| match pollable {
        Pollable::Always => true,
        Pollable::At(time) => *time <= now,
        // One whose other end is gone can be read to its end, or written to in vain, at once.
        Pollable::Ready(..) | Pollable::Progress(_) => {
            answers.next().is_some_and(|answer| answer.ready || answer.hangup)
        }
    };
    let ready: Vec<bool> = pollables.iter().map(is_ready).collect();
    Ok((0..).zip(ready).filter(|(_, is_ready)| *is_ready).map(|(index, _)| index).collect())
}
