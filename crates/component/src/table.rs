//! The one table of handles that each component instance has (canonical ABI, "Table State").
//!
//! Indices begin at 1, and the index that was freed last is given out first: guests can see that.

use innkeeper_engine::{BudgetKind, Charge};

use crate::resource::ResourceTypeId;
use crate::trap::{ResourceOwner, Trap};

/// A handle's entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResourceHandle {
    pub(crate) ty: ResourceTypeId,
    pub(crate) rep: u32,
    pub(crate) kind: HandleKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandleKind {
    /// How often it is lent.
    Own { lends: u32 },
    /// In which call or task it was borrowed, and how often it is lent on.
    Borrow { call: u32, lends: u32 },
    /// It is no resource's, but a waitable's.
    Waitable,
    /// It is a waitable set's.
    Set,
}

/// What a handle is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandleEntry {
    Resource,
    /// Its place among the store's.
    Waitable(u32),
    Set(u32),
}

impl ResourceHandle {
    pub(crate) fn own(ty: ResourceTypeId, rep: u32) -> ResourceHandle {
        ResourceHandle { ty, rep, kind: HandleKind::Own { lends: 0 } }
    }

    /// A handle of the waitable at a place of the store's.
    pub(crate) fn waitable(place: u32) -> ResourceHandle {
        ResourceHandle { ty: NO_TYPE, rep: place, kind: HandleKind::Waitable }
    }

    /// A handle of the waitable set at a place of the store's.
    pub(crate) fn set(place: u32) -> ResourceHandle {
        ResourceHandle { ty: NO_TYPE, rep: place, kind: HandleKind::Set }
    }

    /// Notes that it is lent once more.
    pub(crate) fn lend(&mut self) {
        if let Some(lends) = self.lends_mut() {
            *lends += 1;
        }
    }

