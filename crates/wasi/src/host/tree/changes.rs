//! What became of a tree that is laid over a host directory: the list of changes, and what can be done with them.
//!
//! A name is compared with what the lower directory had under it when it was read. Something that was moved is gone from one
//! place and new in another, with everything in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::node::{NodeId, NodeKind, ROOT, State};
use super::{Tree, Visit};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::metadata::{FileKind, Timestamp};
use crate::host::resolve::{MAX_PATH_BYTES, Resolve};

/// A copy-on-write directory after a guest has run: its changes, for the owner of the keys.
#[derive(Clone, Debug)]
pub struct Overlay {
    pub(super) tree: Arc<Tree>,
    pub(super) resolve: Resolve,
    host: PathBuf,
    guest: String,
}

/// What happened to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It is new, or means something else than before.
    Added,
    /// The file's contents, or the times that the guest set, are others.
    Modified,
    /// It is gone.
    Removed,
}

/// One changed name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// The path in the directory.
    pub path: Vec<u8>,
    /// What is there now, or was there.
    pub file_kind: FileKind,
}

/// A change together with the node that is there now.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) change: Change,
    pub(super) node: Option<NodeId>,
    /// Whether the lower directory has something else under this name.
    pub(super) replaces: bool,
}

impl Overlay {
    pub(in crate::host) fn new(tree: Arc<Tree>, resolve: Resolve, host: &Path, guest: &str) -> Overlay {
        Overlay { tree, resolve, host: host.to_owned(), guest: guest.to_owned() }
    }

    /// The host directory beneath.
    #[must_use]
    pub fn host_path(&self) -> &Path {
        &self.host
    }

    /// The guest's name for it.
    #[must_use]
    pub fn guest_path(&self) -> &str {
        &self.guest
    }

    /// The changes, sorted by path; what is in a removed directory is not listed.
    ///
    /// # Errors
    /// What reading the host directory reports; [`Error::NameTooLong`] for a path that the system would not accept.
    pub fn changes(&self) -> Result<Vec<Change>, Error> {
        let permit = Permit::of_the_keys_owner();
        let mut state = self.tree.lock();
        Ok(steps(&mut state, self.visit(&permit))?.into_iter().map(|step| step.change).collect())
    }

    pub(super) fn visit<'a>(&self, permit: &'a Permit) -> Visit<'a> {
        Visit { permit, resolve: self.resolve, now: Timestamp::default() }
    }
}

/// Every change, a directory before what is in it.
pub(super) fn steps(state: &mut State, visit: Visit<'_>) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    compare(state, visit, ROOT, &[], &mut steps)?;
    Ok(steps)
}

/// Compares a directory that is where it was beneath.
fn compare(
    state: &mut State,
    visit: Visit<'_>,
    directory: NodeId,
    path: &[u8],
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let entries = state.entries(directory)?;
    if !entries.loaded {
        // Nobody has looked.
        return Ok(());
    }
    // Both maps are sorted; this one has every name of either.
    let mut names: BTreeMap<Vec<u8>, (Option<NodeId>, Option<NodeId>)> =
        entries.names.iter().map(|(name, id)| (name.clone(), (Some(*id), None))).collect();
    for (name, id) in &entries.lower {
        names.entry(name.clone()).or_default().1 = Some(*id);
    }
    for (name, (now, before)) in names {
        let path = join(path, &name)?;
        match (now, before) {
            (Some(now), Some(before)) if now == before => compare_node(state, visit, now, path, steps)?,
            (Some(now), before) => add(state, visit, now, path, before.is_some(), steps)?,
            (None, _) => {
                let file_kind = before
                    .and_then(|id| state.nodes.get(&id))
                    .map_or(FileKind::Unknown, super::node::Node::file_kind);
                let change = Change { kind: ChangeKind::Removed, path, file_kind };
                steps.push(Step { change, node: None, replaces: true });
            }
        }
    }
    Ok(())
}

/// Compares a node that is where it was beneath.
fn compare_node(
    state: &mut State,
    visit: Visit<'_>,
    id: NodeId,
    path: Vec<u8>,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let node = state.node(id)?;
    let file_kind = node.file_kind();
    let changed = match &node.kind {
        NodeKind::File(content) => content.is_changed() || node.times_set,
        NodeKind::Directory(_) | NodeKind::Link(_) => node.times_set,
        NodeKind::Other(_) | NodeKind::LowerLink => false,
    };
    if changed {
        let change = Change { kind: ChangeKind::Modified, path: path.clone(), file_kind };
        steps.push(Step { change, node: Some(id), replaces: false });
    }
    if file_kind == FileKind::Directory { compare(state, visit, id, &path, steps) } else { Ok(()) }
}

/// Lists a node that is new in its place, and everything in it.
fn add(
    state: &mut State,
    visit: Visit<'_>,
    id: NodeId,
    path: Vec<u8>,
    replaces: bool,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let file_kind = state.node(id)?.file_kind();
    let change = Change { kind: ChangeKind::Added, path: path.clone(), file_kind };
    steps.push(Step { change, node: Some(id), replaces });
    if file_kind == FileKind::Directory {
        state.load_names(visit, id)?;
        let names: Vec<(Vec<u8>, NodeId)> =
            state.entries(id)?.names.iter().map(|(name, id)| (name.clone(), *id)).collect();
        for (name, child) in names {
            add(state, visit, child, join(&path, &name)?, false, steps)?;
        }
    }
    Ok(())
}

/// No longer than the system accepts, which bounds the depth of all recursion here, too.
fn join(directory: &[u8], name: &[u8]) -> Result<Vec<u8>, Error> {
    let path = if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() };
    if path.len() > MAX_PATH_BYTES { Err(Error::NameTooLong) } else { Ok(path) }
}
