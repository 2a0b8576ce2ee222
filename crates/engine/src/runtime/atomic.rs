//! Waiting and waking. The safety contract is that of [`super`].
//!
//! None is inlined: these are long, and whoever calls them should stay short.

use std::time::Duration;

use super::memory::beyond;
use super::{ReasonInRecord, parts};
use crate::index::MemoryIndex;
use crate::out_of_bounds::OutOfBounds;
#[cfg(feature = "async")]
use crate::parking::Parked;
use crate::parking::WaitOutcome;
use crate::trap::Trap;
use crate::vmctx::{LinearMemory, Pending, VmContext, VmStore, atomic};

/// `memory.atomic.wait32`: 0 if woken, 1 if the cell does not hold `expected`, 2 if `timeout_ns`, unless negative, has passed. A call that can wait holds no thread meanwhile.
///
/// # Errors
/// The reason is in the record: [`Trap::UnalignedAtomic`], [`Trap::ExpectedSharedMemory`], [`Trap::MemoryOutOfBounds`], [`Trap::Interrupted`],
/// [`Trap::DeadlineExceeded`], that the call is given up meanwhile, or what the operating system refuses.
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
) -> Result<u32, ReasonInRecord> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`); the cell is inside the
    // memory, which does not move, and aligned.
    unsafe {
        let vm = (*ctx).store;
        let cell = wait_cell::<u32>(ctx, memory, address)
            .map_err(|trap| ReasonInRecord::put(vm, Pending::Trap(trap)))?;
        wait(vm, cell as usize, || atomic::u32::load(cell) == expected, timeout_ns)
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
) -> Result<u32, ReasonInRecord> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`); the cell is inside the
    // memory, which does not move, and aligned.
    unsafe {
        let vm = (*ctx).store;
        let cell = wait_cell::<u64>(ctx, memory, address)
            .map_err(|trap| ReasonInRecord::put(vm, Pending::Trap(trap)))?;
        wait(vm, cell as usize, || atomic::u64::load(cell) == expected, timeout_ns)
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
        LinearMemory::Shared(_) => {
            let (count, woken) = core.engine().parking().notify(cell as usize, count);
            #[cfg(feature = "async")]
            if !woken.is_empty() {
                // SAFETY: as above.
                unsafe { super::on_host((*ctx).store, || woken.ring()) };
            }
            #[cfg(not(feature = "async"))]
            drop(woken);
            Ok(count)
        }
    }
}

/// # Safety
/// As the parent module's functions.
unsafe fn wait_cell<Cell>(ctx: *mut VmContext, memory: MemoryIndex, address: u64) -> Result<*mut Cell, Trap> {
    // SAFETY: handlers and libcalls pass the context that they run with, whose store this activation alone has (the contract of `runtime`).
    let (core, instance) = unsafe { parts(ctx) };
    let memory = &core.memories[instance.memory_ids[memory.index()]];
    let cell = cell(&mut core.beyond, memory, address)?;
    match memory {
        LinearMemory::Own(_) => Err(Trap::ExpectedSharedMemory),
        LinearMemory::Shared(_) => Ok(cell),
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

/// Waits at a cell, and stops where the store's owner has asked for that meanwhile.
///
/// # Safety
/// As the parent module's functions, of the record of the context's store.
unsafe fn wait(
    vm: *mut VmStore,
    cell: usize,
    is_expected: impl FnOnce() -> bool,
    timeout_ns: i64,
) -> Result<u32, ReasonInRecord> {
    let (place, timeout) = ((vm as usize, cell), timeout(timeout_ns));
    // SAFETY: `atomic_wait32` and `atomic_wait64` pass the record of their context's store, which this activation alone has; `core` was set by the call that this activation is in.
    unsafe {
        #[cfg(feature = "async")]
        if (*vm).fiber.waiting.is_possible() {
            let core = &mut *super::core_of(vm);
            core.has_parked = true;
            return match core.engine().parking().park(place, is_expected, timeout) {
                Ok(parked) => suspend(vm, parked),
                Err(outcome) => Ok(outcome as u32),
            };
        }
        let core = &*super::core_of(vm);
        let is_interrupted = || core.is_stop_requested();
        match core.engine().parking().wait(place, is_expected, timeout, is_interrupted) {
            WaitOutcome::Interrupted => {
                let trap = core.stop_if_asked().err().unwrap_or(Trap::Interrupted);
                Err(ReasonInRecord::put(vm, Pending::Trap(trap)))
            }
            outcome => Ok(outcome as u32),
        }
    }
}

/// Waits as for a function of the host. Who polls the call looks whether it is to stop, and drops what it waits for.
///
/// # Safety
/// As [`wait`]; the call that is under way can wait.
#[cfg(feature = "async")]
unsafe fn suspend(vm: *mut VmStore, parked: Parked) -> Result<u32, ReasonInRecord> {
    let mut outcome = WaitOutcome::Interrupted;
    let place = &raw mut outcome;
    // SAFETY: `wait` passes the record that it runs for, on its fiber. The outcome is written before the guest goes on, which this function waits for on the fiber's stack.
    unsafe {
        super::host_call::wait_for(vm, || {
            super::future::begin(vm, Box::pin(parked), move |ended| {
                place.write(ended?);
                Ok(())
            })
        })?;
        Ok(place.read() as u32)
    }
}

fn timeout(timeout_ns: i64) -> Option<Duration> {
    u64::try_from(timeout_ns).ok().map(Duration::from_nanos)
}
