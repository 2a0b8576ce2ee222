//! Threads of a guest: `wasi` `thread-spawn`.
//!
//! A thread is an instance of the same module in a store of its own; the memory is shared, descriptors and keys are the guest's. It is made on the new
//! thread, and begins in the guest's `wasi_thread_start`. Who exits or traps ends all, and so does a thread that cannot be instantiated; when the first
//! thread's function returns, the others end too.
//!
//! Must stay true: no guest code runs on the stack of whoever starts a thread. A start function that starts one waits for the new instance, so that a
//! module whose every instance starts another is found out rather than going on without end.
//!
//! Specification: <https://github.com/WebAssembly/wasi-threads>

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;

use innkeeper_engine::{
    Budget, Caller, Engine, Error, ExternType, FuncType, Linker, Module, SharedMemory, Sharing, Store,
    ValType,
};

use super::context::Context;
use super::errno::Errno;
use super::thread_start::{Started, Teller};
use crate::host::{Host, ReachedLimit};
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
    host: Host,
    max_threads: u32,
    /// Whether the module exports what threads begin in.
    can_begin: bool,
    state: Mutex<State>,
}

/// Who starts a thread.
#[derive(Clone, Copy, PartialEq)]
enum Spawner {
    /// A start function, or what it calls.
    StartFunction,
    Function,
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

/// Whether a module exports what threads begin in.
fn can_begin(module: &Module) -> bool {
    let ty = FuncType::new([ValType::I32, ValType::I32], []);
    module.exports().any(|export| export.name == THREAD_START && export.ty == ExternType::Func(ty.clone()))
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
                let memory = SharedMemory::with_budget(&engine, ty, budget)?;
                linker.define_shared(import.module, import.name, &memory)?;
            }
        }
        let mut defined = Ok(());
        let group = Arc::new_cyclic(|group: &Weak<Group<T>>| {
            let weak = group.clone();
            defined = define_spawn(&mut linker, move |caller, argument| {
                let from = if caller.is_instantiating() { Spawner::StartFunction } else { Spawner::Function };
                let refused = || Ok(Started::at_once(refused(Errno::NoSys)));
                weak.upgrade().map_or_else(refused, |group| spawn(&group, from, argument))
            });
            Group {
                engine,
                module: module.clone(),
                linker: OnceLock::from(linker),
                data: Box::new(data),
                stopper: stopper.clone(),
                budget: budget.clone(),
                host: context.host.clone(),
                max_threads: context.host().limits().max_threads,
                can_begin: can_begin(module),
                state: Mutex::default(),
            }
        });
        defined?;
        Ok(Threads { group })
    }

    /// The linker to instantiate the first thread's instance with.
    #[must_use]
    pub fn linker(&self) -> &Linker<T> {
        self.group.linker.get_or_init(|| Linker::new(&self.group.engine))
    }

    /// Ends all threads, once the first one has ended with `result`, and waits for them: also for one in a call of the system's that nobody can interrupt, such as on a
    /// disk that hangs. If another thread had ended the guest, gives its reason instead.
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

thread_local! {
    /// Start functions that wait for the instance of this thread, or for one whose start function does.
    static WAITING_STARTS: Cell<u32> = const { Cell::new(0) };
}

/// How many start functions may wait for one another.
const MAX_WAITING_STARTS: u32 = 64;

/// A thread that is about to be.
struct NewThread {
    id: i32,
    argument: i32,
    /// See [`WAITING_STARTS`].
    waiting_starts: u32,
    /// Told when the instance is there, if somebody waits for that.
    instantiated: Option<Teller>,
}

