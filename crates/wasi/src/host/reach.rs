//! A directory of the system's that paths are looked up beneath, and what beneath it is no part of a grant.
//!
//! Two things never are, by whatever path, link or mount they are reached, unless the key says so for the first: files by which one talks to the kernel
//! (`/proc` has the host process's environment and memory), told by the type of their file system; and what the host keeps for itself
//! ([`crate::keys::Keys::hidden`]), told by what they are, not by name.
//!
//! Cheap where nothing of this is near: what lies on the mount of the directory that the search began in needs no question, so the kernel is told to stay
//! there (`openat2`), and a search that it gives up for that reason is made again by the walker, which looks at every step.
//!
//! Must stay true: nothing is opened, read, listed or changed in what is hidden, and no name on the way to it is made, moved or removed.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::Arc;

use super::error::Error;
use super::gate::Permit;
use super::metadata::{FileKind, Metadata};
use super::resolve::{MAX_LINKS, ResolverKind};
use super::sys;
use crate::keys::KernelFiles;

/// What a file is, whatever its name: the numbers of its device and on it.
type Identity = (u64, u64);

/// An open directory of the system's.
#[derive(Debug)]
pub(super) struct NativeDirectory {
    fd: OwnedFd,
    reach: Reach,
}

/// How far a search beneath a directory goes.
#[derive(Clone, Debug)]
struct Reach {
    /// The device that the directory is on; what is on the same one is no file of the kernel's.
    device: u64,
    kernel_files: KernelFiles,
    /// Nothing where nothing is hidden.
    hidden: Option<Arc<Hidden>>,
    /// Whether something hidden could be reached without leaving the directory's mount: then every step is looked at.
    is_guarded: bool,
}

/// What no guest is to reach.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    /// The directories and files themselves.
    things: Vec<Identity>,
    /// The names on the way to them, each with the directory that it is in.
    way: Vec<(Identity, Vec<u8>)>,
}

impl AsFd for NativeDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl NativeDirectory {
    /// The directory of a key.
    ///
    /// # Errors
    /// [`Error::KernelFiles`] or [`Error::Hidden`] where the directory itself cannot be granted.
    pub(super) fn granted(
        permit: &Permit,
        fd: OwnedFd,
        (kernel_files, hidden): (KernelFiles, Option<&Arc<Hidden>>),
        resolver: ResolverKind,
    ) -> Result<NativeDirectory, Error> {
        if kernel_files == KernelFiles::Refused && sys::is_of_the_kernel(permit, fd.as_fd())? {
            return Err(Error::KernelFiles);
        }
        let found = sys::stat(permit, fd.as_fd())?;
        let is_guarded = match hidden {
            None => false,
            Some(hidden) if hidden.surrounds(permit, fd.as_fd())? => return Err(Error::Hidden),
            // The walker crosses mounts unnoticed.
            Some(hidden) => resolver == ResolverKind::Walk || hidden.is_beneath(identity(&found)),
        };
        let reach = Reach { device: found.device, kernel_files, hidden: hidden.cloned(), is_guarded };
        Ok(NativeDirectory { fd, reach })
    }

    /// A directory that nothing is looked up in.
    pub(super) fn of_nothing(fd: OwnedFd) -> NativeDirectory {
        let kernel_files = KernelFiles::Refused;
        NativeDirectory { fd, reach: Reach { device: 0, kernel_files, hidden: None, is_guarded: false } }
    }

    /// One that was found beneath this one, with what is known of it.
    pub(super) fn derive(&self, found: Reached, metadata: &Metadata) -> NativeDirectory {
        let reach = &self.reach;
        let is_guarded = reach.hidden.is_some() && (reach.is_guarded || found.is_walked);
        NativeDirectory {
            fd: found.fd,
            reach: Reach { device: metadata.device, is_guarded, ..reach.clone() },
        }
    }

    /// Whether the kernel may search beneath it, and how.
    pub(super) fn mounts(&self) -> Option<sys::Mounts> {
        match (self.reach.is_guarded, self.reach.kernel_files, &self.reach.hidden) {
            (true, ..) => None,
            (false, KernelFiles::Granted, None) => Some(sys::Mounts::Cross),
            (false, ..) => Some(sys::Mounts::Stay),
        }
    }

    /// Whether every step of a search needs to be looked at.
    pub(super) fn is_guarded(&self) -> bool {
        self.reach.is_guarded
    }

    /// Whether anything is hidden from those who search here.
    pub(super) fn hides(&self) -> bool {
        self.reach.hidden.is_some()
    }

    /// Refuses what is no part of the grant. `is_of_the_kernel` says whether it is on a file system of the kernel's, and is called where that has to be known.
    #[inline]
    pub(super) fn admit(
        &self,
        found: &Metadata,
        is_of_the_kernel: impl FnOnce() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let Reach { device, kernel_files, hidden, .. } = &self.reach;
        if hidden.as_ref().is_some_and(|hidden| hidden.things.contains(&identity(found))) {
            return Err(Error::Hidden);
        }
        if found.device != *device && *kernel_files == KernelFiles::Refused && is_of_the_kernel()? {
            return Err(Error::KernelFiles);
        }
        Ok(())
    }

