//! Compilation in the background: what is hot and waits for it, and threads that work on it.
//!
//! What was hottest since it was asked for, by the size of its code, comes first: nothing is compiled that everybody has left meanwhile. A loop whose
//! function waits too comes after it, and is forgotten when anything of its function has been compiled; if it is still interpreted then, it soon becomes hot again.
//!
//! Nobody ever waits for these threads, not even at the end of the process. They hold modules weakly, so that one that is dropped is not
//! compiled any more.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{Hot, ModuleParts};

use crate::NativeModule;

/// What is to be compiled.
struct Job {
    module: Weak<ModuleParts>,
    what: Hot,
    /// Whether something else has been preferred.
    has_waited: bool,
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
    jobs: Vec<Job>,
    threads: usize,
    idle: usize,
    is_closed: bool,
}

/// More threads than this would compete with the guest for little.
const MAX_THREADS: usize = 4;

/// A call costs the interpreter about as much as so many branches back.
const BRANCHES_OF_CALL: u64 = 8;

/// Compiling any function costs about as much as so many bytes of body.
const BYTES_OF_FUNCTION: u64 = 64;

impl Queue {
    pub(crate) fn new() -> Queue {
        Queue(Arc::default())
    }

    /// Lets something be compiled when a thread comes to it.
    pub(crate) fn push(&self, module: Weak<ModuleParts>, what: Hot) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.jobs.push(Job { module, what, has_waited: false });
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
        while let Some((module, what)) = self.next() {
            compile(&module, &what);
            let func = function_of(&what);
            self.lock().jobs.retain(|job| {
                let is_same = Weak::as_ptr(&job.module) == Arc::as_ptr(&module)
                    && matches!(&job.what, Hot::Loop(entry) if entry.func == func);
                if is_same {
                    module.code().cool(&job.what);
                }
                !is_same
            });
        }
    }

    /// Waits for something to compile; none when the queue is closed.
    fn next(&self) -> Option<(Arc<ModuleParts>, Hot)> {
        loop {
            // Not looked through under the lock, which the guest may wait for, and a module's last owner could be us.
            let mut jobs = self.all()?;
            let hottest = take_hottest(&mut jobs);
            let mut state = self.lock();
            state.jobs.append(&mut jobs);
            if !state.jobs.is_empty() && state.idle > 0 {
                self.changed.notify_one();
            }
            drop(state);
            if hottest.is_some() {
                return hottest;
            }
        }
    }

    /// Waits for jobs and takes them all.
    fn all(&self) -> Option<Vec<Job>> {
        let mut state = self.lock();
        while state.jobs.is_empty() && !state.is_closed {
            state.idle += 1;
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
        (!state.is_closed).then(|| std::mem::take(&mut state.jobs))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// The function that is to be compiled, if it is not a loop.
    fn function(&self) -> Option<(*const ModuleParts, DefinedFuncIndex)> {
        match &self.what {
            Hot::Function(func) => Some((Weak::as_ptr(&self.module), *func)),
            Hot::Loop(_) => None,
        }
    }
}

/// Takes what is worth most, and forgets what is worth nothing any more.
fn take_hottest(jobs: &mut Vec<Job>) -> Option<(Arc<ModuleParts>, Hot)> {
    let waiting: HashSet<_> = jobs.iter().filter_map(Job::function).collect();
    let mut hottest: Option<(u64, usize)> = None;
    let mut i = 0;
    while i < jobs.len() {
        let job = &mut jobs[i];
        let Some(module) = job.module.upgrade() else {
            jobs.swap_remove(i);
            continue;
        };
        let worth = worth(&module, &job.what);
        if worth == 0 && job.has_waited {
            module.code().cool(&job.what);
            jobs.swap_remove(i);
            continue;
        }
        job.has_waited = true;
        let of = (Weak::as_ptr(&job.module), function_of(&job.what));
        let is_behind = matches!(job.what, Hot::Loop(_)) && waiting.contains(&of);
        if !is_behind && hottest.is_none_or(|(most, _)| worth >= most) {
            hottest = Some((worth, i));
        }
        i += 1;
    }
    let job = jobs.swap_remove(hottest?.1);
    Some((job.module.upgrade()?, job.what))
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        state.jobs.clear();
        self.0.changed.notify_all();
    }
}

/// Compiles and publishes.
pub(crate) fn compile(module: &ModuleParts, what: &Hot) {
    let code = module.code();
    let Some(native) = code.native().and_then(|native| native.downcast_ref::<NativeModule>()) else { return };
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
            }
        }
    }
}

fn function_of(what: &Hot) -> DefinedFuncIndex {
    match what {
        Hot::Function(func) => *func,
        Hot::Loop(entry) => entry.func,
    }
}

/// How much interpretation compiling would have saved since it was asked for, by what it costs.
fn worth(module: &ModuleParts, what: &Hot) -> u64 {
    let times = module.code().heat(what);
    let branches = match what {
        Hot::Function(_) => BRANCHES_OF_CALL,
        Hot::Loop(_) => u64::from(module.engine().config().tuning.tier_up.branches_back),
    };
    // Small numbers divided by large ones would not tell much.
    const SCALE: u64 = 1 << 16;
    let bytes = module.body_range(function_of(what)).len() as u64 + BYTES_OF_FUNCTION;
    times.saturating_mul(branches).saturating_mul(SCALE) / bytes
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
