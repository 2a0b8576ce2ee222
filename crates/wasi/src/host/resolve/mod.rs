//! Path resolution: from a directory handle and a guest's path to something that surely lies beneath that directory.
//!
//! Two resolvers give the same answers: `openat2`, where the kernel does it atomically, and `walk`, one component at a
//! time in user space. Which is used is decided once, by a probe; an error of a real call never changes it.
//!
//! What must stay true: no real `..` is ever opened; no path with a trailing slash or `/.` reaches the system (Linux
//! follows a link under those even when told not to), the wish for a directory is remembered instead;
//! a link is never followed by the system in the last step, only here.

mod alias;
mod openat2;
mod path;
mod walk;

use std::borrow::Cow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub(super) use alias::is_alias;
pub(super) use path::{
    GuestPath, LastPart, MAX_PATH_BYTES, is_reserved, names_reserved, push_components, splice,
};

use super::error::Error;
use super::gate::{Operation, Permit};
use super::hidden::{Hidden, Identity, identity};
use super::metadata::Metadata;
use super::open::{LastLink, OpenOptions};
use super::reach::{NativeDirectory, Reached};
use super::{Host, sys};
use crate::keys::{ProbeAnswer, Resolver, WasiTuning};

/// Symbolic links followed in one resolution, as in the Linux kernel.
pub(super) const MAX_LINKS: u32 = 40;

/// The resolver in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResolverKind {
    /// The kernel's `openat2`.
    OpenAt2,
    /// The walker in user space.
    Walk,
}

/// A resolver, chosen once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolve<'a> {
    kind: ResolverKind,
    /// Whose guest chooses how long a search is, and may have to end in its midst.
    asked_by: Option<&'a Host>,
}

/// One name without a slash, or `.` for the directory itself.
pub(super) type LastName<'a> = Cow<'a, [u8]>;

/// Where a path leads: a directory that is surely inside, and one name in it that has not been followed.
#[derive(Debug)]
pub(super) struct ResolvedName<'a> {
    /// Where the search began; nothing where there was none.
    base: Option<&'a NativeDirectory>,
    parent: Parent<'a>,
    /// The name in the parent.
    pub(super) name: LastName<'a>,
    /// The path ended in a slash or `/.`.
    pub(super) must_be_directory: bool,
    /// What the path's last part was.
    pub(super) last: LastPart,
    /// What the parent is, where something hidden is near.
    near: Option<Identity>,
    /// The name has to stay as it is, whatever it stands for.
    is_kept: bool,
}

