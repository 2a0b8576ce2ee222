//! What atomic instructions do to a memory cell (threads proposal, "Atomic Memory Accesses"): one function an operation, for all tiers.
//!
//! All accesses are sequentially consistent. Cells hold little-endian numbers, as all of linear memory does.
//!
//! # Safety
//! All functions share one contract: `cell` points to as many bytes of a linear memory as the type has, at an address that is a
//! multiple of that.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::SeqCst};

macro_rules! cells {
    ($($(#[$doc:meta])* $module:ident $number:ident $atomic:ident;)*) => {$(
        $(#[$doc])*
        pub mod $module {
            use super::*;

            /// The value.
            ///
            /// # Safety
            /// See the parent module's documentation.
            #[inline(always)]
            #[must_use]
            pub unsafe fn load(cell: *mut $number) -> $number {
                // SAFETY: the cell lies in a shared memory, which never moves, and is aligned: `runtime/atomic.rs` and the handlers of `op/atomic.rs` have checked
                // both before they ask.
                $number::from_le(unsafe { $atomic::from_ptr(cell) }.load(SeqCst))
            }

            /// Replaces the value.
            ///
            /// # Safety
            /// See the parent module's documentation.
            #[inline(always)]
            pub unsafe fn store(cell: *mut $number, value: $number) {
                // SAFETY: the cell lies in a shared memory, which never moves, and is aligned: `runtime/atomic.rs` and the handlers of `op/atomic.rs` have checked
                // both before they ask.
                unsafe { $atomic::from_ptr(cell) }.store(value.to_le(), SeqCst);
            }

            /// Replaces the value by `replacement` if it is `expected`; gives what it was.
            ///
            /// # Safety
            /// See the parent module's documentation.
            #[inline(always)]
            #[must_use]
            pub unsafe fn cmpxchg(cell: *mut $number, expected: $number, replacement: $number) -> $number {
                // SAFETY: the cell lies in a shared memory, which never moves, and is aligned: `runtime/atomic.rs` and the handlers of `op/atomic.rs` have checked
                // both before they ask.
                let cell = unsafe { $atomic::from_ptr(cell) };
                let outcome = cell.compare_exchange(expected.to_le(), replacement.to_le(), SeqCst, SeqCst);
                $number::from_le(outcome.unwrap_or_else(|found| found))
            }

            // Bitwise operations do not mind the order of bytes.
            cells!(@bitwise $number $atomic: and fetch_and "Ands", or fetch_or "Ors", xor fetch_xor "Xors", xchg swap "Replaces it by");
            cells!(@sum $number $atomic: add fetch_add wrapping_add "Adds", sub fetch_sub wrapping_sub "Subtracts");
        }
    )*};
    (@bitwise $number:ident $atomic:ident: $($name:ident $fetch:ident $doc:literal),*) => {$(
        #[doc = concat!($doc, " `value`; gives what the cell held before.")]
        ///
        /// # Safety
        /// See the parent module's documentation.
        #[inline(always)]
        pub unsafe fn $name(cell: *mut $number, value: $number) -> $number {
            // SAFETY: the cell lies in a shared memory, which never moves, and is aligned: `runtime/atomic.rs` and the handlers of `op/atomic.rs` have checked both
            // before they ask.
            $number::from_le(unsafe { $atomic::from_ptr(cell) }.$fetch(value.to_le(), SeqCst))
        }
    )*};
    (@sum $number:ident $atomic:ident: $($name:ident $fetch:ident $wrapping:ident $doc:literal),*) => {$(
        #[doc = concat!($doc, " `value`; gives what the cell held before.")]
        ///
        /// # Safety
        /// See the parent module's documentation.
        #[inline(always)]
        pub unsafe fn $name(cell: *mut $number, value: $number) -> $number {
            // SAFETY: the cell lies in a shared memory, which never moves, and is aligned: `runtime/atomic.rs` and the handlers of `op/atomic.rs` have checked both
            // before they ask.
            let cell = unsafe { $atomic::from_ptr(cell) };
            if cfg!(target_endian = "little") {
                return cell.$fetch(value, SeqCst);
            }
            let sum = |old| Some($number::from_le(old).$wrapping(value).to_le());
            $number::from_le(cell.fetch_update(SeqCst, SeqCst, sum).unwrap_or_else(|found| found))
        }
    )*};
}

cells! {
    /// Cells of one byte.
    u8 u8 AtomicU8;
    /// Cells of two bytes.
    u16 u16 AtomicU16;
    /// Cells of four bytes.
    u32 u32 AtomicU32;
    /// Cells of eight bytes.
    u64 u64 AtomicU64;
}

/// `atomic.fence`.
#[inline(always)]
pub fn fence() {
    std::sync::atomic::fence(SeqCst);
}
