//! What a tree consists of: nodes, and the state that holds them.

use std::collections::{BTreeMap, HashMap};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::content::Content;
use crate::host::error::Error;
use crate::host::metadata::{FileKind, Metadata, Timestamp};

/// What a node costs besides names and contents, in bytes: so that empty files are not free.
pub(super) const NODE_BYTES: u64 = 256;

/// A node's number, which the guest sees as its inode. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) u64);

/// The directory at the top.
pub(super) const ROOT: NodeId = NodeId(1);

/// A path beneath the lower directory; empty for that directory itself.
pub(super) type LowerPath = Arc<[u8]>;

/// One file, directory or link.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// Names that lead here.
    pub(super) links: u32,
    /// Open handles.
    pub(super) handles: u32,
    /// Where it came from, if it was there before the guest.
    pub(super) origin: Option<LowerPath>,
    /// Nothing yet for what has not been looked at in the lower directory.
    pub(super) times: Option<Times>,
    /// Whether the guest has set times itself.
    pub(super) times_set: bool,
    /// Bytes that it takes of the limit, contents not counted.
    pub(super) cost_bytes: u64,
}

/// The times of a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) accessed: Timestamp,
    pub(super) modified: Timestamp,
    pub(super) changed: Timestamp,
}

#[derive(Debug)]
pub(super) enum NodeKind {
    Directory(Entries),
    File(Content),
    Link(Vec<u8>),
    /// Something beneath that is neither: it is seen, and cannot be opened.
    Other(FileKind),
    /// A link beneath whose text has not been read.
    LowerLink,
}

/// The names in a directory.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) parent: NodeId,
    pub(super) names: BTreeMap<Vec<u8>, NodeId>,
    /// Whether the names of the lower directory, if there is one, are among them.
    pub(super) loaded: bool,
    /// The names of the lower directory, as they were.
    pub(super) lower: BTreeMap<Vec<u8>, NodeId>,
}

/// The nodes of a tree.
#[derive(Debug)]
pub(super) struct State {
    pub(super) nodes: HashMap<NodeId, Node>,
    next: u64,
    pub(super) lower: Option<OwnedFd>,
    /// Nodes of files beneath that can have several names, by their number there.
    pub(super) lower_files: HashMap<u64, NodeId>,
    /// Files beneath that are open because a handle has read them.
    pub(super) lower_open: HashMap<NodeId, OwnedFd>,
    used_bytes: u64,
    limit_bytes: u64,
}

impl State {
    pub(super) fn new(lower: Option<OwnedFd>, limit_bytes: u64, now: Timestamp) -> State {
        let origin: Option<LowerPath> = lower.as_ref().map(|_| Arc::from(&b""[..]));
        let root = Node {
            kind: NodeKind::Directory(Entries::new(ROOT, origin.is_none())),
            links: 1,
            handles: 0,
            times: origin.is_none().then(|| Times::all(now)),
            times_set: false,
            origin,
            cost_bytes: 0,
        };
        State {
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT.0 + 1,
            lower,
            lower_files: HashMap::new(),
            lower_open: HashMap::new(),
            used_bytes: 0,
            limit_bytes,
        }
    }

    /// The node with this number. One that a name or handle leads to is always there.
    pub(super) fn node(&self, id: NodeId) -> Result<&Node, Error> {
        self.nodes.get(&id).ok_or(Error::Stale)
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> Result<&mut Node, Error> {
        self.nodes.get_mut(&id).ok_or(Error::Stale)
    }

    pub(super) fn entries(&self, id: NodeId) -> Result<&Entries, Error> {
        match &self.node(id)?.kind {
            NodeKind::Directory(entries) => Ok(entries),
            _ => Err(Error::NotDirectory),
        }
    }

    pub(super) fn entries_mut(&mut self, id: NodeId) -> Result<&mut Entries, Error> {
        match &mut self.node_mut(id)?.kind {
            NodeKind::Directory(entries) => Ok(entries),
            _ => Err(Error::NotDirectory),
        }
    }

    /// Adds a node that no name leads to yet.
    pub(super) fn insert(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.next);
        self.next += 1;
        self.nodes.insert(id, node);
        id
    }

    /// Adds a node that the guest makes, to be called a name of `name_bytes` bytes.
    ///
    /// # Errors
    /// [`Error::NoSpace`].
    pub(super) fn create(
        &mut self,
        kind: NodeKind,
        name_bytes: usize,
        now: Timestamp,
    ) -> Result<NodeId, Error> {
        let cost_bytes = NODE_BYTES + name_bytes as u64;
        self.take(cost_bytes)?;
        Ok(self.insert(Node {
            kind,
            links: 0,
            handles: 0,
            origin: None,
            times: Some(Times::all(now)),
            times_set: false,
            cost_bytes,
        }))
    }

    /// Takes bytes of the limit.
    ///
    /// # Errors
    /// [`Error::NoSpace`].
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Error> {
        let used = self.used_bytes.checked_add(bytes).ok_or(Error::NoSpace)?;
        if used > self.limit_bytes {
            return Err(Error::NoSpace);
        }
        self.used_bytes = used;
        Ok(())
    }

    pub(super) fn give_back(&mut self, bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
    }

    /// Bytes that may still be taken.
    pub(super) fn left_bytes(&self) -> u64 {
        self.limit_bytes - self.used_bytes
    }

    /// Removes a node that neither a name nor a handle leads to.
    pub(super) fn forget_if_unused(&mut self, id: NodeId) {
        let unused = self.nodes.get(&id).is_some_and(|node| node.links == 0 && node.handles == 0);
        if unused && let Some(node) = self.nodes.remove(&id) {
            let content = match &node.kind {
                NodeKind::File(content) => content.held_bytes(),
                _ => 0,
            };
            self.give_back(node.cost_bytes + content);
            self.lower_files.retain(|_, file| *file != id);
        }
    }

    /// Metadata of a node whose times have been loaded.
    pub(super) fn metadata(&self, id: NodeId) -> Result<Metadata, Error> {
        let node = self.node(id)?;
        let times = node.times.unwrap_or_default();
        Ok(Metadata {
            device: 0,
            inode: id.0,
            kind: node.file_kind(),
            links: match &node.kind {
                // As on other file systems: its name, its own `.`, and the `..` of each directory in it, which are not counted here.
                NodeKind::Directory(_) => 2,
                _ => u64::from(node.links),
            },
            size_bytes: match &node.kind {
                NodeKind::File(content) => content.size_bytes(),
                NodeKind::Link(target) => target.len() as u64,
                _ => 0,
            },
            accessed: times.accessed,
            modified: times.modified,
            changed: times.changed,
        })
    }
}

impl Node {
    pub(super) fn file_kind(&self) -> FileKind {
        match &self.kind {
            NodeKind::Directory(_) => FileKind::Directory,
            NodeKind::File(_) => FileKind::Regular,
            NodeKind::Link(_) | NodeKind::LowerLink => FileKind::SymbolicLink,
            NodeKind::Other(kind) => *kind,
        }
    }

    /// Notes a change of data, or of the names in a directory.
    pub(super) fn touch(&mut self, now: Timestamp) {
        let times = self.times.get_or_insert_default();
        times.modified = now;
        times.changed = now;
    }
}

impl Times {
    pub(super) fn all(time: Timestamp) -> Times {
        Times { accessed: time, modified: time, changed: time }
    }
}

impl Entries {
    pub(super) fn new(parent: NodeId, loaded: bool) -> Entries {
        Entries { parent, names: BTreeMap::new(), loaded, lower: BTreeMap::new() }
    }
}
