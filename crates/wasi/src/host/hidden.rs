//! What the host keeps for itself: which files and directories those are, and the ways that lead to them.
//!
//! It is found once, before the guest starts. Others may make, remove and replace it while the guest runs, so that what it was then does not tell: a name in a
//! directory tells, too. Each name on the way, in the directory that it is in, stands for what it stood for when the guest started, or for what is hidden.
//!
//! A file system may give the number of what was removed to what is made next, so that a number alone does not tell what a name stood for. What leads on does:
//! - A directory is told by kind and number. One that took the number of another is as good as that one: the names in it that are on the way are noted by the
//!   number, and so stand for what they stood for, or are hidden.
//! - A link is told by kind, number and text, and the text that is compared is the one that is followed. A link in the same place with the same text leads through
//!   the same names; with any other text, or as a directory, it would lead to where nothing is noted.
//! - What had the number of something hidden and is somewhere else now is refused though it need not be: better than the other way round, and no descriptor has to
//!   be kept open for each thing so that its number stays taken.
//!
//! A name is compared with every spelling of it that a file system could take for the same: one that is none of the host's on this file system is refused like it.
//!
//! Directories are compared by what they are, and so reached by every mount. What is not seen: another file system that shows the same files as its own, such as
//! an overlay over the directory, or the same export mounted by a network twice. And where others lead a link on the way elsewhere while the guest runs, the names on the
//! old way are refused, but the new place is not known.
//!
//! What this is not: the place where a search asks, which is [`super::reach`] and the walker.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::error::Error;
use super::gate::Permit;
use super::metadata::{FileKind, Metadata};
use super::resolve::{MAX_LINKS, is_alias};
use super::sys::{self, Mount};

/// What a file is, whatever its name: the numbers of its device and on it.
pub(super) type Identity = (u64, u64);

/// What no guest is to reach.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// The directories and files themselves, as far as there are any, each with the mount that the way ends on.
    things: Vec<(Identity, Option<Mount>)>,
    way: Vec<Step>,
}

/// A name on the way to something hidden.
#[derive(Debug)]
struct Step {
    parent: Identity,
    /// The mount that the way goes by in the parent, if the system tells.
    mount: Option<Mount>,
    name: Vec<u8>,
    /// What the name stood for; nothing where that is hidden, or was not there.
    passes: Option<Passage>,
}

/// What a name on the way stood for when the guest started, and leads on.
#[derive(Debug, PartialEq, Eq)]
enum Passage {
    Directory(Identity),
    Link(Identity, Vec<u8>),
}

/// Ways of a search for what is hidden: directories that have been entered by their names alone, so that the next way need not begin anew.
#[derive(Default)]
struct Trail(Vec<(Vec<u8>, At)>);

/// A directory on the way.
struct At {
    fd: OwnedFd,
    here: Identity,
    mount: Option<Mount>,
}

impl Hidden {
    /// What is at these absolute paths, as far as there is anything; nothing where nothing is to be hidden.
    ///
    /// # Errors
    /// Of the system at one of the paths, other than that nothing is there: what cannot be looked at cannot be told from others.
    pub(super) fn find(permit: &Permit, paths: &[PathBuf]) -> Result<Option<Arc<Hidden>>, (PathBuf, Error)> {
        if paths.is_empty() {
            return Ok(None);
        }
        let mut hidden = Hidden::default();
        let mut trail = Trail::default();
        for path in paths {
            hidden.add(permit, path, &mut trail).map_err(|error| (path.clone(), error))?;
        }
        Ok(Some(Arc::new(hidden)))
    }

