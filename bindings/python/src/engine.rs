//! Engines and modules: what any number of guests share.

use std::path::PathBuf;

use ::innkeeper::{Config, Limits, MemoryLayout, Metering, Tuning};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{OrRaise, Result};

/// What modules are made for, and what bounds them. One is enough for a process.
///
/// `max_memory`: bytes that each store may make its host hold; by default half of the machine's memory. `fuel`: whether guests use fuel, so that `Store(fuel=...)` bounds what they
/// execute.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Engine {
    pub(crate) engine: ::innkeeper::Engine,
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, max_memory = None, fuel = false))]
    fn new(py: Python<'_>, max_memory: Option<u64>, fuel: bool) -> Result<Engine> {
        Ok(Engine { engine: engine(max_memory, fuel).or_raise(py)? })
    }
}

/// An engine whose memories never move, so that Python can look at them.
pub(crate) fn engine(
    max_memory: Option<u64>,
    fuel: bool,
) -> std::result::Result<::innkeeper::Engine, ::innkeeper::Error> {
    let limits = Limits { memory_bytes: max_memory, ..Limits::default() };
    let metering = if fuel { Metering::Fuel } else { Metering::Off };
    let tuning = Tuning { memory_layout: MemoryLayout::Reserved, ..Tuning::default() };
    ::innkeeper::Engine::new(Config { limits, tuning, metering, ..Config::default() })
}

/// A module: WebAssembly, as bytes or as text, that was validated.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Module {
    pub(crate) module: ::innkeeper::Module,
}

#[pymethods]
impl Module {
    #[new]
    fn new(py: Python<'_>, engine: &Engine, source: Source) -> Result<Module> {
        Module::from_source(py, &engine.engine, source)
    }

    /// The module in a file, in binary or as text.
    #[staticmethod]
    fn from_file(py: Python<'_>, engine: &Engine, path: PathBuf) -> Result<Module> {
        let module = py.detach(|| ::innkeeper::Module::from_file(&engine.engine, path));
        Ok(Module { module: module.or_raise(py)? })
    }

    /// What it exports: a list of pairs, of a name and a type in words.
    #[getter]
    fn exports(&self) -> Vec<(String, String)> {
        self.module.exports().map(|export| (export.name.to_owned(), export.ty.to_string())).collect()
    }

    /// What it imports: a list of triples, of the module's name, the item's, and a type in words.
    #[getter]
    fn imports(&self) -> Vec<(String, String, String)> {
        self.module
            .imports()
            .map(|import| (import.module.to_owned(), import.name.to_owned(), import.ty.to_string()))
            .collect()
    }

    /// The module's bytes.
    #[getter]
    fn bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.module.bytes())
    }
}

impl Module {
    /// The module that bytes or a text say.
    pub(crate) fn from_source(
        py: Python<'_>,
        engine: &::innkeeper::Engine,
        source: Source,
    ) -> Result<Module> {
        let bytes = match source {
            Source::Bytes(bytes) => bytes,
            Source::Text(text) => text.into_bytes(),
        };
        Ok(Module { module: py.detach(|| ::innkeeper::Module::new(engine, bytes)).or_raise(py)? })
    }
}

/// A module as Python has it.
#[derive(FromPyObject)]
pub(crate) enum Source {
    /// Binary, or text.
    Bytes(Vec<u8>),
    /// In the text format.
    Text(String),
}
