//! What the engine needs from the operating system: address space, and how much memory there is.
//!
//! One module a platform, with the same signatures. Nothing else in the engine calls the operating system.

mod machine;
#[cfg(unix)]
mod unix;

pub(crate) use machine::memory_bytes;
#[cfg(unix)]
pub(crate) use unix::{Mapping, page_bytes, release_pages};
