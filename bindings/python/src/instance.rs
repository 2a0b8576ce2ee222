//! Instances, and what they export: functions and globals.

use ::innkeeper::{AsContextMut, Extern, ExternType, FuncType, StoreContextMut, Val, ValType};
use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::argument::argument;
use crate::error::{OrRaise, Result, refused};
use crate::memory::Memory;
use crate::store::{Data, Store};
use crate::value::{self, Place};

/// An instance of a module: `instance["name"]` is what it exports under a name.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Instance {
    pub(crate) store: Py<Store>,
    pub(crate) instance: ::innkeeper::Instance,
}

#[pymethods]
impl Instance {
    /// The names of what it exports.
    #[getter]
    fn exports(&self) -> Result<Vec<String>> {
        self.store
            .get()
            .with(|store| self.instance.exports(&store).into_iter().map(|(name, _)| name).collect())
    }

    fn __getitem__(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> Result<Py<PyAny>> {
        let name = argument("the name of an export", name).text()?;
        let export = self.store.get().with(|store| self.instance.get_export(&store, &name))?;
        let export = match export {
            Some(export) => export,
            None => return Err(self.lacks(&name)?),
        };
        to_python(py, &self.store, export)
    }

    /// Over the names of what it exports, as a dict's.
    fn __iter__<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyIterator>> {
        PyList::new(py, self.exports()?)?.try_iter()
    }

    fn __len__(&self) -> Result<usize> {
        Ok(self.exports()?.len())
    }

    /// The names of what it exports, so that `dict(instance)` has it all.
    fn keys(&self) -> Result<Vec<String>> {
        self.exports()
    }

    fn __repr__(&self) -> String {
        match self.exports() {
            Ok(names) => format!("<innkeeper.Instance with {}>", listed(&names)),
            Err(_) => String::from("<innkeeper.Instance>"),
        }
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> Result<bool> {
        let name = argument("the name of an export", name).text()?;
        self.store.get().with(|store| self.instance.get_export(&store, &name).is_some())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.store)
    }
}

impl Instance {
    /// That there is no export of a name, but others.
    fn lacks(&self, name: &str) -> Result<PyErr> {
        Ok(PyKeyError::new_err(format!("no export is called {name}: there is {}", listed(&self.exports()?))))
    }
}

/// The first names of some.
fn listed(names: &[String]) -> String {
    const MOST: usize = 8;
    match names.len() {
        0 => String::from("none"),
        many if many > MOST => format!("{} and {} more", names[..MOST].join(", "), many - MOST),
        _ => names.join(", "),
    }
}

fn to_python(py: Python<'_>, owner: &Py<Store>, item: Extern) -> Result<Py<PyAny>> {
    Ok(match item {
        Extern::Func(func) => {
            let func = owner.get().with(|store| Func::new(py, store, owner, func))??;
            func.into_pyobject(py)?.into_any().unbind()
        }
        Extern::Memory(memory) => {
            Memory::new(owner.clone_ref(py), memory).into_pyobject(py)?.into_any().unbind()
        }
        Extern::Global(global) => {
            Global { store: owner.clone_ref(py), global }.into_pyobject(py)?.into_any().unbind()
        }
        _ => return Err(refused("tables and tags are not for Python yet")),
    })
}

/// A function of a guest's. It is called like one of Python's.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Func {
    pub(crate) store: Py<Store>,
    pub(crate) func: ::innkeeper::Func,
    ty: FuncType,
    /// Whether references are among what it takes and gives.
    has_references: bool,
}

impl Func {
    pub(crate) fn new(
        py: Python<'_>,
        store: StoreContextMut<'_, Data>,
        owner: &Py<Store>,
        func: ::innkeeper::Func,
    ) -> Result<Func> {
        let ty = func.ty(&store).or_raise(py)?;
        let mut types = ty.params().iter().chain(ty.results());
        let has_references = types.any(|ty| matches!(ty, ValType::Ref(_)));
        Ok(Func { store: owner.clone_ref(py), func, ty, has_references })
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
            let values = if takes == 1 { "value" } else { "values" };
            return Err(PyTypeError::new_err(format!("the function takes {takes} {values}, not {given}")));
        }
        let _references = self.has_references.then(|| self.store.get().references());
        let params = self.store.get().with(|mut store| {
            let pairs = types.iter().zip(args.iter()).enumerate();
            pairs
                .map(|(number, (ty, value))| {
                    let place = (self.store.get(), Place::Parameter(number));
                    value::from_python(store.as_context_mut(), place, ty, &value)
                })
                .collect::<Result<Vec<Val>>>()
        })??;
        let mut results = vec![Val::I32(0); self.ty.results().len()];
        let outcome = Store::run(self.store.bind(py), |store| self.func.call(store, &params, &mut results))?;
        outcome.or_raise(py)?;
        self.store.get().with(|store| value::results_to_python(py, store, &self.store, &results))?
    }

    fn __repr__(&self) -> String {
        format!("<innkeeper.Func {}>", self.ty)
    }

    /// Its type, in words.
    #[getter]
    fn r#type(&self) -> String {
        self.ty.to_string()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.store)
    }
}

/// A global of a guest's.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Global {
    pub(crate) store: Py<Store>,
    pub(crate) global: ::innkeeper::Global,
}

#[pymethods]
impl Global {
    fn __repr__(&self) -> String {
        match self.store.get().with(|store| self.global.ty(&store)) {
            Ok(Ok(ty)) => format!("<innkeeper.Global {}>", ExternType::Global(ty)),
            _ => String::from("<innkeeper.Global>"),
        }
    }

    /// Its value.
    #[getter]
    fn value(&self, py: Python<'_>) -> Result<Py<PyAny>> {
        let _references = self.store.get().references();
        self.store.get().with(|mut store| {
            let value = self.global.get(store.as_context_mut()).or_raise(py)?;
            value::to_python(py, store, &self.store, value)
        })?
    }

    #[setter]
    fn set_value(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> Result<()> {
        let _references = self.store.get().references();
        self.store.get().with(|mut store| {
            let ty = self.global.ty(&store).or_raise(py)?.content;
            let place = (self.store.get(), Place::Global);
            let value = value::from_python(store.as_context_mut(), place, &ty, value)?;
            self.global.set(store, value).or_raise(py)
        })?
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.store)
    }
}
