//! Waiting for several things at once.
//!
//! Subscriptions are copied before anything is written, so the two arrays may overlap. Every subscription that has occurred is reported,
//! also if several have the same user data.

use std::sync::Arc;
use std::time::Duration;

use innkeeper_engine::BudgetKind;

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer, element};
use super::rights::Rights;
use super::table::{Entry, Fd, Object};
use super::types::{self, SubClockFlags};
use crate::host::{Clock, Direction, Interest, Pollable, Readiness, WaitRequest};

/// Bytes of an `event`.
const EVENT_BYTES: u32 = 32;

/// What the host keeps of a subscription while it waits: the subscription, the interest in a descriptor, the answer.
const SUBSCRIPTION_COST_BYTES: u64 = 192;

/// Where the fields of a `subscription` lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) size: u32,
    pub(super) clock_id: u32,
    pub(super) clock_timeout: u32,
    pub(super) clock_flags: u32,
}

const LAYOUT: Layout = Layout { size: 48, clock_id: 16, clock_timeout: 24, clock_flags: 40 };

/// One subscription.
#[derive(Debug)]
struct Subscription {
    userdata: u64,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    /// Time to pass: what is left of it, or why it cannot be waited for.
    Time(Result<Duration, Errno>),
    Readiness(Arc<Entry>, Direction),
}

/// Waits until at least one of the subscriptions has occurred, writes an event for each that has, and their number.
///
/// A clock of processor time does not advance while the guest waits: such a subscription is reported at once, with
/// `notsup` unless its time is over. An absolute time of the real-time clock is turned into a duration when the wait begins.
///
/// # Errors
/// `inval` for no subscription, more than the limit, or a malformed one; `nomem` if the guest's budget has no room for them; `badf` if a descriptor is not open
/// or cannot be read or written; `notcapable`; `fault`; `intr`.
///
/// Specification: `poll_oneoff`.
pub(super) async fn poll_oneoff(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    subscriptions: Pointer,
    events: Pointer,
    count: u32,
    nevents: Pointer,
) -> Result<(), Errno> {
    poll_with_layout(cx, memory, Arrays { subscriptions, events, count, nevents }, LAYOUT).await
}

/// Where the arrays of a call lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrays {
    pub(super) subscriptions: Pointer,
    pub(super) events: Pointer,
    pub(super) count: u32,
    pub(super) nevents: Pointer,
}

/// [`poll_oneoff`] for any layout of subscriptions.
pub(super) async fn poll_with_layout(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    arrays: Arrays,
    layout: Layout,
) -> Result<(), Errno> {
    if arrays.count == 0 || arrays.count > cx.host.limits().max_interests {
        return Err(Errno::Inval);
    }
    memory.check(arrays.subscriptions, u64::from(arrays.count) * u64::from(layout.size))?;
    memory.check(arrays.events, u64::from(arrays.count) * u64::from(EVENT_BYTES))?;
    memory.check(arrays.nevents, 4)?;
    let cost_bytes = u64::from(arrays.count) * SUBSCRIPTION_COST_BYTES;
    let _charge = cx.host.budget().hold(BudgetKind::Buffer, cost_bytes).map_err(|_| Errno::NoMem)?;
    let subscriptions = (0..arrays.count)
        .map(|index| subscription(cx, memory, element(arrays.subscriptions, index, layout.size)?, layout))
        .collect::<Result<Vec<_>, Errno>>()?;
    let answers = wait(cx, &subscriptions).await?;
    let mut written = 0;
    for (subscription, answer) in subscriptions.iter().zip(answers) {
        if let Some(answer) = answer {
            memory.write(element(arrays.events, written, EVENT_BYTES)?, &event(subscription, answer))?;
            written += 1;
        }
    }
    memory.write_u32(arrays.nevents, written)
}

/// Reads one subscription and checks it.
fn subscription(
    cx: &Context,
    memory: &GuestMemory<'_>,
    at: Pointer,
    layout: Layout,
) -> Result<Subscription, Errno> {
    let field = |offset| element(at, 1, offset);
    let userdata = u64::from_le_bytes(memory.read(at)?);
    let [tag] = memory.read(field(8)?)?;
    let wanted = match tag {
        0 => {
            let clock = types::clock(memory.read_u32(field(layout.clock_id)?)?)?;
            let timeout = u64::from_le_bytes(memory.read(field(layout.clock_timeout)?)?);
            let flags = u16::from_le_bytes(memory.read(field(layout.clock_flags)?)?);
            Wanted::Time(time_left(cx, clock, timeout, SubClockFlags::from_bits(flags.into())?)?)
        }
        1 => readiness(cx, Fd(memory.read_u32(field(16)?)?), Direction::Read)?,
        2 => readiness(cx, Fd(memory.read_u32(field(16)?)?), Direction::Write)?,
        _ => return Err(Errno::Inval),
    };
    Ok(Subscription { userdata, wanted })
}

