//! Address space by `mmap`, and stacks of threads (POSIX.1-2024).
//!
//! Must stay true: a [`Mapping`] owns its whole range and nothing else refers to it after drop. Bytes that were never
//! made accessible fault when touched; bytes that were are zero until written.

use std::mem::ManuallyDrop;
#[cfg(target_os = "linux")]
use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr::NonNull;

use rustix::mm::{
    Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags, madvise, mmap_anonymous, mprotect, mremap_fixed,
    munmap,
};

use super::refusal::refused;
use crate::error::{Error, ErrorKind};
#[cfg(target_os = "linux")]
use crate::sys::own_pages::OwnPages;

/// A range of address space, of which a prefix can be read and written.
pub(crate) struct Mapping {
    base: NonNull<u8>,
    reserved_bytes: usize,
    accessible_bytes: usize,
}

// SAFETY: the mapping is owned memory; it has no thread affinity.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives out the base pointer only; using it is the user's promise.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Reserves `reserved_bytes` of which the first `accessible_bytes` are zero and can be used. Both are rounded up to pages.
    pub(crate) fn new(accessible_bytes: usize, reserved_bytes: usize) -> Result<Mapping, Error> {
        let reserved_bytes = round_up(reserved_bytes.max(accessible_bytes).max(1))?;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                reserved_bytes,
                ProtFlags::empty(),
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        };
        let base = base
            .map_err(|errno| refused(&format!("reserving {reserved_bytes} bytes of address space"), errno))?;
        let base = NonNull::new(base.cast())
            .ok_or_else(|| Error::new(ErrorKind::Os("a mapping at address 0".to_owned())))?;
        let mut mapping = Mapping { base, reserved_bytes, accessible_bytes: 0 };
        mapping.make_accessible(accessible_bytes)?;
        Ok(mapping)
    }

    /// No address space at all.
    pub(crate) fn none() -> Mapping {
        Mapping { base: NonNull::dangling(), reserved_bytes: 0, accessible_bytes: 0 }
    }

    /// Stacks: all of it can be used. What is not takes no memory, and the system makes no larger pages of it than it must.
    pub(crate) fn of_stacks(bytes: usize) -> Result<Mapping, Error> {
        let bytes = round_up(bytes)?;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MAP_STACK;
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no existing memory.
        let base =
            unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, flags) };
        let base = base.map_err(|errno| refused(&format!("mapping {bytes} bytes of stacks"), errno))?;
        let base = NonNull::new(base.cast())
            .ok_or_else(|| Error::new(ErrorKind::Os("a mapping at address 0".to_owned())))?;
        Ok(Mapping { base, reserved_bytes: bytes, accessible_bytes: bytes })
    }

    /// Makes touching a part fault, which nobody has used yet. It is whole pages of the mapping.
    pub(crate) fn forbid(&self, start_bytes: usize, len_bytes: usize) -> Result<(), Error> {
        assert!(start_bytes.saturating_add(len_bytes) <= self.reserved_bytes);
        // SAFETY: the part lies in this mapping, as was just checked, and nobody uses it.
        let result = unsafe {
            let start = self.base.as_ptr().add(start_bytes);
            mprotect(start.cast(), len_bytes, MprotectFlags::empty())
        };
        result.map_err(|errno| refused(&format!("forbidding {len_bytes} bytes"), errno))
    }

    /// Lets the first `bytes` bytes, which must lie in the reservation, be read and written.
    pub(crate) fn make_accessible(&mut self, bytes: usize) -> Result<(), Error> {
        let bytes = round_up(bytes)?;
        if bytes > self.reserved_bytes {
            return Err(Error::limit(format!(
                "{bytes} bytes wanted of a reservation of {}",
                self.reserved_bytes
            )));
        }
        if bytes > self.accessible_bytes {
            // SAFETY: the range from `accessible_bytes` to `bytes` lies within this mapping, which is ours alone.
            let result = unsafe {
                let start = self.base.as_ptr().add(self.accessible_bytes);
                let len = bytes - self.accessible_bytes;
                mprotect(start.cast(), len, MprotectFlags::READ | MprotectFlags::WRITE)
            };
            result.map_err(|errno| refused(&format!("making {bytes} bytes of memory usable"), errno))?;
            self.accessible_bytes = bytes;
        }
        Ok(())
    }

    /// Makes what lies beyond the first `bytes` bytes fault again, and takes no memory for it. It is zeros.
    pub(crate) fn restrict(&mut self, bytes: usize) -> Result<(), Error> {
        let bytes = round_up(bytes)?;
        if bytes < self.accessible_bytes {
            let len_bytes = self.accessible_bytes - bytes;
            self.forbid(bytes, len_bytes)?;
            self.accessible_bytes = bytes;
            // SAFETY: the pages are this mapping's own, and zeros before and afterwards: where the system refuses, they only take memory.
            let _ = unsafe {
                let start = self.base.as_ptr().add(bytes);
                madvise(start.cast(), len_bytes, Advice::LinuxDontNeed)
            };
        }
        Ok(())
    }

    /// Gives up a part in whose place the system was to put something else, and has refused it: kernels before 6.12 may have unmapped what was there before they refused, and what is there now may be
    /// somebody else's. So that is left as it is for ever, and the rest is unmapped.
    fn give_up(self, part: Range<usize>) {
        let this = ManuallyDrop::new(self);
        for own in [0..part.start, part.end..this.reserved_bytes] {
            if !own.is_empty() {
                // SAFETY: what lies beside the part has not been touched by the refused call and is still this mapping's, to which nothing refers any more.
                let result = unsafe { munmap(this.base.as_ptr().add(own.start).cast(), own.len()) };
                // Where the system has no room for anything this is refused as well, and leaves address space behind.
                let _ = result;
            }
        }
    }

    /// Puts an image in the place of accessible pages, which nobody has used; changes to them are this mapping's own.
    ///
    /// # Errors
    /// Where the system refuses it; the mapping is given up then.
    #[cfg(target_os = "linux")]
    pub(crate) fn with_image(self, start_bytes: usize, image: &super::Image) -> Result<Mapping, Error> {
        let len_bytes = image.len_bytes();
        assert!(start_bytes.saturating_add(len_bytes) <= self.accessible_bytes);
        // SAFETY: the pages lie in this mapping, as was just checked, and nobody refers to what is in them.
        let mapped = unsafe {
            rustix::mm::mmap(
                self.base.as_ptr().add(start_bytes).cast(),
                len_bytes,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED,
                image.file(),
                0,
            )
        };
        match mapped {
            Ok(_) => Ok(self),
            Err(errno) => {
                self.give_up(start_bytes..start_bytes + len_bytes);
                Err(refused(&format!("mapping an image of {len_bytes} bytes"), errno))
            }
        }
    }

    /// Gives back what has been written to accessible pages: they are zeros again, or what their image is. False where the system may have kept something.
    #[cfg(target_os = "linux")]
    pub(crate) fn forget_changes(&mut self) -> bool {
        self.forget_changes_from(0)
    }

    /// As [`Mapping::forget_changes`], of the accessible pages behind the first `start_bytes` bytes.
    #[cfg(target_os = "linux")]
    fn forget_changes_from(&mut self, start_bytes: usize) -> bool {
        let Some(len_bytes) = self.accessible_bytes.checked_sub(start_bytes) else { return false };
        if len_bytes == 0 {
            return true;
        }
        // SAFETY: the pages are this mapping's own, and nobody needs what is in them.
        let result = unsafe {
            let start = self.base.as_ptr().add(start_bytes);
            madvise(start.cast(), len_bytes, Advice::LinuxDontNeed)
        };
        result.is_ok()
    }

    /// As [`Mapping::forget_changes`], where up to `kept_bytes` bytes of pages that have been written to stay, and are overwritten: with zeros, or with what was mapped there of an image, which begins where it says. So whoever
    /// writes to them next meets no fault, and no other processor need be told that they are gone. Where the system does not tell which pages these are, all are given back.
    #[cfg(target_os = "linux")]
    pub(crate) fn overwrite_changes(
        &mut self,
        kept_bytes: usize,
        image: Option<(usize, &super::Image)>,
    ) -> bool {
        let most_pages = kept_bytes / page_bytes();
        let found = match most_pages {
            0 => None,
            _ => OwnPages::find(self.base, self.accessible_bytes, most_pages),
        };
        let Some(found) = found else { return self.forget_changes() };
        for (start, len) in found.ranges(self.base) {
            let end = start + len;
            let (image_start, image_bytes) =
                image.map_or((end, &[][..]), |(start, image)| (start, image.bytes()));
            // What of the range lies before the image, in it, and behind it.
            let from = image_start.clamp(start, end);
            let to = image_start.saturating_add(image_bytes.len()).clamp(from, end);
            // SAFETY: the pages are accessible ones of this mapping, and nobody refers to what is in them; what is copied lies in the image, which is a mapping of its own.
            unsafe {
                let base = self.base.as_ptr();
                base.add(start).write_bytes(0, from - start);
                if from < to {
                    let contents = image_bytes[from - image_start..].as_ptr();
                    base.add(from).copy_from_nonoverlapping(contents, to - from);
                }
                base.add(to).write_bytes(0, end - to);
            }
        }
        self.forget_changes_from(found.looked_at_bytes(self.base))
    }

    /// This mapping with the pages that another one has made accessible, which is gone then, without touching them. Nothing of this mapping may be
    /// accessible yet.
    ///
    /// # Errors
    /// The other mapping, where that is not possible; this one is given up then.
    pub(crate) fn with_pages_of(mut self, from: Mapping) -> Result<Mapping, Mapping> {
        let bytes = from.accessible_bytes;
        if self.accessible_bytes != 0 || bytes > self.reserved_bytes {
            return Err(from);
        }
        if bytes == 0 {
            return Ok(self);
        }
        // SAFETY: the first `bytes` of `from` are its own and accessible. They take the place of pages of `self` that nobody has used.
        let moved = unsafe {
            mremap_fixed(
                from.base.as_ptr().cast(),
                bytes,
                bytes,
                MremapFlags::MAYMOVE,
                self.base.as_ptr().cast(),
            )
        };
        if moved.is_err() {
            self.give_up(0..bytes);
            return Err(from);
        }
        self.accessible_bytes = bytes;
        // What was moved is no longer ours there, and may be anybody's already.
        let from = ManuallyDrop::new(from);
        let rest = from.reserved_bytes - bytes;
        if rest > 0 {
            // SAFETY: the range behind what was moved is still the mapping's, and nothing refers to it any more.
            let result = unsafe { munmap(from.base.as_ptr().add(bytes).cast(), rest) };
            debug_assert!(result.is_ok());
        }
        Ok(self)
    }

    /// Puts a page that holds zeros and can only be read in the place of the first one, for [`Mapping::set_first_page_readable`].
    ///
    /// # Errors
    /// Where the system refuses it; the page is no longer this mapping's then, which begins behind it.
    pub(crate) fn set_first_page_apart(&mut self) -> Result<(), Error> {
        // Shared, though with nobody: the kernel joins private mappings side by side, and to change the protection of one of them may have to split
        // them again, for which there may be no room.
        let flags = MapFlags::SHARED | MapFlags::NORESERVE | MapFlags::FIXED;
        let page = page_bytes();
        // SAFETY: the page is this mapping's own, and nobody has used it yet.
        let result = unsafe { mmap_anonymous(self.base.as_ptr().cast(), page, ProtFlags::READ, flags) };
        result.map(drop).map_err(|errno| {
            self.give_up_first_page();
            Error::new(ErrorKind::Os(format!("mapping a page: {errno}")))
        })
    }

    /// As [`Mapping::give_up`], of the first page; the rest stays.
    fn give_up_first_page(&mut self) {
        let page = page_bytes();
        assert!(page < self.reserved_bytes);
        // SAFETY: the mapping is longer than the page.
        self.base = unsafe { self.base.add(page) };
        self.reserved_bytes -= page;
        self.accessible_bytes = self.accessible_bytes.saturating_sub(page);
    }

    /// Lets the first page, which has been set apart, be read, or makes reading it fault.
    pub(crate) fn set_first_page_readable(&self, is_readable: bool) {
        let protection = if is_readable { MprotectFlags::READ } else { MprotectFlags::empty() };
        // SAFETY: the page is this mapping's own, and what reads it expects the fault.
        let result = unsafe { mprotect(self.base.as_ptr().cast(), page_bytes(), protection) };
        // The page was mapped by itself: there is nothing that the kernel could refuse.
        assert!(result.is_ok(), "a page's protection cannot be changed: {result:?}");
    }

    /// Moves the first `len_bytes` bytes, which are accessible in both, to another mapping. They are zero here afterwards, and never held twice but
    /// for a piece.
    pub(crate) fn move_prefix(&mut self, to: &mut Mapping, len_bytes: usize) {
        assert!(len_bytes <= self.accessible_bytes && len_bytes <= to.accessible_bytes);
        for start in (0..len_bytes).step_by(MOVED_BYTES) {
            let piece = (len_bytes - start).min(MOVED_BYTES);
            // SAFETY: the piece lies in both mappings, which are distinct, and is accessible, as was just checked. What is discarded here has been copied; whether
            // the kernel does it at once is of no consequence.
            unsafe {
                let from = self.base.as_ptr().add(start);
                from.copy_to_nonoverlapping(to.base.as_ptr().add(start), piece);
                let _ = madvise(from.cast(), piece, Advice::LinuxDontNeed);
            }
        }
    }

    /// The first byte.
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Whether an address is in the mapping.
    pub(crate) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base.as_ptr() as usize) < self.reserved_bytes
    }

    /// How much was reserved.
    pub(crate) fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.reserved_bytes == 0 {
            return;
        }
        // SAFETY: the range is ours and, by the type's contract, nothing refers to it any more.
        let result = unsafe { munmap(self.base.as_ptr().cast(), self.reserved_bytes) };
        debug_assert!(result.is_ok());
    }
}

