//! What a tree consists of: nodes, and the state that holds them.
//!
//! What must stay true: a node that stands for something beneath is there as long as its tree, also without a name, since what was
//! seen beneath is compared with what is there when changes are carried out. Any other goes with its last name and handle.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::content::Content;
use super::cost::{self, Account};
use crate::host::error::Error;
use crate::host::hidden::Identity;
use crate::host::metadata::{FileKind, Metadata, Timestamp};
use crate::host::reach::NativeDirectory;

/// A node's number, which the guest sees as its inode. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) u64);

/// What belongs to nodes.
pub(super) type ByNode<T> = HashMap<NodeId, T, BuildHasherDefault<NodeHasher>>;

/// Spreads numbers of nodes, which are given out one after the other, and by nobody but the tree: no guest can choose ones that collide.
#[derive(Debug, Default)]
pub(super) struct NodeHasher(u64);

impl Hasher for NodeHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // Odd, so that the low bits of numbers that follow each other stay different; the high ones are those of the golden ratio.
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// The directory at the top.
pub(super) const ROOT: NodeId = NodeId(1);

/// One component of a path.
pub(super) type Name = Arc<[u8]>;

/// One file, directory or link.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    /// Names that lead here.
    pub(super) links: u32,
    /// Open handles.
    pub(super) handles: u32,
    /// Where it came from, if it was there before the guest.
    pub(super) origin: Option<Box<Origin>>,
    /// Nothing yet for what has not been looked at in the lower directory.
    pub(super) times: Option<Times>,
    /// Whether the guest has set times itself.
    pub(super) times_set: bool,
}

/// The place beneath that a node stands for.
#[derive(Debug)]
pub(super) struct Origin {
    /// The directory, which has an origin too; for the top its own number.
    pub(super) parent: NodeId,
    /// The name there, empty for the top. Another name of the same file beneath is not kept here.
    pub(super) name: Name,
    /// Names beneath that were read and are this node.
    pub(super) names: u32,
    /// What was there when it was first looked at.
    pub(super) seen: Option<Metadata>,
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
    pub(super) names: BTreeMap<Name, NodeId>,
    /// Which names of the lower directory, if there is one, are among them.
    pub(super) known: KnownNames,
    /// The directory that they were read from, where something is hidden on the host.
    pub(super) beneath: Option<Identity>,
    /// The names of the lower directory, as they were, sorted.
    lower: Vec<(Name, NodeId)>,
}

/// Which names of a directory beneath have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownNames {
    /// Nobody has looked.
    None,
    /// Those that were asked for: it may be searched, and not listed.
    AskedFor,
    /// All, or there is none beneath.
    All,
}

/// The nodes of a tree.
#[derive(Debug)]
pub(super) struct State {
    pub(super) nodes: ByNode<Box<Node>>,
    next: u64,
    pub(super) lower: Option<NativeDirectory>,
    /// Nodes of files beneath that can have several names, by their number there.
    pub(super) lower_files: HashMap<u64, NodeId>,
    /// Files beneath that are open because a handle has read them.
    pub(super) lower_open: ByNode<OwnedFd>,
    pub(super) account: Account,
}

impl State {
    pub(super) fn new(lower: Option<NativeDirectory>, account: Account, now: Timestamp) -> State {
        let origin = lower.as_ref().map(|_| Box::new(Origin::new(ROOT, Arc::from(&b""[..]))));
        let root = Node {
            kind: NodeKind::Directory(Entries::new(ROOT, KnownNames::of(origin.is_some()))),
            links: 1,
            handles: 0,
            times: origin.is_none().then(|| Times::all(now)),
            times_set: false,
            origin,
        };
        State {
            nodes: ByNode::from_iter([(ROOT, Box::new(root))]),
            next: ROOT.0 + 1,
            lower,
            lower_files: HashMap::new(),
            lower_open: ByNode::default(),
            account,
        }
    }

