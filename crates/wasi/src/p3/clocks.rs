//! `wasi:clocks`: what time it is, and waiting until a time has come. The zone of all times is UTC, of which a guest can see nothing: `timezone` is not stable yet, and is not bound.

use std::time::Duration;

use innkeeper_component::{ComponentType, Lift, Linker, Lower};
use innkeeper_engine::Error;

use super::interface::{Beside, Interface};
use crate::host::{self, Clock, Timestamp, WaitRequest};
use crate::p2::clocks::nanoseconds;
use crate::p2::interface::FindContext;
use crate::p2::misuse::interrupted;

/// `wasi:clocks/system-clock.instant`: a time since the beginning of 1970, or before it.
#[derive(Clone, Copy, Debug, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
pub(super) struct Instant {
    seconds: i64,
    nanoseconds: u32,
}

impl From<Duration> for Instant {
    fn from(time: Duration) -> Instant {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        Instant { seconds, nanoseconds: time.subsec_nanos() }
    }
}

impl From<Timestamp> for Instant {
    fn from(time: Timestamp) -> Instant {
        Instant { seconds: time.seconds(), nanoseconds: time.nanoseconds() }
    }
}

impl Instant {
    /// The time for the host; none where it is no time.
    pub(super) fn timestamp(self) -> Option<Timestamp> {
        (self.nanoseconds < 1_000_000_000).then(|| Timestamp::new(self.seconds, self.nanoseconds))
    }
}

pub(super) fn bind<T: Send + 'static, F: FindContext<T>>(
    linker: &mut Linker<T>,
    context: F,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:clocks/types", context)?;
    Interface::new(linker, "wasi:clocks/monotonic-clock", context)?
        .func::<(), u64>("now", |cx, ()| Ok(nanoseconds(cx.host.now(Clock::Monotonic)?)))
        .func::<(), u64>("get-resolution", |cx, ()| Ok(nanoseconds(cx.host.resolution(Clock::Monotonic)?)))
        .beside::<(u64,), (), _>("wait-until", |beside: Beside<T, F>, (when,)| async move {
            let host = beside.host().await;
            wait_until(&host, Duration::from_nanos(when)).await
        })
        .beside::<(u64,), (), _>("wait-for", |beside: Beside<T, F>, (how_long,)| async move {
            let host = beside.host().await;
            let now = host.now(Clock::Monotonic)?;
            wait_until(&host, now.saturating_add(Duration::from_nanos(how_long))).await
        });
    Interface::new(linker, "wasi:clocks/system-clock", context)?
        .func::<(), Instant>("now", |cx, ()| Ok(cx.host.now(Clock::Realtime)?.into()))
        .func::<(), u64>("get-resolution", |cx, ()| Ok(nanoseconds(cx.host.resolution(Clock::Realtime)?)));
    Ok(())
}

/// Waits until the monotonic clock shows a time; one that stands still is not waited for again.
async fn wait_until(host: &host::Host, when: Duration) -> Result<(), Error> {
    loop {
        let now = host.now(Clock::Monotonic)?;
        let left = when.saturating_sub(now);
        if left.is_zero() {
            return Ok(());
        }
        match host.wait(&WaitRequest { interests: &[], timeout: Some(left) }).await {
            Ok(_) if host.now(Clock::Monotonic)? == now => return Ok(()),
            Ok(_) => {}
            Err(host::Error::Interrupted) => return Err(interrupted()),
            Err(error) => return Err(Error::from_host(error)),
        }
    }
}
