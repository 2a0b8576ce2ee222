//! Tables: growth and bulk operations. The safety contract is that of [`super`].

use super::{VmContext, parts};
use crate::index::*;
use crate::trap::Trap;

/// A 64-bit table index or length as 32 bits: what does not fit becomes the greatest number, which is beyond the end of every
/// table. So no other table operation needs to know of 64-bit indices.
#[inline(always)]
#[must_use]
pub fn narrow_index(index: u64) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// `table.grow`: the old size, or `u64::MAX` where growing is refused.
///
/// # Safety
/// See the parent module's documentation.
#[must_use]
pub unsafe fn table_grow(ctx: *mut VmContext, table: TableIndex, delta: u64, value: u64) -> u64 {
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    core.tables[instance.table_ids[table.index()]].grow(delta, value).unwrap_or(u64::MAX)
}

/// `table.fill`.
///
/// # Errors
/// [`Trap::TableOutOfBounds`], and then nothing was written.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn table_fill(
    ctx: *mut VmContext,
    table: TableIndex,
    to: u64,
    value: u64,
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    let elements = core.tables[instance.table_ids[table.index()]].elements_mut();
    range_mut(elements, to, len).ok_or(Trap::TableOutOfBounds)?.fill(value);
    Ok(())
}

/// `table.copy`: `to` and `from` are table and index each.
///
/// # Errors
/// [`Trap::TableOutOfBounds`], and then nothing was written.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn table_copy(
    ctx: *mut VmContext,
    to: (TableIndex, u64),
    from: (TableIndex, u64),
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    let (to_id, from_id) = (instance.table_ids[to.0.index()], instance.table_ids[from.0.index()]);
    let copied = if to_id == from_id {
        copy_within(core.tables[to_id].elements_mut(), to.1, from.1, len)
    } else {
        let [to_table, from_table] = core.two_tables(to_id, from_id);
        copy_between(to_table.elements_mut(), to.1, from_table.elements_mut(), from.1, len)
    };
    copied.ok_or(Trap::TableOutOfBounds)
}

/// `table.init`.
///
/// # Errors
/// [`Trap::TableOutOfBounds`], and then nothing was written.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn table_init(
    ctx: *mut VmContext,
    table: TableIndex,
    elem: ElemIndex,
    to: u64,
    from: u64,
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    let elements = core.tables[instance.table_ids[table.index()]].elements_mut();
    copy_between(elements, to, instance.elem(elem), from, len).ok_or(Trap::TableOutOfBounds)
}

/// `elem.drop`.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn elem_drop(ctx: *mut VmContext, elem: ElemIndex) {
    // SAFETY: as the caller promises.
    let (_, instance) = unsafe { parts(ctx) };
    instance.elems[elem.index()] = None;
}

fn range_mut<E>(all: &mut [E], start: u64, len: u64) -> Option<&mut [E]> {
    let end = start.checked_add(len)?;
    all.get_mut(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

fn copy_within<E: Copy>(all: &mut [E], to: u64, from: u64, len: u64) -> Option<()> {
    let to_end = usize::try_from(to.checked_add(len)?).ok()?;
    let from_end = usize::try_from(from.checked_add(len)?).ok()?;
    if to_end > all.len() || from_end > all.len() {
        return None;
    }
    all.copy_within(from as usize..from_end, to as usize);
    Some(())
}

pub(crate) fn copy_between<E: Copy>(
    to_all: &mut [E],
    to: u64,
    from_all: &[E],
    from: u64,
    len: u64,
) -> Option<()> {
    let from_end = usize::try_from(from.checked_add(len)?).ok()?;
    let source = from_all.get(usize::try_from(from).ok()?..from_end)?;
    range_mut(to_all, to, len)?.copy_from_slice(source);
    Some(())
}
