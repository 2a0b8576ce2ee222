//! Who is to be woken when somebody asks a store's guests to stop: functions of the host that wait on a guest's behalf.
//!
//! Must stay true: whoever has entered a waker and then finds that nothing is asked for is woken by whatever is asked for afterwards. Wakers are called with
//! nothing locked, and can be called once more after they were taken out: whoever wakes up looks what is asked for. They are the embedder's: one that panics
//! keeps neither the others from being woken, nor whoever wakes them from going on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use crate::host_panics::let_go;
use crate::sync::Mutex;

/// The wakers of a store's waits; rarely more than one.
#[derive(Default)]
pub(crate) struct Wakers(Mutex<Entered>);

#[derive(Default)]
struct Entered {
    next: u64,
    /// Counted by us, because cloning a waker calls what is the embedder's.
    wakers: Vec<(u64, Arc<Waker>)>,
}

impl Wakers {
    /// Enters a waker; the number takes it out again.
    pub(crate) fn enter(&self, waker: Waker) -> u64 {
        let waker = Arc::new(waker);
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

    /// Wakes all; they stay entered. A panic of one ends here: the panic hook has told of it.
    pub(crate) fn wake(&self) {
        let entered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wakers: Vec<Arc<Waker>> = entered.wakers.iter().map(|(_, waker)| Arc::clone(waker)).collect();
        drop(entered);
        for waker in wakers {
            // This may be the last that holds it: dropping it is part of the call.
            let woken = catch_unwind(AssertUnwindSafe(|| {
                waker.wake_by_ref();
                drop(waker);
            }));
            if let Err(panic) = woken {
                let_go(panic);
            }
        }
    }
}
