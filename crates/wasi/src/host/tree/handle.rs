//! Open files and directories of a tree. A node lives as long as a handle to it, also without a name.

use std::ops::Bound;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use super::node::{NodeId, NodeKind, ROOT, State};
use super::walk::Last;
use super::{Tree, Visit};
use crate::host::error::Error;
use crate::host::file::Whence;
use crate::host::metadata::{FileKind, Metadata};
use crate::host::open::{DataAccess, LastLink, OpenOptions};
use crate::host::resolve::{GuestPath, LastPart};
use crate::host::sys;
use crate::host::times::SetTimes;

/// A node that is held open. To be dropped only while the tree is not locked.
#[derive(Debug)]
struct Handle {
    tree: Arc<Tree>,
    id: NodeId,
    /// Whether it was opened by the guest, and counts.
    is_charged: bool,
}

/// An open directory of a tree.
#[derive(Debug)]
pub(in crate::host) struct TreeDirectory(Handle);

/// An open file of a tree, with a position.
#[derive(Debug)]
pub(in crate::host) struct TreeFile {
    handle: Handle,
    position: Mutex<u64>,
}

/// What opening a path in a tree gives.
#[derive(Debug)]
pub(in crate::host) enum TreeOpened {
    Directory(TreeDirectory),
    File(TreeFile),
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::host) struct TreeEntry {
    pub(in crate::host) name: Arc<[u8]>,
    pub(in crate::host) inode: u64,
    pub(in crate::host) kind: FileKind,
}

/// Where a write goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum WriteAt {
    Position,
    Offset(u64),
    End,
}

impl Handle {
    fn open(tree: &Arc<Tree>, state: &mut State, id: NodeId) -> Result<Handle, Error> {
        state.account.take_handle()?;
        Handle::paid(tree, state, id)
    }

    /// A handle that has been taken from the account.
    fn paid(tree: &Arc<Tree>, state: &mut State, id: NodeId) -> Result<Handle, Error> {
        state.node_mut(id)?.handles += 1;
        Ok(Handle { tree: Arc::clone(tree), id, is_charged: true })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.tree.lock();
        if self.is_charged {
            state.account.give_back_handle();
        }
        if let Ok(node) = state.node_mut(self.id) {
            node.handles -= 1;
        }
        if state.node(self.id).is_ok_and(|node| node.handles == 0) {
            state.lower_open.remove(&self.id);
        }
        state.forget_if_unused(self.id);
    }
}

impl TreeDirectory {
    /// The directory at the top of a tree.
    pub(in crate::host) fn root(tree: &Arc<Tree>) -> TreeDirectory {
        let mut state = tree.lock();
        if let Ok(root) = state.node_mut(ROOT) {
            root.handles += 1;
        }
        TreeDirectory(Handle { tree: Arc::clone(tree), id: ROOT, is_charged: false })
    }

