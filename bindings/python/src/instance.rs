//! Instances, and what they export: functions and globals.

use std::sync::Arc;

use ::innkeeper::{AsContextMut, Extern, FuncType, StoreContextMut, Val};
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::error::{OrRaise, Result, refused};
use crate::memory::Memory;
use crate::store::{Data, Shared};
use crate::value;

/// An instance of a module: `instance["name"]` is what it exports under a name.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Instance {
    pub(crate) shared: Arc<Shared>,
    pub(crate) instance: ::innkeeper::Instance,
}

#[pymethods]
impl Instance {
    /// The names of what it exports.
    #[getter]
    fn exports(&self) -> Result<Vec<String>> {
        self.shared.with(|store| self.instance.exports(&store).into_iter().map(|(name, _)| name).collect())
    }

    fn __getitem__(&self, py: Python<'_>, name: &str) -> Result<Py<PyAny>> {
        let export = self.shared.with(|store| self.instance.get_export(&store, name))?;
        let export = export.ok_or_else(|| PyKeyError::new_err(format!("no export is called {name}")))?;
        to_python(py, &self.shared, export)
    }

    fn __contains__(&self, name: &str) -> Result<bool> {
        self.shared.with(|store| self.instance.get_export(&store, name).is_some())
    }
}

fn to_python(py: Python<'_>, shared: &Arc<Shared>, item: Extern) -> Result<Py<PyAny>> {
    Ok(match item {
        Extern::Func(func) => {
            shared.with(|store| Func::new(py, store, shared, func))??.into_pyobject(py)?.into_any().unbind()
        }
        Extern::Memory(memory) => {
            Memory { shared: Arc::clone(shared), memory }.into_pyobject(py)?.into_any().unbind()
        }
        Extern::Global(global) => {
            Global { shared: Arc::clone(shared), global }.into_pyobject(py)?.into_any().unbind()
        }
        _ => return Err(refused("tables and tags are not for Python yet")),
    })
}

/// A function of a guest's. It is called like one of Python's.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Func {
    pub(crate) shared: Arc<Shared>,
    pub(crate) func: ::innkeeper::Func,
    ty: FuncType,
}

impl Func {
    pub(crate) fn new(
        py: Python<'_>,
        store: StoreContextMut<'_, Data>,
        shared: &Arc<Shared>,
        func: ::innkeeper::Func,
    ) -> Result<Func> {
        let ty = func.ty(&store).or_raise(py)?;
        Ok(Func { shared: Arc::clone(shared), func, ty })
    }
}

#[pymethods]
impl Func {
    /// Calls it: with as many values as it has parameters; gives nothing, one value, or a tuple.
    #[pyo3(signature = (*args))]
    fn __call__(&self, py: Python<'_>, args: &Bound<'_, PyTuple>) -> Result<Py<PyAny>> {
        let types = self.ty.params();
        if args.len() != types.len() {
            let (takes, given) = (types.len(), args.len());
            return Err(PyTypeError::new_err(format!("the function takes {takes} values, not {given}")));
        }
        let params = self.shared.with(|mut store| {
            let pairs = types.iter().zip(args.iter());
            pairs
                .map(|(ty, value)| value::from_python(py, store.as_context_mut(), ty, &value))
                .collect::<Result<Vec<Val>>>()
        })??;
        let mut results = vec![Val::I32(0); self.ty.results().len()];
        let outcome = self.shared.run(py, |store| self.func.call(store, &params, &mut results))?;
        outcome.or_raise(py)?;
        self.shared.with(|store| value::results_to_python(py, store, &self.shared, &results))?
    }

    /// Its type, in words.
    #[getter]
    fn r#type(&self) -> String {
        self.ty.to_string()
    }
}

/// A global of a guest's.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Global {
    pub(crate) shared: Arc<Shared>,
    pub(crate) global: ::innkeeper::Global,
}

#[pymethods]
impl Global {
    /// Its value.
    #[getter]
    fn value(&self, py: Python<'_>) -> Result<Py<PyAny>> {
        self.shared.with(|mut store| {
            let value = self.global.get(store.as_context_mut()).or_raise(py)?;
            value::to_python(py, store, &self.shared, value)
        })?
    }

    #[setter]
    fn set_value(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> Result<()> {
        self.shared.with(|mut store| {
            let ty = self.global.ty(&store).or_raise(py)?.content;
            let value = value::from_python(py, store.as_context_mut(), &ty, value)?;
            self.global.set(store, value).or_raise(py)
        })?
    }
}
