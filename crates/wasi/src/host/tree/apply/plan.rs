//! What a tree's changes come to: which names are taken out of their places, what is put where, which files get other bytes.
//!
//! First everything that is not in its old place is taken out, children before their directories, so that everything is found where it
//! was; then everything is put in, directories before what is in them, so that everything is found where it will be. Whatever was there
//! before is moved and never copied: it keeps owner, permissions, times, attributes and its other names, and need not be looked into.
//!
//! Nothing here looks at the file system; what there is to look at is in the plan's [`Look`]s.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::changes::Stop;
use super::super::node::{KnownNames, Name, NodeId, NodeKind, ROOT, State};
use super::journal::{
    Attach, Detach, DirectoryId, DirectoryRecord, FileTimes, Journal, KeptFile, Made, NameInDirectory,
    ObjectId, Patch, PatchPlace, SetTimes, TOP,
};
use crate::host::error::Error;
use crate::host::metadata::{FileKind, Metadata};
use crate::host::resolve::is_reserved;

/// A journal in the making, and what it still needs from the file system.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) journal: Journal,
    /// The nodes of the journal's lists, one by one.
    pub(super) directory_nodes: Vec<NodeId>,
    pub(super) detached: Vec<NodeId>,
    pub(super) attached: Vec<NodeId>,
    pub(super) patched: Vec<NodeId>,
    pub(super) timed: Vec<NodeId>,
    /// What there is to look at beneath, before anything is done.
    pub(super) looks: Vec<Look>,
    /// What is to be made in the staging directory.
    pub(super) made: Vec<(ObjectId, NodeId)>,
    /// Further names of what is made.
    pub(super) made_again: Vec<(ObjectId, ObjectId)>,
    /// What is taken out of its place and put nowhere again.
    lost: HashSet<ObjectId>,
    next_object: u64,
}

/// Something to look at where it was, in the order of the directories beneath.
#[derive(Debug)]
pub(super) enum Look {
    /// A directory in which names change.
    Directory(DirectoryId),
    /// A name that must be free, of an entry of [`Journal::attach`].
    Free(usize),
    /// An entry of [`Journal::detach`].
    Detach(usize),
    /// A file that is read, gets other bytes or times, or more names.
    Source(Box<Source>),
}

/// A file beneath that is needed, where it is, and for what.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) place: NameInDirectory,
    pub(super) node: NodeId,
    /// Further names that it gets.
    pub(super) links: Vec<ObjectId>,
    /// An entry of [`Journal::patches`], and one of [`Journal::times`].
    pub(super) patch: Option<usize>,
    pub(super) times: Option<usize>,
}

/// What a source that stands in the lower directory is needed for.
#[derive(Debug, Default)]
struct Needs {
    links: Vec<ObjectId>,
    patch: Option<usize>,
    times: Option<usize>,
}

/// The places of things: before, from their origins, and at the end.
struct Places<'a> {
    state: &'a State,
    after: HashMap<NodeId, (NodeId, Name)>,
    ids: HashMap<NodeId, DirectoryId>,
}

impl Plan {
    /// Makes the plan of a tree's changes.
    ///
    /// # Errors
    /// [`Error::Interrupted`] where `stop` says so.
    pub(super) fn new(state: &State, stop: &Stop<'_>) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        let mut places = Places { state, after: HashMap::new(), ids: HashMap::new() };
        places.id(&mut plan, ROOT)?;
        let wanted = wanted(state, &mut places, stop)?;
        let before = directories_below(state, stop)?;

        let mut waiting = HashMap::new();
        for &(directory, ref name, node) in &wanted.taken(state, &before)? {
            let from = places.place(&mut plan, directory, name)?;
            let object = plan.object();
            waiting.entry(node).or_insert_with(Vec::new).push(object);
            plan.journal.detach.push(Detach { from, object, identity: 0, lost: None });
            plan.detached.push(node);
        }
        let staged: HashMap<NodeId, ObjectId> =
            waiting.iter().filter_map(|(node, objects)| Some((*node, *objects.first()?))).collect();
        let mut needs: HashMap<NodeId, Needs> = HashMap::new();
        plan.put(&mut places, &wanted, &mut waiting, &mut needs)?;
        plan.change(&mut places, &wanted, &staged, &mut needs)?;
        plan.look(&mut places, &before, &mut needs)?;
        plan.finish_directories(&places)?;
        Ok(plan)
    }

