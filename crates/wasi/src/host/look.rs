//! What is looked at on the host to tell which key was missing: little, and nothing of the guest's choosing that could hold up whoever wants to know.
//!
//! Must stay true: nothing is looked at but names beneath the working directory, and one name in the root of the machine. Each name is looked up by itself, links are read
//! and never followed by the system, and no step leaves the file system that it begins on: so no server is asked but one that the working directory is on, and nothing is mounted.
//! What is elsewhere is known by its text only.
//!
//! This looks on behalf of the keys' owner; what it finds is never told to a guest.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use super::resolve::MAX_LINKS;
use super::sys::{self, OwnersFind};

/// What is at a host path, as far as that may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A directory.
    Directory,
    /// Something else.
    Other,
    Nothing,
    /// It was not looked at.
    Unknown,
    /// There is a link on the way that the guest can have put there: it would be granted what it has chosen.
    LedByGuest,
}

/// A host path and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) found: Found,
    /// From the root on, without `.` and `..`, and without links as far as it was looked at.
    pub(super) path: PathBuf,
}

/// Where suggestions look.
#[derive(Debug)]
pub(super) struct Surroundings {
    /// The working directory; nothing where it has been removed, or is the root.
    here: Option<(PathBuf, OwnedFd)>,
    /// Directories that the guest can put links into.
    writable: Vec<PathBuf>,
}

impl Surroundings {
    /// Those of this process, with directories that a guest may write to.
    pub(super) fn with_writable<'a>(hosts: impl Iterator<Item = &'a Path>) -> Surroundings {
        let here = sys::working_directory_for_owner().filter(|(path, _)| path != Path::new("/"));
        Surroundings::new(here, hosts)
    }

    fn new<'a>(here: Option<(PathBuf, OwnedFd)>, hosts: impl Iterator<Item = &'a Path>) -> Surroundings {
        let mut surroundings = Surroundings { here, writable: Vec::new() };
        surroundings.writable = hosts.map(|host| surroundings.look(host).path).collect();
        surroundings
    }

    /// What is at a host path.
    pub(super) fn look(&self, host: &Path) -> Place {
        let path = match &self.here {
            Some((here, _)) => fold(&here.join(host)),
            None => fold(&Path::new("/").join(host)),
        };
        let beneath = self.here.as_ref().and_then(|(here, _)| path.strip_prefix(here).ok());
        match beneath.map(Path::to_owned) {
            Some(beneath) => self.look_beneath(&beneath, path),
            None => Place { found: look_outside(&path), path },
        }
    }

    /// A host path as it is told: without `.`, `..` and links as far as it may be looked at, relative where it was and can be.
    pub(super) fn told(&self, host: &Path) -> PathBuf {
        let Some((here, _)) = &self.here else { return relative(fold(host)) };
        let folded = fold(host);
        let place = self.look(host);
        if folded.is_absolute() {
            return place.path;
        }
        if fold(&here.join(&folded)) == place.path {
            return relative(folded);
        }
        place
            .path
            .strip_prefix(here)
            .map_or_else(|_| place.path.clone(), |beneath| relative(beneath.to_owned()))
    }

    /// Goes step by step from the working directory; `path` is the whole path, for what lies elsewhere.
    fn look_beneath(&self, beneath: &Path, path: PathBuf) -> Place {
        let elsewhere = |found| Place { found, path: path.clone() };
        let Some((here, base)) = &self.here else { return elsewhere(Found::Unknown) };
        let mut todo = steps(beneath);
        let mut way: Vec<(OsString, OwnedFd)> = Vec::new();
        let mut links_left = MAX_LINKS;
        while let Some(name) = todo.pop_front() {
            if name == ".." {
                if way.pop().is_none() {
                    return elsewhere(Found::Unknown);
                }
                continue;
            }
            let from = way.last().map_or(base.as_fd(), |(_, fd)| fd.as_fd());
            match sys::look_for_owner(from, &name) {
                OwnersFind::Directory(fd) => way.push((name, fd)),
                OwnersFind::Other if todo.is_empty() => {
                    return Place { found: Found::Other, path: whole(here, &way).join(name) };
                }
                OwnersFind::Other | OwnersFind::Nothing => return elsewhere(Found::Nothing),
                OwnersFind::Elsewhere => return elsewhere(Found::Unknown),
                OwnersFind::Link(target) => {
                    let at = whole(here, &way);
                    if links_left == 0 || self.writable.iter().any(|writable| at.starts_with(writable)) {
                        return elsewhere(Found::LedByGuest);
                    }
                    links_left -= 1;
                    let target = match target.strip_prefix(here) {
                        Ok(beneath) => {
                            way.clear();
                            beneath
                        }
                        Err(_) if target.is_absolute() => return elsewhere(Found::Unknown),
                        Err(_) => &target,
                    };
                    steps(target).into_iter().rev().for_each(|name| todo.push_front(name));
                }
            }
        }
        Place { found: Found::Directory, path: whole(here, &way) }
    }
}

