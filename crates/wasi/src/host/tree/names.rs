//! Operations on names in a tree: create, remove, link, rename, look.
//!
//! Each happens under the tree's lock, and so as a whole or not at all. Errors and their order are those of the system.

use std::sync::Arc;

use super::node::{Entries, KnownNames, Name, NodeId, NodeKind, ROOT, State};
use super::walk::{Last, Spot};
use super::{TreeDirectory, Visit};
use crate::host::error::Error;
use crate::host::metadata::{FileKind, Metadata};
use crate::host::resolve::{GuestPath, LastPart};
use crate::host::times::{SetTime, SetTimes};

impl TreeDirectory {
    pub(in crate::host) fn create_directory(
        &self,
        visit: Visit<'_>,
        path: &GuestPath<'_>,
    ) -> Result<(), Error> {
        let mut state = self.tree().lock();
        let spot = state.walk_to_name(visit, self.id(), path)?;
        let name = state.free_name(&spot)?;
        let kind = NodeKind::Directory(Entries::new(spot.directory, KnownNames::All));
        state.create(kind, visit.now, |state, node| state.add_name(spot.directory, &name, node, visit))?;
        Ok(())
    }

    pub(in crate::host) fn remove_directory(
        &self,
        visit: Visit<'_>,
        path: &GuestPath<'_>,
    ) -> Result<(), Error> {
        let mut state = self.tree().lock();
        let spot = state.walk_to_name(visit, self.id(), path)?;
        let Some(name) = spot.name.clone() else {
            return Err(if path.last() == LastPart::DotDot { Error::NotEmpty } else { Error::Invalid });
        };
        let node = spot.existing()?;
        state.require_movable(visit, &spot)?;
        if state.node(node)?.file_kind() != FileKind::Directory {
            return Err(Error::NotDirectory);
        }
        state.require_empty(visit, node)?;
        state.look_before_removal(visit, Some(node));
        state.remove_name(spot.directory, &name, visit)
    }

    pub(in crate::host) fn remove_file(&self, visit: Visit<'_>, path: &GuestPath<'_>) -> Result<(), Error> {
        let mut state = self.tree().lock();
        let spot = state.walk_to_name(visit, self.id(), path)?;
        let Some(name) = spot.name.clone() else {
            return Err(Error::IsDirectory);
        };
        let node = spot.existing()?;
        state.require_movable(visit, &spot)?;
        if state.node(node)?.file_kind() == FileKind::Directory {
            return Err(Error::IsDirectory);
        }
        if spot.must_be_directory {
            return Err(Error::NotDirectory);
        }
        state.look_before_removal(visit, Some(node));
        state.remove_name(spot.directory, &name, visit)
    }

    pub(in crate::host) fn read_link(
        &self,
        visit: Visit<'_>,
        path: &GuestPath<'_>,
    ) -> Result<Vec<u8>, Error> {
        let mut state = self.tree().lock();
        if path.must_be_directory() {
            // `link/` is what the link leads to, if that is a directory: no link.
            state.walk_to_directory(visit, self.id(), path)?;
            return Err(Error::Invalid);
        }
        let node = state.walk_to_name(visit, self.id(), path)?.existing()?;
        state.link_target(visit, node)?.ok_or(Error::Invalid)
    }

    pub(in crate::host) fn symlink(
        &self,
        visit: Visit<'_>,
        target: &[u8],
        path: &GuestPath<'_>,
    ) -> Result<(), Error> {
        let mut state = self.tree().lock();
        let spot = state.walk_to_name(visit, self.id(), path)?;
        state.refuse_trailing_slash(&spot)?;
        let name = state.free_name(&spot)?;
        let kind = NodeKind::Link(target.to_vec());
        state.create(kind, visit.now, |state, node| state.add_name(spot.directory, &name, node, visit))?;
        Ok(())
    }

    pub(in crate::host) fn stat_at(
        &self,
        visit: Visit<'_>,
        path: &GuestPath<'_>,
        last: Last,
    ) -> Result<Metadata, Error> {
        let mut state = self.tree().lock();
        let spot = state.walk(visit, self.id(), path, last)?;
        let node = spot.existing()?;
        state.load_metadata(visit, node)?;
        let metadata = state.metadata(node)?;
        if spot.must_be_directory && metadata.kind != FileKind::Directory {
            return Err(Error::NotDirectory);
        }
        Ok(metadata)
    }

    pub(in crate::host) fn set_times_at(
        &self,
        visit: Visit<'_>,
        path: &GuestPath<'_>,
        last: Last,
        times: SetTimes,
    ) -> Result<(), Error> {
        let mut state = self.tree().lock();
        let spot = state.walk(visit, self.id(), path, last)?;
        let node = spot.existing()?;
        if spot.must_be_directory && state.node(node)?.file_kind() != FileKind::Directory {
            return Err(Error::NotDirectory);
        }
        state.set_times(visit, node, times)
    }

