//! Compilation in the background: a queue of what is hot, and threads that work on it.
//!
//! Nobody ever waits for these threads, not even at the end of the process. They hold modules weakly, so that one that is dropped is not
//! compiled any more.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};

use innkeeper_engine::tier::{Hot, ModuleParts};

use crate::NativeModule;
use crate::cache::keep::Occasion;

/// What is to be compiled.
struct Job {
    module: Weak<ModuleParts>,
    what: Hot,
}

/// The queue of an engine; its threads end when it is dropped.
pub(crate) struct Queue(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// What is done when there is nothing else to do: for later runs rather than for this one.
    later: VecDeque<Job>,
    threads: usize,
    idle: usize,
    is_closed: bool,
}

/// More threads than this would compete with the guest for little.
const MAX_THREADS: usize = 4;

impl Queue {
    pub(crate) fn new() -> Queue {
        Queue(Arc::default())
    }

    /// Lets something be compiled when a thread comes to it.
    pub(crate) fn push(&self, module: Weak<ModuleParts>, what: Hot) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.jobs.push_back(Job { module, what });
        self.attend(state);
    }

    /// Lets something be compiled when a thread has nothing else to do, unless it has been by then.
    pub(crate) fn push_later(&self, module: Weak<ModuleParts>, what: Hot) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.later.push_back(Job { module, what });
        self.attend(state);
    }

    /// Sees to it that there is a thread for a new job.
    fn attend(&self, mut state: MutexGuard<'_, State>) {
        if state.idle > 0 {
            self.0.changed.notify_one();
            return;
        }
        if state.threads >= most_threads() {
            return;
        }
        let shared = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("innkeeper compiler".to_owned());
        // Where there can be no thread, the guest stays interpreted.
        if thread.spawn(move || shared.work()).is_ok() {
            state.threads += 1;
        }
    }
}

impl Shared {
    fn work(&self) {
        be_modest();
        while let Some((job, is_late)) = self.next() {
            let Some(module) = job.module.upgrade() else { continue };
            let native = native(&module);
            if !is_late {
                compile(&module, &job.what);
            } else if let (Hot::Function(func), Some(native)) = (&job.what, native) {
                native.for_later_runs(*func, || compile(&module, &job.what));
            }
            if let Some(native) = native
                && self.is_idle()
            {
                native.keep(Occasion::Idle);
            }
        }
    }

    /// The next job, and whether it is one for later runs; none where the queue is gone.
    fn next(&self) -> Option<(Job, bool)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(job) = state.jobs.pop_front() {
                return Some((job, false));
            }
            if let Some(job) = state.later.pop_front() {
                return Some((job, true));
            }
            state.idle += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    fn is_idle(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.jobs.is_empty() && state.later.is_empty()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        state.jobs.clear();
        state.later.clear();
        self.0.changed.notify_all();
    }
}

/// Compiles and publishes.
pub(crate) fn compile(module: &ModuleParts, what: &Hot) {
    let code = module.code();
    let Some(native) = native(module) else { return };
    let call_slots = |func| module.func_type(module.type_of_func(module.func_index(func))).call_slots();
    match what {
        Hot::Function(func) => {
            if let Some(compiled) = native.compile(module, *func) {
                code.publish(*func, call_slots(*func), compiled);
            }
        }
        Hot::Loop(entry) => {
            if let Some(compiled) = native.compile_loop(module, entry) {
                code.publish_loop(entry.func, entry.position, call_slots(entry.func), compiled);
                native.whole_later(entry.func);
            }
        }
    }
}

fn native(module: &ModuleParts) -> Option<&NativeModule> {
    module.code().native().and_then(|native| native.downcast_ref())
}

fn most_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    processors.saturating_sub(1).clamp(1, MAX_THREADS)
}

/// Lets other threads go first.
fn be_modest() {
    const NICENESS: i32 = 2;
    // On Linux, a thread's own.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
}
