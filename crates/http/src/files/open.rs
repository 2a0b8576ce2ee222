//! Opening what is below a directory, and nothing else.
//!
//! Links lead where they lead as long as that is below the directory; the system sees to it (`openat2`). Where it cannot, no link is followed at all.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;

/// How often a path is tried while others rename what it goes through.
const TRIES: u32 = 8;

/// A way to open a directory, only to go on from there.
const LOOKUP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// To be read, without waiting for anybody to write, as it is with pipes.
const READ: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// The directory itself, which links may lead to.
pub(super) fn directory(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, LOOKUP, Mode::empty())?)
}

/// A regular file by these names from a directory, none of which is `.` or `..`.
pub(super) fn file(directory: &OwnedFd, names: &[Vec<u8>]) -> io::Result<File> {
    let path: PathBuf = names.iter().map(|name| OsStr::from_bytes(name)).collect();
    let opened = match beneath(directory, &path) {
        Err(Errno::NOSYS | Errno::PERM) => step_by_step(directory, names),
        opened => opened,
    }?;
    match FileType::from_raw_mode(fstat(&opened)?.st_mode) {
        FileType::RegularFile => Ok(File::from(opened)),
        FileType::Directory => Err(Errno::ISDIR.into()),
        _ => Err(Errno::ACCESS.into()),
    }
}

fn beneath(directory: &OwnedFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        match openat2(directory, path, READ, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => tries += 1,
            opened => return opened,
        }
    }
}

/// The same where the system has no such call: no link is followed.
fn step_by_step(directory: &OwnedFd, names: &[Vec<u8>]) -> rustix::io::Result<OwnedFd> {
    let (last, before) = names.split_last().ok_or(Errno::NOENT)?;
    let mut at = None::<OwnedFd>;
    for name in before {
        let from = at.as_ref().map_or(directory.as_fd(), AsFd::as_fd);
        at = Some(openat(from, OsStr::from_bytes(name), LOOKUP | OFlags::NOFOLLOW, Mode::empty())?);
    }
    let from = at.as_ref().map_or(directory.as_fd(), AsFd::as_fd);
    openat(from, OsStr::from_bytes(last), READ | OFlags::NOFOLLOW, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_is_opened_in_either_way() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(at("in/sub")).unwrap();
        std::fs::create_dir(at("out")).unwrap();
        for name in ["in/file", "in/sub/file", "out/file"] {
            std::fs::write(at(name), name).unwrap();
        }
        let links = [
            ("in/up", "../out/file"),
            ("in/way", "../out"),
            ("in/whole", "/etc/passwd"),
            ("in/sub/up", "../../out/file"),
            ("in/loop", "loop"),
            ("in/magic", "/proc/self/root"),
        ];
        for (link, target) in links {
            symlink(target, at(link)).unwrap();
        }
        symlink("sub/file", at("in/inner")).unwrap();
        rustix::fs::mknodat(CWD, at("in/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let directory = directory(&at("in")).unwrap();
        let names = |path: &str| path.split('/').map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
        for path in
            ["up", "way/file", "whole", "sub/up", "loop", "magic/etc/passwd", "pipe", "none", "file/x", "sub"]
        {
            assert!(file(&directory, &names(path)).is_err(), "{path}");
            let opened = step_by_step(&directory, &names(path)).map(|opened| fstat(&opened).unwrap().st_mode);
            let is_file = |mode| FileType::from_raw_mode(mode) == FileType::RegularFile;
            assert!(!opened.is_ok_and(is_file), "{path}");
        }
        for (path, wanted) in [("file", "in/file"), ("sub/file", "in/sub/file"), ("inner", "in/sub/file")] {
            assert_eq!(io::read_to_string(file(&directory, &names(path)).unwrap()).unwrap(), wanted);
            let by_steps = step_by_step(&directory, &names(path)).map(File::from);
            assert_eq!(by_steps.is_ok(), path != "inner", "{path}");
        }
        assert_eq!(file(&directory, &names("sub")).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }
}
