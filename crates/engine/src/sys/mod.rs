//! What the engine needs from the operating system: address space, how much memory there is, where a thread's stack ends, and its clock.
//!
//! One module a platform, with the same signatures. Nothing else in the engine calls the operating system.

#[cfg(miri)]
#[path = "allocated.rs"]
mod address_space;
#[cfg(all(unix, not(miri)))]
#[path = "unix.rs"]
mod address_space;
mod faults;
mod fork;
#[cfg(all(target_os = "linux", not(miri)))]
mod image;
#[cfg(not(all(target_os = "linux", not(miri))))]
#[path = "image_absent.rs"]
mod image;
mod machine;
#[cfg(all(target_os = "linux", not(miri)))]
mod own_pages;
#[cfg(all(unix, not(miri)))]
mod refusal;
mod thread_clock;

pub(crate) use address_space::{
    Mapping, has_room_for_thread, is_memory_limited, page_bytes, release_pages, thread_stack,
};
pub(crate) use faults::unblock_faults;
pub(crate) use fork::at_fork;
pub(crate) use image::Image;
pub(crate) use machine::memory_bytes;
pub(crate) use thread_clock::ThreadClock;
