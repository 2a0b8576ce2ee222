//! What can go wrong: `innkeeper.Error`, and `innkeeper.Trap` for what a guest did itself.

use ::innkeeper::Error as HostError;
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

/// Gives [`Trap`] what its text says of it; both names are of `args`, so that a trap that is pickled and made again has them.
pub(crate) fn describe_traps(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let trap = module.getattr("Trap")?;
    let names = module.py().eval(
        c"{'message': property(lambda self: str(self.args[0]) if self.args else ''), \
           'frames': property(lambda self: str(self.args[1]) if len(self.args) > 1 else ''), \
           '__str__': lambda self: self.message}",
        None,
        None,
    )?;
    for (name, value) in names.cast::<PyDict>()?.iter() {
        trap.setattr(name.cast::<PyString>()?, value)?;
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
