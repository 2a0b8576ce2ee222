//! What functions for Python are given, with sentences where it is something else: which parameter, what it must be, and what came.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMapping, PyMemoryView, PyString};

use crate::error::{Result, refused};

/// An argument, and what it is called.
pub(crate) struct Argument<'a, 'py, N: fmt::Display> {
    name: N,
    value: &'a Bound<'py, PyAny>,
}

/// The argument for a parameter.
pub(crate) fn argument<'a, 'py, N: fmt::Display>(
    name: N,
    value: &'a Bound<'py, PyAny>,
) -> Argument<'a, 'py, N> {
    Argument { name, value }
}

/// What an object is, in the words of Python.
pub(crate) fn type_name(value: &Bound<'_, PyAny>) -> String {
    if value.is_none() {
        return String::from("None");
    }
    value.get_type().name().map_or_else(|_| String::from("something else"), |name| name.to_string())
}

impl<'py, N: fmt::Display> Argument<'_, 'py, N> {
    /// That it is something else than what is wanted.
    pub(crate) fn wrong(&self, wanted: &str) -> PyErr {
        PyTypeError::new_err(format!("{} must be {wanted}, not {}", self.name, type_name(self.value)))
    }

    /// The error of an attempt to read it: what Python raised in a method of the object's, or that it is something else.
    fn wrong_after(&self, error: PyErr, wanted: &str) -> PyErr {
        if error.is_instance_of::<PyTypeError>(self.value.py()) { self.wrong(wanted) } else { error }
    }

    /// One of the classes of this module; `wanted` is its name with an article.
    pub(crate) fn of_class<T: PyTypeInfo>(&self, wanted: &str) -> Result<Bound<'py, T>> {
        self.value.cast::<T>().cloned().map_err(|_| self.wrong(wanted))
    }

    /// A number of something.
    pub(crate) fn count(&self) -> Result<u64> {
        const WANTED: &str = "an int";
        match self.value.extract::<u64>() {
            Ok(number) => Ok(number),
            Err(error) if error.is_instance_of::<PyOverflowError>(self.value.py()) => {
                let (name, value) = (&self.name, self.value);
                Err(PyOverflowError::new_err(format!("{name} must be from 0 to {}, not {value}", u64::MAX)))
            }
            Err(error) => Err(self.wrong_after(error, WANTED)),
        }
    }

    /// A number of seconds.
    pub(crate) fn seconds(&self) -> Result<Duration> {
        let seconds =
            self.value.extract::<f64>().map_err(|error| self.wrong_after(error, "a number of seconds"))?;
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| refused(format!("{} must be a time that can be, not {seconds} seconds", self.name)))
    }

    /// Text.
    pub(crate) fn text(&self) -> Result<String> {
        let text = self.value.cast::<PyString>().map_err(|_| self.wrong("a str"))?;
        // What cannot be encoded is an error of its own.
        Ok(text.to_str()?.to_owned())
    }

    /// A path of this machine's.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        self.value.extract().map_err(|error| self.wrong_after(error, "a str or a path"))
    }

    /// What a bytes object has, which nobody changes.
    pub(crate) fn borrowed(&self) -> Option<&[u8]> {
        self.value.cast::<PyBytes>().ok().map(|bytes| bytes.as_bytes())
    }

    /// Bytes, a copy of them.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>> {
        self.bytes_or(" or something else that shows its bytes")
    }

    /// Bytes; `or` says what else is taken in their place.
    pub(crate) fn bytes_or(&self, or: &str) -> Result<Vec<u8>> {
        if let Ok(bytes) = self.value.cast::<PyBytes>() {
            return Ok(bytes.as_bytes().to_vec());
        }
        if let Ok(bytes) = self.value.cast::<PyByteArray>() {
            return Ok(bytes.to_vec());
        }
        // Whatever its elements are.
        let view = PyMemoryView::from(self.value).map_err(|_| self.wrong(&format!("bytes{or}")))?;
        let bytes = view.call_method0("tobytes");
        view.call_method0("release")?;
        Ok(bytes?.cast::<PyBytes>()?.as_bytes().to_vec())
    }

    /// Any number of texts.
    pub(crate) fn texts(&self) -> Result<Vec<String>> {
        const WANTED: &str = "a list of str";
        // A text has letters, which is hardly meant.
        if self.value.is_instance_of::<PyString>() || self.value.is_instance_of::<PyBytes>() {
            return Err(self.wrong(WANTED));
        }
        let parts = self.value.try_iter().map_err(|error| self.wrong_after(error, WANTED))?;
        let part = |(number, part): (usize, Result<Bound<'py, PyAny>>)| {
            argument(format_args!("{}[{number}]", self.name), &part?).text()
        };
        parts.enumerate().map(part).collect()
    }

    /// Texts by names.
    pub(crate) fn texts_by_name(&self) -> Result<Vec<(String, String)>> {
        self.by_name("a dict of str to str", |value| value.text())
    }

    /// A mapping whose keys are texts, in its order.
    pub(crate) fn by_name<T>(
        &self,
        wanted: &str,
        read: impl Fn(Argument<'_, 'py, String>) -> Result<T>,
    ) -> Result<Vec<(String, T)>> {
        let mapping = self.value.cast::<PyMapping>().map_err(|_| self.wrong(wanted))?;
        let items = mapping.items()?;
        let item = |item: Bound<'py, PyAny>| {
            let (key, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = item.extract()?;
            let key = argument(format_args!("a key of {}", self.name), &key).text()?;
            let value = read(argument(format!("{}[{key:?}]", self.name), &value))?;
            Ok((key, value))
        };
        items.iter().map(item).collect()
    }
}
