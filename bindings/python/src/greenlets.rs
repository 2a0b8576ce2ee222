//! Greenlets: several stacks that take turns on one thread, as `gevent` has them.
//!
//! A switch copies a stack away, with whatever Rust and the engine have on it, and no library is asked. So a function that a guest has called must have ended before another greenlet of
//! its thread uses a guest: otherwise calls would end in another order than they began, on stacks that are not theirs.
//!
//! Must stay true: each function of Python's that a guest calls, or that its output goes to, is in [`in_function`]; each use of a store begins with [`check`].

use std::cell::RefCell;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::error::{Result, refused};

thread_local! {
    /// The greenlet of each function of Python's that a guest on this thread has called, innermost last; none where there were no greenlets yet.
    static FUNCTIONS: RefCell<Vec<Option<Py<PyAny>>>> = const { RefCell::new(Vec::new()) };
}

/// Does `work`, a function of Python's that a guest has called.
pub(crate) fn in_function<R>(py: Python<'_>, work: impl FnOnce() -> R) -> R {
    let current = current(py).map(Bound::unbind);
    FUNCTIONS.with_borrow_mut(|functions| functions.push(current));
    let _ends = Ends;
    work()
}

struct Ends;

impl Drop for Ends {
    fn drop(&mut self) {
        let ended = FUNCTIONS.with_borrow_mut(Vec::pop);
        // What goes with it may be Python's, and come here.
        drop(ended);
    }
}

/// Whether guests may be used here.
///
/// # Errors
/// Where a function that a guest has called is still under way in another greenlet of this thread.
pub(crate) fn check() -> Result<()> {
    if FUNCTIONS.with_borrow(Vec::is_empty) {
        return Ok(());
    }
    Python::attach(|py| {
        let Some(now) = current(py) else { return Ok(()) };
        let is_same = FUNCTIONS.with_borrow(|functions| match functions.last() {
            Some(Some(function)) => function.as_ptr() == now.as_ptr(),
            // There was only one then, which has no parent.
            _ => now.getattr("parent").is_ok_and(|parent| parent.is_none()),
        });
        if is_same {
            return Ok(());
        }
        Err(refused(
            "another greenlet of this thread is in a function that a guest has called: until that has returned, no guest can be used from here (functions that guests call must \
             not switch greenlets)",
        ))
    })
}

/// The greenlet that runs; none where nobody has imported `greenlet`.
fn current(py: Python<'_>) -> Option<Bound<'_, PyAny>> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let modules = MODULES.get_or_try_init(py, || -> Result<Py<PyDict>> {
        Ok(py.import("sys")?.getattr("modules")?.cast_into::<PyDict>()?.unbind())
    });
    let greenlet = modules.ok()?.bind(py).get_item(pyo3::intern!(py, "greenlet")).ok()??;
    greenlet.call_method0(pyo3::intern!(py, "getcurrent")).ok()
}
