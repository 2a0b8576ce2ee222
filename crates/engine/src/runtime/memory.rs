//! Memory: growth and bulk operations. The safety contract is that of [`super`].

use super::growth::ReasonInRecord;
use super::parts;
use super::safepoint::heed_stop;
use crate::index::*;
use crate::out_of_bounds::OutOfBounds;
use crate::portions::{Order, is_one_portion, portions, portions_towards};
use crate::store::StoreCore;
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

/// Notes which access of a guest's memory has faulted, before the trap is told of; nothing where the address is none of a memory's.
///
/// # Safety
/// As [`may_fault_at`].
pub unsafe fn note_fault(vm: *mut VmStore, address: usize) {
    // SAFETY: as in `may_fault_at`.
    let core = unsafe { &mut *super::core_of(vm) };
    core.beyond = core.memories.iter().find_map(|memory| {
        let guest_address = memory.guest_address(address)?;
        Some(OutOfBounds::fault(guest_address, memory.len_bytes() as u64))
    });
}

/// Notes what an access asked for that is out of bounds, before the trap is told of.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn note_beyond_memory(ctx: *mut VmContext, memory_bytes: usize, address: u64, len: u64) {
    // SAFETY: handlers pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, _) = unsafe { parts(ctx) };
    core.beyond = Some(OutOfBounds::memory(address, len, memory_bytes as u64));
}

/// The trap for a range that is out of a memory's bounds, which is noted.
pub(super) fn beyond(noted: &mut Option<OutOfBounds>, memory: &LinearMemory, start: u64, len: u64) -> Trap {
    *noted = Some(OutOfBounds::memory(start, len, memory.len_bytes() as u64));
    Trap::MemoryOutOfBounds
}

/// `memory.grow`: the old size in pages, or `u64::MAX` where growing is refused.
///
/// # Errors
/// Where a limiter would have to be waited for and cannot be, or the call is given up meanwhile.
///
/// # Safety
/// See the parent module's documentation.
pub unsafe fn memory_grow(
    ctx: *mut VmContext,
    memory: MemoryIndex,
    delta_pages: u64,
) -> Result<u64, ReasonInRecord> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    unsafe {
        let vm = (*ctx).store;
        let id = (*super::instance_of(ctx)).memory_ids[memory.index()];
        let grow = |core: &mut StoreCore| Ok(core.grow_memory(id, delta_pages));
        super::growth::grow(vm, grow).map(|old| old.unwrap_or(u64::MAX))
    }
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
        if memory.fill(to, value, len).is_none() {
            return Err(beyond(&mut core.beyond, memory, to, len));
        }
        // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
        return unsafe { heed_stop(ctx) };
    }
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    unsafe { fill_in_portions(ctx, (memory, &mut core.beyond), to, value, len) }
}

/// The filling of very many bytes, apart from that of few.
///
/// # Safety
/// See the parent module's documentation.
#[cold]
#[inline(never)]
unsafe fn fill_in_portions(
    ctx: *mut VmContext,
    (memory, noted): (&mut LinearMemory, &mut Option<OutOfBounds>),
    to: u64,
    value: u8,
    len: u64,
) -> Result<(), Trap> {
    memory.range(to, len).ok_or_else(|| beyond(noted, memory, to, len))?;
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
    if is_one_portion(len as usize, 1)
        && LinearMemory::copy((memory(to.0), to.1), (memory(from.0), from.1), len).is_some()
    {
        // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
        return unsafe { heed_stop(ctx) };
    }
    for (memory, start) in [(memory(to.0), to.1), (memory(from.0), from.1)] {
        memory.range(start, len).ok_or_else(|| beyond(&mut core.beyond, memory, start, len))?;
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
    if memory.range(to, len).is_none() {
        return Err(beyond(&mut core.beyond, memory, to, len));
    }
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
