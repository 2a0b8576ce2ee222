//! One guest's state, and who may use it when.
//!
//! A store is idle, or its guest runs and nobody may touch it, or a function of Python's runs on the guest's behalf, and the thread that runs it may use the store through that
//! call. [`Store::with`] and [`Store::run`] are the only ways in. All that belongs to a store (instances, functions, memories) refers to the one object of Python's that it is, and what
//! it refers to in turn are its [`Objects`]: so Python's garbage collector sees every cycle that a store is part of.
//!
//! Must stay true: a caller is there for others from when a function of Python's begins until it ends, on its own thread, and is taken away before it goes. A guest whose memory
//! Python can see runs with Python's lock, whenever the view was made: before the call, or by a function of Python's that the guest has called ([`PythonsLock`]). What was ever seen of
//! its memories stays mapped until nobody has an object that shows it ([`Store::add_shown`]).
//! Nothing in the engine's store is a reference of Python's, except while its guest runs ([`Data::owner`]).

use std::ffi::OsString;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use ::innkeeper::wasi::keys::Capture;
use ::innkeeper::wasi::p1::Context;
use ::innkeeper::{AsContextMut, Backtrace, Caller, Metering, StoreContextMut};
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::argument::argument;
use crate::engine::Engine;
use crate::error::{OrRaise, Result, refused};
use crate::finalizing::or_stay;
use crate::greenlets;
use crate::keys::Keys;
use crate::left;
use crate::lock::PythonsLock;
use crate::objects::Objects;

/// What a guest's functions of the host see.
pub(crate) struct Data {
    /// The guest's WASI.
    pub(crate) wasi: Context,
    /// The store that this is the data of, while its guest runs.
    pub(crate) owner: Option<Py<Store>>,
}

/// Who may use the store.
enum State {
    Idle(Box<::innkeeper::Store<Data>>),
    /// The guest runs, or somebody uses the store, on this thread.
    Busy(ThreadId),
    /// A function of Python's runs, on this thread.
    InFunction(ThreadId, CallerOfFunction),
    /// There is no guest any more; but its memories, where Python may still have addresses of them.
    Closed(Option<Box<::innkeeper::Store<Data>>>),
}

/// The caller of a function of Python's, for as long as that runs.
struct CallerOfFunction(*mut Caller<'static, Data>);

// SAFETY: it is used on the thread that has made it alone, which `Store::take` checks.
unsafe impl Send for CallerOfFunction {}

/// What one guest, or several that share references, have: instances, memories, and the keys to the system.
///
/// `keys`: what WASI lets the guest reach; nothing without. `deadline`: seconds from now until whatever the guest does ends with a trap, in all calls together; then every call does, until `set_deadline`. `fuel`: how many instructions it may execute, for
/// engines with `fuel=True`. In a `with` statement it is closed at the end.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Store {
    state: Mutex<State>,
    /// How many views of its memories Python has.
    views: AtomicUsize,
    /// How many objects there are that have shown memories of its, in views that may be gone.
    shown: AtomicUsize,
    pub(crate) objects: Arc<Objects>,
    stdout: Option<Capture>,
    stderr: Option<Capture>,
}

impl Store {
    pub(crate) const WANTED: &str = "an innkeeper.Store";

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `work` with the store.
    ///
    /// # Errors
    /// Where somebody else uses it, and where it is closed.
    pub(crate) fn with<R>(&self, work: impl FnOnce(StoreContextMut<'_, Data>) -> R) -> Result<R> {
        let mut used = self.take()?;
        Ok(work(used.context()))
    }

    /// Does `work`, which may run the guest, with the store: without Python's lock, so that its other threads go on, unless Python can see the guest's memory.
    ///
    /// # Errors
    /// Where somebody else uses it, and where it is closed.
    pub(crate) fn run<R: Send>(
        slf: &Bound<'_, Store>,
        work: impl FnOnce(StoreContextMut<'_, Data>) -> R + Send,
    ) -> Result<R> {
        let (py, store) = (slf.py(), slf.get());
        let mut used = store.take()?;
        let mut context = used.context();
        // Until `used` is dropped, if the store was idle.
        context.data_mut().owner.get_or_insert_with(|| slf.clone().unbind());
        let is_seen = store.has_views();
        let done = or_stay(|| {
            py.detach(|| {
                let _lock = PythonsLock::given_up();
                PythonsLock::hold(is_seen);
                work(context)
            })
        });
        drop(used);
        match store.objects.take_raised() {
            None => Ok(done),
            Some(raised) => Err(raised),
        }
    }

    fn take(&self) -> Result<Used<'_>> {
        let this = thread::current().id();
        greenlets::check()?;
        let mut state = self.state();
        match &*state {
            State::Closed(_) => Err(refused("the store is closed")),
            State::Busy(thread) if *thread == this => Err(refused(
                "the store is in use, by this thread itself: of what runs in the middle of a call, only functions that the guest imports can use its store",
            )),
            State::Busy(_) => Err(refused("the store is in use: its guest runs, on another thread")),
            State::InFunction(thread, _) if *thread != this => Err(refused(
                "the store is in use: its guest has called a function of Python's, on another thread",
            )),
            _ => Ok(Used { store: self, state: mem::replace(&mut *state, State::Busy(this)) }),
        }
    }

    /// Lets the thread use the store, of which `caller` tells, while `work` is under way, a function of Python's.
    pub(crate) fn in_function<R>(
        &self,
        py: Python<'_>,
        caller: &mut Caller<'_, Data>,
        work: impl FnOnce() -> R,
    ) -> R {
        let caller = CallerOfFunction((&raw mut *caller).cast());
        let _ends = Ends(self);
        *self.state() = State::InFunction(thread::current().id(), caller);
        greenlets::in_function(py, work)
    }

    /// Lets go, when what this gives is dropped, of the references that were made meanwhile outside of functions of Python's: what Python has of them are its own objects.
    pub(crate) fn references(&self) -> References<'_> {
        References(self)
    }

