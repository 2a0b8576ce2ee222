//! Taking times: the thread's own, which other processes on the machine lengthen less than the wall clock's.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// CPU time that this thread has used.
pub(crate) fn now() -> Result<Duration, String> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.map(Duration::from).map_err(|error| format!("the thread's clock: {error}"))
}

/// The shortest of `tries` runs of `work`, and what the last run gave.
pub(crate) fn best<T>(
    tries: usize,
    mut work: impl FnMut() -> Result<T, String>,
) -> Result<(Duration, T), String> {
    let mut timed = || {
        let start = now()?;
        let made = work()?;
        Ok::<_, String>((now()?.saturating_sub(start), made))
    };
    let (mut shortest, mut made) = timed()?;
    for _ in 1..tries {
        let (time, next) = timed()?;
        shortest = shortest.min(time);
        made = next;
    }
    Ok((shortest, made))
}

/// Megabytes (10^6 bytes) per second.
pub(crate) fn speed(bytes: usize, time: Duration) -> String {
    format!("{:.1} MB/s", bytes as f64 / 1e6 / time.as_secs_f64())
}

/// Nanoseconds of one of `count` calls.
pub(crate) fn each(count: u32, time: Duration) -> String {
    format!("{:.1} ns", time.as_secs_f64() * 1e9 / f64::from(count))
}

pub(crate) fn micros(time: Duration) -> String {
    format!("{:.1} us", time.as_secs_f64() * 1e6)
}
