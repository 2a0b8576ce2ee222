//! Whether whoever started this process has had it ignore a signal, on Linux.

/// Whether a signal is ignored.
pub(super) fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: of integers, flags and an address that is not used, all of which may be 0.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action the call only writes the present one, to a place that lives as long as the call.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}
