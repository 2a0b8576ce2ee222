//! Calls that are under way.
//!
//! Must stay true: whichever way a call ends, by an error or by unwinding too, it is forgotten, and with it those within it that were not ended. Else an instance that nothing
//! is under way in would not be known as poisoned.

use std::mem::ManuallyDrop;

use innkeeper_engine::StoreContextMut;

use crate::concurrent::{Key, Thread};
use crate::entry::Entry;
use crate::state::{InstanceId, State};

/// A call that is under way, with the store meanwhile.
pub(crate) struct CallUnderWay<'s, 'b, T: 'static> {
    pub(crate) store: &'s mut StoreContextMut<'b, T>,
    pub(crate) number: u32,
}

impl<'s, 'b, T> CallUnderWay<'s, 'b, T> {
    pub(crate) fn begin(
        store: &'s mut StoreContextMut<'b, T>,
        thread: Option<Key<Thread>>,
    ) -> CallUnderWay<'s, 'b, T> {
        let number = store.attachment::<State>().begin(thread);
        CallUnderWay { store, number }
    }

    /// As [`CallUnderWay::begin`], where [`State::begin`] has given the number.
    #[inline]
    pub(crate) fn begun(store: &'s mut StoreContextMut<'b, T>, number: u32) -> CallUnderWay<'s, 'b, T> {
        CallUnderWay { store, number }
    }

    /// Forgets the call, which has returned, and leaves the instance that it had entered.
    pub(crate) fn leave(self, callee: InstanceId, entry: Entry) {
        let mut call = ManuallyDrop::new(self);
        let number = call.number as usize;
        let (state, mut globals) = call.store.attachment_and_globals::<State>();
        state.calls.truncate(number);
        state.leave(&mut globals, callee, entry);
    }
}

impl<T> Drop for CallUnderWay<'_, '_, T> {
    fn drop(&mut self) {
        self.store.attachment::<State>().calls.truncate(self.number as usize);
    }
}
