//! Where a directory is in its file system, whatever mount shows it.
//!
//! Of a directory that is mounted in two places, the way up leads from each place elsewhere. So whether one directory is in another cannot be told by the way up alone
//! where they are on different mounts: the system's list of mounts says which part of which file system each of them shows.
//!
//! What this is not: a way to open anything. What is asked here are questions about directories that are open.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, makedev, statat, statx};
use rustix::io::Errno;

/// What a file is, whatever its name: the numbers of its device and on it.
pub(crate) type Identity = (u64, u64);

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Looked {
    pub(crate) identity: Identity,
    pub(crate) kind: FileType,
    /// The number of the mount, if the system tells.
    pub(crate) mount: Option<u64>,
}

/// Looks at a path from a directory; an empty one is the directory itself.
pub(crate) fn look(directory: impl AsFd, path: &Path, flags: AtFlags) -> io::Result<Looked> {
    let flags = flags | AtFlags::EMPTY_PATH;
    let wanted = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::MNT_ID;
    match statx(&directory, path, flags, wanted) {
        Ok(found) => {
            let tells_mount = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
            Ok(Looked {
                identity: (makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino),
                kind: FileType::from_raw_mode(found.stx_mode.into()),
                mount: tells_mount.then_some(found.stx_mnt_id),
            })
        }
        // It is missing, or a filter of system calls does not know it.
        Err(Errno::NOSYS | Errno::PERM) => {
            let found = statat(&directory, path, flags)?;
            #[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
            let identity = (found.st_dev as u64, found.st_ino as u64);
            Ok(Looked { identity, kind: FileType::from_raw_mode(found.st_mode), mount: None })
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a directory is shown in another one, or is that one, by a mount that shows both or one that is beneath the other. Whether it is where both are on the
/// same mount, the way up tells. Where the system does not tell, it may be.
pub(crate) fn is_shown_in(
    (inner, looked_inner): (impl AsFd, Looked),
    (outer, looked_outer): (impl AsFd, Looked),
) -> bool {
    let is_same_mount = looked_inner.mount.is_some() && looked_inner.mount == looked_outer.mount;
    let found = std::fs::read("/proc/self/mountinfo").ok().and_then(|mounts| {
        let way = way_to(&outer)?;
        let (inner, outer) = (place(inner, looked_inner, &mounts)?, place(outer, looked_outer, &mounts)?);
        let is_in = |device: &[u8], part: &Path| inner.0 == device && inner.1.starts_with(part);
        let is_beneath = |mount: &Mount| mount.at != way && mount.at.starts_with(&way);
        let is_beneath_and_shows = |mount: Mount| is_beneath(&mount) && is_in(&mount.device, &mount.part);
        Some(!is_same_mount && is_in(&outer.0, &outer.1) || all_mounts(&mounts).any(is_beneath_and_shows))
    });
    found.unwrap_or(!is_same_mount && looked_inner.identity.0 == looked_outer.identity.0)
}

/// Whether one of two directories is shown in the other, by different mounts or one beneath it.
pub(crate) fn overlap(one: &Path, other: &Path) -> bool {
    let look = |path: &Path| look(CWD, path, AtFlags::empty());
    let (Ok(looked_one), Ok(looked_other)) = (look(one), look(other)) else { return false };
    let open = |path: &Path| {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    };
    let (Ok(one), Ok(other)) = (open(one), open(other)) else { return false };
    let (one, other) = ((&one, looked_one), (&other, looked_other));
    is_shown_in(one, other) || is_shown_in(other, one)
}

/// The file system that a directory is on, and its path there.
fn place(directory: impl AsFd, looked: Looked, mounts: &[u8]) -> Option<(Vec<u8>, PathBuf)> {
    let path = way_to(directory)?;
    let wanted = looked.mount?.to_string();
    let mount = all_mounts(mounts).find(|mount| mount.number == wanted.as_bytes())?;
    let beneath = path.strip_prefix(&mount.at).ok()?;
    Some((mount.device, mount.part.join(beneath)))
}

/// The path of an open directory.
fn way_to(directory: impl AsFd) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd())).ok()
}

/// A line of the system's list of mounts.
struct Mount {
    number: Vec<u8>,
    device: Vec<u8>,
    /// What of the file system is shown.
    part: PathBuf,
    at: PathBuf,
}

fn all_mounts(list: &[u8]) -> impl Iterator<Item = Mount> {
    // Each line: number, number of the mount above, device, the part of it that is shown, where that is mounted, and more.
    list.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|byte| *byte == b' ');
        let number = fields.next()?.to_vec();
        let device = fields.nth(1)?.to_vec();
        let (part, at) = (unescaped(fields.next()?), unescaped(fields.next()?));
        Some(Mount { number, device, part: part.into(), at: at.into() })
    })
}

/// A path as the list of mounts has it: spaces and their like are a backslash and three octal digits.
fn unescaped(text: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_mounts_are_read() {
        assert_eq!(unescaped(b"/a\\040b\\134c"), "/a b\\c");
        assert_eq!(unescaped(b"/a\\04"), "/a\\04");
        assert_eq!(unescaped(b""), "");
    }

    #[test]
    fn a_directory_has_a_place_in_its_file_system() {
        let mounts =
            b"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 /part\\040one /tmp rw - ext4 /dev/sda2 rw\n";
        let directory = tempfile::tempdir_in("/tmp").unwrap();
        let opened = std::fs::File::open(directory.path()).unwrap();
        let looked = look(&opened, Path::new(""), AtFlags::empty()).unwrap();
        let (device, path) = place(&opened, Looked { mount: Some(21), ..looked }, mounts).unwrap();
        let name = directory.path().file_name().unwrap();
        assert_eq!((&device[..], path), (&b"8:2"[..], Path::new("/part one").join(name)));
        assert_eq!(place(&opened, Looked { mount: Some(22), ..looked }, mounts), None);
        assert_eq!(place(&opened, Looked { mount: None, ..looked }, mounts), None);
    }
}