    /// Everything that is put into a place.
    fn put(
        &mut self,
        places: &mut Places<'_>,
        wanted: &Wanted,
        waiting: &mut HashMap<NodeId, Vec<ObjectId>>,
        needs: &mut HashMap<NodeId, Needs>,
    ) -> Result<(), Error> {
        // Only what has several names is come across again.
        let mut made: HashMap<NodeId, ObjectId> = HashMap::new();
        self.journal.attach.reserve_exact(wanted.put.len());
        self.attached.reserve_exact(wanted.put.len());
        for &(directory, ref name, node) in &wanted.put {
            if is_reserved(name) {
                return Err(Error::Reserved);
            }
            let found = places.state.node(node)?;
            let (is_new, has_many_names) = (found.origin.is_none(), found.links > 1);
            let object = match waiting.get_mut(&node).and_then(Vec::pop) {
                Some(object) => object,
                None => {
                    let object = self.object();
                    match made.get(&node) {
                        _ if !is_new => needs.entry(node).or_default().links.push(object),
                        Some(first) => self.made_again.push((*first, object)),
                        None => {
                            if has_many_names {
                                made.insert(node, object);
                            }
                            self.made.push((object, node));
                        }
                    }
                    object
                }
            };
            let to = places.place(self, directory, name)?;
            self.journal.attach.push(Attach {
                object,
                to,
                identity: 0,
                made: is_new.then_some(Made::NOT_YET),
            });
            self.attached.push(node);
        }
        self.lost = waiting.values().flatten().copied().collect();
        Ok(())
    }

    /// Everything that gets other bytes or times.
    fn change(
        &mut self,
        places: &mut Places<'_>,
        wanted: &Wanted,
        staged: &HashMap<NodeId, ObjectId>,
        needs: &mut HashMap<NodeId, Needs>,
    ) -> Result<(), Error> {
        // Without a name in the tree, and with others beneath that nobody has come across.
        let mut nameless = Vec::new();
        for node in self.detached.iter().copied().collect::<BTreeSet<_>>() {
            let has_other_names =
                places.state.node(node)?.origin.as_ref().is_some_and(|origin| origin.has_other_names());
            if has_other_names && !wanted.seen.contains(&node) {
                nameless.push(node);
            }
        }
        let in_place = wanted.patched.iter().map(|(directory, name, node)| (Some((directory, name)), *node));
        for (place, node) in in_place.chain(nameless.iter().map(|node| (None, *node))) {
            let NodeKind::File(content) = &places.state.node(node)?.kind else { continue };
            if !content.is_changed() {
                continue;
            }
            let place = match place {
                Some((directory, name)) => PatchPlace::In(places.place(self, *directory, name)?),
                None => PatchPlace::Staged(*staged.get(&node).ok_or(Error::Stale)?),
            };
            needs.entry(node).or_default().patch = Some(self.journal.patches.len());
            let old_times = places.state.node(node)?.seen().map(FileTimes::of).unwrap_or_default();
            let [new, old] = [self.object(), self.object()].map(KeptFile::new);
            self.journal.patches.push(Patch {
                place,
                identity: 0,
                new,
                old,
                kept_bytes: content.lower_bytes(),
                old_size: 0,
                new_size: content.size_bytes(),
                old_times,
                ranges: content.piece_ranges(),
            });
            self.patched.push(node);
        }
        for &(directory, ref name, node) in &wanted.timed {
            let state = places.state;
            let Some(times) = state.node(node)?.times else { continue };
            let times = FileTimes { accessed: times.accessed, modified: times.modified };
            if node == ROOT {
                self.journal.top_times = Some(times);
                continue;
            }
            let place = places.place(self, directory, name)?;
            if state.node(node)?.origin.is_some() {
                needs.entry(node).or_default().times = Some(self.journal.times.len());
            }
            let place = PatchPlace::In(place);
            self.journal.times.push(SetTimes { place, identity: 0, times, old: None });
            self.timed.push(node);
        }
        for node in nameless {
            let state = places.state.node(node)?;
            let (true, Some(times)) = (state.times_set, state.times) else { continue };
            let times = FileTimes { accessed: times.accessed, modified: times.modified };
            needs.entry(node).or_default().times = Some(self.journal.times.len());
            let place = PatchPlace::Staged(*staged.get(&node).ok_or(Error::Stale)?);
            self.journal.times.push(SetTimes { place, identity: 0, times, old: None });
            self.timed.push(node);
        }
        Ok(())
    }

