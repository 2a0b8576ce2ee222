//! What executing code asks the engine to do: everything that is not a plain read or write of the records.
//!
//! Here stands what bulk operations, growth and segments mean (core specification 4.6, "Execution": table, memory and
//! reference instructions), once for all tiers. Operands are 64 bits wide: a tier extends 32-bit operands with zeros.
//!
//! # Safety
//! All functions share one contract: `ctx` is the context of an instance whose store the running activation has exclusive use of,
//! and indices are those of validated code. They keep no reference into guest state after they return.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use super::record::Request;
use super::{InstanceEntity, Pending, VmContext, VmFunc, VmStore};
use crate::composite::TypeId;
use crate::error::{Error, ErrorKind};
use crate::index::*;
use crate::registry::TypeRecord;
use crate::store::StoreCore;
use crate::tier::{ModuleParts, Stopped};
use crate::trap::Trap;
use crate::value::Val;

/// The module that an instance is of.
///
/// # Safety
/// See the module's documentation; the reference is good for as long as the store lives.
#[must_use]
pub unsafe fn module<'a>(ctx: *mut VmContext) -> &'a ModuleParts {
    // SAFETY: the instance lives as long as its store and holds the module.
    unsafe { &(*(*ctx).instance).module.0 }
}

/// Calls a host function for the guest; false where the activation must be left, and then the reason is in `pending`.
///
/// # Safety
/// See the module's documentation; `func` is a host function of the same store, `slots` points to its `call_slots` slots,
/// and `stack_top` lies beyond them.
#[must_use]
pub unsafe fn call_host(ctx: *mut VmContext, func: *const VmFunc, slots: *mut u64) -> bool {
    // SAFETY: as the caller promises.
    unsafe {
        let vm = (*ctx).store;
        let slots = std::slice::from_raw_parts_mut(slots, (*func).call_slots as usize);
        // References made during the call are the embedder's only until it returns.
        let roots = (*(*vm).core).roots.len();
        let result = catch_host(vm, func, ctx, slots).map_err(|stopped| pending(&*(*vm).core, stopped));
        (*(*vm).core).roots.truncate(roots);
        match result {
            Ok(()) => true,
            Err(stopped) => {
                (*vm).pending = Some(stopped);
                false
            }
        }
    }
}

/// What a host call's end means to the guest: an exception that the host passes on can be caught.
fn pending(core: &StoreCore, stopped: Stopped) -> Pending {
    match stopped {
        Stopped::Panic(payload) => Pending::Panic(payload),
        Stopped::Error(error) => match error.kind() {
            ErrorKind::Exception(exception) => match Val::ExnRef(Some(*exception)).to_slots(core) {
                Ok([slot, _]) => Pending::Exception(slot),
                Err(stale) => Pending::Error(stale),
            },
            _ => Pending::Error(error),
        },
    }
}

/// The error that an exception becomes which no frame of an activation catches.
///
/// # Safety
/// See the module's documentation; `exception` is a reference to an exception of the same store.
#[must_use]
pub unsafe fn uncaught(vm: *mut VmStore, exception: u64) -> Error {
    // SAFETY: as the caller promises.
    let core = unsafe { &mut *(*vm).core };
    Error::new(ErrorKind::Exception(core.root_exception(exception)))
}

/// Calls a host function; a panic comes back as a value, so that it never unwinds guest frames.
///
/// # Safety
/// As [`super::host::HostCode::call`].
pub(crate) unsafe fn catch_host(
    vm: *mut VmStore,
    func: *const VmFunc,
    caller: *mut VmContext,
    slots: &mut [u64],
) -> Result<(), Stopped> {
    // SAFETY: passed on. Whatever the panic left half done belongs to the host, which sees the panic go on.
    match catch_unwind(AssertUnwindSafe(|| unsafe { (*(*func).host).call(vm, caller, slots) })) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Stopped::Error(error)),
        Err(payload) => Err(Stopped::Panic(payload)),
    }
}

/// What a failed check against the stack's limit means at a frame that ends at `frame_end`: nothing, where attention was asked for and has
/// been given; else a trap.
///
/// # Errors
/// [`Trap::Interrupted`], [`Trap::DeadlineExceeded`], [`Trap::CallStackExhausted`].
///
/// # Safety
/// `vm` is the record of a store that the running activation has exclusive use of.
#[cold]
#[inline(never)]
pub unsafe fn attend(vm: *mut VmStore, frame_end: *const u64) -> Result<(), Trap> {
    // SAFETY: as the caller promises: `core` was set by the call that this activation is in.
    unsafe {
        match (*(*vm).core).attend() {
            Some(Request::Interrupt) => Err(Trap::Interrupted),
            Some(Request::Deadline) => Err(Trap::DeadlineExceeded),
            _ if frame_end > (*vm).stack_limit.load(Ordering::Relaxed) => Err(Trap::CallStackExhausted),
            _ => Ok(()),
        }
    }
}

