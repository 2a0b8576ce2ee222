//! The directory beneath a tree: looked at, never written to.
//!
//! Everything here starts at the lower directory and is resolved beneath it, so that whatever others do to it, nothing outside
//! is reached; the last step follows no link. No descriptor is kept but those of open files. A place that is too deep for one path of
//! the system's is reached in several steps, each beneath the one before.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::Visit;
use super::content::Content;
use super::cost;
use super::node::{Entries, KnownNames, Name, Node, NodeId, NodeKind, Origin, ROOT, State, Times};
use crate::host::error::Error;
use crate::host::hidden::{Identity, identity};
use crate::host::metadata::{FileKind, Metadata};
use crate::host::open::{DataAccess, OpenOptions};
use crate::host::reach::{NativeDirectory, Reached};
use crate::host::resolve::{GuestPath, MAX_PATH_BYTES, ResolvedName, is_reserved};
use crate::host::sys;

impl State {
    /// Reads what a directory beneath has under a name: with all its names if it can be listed, else that one alone.
    pub(super) fn load_name(&mut self, visit: Visit<'_>, id: NodeId, name: &[u8]) -> Result<(), Error> {
        match self.load_names(visit, id) {
            Err(Error::Access) => {}
            loaded => return loaded,
        }
        if self.entries(id)?.known == KnownNames::None {
            let found = self.at_lower(visit, id, |place| place.stat(visit.permit))?;
            self.entries_mut(id)?.load_as_asked_for(Some(identity(&found)));
        }
        let entries = self.entries(id)?;
        if entries.names.contains_key(name) || entries.lower_entry(name).is_some() {
            return Ok(());
        }
        let name = Name::from(name);
        let found = match self.at_lower_name(visit, id, Some(&name), |place| place.stat(visit.permit)) {
            Err(Error::NotFound) => return Ok(()),
            found => found?,
        };
        let entry = LowerEntry { name: Arc::clone(&name), inode: found.inode, kind: found.kind };
        self.account.take(entry.cost_bytes())?;
        let child = self.lower_node(visit, id, entry)?;
        let node = self.node_mut(child)?;
        node.links += 1;
        if let Some(origin) = &mut node.origin {
            origin.names += 1;
        }
        self.entries_mut(id)?.load_one(name, child);
        Ok(())
    }

    /// Reads the names of a directory beneath, once.
    ///
    /// # Errors
    /// [`Error::Access`] for one that can only be searched.
    pub(super) fn load_names(&mut self, visit: Visit<'_>, id: NodeId) -> Result<(), Error> {
        let node = self.node(id)?;
        match &node.kind {
            NodeKind::Directory(Entries { known: KnownNames::None, .. }) if node.origin.is_some() => {}
            NodeKind::Directory(Entries { known: KnownNames::AskedFor, .. }) => return Err(Error::Access),
            _ => return Ok(()),
        }
        let (found, beneath) = self.list_lower(visit, id)?;
        let mut cost_bytes: u64 = found.iter().map(LowerEntry::cost_bytes).sum();
        let mut names = BTreeMap::new();
        let mut added = Vec::with_capacity(found.len());
        for entry in found {
            if let Err(interrupted) = visit.heed_interrupt() {
                self.forget_lower_names(&added);
                self.account.give_back(cost_bytes);
                return Err(interrupted);
            }
            let (name, inode) = (Arc::clone(&entry.name), entry.inode);
            let child = self.lower_node(visit, id, entry)?;
            let node = self.node_mut(child)?;
            node.links += 1;
            if let Some(origin) = &mut node.origin {
                if origin.names > 0 {
                    // What a second node would cost has been given back.
                    cost_bytes -= cost::NODE_BYTES + cost::ORIGIN_BYTES;
                }
                origin.names += 1;
            }
            added.push((child, inode));
            names.entry(name).or_insert(child);
        }
        self.entries_mut(id)?.load(names, beneath);
        Ok(())
    }

    /// Takes back names whose reading did not come to its end, with the nodes that were made for them.
    fn forget_lower_names(&mut self, added: &[(NodeId, u64)]) {
        for (child, inode) in added {
            let Ok(node) = self.node_mut(*child) else { continue };
            node.links -= 1;
            let Some(origin) = &mut node.origin else { continue };
            origin.names -= 1;
            if origin.names == 0 {
                self.nodes.remove(child);
                if self.lower_files.get(inode) == Some(child) {
                    self.lower_files.remove(inode);
                }
            }
        }
    }

