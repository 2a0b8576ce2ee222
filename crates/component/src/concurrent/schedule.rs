//! Who runs next: threads that are ready, in the order in which they became so, or in one that a seed chooses.
//!
//! Must stay true: a thread that has become ready is in the queue, or is held up by another one in its instance, which has it looked at again when it lets go. What is in the queue need not be ready any more: that is
//! looked at when its turn comes.

use innkeeper_engine::{Error, StoreContextMut};

use super::thread::{self, ThreadState, Wait};
use super::turn::{Ran, continue_left};
use super::{Key, Queue, Thread, Waitable};
use super::{subtask, task};
use crate::entry::{Entry, enter, is_entered, leave, may_enter, poison};
use crate::state::{InstanceId, State};

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Schedule {
    pub(super) ready: Queue<Thread>,
    /// What the next choice comes of, where a seed is given.
    random: Option<u64>,
    is_seeded: bool,
    /// Turns of guests since functions of the host had theirs.
    turns: u32,
}

/// After so many turns of guests, functions of the host that were woken have theirs.
const TURNS_OF_GUESTS: u32 = 32;

impl Schedule {
    /// Counts a turn of a guest's; whether it is the host's next.
    pub(super) fn is_turn_of_host(&mut self) -> bool {
        self.turns += 1;
        let is_over = self.turns >= TURNS_OF_GUESTS;
        if is_over {
            self.turns = 0;
        }
        is_over
    }

    /// Has another order explored.
    fn seed(&mut self, seed: Option<u64>) {
        if !self.is_seeded {
            self.is_seeded = true;
            self.random = seed;
        }
    }

    /// Takes one of those that are in the queue.
    fn take(&mut self) -> Option<Key<Thread>> {
        let Some(random) = &mut self.random else { return self.ready.take() };
        // Knuth's generator, of which the upper half is good.
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let choice = (*random >> 33) as usize;
        match self.ready.len() {
            0 => None,
            len => self.ready.take_at(choice % len),
        }
    }
}

impl State {
    /// Puts a thread into the queue, where it waits for something.
    pub(super) fn look_again(&mut self, key: Key<Thread>) {
        let Some(thread) = self.concurrent.threads.get_mut(key) else { return };
        if !thread.is_queued && matches!(thread.state, ThreadState::Waiting(_)) {
            thread.is_queued = true;
            self.concurrent.schedule.ready.add(key);
        }
    }

    /// Has those looked at again that another thread of the instance, or its backpressure, has held up.
    pub(crate) fn let_held_up_look(&mut self, instance: InstanceId) {
        let held_up = self.tasks_of(instance).held_up.take_all();
        for key in held_up {
            if let Some(thread) = self.concurrent.threads.get_mut(key) {
                thread.is_held_up = false;
            }
            self.look_again(key);
        }
    }

    /// Notes that a thread is held up by others of its instance.
    pub(super) fn hold_up(&mut self, key: Key<Thread>) {
        let Some(thread) = self.concurrent.threads.get_mut(key) else { return };
        let instance = thread.instance;
        if !std::mem::replace(&mut thread.is_held_up, true) {
            self.tasks_of(instance).held_up.add(key);
        }
    }

    /// The next thread that is ready.
    fn next(&mut self) -> Option<Key<Thread>> {
        while let Some(key) = self.concurrent.schedule.take() {
            let Some(thread) = self.concurrent.threads.get_mut(key) else {
                self.concurrent.schedule.ready.has_taken_gone();
                continue;
            };
            thread.is_queued = false;
            match thread::is_ready(self, key) {
                Some(true) => return Some(key),
                Some(false) => {}
                None => self.hold_up(key),
            }
        }
        None
    }
}

