//! Calls from the host into functions of a store.
//!
//! Guests run on the stack of their store's fiber, from their first frame to their last; functions of the host on the stack that is in use here.
//!
//! Must stay true: while guest code runs, the store's record names the borrow it runs under, and every way out (return, trap,
//! error, panic) puts back what was there before.

use crate::error::Error;
use crate::fiber::switch;
use crate::registry::TypeRecord;
use crate::store::StoreInner;
use crate::trap::Trap;
use crate::types::FuncType;
use crate::vmctx::{Pending, TrapSite, VmFunc, host_stack};

/// Calls `func`, which belongs to `store`; `slots` holds parameters of its types on entry and results on return.
///
/// # Safety
/// `func` is a function of `store`, and `slots` is `call_slots` long and holds values of its parameter types.
pub(crate) unsafe fn call<T: 'static>(
    store: &mut StoreInner<T>,
    func: *const VmFunc,
    slots: &mut [u64],
) -> Result<(), Error> {
    let vm = store.core.vm();
    let nesting_limit = store.core.limits.host_nesting;
    let tier: *const dyn crate::tier::Tier = store.core.engine().tier();
    let owner: *mut StoreInner<T> = store;
    // SAFETY: `vm` and the engine live as long as the store, which this call borrows exclusively; `func` is of the same store. The tier is not reached
    // through the store, which guest code changes.
    unsafe {
        if (*vm).nesting >= nesting_limit {
            return Err(Trap::CallStackExhausted.into());
        }
        if let Some(time) = &(*owner).core.processor_time {
            time.enter()?;
        }
        let before = ((*vm).owner, (*vm).core);
        let mut reason = None;
        let entered = host_stack::enter(nesting_limit, || {
            (*vm).owner = owner.cast();
            (*vm).core = (&raw mut (*owner).core).cast();
            (*vm).nesting += 1;
            // Frames of the host stand between this call and whoever could wait for it.
            #[cfg(feature = "async")]
            let waiting = (*vm).fiber.waiting.forbid();
            // What has called the function of the host that this is called in, for backtraces; at the outermost level there is none.
            let outer = ((*vm).nesting > 1).then(|| (*vm).fiber.activation());
            if (*func).is_host() {
                if outer.is_none() {
                    (*vm).fiber.call_site = TrapSite::NONE;
                }
                reason = super::catch_host(vm, func, slots).err();
            } else if !(*vm).fiber.has_room() {
                reason = Some(Pending::Trap(Trap::CallStackExhausted));
            } else {
                if let Some(outer) = &outer {
                    (*vm).fiber.outer = outer;
                }
                if !switch::enter(&raw mut (*vm).fiber.switch, || (*tier).call(&*func, slots)) {
                    reason = Some(super::take_reason(vm));
                }
                if let Some(outer) = &outer {
                    ((*vm).fiber.outer, (*vm).fiber.call_site) = (outer.outer, outer.call_site);
                }
            }
            #[cfg(feature = "async")]
            if (*vm).fiber.waiting.restore(waiting) {
                (*owner).core.record.interrupt_handle().ask_to_yield();
            }
            (*vm).nesting -= 1;
            ((*vm).owner, (*vm).core) = before;
        });
        if let Some(time) = &(*owner).core.processor_time {
            time.leave();
        }
        if (*vm).nesting == 0 {
            (*owner).core.record.forget_told_deadline();
            (*owner).core.resume_host_panic();
        }
        entered?;
        reason.map_or(Ok(()), |reason| Err(told(reason)))
    }
}

/// What the embedder is told of a stop: an error. A panic of a function of the host goes on in whoever has called.
#[cold]
#[inline(never)]
pub(crate) fn told(reason: Pending) -> Error {
    match reason {
        Pending::Trap(trap) => trap.into(),
        Pending::Error(error) => error,
        Pending::Panic(payload) => std::panic::resume_unwind(payload),
        // `take_reason` gives none: while the store was at hand, it has made an error of it.
        Pending::Exception(_) => Error::limit("an exception that nobody has caught"),
    }
}

/// As [`call`], with more slots than the function needs allowed; the function was found through a handle of this store.
pub(crate) fn checked<T: 'static>(
    store: &mut StoreInner<T>,
    func: *const VmFunc,
    slots: &mut [u64],
) -> Result<(), Error> {
    // SAFETY: a record lives as long as its store, and handles of other stores were refused before.
    let call_slots = unsafe { (*func).call_slots } as usize;
    debug_assert!(slots.len() >= call_slots);
    // SAFETY: as above; the caller has checked the types.
    unsafe { call(store, func, &mut slots[..call_slots]) }
}

/// Slots that a function's parameters and results share, which was found through a handle of a living store.
#[cfg(feature = "fibers")]
pub(crate) fn call_slots(func: *const VmFunc) -> usize {
    // SAFETY: a record lives as long as its store, and the caller holds a borrow of it.
    unsafe { (*func).call_slots as usize }
}

/// The wasm type of a function that was found through a handle of a living store.
pub(crate) fn func_type_of(func: *const VmFunc) -> FuncType {
    let composite = &type_record(func).ty.composite;
    composite.as_func().cloned().unwrap_or_else(|| FuncType::new([], []))
}

/// The type of a function that was found through a handle of a living store.
pub(crate) fn type_record<'a>(func: *const VmFunc) -> &'a TypeRecord {
    // SAFETY: a function's record and its type's live as long as the store, of which the caller holds a borrow.
    unsafe { &*(*func).ty }
}
