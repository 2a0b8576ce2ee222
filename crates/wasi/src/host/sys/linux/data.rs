//! Bytes and open files.

use std::io::{IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{FallocateFlags, FileType, Mode, OFlags, SeekFrom};
use rustix::io::ReadWriteFlags;

use super::{Error, retry};
use crate::host::file::{Advice, Whence};
use crate::host::gate::Permit;
use crate::host::open::WriteSync;
use crate::host::pipe_room::PipeUse;
use crate::host::poll::Direction;

pub(crate) fn read(_: &Permit, fd: BorrowedFd<'_>, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
    match buffers {
        [buffer] => retry(|| rustix::io::read(fd, &mut buffer[..])),
        buffers => retry(|| rustix::io::readv(fd, buffers)),
    }
}

pub(crate) fn write(_: &Permit, fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> Result<usize, Error> {
    match buffers {
        [buffer] => retry(|| rustix::io::write(fd, buffer)),
        buffers => retry(|| rustix::io::writev(fd, buffers)),
    }
}

/// Reads what is there, whatever the descriptor's own mode is, which others may share: [`Error::Again`] where that is nothing,
/// [`Error::NotSupported`] where the system cannot do that for such a file.
pub(crate) fn read_now(
    _: &Permit,
    fd: BorrowedFd<'_>,
    buffers: &mut [IoSliceMut<'_>],
) -> Result<usize, Error> {
    retry(|| rustix::io::preadv2(fd, buffers, AT_POSITION, ReadWriteFlags::NOWAIT))
}

/// Writes what there is room for; as [`read_now`].
pub(crate) fn write_now(_: &Permit, fd: BorrowedFd<'_>, buffers: &[IoSlice<'_>]) -> Result<usize, Error> {
    retry(|| rustix::io::pwritev2(fd, buffers, AT_POSITION, ReadWriteFlags::NOWAIT))
}

/// The offset that means the position, and what has none.
const AT_POSITION: u64 = u64::MAX;

/// Opens what a descriptor is open to once more, with a mode of its own that does not wait: for terminals and pipes, which nothing happens to when they
/// are opened.
pub(crate) fn reopen_nonblocking(
    _: &Permit,
    fd: BorrowedFd<'_>,
    direction: Direction,
) -> Result<OwnedFd, Error> {
    let mode = rustix::fs::fstat(fd)?.st_mode;
    if !is_terminal(fd) && FileType::from_raw_mode(mode) != FileType::Fifo {
        return Err(Error::NotSupported);
    }
    let access = match direction {
        Direction::Read => OFlags::RDONLY,
        Direction::Write => OFlags::WRONLY,
    };
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    retry(|| rustix::fs::open(&path, flags, Mode::empty()))
}

pub(crate) fn read_at(
    _: &Permit,
    fd: BorrowedFd<'_>,
    buffers: &mut [IoSliceMut<'_>],
    offset: u64,
) -> Result<usize, Error> {
    retry(|| rustix::io::preadv(fd, buffers, offset))
}

pub(crate) fn write_at(
    _: &Permit,
    fd: BorrowedFd<'_>,
    buffers: &[IoSlice<'_>],
    offset: u64,
) -> Result<usize, Error> {
    retry(|| rustix::io::pwritev(fd, buffers, offset))
}

/// Writes at `offset` to a file opened for appending, where the system would write at the end. From Linux 6.9 on that can be said of one call; before,
/// the file is opened once more.
pub(crate) fn write_at_not_appending(
    _: &Permit,
    fd: BorrowedFd<'_>,
    buffers: &[IoSlice<'_>],
    offset: u64,
) -> Result<usize, Error> {
    const NOT_APPENDING: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x20);
    match retry(|| rustix::io::pwritev2(fd, buffers, offset, NOT_APPENDING)) {
        Err(Error::NotSupported | Error::Invalid) => {
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let sync = rustix::fs::fcntl_getfl(fd)? & (OFlags::SYNC | OFlags::DSYNC);
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC | sync;
            let opened = retry(|| rustix::fs::open(&path, flags, Mode::empty()))?;
            retry(|| rustix::io::pwritev(&opened, buffers, offset))
        }
        result => result,
    }
}

/// Writes at the end of a file, whichever way it was opened.
pub(crate) fn write_appending(
    _: &Permit,
    fd: BorrowedFd<'_>,
    buffers: &[IoSlice<'_>],
) -> Result<usize, Error> {
    // The offset moves nothing: the file's position stays.
    retry(|| rustix::io::pwritev2(fd, buffers, 0, ReadWriteFlags::APPEND))
}

pub(crate) fn seek(_: &Permit, fd: BorrowedFd<'_>, whence: Whence) -> Result<u64, Error> {
    let to = match whence {
        Whence::Start(offset) => SeekFrom::Start(offset),
        Whence::Current(delta) => SeekFrom::Current(delta),
        Whence::End(delta) => SeekFrom::End(delta),
    };
    Ok(rustix::fs::seek(fd, to)?)
}

pub(crate) fn flush_all(_: &Permit, fd: BorrowedFd<'_>) -> Result<(), Error> {
    retry(|| rustix::fs::fsync(fd))
}

/// As [`flush_data`] and [`flush_all`], of a directory.
pub(crate) fn flush_directory(permit: &Permit, fd: BorrowedFd<'_>, what: WriteSync) -> Result<(), Error> {
    let flush = |fd: BorrowedFd<'_>| match what {
        WriteSync::Data => flush_data(permit, fd),
        WriteSync::File => flush_all(permit, fd),
    };
    match flush(fd) {
        // It is open for looking up names only.
        Err(Error::BadHandle) => flush(super::open_list(permit, fd)?.as_fd()),
        flushed => flushed,
    }
}

pub(crate) fn flush_data(_: &Permit, fd: BorrowedFd<'_>) -> Result<(), Error> {
    retry(|| rustix::fs::fdatasync(fd))
}

pub(crate) fn set_size(_: &Permit, fd: BorrowedFd<'_>, size_bytes: u64) -> Result<(), Error> {
    retry(|| rustix::fs::ftruncate(fd, size_bytes))
}

pub(crate) fn allocate(_: &Permit, fd: BorrowedFd<'_>, offset: u64, length: u64) -> Result<(), Error> {
    retry(|| rustix::fs::fallocate(fd, FallocateFlags::empty(), offset, length))
}

pub(crate) fn advise(
    _: &Permit,
    fd: BorrowedFd<'_>,
    range: (u64, Option<NonZeroU64>),
    advice: Advice,
) -> Result<(), Error> {
    let advice = match advice {
        Advice::Normal => rustix::fs::Advice::Normal,
        Advice::Sequential => rustix::fs::Advice::Sequential,
        Advice::Random => rustix::fs::Advice::Random,
        Advice::WillNeed => rustix::fs::Advice::WillNeed,
        Advice::DontNeed => rustix::fs::Advice::DontNeed,
        Advice::NoReuse => rustix::fs::Advice::NoReuse,
    };
    Ok(rustix::fs::fadvise(fd, range.0, range.1, advice)?)
}

/// Whether somebody has a named pipe open for writing, or has written to it: nobody is the end of file to a reader. Nothing is taken out: what is there is
/// copied to another pipe.
pub(crate) fn has_writer(_: &Permit, pipe: BorrowedFd<'_>) -> Result<bool, Error> {
    let (_read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    match retry(|| rustix::pipe::tee(pipe, &write, 1, rustix::pipe::SpliceFlags::NONBLOCK)) {
        Ok(copied) => Ok(copied > 0),
        Err(Error::Again) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Switches between appending and writing at the position.
pub(crate) fn set_append(_: &Permit, fd: BorrowedFd<'_>, append: Append) -> Result<(), Error> {
    let mut flags = rustix::fs::fcntl_getfl(fd)?;
    flags.set(OFlags::APPEND, append == Append::Yes);
    Ok(rustix::fs::fcntl_setfl(fd, flags)?)
}

/// Whether writes go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Append {
    Yes,
    No,
}

/// Bytes that can be read without waiting.
pub(crate) fn readable_bytes(_: &Permit, fd: BorrowedFd<'_>) -> Result<u64, Error> {
    Ok(rustix::io::ioctl_fionread(fd)?)
}

/// How full a pipe is; nothing where it is none, or one that keeps writes apart.
pub(crate) fn pipe_use(_: &Permit, fd: BorrowedFd<'_>) -> Option<PipeUse> {
    let capacity_bytes = rustix::pipe::fcntl_getpipe_size(fd).ok()? as u64;
    let used_bytes = rustix::io::ioctl_fionread(fd).ok()?;
    let keeps_apart = rustix::fs::fcntl_getfl(fd).ok()?.contains(OFlags::DIRECT);
    (!keeps_apart).then_some(PipeUse { capacity_bytes, used_bytes })
}

/// The host process's standard streams.
pub(crate) fn stdin() -> BorrowedFd<'static> {
    rustix::stdio::stdin()
}

pub(crate) fn stdout() -> BorrowedFd<'static> {
    rustix::stdio::stdout()
}

pub(crate) fn stderr() -> BorrowedFd<'static> {
    rustix::stdio::stderr()
}

pub(crate) fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    rustix::termios::isatty(fd)
}
