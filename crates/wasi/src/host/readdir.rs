//! Listing a directory.
//!
//! Entries are numbered from zero: `.`, `..`, then what the system gives, in its order. A [`Listing`] keeps one batch of
//! entries and, for each batch seen, where the system begins it; so going on costs nothing, going back costs one
//! batch, and removing entries during a listing does not shift the numbers of those still to come.
//!
//! A directory that the host keeps itself is listed by name, and from the last name on where a listing goes on, so that listings hold little.
//! A directory of the system's is listed as it was when the listing began where the keys ask for entries in order.
//! A directory that is gone lists nothing. Names of staging directories, which no guest's path may have in it, are in no listing.
//!
//! What a listing holds of names is charged to the guest's budget as it costs, until it lets go of it. Where that is refused, the listing is as it was and can go on.
//!
//! `..` is listed with the directory's own number: what lies above is none of the guest's business.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use innkeeper_engine::{BudgetKind, Charge};

use super::credentials::{Credentials, Rights};
use super::directory::{Directory, DirectoryNode};
use super::error::Error;
use super::gate::{Operation, Permit, Request};
use super::metadata::FileKind;
use super::resolve::is_reserved;
use super::tree::{TreeDirectory, TreeEntry, Visit};
use super::{Host, sys};
use crate::keys::DirectoryOrder;

/// Entries of a directory of the host's own keeping that a listing holds.
const TREE_BATCH: usize = 32;

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
    credentials: Credentials,
    own_inode: u64,
    source: ListingSource,
}

#[derive(Debug)]
enum ListingSource {
    /// Entries as the system gives them.
    Batches(Batches),
    /// All entries, taken when the listing began.
    Whole(Whole),
    /// A directory that the host keeps itself.
    Tree(TreeBatches),
}

#[derive(Debug)]
struct Batches {
    list: OwnedFd,
    /// Where batches begin: index of the first entry, and the system's position. The first one is always there.
    begins: Vec<(u64, sys::ListPosition)>,
    batch: Batch,
    /// What the batch and the list of beginnings cost.
    charge: Charge,
}

#[derive(Debug)]
struct Whole {
    of: OwnedFd,
    entries: Vec<WholeEntry>,
    /// What the entries cost.
    charge: Charge,
}

#[derive(Debug)]
struct WholeEntry {
    name: Vec<u8>,
    inode: u64,
    kind: FileKind,
}

