//! What the memory of a module begins with, as an image that its instances share.
//!
//! It is made when a module is instantiated for the second time: who runs a module once pays nothing for it.
//!
//! Must stay true: a module has an image only where all its active data segments are written to the memory that it is of, at places that are known before, without a trap.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::{ConstExpr, ConstOp, ModuleParts, SegmentMode};
use crate::memory_pool::{MemoryImage, MemoryPool};
use crate::sys::page_bytes;
use crate::types::{IndexType, Sharing};

/// An image that may not have been made yet.
#[derive(Default)]
pub(super) struct ImageOnce {
    was_instantiated: AtomicBool,
    /// Somebody is about to; others have their data copied meanwhile.
    is_being_made: AtomicBool,
    image: OnceLock<Option<Arc<MemoryImage>>>,
}

/// An image is at most twice as long as what is in it, and this.
const MOST_HOLE_BYTES: usize = 64 << 10;

/// What is copied in a few milliseconds.
const MOST_BYTES: usize = 64 << 20;

impl ModuleParts {
    /// What the first memory that the module defines begins with; none where that is zeros, or not known, or the module is being instantiated for the first time.
    /// None as well while `pool` has as many as it may.
    pub(crate) fn memory_image(&self, pool: &Arc<MemoryPool>) -> Option<&Arc<MemoryImage>> {
        let once = &self.image;
        if let Some(image) = once.image.get() {
            return image.as_ref();
        }
        if !once.was_instantiated.swap(true, Ordering::Relaxed)
            || once.is_being_made.swap(true, Ordering::Acquire)
        {
            return None;
        }
        let made = match self.image_parts() {
            Some(parts) => pool.new_image(parts.start, parts.len_bytes, parts.segments),
            None => Ok(None),
        };
        if let Ok(image) = made {
            // Nobody else sets it.
            let _ = once.image.set(image.map(Arc::new));
        }
        once.is_being_made.store(false, Ordering::Release);
        once.image.get()?.as_ref()
    }

    /// What an image would be of.
    fn image_parts(&self) -> Option<ImageParts<'_>> {
        let own = self.imported_memories as usize;
        let ty = self.memories.get(own)?;
        if (ty.index, ty.sharing) != (IndexType::I32, Sharing::Unshared) {
            return None;
        }
        let memory_bytes = ty.pages.min.checked_mul(ty.page_bytes())?;
        let mut segments = Vec::new();
        let (mut start, mut end, mut total) = (usize::MAX, 0, 0_usize);
        for data in &self.datas {
            let SegmentMode::Active { target, offset } = &data.mode else { continue };
            let ConstExpr::One(ConstOp::Value([offset, _])) = *offset else { return None };
            let contents = self.bytes.get(data.contents.start as usize..data.contents.end as usize)?;
            if target.index() != own || offset.checked_add(contents.len() as u64)? > memory_bytes {
                return None;
            }
            let offset = usize::try_from(offset).ok()?;
            if !contents.is_empty() {
                (start, end) = (start.min(offset), end.max(offset + contents.len()));
                total = total.checked_add(contents.len())?;
                segments.push((offset, contents));
            }
        }
        let start = start / page_bytes() * page_bytes();
        let len_bytes = end.checked_next_multiple_of(page_bytes())?.checked_sub(start)?;
        if len_bytes == 0
            || len_bytes > MOST_BYTES
            || len_bytes > total.saturating_mul(2).saturating_add(MOST_HOLE_BYTES)
        {
            return None;
        }
        segments.iter_mut().for_each(|(offset, _)| *offset -= start);
        Some(ImageParts { start, len_bytes, segments })
    }
}

/// What there is between the first and the last byte that segments write: whole pages.
struct ImageParts<'a> {
    start: usize,
    len_bytes: usize,
    /// Where each begins in the image, and what it writes, in their order.
    segments: Vec<(usize, &'a [u8])>,
}
