//! Taking times.

use std::time::{Duration, Instant};

/// The shortest of `tries` runs of `work`, and what the last run gave.
pub(crate) fn best<T>(
    tries: usize,
    mut work: impl FnMut() -> Result<T, String>,
) -> Result<(Duration, T), String> {
    let mut timed = || {
        let start = Instant::now();
        work().map(|made| (start.elapsed(), made))
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
