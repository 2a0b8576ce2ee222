//! Contents that several mappings begin with, each with changes of its own: a file in memory, which is mapped privately.
//!
//! Must stay true: an image never changes once it is sealed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::{Errno, pwrite};

/// A file in memory that nobody can change any more.
pub(crate) struct Image {
    file: OwnedFd,
    len_bytes: usize,
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
            Ok(Image { file, len_bytes })
        };
        whole().ok()
    }

    /// One that the system refuses to map.
    #[cfg(test)]
    pub(crate) fn refused(len_bytes: usize) -> Image {
        let file = std::fs::File::open("/dev/null").unwrap();
        Image { file: file.into(), len_bytes }
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
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
