//! Compilation in the background: what is hot and waits for it, and threads that work on it.
//!
//! What was hottest since it was asked for, by the size of its code, comes first: nothing is compiled that everybody has left meanwhile. A loop whose
//! function waits too comes after it, and is forgotten when anything of its function has been compiled; if it is still interpreted then, it soon becomes hot again.
//!
//! Where code is kept for later runs, functions are compiled for those when there is nothing else to do, and a run of what is cached has not been short.
//!
//! Nobody ever waits for these threads, not even at the end of the process; a fork of it alone lets them finish what they are at. They hold modules weakly, so that one that is dropped is not
//! compiled any more.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use innkeeper_engine::fork;
use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::sync::{Condvar, Mutex, MutexGuard, spawn_for_host, thread};
use innkeeper_engine::tier::{Hot, ModuleParts};

use crate::cache::writer::Occasion;
use crate::worth::function_of;
use crate::{NativeModule, publish};

mod waiting;

use waiting::{Job, Waiting};

/// The queue of an engine; its threads end when it is dropped.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    /// In which process its threads are ([`fork::generation`]).
    generation: u32,
    /// The queue that is there in its place in a fork of that process, where its threads are not, and its lock may be held for ever.
    in_fork: OnceLock<Box<Queue>>,
}

type Compile = dyn Fn(&ModuleParts, &Hot) + Send + Sync;

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    most_threads: usize,
    /// Compiles and publishes.
    compile: Arc<Compile>,
}

#[derive(Default)]
struct State {
    waiting: Waiting,
    /// Functions that are compiled when there is nothing else to do: for later runs rather than for this one.
    later: VecDeque<Later>,
    threads: usize,
    idle: usize,
    is_closed: bool,
}

/// A function that is compiled when there is nothing else to do.
pub(crate) struct Later {
    pub(crate) module: Weak<ModuleParts>,
    pub(crate) func: DefinedFuncIndex,
    /// Not before.
    pub(crate) from: Instant,
}

/// More threads than this would compete with the guest for little.
const MAX_THREADS: usize = 4;

impl Queue {
    pub(crate) fn new() -> Queue {
        Queue::with(most_threads(), publish::compile)
    }

    fn with(most_threads: usize, compile: impl Fn(&ModuleParts, &Hot) + Send + Sync + 'static) -> Queue {
        Queue::of_parts(most_threads, Arc::new(compile))
    }

    fn of_parts(most_threads: usize, compile: Arc<Compile>) -> Queue {
        let (state, changed) = (Mutex::new(State::default()), Condvar::new());
        let shared = Arc::new(Shared { state, changed, most_threads, compile });
        Queue { shared, generation: fork::generation(), in_fork: OnceLock::new() }
    }

    fn of_this_process(&self) -> &Arc<Shared> {
        fork::notice();
        if self.generation == fork::generation() {
            return &self.shared;
        }
        let Shared { most_threads, compile, .. } = &*self.shared;
        let new = || Box::new(Queue::of_parts(*most_threads, Arc::clone(compile)));
        self.in_fork.get_or_init(new).of_this_process()
    }

    /// Lets something be compiled when a thread comes to it.
    pub(crate) fn push(&self, module: Weak<ModuleParts>, what: Hot) {
        let shared = self.of_this_process();
        let mut state = shared.lock();
        state.waiting.push(Job::new(module, what));
        shared.ensure_thread(state);
    }

    /// Lets a function be compiled when a thread has nothing else to do, unless it has been by then.
    pub(crate) fn push_later(&self, later: Later) {
        let shared = self.of_this_process();
        let mut state = shared.lock();
        state.later.push_back(later);
        shared.ensure_thread(state);
    }
}

impl Shared {
    /// Sees to it that there is a thread for a new job.
    fn ensure_thread(self: &Arc<Shared>, mut state: MutexGuard<'_, State>) {
        if state.idle > 0 {
            self.changed.notify_one();
            return;
        }
        if state.threads >= self.most_threads {
            return;
        }
        let shared = Arc::clone(self);
        let thread = thread::Builder::new().name("innkeeper compiler".to_owned());
        // Where there can be no thread, the guest stays interpreted.
        if spawn_for_host(thread, move || shared.work()).is_ok() {
            state.threads += 1;
        }
    }

    fn work(&self) {
        be_modest();
        while let Some(next) = self.next() {
            // The locks of modules, and of what compiling shares, are held now and then.
            let _work = fork::work();
            let Next::Hot(module, what) = next else {
                self.work_for_later();
                continue;
            };
            (self.compile)(&module, &what);
            let loops = self.lock().waiting.take_loops_of(&module, function_of(&what));
            loops.iter().for_each(Job::forget);
            self.write_cache_if_idle(&module);
        }
    }

    /// Compiles a function for later runs.
    fn work_for_later(&self) {
        let Some(Later { module, func, .. }) = self.lock().take_later() else { return };
        let Some(module) = module.upgrade() else { return };
        if let Some(native) = NativeModule::of(&module) {
            native.for_later_runs(func, || (self.compile)(&module, &Hot::Function(func)));
        }
        self.write_cache_if_idle(&module);
    }

    /// Has what is new written, if there is nothing to compile.
    fn write_cache_if_idle(&self, module: &ModuleParts) {
        let state = self.lock();
        let is_idle = state.waiting.is_empty() && state.until_later() != Some(Duration::ZERO);
        drop(state);
        if let (true, Some(native)) = (is_idle, NativeModule::of(module)) {
            native.write_new(Occasion::Idle);
        }
    }

    /// Waits for something to compile; none when the queue is closed.
    fn next(&self) -> Option<Next> {
        loop {
            let mut state = self.wait()?;
            if state.waiting.is_empty() {
                return Some(Next::Later);
            }
            if let Some(job) = state.waiting.take_next() {
                if !state.waiting.is_empty() && state.idle > 0 {
                    self.changed.notify_one();
                }
                drop(state);
                if let Some((module, what)) = job.begin() {
                    return Some(Next::Hot(module, what));
                }
                continue;
            }
            // Not looked through under the lock, which the guest may wait for, and a module's last owner could be us.
            let mut waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.choose();
            self.lock().waiting.append(waiting);
        }
    }

    /// Waits until there is something to do; none when the queue is closed.
    fn wait(&self) -> Option<MutexGuard<'_, State>> {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.is_closed {
            let left = state.until_later();
            if left == Some(Duration::ZERO) {
                break;
            }
            state.idle += 1;
            state = match left {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.idle -= 1;
        }
        (!state.is_closed).then_some(state)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// How long it is until something is to be compiled for later runs, if there is nothing else to do; none where nothing is.
    fn until_later(&self) -> Option<Duration> {
        self.later.front().map(|later| later.from.saturating_duration_since(Instant::now()))
    }

    /// Takes what is next to be compiled for later runs, if it is time for that.
    fn take_later(&mut self) -> Option<Later> {
        let is_time = self.until_later() == Some(Duration::ZERO);
        is_time.then(|| self.later.pop_front())?
    }
}

/// What a thread does next.
enum Next {
    Hot(Arc<ModuleParts>, Hot),
    /// Something for later runs, if nobody else has taken it.
    Later,
}

impl Drop for Queue {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            return;
        }
        let mut state = self.shared.lock();
        state.is_closed = true;
        state.waiting = Waiting::default();
        state.later.clear();
        self.shared.changed.notify_all();
    }
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

#[cfg(test)]
mod tests;