/// Of what is not beneath the working directory, only whether the first name is there, and what it is where the path ends there.
fn look_outside(path: &Path) -> Found {
    let mut names = steps(path).into_iter();
    let Some(first) = names.next() else { return Found::Directory };
    let is_all = names.next().is_none();
    match sys::look_in_root_for_owner(&first) {
        OwnersFind::Nothing => Found::Nothing,
        OwnersFind::Directory(_) | OwnersFind::Elsewhere if is_all => Found::Directory,
        OwnersFind::Other if is_all => Found::Other,
        OwnersFind::Other => Found::Nothing,
        _ => Found::Unknown,
    }
}

/// Whether a path is where the kernel's own files usually are.
pub(super) fn is_of_the_kernel(path: &Path) -> bool {
    ["/proc", "/sys"].iter().any(|kernel| path.starts_with(kernel))
}

fn whole(here: &Path, way: &[(OsString, OwnedFd)]) -> PathBuf {
    way.iter().fold(here.to_owned(), |path, (name, _)| path.join(name))
}

/// The names that a path goes by, and `..`.
fn steps(path: &Path) -> VecDeque<OsString> {
    let named = path.components().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    named.map(|step| step.as_os_str().to_owned()).collect()
}

pub(super) fn relative(path: PathBuf) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

/// Removes `.` and resolves `..` in the text of a path.
pub(super) fn fold(path: &Path) -> PathBuf {
    let mut folded = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match folded.components().next_back() {
                Some(Component::Normal(_)) => {
                    folded.pop();
                }
                Some(Component::RootDir) => {}
                _ => folded.push(".."),
            },
            other => folded.push(other),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn at(here: &Path, writable: &[&Path]) -> Surroundings {
        let base = std::fs::File::open(here).expect("directory").into();
        Surroundings::new(Some((here.to_owned(), base)), writable.iter().copied())
    }

    #[test]
    fn what_a_guest_can_have_made_a_path_lead_to_is_never_meant() {
        let folder = tempfile::tempdir().expect("directory");
        let folder = folder.path().canonicalize().expect("directory");
        for name in ["w/d", "own", "secret/sub"] {
            std::fs::create_dir_all(folder.join(name)).expect("directory");
        }
        symlink("../secret", folder.join("w/planted")).expect("link");
        symlink("w", folder.join("alias")).expect("link");
        symlink("w/planted", folder.join("own/by-way")).expect("link");
        symlink("../w/planted", folder.join("own/through")).expect("link");
        symlink("../secret", folder.join("own/link")).expect("link");
        let (direct, by_link) = (folder.join("w"), folder.join("alias"));
        for writable in [&[direct.as_path()][..], &[by_link.as_path()], &[Path::new("alias")], &[]] {
            let around = at(&folder, writable);
            for (name, is_led) in [
                ("w/d", false),
                ("own/link/sub", false),
                ("w/planted", true),
                ("w/planted/sub", true),
                ("own/through/sub", true),
            ] {
                let expected =
                    if is_led && !writable.is_empty() { Found::LedByGuest } else { Found::Directory };
                assert_eq!(around.look(Path::new(name)).found, expected, "{name} {writable:?}");
                assert_eq!(around.look(&folder.join(name)).found, expected, "{name} {writable:?}");
            }
        }
        assert_eq!(at(&folder, &[]).told(Path::new("own/link/sub")), Path::new("secret/sub"));
    }

    #[test]
    fn nothing_is_looked_at_outside_nor_on_another_file_system() {
        let folder = tempfile::tempdir().expect("directory");
        let folder = folder.path().canonicalize().expect("directory");
        for name in ["here/d", "beside/d"] {
            std::fs::create_dir_all(folder.join(name)).expect("directory");
        }
        symlink("../beside", folder.join("here/out")).expect("link");
        symlink(folder.join("beside"), folder.join("here/whole")).expect("link");
        let around = at(&folder.join("here"), &[]);
        let beside = folder.join("beside/d");
        for path in ["../beside/d", "../nothing", "out/d", "whole/d", beside.to_str().expect("path")] {
            assert_eq!(around.look(Path::new(path)).found, Found::Unknown, "{path}");
        }
        for (path, found) in [("d", Found::Directory), ("d/none", Found::Nothing), (".", Found::Directory)] {
            assert_eq!(around.look(Path::new(path)).found, found, "{path}");
        }
        // Something else is mounted there.
        let root = at(Path::new("/"), &[]);
        for path in ["proc/self", "proc/none", "/proc"] {
            assert_eq!(root.look(Path::new(path)).found, Found::Unknown, "{path}");
        }
        let process = at(Path::new("/proc"), &[]);
        assert_eq!(process.look(Path::new("self/root/etc")).found, Found::Unknown, "a link of the kernel's");
        assert_eq!(look_outside(Path::new("/etc")), Found::Directory);
        assert_eq!(look_outside(Path::new("/etc/none")), Found::Unknown);
        assert_eq!(look_outside(Path::new("/no-such-name/none")), Found::Nothing);
    }

    #[test]
    fn paths_are_folded_as_text() {
        for (path, folded) in
            [("a/../b", "b"), ("./a/./b", "a/b"), ("../../a", "../../a"), ("/../a", "/a"), ("a/..", "")]
        {
            assert_eq!(fold(Path::new(path)), Path::new(folded), "{path}");
        }
    }
}