/// How long until the clock shows the time; the inner error is reported as an event.
fn time_left(
    cx: &Context,
    clock: Clock,
    timeout_ns: u64,
    flags: SubClockFlags,
) -> Result<Result<Duration, Errno>, Errno> {
    let timeout = Duration::from_nanos(timeout_ns);
    let left = if flags.contains(SubClockFlags::ABSTIME) {
        timeout.saturating_sub(cx.host.now(clock)?)
    } else {
        timeout
    };
    let stands_still = matches!(clock, Clock::ProcessCpu | Clock::ThreadCpu);
    Ok(if stands_still && left > Duration::ZERO { Err(Errno::NotSup) } else { Ok(left) })
}

/// A wait for a descriptor that may be waited for.
fn readiness(cx: &Context, fd: Fd, direction: Direction) -> Result<Wanted, Errno> {
    let entry = cx.table.get(fd)?;
    pollable(&entry)?;
    entry.require(match direction {
        Direction::Read => Rights::FD_READ,
        Direction::Write => Rights::FD_WRITE,
    })?;
    entry.require(Rights::POLL_FD_READWRITE)?;
    Ok(Wanted::Readiness(entry, direction))
}

fn pollable(entry: &Entry) -> Result<Pollable<'_>, Errno> {
    match &entry.object {
        Object::File(file) => Ok(Pollable::File(file)),
        Object::Stream(stream) => Ok(Pollable::Stream(stream)),
        Object::Socket(socket) => Ok(Pollable::Socket(socket)),
        Object::Directory(_) => Err(Errno::Badf),
    }
}

/// Waits, and answers for each subscription that has occurred.
async fn wait(
    cx: &Context,
    subscriptions: &[Subscription],
) -> Result<Vec<Option<Result<Readiness, Errno>>>, Errno> {
    let mut interests = Vec::new();
    let mut shortest = None;
    for subscription in subscriptions {
        match &subscription.wanted {
            Wanted::Readiness(entry, direction) => {
                interests.push(Interest { on: pollable(entry)?, direction: *direction });
            }
            Wanted::Time(left) => {
                let left = left.unwrap_or(Duration::ZERO);
                shortest = Some(shortest.map_or(left, |shortest: Duration| shortest.min(left)));
            }
        }
    }
    let begin = cx.host.now(Clock::Monotonic)?;
    let readiness = cx.host.wait(&WaitRequest { interests: &interests, timeout: shortest }).await?;
    let mut passed = cx.host.now(Clock::Monotonic)?.saturating_sub(begin);
    if !readiness.iter().any(|readiness| readiness.ready) {
        // The wait ended, so the shortest time is over, however coarse the clock.
        passed = passed.max(shortest.unwrap_or_default());
    }
    let mut readiness = readiness.into_iter();
    let answer = |subscription: &Subscription| match &subscription.wanted {
        Wanted::Readiness(..) => readiness.next().filter(|readiness| readiness.ready).map(Ok),
        Wanted::Time(Err(errno)) => Some(Err(*errno)),
        Wanted::Time(Ok(left)) => (*left <= passed).then(|| Ok(Readiness::default())),
    };
    Ok(subscriptions.iter().map(answer).collect())
}

/// An `event` as it looks in memory.
fn event(subscription: &Subscription, answer: Result<Readiness, Errno>) -> [u8; EVENT_BYTES as usize] {
    let mut bytes = [0; EVENT_BYTES as usize];
    bytes[0..8].copy_from_slice(&subscription.userdata.to_le_bytes());
    let error = answer.err().map_or(0, |errno| errno as u16);
    bytes[8..10].copy_from_slice(&error.to_le_bytes());
    bytes[10] = match subscription.wanted {
        Wanted::Time(_) => 0,
        Wanted::Readiness(_, Direction::Read) => 1,
        Wanted::Readiness(_, Direction::Write) => 2,
    };
    let readiness = answer.unwrap_or_default();
    bytes[16..24].copy_from_slice(&readiness.readable_bytes.to_le_bytes());
    bytes[24] = u8::from(readiness.hangup);
    bytes
}
