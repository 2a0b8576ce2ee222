//! Work whose length a guest chooses, cut into portions: between two of them whoever wants the guest to stop is heard.
//!
//! Must stay true: portions cover everything once. This file only counts; who is asked between portions is in [`crate::runtime`].

use std::ops::Range;

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