    /// [`NativeDirectory::admit`] of what a name in a directory stands for.
    pub(super) fn admit_name(
        &self,
        permit: &Permit,
        (parent, name): (BorrowedFd<'_>, &[u8]),
        found: &Metadata,
    ) -> Result<(), Error> {
        self.admit(found, || {
            let fd = sys::open_name(permit, parent, name, sys::OpenHow::look())?;
            sys::is_of_the_kernel(permit, fd.as_fd())
        })
    }

    /// [`NativeDirectory::admit`] of what is open.
    pub(super) fn admit_open(
        &self,
        permit: &Permit,
        fd: BorrowedFd<'_>,
        found: &Metadata,
    ) -> Result<(), Error> {
        self.admit(found, || sys::is_of_the_kernel(permit, fd))
    }

    /// Whether a name in a directory is on the way to something hidden: it stays what it is.
    pub(super) fn keeps(&self, permit: &Permit, parent: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Error> {
        let Some(hidden) = &self.reach.hidden else { return Ok(false) };
        let parent = identity(&sys::stat(permit, parent)?);
        Ok(hidden.way.iter().any(|(directory, kept)| *directory == parent && kept == name))
    }
}

/// What a search has opened.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) fd: OwnedFd,
    /// Whether each step was looked at: it may lie on another mount than where the search began.
    pub(super) is_walked: bool,
}

impl Hidden {
    /// What is at these absolute paths, as far as there is anything; nothing where nothing is to be hidden.
    ///
    /// # Errors
    /// Of the system, other than that nothing is there: what cannot be looked at cannot be told from others.
    pub(super) fn find<P: AsRef<Path>>(permit: &Permit, paths: &[P]) -> Result<Option<Arc<Hidden>>, Error> {
        if paths.is_empty() {
            return Ok(None);
        }
        let mut hidden = Hidden::default();
        for path in paths {
            hidden.add(permit, path.as_ref())?;
        }
        Ok(Some(Arc::new(hidden)))
    }

    /// Notes every name on the way to something, links on it included, and the thing itself.
    fn add(&mut self, permit: &Permit, path: &Path) -> Result<(), Error> {
        let root = || sys::open_granted(permit, Path::new("/")).map_err(|_| Error::Access);
        let mut todo = components(path);
        let mut at = root()?;
        let mut here = identity(&sys::stat(permit, at.as_fd())?);
        let mut links_left = MAX_LINKS;
        while let Some(name) = todo.pop_front() {
            if name != b".." {
                self.way.push((here, name.clone()));
            }
            let found = match sys::stat_at(permit, at.as_fd(), &name) {
                Ok(found) => found,
                Err(error) => return nothing_yet(error),
            };
            if found.kind == FileKind::SymbolicLink {
                links_left = links_left.checked_sub(1).ok_or(Error::Loop)?;
                let target = sys::read_link(permit, at.as_fd(), &name)?;
                let target = Path::new(OsStr::from_bytes(&target));
                if target.is_absolute() {
                    at = root()?;
                    here = identity(&sys::stat(permit, at.as_fd())?);
                }
                components(target).into_iter().rev().for_each(|name| todo.push_front(name));
            } else if todo.is_empty() {
                self.things.push(identity(&found));
            } else {
                at = match sys::open_name(permit, at.as_fd(), &name, sys::OpenHow::lookup()) {
                    Ok(next) => next,
                    Err(error) => return nothing_yet(error),
                };
                here = identity(&found);
            }
        }
        Ok(())
    }

    /// Whether something hidden is beneath the directory with this identity.
    fn is_beneath(&self, directory: Identity) -> bool {
        self.way.iter().any(|(parent, _)| *parent == directory)
    }

    /// Whether a directory is a hidden one, or beneath one.
    fn surrounds(&self, permit: &Permit, directory: BorrowedFd<'_>) -> Result<bool, Error> {
        let mut at = sys::duplicate(permit, directory)?;
        let mut here = identity(&sys::stat(permit, at.as_fd())?);
        loop {
            if self.things.contains(&here) {
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

/// The steps of a path, without those that lead nowhere.
fn components(path: &Path) -> VecDeque<Vec<u8>> {
    let steps = path.components().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    steps.map(|step| step.as_os_str().as_bytes().to_vec()).collect()
}

fn identity(found: &Metadata) -> Identity {
    (found.device, found.inode)
}

/// Where a path to something hidden ends early: there is nothing yet, or this user cannot reach it, and then nor can a guest. That its name is on the way keeps
/// others from making it.
fn nothing_yet(error: Error) -> Result<(), Error> {
    match error {
        Error::NotFound | Error::NotDirectory | Error::NameTooLong | Error::Access => Ok(()),
        error => Err(error),
    }
}
