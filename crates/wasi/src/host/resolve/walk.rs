//! Resolution in user space, where `openat2` is missing or forbidden.
//!
//! A stack of handles records the way down. `..` goes back up that stack and never asks the system, so a directory that is
//! moved meanwhile cannot lead out; above the stack's bottom there is nothing. A link is opened by nobody: its
//! text is read and walked.
//!
//! The stack holds one host descriptor per level, at most half as many as a path has bytes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::path::{push_components, splice};
use super::{GuestPath, LastPart, MAX_LINKS, Resolve, follows_last};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::hidden::{Hidden, Identity, identity};
use crate::host::metadata::FileKind;
use crate::host::open::OpenOptions;
use crate::host::reach::{NativeDirectory, Reached};
use crate::host::sys;

pub(super) fn open(
    (resolve, permit): (Resolve<'_>, &Permit),
    base: &NativeDirectory,
    path: &GuestPath<'_>,
    options: &OpenOptions,
) -> Result<Reached, Error> {
    let mut walk = Walk { resolve, base, stack: Vec::new(), links_left: MAX_LINKS };
    let mut text = path.text().to_vec();
    let mut how = *options;
    loop {
        let step = GuestPath::parse(&text)?;
        let (parent, name) = step.split();
        if let Some(parent) = parent {
            walk.descend(permit, parent)?;
        }
        if step.must_be_directory() {
            if how.create {
                // A link's target that ends in a slash. Nothing is created under such a name, whatever is there.
                let mut target = match sys::stat_at(permit, walk.top(), name) {
                    Ok(found) if found.kind == FileKind::SymbolicLink => walk.read_link(permit, name)?,
                    Ok(found) if found.kind != FileKind::Directory => return Err(Error::NotDirectory),
                    Ok(_) | Err(Error::NotFound) => return Err(Error::IsDirectory),
                    Err(error) => return Err(error),
                };
                walk.count_link()?;
                target.push(b'/');
                text = splice(None, &target)?;
                continue;
            }
            how.directory = true;
        }
        walk.require_not_hidden(permit, name, &how)?;
        let error =
            match sys::open_name(permit, walk.top(), name, sys::OpenHow::new(&how).without_following()) {
                Err(error @ (Error::Loop | Error::NotDirectory)) => error,
                Err(error) => return Err(error),
                Ok(fd) => {
                    // What stands there may have come in between.
                    walk.admit(permit, name, fd.as_fd())?;
                    return Ok(Reached { fd, is_walked: true });
                }
            };
        // Either it is a link, or the error stands.
        let target = match walk.read_link(permit, name) {
            Ok(target) => target,
            Err(Error::Hidden) => return Err(Error::Hidden),
            Err(_) => return Err(error),
        };
        if !follows_last(&step, options) && !follows_last(path, options) {
            return Err(error);
        }
        walk.count_link()?;
        text = splice(None, &target)?;
    }
}

/// Opens a directory to look things up in.
pub(super) fn directory(
    (resolve, permit): (Resolve<'_>, &Permit),
    base: &NativeDirectory,
    path: &[u8],
) -> Result<Reached, Error> {
    let mut walk = Walk { resolve, base, stack: Vec::new(), links_left: MAX_LINKS };
    walk.descend(permit, path)?;
    let fd = match walk.stack.pop() {
        Some(step) => {
            base.admit_open(permit, step.fd.as_fd(), &sys::stat(permit, step.fd.as_fd())?)?;
            step.fd
        }
        None => sys::duplicate(permit, base.as_fd())?,
    };
    Ok(Reached { fd, is_walked: true })
}

/// A name that was no symbolic link when it was looked at.
pub(super) struct BehindLinks {
    pub(super) parent: OwnedFd,
    pub(super) name: Vec<u8>,
    pub(super) must_be_directory: bool,
    pub(super) last: LastPart,
}

/// Finds where `path` leads, links in its last place followed. Their texts can be longer together than a path: each is walked from where its link is.
pub(super) fn behind_links(
    (resolve, permit): (Resolve<'_>, &Permit),
    base: &NativeDirectory,
    path: &GuestPath<'_>,
) -> Result<BehindLinks, Error> {
    let mut walk = Walk { resolve, base, stack: Vec::new(), links_left: MAX_LINKS };
    let mut text = path.text_with_dot();
    let mut must_be_directory = path.must_be_directory();
    loop {
        let step = GuestPath::parse(&text)?;
        must_be_directory |= step.must_be_directory();
        let (parent, name) = step.split();
        if let Some(parent) = parent {
            walk.descend(permit, parent)?;
        }
        match walk.read_link(permit, name) {
            Ok(target) => {
                walk.count_link()?;
                text = splice(None, &target)?;
            }
            // Not a link, or nothing there: the action will tell.
            Err(Error::Invalid | Error::NotFound) => {
                let parent = sys::duplicate(permit, walk.top())?;
                return Ok(BehindLinks { parent, name: name.to_vec(), must_be_directory, last: step.last() });
            }
            Err(error) => return Err(error),
        }
    }
}

/// A walk: where it began, and the directories entered since.
struct Walk<'a> {
    resolve: Resolve<'a>,
    base: &'a NativeDirectory,
    stack: Vec<Entered>,
    links_left: u32,
}

/// A directory that was entered.
struct Entered {
    fd: OwnedFd,
    /// What it is, where something is hidden.
    here: Option<Identity>,
}

impl Walk<'_> {
    fn top(&self) -> BorrowedFd<'_> {
        self.stack.last().map_or(self.base.as_fd(), |entered| entered.fd.as_fd())
    }

    /// What is hidden from this search, and what the directory is that it has come to.
    fn hidden(&self) -> Option<(&Hidden, Identity)> {
        let here = self.stack.last().map_or(Some(self.base.identity()), |entered| entered.here);
        Some((self.base.near(true)?, here?))
    }

    /// Refuses what a name stood for when it was opened, if it is no part of the grant. Gives what it is, where something is hidden.
    fn admit(&self, permit: &Permit, name: &[u8], fd: BorrowedFd<'_>) -> Result<Option<Identity>, Error> {
        let Some((hidden, parent)) = self.hidden() else {
            if self.base.has_aliases() {
                self.base.admit_open(permit, fd, &sys::stat(permit, fd)?)?;
            }
            return Ok(None);
        };
        let found = sys::stat(permit, fd)?;
        if hidden.is_behind((parent, name), &found) {
            return Err(Error::Hidden);
        }
        self.base.admit_open(permit, fd, &found)?;
        Ok(Some(identity(&found)))
    }

    /// Before something is opened, which can change it: that it is not hidden, and nothing is made on the way to what is.
    fn require_not_hidden(&self, permit: &Permit, name: &[u8], how: &OpenOptions) -> Result<(), Error> {
        let Some((hidden, parent)) = self.hidden() else { return Ok(()) };
        match sys::stat_at(permit, self.top(), name) {
            Err(_) if how.create && hidden.is_on_the_way((parent, name)) => Err(Error::Hidden),
            Ok(found) if hidden.is_behind((parent, name), &found) => Err(Error::Hidden),
            Ok(found) => self.base.admit_name(permit, (self.top(), name), &found),
            // Opening it will tell.
            Err(_) => Ok(()),
        }
    }

    /// The text of a link, where it is no new one on the way to something hidden.
    fn read_link(&self, permit: &Permit, name: &[u8]) -> Result<Vec<u8>, Error> {
        let target = sys::read_link(permit, self.top(), name)?;
        match self.hidden() {
            Some((hidden, parent)) if hidden.is_link_behind((parent, name), &target) => Err(Error::Hidden),
            _ => Ok(target),
        }
    }

    fn count_link(&mut self) -> Result<(), Error> {
        self.links_left = self.links_left.checked_sub(1).ok_or(Error::Loop)?;
        Ok(())
    }

    /// Enters every directory that `path` names, in turn.
    fn descend(&mut self, permit: &Permit, path: &[u8]) -> Result<(), Error> {
        // The components still to come, the next one last.
        let mut todo: Vec<Vec<u8>> = Vec::new();
        push_components(&mut todo, path);
        while let Some(component) = todo.pop() {
            // With links, a path has some ten thousands of components.
            self.resolve.heed_interrupt()?;
            if component == b".." {
                self.stack.pop().ok_or(Error::Escape)?;
                continue;
            }
            match sys::open_name(permit, self.top(), &component, sys::OpenHow::lookup().without_following()) {
                Ok(fd) => {
                    let here = self.admit(permit, &component, fd.as_fd())?;
                    self.stack.push(Entered { fd, here });
                }
                Err(error @ (Error::NotDirectory | Error::Loop)) => {
                    let target = match self.read_link(permit, &component) {
                        Ok(target) => target,
                        Err(Error::Hidden) => return Err(Error::Hidden),
                        Err(_) => return Err(error),
                    };
                    self.count_link()?;
                    push_components(&mut todo, &splice(None, &target)?);
                    if todo.len() > super::MAX_PATH_BYTES {
                        return Err(Error::NameTooLong);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
