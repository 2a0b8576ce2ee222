//! One guest's state, and who may use it when.
//!
//! A store is idle, or its guest runs and nobody may touch it, or a function of Python's runs on the guest's behalf, and the thread that runs it may use the store through that
//! call. [`Shared::with`] is the only way in.
//!
//! Must stay true: a caller is there for others from when a function of Python's begins until it ends, on its own thread, and is taken away before it goes. A guest whose memory
//! Python can see runs with Python's lock, whenever the view was made: before the call, or by a function of Python's that the guest has called ([`PythonsLock`]).

use std::cell::Cell;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use ::innkeeper::wasi::keys::Capture;
use ::innkeeper::wasi::p1::Context;
use ::innkeeper::{AsContextMut, Backtrace, Caller, StoreContextMut};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::engine::Engine;
use crate::error::{OrRaise, Result, refused};
use crate::keys::Keys;

/// What a guest's functions of the host see.
pub(crate) struct Data {
    /// The guest's WASI.
    pub(crate) wasi: Context,
    /// The store that this is the data of.
    pub(crate) shared: Weak<Shared>,
}

/// Who may use the store.
enum State {
    Idle(Box<::innkeeper::Store<Data>>),
    /// The guest runs, or somebody uses the store.
    Busy,
    /// A function of Python's runs, on this thread.
    InFunction(ThreadId, CallerOfFunction),
}

/// The caller of a function of Python's, for as long as that runs.
struct CallerOfFunction(*mut Caller<'static, Data>);

// SAFETY: it is used on the thread that has made it alone, which `Shared::with` checks.
unsafe impl Send for CallerOfFunction {}

/// A store, for all that belongs to it.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// How many views of its memories Python has.
    views: AtomicUsize,
}

