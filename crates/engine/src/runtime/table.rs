//! Tables: growth and bulk operations. The safety contract is that of [`super`].

use super::growth::ReasonInRecord;
use super::parts;
use super::safepoint::heed_stop;
use crate::index::*;
use crate::out_of_bounds::OutOfBounds;
use crate::portions::{Order, is_one_portion, portions, portions_towards};
use crate::store::StoreCore;
use crate::trap::Trap;
use crate::vmctx::VmContext;

/// A 64-bit table index or length as 32 bits: what does not fit becomes the greatest number, which is beyond the end of every
/// table. So no other table operation needs to know of 64-bit indices.
#[inline(always)]
#[must_use]
pub fn narrow_index(index: u64) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Notes which element was asked for that is out of a table's bounds, before the trap is told of.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn note_beyond_table(ctx: *mut VmContext, element: u64, elements: u64) {
    // SAFETY: handlers pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, _) = unsafe { parts(ctx) };
    core.beyond = Some(OutOfBounds::Table { element, count: 1, elements });
}

/// Notes the first range that is not inside of a table's elements, of which there are so many.
fn note_beyond<const RANGES: usize>(
    noted: &mut Option<OutOfBounds>,
    count: u64,
    ranges: [(usize, u64); RANGES],
) {
    let is_beyond =
        |(elements, start): &(usize, u64)| start.checked_add(count).is_none_or(|end| end > *elements as u64);
    let found = ranges.into_iter().find(is_beyond);
    *noted =
        found.map(|(elements, element)| OutOfBounds::Table { element, count, elements: elements as u64 });
}

/// `table.grow`: the old size, or `u64::MAX` where growing is refused.
///
/// # Errors
/// [`Trap::Interrupted`] and [`Trap::DeadlineExceeded`] in the middle of very many elements, and then the table is as it was.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn table_grow(
    ctx: *mut VmContext,
    table: TableIndex,
    delta: u64,
    value: u64,
) -> Result<u64, ReasonInRecord> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    unsafe {
        let vm = (*ctx).store;
        let table = (*super::instance_of(ctx)).table_ids[table.index()];
        // What is looked at between portions is none of the table.
        let grow = |core: &mut StoreCore| core.grow_table(table, (delta, value), || heed_stop(ctx));
        super::growth::grow(vm, grow).map(|old| old.unwrap_or(u64::MAX))
    }
}

/// `table.fill`.
///
/// # Errors
/// [`Trap::TableOutOfBounds`], and then nothing was written. [`Trap::Interrupted`] and [`Trap::DeadlineExceeded`] in the middle of very many elements.
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
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, instance) = unsafe { parts(ctx) };
    let elements = core.tables[instance.table_ids[table.index()]].elements_mut();
    let size = elements.len();
    let Some(elements) = range_mut(elements, to, len) else {
        note_beyond(&mut core.beyond, len, [(size, to)]);
        return Err(Trap::TableOutOfBounds);
    };
    if is_one_portion(elements.len(), ELEMENT_BYTES) {
        elements.fill(value);
        // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`); a table is none of
        // what is looked at.
        return unsafe { heed_stop(ctx) };
    }
    for portion in portions(elements.len(), ELEMENT_BYTES) {
        elements[portion].fill(value);
        // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`); a table is none of
        // what is looked at.
        unsafe { heed_stop(ctx)? };
    }
    Ok(())
}

/// `table.copy`: `to` and `from` are table and index each.
///
/// # Errors
/// As [`table_fill`].
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn table_copy(
    ctx: *mut VmContext,
    to: (TableIndex, u64),
    from: (TableIndex, u64),
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, instance) = unsafe { parts(ctx) };
    let (to_id, from_id) = (instance.table_ids[to.0.index()], instance.table_ids[from.0.index()]);
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`); a table is none of what
    // is looked at.
    let heed = || unsafe { heed_stop(ctx) };
    if to_id == from_id {
        let elements = core.tables[to_id].elements_mut();
        note_beyond(&mut core.beyond, len, [(elements.len(), to.1), (elements.len(), from.1)]);
        return copy_within(elements, to.1, from.1, len, heed);
    }
    let [to_table, from_table] = core.two_tables(to_id, from_id);
    let copied = copy_between((to_table.elements_mut(), to.1), (from_table.elements(), from.1), len, heed);
    copied.unwrap_or_else(|| {
        let sizes = [to_id, from_id].map(|id| core.tables[id].elements().len());
        note_beyond(&mut core.beyond, len, [(sizes[0], to.1), (sizes[1], from.1)]);
        Err(Trap::TableOutOfBounds)
    })
}

/// `table.init`.
///
/// # Errors
/// As [`table_fill`].
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
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, instance) = unsafe { parts(ctx) };
    let elements = core.tables[instance.table_ids[table.index()]].elements_mut();
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`); neither tables nor
    // segments are what is looked at.
    let heed = || unsafe { heed_stop(ctx) };
    let size = elements.len();
    copy_between((elements, to), (instance.elem(elem), from), len, heed).unwrap_or_else(|| {
        note_beyond(&mut core.beyond, len, [(size, to)]);
        Err(Trap::TableOutOfBounds)
    })
}

/// `elem.drop`.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn elem_drop(ctx: *mut VmContext, elem: ElemIndex) {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (_, instance) = unsafe { parts(ctx) };
    instance.elems[elem.index()] = None;
}

fn range_mut<E>(all: &mut [E], start: u64, len: u64) -> Option<&mut [E]> {
    let end = start.checked_add(len)?;
    all.get_mut(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

fn copy_within(
    all: &mut [u64],
    to: u64,
    from: u64,
    len: u64,
    heed: impl Fn() -> Result<(), Trap>,
) -> Result<(), Trap> {
    for start in [to, from] {
        range_mut(all, start, len).ok_or(Trap::TableOutOfBounds)?;
    }
    let (to_start, from_start) = (to as usize, from as usize);
    for portion in portions_towards(len as usize, ELEMENT_BYTES, Order::of_copy(to, from)) {
        all.copy_within(from_start + portion.start..from_start + portion.end, to_start + portion.start);
        heed()?;
    }
    Ok(())
}

/// Copies `len` elements between what does not overlap, `to` and `from` being all there is and where to begin each; `heed` is asked after each portion whether
/// to go on. None where a range is not inside, and then nothing was written.
pub(crate) fn copy_between<E: Copy>(
    to: (&mut [E], u64),
    from: (&[E], u64),
    len: u64,
    heed: impl Fn() -> Result<(), Trap>,
) -> Option<Result<(), Trap>> {
    let from_end = usize::try_from(from.1.checked_add(len)?).ok()?;
    let source = from.0.get(usize::try_from(from.1).ok()?..from_end)?;
    let target = range_mut(to.0, to.1, len)?;
    for portion in portions(source.len(), size_of::<E>()) {
        target[portion.clone()].copy_from_slice(&source[portion]);
        if let Err(trap) = heed() {
            return Some(Err(trap));
        }
    }
    Some(Ok(()))
}

const ELEMENT_BYTES: usize = size_of::<u64>();