    /// Everything that there is to look at, directory by directory, children first.
    fn look(
        &mut self,
        places: &mut Places<'_>,
        before: &[NodeId],
        needs: &mut HashMap<NodeId, Needs>,
    ) -> Result<(), Error> {
        let mut detach: HashMap<DirectoryId, Vec<usize>> = HashMap::new();
        for (index, step) in self.journal.detach.iter().enumerate() {
            detach.entry(step.from.directory).or_default().push(index);
        }
        let mut attach: HashMap<DirectoryId, Vec<usize>> = HashMap::new();
        for (index, step) in self.journal.attach.iter().enumerate() {
            attach.entry(step.to.directory).or_default().push(index);
        }
        for &directory in before {
            let state = places.state;
            for (name, node) in state.entries(directory)?.lower() {
                let Some(origin) = &state.node(*node)?.origin else { continue };
                // Of several names of a file, the one that it is known by.
                if origin.parent != directory || origin.name != *name {
                    continue;
                }
                if let Some(Needs { links, patch, times }) = needs.remove(node) {
                    let place = places.place(self, directory, name)?;
                    let source = Source { place, node: *node, links, patch, times };
                    self.looks.push(Look::Source(Box::new(source)));
                }
            }
            let Some(&id) = places.ids.get(&directory) else { continue };
            let (taken, put) =
                (detach.remove(&id).unwrap_or_default(), attach.remove(&id).unwrap_or_default());
            if taken.is_empty() && put.is_empty() {
                continue;
            }
            self.looks.push(Look::Directory(id));
            for index in put {
                let name = &self.journal.attach[index].to.name;
                if state.entries(directory)?.lower_entry(name).is_none() {
                    self.looks.push(Look::Free(index));
                }
            }
            self.looks.extend(taken.into_iter().map(Look::Detach));
        }
        Ok(())
    }

    /// Gives every directory its places, and each on the way to it.
    fn finish_directories(&mut self, places: &Places<'_>) -> Result<(), Error> {
        for (record, node) in self.journal.directories.iter_mut().zip(&self.directory_nodes) {
            record.identity = places.state.node(*node)?.seen().map_or(0, |seen| seen.inode);
        }
        Ok(())
    }

    /// Whether what is taken out under this number is put nowhere again.
    pub(super) fn is_lost(&self, object: ObjectId) -> bool {
        self.lost.contains(&object)
    }

    fn object(&mut self) -> ObjectId {
        self.next_object += 1;
        ObjectId(self.next_object)
    }
}

/// What the tree wants, in the order of the directories at the end.
#[derive(Debug, Default)]
struct Wanted {
    put: Vec<(NodeId, Name, NodeId)>,
    patched: Vec<(NodeId, Name, NodeId)>,
    timed: Vec<(NodeId, Name, NodeId)>,
    /// Nodes that have a name.
    seen: HashSet<NodeId>,
}

impl Wanted {
    /// What is not in its old place any more, children before their directories.
    fn taken(&self, state: &State, before: &[NodeId]) -> Result<Vec<(NodeId, Name, NodeId)>, Error> {
        let mut taken = Vec::new();
        for &directory in before {
            let entries = state.entries(directory)?;
            for (name, node) in entries.lower() {
                if entries.names.get(name) != Some(node) {
                    taken.push((directory, Name::clone(name), *node));
                }
            }
        }
        Ok(taken)
    }
}