impl Shared {
    pub(crate) fn new(store: ::innkeeper::Store<Data>) -> Arc<Shared> {
        let shared =
            Arc::new(Shared { state: Mutex::new(State::Idle(Box::new(store))), views: AtomicUsize::new(0) });
        if let State::Idle(store) = &mut *shared.state() {
            store.data_mut().shared = Arc::downgrade(&shared);
        }
        shared
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` with the store.
    ///
    /// # Errors
    /// Where somebody else uses it.
    pub(crate) fn with<R>(&self, work: impl FnOnce(StoreContextMut<'_, Data>) -> R) -> Result<R> {
        let mut used = self.take()?;
        Ok(work(used.context()))
    }

    /// Does `work`, which may run the guest, with the store: without Python's lock, so that its other threads go on, unless Python can see the guest's memory.
    ///
    /// # Errors
    /// Where somebody else uses it.
    pub(crate) fn run<R: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(StoreContextMut<'_, Data>) -> R + Send,
    ) -> Result<R> {
        let mut used = self.take()?;
        let context = used.context();
        if self.views.load(Ordering::Acquire) > 0 {
            let _lock = PythonsLock::kept();
            return Ok(work(context));
        }
        Ok(py.detach(|| {
            let _lock = PythonsLock::given_up();
            work(context)
        }))
    }

    fn take(&self) -> Result<Used<'_>> {
        let mut state = self.state();
        match &*state {
            State::Busy => Err(refused("the store is in use: its guest runs, on another thread")),
            State::InFunction(thread, _) if *thread != thread::current().id() => Err(refused(
                "the store is in use: its guest has called a function of Python's, on another thread",
            )),
            _ => Ok(Used { shared: self, state: mem::replace(&mut *state, State::Busy) }),
        }
    }

    /// Lets the thread use the store, of which `caller` tells, while `work` is under way.
    pub(crate) fn in_function<R>(&self, caller: &mut Caller<'_, Data>, work: impl FnOnce() -> R) -> R {
        let caller = CallerOfFunction((&raw mut *caller).cast());
        let _ends = Ends(self);
        *self.state() = State::InFunction(thread::current().id(), caller);
        work()
    }

    /// Before the guest goes on after a function of Python's, which may have made views of its memory, or dropped them.
    pub(crate) fn guest_goes_on(&self) {
        PythonsLock::hold(self.views.load(Ordering::Acquire) > 0);
    }

    /// One more view of a memory.
    pub(crate) fn add_view(&self) {
        self.views.fetch_add(1, Ordering::AcqRel);
    }

    /// One less.
    pub(crate) fn drop_view(&self) {
        self.views.fetch_sub(1, Ordering::AcqRel);
    }
}

thread_local! {
    /// What to let go of Python's lock with, where the innermost guest on this thread was called without it and has it after all; none where that guest was called with it, and
    /// outside of guests.
    static LOCK: Cell<Option<Held>> = const { Cell::new(None) };
}

/// Whether a guest that was called without Python's lock has it.
type Held = Option<ffi::PyGILState_STATE>;

/// A guest's call, with or without Python's lock, until this is dropped; the lock is then let go if the guest was called without it and has got it meanwhile. What holds for the
/// guest that has called this one through Python is put back.
struct PythonsLock(Option<Held>);

impl PythonsLock {
    /// For a guest that is called without the lock.
    fn given_up() -> PythonsLock {
        PythonsLock(LOCK.replace(Some(None)))
    }

    /// For a guest that is called with the lock, and keeps it to its end.
    fn kept() -> PythonsLock {
        PythonsLock(LOCK.replace(None))
    }

    /// Takes the lock for the guest, or lets it go; nothing where the guest was called with it.
    fn hold(is_wanted: bool) {
        let Some(held) = LOCK.get() else { return };
        LOCK.set(Some(match (held, is_wanted) {
            // SAFETY: Python is there, since it has called the guest, and this thread has given its lock up, which `Shared::run` sees to. Each is let go of once, below, in the
            // opposite order: guests that call each other through Python end one by one.
            (None, true) => Some(unsafe { ffi::PyGILState_Ensure() }),
            (Some(state), false) => {
                // SAFETY: it is what taking it has given, on this thread.
                unsafe { ffi::PyGILState_Release(state) };
                None
            }
            (held, _) => held,
        }));
    }
}

impl Drop for PythonsLock {
    fn drop(&mut self) {
        PythonsLock::hold(false);
        LOCK.set(self.0);
    }
}

/// The guest goes on when this is dropped: its caller is no longer there for anybody.
struct Ends<'a>(&'a Shared);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        *self.0.state() = State::Busy;
    }
}

/// The store while somebody uses it; put back when this is dropped.
struct Used<'a> {
    shared: &'a Shared,
    state: State,
}

impl Used<'_> {
    fn context(&mut self) -> StoreContextMut<'_, Data> {
        match &mut self.state {
            State::Idle(store) => store.as_context_mut(),
            // SAFETY: `in_function` has put it there, and has not returned: it runs on this thread (`take` has checked that), below this call. Meanwhile nobody else has
            // it, since the state is busy, and whoever handed it to `in_function` has lent it exclusively.
            State::InFunction(_, caller) => unsafe { (*caller.0).as_context_mut() },
            State::Busy => unreachable!("`take` takes a store that nobody uses"),
        }
    }
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        *self.shared.state() = mem::replace(&mut self.state, State::Busy);
    }
}

/// What one guest, or several that share references, have: instances, memories, and the keys to the system.
///
/// `keys`: what WASI lets the guest reach; nothing without. `deadline`: seconds from now until whatever the guest does ends with a trap, in all calls together; then every call does, until `set_deadline`. `fuel`: how many instructions it may execute, for
/// engines with `fuel=True`.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Store {
    pub(crate) shared: Arc<Shared>,
    stdout: Option<Capture>,
    stderr: Option<Capture>,
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (engine, keys = None, *, deadline = None, fuel = None))]
    fn new(
        py: Python<'_>,
        engine: &Engine,
        keys: Option<&Keys>,
        deadline: Option<f64>,
        fuel: Option<u64>,
    ) -> Result<Store> {
        let engine = &engine.engine;
        let (keys, stdout, stderr) = keys.map(Keys::open).transpose()?.unwrap_or_default();
        let wasi = Context::new(&keys).or_raise(py)?;
        let mut builder = ::innkeeper::Store::builder(engine, Data { wasi, shared: Weak::new() });
        if let Some(deadline) = deadline {
            builder = builder.deadline(seconds(deadline)?);
        }
        if let Some(fuel) = fuel {
            builder = builder.fuel(fuel);
        }
        let store = builder.build().or_raise(py)?;
        Ok(Store { shared: Shared::new(store), stdout, stderr })
    }

    /// Has whatever the guest does end with a trap so many seconds from now, and every later call at once, until this is called again; none: takes the deadline back.
    #[pyo3(signature = (seconds))]
    fn set_deadline(&self, py: Python<'_>, seconds: Option<f64>) -> Result<()> {
        let after = seconds.map(self::seconds).transpose()?;
        let mut used = self.shared.take()?;
        match &mut used.state {
            State::Idle(store) => store.set_deadline(after).or_raise(py),
            _ => Err(refused("a deadline is set between the guest's calls, not in one")),
        }
    }

    /// In a function that the guest has called: the guest's functions that have led there, innermost first, one a line, as a trap's; empty outside.
    fn backtrace(&self) -> Result<String> {
        self.shared.with(|store| Backtrace::capture(store).to_string())
    }

    /// How much fuel is left.
    #[getter]
    fn fuel(&self, py: Python<'_>) -> Result<u64> {
        self.shared.with(|store| store.fuel())?.or_raise(py)
    }

    /// What the guest has written to its standard output so far, where the keys say `stdout="capture"`.
    #[getter]
    fn stdout<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.stdout.as_ref().map(|capture| PyBytes::new(py, &capture.contents()))
    }

    /// As `stdout`, of its standard error.
    #[getter]
    fn stderr<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.stderr.as_ref().map(|capture| PyBytes::new(py, &capture.contents()))
    }
}

/// A number of seconds as a time.
pub(crate) fn seconds(number: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(number).map_err(|_| refused(format!("{number} seconds are no time")))
}