impl<'a> ResolvedName<'a> {
    /// A name in an open directory.
    pub(super) fn of_name(parent: BorrowedFd<'a>, name: &'a [u8]) -> ResolvedName<'a> {
        ResolvedName {
            base: None,
            parent: Parent::Base(parent),
            name: Cow::Borrowed(name),
            must_be_directory: false,
            last: LastPart::Name,
            near: None,
            is_kept: false,
        }
    }

    /// Refuses an operation that changes what the name stands for, if that is on the way to something hidden. Where something is to be made that is there,
    /// that is the answer: whoever makes a path step by step goes on. The system is not asked, as others may remove the name before it is.
    pub(super) fn require_changeable(&self, permit: &Permit, operation: Operation) -> Result<(), Error> {
        let makes = matches!(operation, Operation::CreateDirectory | Operation::Symlink | Operation::Link);
        self.require_off_the_way(permit, if makes { Error::Exists } else { Error::Hidden })
    }

    /// Refuses to give what the name stands for another name, if that is on the way to something hidden.
    pub(super) fn require_linkable(&self, permit: &Permit) -> Result<(), Error> {
        self.require_off_the_way(permit, Error::Hidden)
    }

    /// Refuses a name on the way to something hidden; `if_there` is the answer where it stands for anything.
    fn require_off_the_way(&self, permit: &Permit, if_there: Error) -> Result<(), Error> {
        if let Some(base) = self.base {
            base.require_no_staging(permit, (self.parent(), &self.name))?;
        }
        if !self.is_kept && self.near.is_none() {
            return Ok(());
        }
        let found = sys::stat_at(permit, self.parent(), &self.name).ok();
        // By another mount, the name need not be one of the way.
        let is_part =
            |found: &Metadata| self.hidden().is_some_and(|(_, it)| it.is_part_of_the_way(identity(found)));
        if !self.is_kept && !found.as_ref().is_some_and(is_part) {
            return Ok(());
        }
        Err(if found.is_some() { if_there } else { Error::Hidden })
    }

    /// Metadata of what the name stands for, if that is part of the grant.
    pub(super) fn stat(&self, permit: &Permit) -> Result<Metadata, Error> {
        let found = sys::stat_at(permit, self.parent(), &self.name)?;
        if let Some(base) = self.base {
            self.require_not_hidden(&found)?;
            base.admit_name(permit, (self.parent(), &self.name), &found)?;
        }
        Ok(found)
    }

    /// Opens what the name stands for, if that is part of the grant, and changes nothing by that.
    pub(super) fn open(&self, permit: &Permit, how: sys::OpenHow) -> Result<OwnedFd, Error> {
        let fd = sys::open_name(permit, self.parent(), &self.name, how)?;
        if let Some(base) = self.base {
            let found = sys::stat(permit, fd.as_fd())?;
            self.require_not_hidden(&found)?;
            base.admit_open(permit, fd.as_fd(), &found)?;
        }
        Ok(fd)
    }

    /// Refuses to look at what the name stands for, if that is hidden.
    pub(super) fn require_visible(&self, permit: &Permit) -> Result<(), Error> {
        if self.near.is_some() { self.stat(permit).map(drop) } else { Ok(()) }
    }

    /// What is hidden near the parent, and what that is.
    fn hidden(&self) -> Option<(Identity, &Hidden)> {
        Some((self.near?, self.base?.near(true)?))
    }

    fn require_not_hidden(&self, found: &Metadata) -> Result<(), Error> {
        match self.hidden() {
            Some((parent, hidden)) if hidden.is_behind((parent, &self.name), found) => Err(Error::Hidden),
            _ => Ok(()),
        }
    }

    /// The text of the link that the name stands for, unless that has come on the way to something hidden; [`Error::Invalid`] where it is something else.
    pub(super) fn read_link(&self, permit: &Permit) -> Result<Vec<u8>, Error> {
        let target = sys::read_link(permit, self.parent(), &self.name)?;
        match self.hidden() {
            Some((parent, hidden)) if hidden.is_link_behind((parent, &self.name), &target) => {
                Err(Error::Hidden)
            }
            _ => Ok(target),
        }
    }

    /// The directory that holds the name.
    pub(super) fn parent(&self) -> BorrowedFd<'_> {
        self.parent.as_fd()
    }
}

/// A directory on the way: the one that resolution began in, or one opened for it.
#[derive(Debug)]
enum Parent<'a> {
    Base(BorrowedFd<'a>),
    Opened(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Parent::Base(fd) => *fd,
            Parent::Opened(fd) => fd.as_fd(),
        }
    }
}

