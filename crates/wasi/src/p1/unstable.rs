//! `wasi_unstable`, the snapshot before: the four functions that differ from `wasi_snapshot_preview1`.
//!
//! Everything else is the same, and `sock_accept` is missing. Not a place for new behaviour.
//!
//! Specification: <https://github.com/WebAssembly/WASI/blob/wasi-0.1/snapshot-0/docs.md>

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer};
use super::poll::{Arrays, Layout};
use super::rights::Rights;
use super::table::Fd;
use super::types::{FileStat, LookupFlags};
use super::{fd, filestat, poll};
use crate::host::Whence;

/// The clock's number comes after a user-defined identifier.
const LAYOUT: Layout = Layout { size: 56, clock_id: 24, clock_timeout: 32, clock_flags: 48 };

/// [`fd::fd_seek`] with other numbers: 0 for the position, 1 for the end, 2 for the beginning.
///
/// # Errors
/// As there.
///
/// Specification: `fd_seek` of snapshot 0.
pub(super) fn fd_seek(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    offset: i64,
    whence: u32,
    new_offset: Pointer,
) -> Result<(), Errno> {
    let whence = match whence {
        0 => Ok(Whence::Current(offset)),
        1 => Ok(Whence::End(offset)),
        2 => fd::from_start(offset),
        _ => Err(Errno::Inval),
    };
    fd::seek(cx, memory, fd, whence, new_offset)
}

/// [`filestat::fd_filestat_get`] with a record of 56 bytes.
///
/// # Errors
/// As there.
///
/// Specification: `fd_filestat_get` of snapshot 0.
pub(super) fn fd_filestat_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    stat: Pointer,
) -> Result<(), Errno> {
    let bytes = to_bytes(&filestat::of_descriptor(cx, fd)?);
    memory.write(stat, &bytes)
}

/// [`filestat::path_filestat_get`] with a record of 56 bytes.
///
/// # Errors
/// As there.
///
/// Specification: `path_filestat_get` of snapshot 0.
pub(super) fn path_filestat_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    flags: u32,
    path: Pointer,
    path_len: u32,
    stat: Pointer,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    let directory = entry.directory(Rights::PATH_FILESTAT_GET)?;
    let flags = LookupFlags::from_bits(flags)?;
    memory.check(stat, 56)?;
    let metadata = cx.host.stat_at(directory, &memory.path(path, path_len)?, flags.last_link())?;
    memory.write(stat, &to_bytes(&FileStat::from(metadata)))
}

/// [`poll::poll_oneoff`] with subscriptions of 56 bytes.
///
/// # Errors
/// As there.
///
/// Specification: `poll_oneoff` of snapshot 0.
pub(super) async fn poll_oneoff(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    subscriptions: Pointer,
    events: Pointer,
    count: u32,
    nevents: Pointer,
) -> Result<(), Errno> {
    poll::poll_with_layout(cx, memory, Arrays { subscriptions, events, count, nevents }, LAYOUT).await
}

/// The record as it looked then: the number of links has 32 bits and stands right after the type.
fn to_bytes(stat: &FileStat) -> [u8; 56] {
    let mut bytes = [0; 56];
    let now = stat.to_bytes();
    bytes[0..17].copy_from_slice(&now[0..17]);
    bytes[20..24].copy_from_slice(&u32::try_from(stat.nlink).unwrap_or(u32::MAX).to_le_bytes());
    bytes[24..56].copy_from_slice(&now[32..64]);
    bytes
}
