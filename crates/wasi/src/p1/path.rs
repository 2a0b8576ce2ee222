//! Operations on names in a directory.
//!
//! Errors of every operation here, besides its own: `badf`; `notdir` if the descriptor is a file; `notcapable`; `fault`; `ilseq` if the path
//! is not UTF-8; `inval` if it contains a NUL; `nametoolong`; `noent` if it is empty or a part does not exist; `notdir`;
//! `loop`; `acces`; `perm` if it is absolute or leaves the directory, or the key is read-only and this is a change.

use std::sync::Arc;

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer};
use super::rights::Rights;
use super::table::{Entry, Fd, Object};
use super::types::{FdFlags, LookupFlags, OFlags};
use crate::host::{DataAccess, OpenOptions, Opened, Operation, WriteSync};

/// Creates a directory.
///
/// # Errors
/// `exist`, and those of every operation here.
///
/// Specification: `path_create_directory`.
pub(super) fn path_create_directory(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    path: Pointer,
    path_len: u32,
) -> Result<(), Errno> {
    let directory = base(cx, memory, fd, (path, path_len), Operation::CreateDirectory)?;
    let directory = directory.directory(Rights::PATH_CREATE_DIRECTORY)?;
    Ok(cx.host.create_directory(directory, &memory.path(path, path_len)?)?)
}

/// Gives a file a second name.
///
/// # Errors
/// `inval` for following a link, which is not supported, as in other hosts; `exist`, `xdev`; `perm` for a directory;
/// and those of every operation here.
///
/// Specification: `path_link`.
#[expect(clippy::too_many_arguments, reason = "the parameters are the specification's")]
pub(super) fn path_link(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    old_fd: Fd,
    old_flags: u32,
    old_path: Pointer,
    old_path_len: u32,
    new_fd: Fd,
    new_path: Pointer,
    new_path_len: u32,
) -> Result<(), Errno> {
    let old = base(cx, memory, old_fd, (old_path, old_path_len), Operation::Link)?;
    let old = old.directory(Rights::PATH_LINK_SOURCE)?;
    let new = base(cx, memory, new_fd, (new_path, new_path_len), Operation::Link)?;
    let new = new.directory(Rights::PATH_LINK_TARGET)?;
    if LookupFlags::from_bits(old_flags)?.contains(LookupFlags::SYMLINK_FOLLOW) {
        return Err(Errno::Inval);
    }
    let old_path = memory.path(old_path, old_path_len)?;
    let new_path = memory.path(new_path, new_path_len)?;
    Ok(cx.host.link((old, &old_path), (new, &new_path))?)
}

