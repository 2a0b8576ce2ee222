//! The process: exit, signals, the scheduler.

use super::context::Context;
use super::errno::Errno;
use super::memory::GuestMemory;
use crate::exit::Exit;

/// Ends the guest with this exit code. The caller unwinds it.
///
/// Specification: `proc_exit`.
pub(super) fn proc_exit(_cx: &mut Context, _memory: &mut GuestMemory<'_>, code: u32) -> Exit {
    Exit(code)
}

/// Would send a signal to the guest itself.
///
/// # Errors
/// Always `notsup`: there are no signals, as in other hosts.
///
/// Specification: `proc_raise`.
pub(super) fn proc_raise(
    _cx: &mut Context,
    _memory: &mut GuestMemory<'_>,
    _signal: u32,
) -> Result<(), Errno> {
    Err(Errno::NotSup)
}

/// Gives the remaining time slice away.
///
/// # Errors
/// None at present.
///
/// Specification: `sched_yield`.
pub(super) fn sched_yield(cx: &mut Context, _memory: &mut GuestMemory<'_>) -> Result<(), Errno> {
    Ok(cx.host.yield_now()?)
}
