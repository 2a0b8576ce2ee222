//! Memory: growth and bulk operations. The safety contract is that of [`super`].

use super::{VmContext, parts};
use crate::index::*;
use crate::trap::Trap;
use crate::vmctx::LinearMemory;

/// `memory.grow`: the old size in pages, or `u64::MAX` where growing is refused.
///
/// # Safety
/// See the parent module's documentation.
#[must_use]
pub unsafe fn memory_grow(ctx: *mut VmContext, memory: MemoryIndex, delta_pages: u64) -> u64 {
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    let budget = core.memory_budget_bytes();
    let id = instance.memory_ids[memory.index()];
    core.memories[id].grow(delta_pages, budget).unwrap_or(u64::MAX)
}

/// `memory.fill`.
///
/// # Errors
/// [`Trap::MemoryOutOfBounds`], and then nothing was written.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn memory_fill(
    ctx: *mut VmContext,
    memory: MemoryIndex,
    to: u64,
    value: u8,
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    let memory = &mut core.memories[instance.memory_ids[memory.index()]];
    memory.fill(to, value, len).ok_or(Trap::MemoryOutOfBounds)
}

/// `memory.copy`: `to` and `from` are memory and address each.
///
/// # Errors
/// [`Trap::MemoryOutOfBounds`], and then nothing was written.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn memory_copy(
    ctx: *mut VmContext,
    to: (MemoryIndex, u64),
    from: (MemoryIndex, u64),
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    let memory = |index: MemoryIndex| &core.memories[instance.memory_ids[index.index()]];
    LinearMemory::copy((memory(to.0), to.1), (memory(from.0), from.1), len).ok_or(Trap::MemoryOutOfBounds)
}

/// `memory.init`.
///
/// # Errors
/// [`Trap::MemoryOutOfBounds`], and then nothing was written.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn memory_init(
    ctx: *mut VmContext,
    memory: MemoryIndex,
    data: DataIndex,
    to: u64,
    from: u64,
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    let memory = &mut core.memories[instance.memory_ids[memory.index()]];
    let contents = range(instance.data(data), from, len).ok_or(Trap::MemoryOutOfBounds)?;
    memory.write(to, contents).ok_or(Trap::MemoryOutOfBounds)
}

/// `data.drop`.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn data_drop(ctx: *mut VmContext, data: DataIndex) {
    // SAFETY: as the caller promises.
    let (_, instance) = unsafe { parts(ctx) };
    instance.dropped_datas[data.index()] = true;
}

fn range(all: &[u8], start: u64, len: u64) -> Option<&[u8]> {
    let end = start.checked_add(len)?;
    all.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