    /// Whether Python can see a memory of the store's.
    pub(crate) fn has_views(&self) -> bool {
        self.views.load(Ordering::Acquire) > 0
    }

    /// One more view of a memory.
    pub(crate) fn add_view(&self) {
        self.views.fetch_add(1, Ordering::AcqRel);
    }

    /// One less.
    pub(crate) fn drop_view(&self) {
        self.views.fetch_sub(1, Ordering::AcqRel);
    }

    /// One more object that shows a memory of its to Python: somebody may have addresses of it until the object goes.
    pub(crate) fn add_shown(&self) {
        self.shown.fetch_add(1, Ordering::AcqRel);
    }

    /// One less.
    pub(crate) fn drop_shown(&self) {
        self.shown.fetch_sub(1, Ordering::AcqRel);
        self.drop_what_nobody_sees();
    }

    /// Lets go of the memories of a store that is closed, once nobody can have an address of them.
    fn drop_what_nobody_sees(&self) {
        let mut state = self.state();
        let unseen = match &mut *state {
            State::Closed(kept) if self.shown.load(Ordering::Acquire) == 0 => kept.take(),
            _ => None,
        };
        drop(state);
        drop(unseen);
    }
}

/// See [`Store::references`].
pub(crate) struct References<'a>(&'a Store);

impl Drop for References<'_> {
    fn drop(&mut self) {
        // Those of a function go when it returns. Where somebody else has the store by now, they go with theirs.
        if let Ok(mut used) = self.0.take()
            && let State::Idle(store) = &mut used.state
        {
            store.release_references();
        }
    }
}

/// The guest goes on when this is dropped: its caller is no longer there for anybody.
struct Ends<'a>(&'a Store);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        *self.0.state() = State::Busy(thread::current().id());
    }
}

/// The store while somebody uses it; put back when this is dropped.
struct Used<'a> {
    store: &'a Store,
    state: State,
}

impl Used<'_> {
    fn context(&mut self) -> StoreContextMut<'_, Data> {
        match &mut self.state {
            State::Idle(store) => store.as_context_mut(),
            // SAFETY: `in_function` has put it there, and has not returned: it runs on this thread (`take` has checked that), below this call. Meanwhile nobody else has
            // it, since the state is busy, and whoever handed it to `in_function` has lent it exclusively.
            State::InFunction(_, caller) => unsafe { (*caller.0).as_context_mut() },
            State::Busy(_) | State::Closed(_) => unreachable!("`take` takes a store that nobody uses"),
        }
    }
}

impl Drop for Used<'_> {
    fn drop(&mut self) {
        let owner = match &mut self.state {
            State::Idle(store) => store.data_mut().owner.take(),
            _ => None,
        };
        *self.store.state() = mem::replace(&mut self.state, State::Closed(None));
        drop(owner);
    }
}

#[pymethods]
impl Store {
    #[new]
    #[pyo3(signature = (engine, keys = None, *, deadline = None, fuel = None))]
    fn new(
        py: Python<'_>,
        engine: &Bound<'_, PyAny>,
        keys: Option<&Bound<'_, PyAny>>,
        deadline: Option<&Bound<'_, PyAny>>,
        fuel: Option<&Bound<'_, PyAny>>,
    ) -> Result<Store> {
        let engine = argument("engine", engine).of_class::<Engine>(Engine::WANTED)?;
        let keys = keys.map(|keys| argument("keys", keys).of_class::<Keys>(Keys::WANTED)).transpose()?;
        let objects: Arc<Objects> = Arc::default();
        let opened = keys.map(|keys| keys.get().open(py, &objects));
        let (keys, stdout, stderr) = opened.unwrap_or_default();
        let wasi = Context::new(&keys).or_raise(py)?;
        let engine = &engine.get().engine;
        // What the keys make the host hold is counted together with what the store holds.
        let budget = wasi.host().budget().clone();
        budget.restrict_as_engine(engine);
        let data = Data { wasi, owner: None };
        let mut builder = ::innkeeper::Store::builder(engine, data).budget(&budget);
        if let Some(deadline) = deadline {
            builder = builder.deadline(argument("deadline", deadline).seconds()?);
        }
        if let Some(fuel) = fuel {
            let units = argument("fuel", fuel).count()?;
            if engine.config().metering == Metering::Off {
                return Err(refused("the engine counts no fuel: Engine(fuel=True) does"));
            }
            builder = builder.fuel(units);
        }
        let store = builder.build().or_raise(py)?;
        // There is none yet.
        let _ = objects.stop.set(store.interrupt_handle());
        let state = Mutex::new(State::Idle(Box::new(store)));
        Ok(Store { state, views: AtomicUsize::new(0), shown: AtomicUsize::new(0), objects, stdout, stderr })
    }