/// Goes through the tree as it is now, directories before what is in them.
fn wanted(state: &State, places: &mut Places<'_>, stop: &Stop<'_>) -> Result<Wanted, Error> {
    let mut wanted = Wanted::default();
    let mut todo = vec![ROOT];
    if state.node(ROOT)?.times_set {
        wanted.timed.push((ROOT, Name::from(&b""[..]), ROOT));
    }
    while let Some(directory) = todo.pop() {
        if stop() {
            return Err(Error::Interrupted);
        }
        let entries = state.entries(directory)?;
        for (name, &id) in &entries.names {
            let node = state.node(id)?;
            let place = || (directory, Name::clone(name), id);
            if !entries.is_as_below(name, id) {
                wanted.put.push(place());
            }
            if let NodeKind::Directory(_) = &node.kind {
                places.after.insert(id, (directory, Name::clone(name)));
                todo.push(id);
            }
            if node.is_changed() && wanted.seen.insert(id) {
                if node.times_set {
                    wanted.timed.push(place());
                }
                if node.origin.is_some() && matches!(node.kind, NodeKind::File(_)) {
                    wanted.patched.push(place());
                }
            }
        }
    }
    Ok(wanted)
}

/// The directories beneath whose names were read, children before those that they are in.
fn directories_below(state: &State, stop: &Stop<'_>) -> Result<Vec<NodeId>, Error> {
    let mut directories = Vec::new();
    let mut todo = vec![ROOT];
    while let Some(directory) = todo.pop() {
        if stop() {
            return Err(Error::Interrupted);
        }
        directories.push(directory);
        for (_, node) in state.entries(directory)?.lower() {
            let is_directory = state.node(*node)?.file_kind() == FileKind::Directory;
            if is_directory && state.entries(*node)?.known != KnownNames::None {
                todo.push(*node);
            }
        }
    }
    directories.reverse();
    Ok(directories)
}

impl Places<'_> {
    fn place(&mut self, plan: &mut Plan, directory: NodeId, name: &Name) -> Result<NameInDirectory, Error> {
        Ok(NameInDirectory { directory: self.id(plan, directory)?, name: Name::clone(name) })
    }

    /// The number of a directory; one that is new gets one, and with it those above.
    fn id(&mut self, plan: &mut Plan, directory: NodeId) -> Result<DirectoryId, Error> {
        let id = self.number(plan, directory)?;
        // Every directory that has a number has a record, and is dealt with once.
        let mut next = plan.journal.directories.len().min(plan.directory_nodes.len());
        while next < plan.directory_nodes.len() {
            let node = plan.directory_nodes[next];
            let mut record = DirectoryRecord::default();
            if node != ROOT {
                if let Some(origin) = &self.state.node(node)?.origin {
                    let (parent, name) = (origin.parent, Name::clone(&origin.name));
                    record.before = Some(NameInDirectory { directory: self.number(plan, parent)?, name });
                }
                if let Some((parent, name)) = self.after.get(&node).cloned() {
                    record.after = Some(NameInDirectory { directory: self.number(plan, parent)?, name });
                }
            }
            plan.journal.directories.push(record);
            next += 1;
        }
        Ok(id)
    }

    fn number(&mut self, plan: &mut Plan, directory: NodeId) -> Result<DirectoryId, Error> {
        if directory == ROOT && !plan.directory_nodes.is_empty() {
            return Ok(TOP);
        }
        if let Some(&id) = self.ids.get(&directory) {
            return Ok(id);
        }
        let id = DirectoryId(u32::try_from(plan.directory_nodes.len()).map_err(|_| Error::NoMemory)?);
        self.ids.insert(directory, id);
        plan.directory_nodes.push(directory);
        Ok(id)
    }
}

impl FileTimes {
    pub(super) fn of(metadata: &Metadata) -> FileTimes {
        FileTimes { accessed: metadata.accessed, modified: metadata.modified }
    }
}