/// Opens a file or directory and writes its descriptor.
///
/// Of `rights_base` only `fd_read` and `fd_write` matter, and `fd_datasync` as what is left of a wish to write where the directory states none: a descriptor gets every other right that its directory passes
/// on and its type can have, since guests state incomplete sets. `rights_inheriting` is not needed for the same reason.
/// A named pipe is waited for as the system does, unless `nonblock` is set; nothing else is.
///
/// # Errors
/// `exist`, `isdir`, `mfile`, `nxio` with `nonblock` for a pipe without a reader; `intr`; `inval` for creating a directory; `notcapable` for reading or writing
/// that the directory does not pass on; and those of every operation here.
///
/// Specification: `path_open`.
#[expect(clippy::too_many_arguments, reason = "the parameters are the specification's")]
pub(super) async fn path_open(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    dirflags: u32,
    path: Pointer,
    path_len: u32,
    oflags: u32,
    rights_base: u64,
    _rights_inheriting: u64,
    fdflags: u32,
    opened: Pointer,
) -> Result<(), Errno> {
    let wish = Rights::from_bits(rights_base);
    let mut data = wish & (Rights::FD_READ | Rights::FD_WRITE);
    let makes = OFlags::from_bits(oflags).is_ok_and(|oflags| oflags.contains(OFlags::CREAT));
    let operation =
        if makes || data.contains(Rights::FD_WRITE) { Operation::OpenWrite } else { Operation::OpenRead };
    let parent = base(cx, memory, fd, (path, path_len), operation)?;
    let directory = parent.directory(Rights::PATH_OPEN)?;
    if parent.is_wish_to_write(wish) {
        data = data | Rights::FD_WRITE;
    }
    let lookup = LookupFlags::from_bits(dirflags)?;
    let oflags = OFlags::from_bits(oflags)?;
    let fdflags = FdFlags::from_bits(fdflags)?;
    check_rights(&parent, oflags, data)?;
    memory.check(opened, 4)?;
    let room = cx.room(directory.guest_path().len() + 1 + path_len as usize)?;
    let options = OpenOptions { last_link: lookup.last_link(), ..open_options(oflags, fdflags, data) };
    let found = cx.host.open_at(directory, &memory.path(path, path_len)?, &options).await?;
    let inheriting = parent.inheriting();
    let entry = match found {
        Opened::Directory(directory) => {
            Entry::new(Object::Directory(directory), inheriting & Rights::DIRECTORY, inheriting)
        }
        Opened::File(file) => {
            let unasked = (Rights::FD_READ | Rights::FD_WRITE).without(data);
            Entry::new(Object::File(file), (inheriting & Rights::FILE).without(unasked), Rights::NONE)
        }
    };
    let number = room.fill(entry)?;
    memory.write_u32(opened, number.0)
}

/// Writes the target of a symbolic link, as much of it as fits, and how many bytes that was.
///
/// # Errors
/// `inval` if it is no symbolic link, `perm` if the target is absolute, `ilseq` if it is not UTF-8; and those of every
/// operation here.
///
/// Specification: `path_readlink`.
#[expect(clippy::too_many_arguments, reason = "the parameters are the specification's")]
pub(super) fn path_readlink(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    path: Pointer,
    path_len: u32,
    buffer: Pointer,
    buffer_len: u32,
    used: Pointer,
) -> Result<(), Errno> {
    let directory = base(cx, memory, fd, (path, path_len), Operation::ReadLink)?;
    let directory = directory.directory(Rights::PATH_READLINK)?;
    memory.check(buffer, buffer_len.into())?;
    memory.check(used, 4)?;
    let target = cx.host.read_link(directory, &memory.path(path, path_len)?)?;
    if std::str::from_utf8(&target).is_err() {
        return Err(Errno::Ilseq);
    }
    let count = target.len().min(usize::try_from(buffer_len).unwrap_or(usize::MAX));
    memory.write(buffer, &target[..count])?;
    memory.write_u32(used, u32::try_from(count).map_err(|_| Errno::Overflow)?)
}

/// Removes an empty directory.
///
/// # Errors
/// `notempty`, `busy`, and those of every operation here.
///
/// Specification: `path_remove_directory`.
pub(super) fn path_remove_directory(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    path: Pointer,
    path_len: u32,
) -> Result<(), Errno> {
    let directory = base(cx, memory, fd, (path, path_len), Operation::RemoveDirectory)?;
    let directory = directory.directory(Rights::PATH_REMOVE_DIRECTORY)?;
    Ok(cx.host.remove_directory(directory, &memory.path(path, path_len)?)?)
}

/// Renames a file or directory, replacing a file or an empty directory.
///
/// # Errors
/// `xdev`, `busy` for `.`, `notempty`, `isdir`, and those of every operation here.
///
/// Specification: `path_rename`.
#[expect(clippy::too_many_arguments, reason = "the parameters are the specification's")]
pub(super) fn path_rename(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    old_fd: Fd,
    old_path: Pointer,
    old_path_len: u32,
    new_fd: Fd,
    new_path: Pointer,
    new_path_len: u32,
) -> Result<(), Errno> {
    let old = base(cx, memory, old_fd, (old_path, old_path_len), Operation::Rename)?;
    let old = old.directory(Rights::PATH_RENAME_SOURCE)?;
    let new = base(cx, memory, new_fd, (new_path, new_path_len), Operation::Rename)?;
    let new = new.directory(Rights::PATH_RENAME_TARGET)?;
    let old_path = memory.path(old_path, old_path_len)?;
    let new_path = memory.path(new_path, new_path_len)?;
    Ok(cx.host.rename((old, &old_path), (new, &new_path))?)
}

