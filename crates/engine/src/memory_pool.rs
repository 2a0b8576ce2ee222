//! Linear memories that wait for their next store, and what memories of a module begin with.
//!
//! What is kept of a memory is its address space; on the way here it has given its pages back. A module that is instantiated again and again has an *image* of
//! what its memory begins with: pages that all its instances share until one writes to them. A memory that comes back keeps the image mapped, so that for the
//! next instance of the same module there is nothing left to do.
//!
//! The images of modules that are gone go with the next memory that is made.
//!
//! Must stay true: whoever takes a memory finds zeros, or the image that it has asked for, and nothing accessible beyond its length.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::Error;
use crate::pooling::Pooling;
use crate::sys::{Image, Mapping};

/// What a memory begins with.
pub(crate) struct MemoryImage {
    image: Image,
    /// Where it begins; whole pages.
    start_bytes: usize,
}

/// The memories of one engine's stores.
pub(crate) struct MemoryPool {
    /// How many there may be, and how many are kept.
    most: Option<usize>,
    most_idle: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_use: usize,
    idle: Vec<Idle>,
}

struct Idle {
    mapping: Mapping,
    /// What it begins with; once its module is gone it is of no use to anybody.
    image: Option<Weak<MemoryImage>>,
}

/// The right to have one memory; given back when dropped.
pub(crate) struct MemoryPermit(Arc<MemoryPool>);

impl MemoryImage {
    /// See [`Image::new`]; `start_bytes` and `len_bytes` are whole pages.
    pub(crate) fn new<'a>(
        start_bytes: usize,
        len_bytes: usize,
        parts: impl IntoIterator<Item = (usize, &'a [u8])>,
    ) -> Option<MemoryImage> {
        Some(MemoryImage { image: Image::new(len_bytes, parts)?, start_bytes })
    }
}

impl MemoryPool {
    pub(crate) fn new(pooling: &Pooling) -> MemoryPool {
        MemoryPool {
            most: pooling.most_memories,
            most_idle: pooling.idle_memories,
            state: Mutex::new(State::default()),
        }
    }

    /// # Errors
    /// Where the engine's stores have as many memories as they may.
    pub(crate) fn permit(self: &Arc<MemoryPool>) -> Result<MemoryPermit, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(most) = self.most
            && state.in_use >= most
        {
            return Err(Error::limit(format!(
                "the engine's stores have {most} memories, the most they may have together (Pooling::most_memories)"
            )));
        }
        state.in_use += 1;
        let is_useless = |idle: &mut Idle| idle.image.as_ref().is_some_and(|image| image.strong_count() == 0);
        let useless: Vec<Idle> = state.idle.extract_if(.., is_useless).collect();
        drop(state);
        // To unmap takes its time.
        drop(useless);
        Ok(MemoryPermit(Arc::clone(self)))
    }
}

#[cfg(target_os = "linux")]
impl MemoryPermit {
    /// A memory of so many bytes that is waiting, if there is one; it begins with `image`.
    pub(crate) fn take(
        &self,
        len_bytes: usize,
        image: Option<&Arc<MemoryImage>>,
    ) -> Option<Result<Mapping, Error>> {
        let mut idle = {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            // One that has it already, the last to come first; else the one that has waited longest.
            let has_it = |idle: &Idle| match (&idle.image, image) {
                (Some(has), Some(wanted)) => has.as_ptr() == Arc::as_ptr(wanted),
                (has, wanted) => has.is_none() && wanted.is_none(),
            };
            let position = state.idle.iter().rposition(has_it);
            if position.is_none() && state.idle.is_empty() {
                return None;
            }
            state.idle.remove(position.unwrap_or(0))
        };
        Some(idle.prepare(len_bytes, image).map(|()| idle.mapping))
    }

    /// Has a memory wait for its next store.
    pub(crate) fn put(&self, mut mapping: Mapping, image: Option<Arc<MemoryImage>>) {
        if !mapping.forget_changes() {
            return;
        }
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.idle.len() < self.0.most_idle {
            state.idle.push(Idle { mapping, image: image.as_ref().map(Arc::downgrade) });
        } else {
            // To unmap takes its time.
            drop(state);
            drop(mapping);
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl MemoryPermit {
    /// Nothing waits where the system does not promise zeros for pages that were given back.
    pub(crate) fn take(&self, _: usize, _: Option<&Arc<MemoryImage>>) -> Option<Result<Mapping, Error>> {
        None
    }

    pub(crate) fn put(&self, mapping: Mapping, _: Option<Arc<MemoryImage>>) {
        drop(mapping);
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).in_use -= 1;
    }
}

#[cfg(target_os = "linux")]
impl Idle {
    /// Makes it what is wanted.
    fn prepare(&mut self, len_bytes: usize, image: Option<&Arc<MemoryImage>>) -> Result<(), Error> {
        let has_it = self.image.as_ref().map(Weak::as_ptr) == image.map(Arc::as_ptr);
        if has_it {
            self.mapping.restrict(len_bytes)?;
            return self.mapping.make_accessible(len_bytes);
        }
        self.mapping.clear()?;
        self.image = None;
        self.mapping.make_accessible(len_bytes)?;
        if let Some(image) = image {
            image.map_into(&mut self.mapping)?;
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
impl MemoryImage {
    /// Has a mapping begin with it, which is long enough.
    pub(crate) fn map_into(&self, mapping: &mut Mapping) -> Result<(), Error> {
        mapping.map_image(self.start_bytes, &self.image)
    }

    /// Has a mapping begin with zeros again.
    pub(crate) fn unmap_from(&self, mapping: &mut Mapping) -> Result<(), Error> {
        mapping.unmap_image(self.start_bytes, self.image.len_bytes())
    }
}

#[cfg(not(target_os = "linux"))]
impl MemoryImage {
    pub(crate) fn map_into(&self, _: &mut Mapping) -> Result<(), Error> {
        match self.image {}
    }

    pub(crate) fn unmap_from(&self, _: &mut Mapping) -> Result<(), Error> {
        match self.image {}
    }
}
