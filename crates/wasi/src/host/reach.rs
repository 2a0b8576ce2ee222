//! A directory of the system's that paths are looked up beneath, and what beneath it is no part of a grant.
//!
//! Two things never are, by whatever path, link or mount they are reached, unless the key says so for the first: files by which one talks to the kernel
//! (`/proc` has the host process's environment and memory), told by the type of their file system; and what the host keeps for itself
//! ([`crate::keys::Keys::hidden`]), told by what they are, not by name.
//!
//! Cheap where nothing of this is near: what lies on the mount of the directory that the search began in needs no question, so the kernel is told to stay
//! there (`openat2`), and a search that it gives up for that reason is made again by the walker, which looks at every step. What is hidden is near where its way
//! leads through the directory, or through a directory of the same file system that is mounted elsewhere, too: there the same directories have other ways.
//!
//! Where a file system has names of which nobody here knows what they lead to, each step is looked at as well: a directory that changes are staged in is refused by
//! what is in it, whatever it is called.
//!
//! Must stay true: nothing is opened, read, listed or changed in what is hidden, and no name on the way to it is made, moved or removed.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use super::error::Error;
use super::gate::Permit;
use super::hidden::{Hidden, Identity, identity};
use super::metadata::{FileKind, Metadata};
use super::resolve::ResolverKind;
use super::sys;
use super::tree::looks_like_staging_directory;
use crate::keys::{KernelFiles, NameAliases};

/// An open directory of the system's.
#[derive(Clone, Debug)]
pub(super) struct NativeDirectory {
    /// Guests that have the same keys share it.
    fd: Arc<OwnedFd>,
    reach: Reach,
}

