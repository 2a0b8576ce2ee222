//! Linear memories that wait for their next store, and what memories of a module begin with.
//!
//! What is kept of a memory is its address space, and as many of the pages that were written to as the embedder says: on the way here these are overwritten, and the others given back. A module that is instantiated again and again has an *image* of
//! what its memory begins with: pages that all its instances share until one writes to them. A memory that comes back keeps the image mapped, so that for the
//! next instance of the same module there is nothing left to do. There are only so many images, and whoever has none copies.
//!
//! Must stay true: whoever takes a memory finds zeros, or the image that it has asked for, and nothing accessible beyond its length. When an image goes, so do the memories that wait with
//! it: whoever holds it puts its memory back before it lets go of the image.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::error::Error;
use crate::pool::{Idle, Permits};
use crate::pooling::Pooling;
use crate::sys::{Image, Mapping};

/// What a memory begins with.
pub(crate) struct MemoryImage {
    number: ImageNumber,
    image: Image,
    /// Where it begins; whole pages.
    start_bytes: usize,
    pool: Arc<MemoryPool>,
}

/// Names an image of an engine; no other one ever has the same.
#[derive(Clone, Copy, PartialEq, Eq)]
struct ImageNumber(u64);

/// The memories of one engine's stores.
pub(crate) struct MemoryPool {
    memories: Permits,
    /// By the image that they begin with.
    idle: Idle<Option<ImageNumber>, Mapping>,
    images: Permits,
    image_bytes: Permits,
    image_numbers: AtomicU64,
    /// How often the system has refused to map an image.
    refusals: AtomicU32,
    /// See [`Pooling::resident_memory_bytes`].
    resident_bytes: usize,
    /// Whether a memory that had waited was ever taken: who runs one program gives its memory back, and has nothing opened and looked at for it.
    was_taken: AtomicBool,
}

/// Each refusal leaves a hole in the address space (`Mapping::with_image`), in which no memory has room any more: after so many of them, 512 GiB, no image is tried.
const MOST_REFUSALS: u32 = 64;

/// There are as many images, or bytes of them, as there may be.
pub(crate) struct TooManyImages;

/// The right to have one memory; given back when dropped.
pub(crate) struct MemoryPermit(Arc<MemoryPool>);

impl MemoryPool {
    pub(crate) fn new(pooling: &Pooling) -> MemoryPool {
        MemoryPool {
            memories: Permits::new(pooling.most_memories),
            idle: Idle::new(pooling.idle_memories),
            images: Permits::new(Some(pooling.most_images)),
            image_bytes: Permits::new(Some(pooling.most_image_bytes)),
            image_numbers: AtomicU64::new(0),
            refusals: AtomicU32::new(0),
            resident_bytes: pooling.resident_memory_bytes,
            was_taken: AtomicBool::new(false),
        }
    }

    /// # Errors
    /// Where the engine's stores have as many memories as they may.
    pub(crate) fn permit(self: &Arc<MemoryPool>) -> Result<MemoryPermit, Error> {
        self.memories.take(1).map_err(|most| {
            Error::limit(format!(
                "the engine's stores have {most} memories, the most they may have together (Pooling::most_memories)"
            ))
        })?;
        Ok(MemoryPermit(Arc::clone(self)))
    }

    /// See [`Image::new`]; `start_bytes` and `len_bytes` are whole pages. None where the system refuses it.
    ///
    /// # Errors
    /// Where there may be no more now; later there may.
    pub(crate) fn new_image<'a>(
        self: &Arc<MemoryPool>,
        start_bytes: usize,
        len_bytes: usize,
        parts: impl IntoIterator<Item = (usize, &'a [u8])>,
    ) -> Result<Option<MemoryImage>, TooManyImages> {
        self.images.take(1).map_err(|_| TooManyImages)?;
        if self.image_bytes.take(len_bytes).is_err() {
            self.images.give_back(1);
            return Err(TooManyImages);
        }
        let Some(image) = Image::new(len_bytes, parts) else {
            self.give_back_image(len_bytes);
            return Ok(None);
        };
        let number = ImageNumber(self.image_numbers.fetch_add(1, Ordering::Relaxed));
        Ok(Some(MemoryImage { number, image, start_bytes, pool: Arc::clone(self) }))
    }

    /// Whether memories may begin with images.
    pub(crate) fn maps_images(&self) -> bool {
        self.refusals.load(Ordering::Relaxed) < MOST_REFUSALS
    }

    fn give_back_image(&self, len_bytes: usize) {
        self.images.give_back(1);
        self.image_bytes.give_back(len_bytes);
    }
}

impl MemoryImage {
    /// The bytes of the memory that it is.
    pub(crate) fn range(&self) -> std::ops::Range<usize> {
        self.start_bytes..self.start_bytes + self.image.len_bytes()
    }
}

