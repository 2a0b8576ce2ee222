//! What threads share, as the standard library has it, or as a model checker does (the feature `loom`), which tries the orders in which threads can
//! act and what weak memory lets them see.
//!
//! Types that are published without a lock, and the locks beside them, come from here. Memories of guests do not: their races are the guests'.

#[cfg(feature = "loom")]
pub use loom::{
    self,
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread,
};
#[cfg(not(feature = "loom"))]
pub use std::{
    sync::{Condvar, Mutex, MutexGuard, atomic},
    thread,
};

#[cfg(not(feature = "loom"))]
pub use crate::thread::spawn_for_host;

/// As without the feature; the model checker's threads begin when it says so.
///
/// # Errors
/// Where it has no more threads.
#[cfg(feature = "loom")]
pub fn spawn_for_host(builder: thread::Builder, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    builder.spawn(work).map(drop)
}

/// A value that is written before its address is published and never after, so that whoever finds the address may read it. The model checker
/// notices where somebody can find it too early.
#[cfg(not(feature = "loom"))]
#[derive(Debug)]
#[repr(transparent)]
pub struct Published<T>(T);

/// As without the feature, with each access noted.
#[cfg(feature = "loom")]
#[derive(Debug)]
pub struct Published<T>(T, loom::cell::Cell<()>);

impl<T: Copy> Published<T> {
    /// A value that nobody else knows of yet.
    #[cfg(not(feature = "loom"))]
    pub fn new(value: T) -> Published<T> {
        Published(value)
    }

    /// As without the feature.
    #[cfg(feature = "loom")]
    pub fn new(value: T) -> Published<T> {
        Published(value, loom::cell::Cell::new(()))
    }

    /// The value.
    #[inline(always)]
    pub fn get(&self) -> &T {
        #[cfg(feature = "loom")]
        self.1.get();
        &self.0
    }
}
