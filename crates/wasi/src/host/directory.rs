//! An open directory, and the operations on names in it.
//!
//! Every path goes through the resolver to one parent directory and one name without a slash; the last step is one
//! system call on that pair, which follows no link. Opening is in `open`, metadata in `metadata`, times in `times`.

use std::os::fd::AsFd;

use super::credentials::{Credentials, Rights};
use super::error::Error;
use super::gate::{Operation, Permit, Request};
use super::open::{LastLink, WriteSync};
use super::reach::NativeDirectory;
use super::resolve::{GuestPath, LastName, LastPart, ResolvedName, names_reserved};
use super::tree::{TreeDirectory, Visit};
use super::{Host, sys};

/// An open directory.
#[derive(Debug)]
pub struct Directory {
    pub(super) node: DirectoryNode,
    pub(super) credentials: Credentials,
}

/// What kind of directory it is. Nobody above this layer can tell.
#[derive(Debug)]
pub(super) enum DirectoryNode {
    /// The system's.
    Native(NativeDirectory),
    /// One that the host keeps itself.
    Tree(TreeDirectory),
}

/// What remains of "resolve, then act" for each operation on the system's directories: the action on a place.
type Action<'a, T> = dyn FnOnce(&Permit, &ResolvedName<'_>) -> Result<T, Error> + 'a;

/// The same operation in a tree.
type TreeAction<'a, T> = dyn FnOnce(Visit<'_>, &TreeDirectory, &GuestPath<'_>) -> Result<T, Error> + 'a;

impl Directory {
    /// Its rights and origin.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }
}

impl Host {
    /// Waits until the names in `directory`, and if `what` says so its metadata, are on the medium: then what was renamed there is found again.
    ///
    /// # Errors
    /// [`Error::BadHandle`] for a root that was not granted, [`Error::Io`], [`Error::NoSpace`].
    pub fn flush_directory(&self, directory: &Directory, what: WriteSync) -> Result<(), Error> {
        let permit =
            self.gate.decide(&Request::handle(Operation::Flush, Rights::NONE, &directory.credentials))?;
        if directory.is_locked_root() {
            return Err(Error::BadHandle);
        }
        match &directory.node {
            DirectoryNode::Native(native) => sys::flush_directory(&permit, native.as_fd(), what),
            DirectoryNode::Tree(_) => Ok(()),
        }
    }

    /// Creates the directory `path`.
    ///
    /// # Errors
    /// [`Error::Exists`], and the errors of every path operation: [`Error::Denied`], [`Error::Escape`],
    /// [`Error::NotFound`], [`Error::NotDirectory`], [`Error::Loop`], [`Error::NameTooLong`], [`Error::Invalid`].
    pub fn create_directory(&self, directory: &Directory, path: &[u8]) -> Result<(), Error> {
        let request = Request::path(Operation::CreateDirectory, Rights::CHANGE, directory, path);
        let in_tree =
            |visit: Visit<'_>, at: &TreeDirectory, path: &GuestPath<'_>| at.create_directory(visit, path);
        self.at_place(&request, directory, path, (Box::new(sys::create_directory), Box::new(in_tree)))
    }

