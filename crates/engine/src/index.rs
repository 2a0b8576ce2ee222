//! Newtype indices into a module's index spaces.
//!
//! Each index space of the standard ("Indices", core specification 2.5.1) has a type of its own, so that a table index can
//! never be used where a memory index is meant. Imports come first in each space, as in the standard.
//! The identity of a store is here too, since every handle names one; the handles themselves (such as [`crate::Func`]) are not.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! index {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);

        impl $name {
            /// The index as an offset into a Rust slice.
            #[inline]
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

index! {
    /// A type of the module's type section.
    TypeIndex
    /// A function: imported functions first, then those the module defines.
    FuncIndex
    /// A function that the module defines: [`FuncIndex`] less the number of imported functions.
    DefinedFuncIndex
    /// A table, imports first.
    TableIndex
    /// A memory, imports first.
    MemoryIndex
    /// A global, imports first.
    GlobalIndex
    /// A tag, imports first.
    TagIndex
    /// An element segment.
    ElemIndex
    /// A data segment.
    DataIndex
}

/// Which store a handle belongs to; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StoreId(u64);

impl StoreId {
    /// One that no store has had.
    pub(crate) fn next() -> StoreId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        StoreId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}
