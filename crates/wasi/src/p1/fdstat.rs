//! What a descriptor is and may do: `fdstat`, and the preopened directories.

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer};
use super::rights::Rights;
use super::table::{Entry, Fd, Object, Origin};
use super::types::{FdFlags, FileType};
use crate::host::{FileFlags, Nonblocking, WriteSync};

/// The kind of preopened thing: a directory. There is no other.
const PREOPEN_DIRECTORY: u8 = 0;

/// Writes a descriptor's type, flags and rights: a 24-byte `fdstat`.
///
/// A standard stream is a character device if it is a terminal, and of unknown type otherwise. Rights that the key rules out are not stated: libraries look there to
/// tell whether a file can be written.
///
/// # Errors
/// `badf`, `fault`.
///
/// Specification: `fd_fdstat_get`.
pub(super) fn fd_fdstat_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    stat: Pointer,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    let mut bytes = [0; 24];
    bytes[0] = file_type(&entry) as u8;
    bytes[2..4].copy_from_slice(&(flags(&entry).bits() as u16).to_le_bytes());
    let (base, inheriting) = entry.stated();
    bytes[8..16].copy_from_slice(&base.bits().to_le_bytes());
    bytes[16..24].copy_from_slice(&inheriting.bits().to_le_bytes());
    memory.write(stat, &bytes)
}

/// Changes `append` and `nonblock`. The other flags can be given if they are set already.
///
/// # Errors
/// `badf` also for directories, `notcapable`, `inval` for flags that cannot change, `perm` for appending through a
/// read-only key.
///
/// Specification: `fd_fdstat_set_flags`.
pub(super) fn fd_fdstat_set_flags(
    cx: &mut Context,
    _memory: &mut GuestMemory<'_>,
    fd: Fd,
    flags: u32,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    if matches!(entry.object, Object::Directory(_)) {
        return Err(Errno::Badf);
    }
    entry.require(Rights::FD_FDSTAT_SET_FLAGS)?;
    let wanted = FdFlags::from_bits(flags)?;
    let append = wanted.contains(FdFlags::APPEND);
    let nonblock = if wanted.contains(FdFlags::NONBLOCK) { Nonblocking::Yes } else { Nonblocking::No };
    let changeable = FdFlags::APPEND.bits() | FdFlags::NONBLOCK.bits();
    if wanted.bits() & !changeable & !self::flags(&entry).bits() != 0 {
        return Err(Errno::Inval);
    }
    match &entry.object {
        Object::File(file) => {
            let flags = FileFlags { append, nonblocking: nonblock == Nonblocking::Yes };
            cx.host.set_flags(file, flags)?;
        }
        Object::Stream(stream) => cx.host.set_stream_nonblocking(stream, nonblock)?,
        Object::Socket(socket) => cx.host.set_socket_nonblocking(socket, nonblock)?,
        Object::Directory(_) => return Err(Errno::Badf),
    }
    Ok(())
}

/// Gives rights up.
///
/// # Errors
/// `badf`; `notcapable` if a right is asked for that the descriptor does not have.
///
/// Specification: `fd_fdstat_set_rights`.
pub(super) fn fd_fdstat_set_rights(
    cx: &mut Context,
    _memory: &mut GuestMemory<'_>,
    fd: Fd,
    base: u64,
    inheriting: u64,
) -> Result<(), Errno> {
    cx.table.get(fd)?.narrow(Rights::from_bits(base), Rights::from_bits(inheriting))
}

/// Writes what kind of preopened thing a descriptor is and how long its name is: an 8-byte `prestat`.
///
/// # Errors
/// `badf` if it is not a preopened directory, `fault`.
///
/// Specification: `fd_prestat_get`.
pub(super) fn fd_prestat_get(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    prestat: Pointer,
) -> Result<(), Errno> {
    // Libraries ask for one number after the other, up to the first that is none.
    let name = preopened(cx, fd).inspect_err(|_| cx.host.note_directories_searched())?;
    let mut bytes = [0; 8];
    bytes[0] = PREOPEN_DIRECTORY;
    bytes[4..8].copy_from_slice(&u32::try_from(name.len()).map_err(|_| Errno::Overflow)?.to_le_bytes());
    memory.write(prestat, &bytes)
}

/// Writes the name of a preopened directory, without a NUL.
///
/// # Errors
/// `badf` if it is not a preopened directory, `nametoolong` if `length` is less than the name's, `fault`.
///
/// Specification: `fd_prestat_dir_name`.
pub(super) fn fd_prestat_dir_name(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    buffer: Pointer,
    length: u32,
) -> Result<(), Errno> {
    let name = preopened(cx, fd)?;
    if name.len() as u64 > u64::from(length) {
        return Err(Errno::NameTooLong);
    }
    memory.write(buffer, name.as_bytes())
}

/// The guest's name for a preopened directory.
fn preopened(cx: &Context, fd: Fd) -> Result<String, Errno> {
    let entry = cx.table.get(fd)?;
    match &*entry {
        Entry { object: Object::Directory(directory), origin: Origin::Preopened, .. } => {
            Ok(directory.guest_path().to_owned())
        }
        _ => Err(Errno::Badf),
    }
}

/// The type that a descriptor shows.
pub(super) fn file_type(entry: &Entry) -> FileType {
    match &entry.object {
        Object::Directory(_) => FileType::Directory,
        Object::File(file) => FileType::from(file.kind()),
        Object::Stream(stream) if stream.is_terminal() => FileType::CharacterDevice,
        Object::Stream(_) => FileType::Unknown,
        Object::Socket(_) => FileType::SocketStream,
    }
}

fn flags(entry: &Entry) -> FdFlags {
    let none = FdFlags::default();
    match &entry.object {
        Object::Directory(_) => none,
        Object::File(file) => none
            .with_if(FdFlags::APPEND, file.flags().append)
            .with_if(FdFlags::NONBLOCK, file.flags().nonblocking)
            .with_if(FdFlags::DSYNC, file.sync() == Some(WriteSync::Data))
            .with_if(FdFlags::SYNC, file.sync() == Some(WriteSync::File)),
        Object::Stream(stream) => none.with_if(FdFlags::NONBLOCK, stream.is_nonblocking()),
        Object::Socket(socket) => none.with_if(FdFlags::NONBLOCK, socket.is_nonblocking()),
    }
}
