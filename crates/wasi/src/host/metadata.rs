//! Metadata of files: what kind, how large, since when.

use std::os::fd::AsFd;

use super::credentials::Rights;
use super::directory::{Directory, DirectoryNode};
use super::error::Error;
use super::file::{File, FileNode};
use super::gate::{Operation, Permit, Request};
use super::open::LastLink;
use super::reach::NativeDirectory;
use super::resolve::GuestPath;
use super::{Host, sys};

/// What kind of thing a name or handle refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// None of the others.
    Unknown,
    /// A block device.
    BlockDevice,
    /// A character device, such as a terminal.
    CharacterDevice,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A regular file.
    Regular,
    /// A socket.
    Socket,
    /// A symbolic link.
    SymbolicLink,
}

/// A time as file systems keep it: any number of seconds from 1970, also before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    seconds: i64,
    nanoseconds: u32,
}

impl Timestamp {
    /// `seconds` since 1970 and `nanoseconds` (below one thousand million) after that.
    #[must_use]
    pub fn new(seconds: i64, nanoseconds: u32) -> Timestamp {
        Timestamp { seconds, nanoseconds: nanoseconds.min(999_999_999) }
    }

    /// From nanoseconds since 1970.
    #[must_use]
    pub fn from_nanoseconds(nanoseconds: u64) -> Timestamp {
        let seconds = nanoseconds / 1_000_000_000;
        // Both fit: the quotient is below 2^35, the remainder below 2^30.
        Timestamp { seconds: seconds as i64, nanoseconds: (nanoseconds % 1_000_000_000) as u32 }
    }

    /// Nanoseconds since 1970: zero for times before, and `u64::MAX` for times after 2554.
    #[must_use]
    pub fn to_nanoseconds(self) -> u64 {
        match u64::try_from(self.seconds) {
            Ok(seconds) => seconds.saturating_mul(1_000_000_000).saturating_add(self.nanoseconds.into()),
            Err(_) => 0,
        }
    }

    /// Whole seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after [`Timestamp::seconds`].
    #[must_use]
    pub fn nanoseconds(self) -> u32 {
        self.nanoseconds
    }
}

/// Metadata of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The device it is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// What it is.
    pub kind: FileKind,
    /// Names it has.
    pub links: u64,
    /// Its size.
    pub size_bytes: u64,
    /// Last read.
    pub accessed: Timestamp,
    /// Last written.
    pub modified: Timestamp,
    /// Last change of data or metadata.
    pub changed: Timestamp,
}

impl Metadata {
    /// A number that stays the same as long as the file is the same and nothing is written to it, and is another one otherwise, but for chance. It says nothing else.
    #[must_use]
    pub fn fingerprint(&self) -> u128 {
        let mut hasher = blake3::Hasher::new_derive_key("innkeeper fingerprint of a file's metadata");
        for number in [self.device, self.inode, self.size_bytes] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(&self.modified.seconds().to_le_bytes());
        hasher.update(&self.modified.nanoseconds().to_le_bytes());
        let hash = hasher.finalize();
        u128::from_le_bytes(*hash.as_bytes().first_chunk().unwrap_or(&[0; 16]))
    }
}

impl Host {
    /// Metadata of what `path` names, or, with [`LastLink::Follow`] or a trailing slash, of what the link there leads to.
    ///
    /// # Errors
    /// Those of every path operation; see [`Host::create_directory`].
    pub fn stat_at(
        &self,
        directory: &Directory,
        path: &[u8],
        last_link: LastLink,
    ) -> Result<Metadata, Error> {
        let request = Request::path(Operation::Stat, Rights::READ, directory, path);
        let permit = self.gate.decide(&request)?;
        let result = GuestPath::parse(path).and_then(|path| match &directory.node {
            DirectoryNode::Native(base) => self.stat_native(&permit, base, &path, last_link),
            DirectoryNode::Tree(tree) => tree.stat_at(self.visit(&permit), &path, last_link.into()),
        });
        self.conclude(&permit, &request, directory, result)
    }

    /// Metadata of an open directory.
    ///
    /// # Errors
    /// What the system reports.
    pub fn stat_directory(&self, directory: &Directory) -> Result<Metadata, Error> {
        let permit =
            self.gate.decide(&Request::handle(Operation::Stat, Rights::NONE, &directory.credentials))?;
        match &directory.node {
            DirectoryNode::Native(fd) => sys::stat(&permit, fd.as_fd()),
            DirectoryNode::Tree(tree) => tree.stat(self.visit(&permit)),
        }
    }

    /// Metadata of an open file.
    ///
    /// # Errors
    /// What the system reports.
    pub fn stat_file(&self, file: &File) -> Result<Metadata, Error> {
        let permit = self.gate.decide(&Request::handle(Operation::Stat, Rights::NONE, &file.credentials))?;
        match &file.node {
            FileNode::Native(fd) => sys::stat(&permit, fd.as_fd()),
            FileNode::Tree(tree) => tree.stat(self.visit(&permit)),
        }
    }

    pub(super) fn stat_native(
        &self,
        permit: &Permit,
        base: &NativeDirectory,
        path: &GuestPath<'_>,
        last_link: LastLink,
    ) -> Result<Metadata, Error> {
        let place = self.searching().place(permit, base, path)?;
        let metadata = place.stat(permit)?;
        let follow = last_link == LastLink::Follow || path.must_be_directory();
        if metadata.kind != FileKind::SymbolicLink || !follow {
            return require_kind(metadata, path.must_be_directory());
        }
        let place = self.searching().place_behind_links(permit, base, path)?;
        let metadata = place.stat(permit)?;
        require_kind(metadata, place.must_be_directory)
    }
}

fn require_kind(metadata: Metadata, must_be_directory: bool) -> Result<Metadata, Error> {
    if must_be_directory && metadata.kind != FileKind::Directory {
        Err(Error::NotDirectory)
    } else {
        Ok(metadata)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extreme_times_saturate() {
        let year = 292_000_000_000_i64 * 31_556_952 / 1000;
        assert_eq!(Timestamp::new(i64::MIN, 999_999_999).to_nanoseconds(), 0);
        assert_eq!(Timestamp::new(-year, 0).to_nanoseconds(), 0);
        assert_eq!(Timestamp::new(i64::MAX, u32::MAX).to_nanoseconds(), u64::MAX);
        assert_eq!(Timestamp::from_nanoseconds(u64::MAX).to_nanoseconds(), u64::MAX);
    }
}