#[cfg(target_os = "linux")]
const MAP_STACK: MapFlags = MapFlags::STACK;
#[cfg(not(target_os = "linux"))]
const MAP_STACK: MapFlags = MapFlags::empty();

/// What [`Mapping::move_prefix`] moves at once; whole pages.
const MOVED_BYTES: usize = 1 << 20;

/// Gives pages back to the system that lie wholly in a range of memory. They read as zeros, or as before where the system keeps them.
///
/// # Safety
/// The range is private, anonymous memory, accessible, and nobody needs what is in it.
pub(crate) unsafe fn release_pages(start: *mut u8, len: usize) {
    let skipped = start.align_offset(page_bytes());
    let whole = len.saturating_sub(skipped) / page_bytes() * page_bytes();
    if whole > 0 {
        // SAFETY: whoever calls this owns the mapping and needs nothing of the range: the sweep an array that it has found dead, a fiber's stack what lies below
        // its last frame.
        let _ = unsafe { madvise(start.add(skipped).cast(), whole, Advice::LinuxDontNeed) };
    }
}

/// Bytes of a page.
pub(crate) fn page_bytes() -> usize {
    rustix::param::page_size()
}

/// Whether this process was given a limit on its memory, so that what it asks the system for may be refused.
pub(crate) fn is_memory_limited() -> bool {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::As).current.is_some() || getrlimit(Resource::Data).current.is_some()
}