impl<'h> Resolve<'h> {
    /// Chooses the resolver, probing for `openat2` if need be.
    pub(super) fn choose(permit: &Permit, tuning: &WasiTuning) -> Result<Resolve<'h>, Error> {
        let kind = match (tuning.resolver, tuning.probe) {
            (Resolver::OpenAt2, _) => ResolverKind::OpenAt2,
            (Resolver::Walk, _) | (Resolver::Auto, ProbeAnswer::Enosys | ProbeAnswer::Eperm) => {
                ResolverKind::Walk
            }
            (Resolver::Auto, ProbeAnswer::Real) => openat2::probe(permit)?,
        };
        Ok(Resolve { kind, asked_by: None })
    }

    /// For whoever has no directory of the host's.
    pub(super) fn nothing() -> Resolve<'h> {
        Resolve { kind: ResolverKind::Walk, asked_by: None }
    }

    /// This resolver, for searches that end where the waits of a host's guest are to end.
    pub(super) fn asked_by<'a>(self, host: &'a Host) -> Resolve<'a> {
        Resolve { kind: self.kind, asked_by: Some(host) }
    }

    /// As [`Host::heed_interrupt`], for whatever a guest chooses the length of.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) fn heed_interrupt(self) -> Result<(), Error> {
        self.asked_by.map_or(Ok(()), Host::heed_interrupt)
    }

    pub(super) fn kind(self) -> ResolverKind {
        self.kind
    }

    /// Opens `path` beneath `base`. What is opened may be no part of the grant; see [`NativeDirectory::admit_open`].
    pub(super) fn open(
        self,
        permit: &Permit,
        base: &NativeDirectory,
        path: &GuestPath<'_>,
        options: &OpenOptions,
    ) -> Result<Reached, Error> {
        match self.kind {
            ResolverKind::OpenAt2 => openat2::open((self, permit), base, path, options),
            ResolverKind::Walk => walk::open((self, permit), base, path, options),
        }
    }

    /// Resolves all but the last name of `path`.
    pub(super) fn place<'a>(
        self,
        permit: &Permit,
        base: &'a NativeDirectory,
        path: &GuestPath<'a>,
    ) -> Result<ResolvedName<'a>, Error> {
        let (parent, name) = path.split();
        let (parent, is_walked) = match parent {
            None => (Parent::Base(base.as_fd()), false),
            Some(parent) => {
                let Reached { fd, is_walked } = match self.kind {
                    ResolverKind::OpenAt2 => openat2::directory((self, permit), base, parent)?,
                    ResolverKind::Walk => walk::directory((self, permit), base, parent)?,
                };
                (Parent::Opened(fd), is_walked)
            }
        };
        let near = match (&parent, base.near(is_walked)) {
            (_, None) => None,
            (Parent::Base(_), Some(_)) => Some(base.identity()),
            (Parent::Opened(fd), Some(_)) => Some(identity(&sys::stat(permit, fd.as_fd())?)),
        };
        let is_on_the_way = |parent| base.near(is_walked).is_some_and(|it| it.is_on_the_way((parent, name)));
        let is_kept = near.is_some_and(is_on_the_way);
        let name = Cow::Borrowed(name);
        let (must_be_directory, last) = (path.must_be_directory(), path.last());
        Ok(ResolvedName { base: Some(base), parent, name, must_be_directory, last, near, is_kept })
    }

    /// Resolves `path` to a place whose name was no symbolic link when looked at: links are followed here, inside `base`.
    /// Acting on the place without following links is safe even if that changes.
    pub(super) fn place_behind_links<'a>(
        self,
        permit: &Permit,
        base: &'a NativeDirectory,
        path_given: &GuestPath<'_>,
    ) -> Result<ResolvedName<'a>, Error> {
        let mut text = path_given.text().to_vec();
        let mut must_be_directory = path_given.must_be_directory();
        for _ in 0..=MAX_LINKS {
            let path = GuestPath::parse(&text)?;
            must_be_directory |= path.must_be_directory();
            let place = self.place(permit, base, &path)?;
            let target = match place.read_link(permit) {
                Ok(target) => target,
                // Not a link, or nothing there: the action will tell.
                Err(Error::Invalid | Error::NotFound) => {
                    let name = Cow::Owned(place.name.into_owned());
                    let parent = match place.parent {
                        Parent::Base(base) => Parent::Opened(sys::duplicate(permit, base)?),
                        Parent::Opened(fd) => Parent::Opened(fd),
                    };
                    return Ok(ResolvedName {
                        base: Some(base),
                        parent,
                        name,
                        must_be_directory,
                        last: place.last,
                        near: place.near,
                        is_kept: place.is_kept,
                    });
                }
                Err(error) => return Err(error),
            };
            text = match path::splice(path.split().0, &target) {
                // Where what is before a link makes it so, the walker goes on from the directory that the link is in.
                Err(Error::NameTooLong) => return self.place_walked(permit, base, path_given),
                text => text?,
            };
        }
        Err(Error::Loop)
    }

    /// [`Resolve::place_behind_links`] by the walker, whichever resolver is used.
    fn place_walked<'a>(
        self,
        permit: &Permit,
        base: &'a NativeDirectory,
        path: &GuestPath<'_>,
    ) -> Result<ResolvedName<'a>, Error> {
        let found = walk::behind_links((self, permit), base, path)?;
        let walk::BehindLinks { parent, name, must_be_directory, last } = found;
        let (near, is_kept) = match base.near(true) {
            None => (None, false),
            Some(hidden) => {
                let here = identity(&sys::stat(permit, parent.as_fd())?);
                (Some(here), hidden.is_on_the_way((here, &name)))
            }
        };
        let (parent, name) = (Parent::Opened(parent), Cow::Owned(name));
        Ok(ResolvedName { base: Some(base), parent, name, must_be_directory, last, near, is_kept })
    }
}

/// Whether a link in the last place of `path` is to be followed: `link/` names what the link points to.
fn follows_last(path: &GuestPath<'_>, options: &OpenOptions) -> bool {
    options.last_link == LastLink::Follow || path.must_be_directory()
}
