//! Clocks.

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer};
use super::types;

/// Writes the smallest step of a clock, in nanoseconds.
///
/// # Errors
/// `inval` for an unknown clock, `fault`.
///
/// Specification: `clock_res_get`.
pub(super) fn clock_res_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    id: u32,
    resolution: Pointer,
) -> Result<(), Errno> {
    let step = cx.host.resolution(types::clock(id)?)?;
    memory.write_u64(resolution, nanoseconds(step))
}

/// Writes a clock's reading, in nanoseconds. `precision` is a hint and not needed: every reading is as precise as the host's.
///
/// # Errors
/// `inval` for an unknown clock, `fault`.
///
/// Specification: `clock_time_get`.
pub(super) fn clock_time_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    id: u32,
    _precision: u64,
    time: Pointer,
) -> Result<(), Errno> {
    let now = cx.host.now(types::clock(id)?)?;
    memory.write_u64(time, nanoseconds(now))
}

fn nanoseconds(time: std::time::Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}
