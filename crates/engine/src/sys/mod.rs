//! What the engine needs from the operating system: address space.
//!
//! One module a platform, with the same signatures. Nothing else in the engine calls the operating system.

#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub(crate) use unix::{Mapping, page_bytes};
