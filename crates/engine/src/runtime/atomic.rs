//! Waiting and waking. The safety contract is that of [`super`].
//!
//! None is inlined: these are long, and whoever calls them should stay short.

use std::time::Duration;

use super::memory::beyond;
use super::parts;
use crate::index::MemoryIndex;
use crate::out_of_bounds::OutOfBounds;
use crate::parking::WaitOutcome;
use crate::store::StoreCore;
use crate::trap::Trap;
use crate::vmctx::{LinearMemory, VmContext, atomic};

/// `memory.atomic.wait32`: 0 if woken, 1 if the cell does not hold `expected`, 2 if `timeout_ns`, unless negative, has passed.
///
/// # Errors
/// [`Trap::UnalignedAtomic`], [`Trap::ExpectedSharedMemory`], [`Trap::MemoryOutOfBounds`], [`Trap::Interrupted`],
/// [`Trap::DeadlineExceeded`].
///
/// # Safety
/// See the parent module's documentation.
#[inline(never)]
pub unsafe fn atomic_wait32(
    ctx: *mut VmContext,
    memory: MemoryIndex,
    address: u64,
    expected: u32,
    timeout_ns: i64,
) -> Result<u32, Trap> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`); the cell is inside the
    // memory, which does not move, and aligned.
    unsafe {
        let (core, cell) = wait_cell::<u32>(ctx, memory, address)?;
        wait(core, cell as usize, || atomic::u32::load(cell) == expected, timeout_ns)
    }
}

/// `memory.atomic.wait64`: as [`atomic_wait32`], for a cell of 64 bits.
///
/// # Errors
/// As [`atomic_wait32`].
///
/// # Safety
/// See the parent module's documentation.
#[inline(never)]
pub unsafe fn atomic_wait64(
    ctx: *mut VmContext,
    memory: MemoryIndex,
    address: u64,
    expected: u64,
    timeout_ns: i64,
) -> Result<u32, Trap> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`); the cell is inside the
    // memory, which does not move, and aligned.
    unsafe {
        let (core, cell) = wait_cell::<u64>(ctx, memory, address)?;
        wait(core, cell as usize, || atomic::u64::load(cell) == expected, timeout_ns)
    }
}

/// `memory.atomic.notify`: wakes at most `count` waiters, and says how many. A memory that is not shared has none.
///
/// # Errors
/// [`Trap::UnalignedAtomic`], [`Trap::MemoryOutOfBounds`].
///
/// # Safety
/// See the parent module's documentation.
#[inline(never)]
pub unsafe fn atomic_notify(
    ctx: *mut VmContext,
    memory: MemoryIndex,
    address: u64,
    count: u32,
) -> Result<u32, Trap> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, instance) = unsafe { parts(ctx) };
    let memory = &core.memories[instance.memory_ids[memory.index()]];
    let cell = cell::<u32>(&mut core.beyond, memory, address)?;
    match memory {
        LinearMemory::Own(_) => Ok(0),
        LinearMemory::Shared(_) => Ok(core.engine().parking().notify(cell as usize, count)),
    }
}

/// # Safety
/// As the parent module's functions.
unsafe fn wait_cell<'a, Cell>(
    ctx: *mut VmContext,
    memory: MemoryIndex,
    address: u64,
) -> Result<(&'a StoreCore, *mut Cell), Trap> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, instance) = unsafe { parts(ctx) };
    let memory = &core.memories[instance.memory_ids[memory.index()]];
    let cell = cell(&mut core.beyond, memory, address)?;
    match memory {
        LinearMemory::Own(_) => Err(Trap::ExpectedSharedMemory),
        LinearMemory::Shared(_) => Ok((core, cell)),
    }
}

/// The cell at an address, which must be a multiple of the cell's size and inside the memory.
fn cell<Cell>(
    noted: &mut Option<OutOfBounds>,
    memory: &LinearMemory,
    address: u64,
) -> Result<*mut Cell, Trap> {
    let size = size_of::<Cell>() as u64;
    if !address.is_multiple_of(size) {
        return Err(Trap::UnalignedAtomic);
    }
    memory.range(address, size).map(<*mut u8>::cast).ok_or_else(|| beyond(noted, memory, address, size))
}

/// Waits at a cell, and traps where the store's owner has asked for that meanwhile.
fn wait(
    core: &StoreCore,
    cell: usize,
    is_expected: impl FnOnce() -> bool,
    timeout_ns: i64,
) -> Result<u32, Trap> {
    let is_interrupted = || core.is_stop_requested();
    let place = (core.vm() as usize, cell);
    match core.engine().parking().wait(place, is_expected, timeout(timeout_ns), is_interrupted) {
        WaitOutcome::Interrupted => core.stop_if_asked().and(Err(Trap::Interrupted)),
        outcome => Ok(outcome as u32),
    }
}

fn timeout(timeout_ns: i64) -> Option<Duration> {
    u64::try_from(timeout_ns).ok().map(Duration::from_nanos)
}