    /// A second handle to the same directory.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub(in crate::host) fn reopen(&self) -> Result<TreeDirectory, Error> {
        let mut state = self.0.tree.lock();
        Handle::open(&self.0.tree, &mut state, self.0.id).map(TreeDirectory)
    }

    pub(in crate::host) fn tree(&self) -> &Arc<Tree> {
        &self.0.tree
    }

    pub(super) fn id(&self) -> NodeId {
        self.0.id
    }

    pub(super) fn is_in_tree_of(&self, other: &TreeDirectory) -> bool {
        Arc::ptr_eq(&self.0.tree, &other.0.tree)
    }

    pub(in crate::host) fn stat(&self, visit: Visit<'_>) -> Result<Metadata, Error> {
        self.0.stat(visit)
    }

    pub(in crate::host) fn set_times(&self, visit: Visit<'_>, times: SetTimes) -> Result<(), Error> {
        self.0.tree.lock().set_times(visit, self.0.id, times)
    }

    /// Up to `count` entries as they are now, sorted by name: those after a name, or the first. A directory that is gone has none.
    pub(in crate::host) fn list(
        &self,
        visit: Visit<'_>,
        after: Option<&[u8]>,
        count: usize,
    ) -> Result<Vec<TreeEntry>, Error> {
        let mut state = self.0.tree.lock();
        state.load_names(visit, self.0.id)?;
        let names = &state.entries(self.0.id)?.names;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        names
            .range::<[u8], _>((from, Bound::Unbounded))
            .take(count)
            .map(|(name, id)| {
                let kind = state.node(*id)?.file_kind();
                Ok(TreeEntry { name: Arc::clone(name), inode: id.0, kind })
            })
            .collect()
    }

    /// Whether it has lost its name.
    pub(in crate::host) fn is_removed(&self) -> Result<bool, Error> {
        self.0.tree.lock().is_removed(self.0.id)
    }

    /// Opens a path. The rules are those of the system.
    pub(in crate::host) fn open(
        &self,
        visit: Visit<'_>,
        path: &GuestPath<'_>,
        options: &OpenOptions,
    ) -> Result<TreeOpened, Error> {
        let mut state = self.0.tree.lock();
        // Before anything is made or cut for it.
        state.account.take_handle()?;
        let opened = self.open_paid(&mut state, (visit, path), options);
        if opened.is_err() {
            state.account.give_back_handle();
        }
        opened
    }

    /// [`TreeDirectory::open`], with a handle that has been taken from the account.
    fn open_paid(
        &self,
        state: &mut State,
        (visit, path): (Visit<'_>, &GuestPath<'_>),
        options: &OpenOptions,
    ) -> Result<TreeOpened, Error> {
        let last = if options.last_link == LastLink::Follow && !(options.create && options.exclusive) {
            Last::Follow
        } else {
            Last::Keep
        };
        let tree = &self.0.tree;
        if options.create && path.must_be_directory() {
            // Whether the path may be looked at comes first.
            state.walk_to_name(visit, self.0.id, path)?;
            let is_name = path.last() == LastPart::Name;
            return Err(if options.exclusive && !is_name { Error::Exists } else { Error::IsDirectory });
        }
        let spot = state.walk(visit, self.0.id, path, last)?;
        let Some(id) = spot.node else {
            if !options.create {
                return Err(Error::NotFound);
            }
            if spot.must_be_directory {
                return Err(Error::IsDirectory);
            }
            let name = state.free_name(&spot)?;
            let kind = NodeKind::File(super::content::Content::default());
            let id = state
                .create(kind, visit.now, |state, node| state.add_name(spot.directory, &name, node, visit))?;
            return TreeFile::paid(tree, state, id).map(TreeOpened::File);
        };
        if options.create && options.exclusive {
            return Err(Error::Exists);
        }
        let id = spot.existing().map(|_| id)?;
        let writes = matches!(options.access, DataAccess::Write | DataAccess::ReadWrite);
        match state.node(id)?.file_kind() {
            FileKind::SymbolicLink if options.directory => Err(Error::NotDirectory),
            FileKind::SymbolicLink => Err(Error::Loop),
            FileKind::Directory if writes || options.truncate || options.create => Err(Error::IsDirectory),
            FileKind::Directory => {
                state.require_in_sight(visit, id)?;
                Handle::paid(tree, state, id).map(TreeDirectory).map(TreeOpened::Directory)
            }
            _ if options.directory || spot.must_be_directory => Err(Error::NotDirectory),
            FileKind::Regular => {
                state.load_metadata(visit, id)?;
                if options.truncate {
                    state.set_size(id, 0, visit)?;
                }
                TreeFile::paid(tree, state, id).map(TreeOpened::File)
            }
            _ => Err(Error::NotSupported),
        }
    }
}

