//! Threads of a guest: `wasi` `thread-spawn`.
//!
//! A thread is an instance of the same module in a store of its own; the memory is shared, descriptors and keys are the guest's. It begins
//! in the guest's `wasi_thread_start`. Who exits or traps ends all; when the first thread's function returns, the others end too.
//!
//! Specification: <https://github.com/WebAssembly/wasi-threads>

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;

use innkeeper_engine::{
    Budget, Caller, Engine, Error, ExternType, Linker, Module, SharedMemory, Sharing, Store,
};

use super::context::Context;
use super::errno::Errno;
use crate::stop::{StopReason, Stopper};

/// What a module that uses threads exports, of type (i32, i32) -> ().
const THREAD_START: &str = "wasi_thread_start";

/// Thread numbers are positive and leave the upper bits to libraries.
const MAX_THREAD_ID: u32 = (1 << 29) - 1;

/// The threads of one guest.
pub struct Threads<T: 'static> {
    group: Arc<Group<T>>,
}

struct Group<T: 'static> {
    engine: Engine,
    module: Module,
    linker: OnceLock<Linker<T>>,
    /// The data of a new thread's store.
    data: Box<dyn Fn() -> T + Send + Sync>,
    stopper: Stopper,
    budget: Budget,
    max_threads: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_id: u32,
    running: u32,
    handles: Vec<JoinHandle<()>>,
    /// Why a thread ended all.
    ending: Option<Error>,
}

/// Whether a module is made for threads: it may start some, or wants its memory from the host, as it must be to be shared.
#[must_use]
pub fn uses_threads(module: &Module) -> bool {
    module.imports().any(|import| match import.ty {
        ExternType::Memory(ty) => ty.sharing == Sharing::Shared,
        _ => import.module == "wasi" && import.name == "thread-spawn",
    })
}

impl<T: Send + 'static> Threads<T> {
    /// Prepares `linker`, which has everything else that the module imports, for a module that may start threads: defines `thread-spawn`, and each shared memory
    /// that the module imports and nobody provides.
    ///
    /// `data` gives a new thread's store its data, which should be clones of one context; `stopper` is told of every store.
    ///
    /// # Errors
    /// The memory cannot be made.
    pub fn new(
        mut linker: Linker<T>,
        module: &Module,
        (context, stopper): (&Context, &Stopper),
        data: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<Threads<T>, Error> {
        let engine = linker.engine().clone();
        let budget = context.host().budget();
        for import in module.imports() {
            if let ExternType::Memory(ty) = import.ty
                && ty.sharing == Sharing::Shared
            {
                linker.define_shared(
                    import.module,
                    import.name,
                    &SharedMemory::with_budget(&engine, ty, budget)?,
                );
            }
        }
        let group = Arc::new_cyclic(|group: &Weak<Group<T>>| {
            let weak = group.clone();
            linker.func_wrap("wasi", "thread-spawn", move |_: Caller<'_, T>, argument: i32| {
                weak.upgrade().map_or(refused(Errno::NoSys), |group| spawn(&group, argument))
            });
            Group {
                engine,
                module: module.clone(),
                linker: OnceLock::from(linker),
                data: Box::new(data),
                stopper: stopper.clone(),
                budget: budget.clone(),
                max_threads: context.host().limits().max_threads,
                state: Mutex::default(),
            }
        });
        Ok(Threads { group })
    }

    /// The linker to instantiate the first thread's instance with.
    #[must_use]
    pub fn linker(&self) -> &Linker<T> {
        self.group.linker.get_or_init(|| Linker::new(&self.group.engine))
    }

    /// Ends all threads, once the first one has ended with `result`, and waits for them. If another thread had ended the guest, gives
    /// its reason instead.
    ///
    /// # Errors
    /// That of the guest.
    pub fn finish<R>(self, result: Result<R, Error>) -> Result<R, Error> {
        // Threads that are still running are only waited for; the first thread's own reason stands unless another came first.
        let stopped_before = self.group.stopper.stopped().is_some();
        if !stopped_before {
            self.group.stopper.stop(StopReason::Interrupt);
        }
        loop {
            let handles = std::mem::take(&mut self.group.state().handles);
            if handles.is_empty() {
                break;
            }
            for handle in handles {
                // A thread's panic has been shown where it happened.
                let _ = handle.join();
            }
        }
        match self.group.state().ending.take() {
            Some(error) if stopped_before => Err(error),
            _ => result,
        }
    }
}

impl<T> Group<T> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a thread; gives its number, or a negative error number.
fn spawn<T: Send + 'static>(group: &Arc<Group<T>>, argument: i32) -> i32 {
    let id = {
        let mut state = group.state();
        if state.running >= group.max_threads || state.last_id == MAX_THREAD_ID {
            return refused(Errno::Again);
        }
        state.running += 1;
        state.last_id += 1;
        // What has ended is not kept until the guest does.
        state.handles.retain(|handle| !handle.is_finished());
        state.last_id
    };
    let started = start(group, id.cast_signed(), argument);
    let mut state = group.state();
    match started {
        Ok(handle) => {
            state.handles.push(handle);
            id.cast_signed()
        }
        Err(errno) => {
            state.running -= 1;
            refused(errno)
        }
    }
}

fn start<T: Send + 'static>(group: &Arc<Group<T>>, id: i32, argument: i32) -> Result<JoinHandle<()>, Errno> {
    let linker = group.linker.get().ok_or(Errno::NoSys)?;
    let mut store =
        Store::with_budget(&group.engine, (group.data)(), &group.budget).map_err(|_| Errno::NoMem)?;
    group.stopper.add_store(store.interrupt_handle());
    let instance = linker.instantiate(&mut store, &group.module).map_err(|_| Errno::NoMem)?;
    let entry =
        instance.get_typed_func::<(i32, i32), ()>(&mut store, THREAD_START).map_err(|_| Errno::NoSys)?;
    let group = Arc::clone(group);
    let run = move || {
        let result = entry.call(&mut store, (id, argument));
        drop(store);
        let mut state = group.state();
        state.running -= 1;
        if let Err(error) = result {
            // Being stopped is no reason of its own; the first reason counts.
            if group.stopper.stopped().is_none() {
                state.ending.get_or_insert(error);
                drop(state);
                group.stopper.stop(StopReason::Interrupt);
            }
        }
    };
    std::thread::Builder::new().name(format!("guest-{id}")).spawn(run).map_err(|_| Errno::Again)
}

fn refused(errno: Errno) -> i32 {
    -errno.number()
}

impl<T> std::fmt::Debug for Threads<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("started", &self.group.state().last_id).finish_non_exhaustive()
    }
}
