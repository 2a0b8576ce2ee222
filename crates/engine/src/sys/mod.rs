//! What the engine needs from the operating system: address space, how much memory there is, where a thread's stack ends, and its clock.
//!
//! One module a platform, with the same signatures. Nothing else in the engine calls the operating system.

#[cfg(target_os = "linux")]
mod image;
#[cfg(not(target_os = "linux"))]
#[path = "image_absent.rs"]
mod image;
mod machine;
mod thread_clock;
#[cfg(unix)]
mod unix;

pub(crate) use image::Image;
pub(crate) use machine::memory_bytes;
pub(crate) use thread_clock::ThreadClock;
#[cfg(unix)]
pub(crate) use unix::{Mapping, has_room_for_thread, page_bytes, release_pages, thread_stack};
