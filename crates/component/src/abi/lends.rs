//! Handles that are lent for a call, and what must be done about them when it is over.
//!
//! Must stay true: whichever way a call ends, by an error or by unwinding too, its lends end: a guest's handle is lent no more, and what the host was lent is gone.

use innkeeper_engine::{Error, StoreContextMut};

use super::Costs;
use crate::resource::{Handle, ResourceAny, ResourceTypeId};
use crate::state::{InstanceId, State};

/// Lends that end with the call that they were made for.
#[derive(Default)]
pub(crate) struct Lends {
    /// A handle of the caller's table: most calls lend one at most, which takes no memory of the host's.
    first: Option<u32>,
    /// More such handles.
    guest: Vec<u32>,
    /// Handles of the host's: index and generation of each.
    pub(crate) host: Vec<(u32, u64)>,
    /// Handles that the host was lent, which are gone when the call returns.
    borrowed: Vec<u32>,
}

impl Lends {
    /// Lends a handle of a guest's for the call; gives what stands for the resource.
    pub(crate) fn lend(
        &mut self,
        state: &mut State,
        (lender, index): (InstanceId, u32),
        ty: ResourceTypeId,
        costs: &mut Costs<'_>,
    ) -> Result<u32, Error> {
        if self.first.is_none() {
            let rep = state.lend(lender, index, ty)?;
            self.first = Some(index);
            return Ok(rep);
        }
        costs.room_for_one(&mut self.guest)?;
        let rep = state.lend(lender, index, ty)?;
        self.guest.push(index);
        Ok(rep)
    }

    /// Lends a handle of a guest's to the host, which is given one of its own for the call.
    pub(crate) fn lend_to_host(
        &mut self,
        state: &mut State,
        lender: (InstanceId, u32),
        ty: ResourceTypeId,
        costs: &mut Costs<'_>,
    ) -> Result<ResourceAny, Error> {
        costs.room_for_one(&mut self.borrowed)?;
        let rep = self.lend(state, lender, ty, costs)?;
        let lent = state.give_host((ty, rep), false, costs.budget())?;
        if let Handle::Host { index, .. } = lent.0 {
            self.borrowed.push(index);
        }
        Ok(lent)
    }

    #[inline]
    fn are_none(&self) -> bool {
        self.first.is_none() && self.guest.is_empty() && self.host.is_empty() && self.borrowed.is_empty()
    }

    /// Ends them, as the caller is told that the call has returned (canonical ABI, `deliver_resolve`).
    pub(crate) fn end(&mut self, state: &mut State, caller: Option<InstanceId>) {
        if let Some(caller) = caller {
            for handle in self.first.take().into_iter().chain(self.guest.drain(..)) {
                state.instance(caller).handles.give_back(handle);
            }
        }
        for (index, generation) in self.host.drain(..) {
            if let Some(handle) = state.host_handles.get(index, generation) {
                handle.lends = handle.lends.saturating_sub(1);
            }
        }
        for index in self.borrowed.drain(..) {
            state.host_handles.remove(index);
        }
    }
}

/// A call that handles are lent for, with the store meanwhile. When it goes, the lends end.
pub(crate) struct LendingCall<'s, 'b, T: 'static> {
    pub(crate) store: &'s mut StoreContextMut<'b, T>,
    pub(crate) lends: Lends,
    /// The guest that calls; none where the host does.
    caller: Option<InstanceId>,
}

impl<'s, 'b, T> LendingCall<'s, 'b, T> {
    pub(crate) fn new(
        store: &'s mut StoreContextMut<'b, T>,
        caller: Option<InstanceId>,
    ) -> LendingCall<'s, 'b, T> {
        LendingCall { store, lends: Lends::default(), caller }
    }
}

impl<T> Drop for LendingCall<'_, '_, T> {
    #[inline]
    fn drop(&mut self) {
        if !self.lends.are_none() {
            self.lends.end(self.store.attachment(), self.caller);
        }
    }
}