/// Creates a symbolic link. Where a relative target leads is checked when it is followed.
///
/// # Errors
/// `perm` for an absolute target, `exist`, and those of every operation here.
///
/// Specification: `path_symlink`.
pub(super) fn path_symlink(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    target: Pointer,
    target_len: u32,
    fd: Fd,
    path: Pointer,
    path_len: u32,
) -> Result<(), Errno> {
    let directory = base(cx, memory, fd, (path, path_len), Operation::Symlink)?;
    let directory = directory.directory(Rights::PATH_SYMLINK)?;
    let target = memory.path(target, target_len)?;
    Ok(cx.host.symlink(directory, &target, &memory.path(path, path_len)?)?)
}

/// Removes a name of something that is not a directory.
///
/// # Errors
/// `isdir`, and those of every operation here.
///
/// Specification: `path_unlink_file`.
pub(super) fn path_unlink_file(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    path: Pointer,
    path_len: u32,
) -> Result<(), Errno> {
    let directory = base(cx, memory, fd, (path, path_len), Operation::RemoveFile)?;
    let directory = directory.directory(Rights::PATH_UNLINK_FILE)?;
    Ok(cx.host.remove_file(directory, &memory.path(path, path_len)?)?)
}

/// The number that libraries name where they have found no directory for a path, and call the host all the same.
const NO_DIRECTORY: Fd = Fd(u32::MAX);

/// The directory that a path is looked up in. That a guest has found none is noted, with the path.
///
/// # Errors
/// `badf`.
pub(super) fn base(
    cx: &Context,
    memory: &GuestMemory<'_>,
    fd: Fd,
    (path, path_len): (Pointer, u32),
    operation: Operation,
) -> Result<Arc<Entry>, Errno> {
    cx.table.get(fd).inspect_err(|_| {
        if fd == NO_DIRECTORY
            && let Ok(path) = memory.path(path, path_len)
        {
            cx.host.note_no_directory(operation, &path);
        }
    })
}

/// The rights that opening in this way takes of the directory's descriptor.
fn check_rights(parent: &Entry, oflags: OFlags, data: Rights) -> Result<(), Errno> {
    if oflags.contains(OFlags::CREAT) {
        parent.require(Rights::PATH_CREATE_FILE)?;
    }
    if oflags.contains(OFlags::TRUNC) {
        parent.require(Rights::PATH_FILESTAT_SET_SIZE)?;
    }
    if parent.inheriting().contains(data) { Ok(()) } else { Err(Errno::NotCapable) }
}

fn open_options(oflags: OFlags, fdflags: FdFlags, data: Rights) -> OpenOptions {
    OpenOptions {
        access: match (data.contains(Rights::FD_READ), data.contains(Rights::FD_WRITE)) {
            (false, false) => DataAccess::Neither,
            (true, false) => DataAccess::Read,
            (false, true) => DataAccess::Write,
            (true, true) => DataAccess::ReadWrite,
        },
        create: oflags.contains(OFlags::CREAT),
        exclusive: oflags.contains(OFlags::EXCL),
        truncate: oflags.contains(OFlags::TRUNC),
        directory: oflags.contains(OFlags::DIRECTORY),
        append: fdflags.contains(FdFlags::APPEND),
        nonblocking: fdflags.contains(FdFlags::NONBLOCK),
        sync: if fdflags.contains(FdFlags::SYNC) || fdflags.contains(FdFlags::RSYNC) {
            Some(WriteSync::File)
        } else {
            fdflags.contains(FdFlags::DSYNC).then_some(WriteSync::Data)
        },
        ..OpenOptions::default()
    }
}
