//! Growing of memories and tables by a guest, where somebody may have to be asked who takes time to answer.
//!
//! What grows is the store's ([`crate::limiter`]), on the host's stack, since a limiter is the embedder's code. Where its answer has to be waited for, nothing has grown: the guest waits as for a function of the
//! host, and then all is tried again with the answer at hand.

use crate::limiter::Question;
use crate::store::StoreCore;
use crate::trap::Trap;
use crate::vmctx::{Pending, VmStore};

/// The activation must be left; the reason is in the store's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonInRecord;

impl ReasonInRecord {
    /// Puts a reason into the record.
    ///
    /// # Safety
    /// `vm` is the record of a store that the running activation has exclusive use of.
    pub(super) unsafe fn put(vm: *mut VmStore, reason: Pending) -> ReasonInRecord {
        // SAFETY: passed on.
        unsafe { (*vm).fiber.pending = Some(reason) };
        ReasonInRecord
    }
}

/// Lets `grow` grow something on the host's stack, as often as somebody has to be asked first.
///
/// # Errors
/// The one of `grow`; where the answer cannot be waited for, or is not any more. The reason is in the record.
///
/// # Safety
/// `vm` is the record of the store whose guest code is running here.
pub(super) unsafe fn grow<R>(
    vm: *mut VmStore,
    mut grow: impl FnMut(&mut StoreCore) -> Result<R, Trap>,
) -> Result<R, ReasonInRecord> {
    // SAFETY: `memory_grow` and `table_grow` pass the record of their context's store, which this activation alone has.
    unsafe {
        loop {
            let grown = super::on_host(vm, || grow(&mut *super::core_of(vm)));
            match (grown, (*super::core_of(vm)).take_wanted()) {
                (Ok(_), Some(question)) => {
                    if let Err(reason) = ask(vm, question) {
                        // It may have been answered just before the guest was asked to stop.
                        (*super::core_of(vm)).take_wanted();
                        return Err(reason);
                    }
                }
                (Ok(grown), None) => return Ok(grown),
                (Err(trap), _) => return Err(ReasonInRecord::put(vm, Pending::Trap(trap))),
            }
        }
    }
}

/// Has the store's limiter asked, and waits for the answer.
///
/// # Safety
/// As [`grow`].
#[cfg(feature = "async")]
unsafe fn ask(vm: *mut VmStore, question: Question) -> Result<(), ReasonInRecord> {
    use crate::error::Error;
    use crate::limiter::{CANNOT_WAIT, Limiter};

    // SAFETY: `grow` passes the record that it runs for, on its fiber. The limiter stays where it is while the guest waits: nobody else uses the store meanwhile.
    unsafe {
        if !(*vm).fiber.waiting.is_possible() {
            return Err(ReasonInRecord::put(vm, Pending::Error(Error::usage(CANNOT_WAIT))));
        }
        let core = super::core_of(vm);
        super::host_call::wait_for(vm, || {
            let Some(Limiter::Async(limiter)) = &mut (*core).limiter else { return Ok(()) };
            let answer = question.put_to_async(&mut **limiter);
            super::future::begin(vm, answer, move |answer| {
                // SAFETY: as above; the answer is given before the guest goes on.
                (*core).answers.give(question, answer);
                Ok(())
            })
        })
    }
}

/// No limiter has to be waited for.
#[cfg(not(feature = "async"))]
unsafe fn ask(_: *mut VmStore, _: Question) -> Result<(), ReasonInRecord> {
    Ok(())
}
