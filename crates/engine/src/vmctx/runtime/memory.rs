//! Memory: growth and bulk operations. The safety contract is that of [`super`].

use std::sync::atomic::Ordering;

use super::{VmContext, attend, parts};
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
    let id = instance.memory_ids[memory.index()];
    core.memories[id].grow(delta_pages).unwrap_or(u64::MAX)
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
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    let memory = &mut core.memories[instance.memory_ids[memory.index()]];
    memory.range(to, len).ok_or(Trap::MemoryOutOfBounds)?;
    for (start, piece) in pieces(len) {
        memory.fill(to + start, value, piece).ok_or(Trap::MemoryOutOfBounds)?;
        // SAFETY: as the caller promises.
        unsafe { attend_between(ctx, start + piece < len)? };
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
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    let memory = |index: MemoryIndex| &core.memories[instance.memory_ids[index.index()]];
    for (memory, start) in [(memory(to.0), to.1), (memory(from.0), from.1)] {
        memory.range(start, len).ok_or(Trap::MemoryOutOfBounds)?;
    }
    for (start, piece) in pieces(len) {
        // From the end, where the source would otherwise be overwritten before it is read.
        let start = if to.1 > from.1 { len - start - piece } else { start };
        LinearMemory::copy((memory(to.0), to.1 + start), (memory(from.0), from.1 + start), piece)
            .ok_or(Trap::MemoryOutOfBounds)?;
        // SAFETY: as the caller promises.
        unsafe { attend_between(ctx, piece == PIECE_BYTES)? };
    }
    Ok(())
}

/// Nobody who wants to interrupt waits longer than for so many bytes: some milliseconds.
const PIECE_BYTES: u64 = 16 << 20;

/// Where the pieces of `len` bytes start, and their lengths; the last is the shortest.
fn pieces(len: u64) -> impl Iterator<Item = (u64, u64)> {
    let count = len.div_ceil(PIECE_BYTES);
    (0..count).map(move |i| (i * PIECE_BYTES, (len - i * PIECE_BYTES).min(PIECE_BYTES)))
}

/// Gives attention to who asks for it, if more is to come.
///
/// # Safety
/// See the parent module's documentation.
#[inline]
unsafe fn attend_between(ctx: *mut VmContext, more: bool) -> Result<(), Trap> {
    if !more {
        return Ok(());
    }
    // SAFETY: as the caller promises. Every frame lies above the stack's start, so that only who asks for attention is noticed.
    unsafe {
        let vm = (*ctx).store;
        match (*vm).stack_limit.load(Ordering::Relaxed).is_null() {
            true => attend(vm, (*vm).stack_base, |_| {}),
            false => Ok(()),
        }
    }
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
