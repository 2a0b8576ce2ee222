//! What a tree makes the host hold in memory, and the account that bounds it.
//!
//! What must stay true: everything that grows with what a guest does is taken here before it is allocated, at what it costs
//! the allocator and not at what the guest sees of it, and given back when it is freed. No other file knows a price.
//!
//! Prices are upper estimates: of the maps' entries with the room that their growth leaves empty, and of what an allocator adds.

use innkeeper_engine::{Budget, BudgetKind};

use super::node::{Node, Origin};
use crate::host::error::Error;

/// A node without its names, and without the bytes of a file or the text of a link.
pub(super) const NODE_BYTES: u64 = allocation_bytes(size_of::<Node>() as u64) + HASH_SLOT_BYTES;

/// What a node holds in addition that stands for something beneath.
pub(super) const ORIGIN_BYTES: u64 = allocation_bytes(size_of::<Origin>() as u64) + HASH_SLOT_BYTES;

/// The entry of a name in its directory.
pub(super) const NAME_SLOT_BYTES: u64 = 64;

/// The entry of a name in the list of what a directory had beneath.
pub(super) const LOWER_SLOT_BYTES: u64 = 48;

/// The entry of a piece among its file's.
pub(super) const PIECE_SLOT_BYTES: u64 = 88;

/// An open handle.
pub(super) const HANDLE_BYTES: u64 = 128;

/// Sixteen bytes and a control byte, in a table that was just doubled while the old one was still there.
const HASH_SLOT_BYTES: u64 = 64;

/// What the allocator takes for so many bytes.
pub(super) const fn allocation_bytes(bytes: u64) -> u64 {
    (bytes + 8).next_multiple_of(16)
}

/// The text of a name, which all its entries share.
pub(super) const fn name_bytes(length: usize) -> u64 {
    // Two counters stand before the text.
    allocation_bytes(length as u64 + 16)
}

/// The guest's budget is asked for so much at a time.
const STEP_BYTES: u64 = 64 * 1024;

/// Bytes that a tree may hold, and those that it does. They count towards the budget of the guest, too.
#[derive(Debug)]
pub(super) struct Account {
    used_bytes: u64,
    limit_bytes: u64,
    /// What handles take, which a full tree does not refuse: names are listed to be removed.
    handle_bytes: u64,
    budget: Budget,
    charged_bytes: u64,
}

impl Account {
    pub(super) fn new(budget: &Budget, limit_bytes: u64) -> Account {
        Account { used_bytes: 0, limit_bytes, handle_bytes: 0, budget: budget.clone(), charged_bytes: 0 }
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; then nothing was taken.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), Error> {
        let used = self.used_bytes.checked_add(bytes).ok_or(Error::NoSpace)?;
        if used > self.limit_bytes {
            return Err(Error::NoSpace);
        }
        self.settle(used.saturating_add(self.handle_bytes))?;
        self.used_bytes = used;
        Ok(())
    }

    pub(super) fn give_back(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.used_bytes, "more is given back than was taken");
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
        // Less is never refused.
        let _ = self.settle(self.used_bytes.saturating_add(self.handle_bytes));
    }

    /// Gives bytes back and takes others in their place: as one step, so that nobody gets between.
    ///
    /// # Errors
    /// [`Error::NoSpace`]; then nothing has changed.
    pub(super) fn exchange(&mut self, given: u64, taken: u64) -> Result<(), Error> {
        if let Some(more) = taken.checked_sub(given) {
            return self.take(more);
        }
        self.give_back(given - taken);
        Ok(())
    }

    /// Takes what a handle costs.
    ///
    /// # Errors
    /// [`Error::NoMemory`].
    pub(super) fn take_handle(&mut self) -> Result<(), Error> {
        let handles = self.handle_bytes + HANDLE_BYTES;
        self.settle(self.used_bytes.saturating_add(handles)).map_err(|_| Error::NoMemory)?;
        self.handle_bytes = handles;
        Ok(())
    }

    pub(super) fn give_back_handle(&mut self) {
        self.handle_bytes = self.handle_bytes.saturating_sub(HANDLE_BYTES);
    }

    /// Bytes that may still be taken of the tree's own limit; the guest's budget can refuse them all the same.
    pub(super) fn left_bytes(&self) -> u64 {
        self.limit_bytes - self.used_bytes
    }

    /// Has so much charged to the guest's budget, or somewhat more.
    fn settle(&mut self, bytes: u64) -> Result<(), Error> {
        let charged = self.charged_bytes;
        if bytes <= charged && charged - bytes <= 2 * STEP_BYTES {
            return Ok(());
        }
        let wanted = bytes.next_multiple_of(STEP_BYTES);
        match wanted.checked_sub(charged) {
            Some(more) => self.budget.charge(BudgetKind::Tree, more).map_err(|_| Error::NoSpace)?,
            None => self.budget.release(BudgetKind::Tree, charged - wanted),
        }
        self.charged_bytes = wanted;
        Ok(())
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.budget.release(BudgetKind::Tree, self.charged_bytes);
    }
}