impl Drop for MemoryImage {
    fn drop(&mut self) {
        // The pages go with the last mapping of them, and only then may there be others.
        drop(self.pool.idle.remove(Some(self.number)));
        self.pool.give_back_image(self.image.len_bytes());
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
impl MemoryPermit {
    /// A memory of so many bytes that is waiting, if there is one of use; it begins with `image`.
    pub(crate) fn take(&self, len_bytes: usize, image: Option<&Arc<MemoryImage>>) -> Option<Mapping> {
        let MemoryPool { idle, was_taken, .. } = &*self.0;
        if let Some(mut mapping) = idle.take(image.map(|image| image.number)) {
            was_taken.store(true, Ordering::Relaxed);
            mapping.restrict(len_bytes).ok()?;
            mapping.make_accessible(len_bytes).ok()?;
            return Some(mapping);
        }
        // One that begins with zeros can begin with an image as well. Not the other way round: what is under an image is gone.
        let image = image?;
        let mut mapping = idle.take(None)?;
        mapping.restrict(len_bytes).ok()?;
        mapping.make_accessible(len_bytes).ok()?;
        image.map_into(mapping).ok()
    }

    /// Has a memory wait for its next store.
    pub(crate) fn put(&self, mut mapping: Mapping, image: Option<Arc<MemoryImage>>) {
        let kept_bytes = match self.0.was_taken.load(Ordering::Relaxed) {
            true => self.0.resident_bytes,
            false => 0,
        };
        let contents = image.as_ref().map(|image| (image.start_bytes, &image.image));
        if mapping.overwrite_changes(kept_bytes, contents) {
            let key = image.as_ref().map(|image| image.number);
            drop(self.0.idle.put(key, mapping));
        }
        // Only now: if it is the last, the memory goes as well.
        drop(image);
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
impl MemoryPermit {
    /// Nothing waits where the system does not promise zeros for pages that were given back.
    pub(crate) fn take(&self, _: usize, _: Option<&Arc<MemoryImage>>) -> Option<Mapping> {
        None
    }

    pub(crate) fn put(&self, mapping: Mapping, _: Option<Arc<MemoryImage>>) {
        drop(mapping);
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.0.memories.give_back(1);
    }
}

#[cfg(all(target_os = "linux", not(miri)))]
impl MemoryImage {
    /// Has a mapping begin with it, which is long enough.
    ///
    /// # Errors
    /// Where the system refuses it; the mapping is gone then.
    pub(crate) fn map_into(&self, mapping: Mapping) -> Result<Mapping, Error> {
        mapping.with_image(self.start_bytes, &self.image).inspect_err(|_| {
            self.pool.refusals.fetch_add(1, Ordering::Relaxed);
        })
    }
}

#[cfg(not(all(target_os = "linux", not(miri))))]
impl MemoryImage {
    pub(crate) fn map_into(&self, _: Mapping) -> Result<Mapping, Error> {
        match self.image {}
    }
}

#[cfg(all(test, target_os = "linux", not(miri)))]
mod tests {
    use super::*;
    use crate::budget::Budget;
    use crate::tuning::MemoryLayout;
    use crate::types::{MemoryType, SizeRange};
    use crate::vmctx::LinearMemory;
    use crate::vmctx::memory::OwnMemory;

    const PAGE: usize = 65536;

    /// A memory of two pages that is to begin with `image`.
    fn memory(pool: &Arc<MemoryPool>, image: &Arc<MemoryImage>) -> LinearMemory {
        let ty = MemoryType::new(SizeRange { min: 2, max: None });
        let budget = Budget::new(None, "the limit");
        LinearMemory::Own(OwnMemory::new(ty, (MemoryLayout::Auto, pool), Some(image), &budget).unwrap())
    }

    #[test]
    fn a_memory_whose_image_the_system_refuses_is_another_one_without_it() {
        let pool = Arc::new(MemoryPool::new(&Pooling::default()));
        let image = |image| {
            let number = ImageNumber(pool.image_numbers.fetch_add(1, Ordering::Relaxed));
            assert!(pool.images.take(1).is_ok() && pool.image_bytes.take(PAGE).is_ok());
            Arc::new(MemoryImage { number, image, start_bytes: 0, pool: Arc::clone(&pool) })
        };
        let refused = image(Image::refused(PAGE));
        // Also where one is waiting.
        drop(memory(&pool, &refused));
        for _ in 0..=MOST_REFUSALS {
            let mut memory = memory(&pool, &refused);
            assert!(!memory.has_image());
            assert!(memory.bytes().unwrap().iter().all(|byte| *byte == 0));
            memory.bytes_mut().unwrap().fill(1);
        }
        assert!(!pool.maps_images(), "it is not tried for ever");
    }

    #[test]
    fn what_images_hold_is_given_back_with_them() {
        let pooling = Pooling { most_images: 2, most_image_bytes: 3 * PAGE, ..Pooling::default() };
        let pool = Arc::new(MemoryPool::new(&pooling));
        let new = |pages: usize| pool.new_image(0, pages * PAGE, []).map(|image| Arc::new(image.unwrap()));
        for _ in 0..3 {
            let (first, second) = (new(1).ok().unwrap(), new(2).ok().unwrap());
            assert!(new(1).is_err(), "two are the most");
            drop(memory(&pool, &first));
            drop(memory(&pool, &second));
            drop(second);
            assert!(new(3).is_err(), "one page is taken");
            assert!(new(2).is_ok());
            assert!(pool.idle.take(Some(first.number)).is_some());
        }
        assert!(new(3).is_ok());
        assert!(pool.idle.take(None).is_none());
    }
}
