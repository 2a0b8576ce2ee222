//! The bytes of a module: its own, or a part of those that all modules of a component share.

use std::ops::{Deref, Range};
use std::sync::Arc;

/// A module in the binary format.
pub(crate) enum ModuleBytes {
    /// A file of its own.
    Own(Vec<u8>),
    /// A part of a larger file, inside its bounds.
    Part { whole: Arc<Vec<u8>>, range: Range<usize> },
}

impl Deref for ModuleBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            ModuleBytes::Own(bytes) => bytes,
            ModuleBytes::Part { whole, range } => whole.get(range.clone()).unwrap_or_default(),
        }
    }
}
