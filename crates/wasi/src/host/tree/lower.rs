//! The directory beneath a tree: looked at, never written to.
//!
//! Everything here starts at the lower directory and is resolved beneath it, so that whatever others do to it, nothing outside
//! is reached; the last step follows no link. No descriptor is kept but those of open files.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::Visit;
use super::content::Content;
use super::node::{Entries, LowerPath, Node, NodeId, NodeKind, State, Times};
use crate::host::error::Error;
use crate::host::metadata::{FileKind, Metadata};
use crate::host::open::{DataAccess, OpenOptions};
use crate::host::resolve::{GuestPath, Place};
use crate::host::sys;

impl State {
    /// Reads the names of a directory beneath, once.
    pub(super) fn load_names(&mut self, visit: Visit<'_>, id: NodeId) -> Result<(), Error> {
        let node = self.node(id)?;
        let NodeKind::Directory(Entries { loaded: false, .. }) = node.kind else {
            return Ok(());
        };
        let Some(origin) = node.origin.clone() else {
            return Ok(());
        };
        let found = self.list_lower(visit, &origin)?;
        for entry in found {
            let path = join(&origin, &entry.name);
            let child = self.lower_node(visit, id, path, &entry)?;
            self.node_mut(child)?.links += 1;
            let entries = self.entries_mut(id)?;
            entries.lower.insert(entry.name.clone(), child);
            entries.names.insert(entry.name, child);
        }
        self.entries_mut(id)?.loaded = true;
        Ok(())
    }

    /// Finds out times, size and the text of a link of a node from beneath, once.
    pub(super) fn load_metadata(&mut self, visit: Visit<'_>, id: NodeId) -> Result<(), Error> {
        let node = self.node(id)?;
        let Some(origin) = node.origin.clone() else {
            return Ok(());
        };
        if node.times.is_some() {
            return Ok(());
        }
        let (found, target) = self.at_lower(visit, &origin, |place| {
            let found = sys::stat_at(visit.permit, place.parent(), &place.name)?;
            let target = match found.kind {
                FileKind::SymbolicLink => sys::read_link(visit.permit, place.parent(), &place.name)?,
                _ => Vec::new(),
            };
            Ok((found, target))
        })?;
        let node = self.node_mut(id)?;
        if found.kind != node.file_kind() {
            // Somebody has replaced it since its name was read.
            return Err(Error::Stale);
        }
        match &mut node.kind {
            NodeKind::File(content) => *content = Content::of_lower(found.size_bytes),
            kind @ NodeKind::LowerLink => *kind = NodeKind::Link(target),
            _ => {}
        }
        node.times =
            Some(Times { accessed: found.accessed, modified: found.modified, changed: found.changed });
        Ok(())
    }

    /// Opens the file beneath that a node stands for.
    pub(super) fn open_lower(&self, visit: Visit<'_>, origin: &LowerPath) -> Result<OwnedFd, Error> {
        let options = OpenOptions { access: DataAccess::Read, ..OpenOptions::default() };
        let how = sys::OpenHow::new(&options);
        let fd = self.at_lower(visit, origin, |place| {
            sys::open_name(visit.permit, place.parent(), &place.name, how)
        })?;
        // A device or pipe that has taken the file's place is not read.
        match sys::stat(visit.permit, fd.as_fd())?.kind {
            FileKind::Regular => Ok(fd),
            _ => Err(Error::Stale),
        }
    }

    /// The node for an entry beneath: a new one, or for another name of a file the one that it has.
    fn lower_node(
        &mut self,
        visit: Visit<'_>,
        parent: NodeId,
        path: LowerPath,
        entry: &LowerEntry,
    ) -> Result<NodeId, Error> {
        if entry.kind == FileKind::Regular
            && let Some(&known) = self.lower_files.get(&entry.inode)
            && self.is_same_file(visit, known, &path)
        {
            return Ok(known);
        }
        let kind = match entry.kind {
            FileKind::Directory => NodeKind::Directory(Entries::new(parent, false)),
            FileKind::Regular => NodeKind::File(Content::default()),
            FileKind::SymbolicLink => NodeKind::LowerLink,
            other => NodeKind::Other(other),
        };
        let node = Node {
            kind,
            links: 0,
            handles: 0,
            origin: Some(path),
            times: None,
            times_set: false,
            cost_bytes: 0,
        };
        let id = self.insert(node);
        if entry.kind == FileKind::Regular {
            self.lower_files.insert(entry.inode, id);
        }
        Ok(id)
    }

    /// Whether two names beneath are the same file. File systems mounted beneath can use a number twice.
    fn is_same_file(&self, visit: Visit<'_>, known: NodeId, path: &LowerPath) -> bool {
        let look = |path: &LowerPath| {
            self.at_lower(visit, path, |place| sys::stat_at(visit.permit, place.parent(), &place.name))
        };
        let Some(origin) = self.nodes.get(&known).and_then(|node| node.origin.clone()) else {
            return false;
        };
        let identity = |metadata: Metadata| (metadata.device, metadata.inode);
        match (look(&origin), look(path)) {
            (Ok(a), Ok(b)) => identity(a) == identity(b),
            _ => false,
        }
    }

    fn list_lower(&self, visit: Visit<'_>, origin: &LowerPath) -> Result<Vec<LowerEntry>, Error> {
        let list = self.at_lower(visit, origin, |place| {
            let how = sys::OpenHow::new(&OpenOptions { directory: true, ..OpenOptions::default() });
            sys::open_name(visit.permit, place.parent(), &place.name, how)
        })?;
        let mut entries = Vec::new();
        let mut position = Some(sys::ListPosition::START);
        while let Some(at) = position {
            position = sys::read_list(visit.permit, list.as_fd(), at, |entry| {
                entries.push(LowerEntry { name: entry.name.to_vec(), inode: entry.inode, kind: entry.kind });
            })?;
        }
        for entry in entries.iter_mut().filter(|entry| entry.kind == FileKind::Unknown) {
            entry.kind = sys::stat_at(visit.permit, list.as_fd(), &entry.name)
                .map_or(FileKind::Unknown, |metadata| metadata.kind);
        }
        Ok(entries)
    }

    /// Runs `action` on the place of a path beneath.
    pub(super) fn at_lower<T>(
        &self,
        visit: Visit<'_>,
        origin: &LowerPath,
        action: impl FnOnce(&Place<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let lower = self.lower.as_ref().ok_or(Error::Stale)?;
        let path = if origin.is_empty() { b"." } else { &origin[..] };
        let place = visit.resolve.place(visit.permit, lower.as_fd(), &GuestPath::parse(path)?)?;
        action(&place)
    }
}

#[derive(Debug)]
struct LowerEntry {
    name: Vec<u8>,
    inode: u64,
    kind: FileKind,
}

fn join(directory: &LowerPath, name: &[u8]) -> LowerPath {
    if directory.is_empty() { Arc::from(name) } else { Arc::from([directory, &b"/"[..], name].concat()) }
}
