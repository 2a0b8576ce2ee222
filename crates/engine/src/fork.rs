//! What becomes of the process's own threads when it forks: the child has none but the one that has forked.
//!
//! Whoever starts such a thread registers here first ([`Registration`]). Before the process forks, each of those takes its locks, so that none is held for ever in the child by a thread that is not
//! there; afterwards it lets them go, and in the child it begins anew. Threads that work long with locks of others' say so ([`work`]), and the fork waits for them.
//!
//! Must stay true: nobody holds a lock of those that are registered while he forks. A process that has started no thread of its own pays nothing.
//!
//! What this is not: a help with what the embedder's other threads are in the middle of. What they use at the moment of the fork, a store or an engine, is not to be used in the
//! child.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::sys;

/// Where the process is one's own after a fork.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The process that has forked.
    Parent,
    /// The one that it has made.
    Child,
}

/// What is done after a fork; meanwhile it holds what must be held.
pub type After = Box<dyn FnOnce(Side)>;

/// What is done before a fork.
pub type Before = fn() -> After;

static REGISTERED: Mutex<Vec<Before>> = Mutex::new(Vec::new());

/// How many forks lie between the first process that has used the library and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// What this thread, which is forking, does afterwards, the last first.
    static AFTER: RefCell<Vec<After>> = const { RefCell::new(Vec::new()) };
}

/// Somebody who is registered when he first starts a thread.
pub struct Registration {
    before: Before,
    is_done: AtomicBool,
}

impl Registration {
    /// Has `before` called before the process forks, once registered, and what it gives afterwards.
    #[must_use]
    pub const fn new(before: Before) -> Registration {
        Registration { before, is_done: AtomicBool::new(false) }
    }

    /// Registers, the first time. None of the locks that `before` takes may be held.
    pub fn ensure(&self) {
        if self.is_done.load(Ordering::Acquire) {
            return;
        }
        notice();
        let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_done.swap(true, Ordering::AcqRel) {
            registered.push(self.before);
        }
    }
}

/// From now on, forks are noticed: [`generation`] is another one, and waits for work.
pub fn notice() {
    static IS_DONE: AtomicBool = AtomicBool::new(false);
    if IS_DONE.load(Ordering::Acquire) {
        return;
    }
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if !IS_DONE.swap(true, Ordering::AcqRel) {
        registered.push(before_fork_of_work);
        sys::at_fork(before_fork, after_fork_in_parent, after_fork_in_child);
    }
}

/// Another number in each child of a process that has registered something: whoever has noted another one than this has it of a parent, and with it threads that are not there.
#[must_use]
pub fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn before_fork() {
    // A thread that is ending has no such place any more; then nothing is held.
    if AFTER.try_with(|_| ()).is_err() {
        return;
    }
    let registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut after: Vec<After> = Vec::with_capacity(registered.len() + 1);
    let all = registered.clone();
    // Held, too: the last that is let go.
    after.push(Box::new(move |_| drop(registered)));
    after.extend(all.iter().map(|before| before()));
    let _ = AFTER.try_with(|place| place.replace(after));
}

extern "C" fn after_fork_in_parent() {
    after_fork(Side::Parent);
}

extern "C" fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    after_fork(Side::Child);
}

fn after_fork(side: Side) {
    let after = AFTER.try_with(RefCell::take).unwrap_or_default();
    after.into_iter().rev().for_each(|act| act(side));
}

/// Threads that work.
struct Work {
    state: Mutex<WorkState>,
    changed: Condvar,
}

struct WorkState {
    under_way: usize,
    is_forking: bool,
}

static WORK: Work =
    Work { state: Mutex::new(WorkState { under_way: 0, is_forking: false }), changed: Condvar::new() };

/// Work that a fork waits for, until this is dropped; not for ever, since it could be that which forks.
#[derive(Debug)]
pub struct UnderWay(());

/// So long a fork waits at most.
const PATIENCE: Duration = Duration::from_secs(1);

/// A thread of the process's own begins to do something that takes locks which others need. Waits while the process is forking.
#[must_use]
pub fn work() -> UnderWay {
    let state = WORK.state.lock().unwrap_or_else(PoisonError::into_inner);
    let state = WORK.changed.wait_while(state, |state| state.is_forking);
    state.unwrap_or_else(PoisonError::into_inner).under_way += 1;
    UnderWay(())
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = WORK.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the fork has not waited for it, it is not counted in the child.
        state.under_way = state.under_way.saturating_sub(1);
        if state.is_forking {
            WORK.changed.notify_all();
        }
    }
}

fn before_fork_of_work() -> After {
    let mut state = WORK.state.lock().unwrap_or_else(PoisonError::into_inner);
    state.is_forking = true;
    let waited = WORK.changed.wait_timeout_while(state, PATIENCE, |state| state.under_way > 0);
    let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
    Box::new(move |side| {
        state.is_forking = false;
        if side == Side::Child {
            state.under_way = 0;
        }
        drop(state);
        WORK.changed.notify_all();
    })
}