/// Whether a function's type is a subtype of the type of identity `of`, given that it is not that type itself.
#[must_use]
#[cold]
#[inline(never)]
pub fn is_subtype(ty: &TypeRecord, of: u32) -> bool {
    ty.supertypes.contains(&TypeId(of))
}

/// `memory.grow`: the old size in pages, or `u64::MAX` where growing is refused.
///
/// # Safety
/// See the module's documentation.
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
/// See the module's documentation.
pub unsafe fn memory_fill(
    ctx: *mut VmContext,
    memory: MemoryIndex,
    to: u64,
    value: u8,
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    let bytes = core.memories[instance.memory_ids[memory.index()]].bytes_mut();
    range_mut(bytes, to, len).ok_or(Trap::MemoryOutOfBounds)?.fill(value);
    Ok(())
}

/// `memory.copy`: `to` and `from` are memory and address each.
///
/// # Errors
/// [`Trap::MemoryOutOfBounds`], and then nothing was written.
///
/// # Safety
/// See the module's documentation.
pub unsafe fn memory_copy(
    ctx: *mut VmContext,
    to: (MemoryIndex, u64),
    from: (MemoryIndex, u64),
    len: u64,
) -> Result<(), Trap> {
    // SAFETY: as the caller promises.
    let (core, instance) = unsafe { parts(ctx) };
    let (to_id, from_id) = (instance.memory_ids[to.0.index()], instance.memory_ids[from.0.index()]);
    let copied = if to_id == from_id {
        copy_within(core.memories[to_id].bytes_mut(), to.1, from.1, len)
    } else {
        let [to_memory, from_memory] = core.two_memories(to_id, from_id);
        copy_between(to_memory.bytes_mut(), to.1, from_memory.bytes(), from.1, len)
    };
    copied.ok_or(Trap::MemoryOutOfBounds)
}

/// `memory.init`.
///
/// # Errors
/// [`Trap::MemoryOutOfBounds`], and then nothing was written.
///
/// # Safety
/// See the module's documentation.
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
    let bytes = core.memories[instance.memory_ids[memory.index()]].bytes_mut();
    copy_between(bytes, to, instance.data(data), from, len).ok_or(Trap::MemoryOutOfBounds)
}

/// `data.drop`.
///
/// # Safety
/// See the module's documentation.
pub unsafe fn data_drop(ctx: *mut VmContext, data: DataIndex) {
    // SAFETY: as the caller promises.
    let (_, instance) = unsafe { parts(ctx) };
    instance.dropped_datas[data.index()] = true;
}

/// `table.grow`: the old size, or `u64::MAX` where growing is refused.
///
/// # Safety
/// See the module's documentation.
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
/// See the module's documentation.
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
/// See the module's documentation.
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
/// See the module's documentation.
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
/// See the module's documentation.
pub unsafe fn elem_drop(ctx: *mut VmContext, elem: ElemIndex) {
    // SAFETY: as the caller promises.
    let (_, instance) = unsafe { parts(ctx) };
    instance.elems[elem.index()] = None;
}

/// `ref.func`: the reference to a function that the module declares it refers to.
///
/// # Safety
/// See the module's documentation.
#[must_use]
pub unsafe fn ref_func(ctx: *mut VmContext, func: FuncIndex) -> *const VmFunc {
    // SAFETY: as the caller promises.
    let (_, instance) = unsafe { parts(ctx) };
    // Validation admits only declared functions, so that null, which any use would trap on, does not happen.
    instance.func_ref(func).unwrap_or(std::ptr::null())
}

/// # Safety
/// As the module's functions; the two references are to distinct records.
unsafe fn parts<'a>(ctx: *mut VmContext) -> (&'a mut StoreCore, &'a mut InstanceEntity) {
    // SAFETY: `core` was set by the call that this activation is in and is borrowed exclusively by it; the instance is a
    // record of its own, which the core refers to by pointer.
    unsafe { (&mut *(*(*ctx).store).core, &mut *(*ctx).instance) }
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