/// How far a search beneath a directory goes.
#[derive(Clone, Debug)]
struct Reach {
    /// What the directory is. What is on the same device is no file of the kernel's.
    here: Identity,
    kernel_files: KernelFiles,
    /// Nothing where nothing is hidden.
    hidden: Option<Arc<Hidden>>,
    /// Whether something hidden could be reached without leaving the directory's mount: then every step is looked at.
    is_guarded: bool,
    /// Whether the file system has names for a file that cannot be told from others by their text.
    has_aliases: bool,
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
        (resolver, aliases): (ResolverKind, NameAliases),
    ) -> Result<NativeDirectory, Error> {
        let file_system = sys::FileSystem::of(permit, fd.as_fd())?;
        if kernel_files == KernelFiles::Refused && file_system.is_of_the_kernel() {
            return Err(Error::KernelFiles);
        }
        let here = identity(&sys::stat(permit, fd.as_fd())?);
        let is_guarded = match hidden {
            None => false,
            Some(hidden) if hidden.surrounds(permit, fd.as_fd())? => return Err(Error::Hidden),
            // The walker crosses mounts unnoticed.
            Some(hidden) => resolver == ResolverKind::Walk || hidden.is_near(permit, fd.as_fd())?,
        };
        let has_aliases = aliases == NameAliases::Assumed || file_system.has_name_aliases();
        let is_guarded = is_guarded || has_aliases;
        let reach = Reach { here, kernel_files, hidden: hidden.cloned(), is_guarded, has_aliases };
        Ok(NativeDirectory { fd: Arc::new(fd), reach })
    }

    /// One that was found beneath this one, with what is known of it.
    pub(super) fn derive(&self, permit: &Permit, found: Reached, metadata: &Metadata) -> NativeDirectory {
        let reach = &self.reach;
        let has_aliases = self.is_among_aliases(permit, found.fd.as_fd(), metadata);
        let is_guarded = reach.hidden.is_some() && (reach.is_guarded || found.is_walked) || has_aliases;
        NativeDirectory {
            fd: Arc::new(found.fd),
            reach: Reach { here: identity(metadata), is_guarded, has_aliases, ..reach.clone() },
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

    /// What the directory is.
    pub(super) fn identity(&self) -> Identity {
        self.reach.here
    }

    /// What is hidden from those who search here, if that is to be asked of each name.
    pub(super) fn near(&self, is_walked: bool) -> Option<&Hidden> {
        self.reach.hidden.as_deref().filter(|_| is_walked || self.reach.is_guarded)
    }

    /// What is hidden, wherever it is.
    pub(super) fn hidden(&self) -> Option<&Hidden> {
        self.reach.hidden.as_deref()
    }

    /// Whether anything hidden is, or will be, beneath this directory.
    pub(super) fn surrounds_hidden(&self) -> bool {
        self.reach.hidden.as_ref().is_some_and(|hidden| hidden.is_part_of_the_way(self.identity()))
    }

    /// Refuses what is no part of the grant. `is_of_the_kernel` says whether it is on a file system of the kernel's, and is called where that has to be known.
    #[inline]
    fn admit(
        &self,
        found: &Metadata,
        is_of_the_kernel: impl FnOnce() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let Reach { here, kernel_files, hidden, .. } = &self.reach;
        if hidden.as_ref().is_some_and(|hidden| hidden.is_thing(identity(found))) {
            return Err(Error::Hidden);
        }
        if found.device != here.0 && *kernel_files == KernelFiles::Refused && is_of_the_kernel()? {
            return Err(Error::KernelFiles);
        }
        Ok(())
    }

    /// Refuses what a name in a directory stands for, if it is no part of the grant.
    pub(super) fn admit_name(
        &self,
        permit: &Permit,
        (parent, name): (BorrowedFd<'_>, &[u8]),
        found: &Metadata,
    ) -> Result<(), Error> {
        self.admit(found, || {
            let fd = sys::open_name(permit, parent, name, sys::OpenHow::look())?;
            sys::is_of_the_kernel(permit, fd.as_fd())
        })?;
        if found.kind == FileKind::Directory {
            self.require_no_staging(permit, (parent, name))
        } else {
            Ok(())
        }
    }

    /// Refuses what is open, if it is no part of the grant.
    pub(super) fn admit_open(
        &self,
        permit: &Permit,
        fd: BorrowedFd<'_>,
        found: &Metadata,
    ) -> Result<(), Error> {
        self.admit(found, || sys::is_of_the_kernel(permit, fd))?;
        let is_suspect = found.kind == FileKind::Directory && self.is_among_aliases(permit, fd, found);
        if is_suspect && looks_like_staging_directory(permit, fd) { Err(Error::Reserved) } else { Ok(()) }
    }

    /// Refuses what a name stands for, if that is a directory in which changes are staged.
    pub(super) fn require_no_staging(
        &self,
        permit: &Permit,
        (parent, name): (BorrowedFd<'_>, &[u8]),
    ) -> Result<(), Error> {
        if !self.reach.has_aliases {
            return Ok(());
        }
        match sys::open_name(permit, parent, name, sys::OpenHow::lookup().without_following()) {
            Ok(fd) if looks_like_staging_directory(permit, fd.as_fd()) => Err(Error::Reserved),
            _ => Ok(()),
        }
    }

    /// Whether the file system has names for a file that cannot be told from others by their text.
    pub(super) fn has_aliases(&self) -> bool {
        self.reach.has_aliases
    }

    /// As [`NativeDirectory::has_aliases`], of what was found beneath it, perhaps on another file system. What cannot be asked is taken for one that has.
    fn is_among_aliases(&self, permit: &Permit, fd: BorrowedFd<'_>, found: &Metadata) -> bool {
        self.reach.has_aliases
            || found.device != self.reach.here.0
                && sys::FileSystem::of(permit, fd).map_or(true, |it| it.has_name_aliases())
    }
}

/// What a search has opened.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) fd: OwnedFd,
    /// Whether each step was looked at: it may lie on another mount than where the search began.
    pub(super) is_walked: bool,
}