/// Lets one ready thread run until it waits again (`Store.tick`), those first that are to be told of a cancellation; false where there is none.
///
/// # Errors
/// Where it traps.
pub(super) fn tick<T: 'static>(store: &mut StoreContextMut<'_, T>) -> Result<bool, Error> {
    if continue_left(store)?.is_some() {
        return Ok(true);
    }
    let seed = store.engine().config().tuning.schedule_seed;
    store.attachment::<State>().concurrent.schedule.seed(seed);
    if let Some(task) = store.attachment::<State>().concurrent.given_up.pop() {
        task::request_cancellation(store, (task, Entry::Host))?;
        return Ok(true);
    }
    let mut not_now = Vec::new();
    let found = loop {
        let state = store.attachment::<State>();
        let Some(key) = state.next() else { break None };
        let Some(instance) = state.concurrent.threads.get(key).map(|thread| thread.instance) else {
            continue;
        };
        if may_enter(store, instance, Entry::Host) {
            break Some((key, instance));
        }
        // Whoever calls from the host is in a call that has led through that instance.
        not_now.push(key);
    };
    let state = store.attachment::<State>();
    not_now.into_iter().for_each(|key| state.look_again(key));
    let Some((key, instance)) = found else { return Ok(false) };
    enter(store, instance, Entry::Host)?;
    if thread::resume(store, key, false)? == Ran::ToItsWait {
        leave(store, instance, Entry::Host);
    }
    Ok(true)
}

/// Drops the threads of instances that have trapped. No call is under way. Who waits for nothing but a call into one of them has trapped with it, as in a call that makes no task.
pub(crate) fn drop_poisoned<T: 'static>(store: &mut StoreContextMut<'_, T>) {
    if !store.attachment::<State>().calls.is_empty() {
        return;
    }
    loop {
        drop_threads_and_waitables(store);
        let concurrent = &store.attachment::<State>().concurrent;
        let waits_for_lost = |key: &Key<Thread>| {
            let state = concurrent.threads.get(*key).map(|thread| thread.state);
            match state {
                Some(ThreadState::Waiting(Wait::Call(call) | Wait::Event(call))) => {
                    subtask::is_lost(concurrent, call)
                }
                _ => false,
            }
        };
        let lost: Vec<InstanceId> = concurrent
            .threads
            .keys()
            .filter(waits_for_lost)
            .filter_map(|key| concurrent.threads.get(key))
            .map(|thread| thread.instance)
            .collect();
        if lost.is_empty() {
            return;
        }
        lost.into_iter().for_each(|instance| poison(store, instance));
    }
}

fn drop_threads_and_waitables<T: 'static>(store: &mut StoreContextMut<'_, T>) {
    let keys: Vec<Key<Thread>> = store.attachment::<State>().concurrent.threads.keys().collect();
    for key in keys {
        let state = store.attachment::<State>();
        let Some(thread) = state.concurrent.threads.get(key) else { continue };
        let (instance, fiber) = (thread.instance, thread.fiber);
        if !is_entered(store, instance) {
            continue;
        }
        if let Some(fiber) = fiber {
            store.drop_fiber(fiber);
        }
        thread::forget(store.attachment(), key);
    }
    let keys: Vec<Key<Waitable>> = store.attachment::<State>().concurrent.waitables.keys().collect();
    for key in keys {
        let instance = store.attachment::<State>().concurrent.waitables.get(key).map(|there| there.instance);
        if instance.is_some_and(|instance| is_entered(store, instance)) {
            store.attachment::<State>().drop_waitable(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use innkeeper_engine::Budget;

    use super::*;

    /// Threads that are forgotten while they stand in queues leave nothing there, however many come and go.
    #[test]
    fn queues_stay_small_however_many_threads_come_and_go() {
        let mut state = State::default();
        let budget = Budget::new(Some(1 << 20), "a test");
        let instance = state.new_instance(None, false);
        let wait = |state: &mut State| {
            let mut thread = Thread::new(Key::of_nothing(), instance);
            thread.state = ThreadState::Waiting(Wait::Yield);
            let key = state.concurrent.threads.add(thread, &budget).unwrap();
            state.look_again(key);
            state.hold_up(key);
            key
        };
        let stay: Vec<_> = (0..10).map(|_| wait(&mut state)).collect();
        for _ in 0..100_000 {
            let key = wait(&mut state);
            thread::forget(&mut state, key);
            assert!(state.concurrent.schedule.ready.len() <= 50);
            assert!(state.tasks_of(instance).held_up.len() <= 50);
        }
        // Those that are there come in their order.
        let ready: Vec<_> = std::iter::from_fn(|| state.next()).collect();
        assert_eq!(ready, stay);
    }
}