    fn lends_mut(&mut self) -> Option<&mut u32> {
        match &mut self.kind {
            HandleKind::Own { lends } | HandleKind::Borrow { lends, .. } => Some(lends),
            HandleKind::Waitable | HandleKind::Set => None,
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct HandleTable {
    /// The first is nobody's.
    entries: Vec<Option<ResourceHandle>>,
    free: Vec<u32>,
    /// How many entries there is room for.
    room: usize,
    charge: Option<Charge>,
}

/// What no resource is of.
const NO_TYPE: ResourceTypeId = ResourceTypeId(u32::MAX);

/// The greatest index (canonical ABI, `Table.MAX_LENGTH`).
const MAX_INDEX: usize = (1 << 28) - 1;

/// Entries that there is room for at first.
const FIRST_ENTRIES: usize = 64;

impl Default for HandleTable {
    fn default() -> Self {
        HandleTable { entries: vec![None], free: Vec::new(), room: 1, charge: None }
    }
}

impl HandleTable {
    pub(crate) fn add(
        &mut self,
        handle: ResourceHandle,
        budget: &innkeeper_engine::Budget,
    ) -> Result<u32, innkeeper_engine::Error> {
        if let Some(index) = self.free.pop() {
            self.entries[index as usize] = Some(handle);
            return Ok(index);
        }
        let index = self.entries.len();
        if index > MAX_INDEX {
            return Err(Trap::TooManyHandles.into());
        }
        if index >= self.room {
            self.grow((self.room * 2).max(FIRST_ENTRIES), budget)?;
        }
        self.entries.push(Some(handle));
        Ok(index as u32)
    }

    /// Makes room for so many entries, and for all of them to be free at once.
    fn grow(
        &mut self,
        entries: usize,
        budget: &innkeeper_engine::Budget,
    ) -> Result<(), innkeeper_engine::Error> {
        let bytes = entries * (size_of::<Option<ResourceHandle>>() + size_of::<u32>());
        match &mut self.charge {
            Some(charge) => charge.set(bytes as u64)?,
            None => self.charge = Some(budget.hold(BudgetKind::Descriptor, bytes as u64)?),
        }
        let no_memory = |_| innkeeper_engine::Error::limit("the system has no memory for more handles");
        self.entries.try_reserve_exact(entries - self.entries.len()).map_err(no_memory)?;
        self.free.try_reserve_exact(entries - self.free.len()).map_err(no_memory)?;
        self.room = entries;
        Ok(())
    }

    pub(crate) fn get(&mut self, index: u32) -> Result<&mut ResourceHandle, Trap> {
        let entry = self.entries.get_mut(index as usize).and_then(Option::as_mut);
        entry.ok_or(Trap::UnknownHandle(index))
    }

    /// The entry of a handle, to look at.
    pub(crate) fn peek(&self, index: u32) -> Option<&ResourceHandle> {
        self.entries.get(index as usize)?.as_ref()
    }

    /// The entry of a handle that must be of a type.
    pub(crate) fn get_of(
        &mut self,
        index: u32,
        ty: ResourceTypeId,
        owners: impl Fn(ResourceTypeId) -> ResourceOwner,
    ) -> Result<&mut ResourceHandle, Trap> {
        let entry = self.get(index)?;
        if entry.ty == NO_TYPE {
            return Err(Trap::WrongHandleKind { handle: index, expected: "resource" });
        }
        if entry.ty != ty {
            let (expected, found) = (owners(ty), owners(entry.ty));
            return Err(Trap::WrongHandleType { handle: index, expected, found });
        }
        Ok(entry)
    }

    /// What a handle is of.
    pub(crate) fn entry(&mut self, index: u32) -> Result<HandleEntry, Trap> {
        let entry = self.get(index)?;
        Ok(match entry.kind {
            HandleKind::Waitable => HandleEntry::Waitable(entry.rep),
            HandleKind::Set => HandleEntry::Set(entry.rep),
            HandleKind::Own { .. } | HandleKind::Borrow { .. } => HandleEntry::Resource,
        })
    }

    /// Removes an entry, which is there.
    pub(crate) fn remove(&mut self, index: u32) {
        self.entries[index as usize] = None;
        self.free.push(index);
    }

    /// Ends what [`ResourceHandle::lend`] has begun.
    pub(crate) fn give_back(&mut self, index: u32) {
        let entry = self.entries.get_mut(index as usize).and_then(Option::as_mut);
        if let Some(lends) = entry.and_then(ResourceHandle::lends_mut) {
            *lends = lends.saturating_sub(1);
        }
    }

    /// What the handles that own something are of, and what stands for it.
    pub(crate) fn owned(&self) -> impl Iterator<Item = (ResourceTypeId, u32)> + '_ {
        let owned =
            self.entries.iter().flatten().filter(|handle| matches!(handle.kind, HandleKind::Own { .. }));
        owned.map(|handle| (handle.ty, handle.rep))
    }

    /// Whether a handle is lent.
    pub(crate) fn is_lent(handle: &ResourceHandle) -> bool {
        match handle.kind {
            HandleKind::Own { lends } | HandleKind::Borrow { lends, .. } => lends > 0,
            HandleKind::Waitable | HandleKind::Set => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C61, C63, C70: indices begin at 1, the last freed is the first given out, and what is gone is unknown.
    #[test]
    fn c70_indices_are_reused_last_in_first_out() {
        let budget = innkeeper_engine::Budget::new(Some(64 << 20), "a test");
        let mut table = HandleTable::default();
        let ty = ResourceTypeId(0);
        let add = |table: &mut HandleTable, rep| table.add(ResourceHandle::own(ty, rep), &budget).unwrap();
        assert_eq!([add(&mut table, 10), add(&mut table, 20), add(&mut table, 30)], [1, 2, 3]);
        table.remove(1);
        table.remove(3);
        assert_eq!(table.get(3).unwrap_err(), Trap::UnknownHandle(3));
        assert_eq!(table.get(0).unwrap_err(), Trap::UnknownHandle(0));
        assert_eq!(table.get(u32::MAX).unwrap_err(), Trap::UnknownHandle(u32::MAX));
        assert_eq!([add(&mut table, 40), add(&mut table, 50), add(&mut table, 60)], [3, 1, 4]);
    }

    /// C70: ten thousand handles made and dropped again and again take no more room.
    #[test]
    fn c70_a_table_that_is_emptied_does_not_grow() {
        let budget = innkeeper_engine::Budget::new(Some(64 << 20), "a test");
        let mut table = HandleTable::default();
        for _ in 0..50 {
            let made: Vec<u32> = (0..10_000)
                .map(|rep| table.add(ResourceHandle::own(ResourceTypeId(0), rep), &budget).unwrap())
                .collect();
            made.into_iter().for_each(|index| table.remove(index));
        }
        assert_eq!(table.entries.len(), 10_001);
    }
}
