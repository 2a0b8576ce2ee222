//! What is needed besides to carry out and to archive changes for the owner of the keys: ownership, holes, private files, renames
//! that replace nothing.
//!
//! As in `path`, every `name` is one component, and no call follows a link in the last place.

use std::ops::Range;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{self, Access, AtFlags, FlockOperation, Mode, OFlags, RenameFlags, SeekFrom, StatxFlags};
use rustix::io::Errno;

use super::{Error, retry};
use crate::host::gate::Permit;
use crate::host::metadata::Timestamp;

/// Who owns a file and what they may do with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    /// Permission bits.
    pub(crate) mode: u32,
    pub(crate) owner: u32,
    pub(crate) group: u32,
    /// The numbers of the device that it stands for, if it does.
    pub(crate) stands_for: Option<(u32, u32)>,
}

#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
fn status(stat: &fs::Stat) -> Status {
    let kind = fs::FileType::from_raw_mode(stat.st_mode);
    let device = stat.st_rdev as u64;
    Status {
        mode: Mode::from_raw_mode(stat.st_mode).bits() & 0o7777,
        owner: stat.st_uid,
        group: stat.st_gid,
        stands_for: (kind.is_char_device() || kind.is_block_device())
            .then(|| (fs::major(device), fs::minor(device))),
    }
}

pub(crate) fn status_at(_: &Permit, directory: BorrowedFd<'_>, name: &[u8]) -> Result<Status, Error> {
    Ok(status(&fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?))
}

/// Since when a file is there; nothing where the file system or the system does not tell.
pub(crate) fn birth_at(_: &Permit, directory: BorrowedFd<'_>, name: &[u8]) -> Option<Timestamp> {
    let found = fs::statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BTIME).ok()?;
    let tells = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME);
    tells.then(|| Timestamp::new(found.stx_btime.tv_sec, found.stx_btime.tv_nsec))
}

/// The first range of data in a range of a file. Where the file system knows nothing of holes, all is data.
pub(crate) fn next_data(
    _: &Permit,
    fd: BorrowedFd<'_>,
    within: Range<u64>,
) -> Result<Option<Range<u64>>, Error> {
    let start = match fs::seek(fd, SeekFrom::Data(within.start)) {
        Ok(start) => start,
        // No data until the end.
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL) => return Ok(Some(within)),
        Err(errno) => return Err(errno.into()),
    };
    if start >= within.end {
        return Ok(None);
    }
    let end = fs::seek(fd, SeekFrom::Hole(start))?;
    Ok(Some(start..end.clamp(start + 1, within.end)))
}

/// Creates a directory that only its owner may enter.
pub(crate) fn create_private_directory(_: &Permit, parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Error> {
    Ok(fs::mkdirat(parent, name, Mode::RWXU)?)
}

/// Creates a file that only its owner may use, to be written.
pub(crate) fn create_private_file(
    _: &Permit,
    directory: BorrowedFd<'_>,
    name: &[u8],
) -> Result<OwnedFd, Error> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    retry(|| fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR))
}

/// Gives a directory the mode of a private one, without the bit by which it would hand its group on to what is made in it. Where the file system has one mode for all,
/// it stays.
pub(crate) fn hand_nothing_on(_: &Permit, fd: BorrowedFd<'_>) {
    // What is in the end allowed is asked afterwards.
    let _ = fs::fchmod(fd, Mode::RWXU);
}

