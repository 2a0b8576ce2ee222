//! Who calls wakers on behalf of the process's own threads, the timer above all: threads that are there for nothing else.
//!
//! A waker is the embedder's: it may poll its future then and there, and with it a guest, or wait for a lock. Whoever watches the time for everybody cannot wait for it. There is one
//! thread as a rule, started by the first that is to be woken, and more while that is not done with one; the last ends when there has been nothing to do for a while.
//!
//! Must stay true: handing over never waits for a waker, unless the system refuses threads. A panic of one is no others' business.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fork::{After, Registration, Side};
use crate::host_panics::let_go;

/// Something that may call what is the embedder's.
pub type Call = Box<dyn FnOnce() + Send>;

struct Waking {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    calls: VecDeque<Call>,
    threads: usize,
    idle: usize,
}

static WAKING: Waking = Waking {
    state: Mutex::new(State { calls: VecDeque::new(), threads: 0, idle: 0 }),
    changed: Condvar::new(),
};

/// So many wakers can be under way at once; more wait for their turn.
const MAX_THREADS: usize = 16;

/// How long a thread stays when there is nothing to do.
const IDLE: Duration = Duration::from_secs(10);

/// Has these called soon, in about this order, on another thread.
pub fn hand_over(calls: impl IntoIterator<Item = Call>) {
    static REGISTRATION: Registration = Registration::new(before_fork);
    REGISTRATION.ensure();
    let mut state = WAKING.lock();
    state.calls.extend(calls);
    let state = WAKING.ensure_thread(state);
    if state.threads > 0 {
        return;
    }
    drop(state);
    // There can be no thread: late is better than never.
    loop {
        let next = WAKING.lock().calls.pop_front();
        match next {
            Some(call) => perform(call),
            None => return,
        }
    }
}

fn perform(call: Call) {
    // The panic hook has told of it.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(call)) {
        let_go(panic);
    }
}

impl Waking {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sees to it that there is a thread for what is to be called, if there can be.
    fn ensure_thread<'a>(&'static self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.calls.is_empty() {
            return state;
        }
        if state.idle > 0 {
            self.changed.notify_one();
        } else if state.threads < MAX_THREADS {
            // With a stack as threads usually have, because it is the embedder's code that runs on it.
            let thread = std::thread::Builder::new().name("wakers".to_owned());
            if crate::thread::spawn_for_host(thread, || self.work()).is_ok() {
                state.threads += 1;
            }
        }
        state
    }

    fn work(&'static self) {
        while let Some(call) = self.next() {
            perform(call);
        }
    }

    /// What is to be called next; none when there has been nothing for a while.
    fn next(&'static self) -> Option<Call> {
        let mut state = self.lock();
        loop {
            if let Some(call) = state.calls.pop_front() {
                // It may take as long as it likes, and the others do not wait for it.
                drop(self.ensure_thread(state));
                return Some(call);
            }
            state.idle += 1;
            let (awake, slept) =
                self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = awake;
            state.idle -= 1;
            if slept.timed_out() && state.calls.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }
}

/// The child has none of the threads; what was waiting for them it has.
fn before_fork() -> After {
    let mut state = WAKING.lock();
    Box::new(move |side| {
        if side == Side::Child {
            (state.threads, state.idle) = (0, 0);
            drop(WAKING.ensure_thread(state));
        }
    })
}
