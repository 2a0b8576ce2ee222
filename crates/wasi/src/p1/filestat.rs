//! Metadata of files, by descriptor and by path, and what of it can be changed.
//!
//! Of standard streams and sockets only the type is told: the rest would be about the host.

use super::context::Context;
use super::errno::Errno;
use super::fdstat::file_type;
use super::memory::{GuestMemory, Pointer};
use super::path::base;
use super::rights::Rights;
use super::table::{Fd, Object};
use super::types::{FileStat, FstFlags, LookupFlags};
use crate::host::Operation;

/// Writes the metadata of an open descriptor: a 64-byte `filestat`.
///
/// # Errors
/// `badf`, `notcapable`, `fault`.
///
/// Specification: `fd_filestat_get`.
pub(super) fn fd_filestat_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    stat: Pointer,
) -> Result<(), Errno> {
    let bytes = of_descriptor(cx, fd)?.to_bytes();
    memory.write(stat, &bytes)
}

/// Makes a file this long, cutting or filling with zeros.
///
/// # Errors
/// `badf` also for directories, `notcapable`, `perm` through a read-only key, `inval` if it is not open for writing or too
/// long for a file, `fbig`, `nospc`.
///
/// Specification: `fd_filestat_set_size`.
pub(super) fn fd_filestat_set_size(
    cx: &mut Context,
    _memory: &mut GuestMemory<'_>,
    fd: Fd,
    size: u64,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    Ok(cx.host.set_size(entry.file(Rights::FD_FILESTAT_SET_SIZE)?, size)?)
}

/// Changes the times of a file or directory, in nanoseconds since 1970.
///
/// # Errors
/// `badf` also for streams and sockets, `notcapable`, `perm` through a read-only key, `inval` for a time that is both given and
/// the current one.
///
/// Specification: `fd_filestat_set_times`.
pub(super) fn fd_filestat_set_times(
    cx: &mut Context,
    _memory: &mut GuestMemory<'_>,
    fd: Fd,
    accessed_ns: u64,
    modified_ns: u64,
    flags: u32,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    let times = FstFlags::from_bits(flags)?.times(accessed_ns, modified_ns);
    match &entry.object {
        Object::Directory(directory) => {
            entry.require(Rights::FD_FILESTAT_SET_TIMES)?;
            cx.host.set_times_of_directory(directory, times?)?;
        }
        Object::File(file) => {
            entry.require(Rights::FD_FILESTAT_SET_TIMES)?;
            cx.host.set_times_of_file(file, times?)?;
        }
        Object::Stream(_) | Object::Socket(_) => return Err(Errno::Badf),
    }
    Ok(())
}

/// Writes the metadata of what a path names: a 64-byte `filestat`.
///
/// # Errors
/// `badf`, `notdir`, `notcapable`, `fault`, `inval`, and those of every path operation: `perm` if the path leaves the
/// directory, `noent`, `notdir`, `loop`, `nametoolong`, `ilseq`, `acces`.
///
/// Specification: `path_filestat_get`.
pub(super) fn path_filestat_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    flags: u32,
    path: Pointer,
    path_len: u32,
    stat: Pointer,
) -> Result<(), Errno> {
    let directory = base(cx, memory, fd, (path, path_len), Operation::Stat)?;
    let directory = directory.directory(Rights::PATH_FILESTAT_GET)?;
    let flags = LookupFlags::from_bits(flags)?;
    memory.check(stat, 64)?;
    let path = memory.path(path, path_len)?;
    let metadata = cx.host.stat_at(directory, &path, flags.last_link())?;
    memory.write(stat, &FileStat::from(metadata).to_bytes())
}

/// Changes the times of what a path names, in nanoseconds since 1970.
///
/// # Errors
/// As [`path_filestat_get`], `perm` through a read-only key, `inval` for a time that is both given and the
/// current one.
///
/// Specification: `path_filestat_set_times`.
#[expect(clippy::too_many_arguments, reason = "the parameters are the specification's")]
pub(super) fn path_filestat_set_times(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    lookup: u32,
    path: Pointer,
    path_len: u32,
    accessed_ns: u64,
    modified_ns: u64,
    flags: u32,
) -> Result<(), Errno> {
    let directory = base(cx, memory, fd, (path, path_len), Operation::SetTimes)?;
    let directory = directory.directory(Rights::PATH_FILESTAT_SET_TIMES)?;
    let lookup = LookupFlags::from_bits(lookup)?;
    let times = FstFlags::from_bits(flags)?.times(accessed_ns, modified_ns)?;
    let path = memory.path(path, path_len)?;
    Ok(cx.host.set_times_at(directory, &path, lookup.last_link(), times)?)
}

/// [`fd_filestat_get`] before it is written.
pub(super) fn of_descriptor(cx: &Context, fd: Fd) -> Result<FileStat, Errno> {
    let entry = cx.table.get(fd)?;
    entry.require(Rights::FD_FILESTAT_GET)?;
    Ok(match &entry.object {
        Object::Directory(directory) => cx.host.stat_directory(directory)?.into(),
        Object::File(file) => cx.host.stat_file(file)?.into(),
        Object::Stream(_) | Object::Socket(_) => FileStat::of_type(file_type(&entry)),
    })
}
