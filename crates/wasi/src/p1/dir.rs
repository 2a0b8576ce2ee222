//! Listing a directory.

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer};
use super::rights::Rights;
use super::table::Fd;
use super::types::FileType;
use crate::host::{DirEntry, Error, Host, Listing};

/// Bytes of a `dirent`, which a name follows.
const DIRENT_BYTES: usize = 24;

/// Writes entries of a directory, beginning after the one that `cookie` came with (zero: from the start), and how many
/// bytes they take. The last entry is cut off where the buffer ends; less than a full buffer means that the end of the
/// directory was reached.
///
/// Cookies count entries, `.` and `..` included. They stay valid while the directory is open and not listed anew from zero, also
/// when entries are removed; one that was never given out counts all the same. A name that is not UTF-8 is shown
/// with replacement characters, and cannot be opened by what is shown.
///
/// # Errors
/// `badf`, `notdir`, `notcapable`, `fault`.
///
/// Specification: `fd_readdir`.
pub(super) fn fd_readdir(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    buffer: Pointer,
    buffer_len: u32,
    cookie: u64,
    used: Pointer,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    let directory = entry.directory(Rights::FD_READDIR)?;
    memory.check(used, 4)?;
    let mut listing = entry.listing();
    let listing = match &mut *listing {
        Some(listing) => listing,
        none => none.insert(cx.host.list(directory)?),
    };
    memory.check(buffer, buffer_len.into())?;
    // A memory that threads share is written by way of a copy, which is no longer than need be.
    let mut room = buffer_len.min(ROOM_BYTES);
    let filled = loop {
        let filled = memory.fill_bytes(buffer, room, |bytes| fill(&cx.host, listing, bytes, cookie))?;
        if filled < room as usize || room == buffer_len {
            break filled;
        }
        room = room.saturating_mul(2).min(buffer_len);
    };
    memory.write_u32(used, u32::try_from(filled).map_err(|_| Errno::Overflow)?)
}

/// As much of a buffer is filled first; most directories need less.
const ROOM_BYTES: u32 = 1 << 20;

fn fill(host: &Host, listing: &mut Listing, buffer: &mut [u8], cookie: u64) -> Result<usize, Error> {
    let mut filled = 0;
    let mut index = cookie;
    while filled < buffer.len() {
        let Some(entry) = host.entry(listing, index)? else {
            break;
        };
        index = index.saturating_add(1);
        filled += put_entry(&mut buffer[filled..], &entry, index);
    }
    Ok(filled)
}

/// Writes one entry, as much of it as fits, and returns how much that was.
fn put_entry(buffer: &mut [u8], entry: &DirEntry<'_>, next: u64) -> usize {
    let name = String::from_utf8_lossy(entry.name);
    let mut bytes = [0; DIRENT_BYTES];
    bytes[0..8].copy_from_slice(&next.to_le_bytes());
    bytes[8..16].copy_from_slice(&entry.inode.to_le_bytes());
    // A name of a file is far shorter than this can say.
    bytes[16..20].copy_from_slice(&(name.len() as u32).to_le_bytes());
    bytes[20] = FileType::from(entry.kind) as u8;
    let head = put(buffer, &bytes);
    head + put(&mut buffer[head..], name.as_bytes())
}

fn put(buffer: &mut [u8], bytes: &[u8]) -> usize {
    let count = buffer.len().min(bytes.len());
    buffer[..count].copy_from_slice(&bytes[..count]);
    count
}