    /// Has whatever the guest does end with a trap so many seconds from now, and every later call at once, until this is called again; none: takes the deadline back.
    #[pyo3(signature = (seconds))]
    fn set_deadline(&self, py: Python<'_>, seconds: Option<&Bound<'_, PyAny>>) -> Result<()> {
        let after = seconds.map(|seconds| argument("seconds", seconds).seconds()).transpose()?;
        let mut used = self.take()?;
        match &mut used.state {
            State::Idle(store) => store.set_deadline(after).or_raise(py),
            _ => Err(refused("a deadline is set between the guest's calls, not in one")),
        }
    }

    /// Ends the guest and gives back all that it holds: memories, open files, functions of Python's. What it has written and is kept can still be read; everything else of the store is
    /// refused from now on. A closed store can be closed again.
    ///
    /// A store that has a `memoryview` is not closed. Memories of which there was one stay where they are until the `Memory` objects are gone that have shown them, since an array of
    /// `numpy` keeps nothing else.
    fn close(&self) -> Result<()> {
        if self.has_views() {
            return Err(PyBufferError::new_err(
                "a view of the store's memory is still there: release it before",
            ));
        }
        let mut state = self.state();
        let store = match &*state {
            State::Closed(_) => return Ok(()),
            State::Idle(_) => mem::replace(&mut *state, State::Closed(None)),
            _ => return Err(refused("a store is closed between its guest's calls, not in one")),
        };
        drop(state);
        // What goes with it may be Python's, and use the store, which is closed by now.
        if let State::Idle(mut store) = store {
            if self.shown.load(Ordering::Acquire) == 0 {
                drop(store);
            } else {
                // Its files go, and what it has of Python's, below.
                if let Ok(none) = Context::new(&::innkeeper::wasi::keys::Keys::default()) {
                    store.data_mut().wasi = none;
                }
                *self.state() = State::Closed(Some(store));
                self.drop_what_nobody_sees();
            }
        }
        self.objects.clear();
        Ok(())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_why))]
    fn __exit__(&self, _why: &Bound<'_, PyTuple>) -> Result<()> {
        self.close()
    }

    /// Lets go of the objects that were given to guests (as `externref`) and that these do not refer to any more. It is done now and then anyway, by how many there are: but nobody can
    /// tell how large they are.
    fn collect_garbage(&self) -> Result<()> {
        self.with(|mut store| store.gc())
    }

    fn __repr__(&self) -> &'static str {
        match &*self.state() {
            State::Idle(_) => "<innkeeper.Store>",
            State::Busy(_) | State::InFunction(..) => "<innkeeper.Store whose guest runs>",
            State::Closed(_) => "<innkeeper.Store that is closed>",
        }
    }

    /// In a function that the guest has called: the guest's functions that have led there, innermost first, one a line, as a trap's; empty outside.
    fn backtrace(&self) -> Result<String> {
        self.with(|store| Backtrace::capture(store).to_string())
    }

    /// How much fuel is left.
    #[getter]
    fn fuel(&self, py: Python<'_>) -> Result<u64> {
        self.with(|store| store.fuel())?.or_raise(py)
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

    /// What was denied to the guest so far, a sentence for each thing.
    #[getter]
    fn denials(&self) -> Result<Vec<String>> {
        self.with(|store| left::denials(&store.data().wasi))
    }

    /// The paths of the files in a directory that the guest has in memory, by the guest's name for it (`tmp`), or of those that it has made or changed in one that is `"cow"`.
    fn files(&self, directory: &Bound<'_, PyAny>) -> Result<Vec<OsString>> {
        let directory = argument("directory", directory).text()?;
        self.with(|store| left::files(&store.data().wasi, &directory))?
    }

    /// What is in a file of such a directory; an `Error` where it has more than `max_bytes`.
    #[pyo3(signature = (directory, path, *, max_bytes = None))]
    fn read_file<'py>(
        &self,
        py: Python<'py>,
        directory: &Bound<'py, PyAny>,
        path: &Bound<'py, PyAny>,
        max_bytes: Option<&Bound<'py, PyAny>>,
    ) -> Result<Bound<'py, PyBytes>> {
        let file = left::File::named(directory, path, max_bytes)?;
        self.with(|store| file.read(py, &store.data().wasi))?
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.objects.traverse(&visit)
    }

    /// Lets go of Python's objects alone: that ends every cycle, and who still has a view of a memory keeps the rest.
    fn __clear__(&self) {
        self.objects.clear();
    }
}
