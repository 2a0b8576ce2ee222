//! `wasi:io/poll`: waiting for several things at once.
//!
//! A pollable is a time, or the readiness of a handle of the host's: it takes no thread, and nothing happens before it is polled. However many are polled, that is one wait of
//! the host's, which the store's deadline ends.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use innkeeper_component::{Borrowed, Linker, Resource};
use innkeeper_engine::{BudgetKind, Error};

use super::context::Context;
use super::custom::Event;
use super::interface::{FindContext, Interface};
use super::misuse::{Misuse, interrupted};
use super::sockets::{Connection, TcpSocket};
use super::table::Held;
use crate::host::{
    self, Clock, Direction, File, Host, Interest, Lookup, Readiness, Socket, Stream, WaitRequest,
};

/// `wasi:io/poll.pollable`: something to wait for.
#[derive(Debug)]
pub struct Pollable(Awaited);

/// What a `pollable` waits for.
#[derive(Debug)]
enum Awaited {
    /// Nothing: it is ready.
    Always,
    /// That the monotonic clock shows this time.
    At(Duration),
    /// That a handle can be read from or written to without waiting.
    Ready(Waitable, Direction),
    /// That what a TCP socket is about to do can be finished, which depends on its state at the time: it is the resource of this number, which is not dropped before the pollable.
    Progress(u32),
    /// That something has happened which is nothing of the system's.
    Event(Arc<dyn Event>),
}

impl Pollable {
    /// One that waits for an event.
    #[must_use]
    pub fn event(event: Arc<dyn Event>) -> Pollable {
        Pollable(Awaited::Event(event))
    }

    /// One that is ready.
    #[must_use]
    pub fn always() -> Pollable {
        Pollable(Awaited::Always)
    }

    /// One that waits until the monotonic clock shows this time.
    pub(crate) fn at(time: Duration) -> Pollable {
        Pollable(Awaited::At(time))
    }

    pub(crate) fn ready(on: Waitable, direction: Direction) -> Pollable {
        Pollable(Awaited::Ready(on, direction))
    }

    pub(crate) fn progress(socket: Borrowed<'_, TcpSocket>) -> Pollable {
        Pollable(Awaited::Progress(socket.rep()))
    }
}

/// A handle of the host's, shared with the resource that it was subscribed to.
#[derive(Clone, Debug)]
pub(crate) enum Waitable {
    Stream(Arc<Stream>),
    File(Arc<File>),
    /// The stream of a connection.
    Connection(Arc<Connection>),
    /// The stream of a socket for datagrams.
    Socket(Arc<Socket>),
    Lookup(Arc<Lookup>),
}

impl Waitable {
    pub(crate) fn as_host(&self) -> host::Pollable<'_> {
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

pub(crate) fn bind<T: Send + 'static>(
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

/// What tells whether a pollable is ready.
#[derive(Clone, Copy, Debug)]
enum ToldBy {
    /// The monotonic clock, when it shows this time.
    Time(Duration),
    /// The next of the events.
    Event,
    /// The next of the host's answers.
    Answer,
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
    let mut events: Vec<&dyn Event> = Vec::new();
    let mut interests = Vec::new();
    let mut told = Vec::with_capacity(pollables.len());
    for pollable in pollables {
        told.push(match &cx.table.get(*pollable)?.0 {
            Awaited::Always => ToldBy::Time(Duration::ZERO),
            Awaited::At(time) => ToldBy::Time(*time),
            Awaited::Event(event) => {
                events.push(&**event);
                ToldBy::Event
            }
            Awaited::Ready(on, direction) => {
                interests.push(Interest { on: on.as_host(), direction: *direction });
                ToldBy::Answer
            }
            // Only now: its state may have changed since it was subscribed to.
            Awaited::Progress(socket) => {
                let socket = Resource::<TcpSocket>::new(*socket);
                match cx.table.get(socket.borrow())?.awaits() {
                    Some((socket, direction)) => {
                        interests.push(Interest { on: host::Pollable::Socket(socket), direction });
                        ToldBy::Answer
                    }
                    None => ToldBy::Time(Duration::ZERO),
                }
            }
        });
    }
    let time = |told: &ToldBy| if let ToldBy::Time(time) = told { Some(*time) } else { None };
    let soonest = told.iter().filter_map(time).min();
    let failed = |error| match error {
        host::Error::Interrupted => interrupted(),
        error => Error::from_host(error),
    };
    let left = match soonest {
        Some(soonest) => Some(soonest.saturating_sub(cx.host.now(Clock::Monotonic).map_err(failed)?)),
        None => None,
    };
    let timeout = [left, at_most].into_iter().flatten().min();
    let request = WaitRequest { interests: &interests, timeout };
    let (happened, answers) = match events.is_empty() {
        true => (Vec::new(), cx.host.wait(&request).await.map_err(failed)?),
        false => wait_beside(&cx.host, &events, &request).await.map_err(failed)?,
    };
    let is_any_ready = happened.contains(&true) || answers.iter().any(|answer| answer.ready);
    let mut now = match soonest {
        Some(_) => cx.host.now(Clock::Monotonic).map_err(failed)?,
        None => Duration::ZERO,
    };
    if timeout == left && !is_any_ready {
        // The wait has ended, so the soonest time has come, however coarse the clock.
        now = now.max(soonest.unwrap_or_default());
    }
    let (mut answers, mut happened) = (answers.iter(), happened.into_iter());
    let is_ready = |told: &ToldBy| match told {
        ToldBy::Time(time) => *time <= now,
        ToldBy::Event => happened.next().is_some_and(|has_happened| has_happened),
        // One whose other end is gone can be read to its end, or written to in vain, at once.
        ToldBy::Answer => answers.next().is_some_and(|answer| answer.ready || answer.hangup),
    };
    let ready: Vec<bool> = told.iter().map(is_ready).collect();
    Ok((0..).zip(ready).filter(|(_, is_ready)| *is_ready).map(|(index, _)| index).collect())
}

/// Waits for the host's handles and for events together. Gives which of the events have happened, and what came of the rest.
async fn wait_beside(
    host: &Host,
    events: &[&dyn Event],
    request: &WaitRequest<'_>,
) -> Result<(Vec<bool>, Vec<Readiness>), host::Error> {
    let at_once = WaitRequest { timeout: Some(Duration::ZERO), ..*request };
    let look = |task: &mut task::Context<'_>| -> Vec<bool> {
        events.iter().map(|event| event.poll_ready(task).is_ready()).collect()
    };
    let mut happened = poll_fn(|task| Poll::Ready(look(task))).await;
    if happened.contains(&true) || request.timeout == Some(Duration::ZERO) {
        return Ok((happened, host.wait(&at_once).await?));
    }
    let answers = {
        let suspending = host.suspending();
        let mut waiting = pin!(suspending.wait(request));
        let race = |task: &mut task::Context<'_>| {
            happened = look(task);
            match happened.contains(&true) {
                true => Poll::Ready(Ok(None)),
                false => waiting.as_mut().poll(task).map(|answers| answers.map(Some)),
            }
        };
        host.until(race).await??
    };
    match answers {
        Some(answers) => Ok((happened, answers)),
        None => Ok((happened, host.wait(&at_once).await?)),
    }
}
