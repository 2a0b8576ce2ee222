//! The objects of Python's that a store refers to: functions that its guests import, objects behind `externref`s, functions that their output goes to.
//!
//! Python's garbage collector has to see every one of them, since any may lead back to the store: they are all kept in here, in one table that the `Store` shows to it, and what is
//! on the other side (closures, references, sinks) has numbers.
//!
//! Must stay true: each entry is one reference of Python's, which the collector is shown once. The lock is never held while Python runs, dropping an object included: the
//! collector, which can begin at any moment while Python runs, takes it.

use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ::innkeeper::InterruptHandle;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

/// A function of Python's in a linker, whichever stores it is used in. None is used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FunctionId(u64);

impl FunctionId {
    pub(crate) fn next() -> FunctionId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        FunctionId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The table.
#[derive(Default)]
pub(crate) struct Objects {
    table: Mutex<Table>,
    /// Ends the guest; set where functions of Python's get its output.
    pub(crate) stop: OnceLock<InterruptHandle>,
}

#[derive(Default)]
struct Table {
    /// Sorted; most are added at the end.
    functions: Vec<(FunctionId, Py<PyAny>)>,
    /// By the numbers of [`Held`].
    held: Vec<Option<Py<PyAny>>>,
    /// Numbers that nothing has.
    free: Vec<usize>,
    /// What a function has raised that the guest's output goes to.
    raised: Option<PyErr>,
}

/// An object of Python's that a guest or its host holds, as a number; the table forgets it when this is dropped.
pub(crate) struct Held {
    objects: Arc<Objects>,
    number: usize,
}

impl Objects {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets guests of the store call a function.
    pub(crate) fn know(&self, py: Python<'_>, id: FunctionId, function: &Py<PyAny>) {
        let mut table = self.lock();
        if let Err(at) = table.functions.binary_search_by_key(&id, |(known, _)| *known) {
            table.functions.insert(at, (id, function.clone_ref(py)));
        }
    }

    /// A function that guests of the store can call; none where the collector has taken them all.
    pub(crate) fn function(&self, py: Python<'_>, id: FunctionId) -> Option<Py<PyAny>> {
        let table = self.lock();
        let at = table.functions.binary_search_by_key(&id, |(known, _)| *known).ok()?;
        Some(table.functions[at].1.clone_ref(py))
    }

    /// Holds an object for the guest.
    pub(crate) fn hold(self: &Arc<Self>, object: Py<PyAny>) -> Held {
        let mut table = self.lock();
        let number = table.free.pop().unwrap_or(table.held.len());
        if number == table.held.len() {
            table.held.push(None);
        }
        table.held[number] = Some(object);
        Held { objects: Arc::clone(self), number }
    }

    /// Ends the guest with what a function has raised that its output goes to; the first counts.
    pub(crate) fn end_guest(&self, raised: PyErr) {
        let mut table = self.lock();
        let others = if table.raised.is_none() { table.raised.replace(raised) } else { Some(raised) };
        drop(table);
        drop(others);
        if let Some(stop) = self.stop.get() {
            stop.interrupt();
        }
    }

    /// What the guest was ended with.
    pub(crate) fn take_raised(&self) -> Option<PyErr> {
        self.lock().raised.take()
    }

    /// Shows the collector every object.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let table = self.lock();
        table.functions.iter().try_for_each(|(_, function)| visit.call(function))?;
        table.held.iter().flatten().try_for_each(|object| visit.call(object))
    }

    /// Lets go of every object.
    pub(crate) fn clear(&self) {
        let mut table = self.lock();
        let functions = mem::take(&mut table.functions);
        let held: Vec<_> = table.held.iter_mut().filter_map(Option::take).collect();
        let raised = table.raised.take();
        drop(table);
        drop((functions, held, raised));
    }
}

impl Held {
    /// The object; none where the collector has taken it.
    pub(crate) fn get(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.objects.lock().held[self.number].as_ref().map(|object| object.clone_ref(py))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut table = self.objects.lock();
        let object = table.held[self.number].take();
        table.free.push(self.number);
        drop(table);
        drop(object);
    }
}