    /// Removes the empty directory `path`. A symbolic link is not followed, with or without a trailing slash.
    ///
    /// # Errors
    /// [`Error::NotEmpty`], also for `..` at the end, [`Error::NotDirectory`], [`Error::Invalid`] for `.` at the end, and the errors of every path operation.
    pub fn remove_directory(&self, directory: &Directory, path: &[u8]) -> Result<(), Error> {
        let request = Request::path(Operation::RemoveDirectory, Rights::CHANGE, directory, path);
        let in_tree =
            |visit: Visit<'_>, at: &TreeDirectory, path: &GuestPath<'_>| at.remove_directory(visit, path);
        let action = |permit: &Permit, place: &ResolvedName<'_>| match place.last {
            LastPart::DotDot => Err(Error::NotEmpty),
            LastPart::Dot => Err(Error::Invalid),
            LastPart::Name => sys::remove_directory(permit, place),
        };
        self.at_place(&request, directory, path, (Box::new(action), Box::new(in_tree)))
    }

    /// Removes the name `path` of something that is not a directory.
    ///
    /// # Errors
    /// [`Error::IsDirectory`], [`Error::NotDirectory`] for a trailing slash after something else,
    /// and the errors of every path operation.
    pub fn remove_file(&self, directory: &Directory, path: &[u8]) -> Result<(), Error> {
        let request = Request::path(Operation::RemoveFile, Rights::CHANGE, directory, path);
        let action = |permit: &Permit, place: &ResolvedName<'_>| {
            require_directory_if_asked(permit, place)?;
            sys::remove_file(permit, place)
        };
        let in_tree =
            |visit: Visit<'_>, at: &TreeDirectory, path: &GuestPath<'_>| at.remove_file(visit, path);
        self.at_place(&request, directory, path, (Box::new(action), Box::new(in_tree)))
    }

    /// The target of the symbolic link `path`, as stored.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is no symbolic link; [`Error::NotPermitted`] if the target is absolute, since that would
    /// tell the guest about the host; and the errors of every path operation.
    pub fn read_link(&self, directory: &Directory, path: &[u8]) -> Result<Vec<u8>, Error> {
        let request = Request::path(Operation::ReadLink, Rights::READ, directory, path);
        let permit = self.gate.decide(&request)?;
        let result = GuestPath::parse(path).and_then(|path| match &directory.node {
            DirectoryNode::Native(base) if path.must_be_directory() => {
                // `link/` is what the link leads to, if that is a directory: no link.
                self.stat_native(&permit, base, &path, LastLink::Follow)?;
                Err(Error::Invalid)
            }
            DirectoryNode::Native(base) => {
                let place = self.searching().place(&permit, base, &path)?;
                place.require_visible(&permit)?;
                relative_target(place.read_link(&permit)?)
            }
            DirectoryNode::Tree(tree) => relative_target(tree.read_link(self.visit(&permit), &path)?),
        });
        self.conclude(&permit, &request, directory, result)
    }

    /// Creates the symbolic link `path` that contains `target`.
    ///
    /// A relative target may lead outside: it is checked when followed, as the tree may have changed by then.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] if `target` is absolute, [`Error::NotFound`] if it is empty, [`Error::Exists`],
    /// and the errors of every path operation.
    pub fn symlink(&self, directory: &Directory, target: &[u8], path: &[u8]) -> Result<(), Error> {
        let request = Request::path(Operation::Symlink, Rights::CHANGE, directory, path);
        let action = |permit: &Permit, place: &ResolvedName<'_>| {
            check_link_target(target)?;
            refuse_trailing_slash(permit, place)?;
            sys::symlink(permit, target, place)
        };
        let in_tree = |visit: Visit<'_>, at: &TreeDirectory, path: &GuestPath<'_>| {
            check_link_target(target)?;
            at.symlink(visit, target, path)
        };
        // The text is kept on the medium, as what is written to a file is.
        self.growing(
            || Ok(target.len() as u64),
            || self.at_place(&request, directory, path, (Box::new(action), Box::new(in_tree))),
        )
    }

    /// Gives the file `from` a second name `to`. Symbolic links are linked to, not followed, except for `link/`, which is a directory.
    ///
    /// # Errors
    /// [`Error::Denied`] unless both directories are writable, [`Error::Exists`], [`Error::CrossDevice`],
    /// [`Error::NotPermitted`] for a directory, and the errors of every path operation.
    pub fn link(&self, from: (&Directory, &[u8]), to: (&Directory, &[u8])) -> Result<(), Error> {
        let native = |permit: &Permit, from: &ResolvedName<'_>, to: &ResolvedName<'_>| {
            // What `from/` leads to has been looked at.
            if !from.must_be_directory {
                sys::stat_at(permit, from.parent(), &from.name)?;
            }
            refuse_trailing_slash(permit, to)?;
            if from.must_be_directory {
                let is_there = sys::stat_at(permit, to.parent(), &to.name).is_ok();
                return Err(if is_there { Error::Exists } else { Error::NotPermitted });
            }
            sys::link(permit, from, to)
        };
        self.at_two_places(Operation::Link, from, to, native, TreeDirectory::link)
    }

    /// Renames `from` to `to`, replacing a file or an empty directory there. Between two directory keys this
    /// works as within one, if both allow changes and lie on one file system.
    ///
    /// # Errors
    /// [`Error::Denied`] unless both directories are writable, [`Error::Busy`] for `.`, [`Error::CrossDevice`],
    /// [`Error::NotEmpty`], [`Error::IsDirectory`], [`Error::NotDirectory`], and the errors of every path operation.
    pub fn rename(&self, from: (&Directory, &[u8]), to: (&Directory, &[u8])) -> Result<(), Error> {
        let native = |permit: &Permit, from: &ResolvedName<'_>, to: &ResolvedName<'_>| {
            if from.last != LastPart::Name || to.last != LastPart::Name {
                return Err(Error::Busy);
            }
            require_directory_if_asked(permit, from)?;
            if to.must_be_directory && !is_directory(permit, from)? {
                return Err(Error::NotDirectory);
            }
            sys::rename(permit, from, to)
        };
        self.at_two_places(Operation::Rename, from, to, native, TreeDirectory::rename)
    }

    fn at_place<T>(
        &self,
        request: &Request<'_>,
        directory: &Directory,
        path: &[u8],
        (native, in_tree): (Box<Action<'_, T>>, Box<TreeAction<'_, T>>),
    ) -> Result<T, Error> {
        let permit = self.gate.decide(request)?;
        let result = GuestPath::parse(path).and_then(|path| match &directory.node {
            DirectoryNode::Native(base) => {
                let place = self.searching().place(&permit, base, &path)?;
                if request.changes() {
                    place.require_changeable(&permit, request.operation())?;
                }
                native(&permit, &place)
            }
            DirectoryNode::Tree(tree) => in_tree(self.visit(&permit), tree, &path),
        });
        self.conclude(&permit, request, directory, result)
    }

    fn at_two_places(
        &self,
        operation: Operation,
        (from, from_path): (&Directory, &[u8]),
        (to, to_path): (&Directory, &[u8]),
        native: impl FnOnce(&Permit, &ResolvedName<'_>, &ResolvedName<'_>) -> Result<(), Error>,
        in_tree: impl FnOnce(
            &TreeDirectory,
            Visit<'_>,
            &GuestPath<'_>,
            (&TreeDirectory, &GuestPath<'_>),
        ) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let from_request = Request::path(operation, Rights::CHANGE, from, from_path);
        let to_request = Request::path(operation, Rights::CHANGE, to, to_path);
        let permit = self.gate.decide(&from_request)?;
        self.gate.decide(&to_request)?;
        let parsed_from = self.gate.conclude(&from_request, GuestPath::parse(from_path))?;
        let parsed_to = self.gate.conclude(&to_request, GuestPath::parse(to_path))?;
        let result = match (&from.node, &to.node) {
            (DirectoryNode::Native(from_base), DirectoryNode::Native(to_base)) => {
                let from_place = self.searching().place(&permit, from_base, &parsed_from);
                let from_place = self.gate.conclude(&from_request, from_place)?;
                if operation == Operation::Link && parsed_from.must_be_directory() {
                    let led_to = self.stat_native(&permit, from_base, &parsed_from, LastLink::Follow);
                    self.gate.conclude(&from_request, led_to)?;
                }
                let to_place = self.searching().place(&permit, to_base, &parsed_to);
                if operation == Operation::Link && to_place.is_err() {
                    // The system looks for what is to be linked first.
                    self.gate.conclude(&from_request, from_place.stat(&permit))?;
                }
                let to_place = self.gate.conclude(&to_request, to_place)?;
                let from_may_be_named = match operation {
                    Operation::Link => from_place.require_linkable(&permit),
                    _ => from_place.require_changeable(&permit, operation),
                };
                self.gate.conclude(&from_request, from_may_be_named)?;
                self.gate.conclude(&to_request, to_place.require_changeable(&permit, operation))?;
                native(&permit, &from_place, &to_place)
            }
            (DirectoryNode::Tree(from), DirectoryNode::Tree(to)) => {
                in_tree(from, self.visit(&permit), &parsed_from, (to, &parsed_to))
            }
            _ => Err(Error::CrossDevice),
        };
        let result = self.conclude(&permit, &from_request, from, result);
        self.conclude(&permit, &to_request, to, result)
    }
}

