//! Names: opening, and the operations on one name in one directory.
//!
//! Every `name` here is one component without a slash, `.`, or, for [`open_beneath`] alone, a path that the kernel
//! keeps beneath its base. No call follows a link in the last place, [`open_beneath`] excepted.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, Timestamps};
use rustix::io::Errno;

use super::{Error, retry};
use crate::host::gate::Permit;
use crate::host::metadata::{FileKind, Metadata, Timestamp};
use crate::host::open::{DataAccess, OpenOptions, WriteSync};
use crate::host::resolve::ResolvedName;
use crate::host::times::{SetTime, SetTimes};
use crate::keys::FileMode;

/// Permission bits of what a guest creates, before the host user's umask.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o777);

/// How to open something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenHow {
    flags: OFlags,
}

impl OpenHow {
    /// As a guest wants it, and never waiting for a device or the other end of a pipe.
    pub(crate) fn new(options: &OpenOptions) -> OpenHow {
        let mut flags = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        flags |= match options.access {
            DataAccess::Neither | DataAccess::Read => OFlags::RDONLY,
            DataAccess::Write => OFlags::WRONLY,
            DataAccess::ReadWrite => OFlags::RDWR,
        };
        let wishes = [
            (options.create, OFlags::CREATE),
            (options.exclusive, OFlags::EXCL),
            (options.truncate, OFlags::TRUNC),
            (options.append, OFlags::APPEND),
            (options.directory, OFlags::DIRECTORY),
            (options.sync == Some(WriteSync::Data), OFlags::DSYNC),
            (options.sync == Some(WriteSync::File), OFlags::SYNC),
        ];
        for (_, flag) in wishes.into_iter().filter(|(wished, _)| *wished) {
            flags |= flag;
        }
        OpenHow { flags }
    }

    /// A directory, only to look names up in.
    pub(crate) fn lookup() -> OpenHow {
        OpenHow { flags: OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC }
    }

    /// Anything, only to ask about it.
    pub(crate) fn look() -> OpenHow {
        OpenHow { flags: OFlags::PATH | OFlags::CLOEXEC }
    }

    pub(crate) fn without_following(self) -> OpenHow {
        OpenHow { flags: self.flags | OFlags::NOFOLLOW }
    }

    /// The kernel insists on no mode where nothing is created.
    fn mode(self) -> Mode {
        if self.flags.contains(OFlags::CREATE) { FILE_MODE } else { Mode::empty() }
    }
}

/// Opens a host directory for a key, following links.
pub(crate) fn open_granted(_: &Permit, path: &Path) -> Result<OwnedFd, std::io::Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match fs::openat(CWD, path, flags, Mode::empty()) {
        // What is in it may be looked up where it cannot be listed.
        Err(Errno::ACCESS) => Ok(fs::openat(CWD, path, OpenHow::lookup().flags, Mode::empty())?),
        opened => Ok(opened?),
    }
}

/// Opens for a key a host directory that is open already, maybe only to go on from there.
pub(crate) fn open_granted_again(_: &Permit, directory: BorrowedFd<'_>) -> Result<OwnedFd, std::io::Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match fs::openat(directory, c".", flags, Mode::empty()) {
        // What is in it may be looked up where it cannot be listed.
        Err(Errno::ACCESS) => directory.try_clone_to_owned(),
        opened => Ok(opened?),
    }
}

