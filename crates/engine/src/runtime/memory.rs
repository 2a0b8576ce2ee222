//! Memory: growth and bulk operations. The safety contract is that of [`super`].

use super::parts;
use super::safepoint::heed_stop;
use crate::index::*;
use crate::portions::{Order, is_one_portion, portions, portions_towards};
use crate::trap::Trap;
use crate::vmctx::{LinearMemory, VmContext, VmStore};

/// Whether an access of a guest's memory may fault at an address: it is in what is reserved for one of the store's. Safe to ask in a signal handler that has
/// interrupted machine code.
///
/// # Safety
/// `vm` is the record of a store whose machine code runs on this thread, and has called nothing that has not returned.
#[must_use]
pub unsafe fn may_fault_at(vm: *mut VmStore, address: usize) -> bool {
    // SAFETY: `core` was set by the call that the activation is in; machine code borrows nothing of it, so that it is as whoever changed it last has left it.
    unsafe { (*super::core_of(vm)).memories.iter().any(|memory| memory.may_fault_at(address)) }
}

/// `memory.grow`: the old size in pages, or `u64::MAX` where growing is refused.
///
/// # Safety
/// See the parent module's documentation.
#[must_use]
pub unsafe fn memory_grow(ctx: *mut VmContext, memory: MemoryIndex, delta_pages: u64) -> u64 {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, instance) = unsafe { parts(ctx) };
    let id = instance.memory_ids[memory.index()];
    core.grow_memory(id, delta_pages).unwrap_or(u64::MAX)
}

/// `memory.fill`.
///
/// # Errors
/// [`Trap::MemoryOutOfBounds`], and then nothing was written. [`Trap::Interrupted`] and [`Trap::DeadlineExceeded`] in the middle of very many bytes.
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
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, instance) = unsafe { parts(ctx) };
    let memory = &mut core.memories[instance.memory_ids[memory.index()]];
    if is_one_portion(len as usize, 1) {
        memory.fill(to, value, len).ok_or(Trap::MemoryOutOfBounds)?;
        // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
        return unsafe { heed_stop(ctx) };
    }
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    unsafe { fill_in_portions(ctx, memory, to, value, len) }
}

/// The filling of very many bytes, apart from that of few.
///
/// # Safety
/// See the parent module's documentation.
#[cold]
#[inline(never)]
unsafe fn fill_in_portions(
    ctx: *mut VmContext,
    memory: &mut LinearMemory,
    to: u64,
    value: u8,
    len: u64,
) -> Result<(), Trap> {
    memory.range(to, len).ok_or(Trap::MemoryOutOfBounds)?;
    for portion in portions(len as usize, 1) {
        let start = to + portion.start as u64;
        memory.fill(start, value, portion.len() as u64).ok_or(Trap::MemoryOutOfBounds)?;
        // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
        unsafe { heed_stop(ctx)? };
    }
    Ok(())
}

/// `memory.copy`: `to` and `from` are memory and address each.
///
/// # Errors
/// As [`memory_fill`].
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn memory_copy(
    ctx: *mut VmContext,
    to: (MemoryIndex, u64),
    from: (MemoryIndex, u64),
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, instance) = unsafe { parts(ctx) };
    let memory = |index: MemoryIndex| &core.memories[instance.memory_ids[index.index()]];
    if is_one_portion(len as usize, 1) {
        LinearMemory::copy((memory(to.0), to.1), (memory(from.0), from.1), len)
            .ok_or(Trap::MemoryOutOfBounds)?;
        // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
        return unsafe { heed_stop(ctx) };
    }
    for (memory, start) in [(memory(to.0), to.1), (memory(from.0), from.1)] {
        memory.range(start, len).ok_or(Trap::MemoryOutOfBounds)?;
    }
    for portion in portions_towards(len as usize, 1, Order::of_copy(to.1, from.1)) {
        let (start, len) = (portion.start as u64, portion.len() as u64);
        LinearMemory::copy((memory(to.0), to.1 + start), (memory(from.0), from.1 + start), len)
            .ok_or(Trap::MemoryOutOfBounds)?;
        // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
        unsafe { heed_stop(ctx)? };
    }
    Ok(())
}

/// `memory.init`.
///
/// # Errors
/// As [`memory_fill`].
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
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, instance) = unsafe { parts(ctx) };
    let memory = &mut core.memories[instance.memory_ids[memory.index()]];
    let contents = range(instance.data(data), from, len).ok_or(Trap::MemoryOutOfBounds)?;
    memory.range(to, len).ok_or(Trap::MemoryOutOfBounds)?;
    for portion in portions(contents.len(), 1) {
        let start = to + portion.start as u64;
        memory.write(start, &contents[portion]).ok_or(Trap::MemoryOutOfBounds)?;
        // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
        unsafe { heed_stop(ctx)? };
    }
    Ok(())
}

/// `data.drop`.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn data_drop(ctx: *mut VmContext, data: DataIndex) {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (_, instance) = unsafe { parts(ctx) };
    instance.dropped_datas[data.index()] = true;
}

fn range(all: &[u8], start: u64, len: u64) -> Option<&[u8]> {
    let end = start.checked_add(len)?;
    all.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}
