//! What can go wrong: `innkeeper.Error`, `innkeeper.Trap` for what a guest did itself, and `innkeeper.Exit` where a program of WASI ends itself.

use std::ffi::CStr;

use ::innkeeper::Error as HostError;
use ::innkeeper::wasi::exit_code;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

create_exception!(innkeeper, Error, PyException, "Something that Innkeeper refused, or a guest's failure.");
create_exception!(
    innkeeper,
    Trap,
    Error,
    "The guest trapped: `message` says how, `frames` where, the functions that were active, innermost first. `str` is the message."
);

create_exception!(
    innkeeper,
    Exit,
    Error,
    "A program of WASI has ended itself: `code` says with what, 0 for success. A function of Python's that raises it ends its guest as `proc_exit` does."
);

/// Gives [`Trap`] and [`Exit`] what their texts say of them; all names are of `args`, so that an exception that is pickled and made again has them.
pub(crate) fn describe(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let exit = c"{'code': property(lambda self: self.args[0] if self.args else 0), \
                  '__str__': lambda self: f'the guest exited with code {self.code}'}";
    add(module, "Exit", exit)?;
    let trap = c"{'message': property(lambda self: str(self.args[0]) if self.args else ''), \
           'frames': property(lambda self: str(self.args[1]) if len(self.args) > 1 else ''), \
           '__str__': lambda self: self.message}";
    add(module, "Trap", trap)
}

/// Gives a class what a dictionary in Python's words has.
fn add(module: &Bound<'_, PyModule>, class: &str, names: &CStr) -> PyResult<()> {
    let class = module.getattr(class)?;
    for (name, value) in module.py().eval(names, None, None)?.cast::<PyDict>()?.iter() {
        class.setattr(name.cast::<PyString>()?, value)?;
    }
    Ok(())
}

/// A result that becomes an exception of Python's.
pub(crate) type Result<T> = std::result::Result<T, PyErr>;

/// The exception for an error: the one that a function of Python's raised, as it was, where that is the reason.
pub(crate) fn exception(py: Python<'_>, error: &HostError) -> PyErr {
    if let Some(raised) = error.downcast_ref::<PyErr>() {
        return raised.clone_ref(py);
    }
    if let Some(code) = exit_code(error) {
        return Exit::new_err(code);
    }
    match error.trap() {
        Some(trap) => Trap::new_err((trap.to_string(), error.backtrace().to_string())),
        None => Error::new_err(error.to_string()),
    }
}

/// An error of use, in words.
pub(crate) fn refused(message: impl Into<String>) -> PyErr {
    Error::new_err(message.into())
}

/// A result of the host's as one of Python's.
pub(crate) trait OrRaise<T> {
    /// The value, or the exception for the error.
    fn or_raise(self, py: Python<'_>) -> Result<T>;
}

impl<T, E: Into<HostError>> OrRaise<T> for std::result::Result<T, E> {
    fn or_raise(self, py: Python<'_>) -> Result<T> {
        self.map_err(|error| exception(py, &error.into()))
    }
}