#[derive(Debug)]
struct TreeBatches {
    of: TreeDirectory,
    /// Index of the first entry of the batch.
    first: u64,
    /// The name before the batch; nothing before the first one.
    before: Option<Arc<[u8]>>,
    batch: Vec<TreeEntry>,
    /// What the names cost that are kept here. The tree lets go of them, and of their cost, when they are removed from it.
    charge: Charge,
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
        if directory.is_locked_root() {
            self.note_locked_root_listed();
        }
        let (source, own_inode) = match &directory.node {
            DirectoryNode::Native(fd) => {
                let list = sys::open_list(&permit, fd.as_fd())?;
                let own_inode = sys::stat(&permit, list.as_fd())?.inode;
                let charge = self.budget.empty(BudgetKind::Listing);
                let source = match self.order {
                    DirectoryOrder::Host => ListingSource::Batches(Batches::new(list, charge)),
                    DirectoryOrder::Sorted => {
                        ListingSource::Whole(Whole { of: list, entries: Vec::new(), charge })
                    }
                };
                (source, own_inode)
            }
            DirectoryNode::Tree(tree) => {
                let own_inode = tree.stat(self.visit(&permit))?.inode;
                let charge = self.budget.empty(BudgetKind::Listing);
                (ListingSource::Tree(TreeBatches::new(tree.reopen()?, charge)), own_inode)
            }
        };
        let mut listing = Listing { credentials: directory.credentials.clone(), own_inode, source };
        self.rewind(&permit, &mut listing)?;
        Ok(listing)
    }

    /// The entry with this index; nothing beyond the last. Asking for index zero starts anew, and sees what has
    /// changed since.
    ///
    /// # Errors
    /// What the system reports; [`Error::NoMemory`], [`Error::Interrupted`].
    pub fn entry<'a>(&self, listing: &'a mut Listing, index: u64) -> Result<Option<DirEntry<'a>>, Error> {
        self.heed_interrupt()?;
        if index == 0 {
            let request = Request::handle(Operation::List, Rights::READ, &listing.credentials);
            let permit = self.gate.decide(&request)?;
            self.rewind(&permit, listing)?;
        }
        if let ListingSource::Tree(batches) = &listing.source
            && batches.of.is_removed()?
        {
            return Ok(None);
        }
        if let Some(&name) = usize::try_from(index).ok().and_then(|index| DOTS.get(index)) {
            return Ok(Some(DirEntry { name, inode: listing.own_inode, kind: FileKind::Directory }));
        }
        match &mut listing.source {
            ListingSource::Batches(batches) => self.entry_of_batches(&listing.credentials, batches, index),
            ListingSource::Whole(whole) => {
                let index = usize::try_from(index - DOTS.len() as u64).unwrap_or(usize::MAX);
                Ok(whole.entries.get(index).map(|entry| DirEntry {
                    name: &entry.name,
                    inode: entry.inode,
                    kind: entry.kind,
                }))
            }
            ListingSource::Tree(batches) => self.entry_of_tree(&listing.credentials, batches, index),
        }
    }

    fn rewind(&self, permit: &Permit, listing: &mut Listing) -> Result<(), Error> {
        match &mut listing.source {
            ListingSource::Batches(batches) => batches.rewind(),
            ListingSource::Whole(whole) => {
                whole.entries = Vec::new();
                charge_nothing(&mut whole.charge);
                let entries = self.sorted_entries(permit, whole.of.as_fd(), &mut whole.charge);
                whole.entries = entries.inspect_err(|_| charge_nothing(&mut whole.charge))?;
            }
            ListingSource::Tree(batches) => {
                // Whether it can be listed at all is said now.
                batches.of.list(self.visit(permit), None, 0)?;
                batches.rewind();
            }
        }
        Ok(())
    }

    fn entry_of_batches<'a>(
        &self,
        credentials: &Credentials,
        batches: &'a mut Batches,
        index: u64,
    ) -> Result<Option<DirEntry<'a>>, Error> {
        let request = Request::handle(Operation::List, Rights::READ, credentials);
        if index < batches.batch.first {
            let start = batches.begins.partition_point(|(first, _)| *first <= index).saturating_sub(1);
            let (first, position) = batches.begins[start];
            batches.load(&self.gate.decide(&request)?, first, position)?;
        }
        while index >= batches.batch.end() {
            self.heed_interrupt()?;
            let Some(next) = batches.batch.next else {
                return Ok(None);
            };
            batches.load(&self.gate.decide(&request)?, batches.batch.end(), next)?;
        }
        let offset = usize::try_from(index - batches.batch.first).unwrap_or(usize::MAX);
        let Some(entry) = batches.batch.entries.get(offset) else {
            return Ok(None);
        };
        let name = &batches.batch.names[entry.name.clone()];
        Ok(Some(DirEntry { name, inode: entry.inode, kind: entry.kind }))
    }
}

impl Host {
    fn entry_of_tree<'a>(
        &self,
        credentials: &Credentials,
        batches: &'a mut TreeBatches,
        index: u64,
    ) -> Result<Option<DirEntry<'a>>, Error> {
        let request = Request::handle(Operation::List, Rights::READ, credentials);
        if index < batches.first {
            batches.rewind();
        }
        while index >= batches.end() {
            self.heed_interrupt()?;
            if !batches.advance(self.visit(&self.gate.decide(&request)?))? {
                return Ok(None);
            }
        }
        let offset = usize::try_from(index - batches.first).unwrap_or(usize::MAX);
        Ok(batches.batch.get(offset).map(|entry| DirEntry {
            name: &entry.name,
            inode: entry.inode,
            kind: entry.kind,
        }))
    }
}

impl TreeBatches {
    fn new(of: TreeDirectory, charge: Charge) -> TreeBatches {
        TreeBatches { of, first: DOTS.len() as u64, before: None, batch: Vec::new(), charge }
    }

    fn rewind(&mut self) {
        self.first = DOTS.len() as u64;
        self.before = None;
        self.batch = Vec::new();
        charge_nothing(&mut self.charge);
    }

    /// Replaces the batch by the next one; not at the end.
    fn advance(&mut self, visit: Visit<'_>) -> Result<bool, Error> {
        let last = self.batch.last().map(|entry| Arc::clone(&entry.name)).or_else(|| self.before.clone());
        let next = self.of.list(visit, last.as_deref(), TREE_BATCH)?;
        if next.is_empty() {
            return Ok(false);
        }
        let names = next.iter().map(|entry| &entry.name).chain(&last);
        let names_bytes: u64 = names.map(|name| allocation_bytes(2 * size_of::<usize>() + name.len())).sum();
        self.charge.set(names_bytes + list_bytes(&next)).map_err(|_| Error::NoMemory)?;
        self.first = self.end();
        self.before = last;
        self.batch = next;
        Ok(true)
    }

