//! `wasi:clocks`: what time it is, and when a time has come.

use std::time::Duration;

use innkeeper_component::{ComponentType, Lift, Linker, Lower, Resource};
use innkeeper_engine::Error;

use super::context::Context;
use super::interface::{FindContext, Interface};
use super::poll::Pollable;
use crate::host::{Clock, Timestamp};

/// `wasi:clocks/wall-clock.datetime`: a time since the beginning of 1970.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub(crate) struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

impl From<Duration> for Datetime {
    fn from(time: Duration) -> Datetime {
        Datetime { seconds: time.as_secs(), nanoseconds: time.subsec_nanos() }
    }
}

/// Times before 1970 cannot be told, and are told as its beginning.
impl From<Timestamp> for Datetime {
    fn from(time: Timestamp) -> Datetime {
        match u64::try_from(time.seconds()) {
            Ok(seconds) => Datetime { seconds, nanoseconds: time.nanoseconds() },
            Err(_) => Datetime { seconds: 0, nanoseconds: 0 },
        }
    }
}

impl Datetime {
    /// The time for the host; none where it is no time.
    pub(crate) fn timestamp(self) -> Option<Timestamp> {
        let seconds = i64::try_from(self.seconds).ok()?;
        (self.nanoseconds < 1_000_000_000).then(|| Timestamp::new(seconds, self.nanoseconds))
    }
}

pub(crate) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:clocks/monotonic-clock", context)?
        .func::<(), u64>("now", |cx, ()| Ok(nanoseconds(cx.host.now(Clock::Monotonic)?)))
        .func::<(), u64>("resolution", |cx, ()| Ok(nanoseconds(cx.host.resolution(Clock::Monotonic)?)))
        .func::<(u64,), Resource<Pollable>>("subscribe-instant", |cx, (when,)| {
            Ok(cx.push(Pollable::at(Duration::from_nanos(when)))?)
        })
        .func::<(u64,), Resource<Pollable>>("subscribe-duration", subscribe_duration);
    Interface::new(linker, "wasi:clocks/wall-clock", context)?
        .func::<(), Datetime>("now", |cx, ()| Ok(cx.host.now(Clock::Realtime)?.into()))
        .func::<(), Datetime>("resolution", |cx, ()| Ok(cx.host.resolution(Clock::Realtime)?.into()));
    Ok(())
}

/// A duration begins when it is subscribed to, not when it is polled.
fn subscribe_duration(cx: &mut Context, (duration,): (u64,)) -> Result<Resource<Pollable>, Error> {
    if duration == 0 {
        return Ok(cx.push(Pollable::always())?);
    }
    let when = cx.host.now(Clock::Monotonic)?.saturating_add(Duration::from_nanos(duration));
    Ok(cx.push(Pollable::at(when))?)
}

pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
