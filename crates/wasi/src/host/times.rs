//! Changing the times of files.

use std::os::fd::AsFd;

use super::credentials::Rights;
use super::directory::{Directory, DirectoryNode};
use super::error::Error;
use super::file::{File, FileNode};
use super::gate::{Operation, Permit, Request};
use super::metadata::{FileKind, Timestamp};
use super::open::LastLink;
use super::reach::NativeDirectory;
use super::resolve::GuestPath;
use super::{Host, sys};

/// What becomes of one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// It stays.
    Keep,
    /// It becomes the current time.
    Now,
    /// It becomes this.
    To(Timestamp),
}

/// What becomes of a file's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetTimes {
    /// Last read.
    pub accessed: SetTime,
    /// Last written.
    pub modified: SetTime,
}

impl Host {
    /// Changes the times of what `path` names, or, with [`LastLink::Follow`] or a trailing slash, of what the link
    /// there leads to.
    ///
    /// # Errors
    /// [`Error::Denied`] unless the directory is writable, and those of every path operation.
    pub fn set_times_at(
        &self,
        directory: &Directory,
        path: &[u8],
        last_link: LastLink,
        times: SetTimes,
    ) -> Result<(), Error> {
        let request = Request::path(Operation::SetTimes, Rights::CHANGE, directory, path);
        let permit = self.gate.decide(&request)?;
        let result = GuestPath::parse(path).and_then(|path| match &directory.node {
            DirectoryNode::Native(base) => self.set_times_native(&permit, base, (&path, last_link), times),
            DirectoryNode::Tree(tree) => {
                tree.set_times_at(self.visit(&permit), &path, last_link.into(), times)
            }
        });
        self.conclude(&permit, &request, directory, result)
    }

    /// Changes the times of an open directory.
    ///
    /// # Errors
    /// [`Error::Denied`] unless its key allows changes.
    pub fn set_times_of_directory(&self, directory: &Directory, times: SetTimes) -> Result<(), Error> {
        let request = Request::handle(Operation::SetTimes, Rights::CHANGE, &directory.credentials);
        let permit = self.gate.decide(&request)?;
        match &directory.node {
            DirectoryNode::Native(fd) => sys::set_times(&permit, fd.as_fd(), times),
            DirectoryNode::Tree(tree) => tree.set_times(self.visit(&permit), times),
        }
    }

    /// Changes the times of an open file, however it was opened.
    ///
    /// # Errors
    /// [`Error::Denied`] unless its key allows changes.
    pub fn set_times_of_file(&self, file: &File, times: SetTimes) -> Result<(), Error> {
        let request = Request::handle(Operation::SetTimes, Rights::CHANGE, &file.credentials);
        let permit = self.gate.decide(&request)?;
        match &file.node {
            FileNode::Native(fd) => sys::set_times(&permit, fd.as_fd(), times),
            FileNode::Tree(tree) => tree.set_times(self.visit(&permit), times),
        }
    }

    fn set_times_native(
        &self,
        permit: &Permit,
        base: &NativeDirectory,
        (path, last_link): (&GuestPath<'_>, LastLink),
        times: SetTimes,
    ) -> Result<(), Error> {
        let follow = last_link == LastLink::Follow || path.must_be_directory();
        let place = if follow {
            self.searching().place_behind_links(permit, base, path)?
        } else {
            self.searching().place(permit, base, path)?
        };
        // Also to learn whether it is part of the grant.
        let metadata = place.stat(permit)?;
        if place.must_be_directory && metadata.kind != FileKind::Directory {
            return Err(Error::NotDirectory);
        }
        sys::set_times_at(permit, &place, times)
    }
}
