//! What can go wrong: `innkeeper.Error`, `innkeeper.Trap` for what a guest did itself, and `innkeeper.Exit` where a program of WASI ends itself.

use std::ffi::CStr;

use ::innkeeper::Error as HostError;
use ::innkeeper::wasi::exit_code;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

create_exception!(
    innkeeper,
    Error,
    PyException,
    "Something that Innkeeper refused, or a guest's failure. Where `run` raises it, `stdout`, `stderr` and `denials` are what the program had written and was denied until then; otherwise the \
     first two are None. `exit_code` is that of an `Exit`, else None; `backtrace` the guest's functions that were active, innermost first, or empty."
);
create_exception!(
    innkeeper,
    Trap,
    Error,
    "The guest trapped: `message` says how, `code` too, in words for programs (`deadline_exceeded`), and `frames` where, the functions that were active, innermost first. `str` is the \
     message."
);

create_exception!(
    innkeeper,
    Exit,
    Error,
    "A program of WASI has ended itself: `code` says with what, 0 for success. A function of Python's that raises it ends its guest as `proc_exit` does."
);

/// Gives [`Error`], [`Trap`] and [`Exit`] what their texts say of them; all names are of `args`, or of the exception's dictionary, so that one that is pickled and made again has them.
pub(crate) fn describe(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let error = c"{'stdout': None, 'stderr': None, 'denials': [], 'exit_code': None, 'backtrace': ''}";
    add(module, "Error", error)?;
    let exit = c"{'code': property(lambda self: self.args[0] if self.args else 0), \
                  'exit_code': property(lambda self: self.code), \
                  '__str__': lambda self: f'the guest exited with code {self.code}'}";
    add(module, "Exit", exit)?;
    let trap = c"{'message': property(lambda self: str(self.args[0]) if self.args else ''), \
           'frames': property(lambda self: str(self.args[1]) if len(self.args) > 1 else ''), \
           'backtrace': property(lambda self: self.frames), 'code': '', \
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
        Some(trap) => {
            let raised = Trap::new_err((trap.to_string(), error.backtrace().to_string()));
            tell(py, &raised, "code", code(&trap));
            raised
        }
        None => {
            let raised = Error::new_err(in_pythons_words(error.to_string()));
            if !error.backtrace().frames().is_empty() {
                tell(py, &raised, "backtrace", error.backtrace().to_string());
            }
            raised
        }
    }
}

/// A trap's name, as `unreachable` and `out_of_fuel`.
fn code(trap: &impl std::fmt::Debug) -> String {
    let mut code = String::new();
    for letter in format!("{trap:?}").chars() {
        if letter.is_uppercase() && !code.is_empty() {
            code.push('_');
        }
        code.push(letter.to_ascii_lowercase());
    }
    code
}

/// What the library for Rust says, where it names what Python does not have.
fn in_pythons_words(message: String) -> String {
    const WORDS: [(&str, &str); 3] = [
        ("; load it with `Component::new`", ", and components are not for Python yet"),
        (
            "a shared memory cannot be borrowed as a slice; `Memory::read` and `Memory::write` copy",
            "a shared memory has no view; `read` and `write` copy",
        ),
        (
            "; correct the path, or let the directory take more",
            "; correct the path, or put less into it: 64 MiB is the most, each file counting as somewhat more than it has",
        ),
    ];
    WORDS.iter().fold(message, |message, (rust, python)| message.replace(rust, python))
}

/// Has an exception tell something more, in its dictionary. Where Python refuses that, it does not.
pub(crate) fn tell<'py>(py: Python<'py>, raised: &PyErr, name: &str, what: impl IntoPyObject<'py>) {
    // There is memory for it, or for nothing else either.
    let _ = raised.value(py).setattr(name, what);
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