impl TreeFile {
    fn paid(tree: &Arc<Tree>, state: &mut State, id: NodeId) -> Result<TreeFile, Error> {
        Ok(TreeFile { handle: Handle::paid(tree, state, id)?, position: Mutex::new(0) })
    }

    pub(in crate::host) fn stat(&self, visit: Visit<'_>) -> Result<Metadata, Error> {
        self.handle.stat(visit)
    }

    pub(in crate::host) fn set_times(&self, visit: Visit<'_>, times: SetTimes) -> Result<(), Error> {
        self.handle.tree.lock().set_times(visit, self.handle.id, times)
    }

    /// Reads into the buffers in turn, at an offset, or at the position, which then moves.
    pub(in crate::host) fn read(
        &self,
        visit: Visit<'_>,
        buffers: &mut [std::io::IoSliceMut<'_>],
        offset: Option<u64>,
    ) -> Result<usize, Error> {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let start = offset.unwrap_or(*position);
        if i64::try_from(start).is_err() {
            return Err(Error::Invalid);
        }
        let mut state = self.handle.tree.lock();
        let mut done = 0;
        for buffer in buffers {
            let count = state.read(self.handle.id, buffer, start + done as u64, visit)?;
            done += count;
            if count < buffer.len() {
                break;
            }
        }
        if offset.is_none() {
            *position += done as u64;
        }
        Ok(done)
    }

    /// Writes the buffers in turn. Less than all where the tree's limit is reached.
    pub(in crate::host) fn write(
        &self,
        visit: Visit<'_>,
        buffers: &[std::io::IoSlice<'_>],
        at: WriteAt,
    ) -> Result<usize, Error> {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.handle.tree.lock();
        let start = match at {
            WriteAt::Position => *position,
            WriteAt::Offset(offset) => offset,
            WriteAt::End => state.metadata(self.handle.id)?.size_bytes,
        };
        let mut done = 0;
        for buffer in buffers.iter().filter(|buffer| !buffer.is_empty()) {
            match state.write(self.handle.id, buffer, start.saturating_add(done as u64), visit) {
                Ok(count) => {
                    done += count;
                    if count < buffer.len() {
                        break;
                    }
                }
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        if !matches!(at, WriteAt::Offset(_)) && done > 0 {
            *position = start + done as u64;
        }
        Ok(done)
    }

    pub(in crate::host) fn seek(&self, whence: Whence) -> Result<u64, Error> {
        let mut position = self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let (base, delta) = match whence {
            Whence::Start(offset) => (0, i64::try_from(offset).map_err(|_| Error::Invalid)?),
            Whence::Current(delta) => (*position, delta),
            Whence::End(delta) => (self.handle.tree.lock().metadata(self.handle.id)?.size_bytes, delta),
        };
        let to = base.checked_add_signed(delta).ok_or(Error::Invalid)?;
        if i64::try_from(to).is_err() {
            return Err(Error::Invalid);
        }
        *position = to;
        Ok(to)
    }

    pub(in crate::host) fn set_size(&self, visit: Visit<'_>, size_bytes: u64) -> Result<(), Error> {
        if i64::try_from(size_bytes).is_err() {
            return Err(Error::Invalid);
        }
        self.handle.tree.lock().set_size(self.handle.id, size_bytes, visit)
    }

    /// Makes the file at least this long, if there is room for so many bytes.
    pub(in crate::host) fn allocate(&self, visit: Visit<'_>, offset: u64, length: u64) -> Result<(), Error> {
        if length == 0 || i64::try_from(offset).is_err() || i64::try_from(length).is_err() {
            return Err(Error::Invalid);
        }
        let end = offset.checked_add(length).filter(|end| i64::try_from(*end).is_ok());
        let end = end.ok_or(Error::FileTooLarge)?;
        let mut state = self.handle.tree.lock();
        let size = state.metadata(self.handle.id)?.size_bytes;
        if end.saturating_sub(size) > state.account.left_bytes() {
            return Err(Error::NoSpace);
        }
        if end > size { state.set_size(self.handle.id, end, visit) } else { Ok(()) }
    }

    /// The position, and the bytes behind it.
    pub(in crate::host) fn bytes_left(&self) -> u64 {
        let position = *self.position.lock().unwrap_or_else(PoisonError::into_inner);
        let size = self.handle.tree.lock().metadata(self.handle.id).map_or(0, |metadata| metadata.size_bytes);
        size.saturating_sub(position)
    }
}

impl Handle {
    fn stat(&self, visit: Visit<'_>) -> Result<Metadata, Error> {
        let mut state = self.tree.lock();
        state.load_metadata(visit, self.id)?;
        state.metadata(self.id)
    }
}

impl State {
    /// Reads a file's bytes.
    pub(super) fn read(
        &mut self,
        id: NodeId,
        buffer: &mut [u8],
        offset: u64,
        visit: Visit<'_>,
    ) -> Result<usize, Error> {
        self.with_content(id, visit, |content, lower| content.read(buffer, offset, lower))
    }

    fn write(&mut self, id: NodeId, bytes: &[u8], offset: u64, visit: Visit<'_>) -> Result<usize, Error> {
        let left = self.account.left_bytes();
        let (room, cost_bytes) = self.with_content(id, visit, |content, _| {
            let (room, cost_bytes) = content.room(offset, bytes.len() as u64, left);
            if room == 0 && i64::try_from(offset).is_ok() {
                return Err(Error::NoSpace);
            }
            Ok((room, cost_bytes))
        })?;
        self.account.take(cost_bytes)?;
        let mut grown = 0;
        let written = self.with_content(id, visit, |content, lower| {
            let before = content.held_bytes();
            // No more than `bytes.len()`.
            let written = content.write(&bytes[..room as usize], offset, lower);
            grown = content.held_bytes() - before;
            written
        });
        self.account.give_back(cost_bytes - grown);
        let done = written?;
        self.node_mut(id)?.touch(visit.now);
        Ok(done)
    }

    pub(super) fn set_size(&mut self, id: NodeId, size_bytes: u64, visit: Visit<'_>) -> Result<(), Error> {
        loop {
            let (freed, is_done) = self.with_content(id, visit, |content, _| {
                let next = content.size_after_cut(size_bytes);
                Ok((content.set_size(next)?, next == size_bytes))
            })?;
            self.account.give_back(freed);
            self.node_mut(id)?.touch(visit.now);
            if is_done {
                return Ok(());
            }
            visit.heed_interrupt()?;
        }
    }

    /// Lends a file's content together with a way to read what is beneath it.
    fn with_content<T>(
        &mut self,
        id: NodeId,
        visit: Visit<'_>,
        action: impl FnOnce(&mut super::content::Content, &mut super::content::ReadLower<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.load_metadata(visit, id)?;
        let node = self.node(id)?;
        let NodeKind::File(content) = &node.kind else {
            return Err(Error::Invalid);
        };
        let held = node.handles > 0;
        if content.needs_lower() && node.origin.is_some() && !self.lower_open.contains_key(&id) {
            let fd = self.open_lower(visit, id)?;
            self.lower_open.insert(id, fd);
        }
        // Taken out for the time of the action, so that both can be borrowed.
        let fd = if self.lower_open.is_empty() { None } else { self.lower_open.remove(&id) };
        let NodeKind::File(content) = &mut self.node_mut(id)?.kind else {
            return Err(Error::Invalid);
        };
        let mut lower = |buffer: &mut [u8], offset: u64| match &fd {
            Some(fd) => {
                sys::read_at(visit.permit, fd.as_fd(), &mut [std::io::IoSliceMut::new(buffer)], offset)
            }
            None => Ok(0),
        };
        let result = action(content, &mut lower);
        if let Some(fd) = fd.filter(|_| held) {
            self.lower_open.insert(id, fd);
        }
        result
    }
}