    /// Finds out times, size and the text of a link of a node from beneath, once.
    pub(super) fn load_metadata(&mut self, visit: Visit<'_>, id: NodeId) -> Result<(), Error> {
        let node = self.node(id)?;
        if node.times.is_some() || node.origin.is_none() {
            return Ok(());
        }
        let (found, target) = self.at_lower(visit, id, |place| {
            let found = place.stat(visit.permit)?;
            let target = match found.kind {
                FileKind::SymbolicLink => place.read_link(visit.permit)?,
                _ => Vec::new(),
            };
            Ok((found, target))
        })?;
        if found.kind != self.node(id)?.file_kind() {
            // Somebody has replaced it since its name was read.
            return Err(Error::Stale);
        }
        if found.kind == FileKind::SymbolicLink {
            self.account.take(cost::allocation_bytes(target.capacity() as u64))?;
        }
        let node = self.node_mut(id)?;
        match &mut node.kind {
            NodeKind::File(content) => *content = Content::of_lower(found.size_bytes),
            kind @ NodeKind::LowerLink => *kind = NodeKind::Link(target),
            _ => {}
        }
        node.times =
            Some(Times { accessed: found.accessed, modified: found.modified, changed: found.changed });
        if let Some(origin) = &mut node.origin {
            origin.seen = Some(found);
        }
        Ok(())
    }

    /// Opens the file beneath that a node stands for.
    pub(super) fn open_lower(&self, visit: Visit<'_>, id: NodeId) -> Result<OwnedFd, Error> {
        let options = OpenOptions { access: DataAccess::Read, ..OpenOptions::default() };
        let how = sys::OpenHow::new(&options);
        let fd = self.at_lower(visit, id, |place| place.open(visit.permit, how))?;
        // A device or pipe that has taken the file's place is not read.
        match sys::stat(visit.permit, fd.as_fd())?.kind {
            FileKind::Regular => Ok(fd),
            _ => Err(Error::Stale),
        }
    }

    /// The node for an entry beneath: a new one, or for another name of a file the one that it has.
    fn lower_node(&mut self, visit: Visit<'_>, parent: NodeId, entry: LowerEntry) -> Result<NodeId, Error> {
        if entry.kind == FileKind::Regular
            && let Some(&known) = self.lower_files.get(&entry.inode)
            && self.is_same_file(visit, known, (parent, &entry.name))
        {
            self.account.give_back(cost::NODE_BYTES + cost::ORIGIN_BYTES);
            return Ok(known);
        }
        let kind = match entry.kind {
            FileKind::Directory => NodeKind::Directory(Entries::new(parent, KnownNames::None)),
            FileKind::Regular => NodeKind::File(Content::default()),
            FileKind::SymbolicLink => NodeKind::LowerLink,
            other => NodeKind::Other(other),
        };
        let node = Node {
            kind,
            links: 0,
            handles: 0,
            origin: Some(Box::new(Origin::new(parent, entry.name))),
            times: None,
            times_set: false,
        };
        let id = self.insert(node);
        if entry.kind == FileKind::Regular {
            self.lower_files.insert(entry.inode, id);
        }
        Ok(id)
    }