    pub(in crate::host) fn link(
        &self,
        visit: Visit<'_>,
        path: &GuestPath<'_>,
        to: (&TreeDirectory, &GuestPath<'_>),
    ) -> Result<(), Error> {
        if !self.is_in_tree_of(to.0) {
            return Err(Error::CrossDevice);
        }
        let mut state = self.tree().lock();
        let node = match path.must_be_directory() {
            true => state.walk_to_directory(visit, self.id(), path)?,
            false => {
                let from = state.walk_to_name(visit, self.id(), path)?;
                let node = from.existing()?;
                state.require_movable(visit, &from)?;
                node
            }
        };
        let spot = state.walk_to_name(visit, to.0.id(), to.1)?;
        state.refuse_trailing_slash(&spot)?;
        let name = state.free_name(&spot)?;
        if state.node(node)?.file_kind() == FileKind::Directory {
            return Err(Error::NotPermitted);
        }
        state.load_metadata(visit, node)?;
        state.add_name(spot.directory, &name, node, visit)
    }

    pub(in crate::host) fn rename(
        &self,
        visit: Visit<'_>,
        path: &GuestPath<'_>,
        to: (&TreeDirectory, &GuestPath<'_>),
    ) -> Result<(), Error> {
        if !self.is_in_tree_of(to.0) {
            return Err(Error::CrossDevice);
        }
        let mut state = self.tree().lock();
        let from = state.walk_to_name(visit, self.id(), path)?;
        let spot = state.walk_to_name(visit, to.0.id(), to.1)?;
        let (Some(from_name), Some(to_name)) = (from.name.clone(), spot.name.clone()) else {
            return Err(Error::Busy);
        };
        let asks = from.must_be_directory || spot.must_be_directory;
        if asks && state.node(from.existing()?)?.file_kind() != FileKind::Directory {
            return Err(Error::NotDirectory);
        }
        let node = from.existing()?;
        state.require_movable(visit, &from)?;
        state.require_movable(visit, &spot)?;
        let is_directory = state.node(node)?.file_kind() == FileKind::Directory;
        if is_directory && state.is_within(visit, spot.directory, node)? {
            return Err(Error::Invalid);
        }
        if state.is_removed(spot.directory)? {
            return Err(Error::NotFound);
        }
        if let Some(replaced) = spot.node {
            if replaced == node {
                return Ok(());
            }
            if state.is_within(visit, from.directory, replaced)? {
                return Err(Error::NotEmpty);
            }
            let replaces_directory = state.node(replaced)?.file_kind() == FileKind::Directory;
            match (is_directory, replaces_directory) {
                (true, false) => return Err(Error::NotDirectory),
                (false, true) => return Err(Error::IsDirectory),
                (true, true) => state.require_empty(visit, replaced)?,
                (false, false) => {}
            }
        }
        // What can fail comes first, and the new name is paid for by then: between the loss of one name and the other, nothing is refused.
        state.load_metadata(visit, node)?;
        state.load_metadata(visit, from.directory)?;
        state.load_metadata(visit, spot.directory)?;
        state.look_before_removal(visit, spot.node);
        let given = state.entries(from.directory)?.name_cost(&from_name);
        let entries = state.entries(spot.directory)?;
        // A name that is there already goes on to be paid for.
        let taken = if spot.node.is_some() { 0 } else { entries.name_cost(&to_name) };
        state.account.exchange(given, taken)?;
        state.entries_mut(from.directory)?.names.remove(&*from_name);
        state.node_mut(from.directory)?.touch(visit.now);
        state.put_name((spot.directory, &to_name), node, visit)?;
        if let Some(replaced) = spot.node {
            state.node_mut(replaced)?.links -= 1;
            state.forget_if_unused(replaced);
        }
        if let NodeKind::Directory(entries) = &mut state.node_mut(node)?.kind {
            entries.parent = spot.directory;
        }
        Ok(())
    }
}

impl State {
    /// As [`State::walk`], where the name itself is meant, whatever it leads to: `link/` is not followed.
    pub(super) fn walk_to_name(
        &mut self,
        visit: Visit<'_>,
        start: NodeId,
        path: &GuestPath<'_>,
    ) -> Result<Spot, Error> {
        let must_be_directory = path.must_be_directory();
        let mut spot = self.walk(visit, start, &path.without_wish(), Last::Keep)?;
        spot.must_be_directory |= must_be_directory;
        Ok(spot)
    }

    /// The directory that a path leads to, links followed.
    ///
    /// # Errors
    /// [`Error::NotDirectory`] for anything else.
    fn walk_to_directory(
        &mut self,
        visit: Visit<'_>,
        start: NodeId,
        path: &GuestPath<'_>,
    ) -> Result<NodeId, Error> {
        let node = self.walk(visit, start, path, Last::Follow)?.existing()?;
        if self.node(node)?.file_kind() == FileKind::Directory { Ok(node) } else { Err(Error::NotDirectory) }
    }

    pub(super) fn add_name(
        &mut self,
        directory: NodeId,
        name: &[u8],
        node: NodeId,
        visit: Visit<'_>,
    ) -> Result<(), Error> {
        self.load_metadata(visit, directory)?;
        self.load_metadata(visit, node)?;
        let cost_bytes = self.entries(directory)?.name_cost(name);
        self.account.take(cost_bytes)?;
        self.put_name((directory, name), node, visit)?;
        self.node_mut(node)?.links += 1;
        Ok(())
    }

    /// Has a name that is paid for lead to a node, wherever it led before. Fails only where directory or node is not there.
    fn put_name(
        &mut self,
        (directory, name): (NodeId, &[u8]),
        node: NodeId,
        visit: Visit<'_>,
    ) -> Result<(), Error> {
        let entries = self.entries_mut(directory)?;
        let name: Name =
            entries.lower_entry(name).map_or_else(|| Arc::from(name), |(known, _)| Arc::clone(known));
        entries.names.insert(name, node);
        self.node_mut(directory)?.touch(visit.now);
        self.node_mut(node)?.times.get_or_insert_default().changed = visit.now;
        Ok(())
    }

    fn remove_name(&mut self, directory: NodeId, name: &[u8], visit: Visit<'_>) -> Result<(), Error> {
        self.load_metadata(visit, directory)?;
        let entries = self.entries_mut(directory)?;
        let node = entries.names.remove(name).ok_or(Error::NotFound)?;
        let cost_bytes = entries.name_cost(name);
        self.account.give_back(cost_bytes);
        let directory = self.node_mut(directory)?;
        directory.touch(visit.now);
        self.node_mut(node)?.links -= 1;
        self.forget_if_unused(node);
        Ok(())
    }

    /// Notes what is beneath a name that is about to go, so that it can be told whether others have changed it until then. Who finds
    /// nothing there any more has nothing to compare.
    fn look_before_removal(&mut self, visit: Visit<'_>, node: Option<NodeId>) {
        if let Some(node) = node {
            let _ = self.load_metadata(visit, node);
        }
    }

    pub(super) fn set_times(&mut self, visit: Visit<'_>, id: NodeId, times: SetTimes) -> Result<(), Error> {
        self.load_metadata(visit, id)?;
        let node = self.node_mut(id)?;
        let known = node.times.get_or_insert_default();
        for (time, wish) in [(&mut known.accessed, times.accessed), (&mut known.modified, times.modified)] {
            match wish {
                SetTime::Keep => {}
                SetTime::Now => *time = visit.now,
                SetTime::To(to) => *time = to,
            }
        }
        known.changed = visit.now;
        node.times_set = true;
        Ok(())
    }

    /// The name of a spot where something is to be made.
    pub(super) fn free_name(&self, spot: &Spot) -> Result<Vec<u8>, Error> {
        if self.is_removed(spot.directory)? {
            return Err(Error::NotFound);
        }
        match (&spot.name, spot.node) {
            (Some(name), None) => {
                self.require_off_the_way(spot.directory, name)?;
                Ok(name.clone())
            }
            _ => Err(Error::Exists),
        }
    }

    fn require_empty(&mut self, visit: Visit<'_>, directory: NodeId) -> Result<(), Error> {
        self.load_names(visit, directory)?;
        if self.entries(directory)?.names.is_empty() { Ok(()) } else { Err(Error::NotEmpty) }
    }

    /// Whether `directory` is `other` or lies in it.
    fn is_within(&self, visit: Visit<'_>, mut directory: NodeId, other: NodeId) -> Result<bool, Error> {
        loop {
            visit.heed_interrupt()?;
            if directory == other {
                return Ok(true);
            }
            if directory == ROOT {
                return Ok(false);
            }
            directory = self.entries(directory)?.parent;
        }
    }

    /// `name/` where something is to be made that is no directory: refused, with the error that tells why.
    fn refuse_trailing_slash(&self, spot: &Spot) -> Result<(), Error> {
        if !spot.must_be_directory {
            return Ok(());
        }
        spot.existing()?;
        Err(Error::Exists)
    }
}
