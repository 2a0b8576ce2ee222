//! Tables, as the embedder reaches them (core specification 4.2.8, "Table Instances").

use std::ops::Range;

use super::{Table, check_type};
use crate::error::Error;
use crate::store::{AsContext, AsContextMut, StoreCore, TableId};
use crate::types::{TableType, ValType};
use crate::value::Val;

impl Table {
    /// A table of its own, filled with `init`.
    ///
    /// # Errors
    /// Where a limit refuses it, or `init` is of another type.
    pub fn new(mut store: impl AsContextMut, ty: TableType, init: Val) -> Result<Table, Error> {
        Table::make(&mut store.as_context_mut().0.core, ty, init)
    }

    pub(super) fn make(core: &mut StoreCore, ty: TableType, init: Val) -> Result<Table, Error> {
        ty.size.check("table")?;
        check_type(core, init, ValType::Ref(ty.element))?;
        let [slot, _] = init.to_slots(core)?;
        let id = core.new_table(ty)?;
        core.tables[id].elements_mut().fill(slot);
        Ok(Table::from_id(id, core))
    }

    /// The type, with the current size as the minimum.
    ///
    /// # Errors
    /// Where the table is of another store.
    pub fn ty(self, store: impl AsContext) -> Result<TableType, Error> {
        let core = &store.as_context().0.core;
        Ok(core.tables[self.id(core)?].ty())
    }

    /// The element at `index`, if there is one.
    ///
    /// # Errors
    /// Where the table is of another store.
    pub fn get(self, mut store: impl AsContextMut, index: u64) -> Result<Option<Val>, Error> {
        let core = &mut store.as_context_mut().0.core;
        let table = &core.tables[self.id(core)?];
        let ty = ValType::Ref(table.ty().element);
        Ok(table.get(index).map(|slot| Val::from_slots([slot, 0], ty, core)))
    }

    /// Replaces the element at `index`.
    ///
    /// # Errors
    /// Where there is no such element, or the value is of another type.
    pub fn set(self, mut store: impl AsContextMut, index: u64, value: Val) -> Result<(), Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = self.id(core)?;
        let slot = element(core, id, value)?;
        let size = core.tables[id].len();
        let found =
            usize::try_from(index).ok().and_then(|index| core.tables[id].elements_mut().get_mut(index));
        *found.ok_or_else(|| Error::usage(format!("the table has no element {index}, it has {size}")))? =
            slot;
        Ok(())
    }

    /// How many elements there are.
    ///
    /// # Errors
    /// Where the table is of another store.
    pub fn size(self, store: impl AsContext) -> Result<u64, Error> {
        let core = &store.as_context().0.core;
        Ok(core.tables[self.id(core)?].len())
    }

    /// Grows by `delta` elements, which are `init`, and returns the old size.
    ///
    /// # Errors
    /// Where `init` is of another type; where the table's maximum, a limit or the store's limiter refuses it, and then nothing has changed.
    pub fn grow(self, mut store: impl AsContextMut, delta: u64, init: Val) -> Result<u64, Error> {
        let core = &mut store.as_context_mut().0.core;
        let grown = self.try_grow(core, delta, init)?;
        grown.ok_or_else(|| core.refused(|| table_cannot_grow(delta)))
    }

    /// None where it is refused.
    pub(super) fn try_grow(self, core: &mut StoreCore, delta: u64, init: Val) -> Result<Option<u64>, Error> {
        let id = self.id(core)?;
        let slot = element(core, id, init)?;
        Ok(core.grow_table(id, (delta, slot), || Ok(()))?)
    }

    /// Makes `count` elements from `start` on `value`.
    ///
    /// # Errors
    /// Where they are not all inside the table, and then nothing was written, or `value` is of another type.
    pub fn fill(self, mut store: impl AsContextMut, start: u64, value: Val, count: u64) -> Result<(), Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = self.id(core)?;
        let slot = element(core, id, value)?;
        let size = core.tables[id].len();
        let range = range(start, count, size)?;
        core.tables[id].elements_mut()[range].fill(slot);
        Ok(())
    }

    /// Copies `count` elements of `from`, from `from_start` on, to this table from `to_start` on, as if all were read before any is written.
    ///
    /// # Errors
    /// Where they are not all inside both tables, and then nothing was written; where elements of `from` may be what this table does not hold.
    pub fn copy(
        self,
        mut store: impl AsContextMut,
        to_start: u64,
        (from, from_start): (Table, u64),
        count: u64,
    ) -> Result<(), Error> {
        let core = &mut store.as_context_mut().0.core;
        let (to, from) = (self.id(core)?, from.id(core)?);
        let (have, want) = (core.tables[from].ty().element, core.tables[to].ty().element);
        if !core.engine().registry().ref_matches(have, want) {
            return Err(Error::usage(format!("a table of {want} cannot hold elements of a table of {have}")));
        }
        let to_range = range(to_start, count, core.tables[to].len())?;
        let from_range = range(from_start, count, core.tables[from].len())?;
        if to == from {
            core.tables[to].elements_mut().copy_within(from_range, to_range.start);
            return Ok(());
        }
        let [to, from] = core.two_tables(to, from);
        to.elements_mut()[to_range].copy_from_slice(&from.elements()[from_range]);
        Ok(())
    }
}

pub(super) fn table_cannot_grow(delta: u64) -> Error {
    Error::limit(format!("a table cannot grow by {delta} elements"))
}

/// The slot of a value that is to be an element of a table.
fn element(core: &mut StoreCore, table: TableId, value: Val) -> Result<u64, Error> {
    check_type(core, value, ValType::Ref(core.tables[table].ty().element))?;
    let [slot, _] = value.to_slots(core)?;
    Ok(slot)
}

/// The places of `count` elements of a table of `size`.
fn range(start: u64, count: u64, size: u64) -> Result<Range<usize>, Error> {
    match start.checked_add(count) {
        // No table has more elements than there are addresses.
        Some(end) if end <= size => Ok(start as usize..end as usize),
        _ => Err(Error::usage(format!(
            "{count} elements from {start} on are not inside the table, which has {size}"
        ))),
    }
}
