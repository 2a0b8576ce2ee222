//! What the memory of a module begins with, as an image that its instances share.
//!
//! It is made when a module is instantiated for the second time: who runs a module once pays nothing for it.
//!
//! Must stay true: a module has an image only where all its active data segments are written to the memory that it is of, at places that are known before, without a trap.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::{ConstExpr, ConstOp, ModuleParts, SegmentMode};
use crate::memory_pool::MemoryImage;
use crate::sys::page_bytes;
use crate::types::{IndexType, Sharing};

/// An image that may not have been made yet.
#[derive(Default)]
pub(super) struct ImageOnce {
    was_instantiated: AtomicBool,
    image: OnceLock<Option<Arc<MemoryImage>>>,
}

/// An image is at most twice as long as what is in it, and this.
const MOST_HOLE_BYTES: usize = 64 << 10;

/// What is copied in a few milliseconds.
const MOST_BYTES: usize = 64 << 20;

impl ModuleParts {
    /// What the first memory that the module defines begins with; none where that is zeros, or not known, or the module is being instantiated for the first time.
    pub(crate) fn memory_image(&self) -> Option<&Arc<MemoryImage>> {
        let once = &self.image;
        if !once.was_instantiated.swap(true, Ordering::Relaxed) {
            return None;
        }
        once.image.get_or_init(|| self.make_image().map(Arc::new)).as_ref()
    }

    fn make_image(&self) -> Option<MemoryImage> {
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
        MemoryImage::new(
            start,
            len_bytes,
            segments.into_iter().map(|(offset, contents)| (offset - start, contents)),
        )
    }
}