/// Defines `thread-spawn`, which is what `spawn` does. Where it has to wait, it holds the thread that has called, unless the call can wait otherwise.
fn define_spawn<T: Send + 'static>(
    linker: &mut Linker<T>,
    spawn: impl Fn(&Caller<'_, T>, i32) -> Result<Started, Error> + Send + Sync + 'static,
) -> Result<(), Error> {
    let spawn = Arc::new(spawn);
    let now = {
        let spawn = Arc::clone(&spawn);
        move |caller: Caller<'_, T>, argument: i32| spawn(&caller, argument)?.hold_thread()
    };
    #[cfg(not(feature = "async"))]
    linker.func_wrap("wasi", "thread-spawn", now)?;
    #[cfg(feature = "async")]
    linker.func_wrap_blocking_or_async(
        "wasi",
        "thread-spawn",
        now,
        move |caller: Caller<'_, T>, argument: i32| {
            let started = spawn(&caller, argument);
            Box::new(async move { started?.suspend().await })
        },
    )?;
    Ok(())
}

/// Starts a thread. Where a start function does so, it waits for the new instance.
///
/// # Errors
/// Where start functions have started too many.
fn spawn<T: Send + 'static>(group: &Arc<Group<T>>, from: Spawner, argument: i32) -> Result<Started, Error> {
    let waiting_starts = WAITING_STARTS.get() + 1;
    if from == Spawner::StartFunction && waiting_starts > MAX_WAITING_STARTS {
        return Err(Error::limit(format!(
            "the module's start function starts a thread, whose instance's start function starts one, and so on, \
             {MAX_WAITING_STARTS} deep; a program starts its threads from `_start`, or from a start function in one instance only"
        )));
    }
    let id = {
        let mut state = group.state();
        if !group.can_begin {
            return Ok(Started::at_once(refused(Errno::NoSys)));
        }
        if state.running >= group.max_threads || state.last_id == MAX_THREAD_ID {
            group.host.note_limit(ReachedLimit::Threads);
            return Ok(Started::at_once(refused(Errno::Again)));
        }
        state.running += 1;
        state.last_id += 1;
        // What has ended is not kept until the guest does.
        state.handles.retain(|handle| !handle.is_finished());
        state.last_id
    };
    let id = id.cast_signed();
    let (started, thread) = match from {
        Spawner::StartFunction => {
            let (started, teller) = Started::when_told(id);
            (started, NewThread { id, argument, waiting_starts, instantiated: Some(teller) })
        }
        Spawner::Function => {
            (Started::at_once(id), NewThread { id, argument, waiting_starts: 0, instantiated: None })
        }
    };
    match start(group, thread) {
        Ok(handle) => group.state().handles.push(handle),
        Err(errno) => {
            group.state().running -= 1;
            return Ok(Started::at_once(refused(errno)));
        }
    }
    Ok(started)
}

fn start<T: Send + 'static>(group: &Arc<Group<T>>, thread: NewThread) -> Result<JoinHandle<()>, Errno> {
    let mut store =
        Store::with_budget(&group.engine, (group.data)(), &group.budget).map_err(|_| Errno::NoMem)?;
    group.stopper.add_store(store.interrupt_handle());
    let builder = std::thread::Builder::new().name(format!("guest-{}", thread.id));
    let group = Arc::clone(group);
    let run = move || {
        let result = group.run(&mut store, thread);
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
    innkeeper_engine::thread::spawn(builder, run).map_err(|_| Errno::Again)
}

impl<T: Send + 'static> Group<T> {
    /// What a thread does.
    fn run(&self, store: &mut Store<T>, thread: NewThread) -> Result<(), Error> {
        WAITING_STARTS.set(thread.waiting_starts);
        let linker = self.linker.get_or_init(|| Linker::new(&self.engine));
        let entry = linker
            .instantiate(&mut *store, &self.module)
            .and_then(|instance| instance.get_typed_func::<(i32, i32), ()>(&mut *store, THREAD_START));
        let entry = match (entry, thread.instantiated) {
            (Err(error), Some(instantiated)) => {
                // The start function that waits for this ends with the reason, and so the guest does.
                instantiated.tell(Err(error));
                return Ok(());
            }
            (entry, instantiated) => {
                drop(instantiated);
                entry?
            }
        };
        entry.call(store, (thread.id, thread.argument))
    }
}

fn refused(errno: Errno) -> i32 {
    -errno.number()
}

impl<T> std::fmt::Debug for Threads<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Threads").field("started", &self.group.state().last_id).finish_non_exhaustive()
    }
}
