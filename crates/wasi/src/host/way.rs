//! Ways on the host: the steps by which a path leads to what was opened, noted before a guest runs and gone again when it has ended.
//!
//! A guest that may write to a directory can move what lies there and put a link in its place: then a path that was granted leads elsewhere, and whoever names it anew, in a
//! policy for example, grants what the guest has chosen.
//!
//! Must stay true: a way that has changed is followed no further than to where it differs. So nothing is looked at that lies where only the guest leads, and nobody waits there.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use super::error::Error;
use super::gate::Permit;
use super::hidden::Identity;
use super::metadata::FileKind;
use super::resolve::MAX_LINKS;
use super::sys::{self, OpenHow};

/// How a path led where it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    path: PathBuf,
    steps: Vec<Step>,
}

/// What one step found.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// Something that is no link. What is removed may leave its number to what is made next, which is then the guest's, and nothing that was there before.
    Thing(Identity, FileKind),
    /// A link with this text.
    Link(Vec<u8>),
}

impl Way {
    /// How a path leads where it does now; none where it cannot be gone step by step.
    #[must_use]
    pub fn of(path: &Path) -> Option<Way> {
        let mut steps = Vec::new();
        let walked = walk(path, |step| {
            steps.push(step);
            ControlFlow::Continue(())
        });
        walked.ok().map(|_| Way { path: path.to_owned(), steps })
    }

    /// Whether the path still leads there by the same steps.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        let mut known = self.steps.iter();
        let walked = walk(&self.path, |step| match known.next() {
            Some(known) if *known == step => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        });
        matches!(walked, Ok(ControlFlow::Continue(()))) && known.next().is_none()
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it leads to.
    pub(super) fn end(&self) -> Option<Identity> {
        match self.steps.last()? {
            Step::Thing(identity, _) => Some(*identity),
            Step::Link(_) => None,
        }
    }
}

/// Goes a path step by step, and shows each to `see` before it goes on from there.
fn walk(path: &Path, mut see: impl FnMut(Step) -> ControlFlow<()>) -> Result<ControlFlow<()>, Error> {
    let permit = Permit::of_the_keys_owner();
    let root = || sys::open_lookup_for_owner(&permit, Path::new("/"));
    let start = if path.is_absolute() { "/" } else { "." };
    let mut at = sys::open_lookup_for_owner(&permit, Path::new(start))?;
    if see(Step::Thing(sys::look_at(&permit, at.as_fd(), b"")?.identity, FileKind::Directory)).is_break() {
        return Ok(ControlFlow::Break(()));
    }
    let mut todo = components(path);
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        let name = name.as_bytes();
        let next = sys::open_name(&permit, at.as_fd(), name, OpenHow::look())?;
        let found = sys::look_at(&permit, next.as_fd(), b"")?;
        if found.kind != FileKind::SymbolicLink {
            if see(Step::Thing(found.identity, found.kind)).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            at = next;
            continue;
        }
        let target = sys::read_link(&permit, next.as_fd(), b"")?;
        if see(Step::Link(target.clone())).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Error::Loop);
        }
        let target = PathBuf::from(OsString::from_vec(target));
        if target.is_absolute() {
            at = root()?;
        }
        components(&target).into_iter().rev().for_each(|name| todo.push_front(name));
        if todo.is_empty() {
            // A link to where it lies, or to the root: what that is is a step, too.
            todo.push_back(OsString::from("."));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// The steps of a path, without those that lead nowhere.
fn components(path: &Path) -> VecDeque<OsString> {
    let steps = path.components().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    steps.map(|step| step.as_os_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Whatever is put in the place of a step, however it leads back, is another way; what changes beside it is none.
    #[test]
    fn every_step_counts() {
        type Change = fn(&Path);
        let changes: [(&str, bool, Change); 9] = [
            ("nothing", true, |_| {}),
            ("something beside it", true, |at| fs::create_dir(at.join("a/other")).unwrap()),
            ("something in it", true, |at| fs::write(at.join("a/b/c/new"), "").unwrap()),
            ("a link elsewhere", false, |at| {
                fs::rename(at.join("a/b"), at.join("old")).unwrap();
                symlink("../secret", at.join("a/b")).unwrap();
            }),
            ("a link back", false, |at| {
                fs::rename(at.join("a/b"), at.join("a/old")).unwrap();
                symlink("old", at.join("a/b")).unwrap();
            }),
            ("another directory", false, |at| {
                fs::rename(at.join("a/b"), at.join("old")).unwrap();
                fs::create_dir_all(at.join("a/b/c")).unwrap();
            }),
            ("nothing any more", false, |at| fs::rename(at.join("a/b/c"), at.join("a/b/d")).unwrap()),
            ("a file", false, |at| {
                fs::remove_dir(at.join("a/b/c")).unwrap();
                fs::write(at.join("a/b/c"), "").unwrap();
            }),
            ("the link on the way", false, |at| {
                fs::remove_file(at.join("link")).unwrap();
                symlink("./a", at.join("link")).unwrap();
            }),
        ];
        for (what, expected, change) in changes {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
            fs::create_dir_all(folder.path().join("secret/c")).unwrap();
            symlink("a", folder.path().join("link")).unwrap();
            let way = Way::of(&folder.path().join("link/b/c")).unwrap();
            change(folder.path());
            assert_eq!(way.is_unchanged(), expected, "{what}");
        }
    }

    #[test]
    fn links_that_go_round_are_no_way() {
        let folder = tempfile::tempdir().unwrap();
        symlink("round", folder.path().join("round")).unwrap();
        assert_eq!(Way::of(&folder.path().join("round")), None);
        symlink(".", folder.path().join("here")).unwrap();
        let here = Way::of(&folder.path().join("here")).unwrap();
        assert_eq!(here.end(), Way::of(folder.path()).unwrap().end());
    }
}
