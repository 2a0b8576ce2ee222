//! Contents that several mappings begin with, each with changes of its own: a file in memory, which is mapped privately.
//!
//! Must stay true: an image never changes once it is sealed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::{Errno, pwrite};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A file in memory that nobody can change any more.
pub(crate) struct Image {
    file: OwnedFd,
    len_bytes: usize,
    /// The whole of it, to read.
    contents: Contents,
}

/// A file's pages, mapped to be read.
struct Contents {
    base: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: what is mapped is owned and never changes; it has no thread affinity.
unsafe impl Send for Contents {}
// SAFETY: as above.
unsafe impl Sync for Contents {}

impl Contents {
    fn of(file: BorrowedFd<'_>, len_bytes: usize) -> Result<Contents, Errno> {
        // SAFETY: a mapping at an address of the kernel's choice touches no existing memory.
        let base =
            unsafe { mmap(std::ptr::null_mut(), len_bytes, ProtFlags::READ, MapFlags::PRIVATE, file, 0) }?;
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        Ok(Contents { base, len_bytes })
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        // SAFETY: the range is ours, and nothing refers to it any more.
        let result = unsafe { munmap(self.base.as_ptr().cast(), self.len_bytes) };
        debug_assert!(result.is_ok());
    }
}

impl Image {
    /// Whole pages with `parts` written into them in their order, each where it says; zeros elsewhere. None where the system has no memory or descriptor for it, or does
    /// not know such files.
    pub(crate) fn new<'a>(
        len_bytes: usize,
        parts: impl IntoIterator<Item = (usize, &'a [u8])>,
    ) -> Option<Image> {
        let whole = || -> Result<Image, Errno> {
            let file = memfd_create(c"innkeeper-image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
            ftruncate(&file, len_bytes as u64)?;
            for (start, contents) in parts {
                write_all(file.as_fd(), start, contents)?;
            }
            let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
            fcntl_add_seals(&file, seals)?;
            let contents = Contents::of(file.as_fd(), len_bytes)?;
            Ok(Image { file, len_bytes, contents })
        };
        whole().ok()
    }

    /// One that the system refuses to map.
    #[cfg(test)]
    pub(crate) fn refused(len_bytes: usize) -> Image {
        let contents = Image::new(len_bytes, []).unwrap().contents;
        let file = std::fs::File::open("/dev/null").unwrap();
        Image { file: file.into(), len_bytes, contents }
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// What is in it.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the file is as long as that, sealed, and mapped as long as `self` lives.
        unsafe { std::slice::from_raw_parts(self.contents.base.as_ptr(), self.len_bytes) }
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

fn write_all(file: BorrowedFd<'_>, start: usize, contents: &[u8]) -> Result<(), Errno> {
    let mut written = 0;
    while written < contents.len() {
        match pwrite(file, &contents[written..], (start + written) as u64) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => written += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
