//! What the host keeps for itself, in a tree laid over a directory that has it, or the way to it, beneath.
//!
//! The directory on the host stays as it is whatever a guest does to the tree. All the same, a guest meets in a tree what it would meet in the directory: nothing
//! hidden can be opened or entered, and no name on the way to it can be made, moved or removed. So changes can be told and carried out as the guest has seen them.
//!
//! Names are compared in the directories beneath that they were read from. What a guest makes itself stands for nothing there.

use super::Visit;
use super::node::{NodeId, State};
use super::walk::Spot;
use crate::host::error::Error;
use crate::host::hidden::{Hidden, Identity, identity};

impl State {
    /// What is hidden, if anything is.
    fn hidden(&self) -> Option<&Hidden> {
        self.lower.as_ref()?.hidden()
    }

    /// Whether a name in a directory stands for something hidden, or would.
    pub(super) fn is_hidden(&self, directory: NodeId, name: &[u8]) -> bool {
        self.is_noted(directory, |hidden, beneath| hidden.is_end_of_the_way((beneath, name)))
    }

    /// Refuses a name in a directory that is on the way to something hidden.
    pub(super) fn require_off_the_way(&self, directory: NodeId, name: &[u8]) -> Result<(), Error> {
        let is_kept = self.is_noted(directory, |hidden, beneath| hidden.is_on_the_way((beneath, name)));
        if is_kept { Err(Error::Hidden) } else { Ok(()) }
    }

    fn is_noted(&self, directory: NodeId, is_noted: impl FnOnce(&Hidden, Identity) -> bool) -> bool {
        let Some(hidden) = self.hidden() else { return false };
        let beneath = self.entries(directory).ok().and_then(|entries| entries.beneath);
        beneath.is_some_and(|beneath| is_noted(hidden, beneath))
    }

    /// Refuses what is no part of the grant, by whatever name it was reached.
    pub(super) fn require_in_sight(&mut self, visit: Visit<'_>, id: NodeId) -> Result<(), Error> {
        match self.load_metadata(visit, id) {
            Err(error @ (Error::Hidden | Error::KernelFiles | Error::Reserved)) => Err(error),
            // What cannot be looked at for another reason is not opened by looking.
            _ => Ok(()),
        }
    }

    /// Refuses to move, remove or link what is there, if its name is on the way to something hidden, or it is a part of that way by another name.
    pub(super) fn require_movable(&mut self, visit: Visit<'_>, spot: &Spot) -> Result<(), Error> {
        if self.hidden().is_none() {
            return Ok(());
        }
        if let Some(name) = &spot.name {
            self.require_off_the_way(spot.directory, name)?;
        }
        let Some(node) = spot.node else { return Ok(()) };
        self.require_in_sight(visit, node)?;
        let seen = self.node(node)?.seen().map(identity);
        let is_part = |hidden: &Hidden| seen.is_some_and(|seen| hidden.is_part_of_the_way(seen));
        if self.hidden().is_some_and(is_part) { Err(Error::Hidden) } else { Ok(()) }
    }
}
