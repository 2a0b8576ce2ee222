//! Listing a directory.
//!
//! Entries are numbered from zero: `.`, `..`, then what the system gives, in its order. A [`Listing`] keeps one batch of
//! entries and, for each batch seen, where the system begins it; so going on costs nothing, going back costs one
//! batch, and removing entries during a listing does not shift the numbers of those still to come.
//!
//! `..` is listed with the directory's own number: what lies above is none of the guest's business.

use std::os::fd::{AsFd, OwnedFd};

use super::credentials::{Credentials, Rights};
use super::directory::Directory;
use super::error::Error;
use super::gate::{Operation, Request};
use super::metadata::FileKind;
use super::{Host, sys};

/// Entries that are listed before the system's.
const DOTS: [&[u8]; 2] = [b".", b".."];

/// One entry of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirEntry<'a> {
    /// Its name: any bytes but slash and NUL, on Linux.
    pub name: &'a [u8],
    /// Its number on the device.
    pub inode: u64,
    /// What it is.
    pub kind: FileKind,
}

/// A listing in progress, with a position of its own.
#[derive(Debug)]
pub struct Listing {
    list: OwnedFd,
    credentials: Credentials,
    own_inode: u64,
    /// Where batches begin: index of the first entry, and the system's position. The first one is always there.
    batches: Vec<(u64, sys::ListPosition)>,
    batch: Batch,
}

/// Some consecutive entries.
#[derive(Debug, Default)]
struct Batch {
    first: u64,
    names: Vec<u8>,
    entries: Vec<BatchEntry>,
    /// Where the next batch begins; nothing at the end of the directory.
    next: Option<sys::ListPosition>,
}

#[derive(Debug)]
struct BatchEntry {
    name: std::ops::Range<usize>,
    inode: u64,
    kind: FileKind,
}

impl Host {
    /// Begins a listing of `directory`.
    ///
    /// # Errors
    /// [`Error::Access`], [`Error::TooManyHandles`].
    pub fn list(&self, directory: &Directory) -> Result<Listing, Error> {
        let permit =
            self.gate.decide(&Request::handle(Operation::List, Rights::READ, &directory.credentials))?;
        let list = sys::open_list(&permit, directory.as_fd())?;
        let own_inode = sys::stat(&permit, list.as_fd())?.inode;
        let mut listing = Listing {
            list,
            credentials: directory.credentials.clone(),
            own_inode,
            batches: Vec::new(),
            batch: Batch::default(),
        };
        listing.rewind();
        Ok(listing)
    }

    /// The entry with this index; nothing beyond the last. Asking for index zero starts anew, and sees what has
    /// changed since.
    ///
    /// # Errors
    /// What the system reports.
    pub fn entry<'a>(&self, listing: &'a mut Listing, index: u64) -> Result<Option<DirEntry<'a>>, Error> {
        if index == 0 {
            listing.rewind();
        }
        if let Some(&name) = usize::try_from(index).ok().and_then(|index| DOTS.get(index)) {
            return Ok(Some(DirEntry { name, inode: listing.own_inode, kind: FileKind::Directory }));
        }
        if index < listing.batch.first {
            let start = listing.batches.partition_point(|(first, _)| *first <= index).saturating_sub(1);
            let (first, position) = listing.batches[start];
            self.load(listing, first, position)?;
        }
        while index >= listing.batch.end() {
            let Some(next) = listing.batch.next else {
                return Ok(None);
            };
            self.load(listing, listing.batch.end(), next)?;
        }
        let offset = usize::try_from(index - listing.batch.first).unwrap_or(usize::MAX);
        let Some(entry) = listing.batch.entries.get(offset) else {
            return Ok(None);
        };
        let name = &listing.batch.names[entry.name.clone()];
        Ok(Some(DirEntry { name, inode: entry.inode, kind: entry.kind }))
    }

    /// Replaces the batch by the one at `position`.
    fn load(&self, listing: &mut Listing, first: u64, position: sys::ListPosition) -> Result<(), Error> {
        let permit =
            self.gate.decide(&Request::handle(Operation::List, Rights::READ, &listing.credentials))?;
        let mut batch = Batch { first, ..Batch::default() };
        let next = sys::read_list(&permit, listing.list.as_fd(), position, |entry| {
            let start = batch.names.len();
            batch.names.extend_from_slice(entry.name);
            let name = start..batch.names.len();
            batch.entries.push(BatchEntry { name, inode: entry.inode, kind: entry.kind });
        })?;
        for entry in batch.entries.iter_mut().filter(|entry| entry.kind == FileKind::Unknown) {
            let name = &batch.names[entry.name.clone()];
            entry.kind =
                sys::stat_at(&permit, listing.list.as_fd(), name).map_or(FileKind::Unknown, |it| it.kind);
        }
        batch.next = next;
        if listing.batches.last().is_some_and(|(last, _)| *last < first) {
            listing.batches.push((first, position));
        }
        listing.batch = batch;
        Ok(())
    }
}

impl Listing {
    fn rewind(&mut self) {
        let first = DOTS.len() as u64;
        self.batches = vec![(first, sys::ListPosition::START)];
        self.batch = Batch { first, next: Some(sys::ListPosition::START), ..Batch::default() };
    }
}

impl Batch {
    /// The index after the last entry.
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}
