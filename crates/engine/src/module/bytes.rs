//! The bytes of a module: its own, or a part of those that all modules of a component share.

use std::ops::Deref;
#[cfg(feature = "component")]
use std::ops::Range;
#[cfg(feature = "component")]
use std::sync::Arc;

/// A module in the binary format.
pub(crate) enum ModuleBytes {
    /// A file of its own.
    Own(Vec<u8>),
    /// A part of a larger file, inside its bounds.
    #[cfg(feature = "component")]
    Part { whole: Arc<Vec<u8>>, range: Range<usize> },
}

impl Deref for ModuleBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            ModuleBytes::Own(bytes) => bytes,
            #[cfg(feature = "component")]
            ModuleBytes::Part { whole, range } => whole.get(range.clone()).unwrap_or_default(),
        }
    }
}