/// Whether a directory is whoever runs this process's, and allows others no more than the one that it is in.
///
/// That is so for every one that [`create_private_directory`] has made: its mode may have the bit that hands a group on, and some file systems
/// have one mode for all directories.
pub(crate) fn is_private(_: &Permit, parent: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> Result<bool, Error> {
    let [parent, found] = [fs::fstat(parent)?, fs::fstat(fd)?].map(|stat| status(&stat));
    let is_own = found.owner == rustix::process::geteuid().as_raw();
    Ok(is_own && allows_no_more(found.mode, parent.mode))
}

/// Whether a file belongs to this user, and nobody else may do anything with it.
pub(crate) fn is_owners_alone(_: &Permit, fd: BorrowedFd<'_>) -> bool {
    let found = fs::fstat(fd).map(|stat| status(&stat));
    found.is_ok_and(|found| {
        found.owner == rustix::process::geteuid().as_raw() && allows_no_more(found.mode, 0)
    })
}

/// Whether a mode has no permission for others than the owner that the other mode does not have.
const fn allows_no_more(mode: u32, than: u32) -> bool {
    let others = Mode::RWXG.bits() | Mode::RWXO.bits();
    mode & others & !than == 0
}

/// Renames without replacing anything: [`Error::Exists`] where the new name is taken.
pub(crate) fn rename_to_free(
    _: &Permit,
    (from_directory, from): (BorrowedFd<'_>, &[u8]),
    (to_directory, to): (BorrowedFd<'_>, &[u8]),
) -> Result<(), Error> {
    match fs::renameat_with(from_directory, from, to_directory, to, RenameFlags::NOREPLACE) {
        // The file system cannot promise it.
        Err(Errno::INVAL | Errno::NOSYS) => {}
        result => return Ok(result?),
    }
    match fs::statat(to_directory, to, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(fs::renameat(from_directory, from, to_directory, to)?),
        Err(errno) => Err(errno.into()),
        Ok(_) => Err(Error::Exists),
    }
}

/// Whether the process's user may change the names in a directory.
pub(crate) fn may_change(_: &Permit, directory: BorrowedFd<'_>, name: &[u8]) -> Result<(), Error> {
    let access = Access::WRITE_OK | Access::EXEC_OK;
    match fs::accessat(directory, name, access, AtFlags::EACCESS) {
        // Kernels before 5.8 cannot be asked; then the attempt shows it.
        Err(Errno::INVAL | Errno::NOSYS) => Ok(()),
        result => Ok(result?),
    }
}

/// Gives a new file or directory the group that its directory hands on, if it does.
pub(crate) fn inherit_group(
    _: &Permit,
    parent: BorrowedFd<'_>,
    (directory, name): (BorrowedFd<'_>, &[u8]),
) -> Result<(), Error> {
    let parent = fs::fstat(parent)?;
    if !Mode::from_raw_mode(parent.st_mode).contains(Mode::SGID) {
        return Ok(());
    }
    let group = rustix::fs::Gid::from_raw(parent.st_gid);
    fs::chownat(directory, name, None, Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    let stat = fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
        let mode = Mode::from_raw_mode(stat.st_mode) | Mode::SGID;
        fs::chmodat(directory, name, mode, AtFlags::empty())?;
    }
    Ok(())
}

/// Keeps others who ask for it away from a directory until the descriptor is closed; [`Error::Again`] if one is there.
pub(crate) fn lock_alone(_: &Permit, directory: BorrowedFd<'_>) -> Result<(), Error> {
    match fs::flock(directory, FlockOperation::NonBlockingLockExclusive) {
        // A file system without locks.
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK) => Ok(()),
        result => Ok(result?),
    }
}

/// Waits until the file system of a directory has everything on its medium.
pub(crate) fn flush_file_system(_: &Permit, directory: BorrowedFd<'_>) -> Result<(), Error> {
    retry(|| fs::syncfs(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_may_not_do_more_than_in_the_directory_around() {
        for (mode, parent) in
            [(0o700, 0o755), (0o2700, 0o2775), (0o755, 0o755), (0o777, 0o777), (0o1700, 0o1777)]
        {
            assert!(allows_no_more(mode, parent), "{mode:o} in {parent:o}");
        }
        for (mode, parent) in [(0o755, 0o700), (0o770, 0o755), (0o2750, 0o2700), (0o777, 0o775)] {
            assert!(!allows_no_more(mode, parent), "{mode:o} in {parent:o}");
        }
    }
}