/// Opens for a key a host file that is open already, to be read from its beginning, whoever has read how much of it.
pub(crate) fn open_granted_input_again(_: &Permit, file: BorrowedFd<'_>) -> Result<OwnedFd, std::io::Error> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(fs::openat(CWD, path, OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens a host directory to look names up in, links followed, for the owner of the keys.
pub(crate) fn open_lookup_for_owner(_: &Permit, path: &Path) -> Result<OwnedFd, Error> {
    retry(|| fs::openat(CWD, path, OpenHow::lookup().flags, Mode::empty()))
}

/// Opens a host file for a key, to be read from, following links.
pub(crate) fn open_granted_input(_: &Permit, path: &Path) -> Result<OwnedFd, std::io::Error> {
    Ok(fs::openat(CWD, path, OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Opens or creates a host file for a key in its directory, to be written to, not following a link in the last place.
/// It is written over only by what is written to it: whoever opens it looks at it first.
pub(crate) fn open_granted_output(
    _: &Permit,
    (directory, name): (BorrowedFd<'_>, &OsStr),
    mode: FileMode,
) -> Result<OwnedFd, std::io::Error> {
    let mode = match mode {
        FileMode::Truncate => OFlags::empty(),
        FileMode::Append => OFlags::APPEND,
    };
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC | mode;
    Ok(fs::openat(directory, name, flags, FILE_MODE)?)
}

/// The host path that a descriptor has now; for reports to the owner of the keys.
pub(crate) fn path_of(_: &Permit, fd: BorrowedFd<'_>) -> Result<PathBuf, Error> {
    let link = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(PathBuf::from(OsString::from_vec(fs::readlink(link, Vec::new())?.into_bytes())))
}

/// Whether a descriptor is a regular file.
pub(crate) fn is_regular(fd: BorrowedFd<'_>) -> bool {
    fs::fstat(fd).is_ok_and(|stat| fs::FileType::from_raw_mode(stat.st_mode).is_file())
}

/// What the owner of the keys finds under a name.
#[derive(Debug)]
pub(crate) enum OwnersFind {
    /// A directory, to look up names in.
    Directory(OwnedFd),
    /// A link, and its text.
    Link(PathBuf),
    Other,
    Nothing,
    /// Something else is mounted there, or it cannot be looked at.
    Elsewhere,
}

/// The working directory, for the owner of the keys.
pub(crate) fn working_directory_for_owner() -> Option<(PathBuf, OwnedFd)> {
    let fd = fs::openat(CWD, c".", OpenHow::lookup().flags, Mode::empty()).ok()?;
    Some((std::env::current_dir().ok()?, fd))
}

/// What the owner of the keys finds under one name in a directory; never told to a guest. No link is followed, no mount is entered, and nothing is mounted.
pub(crate) fn look_for_owner(directory: BorrowedFd<'_>, name: &OsStr) -> OwnersFind {
    look_on_this_mount(directory, Path::new(name), ResolveFlags::BENEATH)
}

/// As [`look_for_owner`], in the root of the machine.
pub(crate) fn look_in_root_for_owner(name: &OsStr) -> OwnersFind {
    look_on_this_mount(CWD, &Path::new("/").join(name), ResolveFlags::empty())
}

fn look_on_this_mount(directory: BorrowedFd<'_>, path: &Path, resolve: ResolveFlags) -> OwnersFind {
    let resolve = resolve | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    // Whoever asks for a directory has it mounted.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match fs::openat2(directory, path, flags, Mode::empty(), resolve) {
        Ok(fd) => fd,
        Err(Errno::NOENT | Errno::NOTDIR) => return OwnersFind::Nothing,
        Err(_) => return OwnersFind::Elsewhere,
    };
    match fs::fstat(&fd).map(|stat| fs::FileType::from_raw_mode(stat.st_mode)) {
        Ok(fs::FileType::Directory) => OwnersFind::Directory(fd),
        Ok(fs::FileType::Symlink) => match fs::readlinkat(&fd, c"", Vec::new()) {
            Ok(target) => OwnersFind::Link(PathBuf::from(OsString::from_vec(target.into_bytes()))),
            Err(_) => OwnersFind::Elsewhere,
        },
        Ok(_) => OwnersFind::Other,
        Err(_) => OwnersFind::Elsewhere,
    }
}

/// Tries `openat2` with arguments that cannot fail where it exists and is allowed.
pub(crate) fn probe_beneath(_: &Permit) -> Result<(), Error> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    retry(|| fs::openat2(CWD, c".", OpenHow::lookup().flags, Mode::empty(), resolve))?;
    Ok(())
}

/// Whether a search goes on where something else is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mounts {
    /// It does.
    Cross,
    /// It fails as if it had left its base.
    Stay,
}

/// Opens `path`, which the kernel keeps beneath `base`; leaving is [`Error::Escape`].
pub(crate) fn open_beneath(
    _: &Permit,
    (base, mounts): (BorrowedFd<'_>, Mounts),
    path: &[u8],
    how: OpenHow,
) -> Result<OwnedFd, Error> {
    let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    if mounts == Mounts::Stay {
        resolve |= ResolveFlags::NO_XDEV;
    }
    retry(|| fs::openat2(base, path, how.flags, how.mode(), resolve)).map_err(|error| match error {
        Error::CrossDevice => Error::Escape,
        other => other,
    })
}

/// Opens one name. `how` must not follow links.
pub(crate) fn open_name(
    _: &Permit,
    directory: BorrowedFd<'_>,
    name: &[u8],
    how: OpenHow,
) -> Result<OwnedFd, Error> {
    match retry(|| fs::openat(directory, name, how.flags | OFlags::NOFOLLOW, how.mode())) {
        Err(Error::Access) if name == b"." => reopen_directory(directory, how.flags),
        opened => opened,
    }
}

/// Opens an open directory anew where nothing can be looked up in it, not even `.`.
pub(super) fn reopen_directory(directory: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Error> {
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    retry(|| fs::openat(CWD, &link, flags.difference(OFlags::NOFOLLOW), Mode::empty()))
}

pub(crate) fn duplicate(_: &Permit, fd: BorrowedFd<'_>) -> Result<OwnedFd, Error> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}

/// The text of a symbolic link; [`Error::Invalid`] if it is something else.
pub(crate) fn read_link(_: &Permit, directory: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Error> {
    Ok(fs::readlinkat(directory, name, Vec::new())?.into_bytes())
}

pub(crate) fn create_directory(_: &Permit, place: &ResolvedName<'_>) -> Result<(), Error> {
    Ok(fs::mkdirat(place.parent(), &*place.name, DIRECTORY_MODE)?)
}

pub(crate) fn remove_directory(_: &Permit, place: &ResolvedName<'_>) -> Result<(), Error> {
    Ok(fs::unlinkat(place.parent(), &*place.name, AtFlags::REMOVEDIR)?)
}

pub(crate) fn remove_file(_: &Permit, place: &ResolvedName<'_>) -> Result<(), Error> {
    Ok(fs::unlinkat(place.parent(), &*place.name, AtFlags::empty())?)
}

pub(crate) fn symlink(_: &Permit, target: &[u8], place: &ResolvedName<'_>) -> Result<(), Error> {
    Ok(fs::symlinkat(target, place.parent(), &*place.name)?)
}

pub(crate) fn link(_: &Permit, from: &ResolvedName<'_>, to: &ResolvedName<'_>) -> Result<(), Error> {
    Ok(fs::linkat(from.parent(), &*from.name, to.parent(), &*to.name, AtFlags::empty())?)
}

pub(crate) fn rename(_: &Permit, from: &ResolvedName<'_>, to: &ResolvedName<'_>) -> Result<(), Error> {
    Ok(fs::renameat(from.parent(), &*from.name, to.parent(), &*to.name)?)
}

pub(crate) fn stat_at(_: &Permit, directory: BorrowedFd<'_>, name: &[u8]) -> Result<Metadata, Error> {
    match fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        // What is open is known, also where nothing can be looked up in it.
        Err(Errno::ACCESS) if name == b"." => Ok(metadata(&fs::fstat(directory)?)),
        found => Ok(metadata(&found?)),
    }
}

pub(crate) fn stat(_: &Permit, fd: BorrowedFd<'_>) -> Result<Metadata, Error> {
    Ok(metadata(&fs::fstat(fd)?))
}

/// The number of a mount.
pub(crate) type Mount = u64;

/// What a name stands for and which mount it is on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    pub(crate) kind: FileKind,
    /// The numbers of its device and on it.
    pub(crate) identity: (u64, u64),
    /// Nothing where the system does not tell.
    pub(crate) mount: Option<Mount>,
}

/// Looks at a name in a directory, or, where the name is empty, at the directory.
pub(crate) fn look_at(_: &Permit, directory: BorrowedFd<'_>, name: &[u8]) -> Result<Looked, Error> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH;
    let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::MNT_ID;
    let found = match fs::statx(directory, name, flags, wanted) {
        Ok(found) => found,
        // It is missing, or a filter of system calls does not know it.
        Err(Errno::NOSYS | Errno::PERM) => {
            let found = metadata(&fs::statat(directory, name, flags)?);
            return Ok(Looked { kind: found.kind, identity: (found.device, found.inode), mount: None });
        }
        Err(error) => return Err(error.into()),
    };
    let tells_mount = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    Ok(Looked {
        kind: kind(fs::FileType::from_raw_mode(found.stx_mode.into())),
        identity: (fs::makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino),
        mount: tells_mount.then_some(found.stx_mnt_id),
    })
}

pub(crate) fn set_times_at(_: &Permit, place: &ResolvedName<'_>, times: SetTimes) -> Result<(), Error> {
    Ok(fs::utimensat(place.parent(), &*place.name, &timestamps(times), AtFlags::SYMLINK_NOFOLLOW)?)
}

pub(crate) fn set_times(_: &Permit, fd: BorrowedFd<'_>, times: SetTimes) -> Result<(), Error> {
    Ok(fs::futimens(fd, &timestamps(times))?)
}

pub(super) fn kind(file_type: fs::FileType) -> FileKind {
    match file_type {
        fs::FileType::RegularFile => FileKind::Regular,
        fs::FileType::Directory => FileKind::Directory,
        fs::FileType::Symlink => FileKind::SymbolicLink,
        fs::FileType::Fifo => FileKind::Fifo,
        fs::FileType::Socket => FileKind::Socket,
        fs::FileType::CharacterDevice => FileKind::CharacterDevice,
        fs::FileType::BlockDevice => FileKind::BlockDevice,
        _ => FileKind::Unknown,
    }
}

#[allow(
    clippy::unnecessary_cast,
    clippy::useless_conversion,
    reason = "the fields' types differ between architectures"
)]
fn metadata(stat: &fs::Stat) -> Metadata {
    Metadata {
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        kind: kind(fs::FileType::from_raw_mode(stat.st_mode)),
        links: stat.st_nlink as u64,
        size_bytes: u64::try_from(stat.st_size).unwrap_or(0),
        accessed: Timestamp::new(stat.st_atime as i64, stat.st_atime_nsec as u32),
        modified: Timestamp::new(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
        changed: Timestamp::new(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
    }
}

fn timestamps(times: SetTimes) -> Timestamps {
    Timestamps { last_access: timespec(times.accessed), last_modification: timespec(times.modified) }
}

fn timespec(time: SetTime) -> fs::Timespec {
    match time {
        SetTime::Keep => fs::Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT },
        SetTime::Now => fs::Timespec { tv_sec: 0, tv_nsec: fs::UTIME_NOW },
        SetTime::To(time) => {
            fs::Timespec { tv_sec: time.seconds(), tv_nsec: fs::Nsecs::from(time.nanoseconds()) }
        }
    }
}