    /// Whether a name beneath is the file of a node. File systems mounted beneath can use a number twice.
    fn is_same_file(&self, visit: Visit<'_>, known: NodeId, (parent, name): (NodeId, &Name)) -> bool {
        let identity = |metadata: Metadata| (metadata.device, metadata.inode);
        let look = |place: &ResolvedName<'_>| place.stat(visit.permit).map(identity);
        match (self.at_lower(visit, known, look), self.at_lower_name(visit, parent, Some(name), look)) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        }
    }

    /// Lists a directory beneath, and takes what its nodes and names will cost. Says which directory that was, where something is hidden.
    fn list_lower(
        &mut self,
        visit: Visit<'_>,
        id: NodeId,
    ) -> Result<(Vec<LowerEntry>, Option<Identity>), Error> {
        let list = self.at_lower(visit, id, |place| {
            let how = sys::OpenHow::new(&OpenOptions { directory: true, ..OpenOptions::default() });
            place.open(visit.permit, how)
        })?;
        let beneath = match self.lower.as_ref().and_then(NativeDirectory::hidden) {
            Some(_) => Some(identity(&sys::stat(visit.permit, list.as_fd())?)),
            None => None,
        };
        let mut entries = Vec::new();
        let mut position = Some(sys::ListPosition::START);
        let mut cost_bytes = 0;
        while let Some(at) = position {
            let before = entries.len();
            let read = sys::read_list(visit.permit, list.as_fd(), at, |entry| {
                if is_reserved(entry.name) {
                    return;
                }
                let name = Arc::from(entry.name);
                entries.push(LowerEntry { name, inode: entry.inode, kind: entry.kind });
            });
            let batch: u64 = entries[before..].iter().map(LowerEntry::cost_bytes).sum();
            let taken = read.and_then(|next| {
                visit.heed_interrupt()?;
                self.account.take(batch).map(|()| next)
            });
            position = match taken {
                Ok(next) => next,
                Err(error) => {
                    self.account.give_back(cost_bytes);
                    return Err(error);
                }
            };
            cost_bytes += batch;
        }
        for entry in entries.iter_mut().filter(|entry| entry.kind == FileKind::Unknown) {
            if let Err(interrupted) = visit.heed_interrupt() {
                self.account.give_back(cost_bytes);
                return Err(interrupted);
            }
            entry.kind = sys::stat_at(visit.permit, list.as_fd(), &entry.name)
                .map_or(FileKind::Unknown, |metadata| metadata.kind);
        }
        Ok((entries, beneath))
    }

    /// Runs `action` on the place beneath that a node stands for.
    pub(super) fn at_lower<T>(
        &self,
        visit: Visit<'_>,
        id: NodeId,
        action: impl FnOnce(&ResolvedName<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.at_lower_name(visit, id, None, action)
    }

    /// As [`State::at_lower`], of a name in the directory beneath that the node stands for, if one is given.
    fn at_lower_name<T>(
        &self,
        visit: Visit<'_>,
        id: NodeId,
        name: Option<&Name>,
        action: impl FnOnce(&ResolvedName<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut base = None;
        let mut steps = self.lower_steps(id, name)?;
        let last = steps.pop().ok_or(Error::Stale)?;
        let root = self.lower.as_ref().ok_or(Error::Stale)?;
        for step in steps {
            visit.heed_interrupt()?;
            let from = base.as_ref().unwrap_or(root);
            let place = visit.resolve.place(visit.permit, from, &GuestPath::parse(&step)?)?;
            let fd = place.open(visit.permit, sys::OpenHow::lookup())?;
            let found = sys::stat(visit.permit, fd.as_fd())?;
            let next = from.derive(visit.permit, Reached { fd, is_walked: true }, &found);
            base = Some(next);
        }
        let from = base.as_ref().unwrap_or(root);
        let place = visit.resolve.place(visit.permit, from, &GuestPath::parse(&last)?)?;
        action(&place)
    }

    /// The path beneath of a node, or of a name in it, in parts that the system accepts.
    fn lower_steps(&self, id: NodeId, name: Option<&Name>) -> Result<Vec<Vec<u8>>, Error> {
        let mut components: Vec<&Name> = name.into_iter().collect();
        let mut at = id;
        while at != ROOT {
            let origin = self.node(at)?.origin.as_ref().ok_or(Error::Stale)?;
            components.push(&origin.name);
            at = origin.parent;
        }
        let mut steps = vec![Vec::new()];
        for component in components.into_iter().rev() {
            match steps.last_mut() {
                Some(step) if step.is_empty() => step.extend_from_slice(component),
                Some(step) if step.len() + 1 + component.len() <= MAX_PATH_BYTES => {
                    step.push(b'/');
                    step.extend_from_slice(component);
                }
                _ => steps.push(component.to_vec()),
            }
        }
        if steps == [b""] {
            steps[0].push(b'.');
        }
        Ok(steps)
    }
}

#[derive(Debug)]
struct LowerEntry {
    name: Name,
    inode: u64,
    kind: FileKind,
}

impl LowerEntry {
    fn cost_bytes(&self) -> u64 {
        cost::NODE_BYTES
            + cost::ORIGIN_BYTES
            + cost::NAME_SLOT_BYTES
            + cost::LOWER_SLOT_BYTES
            + cost::name_bytes(self.name.len())
    }
}