/// Whether the system would give a new thread what it maps until it has begun, by taking that and giving it back.
pub(crate) fn has_room_for_thread() -> bool {
    /// A usual stack, another one for signal handlers, and some.
    const BYTES: usize = 4 << 20;
    /// Stacks have guards, which are mappings of their own; there can only be so many in a process.
    const MAPPINGS: usize = 8;
    let Ok(mapping) = Mapping::new(0, BYTES) else { return false };
    (0..MAPPINGS).all(|i| {
        let page = page_bytes();
        // SAFETY: the page lies within this mapping, which is ours alone.
        let result = unsafe {
            let start = mapping.base().add((2 * i + 1) * page);
            mprotect(start.cast(), page, MprotectFlags::READ | MprotectFlags::WRITE)
        };
        result.is_ok()
    })
}

/// Addresses of the stack that the system gave the calling thread; none where that cannot be told.
#[cfg(target_os = "linux")]
pub(crate) fn thread_stack() -> Option<Range<usize>> {
    if rustix::thread::gettid() == rustix::process::getpid() { main_stack() } else { stack_of_other_thread() }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn thread_stack() -> Option<Range<usize>> {
    None
}

/// The first thread's stack is not mapped as a whole: it grows, as far down as a limit of the process says.
#[cfg(target_os = "linux")]
fn main_stack() -> Option<Range<usize>> {
    use rustix::process::{Resource, getrlimit};
    /// The system keeps more than this free below a stack, whatever the limit.
    const MOST_BYTES: u64 = 64 << 20;
    // The system puts the program's name at the stack's very top.
    let name = rustix::param::linux_execfn();
    let top = (name.as_ptr() as usize).checked_next_multiple_of(page_bytes())?;
    let bytes = getrlimit(Resource::Stack).current.unwrap_or(MOST_BYTES).min(MOST_BYTES);
    Some(top.checked_sub(bytes as usize)?..top)
}

#[cfg(target_os = "linux")]
fn stack_of_other_thread() -> Option<Range<usize>> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let (mut base, mut bytes) = (std::ptr::null_mut(), 0);
    // SAFETY: the calling thread exists; its attributes are read only once they have been written, and destroyed once.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let read = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut base, &raw mut bytes);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        if read != 0 {
            return None;
        }
    }
    let base = base as usize;
    Some(base..base.checked_add(bytes)?)
}

fn round_up(bytes: usize) -> Result<usize, Error> {
    let page = page_bytes();
    bytes
        .checked_next_multiple_of(page)
        .ok_or_else(|| Error::limit(format!("{bytes} bytes are more than the address space has")))
}

#[cfg(all(test, target_os = "linux"))]
#[path = "unix_tests.rs"]
mod tests;
