//! Reading, writing and positioning of descriptors, and closing and renumbering them.
//!
//! Writing to a file opened for appending goes to its end, except through [`fd_pwrite`], which honours its offset.

use std::io::{IoSlice, IoSliceMut};

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer};
use super::rights::Rights;
use super::table::{Entry, Fd, Object};
use crate::host::{Advice, Error, File, ReceiveFlags, Whence, WriteSync};

/// Says how `length` bytes from `offset` will be used.
///
/// # Errors
/// `badf`, `notcapable`; `inval` for unknown advice or a range beyond what files can have; `spipe` for a pipe.
///
/// Specification: `fd_advise`.
pub(super) fn fd_advise(
    cx: &mut Context,
    _memory: &mut GuestMemory<'_>,
    fd: Fd,
    offset: u64,
    length: u64,
    advice: u32,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    let file = entry.file(Rights::FD_ADVISE)?;
    let advice = match advice {
        0 => Advice::Normal,
        1 => Advice::Sequential,
        2 => Advice::Random,
        3 => Advice::WillNeed,
        4 => Advice::DontNeed,
        5 => Advice::NoReuse,
        _ => return Err(Errno::Inval),
    };
    Ok(cx.host.advise(file, (offset, length), advice)?)
}

/// Reserves space for `length` bytes from `offset`, growing the file if need be.
///
/// # Errors
/// `badf`, `notcapable`, `perm` through a read-only key, `inval` for an empty range, `nospc`, `fbig`,
/// `notsup` by the file system.
///
/// Specification: `fd_allocate`.
pub(super) fn fd_allocate(
    cx: &mut Context,
    _memory: &mut GuestMemory<'_>,
    fd: Fd,
    offset: u64,
    length: u64,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    Ok(cx.host.allocate(entry.file(Rights::FD_ALLOCATE)?, offset, length)?)
}

/// Closes a descriptor. Preopened ones can be closed too.
///
/// # Errors
/// `badf`.
///
/// Specification: `fd_close`.
pub(super) fn fd_close(cx: &mut Context, _memory: &mut GuestMemory<'_>, fd: Fd) -> Result<(), Errno> {
    cx.table.remove(fd).map(drop)
}

/// Waits until the file's data is on the medium.
///
/// # Errors
/// `badf` also for streams, `notcapable`, `io`.
///
/// Specification: `fd_datasync`.
pub(super) fn fd_datasync(cx: &mut Context, _memory: &mut GuestMemory<'_>, fd: Fd) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    Ok(match &entry.object {
        Object::Directory(_) => {
            cx.host.flush_directory(entry.directory(Rights::FD_DATASYNC)?, WriteSync::Data)
        }
        _ => cx.host.flush(entry.file(Rights::FD_DATASYNC)?, WriteSync::Data),
    }?)
}

/// Waits until the file's data and metadata are on the medium.
///
/// # Errors
/// `badf` also for streams, `notcapable`, `io`.
///
/// Specification: `fd_sync`.
pub(super) fn fd_sync(cx: &mut Context, _memory: &mut GuestMemory<'_>, fd: Fd) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    Ok(match &entry.object {
        Object::Directory(_) => cx.host.flush_directory(entry.directory(Rights::FD_SYNC)?, WriteSync::File),
        _ => cx.host.flush(entry.file(Rights::FD_SYNC)?, WriteSync::File),
    }?)
}

/// Reads at the position into the buffers and writes how many bytes that was; zero at the end.
///
/// # Errors
/// `isdir` for directories, `badf` also if not open for reading, `fault`, `inval`, `again`, `intr`, `io`.
///
/// Specification: `fd_read`.
pub(super) async fn fd_read(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    iovs: Pointer,
    iovs_len: u32,
    nread: Pointer,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    refuse_directory(&entry)?;
    entry.require(Rights::FD_READ)?;
    memory.check(nread, 4)?;
    if let Object::File(file) = &entry.object
        && !file.may_wait()
    {
        return read_regular(cx, memory, file, (iovs, iovs_len, nread));
    }
    let buffers = memory.buffers(iovs, iovs_len)?;
    let mut copy = None;
    let mut lent = memory.lend_mut(&buffers, &mut copy)?;
    let slices = lent.slices();
    let count = match &entry.object {
        Object::File(file) => cx.host.read(file, slices).await,
        Object::Stream(stream) => cx.host.read_stream(stream, slices).await,
        Object::Socket(socket) => cx.host.receive(socket, first_mut(slices), ReceiveFlags::default()).await,
        Object::Directory(_) => Err(Error::BadHandle),
    }?;
    let count = lent.filled(count)?;
    write_count(memory, nread, count)
}

/// [`fd_read`] of what never waits: on its own, since whatever a future holds is stored and loaded again.
fn read_regular(
    cx: &Context,
    memory: &mut GuestMemory<'_>,
    file: &File,
    (iovs, iovs_len, nread): (Pointer, u32, Pointer),
) -> Result<(), Errno> {
    let buffers = memory.buffers(iovs, iovs_len)?;
    let count = memory.fill(&buffers, |slices| cx.host.read_regular(file, slices))?;
    write_count(memory, nread, count)
}

/// [`fd_write`] to what never waits.
fn write_regular(
    cx: &Context,
    memory: &mut GuestMemory<'_>,
    file: &File,
    (iovs, iovs_len, nwritten): (Pointer, u32, Pointer),
) -> Result<(), Errno> {
    let buffers = memory.buffers(iovs, iovs_len)?;
    let count = memory.gather(&buffers, |slices| cx.host.write_regular(file, slices))?;
    write_count(memory, nwritten, count)
}

