//! Engines and modules: what any number of guests share.

use std::path::PathBuf;

use ::innkeeper::{Config, Limits, MemoryLayout, Metering, Tuning};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::argument::argument;
use crate::error::{OrRaise, Result, refused};
use crate::finalizing::or_stay;

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
    #[pyo3(signature = (*, max_memory = None, fuel = None))]
    fn new(
        py: Python<'_>,
        max_memory: Option<&Bound<'_, PyAny>>,
        fuel: Option<&Bound<'_, PyAny>>,
    ) -> Result<Engine> {
        let max_memory = max_memory.map(|value| argument("max_memory", value).count()).transpose()?;
        let fuel = fuel.map_or(Ok(false), PyAnyMethods::is_truthy)?;
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
    fn new(py: Python<'_>, engine: &Bound<'_, PyAny>, source: &Bound<'_, PyAny>) -> Result<Module> {
        let engine = argument("engine", engine).of_class::<Engine>(Engine::WANTED)?;
        let bytes = match source.cast::<PyString>() {
            Ok(text) => {
                let text = text.to_str()?;
                let made = Module::from_bytes(py, &engine.get().engine, text.as_bytes().to_vec());
                // Text that is WebAssembly has parentheses.
                return if made.is_err() && !text.contains('(') {
                    Err(refused(format!(
                        "source: a str is a module's text, which {text:?} is not; Module.from_file(engine, path) reads a file"
                    )))
                } else {
                    made
                };
            }
            Err(_) => argument("source", source).bytes_or(", or a str in the text format")?,
        };
        Module::from_bytes(py, &engine.get().engine, bytes)
    }

    /// The module in a file, in binary or as text.
    #[staticmethod]
    fn from_file(py: Python<'_>, engine: &Bound<'_, PyAny>, path: &Bound<'_, PyAny>) -> Result<Module> {
        let engine = argument("engine", engine).of_class::<Engine>(Engine::WANTED)?;
        let path = argument("path", path).path()?;
        Module::from_path(py, &engine.get().engine, path)
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

    fn __repr__(&self) -> String {
        let (imports, exports) = (self.module.imports().count(), self.module.exports().count());
        format!("<innkeeper.Module: imports {imports}, exports {exports}>")
    }

    /// The module's bytes.
    #[getter]
    fn bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.module.bytes())
    }
}

impl Engine {
    pub(crate) const WANTED: &str = "an innkeeper.Engine";
}

impl Module {
    pub(crate) const WANTED: &str = "an innkeeper.Module";

    /// The module that bytes are, in binary or as text.
    pub(crate) fn from_bytes(py: Python<'_>, engine: &::innkeeper::Engine, bytes: Vec<u8>) -> Result<Module> {
        let module = or_stay(|| py.detach(|| ::innkeeper::Module::new(engine, bytes)));
        Ok(Module { module: module.or_raise(py)? })
    }

    /// The module in a file.
    pub(crate) fn from_path(py: Python<'_>, engine: &::innkeeper::Engine, path: PathBuf) -> Result<Module> {
        let module = or_stay(|| py.detach(|| ::innkeeper::Module::from_file(engine, path)));
        Ok(Module { module: module.or_raise(py)? })
    }
}
