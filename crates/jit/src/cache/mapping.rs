//! Parts of files in memory.
//!
//! Must stay true: what is mapped and not copied is of a file that nobody writes to, as the pages of a mapping change with the file.

use std::ffi::c_void;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};

use super::format::PAGE_BYTES;
use crate::watch;

/// A part of a file, mapped privately, or a copy of it.
pub(crate) struct Mapping {
    base: *mut c_void,
    /// Where the part begins, behind the start of its first page.
    from: usize,
    len: usize,
}

// SAFETY: the mapping is owned, has no thread affinity, and is only read.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// What is done with a part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Read,
    Execute,
}

/// Whether a part of a file stays one with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// It is mapped: of a file that nobody writes to.
    Mapped,
    /// It is copied, so that whatever becomes of the file changes nothing here.
    Copied,
}

impl Mapping {
    /// Maps or copies a part of a file that is at least so long; none where the system refuses.
    pub(crate) fn new(file: &File, range: &Range<u64>, for_use: Use, sharing: Sharing) -> Option<Mapping> {
        let start = range.start / PAGE_BYTES * PAGE_BYTES;
        let from = usize::try_from(range.start - start).ok()?;
        let len = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        if len == 0 {
            return Some(Mapping { base: std::ptr::null_mut(), from: 0, len: 0 });
        }
        let protection = match for_use {
            Use::Read => ProtFlags::READ,
            Use::Execute => ProtFlags::READ | ProtFlags::EXEC,
        };
        if sharing == Sharing::Copied || (for_use == Use::Execute && watch::is_watched()) {
            return Mapping::copy(file, start, (from, len), protection);
        }
        // SAFETY: a mapping at an address of the kernel's choice touches no existing memory.
        let base =
            unsafe { mmap(std::ptr::null_mut(), from + len, protection, MapFlags::PRIVATE, file, start) };
        Some(Mapping { base: base.ok()?, from, len })
    }

    /// A copy of `len` bytes from `from` behind `start`.
    fn copy(file: &File, start: u64, (from, len): (usize, usize), protection: ProtFlags) -> Option<Mapping> {
        let (all, writable) = (from + len, ProtFlags::READ | ProtFlags::WRITE);
        // SAFETY: a mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), all, writable, MapFlags::PRIVATE) };
        let copy = Mapping { base: base.ok()?, from, len };
        // SAFETY: just mapped, writable, as long, and given to nobody.
        let bytes = unsafe { std::slice::from_raw_parts_mut(copy.base.cast::<u8>(), all) };
        file.read_exact_at(bytes, start).ok()?;
        // SAFETY: as above; nothing is written any more.
        unsafe { mprotect(copy.base, all, MprotectFlags::from_bits_retain(protection.bits())) }.ok()?;
        Some(copy)
    }

    /// The part.
    pub(crate) fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: mapped readable and as long. What is not a copy is a file of a cache, which is replaced, never written to again, by this program; others than
        // its user, who could as well trace this process, cannot: whoever opened the file has looked at its owner and mode, and no guest is let into a cache.
        unsafe { std::slice::from_raw_parts(self.base.cast::<u8>().add(self.from), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len != 0 {
            // SAFETY: ours; whoever uses the code holds the owner.
            let _ = unsafe { munmap(self.base, self.from + self.len) };
        }
    }
}
