//! What the engine needs from the operating system: address space, how much memory there is, and where a thread's stack ends.
//!
//! One module a platform, with the same signatures. Nothing else in the engine calls the operating system.

mod machine;
#[cfg(unix)]
mod unix;

pub(crate) use machine::memory_bytes;
#[cfg(unix)]
pub(crate) use unix::{Mapping, has_room_for_thread, page_bytes, release_pages, thread_stack};
