//! Paths in a tree: from a directory to a name in a directory, following links, never above where the path began.

use super::Visit;
use super::node::{NodeId, NodeKind, State};
use crate::host::error::Error;
use crate::host::open::LastLink;
use crate::host::resolve::{GuestPath, MAX_LINKS, MAX_PATH_BYTES, push_components, splice};

/// Where a path leads: a directory, and a name in it, which may not exist.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) directory: NodeId,
    /// Nothing where the path leads to the directory itself.
    pub(super) name: Option<Vec<u8>>,
    /// What the name means now.
    pub(super) node: Option<NodeId>,
    /// The path ended in a slash or `/.`.
    pub(super) must_be_directory: bool,
    /// What the name means is out of guests' sight.
    pub(super) is_hidden: bool,
}

/// Whether a link in the last place is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum Last {
    Keep,
    Follow,
}

impl From<LastLink> for Last {
    fn from(last_link: LastLink) -> Last {
        match last_link {
            LastLink::Keep => Last::Keep,
            LastLink::Follow => Last::Follow,
        }
    }
}

impl Spot {
    /// What is there.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Hidden`].
    pub(super) fn existing(&self) -> Result<NodeId, Error> {
        let node = self.node.ok_or(Error::NotFound)?;
        if self.is_hidden { Err(Error::Hidden) } else { Ok(node) }
    }
}

impl State {
    /// Finds where `path` leads from `start`.
    pub(super) fn walk(
        &mut self,
        visit: Visit<'_>,
        start: NodeId,
        path: &GuestPath<'_>,
        last: Last,
    ) -> Result<Spot, Error> {
        let mut text = path.text_with_dot();
        let mut must_be_directory = path.must_be_directory();
        let mut stack = vec![start];
        let mut links_left = MAX_LINKS;
        loop {
            let path = GuestPath::parse(&text)?;
            must_be_directory |= path.must_be_directory();
            let (parent, name) = path.split();
            if let Some(parent) = parent {
                self.descend(visit, &mut stack, parent, &mut links_left)?;
            }
            let directory = top(&stack)?;
            if name == b"." {
                let node = Some(directory);
                return Ok(Spot { directory, name: None, node, must_be_directory, is_hidden: false });
            }
            let node = self.lookup(visit, directory, name)?;
            let is_hidden = node.is_some() && self.is_hidden(directory, name);
            let name = name.to_vec();
            let follow = !is_hidden && (last == Last::Follow || must_be_directory);
            let target = match node {
                Some(node) if follow => self.link_target(visit, node)?,
                _ => None,
            };
            match target {
                None => return Ok(Spot { directory, name: Some(name), node, must_be_directory, is_hidden }),
                Some(target) => {
                    links_left = links_left.checked_sub(1).ok_or(Error::Loop)?;
                    text = splice(None, &target)?;
                }
            }
        }
    }

    /// What a name in a directory means.
    pub(super) fn lookup(
        &mut self,
        visit: Visit<'_>,
        directory: NodeId,
        name: &[u8],
    ) -> Result<Option<NodeId>, Error> {
        if name.len() > MAX_NAME_BYTES {
            return Err(Error::NameTooLong);
        }
        self.load_name(visit, directory, name)?;
        Ok(self.entries(directory)?.names.get(name).copied())
    }

    /// The text of a link; nothing for anything else.
    pub(super) fn link_target(&mut self, visit: Visit<'_>, id: NodeId) -> Result<Option<Vec<u8>>, Error> {
        if matches!(self.node(id)?.kind, NodeKind::LowerLink) {
            self.load_metadata(visit, id)?;
        }
        Ok(match &self.node(id)?.kind {
            NodeKind::Link(target) => Some(target.clone()),
            _ => None,
        })
    }

    /// Enters every directory that `path` names, in turn.
    fn descend(
        &mut self,
        visit: Visit<'_>,
        stack: &mut Vec<NodeId>,
        path: &[u8],
        links_left: &mut u32,
    ) -> Result<(), Error> {
        // The components still to come, the next one last.
        let mut todo: Vec<Vec<u8>> = Vec::new();
        push_components(&mut todo, path);
        while let Some(component) = todo.pop() {
            visit.heed_interrupt()?;
            if component == b".." {
                stack.pop();
                if stack.is_empty() {
                    return Err(Error::Escape);
                }
                continue;
            }
            let directory = top(stack)?;
            let node = self.lookup(visit, directory, &component)?.ok_or(Error::NotFound)?;
            if self.is_hidden(directory, &component) {
                return Err(Error::Hidden);
            }
            if let Some(target) = self.link_target(visit, node)? {
                *links_left = links_left.checked_sub(1).ok_or(Error::Loop)?;
                push_components(&mut todo, &splice(None, &target)?);
                if todo.len() > MAX_PATH_BYTES {
                    return Err(Error::NameTooLong);
                }
            } else if matches!(self.node(node)?.kind, NodeKind::Directory(_)) {
                stack.push(node);
            } else {
                return Err(Error::NotDirectory);
            }
        }
        Ok(())
    }
}

/// Longest name, as in most file systems.
const MAX_NAME_BYTES: usize = 255;

fn top(stack: &[NodeId]) -> Result<NodeId, Error> {
    stack.last().copied().ok_or(Error::Escape)
}
