//! Directory entries, one batch from the kernel at a time.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};

use super::path::{kind, reopen_directory};
use super::{Error, retry};
use crate::host::gate::Permit;
use crate::host::metadata::FileKind;

/// Bytes asked of the kernel at once: some hundreds of entries.
const BATCH_BYTES: usize = 32 * 1024;

/// A place in a directory that the kernel can return to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListPosition(u64);

impl ListPosition {
    pub(crate) const START: ListPosition = ListPosition(0);
}

/// One entry as the kernel gave it.
#[derive(Debug)]
pub(crate) struct RawEntry<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) inode: u64,
    /// Unknown where the file system does not say.
    pub(crate) kind: FileKind,
}

/// Opens a second handle to the directory, with a position of its own.
pub(crate) fn open_list(_: &Permit, directory: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match retry(|| rustix::fs::openat(directory, c".", flags, Mode::empty())) {
        // To read names takes no permission to look them up.
        Err(Error::Access) => reopen_directory(directory, flags),
        opened => opened,
    }
}

/// Reads one batch of entries from `position` on, without `.` and `..`, and returns where the next batch begins;
/// nothing at the end of the directory.
pub(crate) fn read_list(
    _: &Permit,
    list: BorrowedFd<'_>,
    position: ListPosition,
    mut take: impl FnMut(RawEntry<'_>),
) -> Result<Option<ListPosition>, Error> {
    // A position is what the kernel gave out, bit for bit; large ones are negative as an offset and still meant.
    rustix::fs::seek(list, SeekFrom::Start(position.0))?;
    let mut buffer: Vec<u8> = Vec::with_capacity(BATCH_BYTES);
    let mut entries = RawDir::new(list, buffer.spare_capacity_mut());
    let mut next = None;
    while let Some(entry) = entries.next() {
        let entry = match entry {
            // The directory is gone.
            Err(rustix::io::Errno::NOENT) => break,
            entry => entry?,
        };
        next = Some(ListPosition(entry.next_entry_cookie()));
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            take(RawEntry { name, inode: entry.ino(), kind: kind(entry.file_type()) });
        }
        if entries.is_buffer_empty() {
            break;
        }
    }
    Ok(next)
}