    /// The index after the last entry.
    fn end(&self) -> u64 {
        self.first + self.batch.len() as u64
    }
}

impl Batches {
    fn new(list: OwnedFd, charge: Charge) -> Batches {
        Batches { list, begins: Vec::new(), batch: Batch::default(), charge }
    }

    fn rewind(&mut self) {
        let first = DOTS.len() as u64;
        self.begins = vec![(first, sys::ListPosition::START)];
        self.batch = Batch { first, next: Some(sys::ListPosition::START), ..Batch::default() };
        charge_nothing(&mut self.charge);
    }

    /// Replaces the batch by the one at `position`.
    fn load(&mut self, permit: &Permit, first: u64, position: sys::ListPosition) -> Result<(), Error> {
        let mut batch = Batch { first, ..Batch::default() };
        let next = sys::read_list(permit, self.list.as_fd(), position, |entry| {
            if is_reserved(entry.name) {
                return;
            }
            let start = batch.names.len();
            batch.names.extend_from_slice(entry.name);
            let name = start..batch.names.len();
            batch.entries.push(BatchEntry { name, inode: entry.inode, kind: entry.kind });
        })?;
        for entry in batch.entries.iter_mut().filter(|entry| entry.kind == FileKind::Unknown) {
            entry.kind = look(permit, self.list.as_fd(), &batch.names[entry.name.clone()]);
        }
        batch.next = next;
        self.begins.reserve(1);
        let bytes = list_bytes(&self.begins) + batch.held_bytes();
        self.charge.set(bytes).map_err(|_| Error::NoMemory)?;
        if self.begins.last().is_some_and(|(last, _)| *last < first) {
            self.begins.push((first, position));
        }
        self.batch = batch;
        Ok(())
    }
}

impl Host {
    /// Every entry of a directory of the system's, sorted by name, and charged.
    fn sorted_entries(
        &self,
        permit: &Permit,
        list: BorrowedFd<'_>,
        charge: &mut Charge,
    ) -> Result<Vec<WholeEntry>, Error> {
        // A tree, as sorting very many names at once could not be interrupted.
        let mut sorted = BTreeMap::new();
        let mut position = Some(sys::ListPosition::START);
        while let Some(at) = position {
            self.heed_interrupt()?;
            let mut batch_bytes = 0;
            position = sys::read_list(permit, list, at, |entry| {
                if is_reserved(entry.name) {
                    return;
                }
                batch_bytes += ENTRY_COST_BYTES + entry.name.len() as u64;
                sorted.insert(entry.name.to_vec(), (entry.inode, entry.kind));
            })?;
            charge.add(batch_bytes).map_err(|_| Error::NoMemory)?;
        }
        let mut entries = Vec::with_capacity(sorted.len());
        for (name, (inode, kind)) in sorted {
            self.heed_interrupt()?;
            let kind = if kind == FileKind::Unknown { look(permit, list, &name) } else { kind };
            entries.push(WholeEntry { name, inode, kind });
        }
        Ok(entries)
    }
}

/// What an entry is, where the file system's listing does not say.
fn look(permit: &Permit, list: BorrowedFd<'_>, name: &[u8]) -> FileKind {
    sys::stat_at(permit, list, name).map_or(FileKind::Unknown, |metadata| metadata.kind)
}

/// What an entry costs beside the bytes of its name: its place in a list that grows, and what the allocator adds.
const ENTRY_COST_BYTES: u64 = 2 * size_of::<WholeEntry>() as u64 + 32;

/// Takes back what is charged, once nothing is held.
fn charge_nothing(charge: &mut Charge) {
    // To hold less is never refused.
    let _ = charge.set(0);
}

/// What a list takes with the room that it has left.
fn list_bytes<T>(list: &Vec<T>) -> u64 {
    allocation_bytes(list.capacity() * size_of::<T>())
}

/// What an allocation takes with what the allocator adds.
fn allocation_bytes(bytes: usize) -> u64 {
    bytes as u64 + 32
}

impl Batch {
    /// What its names and entries take.
    fn held_bytes(&self) -> u64 {
        list_bytes(&self.names) + list_bytes(&self.entries)
    }

    /// The index after the last entry.
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }
}
