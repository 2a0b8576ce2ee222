//! Instructions whose length a guest chooses, in portions: between two of them whoever wants the guest to stop is heard.
//!
//! Must stay true: no instruction works longer than for one portion without [`heed_stop`], also where many stand in a row without a loop:
//! each heeds a stop at its own end, too. What an instruction has done when it stops stays done, as after any trap in its middle that the
//! specification allows for; bounds are checked for the whole before the first portion.

use std::ops::Range;
use std::sync::atomic::Ordering;

use super::{VmContext, VmStore};
use crate::trap::Trap;

/// As many bytes are written in a few milliseconds at most, also where the system has to find memory for each page of them.
pub(crate) const PORTION_BYTES: usize = 1 << 20;

/// The portions of `len` elements of `unit_bytes` each, which is a power of two, in order.
#[inline]
pub(crate) fn portions(len: usize, unit_bytes: usize) -> impl Iterator<Item = Range<usize>> {
    let count = PORTION_BYTES >> unit_bytes.trailing_zeros();
    let mut start = 0;
    std::iter::from_fn(move || {
        let portion = start..len.min(start + count);
        start = portion.end;
        (!portion.is_empty()).then_some(portion)
    })
}

/// Whether `len` elements of `unit_bytes` each are one portion: nearly always, so that operations on few elements do without a loop.
#[inline(always)]
pub(crate) fn is_one_portion(len: usize, unit_bytes: usize) -> bool {
    len <= PORTION_BYTES >> unit_bytes.trailing_zeros()
}

/// As [`portions`], from the end where `order` says so.
#[inline]
pub(crate) fn portions_towards(
    len: usize,
    unit_bytes: usize,
    order: Order,
) -> impl Iterator<Item = Range<usize>> {
    portions(len, unit_bytes).map(move |portion| match order {
        Order::Forwards => portion,
        Order::Backwards => len - portion.end..len - portion.start,
    })
}

/// Where a copy begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// At the start.
    Forwards,
    /// At the end, where the source would otherwise be overwritten before it is read.
    Backwards,
}

impl Order {
    /// The order in which ranges that start at `from` and `to`, perhaps of the same thing, can be copied in portions.
    pub(crate) fn of_copy(to: u64, from: u64) -> Order {
        if to > from { Order::Backwards } else { Order::Forwards }
    }
}

/// Traps where somebody wants the guest to stop. Whoever wants a sample of its stack waits for its next loop or call.
///
/// # Errors
/// [`Trap::Interrupted`], [`Trap::DeadlineExceeded`].
///
/// # Safety
/// See the parent module's documentation.
#[inline(always)]
pub(crate) unsafe fn heed_stop(ctx: *mut VmContext) -> Result<(), Trap> {
    // SAFETY: as the caller promises.
    unsafe { heed_stop_in((*ctx).store) }
}

/// As `heed_stop`, by the record of the store: for the search among very many frames.
///
/// # Errors
/// [`Trap::Interrupted`], [`Trap::DeadlineExceeded`].
///
/// # Safety
/// `vm` is the record of a store that the running activation has exclusive use of.
#[inline(always)]
pub unsafe fn heed_stop_in(vm: *mut VmStore) -> Result<(), Trap> {
    // SAFETY: as the caller promises.
    unsafe {
        match (*vm).stack_limit.load(Ordering::Relaxed).is_null() {
            true => stop_if_asked(vm),
            false => Ok(()),
        }
    }
}

/// # Safety
/// As [`heed_stop_in`].
#[cold]
#[inline(never)]
unsafe fn stop_if_asked(vm: *mut VmStore) -> Result<(), Trap> {
    // SAFETY: as the caller promises: `core` was set by the call that this activation is in. Nothing but its record is borrowed, whatever else of it
    // the instruction works on.
    unsafe { (*(*vm).core).record.stop_if_asked() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn portions_cover_everything_once() {
        for (len, unit) in [
            (0, 8),
            (1, 1),
            (PORTION_BYTES, 1),
            (3 * PORTION_BYTES + 5, 1),
            (PORTION_BYTES, 16),
            (PORTION_BYTES / 8 + 1, 8),
        ] {
            for order in [Order::Forwards, Order::Backwards] {
                let mut all: Vec<_> = portions_towards(len, unit, order).collect();
                if order == Order::Backwards {
                    all.reverse();
                }
                assert_eq!(all.iter().map(Range::len).sum::<usize>(), len);
                assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start), "{all:?}");
                assert!(all.iter().all(|portion| portion.len() * unit <= PORTION_BYTES));
            }
        }
    }
}