    /// Notes every name on the way to something, links on it included, and the thing itself.
    fn add(&mut self, permit: &Permit, path: &Path, trail: &mut Trail) -> Result<(), Error> {
        let mut todo = components(path);
        let known = trail.0.iter().zip(&todo).take_while(|((name, _), step)| name == *step).count();
        // The last one is what is hidden.
        let known = known.min(todo.len().saturating_sub(1));
        trail.0.truncate(known);
        todo.drain(..known);
        let mut at = match trail.0.last() {
            Some((_, at)) => at.again(permit)?,
            None => At::root(permit)?,
        };
        let mut is_on_trail = true;
        let mut links_left = MAX_LINKS;
        while let Some(name) = todo.pop_front() {
            let found = match sys::look_at(permit, at.fd.as_fd(), &name) {
                Ok(found) => found,
                Err(error) => {
                    self.note(&at, &name, None);
                    return nothing_yet(error);
                }
            };
            if found.kind == FileKind::SymbolicLink {
                let target = sys::read_link(permit, at.fd.as_fd(), &name)?;
                self.note(&at, &name, Some(Passage::Link(found.identity, target.clone())));
                is_on_trail = false;
                let Some(left) = links_left.checked_sub(1) else { return nothing_yet(Error::Loop) };
                links_left = left;
                let target = Path::new(OsStr::from_bytes(&target));
                if target.is_absolute() {
                    at = At::root(permit)?;
                }
                components(target).into_iter().rev().for_each(|name| todo.push_front(name));
            } else if todo.is_empty() {
                self.note(&at, &name, None);
                self.things.push((found.identity, found.mount));
            } else {
                let fd = match sys::open_name(permit, at.fd.as_fd(), &name, sys::OpenHow::lookup()) {
                    Ok(next) => next,
                    Err(error) => {
                        self.note(&at, &name, None);
                        return nothing_yet(error);
                    }
                };
                self.note(&at, &name, Some(Passage::Directory(found.identity)));
                is_on_trail &= name != b"..";
                at = At { fd, here: found.identity, mount: found.mount };
                if is_on_trail {
                    trail.0.push((name, at.again(permit)?));
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, at: &At, name: &[u8], passes: Option<Passage>) {
        let is_same = |step: &Step| step.parent == at.here && step.name == name && step.passes == passes;
        if name != b".." && !self.way.iter().any(is_same) {
            self.way.push(Step { parent: at.here, mount: at.mount, name: name.to_vec(), passes });
        }
    }

    /// Whether this is something hidden, by whatever name.
    pub(super) fn is_thing(&self, found: Identity) -> bool {
        self.things.iter().any(|(thing, _)| *thing == found)
    }

    /// Whether a name in a directory stands for something hidden, or for what has come there since the guest started. Who follows a link asks
    /// [`Hidden::is_link_behind`], too.
    pub(super) fn is_behind(&self, (parent, name): (Identity, &[u8]), found: &Metadata) -> bool {
        self.steps(parent, name).any(|step| match &step.passes {
            None => true,
            Some(Passage::Directory(it)) => found.kind != FileKind::Directory || *it != identity(found),
            Some(Passage::Link(it, _)) => found.kind != FileKind::SymbolicLink || *it != identity(found),
        })
    }

    /// Whether a link with this text, by a name in a directory, has come there since the guest started and would lead to something hidden.
    pub(super) fn is_link_behind(&self, (parent, name): (Identity, &[u8]), target: &[u8]) -> bool {
        self.steps(parent, name).any(|step| match &step.passes {
            Some(Passage::Link(_, it)) => it != target,
            Some(Passage::Directory(_)) | None => true,
        })
    }

    /// Whether a name in a directory is on the way to something hidden.
    pub(super) fn is_on_the_way(&self, (parent, name): (Identity, &[u8])) -> bool {
        self.steps(parent, name).next().is_some()
    }

    /// Whether a name in a directory stands for something hidden itself, or for what is not there yet and then leads to it.
    pub(super) fn is_end_of_the_way(&self, (parent, name): (Identity, &[u8])) -> bool {
        self.steps(parent, name).any(|step| step.passes.is_none())
    }

    /// Whether a directory has something hidden in it, or beneath, or a file is hidden itself.
    pub(super) fn is_part_of_the_way(&self, found: Identity) -> bool {
        self.is_thing(found) || self.way.iter().any(|step| step.parent == found)
    }

    fn steps<'a>(&'a self, parent: Identity, name: &'a [u8]) -> impl Iterator<Item = &'a Step> {
        self.way.iter().filter(move |step| step.parent == parent && is_alias(name, &step.name))
    }

    /// Whether something hidden can be reached from a directory without leaving its mount. A way to it that goes by the same mount goes through the directory
    /// then. One that goes by another mount of the same file system need not.
    pub(super) fn is_near(&self, permit: &Permit, directory: BorrowedFd<'_>) -> Result<bool, Error> {
        let found = sys::look_at(permit, directory, b"")?;
        let mut has_many_devices = None;
        let steps = self.way.iter().map(|step| (step.parent, step.mount));
        for (on_the_way, mount) in steps.chain(self.things.iter().copied()) {
            if on_the_way == found.identity {
                return Ok(true);
            }
            if mount.is_some() && mount == found.mount {
                continue;
            }
            let many = match has_many_devices {
                Some(known) => known,
                None => *has_many_devices.insert(sys::has_many_devices(permit, directory)?),
            };
            if on_the_way.0 == found.identity.0 || many {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an open file is hidden, or is in a directory that is, or beneath one.
    pub(super) fn has_file(&self, permit: &Permit, file: BorrowedFd<'_>) -> Result<bool, Error> {
        if self.is_thing(identity(&sys::stat(permit, file)?)) {
            return Ok(true);
        }
        // Where it was opened by; nothing moves what is hidden there meanwhile but its owner. What is in no directory has no such path.
        let path = sys::path_of(permit, file).unwrap_or_default();
        let parent =
            path.parent().filter(|_| path.is_absolute()).map(|parent| sys::open_granted(permit, parent));
        match parent {
            Some(Ok(parent)) => self.surrounds(permit, parent.as_fd()),
            _ => Ok(false),
        }
    }

    /// Whether a directory is a hidden one, or beneath one.
    pub(super) fn surrounds(&self, permit: &Permit, directory: BorrowedFd<'_>) -> Result<bool, Error> {
        let mut at = sys::duplicate(permit, directory)?;
        let mut here = identity(&sys::stat(permit, at.as_fd())?);
        loop {
            if self.is_thing(here) {
                return Ok(true);
            }
            at = match sys::open_name(permit, at.as_fd(), b"..", sys::OpenHow::lookup()) {
                Ok(above) => above,
                // Nobody can be asked further up.
                Err(Error::Access) => return Ok(false),
                Err(error) => return Err(error),
            };
            let above = identity(&sys::stat(permit, at.as_fd())?);
            if above == here {
                return Ok(false);
            }
            here = above;
        }
    }
}

impl At {
    fn root(permit: &Permit) -> Result<At, Error> {
        let fd = sys::open_granted(permit, Path::new("/")).map_err(|_| Error::Access)?;
        let found = sys::look_at(permit, fd.as_fd(), b"")?;
        Ok(At { fd, here: found.identity, mount: found.mount })
    }

    fn again(&self, permit: &Permit) -> Result<At, Error> {
        let fd = sys::duplicate(permit, self.fd.as_fd())?;
        Ok(At { fd, here: self.here, mount: self.mount })
    }
}

/// The steps of a path, without those that lead nowhere.
fn components(path: &Path) -> VecDeque<Vec<u8>> {
    let steps = path.components().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    steps.map(|step| step.as_os_str().as_bytes().to_vec()).collect()
}

pub(super) fn identity(found: &Metadata) -> Identity {
    (found.device, found.inode)
}

/// Where a path to something hidden ends early: there is nothing yet, links lead round and round, or this user cannot reach it, and then nor can a guest. What others make there while the
/// guest runs is behind the name, and so hidden.
fn nothing_yet(error: Error) -> Result<(), Error> {
    match error {
        Error::NotFound | Error::NotDirectory | Error::NameTooLong | Error::Access | Error::Loop => Ok(()),
        error => Err(error),
    }
}
