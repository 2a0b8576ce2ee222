//! A thread that was left in the middle of what it computes, so that others of the executor have their turn (`Store::yield_every`).
//!
//! To guests nothing has happened: nobody else of them runs until it has gone on to where it waits. So there is one at most in a store, its calls stay at the bottom of [`State::calls`], and the instance that it was let run
//! in stays entered.
//!
//! Must stay true: whoever lets the store's threads run lets this one go on first. Where the call that it ran for was dropped, that is the next who calls.
//!
//! What this is not: `thread.yield`, with which a guest itself lets other guests run.

use std::mem::ManuallyDrop;

use innkeeper_engine::{Error, FiberId, StoreContextMut};

use super::schedule::drop_poisoned;
use super::{Key, Thread, thread};
use crate::entry::{Entry, leave};
use crate::state::{InstanceId, State};
use crate::under_way::CallUnderWay;

/// How far a thread has come that was let run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ran {
    /// It waits, or has ended.
    ToItsWait,
    /// It has left its turn to others, and is to go on first.
    ToTheEndOfItsTurn,
}

/// See the module's documentation.
pub(crate) struct LeftInTheMiddle {
    thread: Key<Thread>,
    fiber: FiberId,
    /// The instance that was entered for it.
    instance: InstanceId,
    /// The number of its call, and how many calls there were.
    call: u32,
    calls: usize,
}

impl<T> CallUnderWay<'_, '_, T> {
    /// Keeps the call for when its thread goes on.
    pub(super) fn leave_in_the_middle(self, (thread, instance): (Key<Thread>, InstanceId), fiber: FiberId) {
        let mut call = ManuallyDrop::new(self);
        let number = call.number;
        let state = call.store.attachment::<State>();
        let calls = state.calls.len();
        state.concurrent.left = Some(LeftInTheMiddle { thread, fiber, instance, call: number, calls });
    }
}

impl State {
    /// Whether there is one that can go on now: no other call is under way.
    pub(super) fn has_left(&self) -> bool {
        self.concurrent.left.as_ref().is_some_and(|left| left.calls == self.calls.len())
    }
}

/// Lets the one go on that was left in the middle, if there is one; none where there is not.
///
/// # Errors
/// Where it traps.
pub(super) fn continue_left<T: 'static>(store: &mut StoreContextMut<'_, T>) -> Result<Option<Ran>, Error> {
    let state = store.attachment::<State>();
    if !state.has_left() {
        return Ok(None);
    }
    let Some(left) = state.concurrent.left.take() else { return Ok(None) };
    let call = CallUnderWay::begun(store, left.call);
    let ended = call.store.continue_fiber(left.fiber);
    let mut ran = thread::has_run(call, (left.thread, left.instance), ended)?;
    if ran == Ran::ToItsWait {
        ran = thread::go_on_at_once(store)?;
    }
    if ran == Ran::ToItsWait {
        leave(store, left.instance, Entry::Host);
    }
    Ok(Some(ran))
}

/// Lets it go on until it waits; whether there was one.
///
/// # Errors
/// Where it traps.
pub(crate) fn finish_left<T: 'static>(store: &mut StoreContextMut<'_, T>) -> Result<bool, Error> {
    let mut was_there = false;
    loop {
        match continue_left(store) {
            Ok(Some(_)) => was_there = true,
            Ok(None) => return Ok(was_there),
            Err(error) => {
                drop_poisoned(store);
                return Err(error);
            }
        }
    }
}
