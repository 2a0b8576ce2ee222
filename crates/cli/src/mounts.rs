//! Where a directory is in its file system, whatever mount shows it.
//!
//! Of a directory that is mounted in two places, the way up leads from each place elsewhere. So whether one directory is in another cannot be told by the way up alone
//! where they are on different mounts: the system's list of mounts says which part of which file system each of them shows.
//!
//! What this is not: a way to open anything. What is asked here are questions about directories that are open.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
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

/// Whether a directory is shown in another one that is on another mount, or is that one. Where the system does not tell, it may be.
pub(crate) fn is_shown_in(
    (inner, looked_inner): (impl AsFd, Looked),
    (outer, looked_outer): (impl AsFd, Looked),
) -> bool {
    if looked_inner.mount.is_some() && looked_inner.mount == looked_outer.mount {
        return false;
    }
    let places = std::fs::read("/proc/self/mountinfo").ok().and_then(|mounts| {
        Some((place(inner, looked_inner, &mounts)?, place(outer, looked_outer, &mounts)?))
    });
    match places {
        Some((inner, outer)) => inner.0 == outer.0 && inner.1.starts_with(&outer.1),
        None => looked_inner.identity.0 == looked_outer.identity.0,
    }
}

/// Whether one of two directories is shown in the other, by different mounts.
pub(crate) fn overlap(one: &Path, other: &Path) -> bool {
    let look = |path: &Path| look(CWD, path, AtFlags::empty());
    let (Ok(looked_one), Ok(looked_other)) = (look(one), look(other)) else { return false };
    if looked_one.mount.is_some() && looked_one.mount == looked_other.mount {
        return false;
    }
    let open = |path: &Path| {
        rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
    };
    let (Ok(one), Ok(other)) = (open(one), open(other)) else { return false };
    let (one, other) = ((&one, looked_one), (&other, looked_other));
    is_shown_in(one, other) || is_shown_in(other, one)
}

/// The file system that a directory is on, and its path there.
fn place(directory: impl AsFd, looked: Looked, mounts: &[u8]) -> Option<(Vec<u8>, PathBuf)> {
    let link = format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd());
    let path = std::fs::read_link(link).ok()?;
    let wanted = looked.mount?.to_string();
    // Each line: number, number of the mount above, device, the part of it that is shown, where that is mounted, and more.
    for line in mounts.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ');
        if fields.next() != Some(wanted.as_bytes()) {
            continue;
        }
        let device = fields.nth(1)?;
        let (part, at) = (unescaped(fields.next()?), unescaped(fields.next()?));
        let beneath = path.strip_prefix(OsStr::from_bytes(at.as_bytes())).ok()?;
        return Some((device.to_vec(), Path::new(&part).join(beneath)));
    }
    None
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
