//! What became of a tree that is laid over a host directory: the list of changes, and what can be done with them.
//!
//! A name is compared with what the lower directory had under it when it was read. Something that was moved is gone from one
//! place and new in another, with everything in it.

use std::cmp::Ordering;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::node::{KnownNames, Name, Node, NodeId, NodeKind, ROOT, State};
use super::{Tree, Visit};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::metadata::{FileKind, Timestamp};
use crate::host::resolve::Resolve;

/// A copy-on-write directory after a guest has run: its changes, for the owner of the keys.
#[derive(Clone, Debug)]
pub struct Overlay {
    pub(super) tree: Arc<Tree>,
    pub(super) resolve: Resolve<'static>,
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

/// Asked now and then whether work on changes is to end before it is done.
pub type Stop<'a> = dyn Fn() -> bool + 'a;

/// A change together with the node that is there now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) kind: ChangeKind,
    pub(super) file_kind: FileKind,
    pub(super) node: Option<NodeId>,
    /// What the lower directory has under this name, where that is something else.
    pub(super) replaces: Option<FileKind>,
}

/// A walk over all changes, a directory before what is in it, names in order. Neither the depth of a tree nor the size of its
/// directories makes it hold more than a path.
pub(super) struct Walk {
    path: Vec<u8>,
    /// The directories that the walk is in.
    frames: Vec<Frame>,
    /// A directory that was given out and is entered next.
    enter: Option<(NodeId, DirectoryStatus)>,
    is_begun: bool,
}

struct Frame {
    directory: NodeId,
    place: DirectoryStatus,
    /// The name that was last dealt with.
    last: Option<Name>,
    path_bytes: usize,
}

/// Where a directory is, compared with before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DirectoryStatus {
    AsBelow,
    New,
}

impl Overlay {
    pub(in crate::host) fn new(
        tree: Arc<Tree>,
        resolve: Resolve<'static>,
        host: &Path,
        guest: &str,
    ) -> Overlay {
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

    /// The changes, sorted by path; what is in a removed directory is not listed, and what is new in the place of something else is listed after that, as removed.
    /// [`Overlay::visit_changes`] holds less.
    ///
    /// # Errors
    /// What reading the host directory reports.
    pub fn changes(&self) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        self.visit_changes(&|| false, &mut |change| changes.push(change.clone()))?;
        Ok(changes)
    }

    /// Shows each change, in the order of [`Overlay::changes`].
    ///
    /// # Errors
    /// What reading the host directory reports; [`Error::Interrupted`] where `stop` says so.
    pub fn visit_changes(&self, stop: &Stop<'_>, each: &mut dyn FnMut(&Change)) -> Result<(), Error> {
        let permit = Permit::of_the_keys_owner();
        let mut state = self.tree.lock();
        let mut walk = Walk::new();
        while let Some(step) = walk.next(&mut state, self.visit(&permit))? {
            if stop() {
                return Err(Error::Interrupted);
            }
            let path = walk.path().to_vec();
            // What was there is gone, whatever has its name now.
            if let (ChangeKind::Added, Some(file_kind)) = (step.kind, step.replaces) {
                each(&Change { kind: ChangeKind::Removed, path: path.clone(), file_kind });
            }
            each(&Change { kind: step.kind, path, file_kind: step.file_kind });
        }
        Ok(())
    }

    pub(super) fn visit<'a>(&self, permit: &'a Permit) -> Visit<'a> {
        Visit { permit, resolve: self.resolve, now: Timestamp::default() }
    }
}

impl Walk {
    pub(super) fn new() -> Walk {
        Walk { path: Vec::new(), frames: Vec::new(), enter: None, is_begun: false }
    }

    /// The path of the step that was last given out; `.` for the directory itself.
    pub(super) fn path(&self) -> &[u8] {
        if self.path.is_empty() { b"." } else { &self.path }
    }

    /// The next change; nothing at the end.
    pub(super) fn next(&mut self, state: &mut State, visit: Visit<'_>) -> Result<Option<Step>, Error> {
        if !self.is_begun {
            self.is_begun = true;
            if let Some(step) = self.meet(state, (ROOT, Some(ROOT)), DirectoryStatus::AsBelow)? {
                return Ok(Some(step));
            }
        }
        loop {
            if let Some((directory, place)) = self.enter.take() {
                if place == DirectoryStatus::New {
                    state.load_names(visit, directory)?;
                }
                let path_bytes = self.path.len();
                self.frames.push(Frame { directory, place, last: None, path_bytes });
            }
            let Some(frame) = self.frames.last_mut() else { return Ok(None) };
            self.path.truncate(frame.path_bytes);
            let Some((name, now, before)) = frame.next(state)? else {
                self.frames.pop();
                continue;
            };
            frame.last = Some(Arc::clone(&name));
            let place = frame.place;
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&name);
            let step = match now {
                Some(now) => self.meet(state, (now, before), place)?,
                None => before.map(|before| {
                    let file_kind = state.node(before).map_or(FileKind::Unknown, Node::file_kind);
                    Step { kind: ChangeKind::Removed, file_kind, node: None, replaces: Some(file_kind) }
                }),
            };
            if step.is_some() {
                return Ok(step);
            }
        }
    }

    /// What became of a name, and that it is entered if it is a directory.
    fn meet(
        &mut self,
        state: &State,
        (now, before): (NodeId, Option<NodeId>),
        place: DirectoryStatus,
    ) -> Result<Option<Step>, Error> {
        let node = state.node(now)?;
        let file_kind = node.file_kind();
        let is_as_below = place == DirectoryStatus::AsBelow && before == Some(now);
        if let NodeKind::Directory(entries) = &node.kind {
            let place = if is_as_below { DirectoryStatus::AsBelow } else { DirectoryStatus::New };
            // Where nobody has looked, nothing has changed.
            self.enter =
                (place == DirectoryStatus::New || entries.known != KnownNames::None).then_some((now, place));
        }
        if !is_as_below {
            let before = before.filter(|_| place == DirectoryStatus::AsBelow);
            let replaces = before.map(|before| state.node(before).map_or(FileKind::Unknown, Node::file_kind));
            return Ok(Some(Step { kind: ChangeKind::Added, file_kind, node: Some(now), replaces }));
        }
        let step = Step { kind: ChangeKind::Modified, file_kind, node: Some(now), replaces: None };
        Ok(node.is_changed().then_some(step))
    }
}

impl Frame {
    /// The next name in order that the directory has or had, with what it means and what it meant.
    #[allow(clippy::type_complexity, reason = "a name and two answers")]
    fn next(&self, state: &State) -> Result<Option<(Name, Option<NodeId>, Option<NodeId>)>, Error> {
        let entries = state.entries(self.directory)?;
        let from = self.last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let now = entries.names.range::<[u8], _>((from, Bound::Unbounded)).next();
        let before = match self.place {
            DirectoryStatus::AsBelow => entries.lower_after(self.last.as_deref()),
            DirectoryStatus::New => None,
        };
        Ok(match (now, before) {
            (None, None) => None,
            (Some((name, now)), None) => Some((Arc::clone(name), Some(*now), None)),
            (None, Some((name, before))) => Some((Arc::clone(name), None, Some(*before))),
            (Some((now_name, now)), Some((before_name, before))) => Some(match now_name.cmp(before_name) {
                Ordering::Less => (Arc::clone(now_name), Some(*now), None),
                Ordering::Equal => (Arc::clone(now_name), Some(*now), Some(*before)),
                Ordering::Greater => (Arc::clone(before_name), None, Some(*before)),
            }),
        })
    }
}
