//! Who is to be woken when somebody asks a store's guests to stop: functions of the host that wait on a guest's behalf.
//!
//! Must stay true: whoever has entered a waker and then finds that nothing is asked for is woken by whatever is asked for afterwards. Wakers are called with
//! nothing locked, and can be called once more after they were taken out: whoever wakes up looks what is asked for.

use std::sync::PoisonError;
use std::task::Waker;

use crate::sync::Mutex;

/// The wakers of a store's waits; rarely more than one.
#[derive(Default)]
pub(crate) struct Wakers(Mutex<Entered>);

#[derive(Default)]
struct Entered {
    next: u64,
    wakers: Vec<(u64, Waker)>,
}

impl Wakers {
    /// Enters a waker; the number takes it out again.
    pub(crate) fn enter(&self, waker: Waker) -> u64 {
        let mut entered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = entered.next;
        entered.next += 1;
        entered.wakers.push((number, waker));
        number
    }

    pub(crate) fn leave(&self, number: u64) {
        let mut entered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let position = entered.wakers.iter().position(|(entered, _)| *entered == number);
        let waker = position.map(|position| entered.wakers.swap_remove(position));
        drop(entered);
        // Only now: what it holds may hold the store.
        drop(waker);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wakers.is_empty()
    }

    /// Wakes all; they stay entered.
    pub(crate) fn wake(&self) {
        let entered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wakers: Vec<Waker> = entered.wakers.iter().map(|(_, waker)| waker.clone()).collect();
        drop(entered);
        wakers.iter().for_each(Waker::wake_by_ref);
    }
}