    /// The node with this number. One that a name or handle leads to is always there.
    pub(super) fn node(&self, id: NodeId) -> Result<&Node, Error> {
        self.nodes.get(&id).map(|node| &**node).ok_or(Error::Stale)
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> Result<&mut Node, Error> {
        self.nodes.get_mut(&id).map(|node| &mut **node).ok_or(Error::Stale)
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

    /// Whether a directory has lost its name: nothing can be made in it.
    pub(super) fn is_removed(&self, directory: NodeId) -> Result<bool, Error> {
        Ok(self.node(directory)?.links == 0)
    }

    /// Adds a node that no name leads to yet. What it costs has been taken.
    pub(super) fn insert(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.next);
        self.next += 1;
        self.nodes.insert(id, Box::new(node));
        id
    }

    /// Adds a node that the guest makes, which `give_name` then gives a name; one that gets none is removed again.
    ///
    /// # Errors
    /// [`Error::NoSpace`], and what `give_name` gives.
    pub(super) fn create(
        &mut self,
        kind: NodeKind,
        now: Timestamp,
        give_name: impl FnOnce(&mut State, NodeId) -> Result<(), Error>,
    ) -> Result<NodeId, Error> {
        self.account.take(cost::NODE_BYTES + kind.held_bytes())?;
        let id = self.insert(Node {
            kind,
            links: 0,
            handles: 0,
            origin: None,
            times: Some(Times::all(now)),
            times_set: false,
        });
        let named = give_name(self, id);
        self.forget_if_unused(id);
        named.map(|()| id)
    }

    /// Removes a node that neither a name nor a handle leads to, or at least its bytes.
    pub(super) fn forget_if_unused(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| node.links == 0 && node.handles == 0) else {
            return;
        };
        match &node.origin {
            None => {
                self.account.give_back(cost::NODE_BYTES + node.kind.held_bytes());
                self.nodes.remove(&id);
            }
            // The file has other names beneath that nobody has come across, and under which it has these bytes.
            Some(origin) if origin.has_other_names() => {}
            Some(_) => {
                if let NodeKind::File(content) = &mut node.kind {
                    self.account.give_back(content.held_bytes());
                    *content = Content::default();
                }
            }
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
                // None of them is left of one that was removed.
                NodeKind::Directory(_) => 2 * u64::from(node.links.min(1)),
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

    /// Whether the guest has changed what stands in its old place: content or times.
    pub(super) fn is_changed(&self) -> bool {
        self.times_set || matches!(&self.kind, NodeKind::File(content) if content.is_changed())
    }

    /// What was seen beneath where this stands for something there.
    pub(super) fn seen(&self) -> Option<&Metadata> {
        self.origin.as_ref().and_then(|origin| origin.seen.as_ref())
    }
}

impl NodeKind {
    /// Bytes of memory that a file's content or a link's text takes.
    fn held_bytes(&self) -> u64 {
        match self {
            NodeKind::File(content) => content.held_bytes(),
            NodeKind::Link(target) => cost::allocation_bytes(target.capacity() as u64),
            _ => 0,
        }
    }
}

impl Origin {
    pub(super) fn new(parent: NodeId, name: Name) -> Origin {
        Origin { parent, name, names: 0, seen: None }
    }

    /// Whether the file has names beneath that have not been read.
    pub(super) fn has_other_names(&self) -> bool {
        self.seen.is_some_and(|seen| seen.kind == FileKind::Regular && seen.links > u64::from(self.names))
    }
}

impl KnownNames {
    /// Those that a new directory begins with.
    fn of(is_laid_over: bool) -> KnownNames {
        if is_laid_over { KnownNames::None } else { KnownNames::All }
    }
}

impl Times {
    pub(super) fn all(time: Timestamp) -> Times {
        Times { accessed: time, modified: time, changed: time }
    }
}

impl Entries {
    pub(super) fn new(parent: NodeId, known: KnownNames) -> Entries {
        Entries { parent, names: BTreeMap::new(), known, beneath: None, lower: Vec::new() }
    }

    /// Puts in the names of the lower directory, which have been paid for.
    pub(super) fn load(&mut self, mut found: BTreeMap<Name, NodeId>, beneath: Option<Identity>) {
        self.beneath = beneath;
        self.lower = found.iter().map(|(name, node)| (Arc::clone(name), *node)).collect();
        self.names.append(&mut found);
        self.known = KnownNames::All;
    }

    /// Notes that the lower directory cannot be listed: its names are read when they are asked for.
    pub(super) fn load_as_asked_for(&mut self, beneath: Option<Identity>) {
        self.beneath = beneath;
        self.known = KnownNames::AskedFor;
    }

    /// Puts in one name of the lower directory, which has been paid for.
    pub(super) fn load_one(&mut self, name: Name, node: NodeId) {
        let at = self.lower.partition_point(|(known, _)| **known < *name);
        self.lower.insert(at, (Arc::clone(&name), node));
        self.names.insert(name, node);
    }

    /// The names of the lower directory, as they were, sorted.
    pub(super) fn lower(&self) -> &[(Name, NodeId)] {
        &self.lower
    }

    /// The first entry of the lower directory's after a name, or of all.
    pub(super) fn lower_after(&self, name: Option<&[u8]>) -> Option<&(Name, NodeId)> {
        let at = name.map_or(0, |name| self.lower.partition_point(|(known, _)| **known <= *name));
        self.lower.get(at)
    }

    /// What the lower directory had under this name, with the name.
    pub(super) fn lower_entry(&self, name: &[u8]) -> Option<&(Name, NodeId)> {
        let at = self.lower.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        self.lower.get(at)
    }

    /// Whether the name means what it meant in the lower directory.
    pub(super) fn is_as_below(&self, name: &[u8], node: NodeId) -> bool {
        self.lower_entry(name).is_some_and(|(_, below)| *below == node)
    }

    /// What it costs to add a name, and what removing it gives back: the lower directory's have their text anyway.
    pub(super) fn name_cost(&self, name: &[u8]) -> u64 {
        let text = if self.lower_entry(name).is_some() { 0 } else { cost::name_bytes(name.len()) };
        cost::NAME_SLOT_BYTES + text
    }
}