/// Reads at `offset`; the position stays.
///
/// # Errors
/// As [`fd_read`], `spipe` for what has no positions, `inval` beyond what files can have.
///
/// Specification: `fd_pread`.
pub(super) fn fd_pread(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    iovs: Pointer,
    iovs_len: u32,
    offset: u64,
    nread: Pointer,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    refuse_directory(&entry)?;
    let file = entry.seekable(Rights::FD_READ | Rights::FD_SEEK)?;
    memory.check(nread, 4)?;
    let buffers = memory.buffers(iovs, iovs_len)?;
    let count = memory.fill(&buffers, |slices| cx.host.read_at(file, slices, offset))?;
    write_count(memory, nread, count)
}

/// Writes the buffers at the position and writes how many bytes that was, which can be less than all.
///
/// # Errors
/// `badf` also if not open for writing, `fault`, `inval`, `again`, `intr`, `pipe`, `nospc`, `fbig`, `io`.
///
/// Specification: `fd_write`.
pub(super) async fn fd_write(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    iovs: Pointer,
    iovs_len: u32,
    nwritten: Pointer,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    entry.require(Rights::FD_WRITE)?;
    memory.check(nwritten, 4)?;
    if let Object::File(file) = &entry.object
        && !file.may_wait()
    {
        return write_regular(cx, memory, file, (iovs, iovs_len, nwritten));
    }
    let buffers = memory.buffers(iovs, iovs_len)?;
    let count = {
        let lent = memory.lend(&buffers)?;
        let slices = lent.slices();
        match &entry.object {
            Object::File(file) => cx.host.write(file, &slices).await,
            Object::Stream(stream) => cx.host.write_stream(stream, &slices).await,
            Object::Socket(socket) => cx.host.send(socket, first(&slices)).await,
            Object::Directory(_) => Err(Error::BadHandle),
        }?
    };
    write_count(memory, nwritten, count)
}

/// Writes at `offset`, or at the end if the file is open for appending; the position stays.
///
/// # Errors
/// As [`fd_write`], `spipe` for what has no positions, `inval` beyond what files can have.
///
/// Specification: `fd_pwrite`.
pub(super) fn fd_pwrite(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    iovs: Pointer,
    iovs_len: u32,
    offset: u64,
    nwritten: Pointer,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    let file = entry.seekable(Rights::FD_WRITE | Rights::FD_SEEK)?;
    memory.check(nwritten, 4)?;
    let buffers = memory.buffers(iovs, iovs_len)?;
    let count = memory.gather(&buffers, |slices| cx.host.write_at(file, slices, offset))?;
    write_count(memory, nwritten, count)
}

/// Moves a descriptor to the number of another open one, which is closed. Onto itself: nothing happens.
///
/// # Errors
/// `badf` unless both are open.
///
/// Specification: `fd_renumber`.
pub(super) fn fd_renumber(
    cx: &mut Context,
    _memory: &mut GuestMemory<'_>,
    from: Fd,
    to: Fd,
) -> Result<(), Errno> {
    cx.table.renumber(from, to)
}

/// Moves the position and writes it. `whence` is 0 for the beginning, 1 for the position, 2 for the end.
///
/// # Errors
/// `badf` also for directories, `notcapable`, `fault`, `spipe` for what has no position, `inval` before the beginning,
/// beyond what files can have, or for another `whence`.
///
/// Specification: `fd_seek`.
pub(super) fn fd_seek(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    offset: i64,
    whence: u32,
    new_offset: Pointer,
) -> Result<(), Errno> {
    let whence = match whence {
        0 => from_start(offset),
        1 => Ok(Whence::Current(offset)),
        2 => Ok(Whence::End(offset)),
        _ => Err(Errno::Inval),
    };
    seek(cx, memory, fd, whence, new_offset)
}

/// Writes the position.
///
/// # Errors
/// `badf` also for directories, `notcapable`, `fault`, `spipe` for what has no position.
///
/// Specification: `fd_tell`.
pub(super) fn fd_tell(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    offset: Pointer,
) -> Result<(), Errno> {
    seek(cx, memory, fd, Ok(Whence::Current(0)), offset)
}

/// [`fd_seek`] after the meaning of its numbers has been found.
pub(super) fn seek(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    whence: Result<Whence, Errno>,
    new_offset: Pointer,
) -> Result<(), Errno> {
    let rights = if whence == Ok(Whence::Current(0)) { Rights::FD_TELL } else { Rights::FD_SEEK };
    let entry = cx.table.get(fd)?;
    let file = entry.seekable(rights)?;
    memory.check(new_offset, 8)?;
    let position = cx.host.seek(file, whence?)?;
    memory.write_u64(new_offset, position)
}

/// An offset from the beginning, which cannot be negative.
pub(super) fn from_start(offset: i64) -> Result<Whence, Errno> {
    u64::try_from(offset).map(Whence::Start).map_err(|_| Errno::Inval)
}

/// A directory is opened for reading, and what is in it is not read so.
fn refuse_directory(entry: &Entry) -> Result<(), Errno> {
    if matches!(entry.object, Object::Directory(_)) { Err(Errno::IsDir) } else { Ok(()) }
}

/// The first slice that is not empty.
fn first<'a>(slices: &'a [IoSlice<'_>]) -> &'a [u8] {
    slices.iter().find(|slice| !slice.is_empty()).map_or(&[], |slice| slice)
}

/// As [`first`], to be changed.
fn first_mut<'a>(slices: &'a mut [IoSliceMut<'_>]) -> &'a mut [u8] {
    slices.iter_mut().find(|slice| !slice.is_empty()).map_or(&mut [], |slice| slice)
}

fn write_count(memory: &mut GuestMemory<'_>, pointer: Pointer, count: usize) -> Result<(), Errno> {
    memory.write_u32(pointer, u32::try_from(count).map_err(|_| Errno::Overflow)?)
}