/// A symbolic link that a guest makes is relative and could be opened.
fn check_link_target(target: &[u8]) -> Result<(), Error> {
    match target {
        [] => Err(Error::NotFound),
        [b'/', ..] => Err(Error::NotPermitted),
        _ if target.contains(&0) => Err(Error::Invalid),
        // The system would follow it.
        _ if names_reserved(target) => Err(Error::Reserved),
        _ => Ok(()),
    }
}

/// The text of a link that a guest may know: an absolute one would tell about the host.
fn relative_target(target: Vec<u8>) -> Result<Vec<u8>, Error> {
    if target.starts_with(b"/") { Err(Error::NotPermitted) } else { Ok(target) }
}

/// `name/` where something is to be created that is no directory: refused, with the error that tells why.
fn refuse_trailing_slash(permit: &Permit, place: &ResolvedName<'_>) -> Result<(), Error> {
    if !place.must_be_directory {
        return Ok(());
    }
    sys::stat_at(permit, place.parent(), &place.name)?;
    Err(Error::Exists)
}

/// `name/` where the name of something existing is to be acted on: only a directory will do.
fn require_directory_if_asked(permit: &Permit, place: &ResolvedName<'_>) -> Result<(), Error> {
    if place.must_be_directory && !is_directory(permit, place)? { Err(Error::NotDirectory) } else { Ok(()) }
}

fn is_directory(permit: &Permit, place: &ResolvedName<'_>) -> Result<bool, Error> {
    let name: &LastName<'_> = &place.name;
    Ok(sys::stat_at(permit, place.parent(), name)?.kind == super::FileKind::Directory)
}
