//! What guests are given: functions of Python's, what other instances export, and WASI.

use std::collections::HashMap;
use std::sync::Arc;

use ::innkeeper::wasi::p1;
use ::innkeeper::{AsContextMut, Caller, Error as HostError, Extern, ExternType, FuncType, InstancePre, Val};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::engine::{Engine, Module};
use crate::error::{OrRaise, Result, refused};
use crate::instance::{Func, Global, Instance};
use crate::memory::Memory;
use crate::store::{Data, Store};
use crate::value;

/// Names of what guests import, and what they get for them.
#[pyclass(module = "innkeeper")]
pub(crate) struct Linker {
    linker: ::innkeeper::Linker<Data>,
    /// Functions of Python's, whose types are those that a module imports them with.
    functions: HashMap<(String, String), Arc<Py<PyAny>>>,
}

#[pymethods]
impl Linker {
    #[new]
    fn new(engine: &Engine) -> Linker {
        Linker { linker: ::innkeeper::Linker::new(&engine.engine), functions: HashMap::new() }
    }

    /// Defines an item under the names of a module and of its own: a function of Python's, or a `Func`, `Memory` or `Global` of the store that is instantiated in.
    ///
    /// A function of Python's is called with the values that the guest passes, and gives nothing, one value, or several. An exception that it raises ends the guest, and comes
    /// back from the call that the guest is in.
    fn define(&mut self, py: Python<'_>, module: &str, name: &str, item: &Bound<'_, PyAny>) -> Result<()> {
        let item: Extern = if let Ok(func) = item.cast::<Func>() {
            func.get().func.into()
        } else if let Ok(memory) = item.cast::<Memory>() {
            memory.get().memory.into()
        } else if let Ok(global) = item.cast::<Global>() {
            global.get().global.into()
        } else if item.is_callable() {
            let function = Arc::new(item.clone().unbind());
            self.functions.insert((module.to_owned(), name.to_owned()), function);
            return Ok(());
        } else {
            return Err(refused(format!(
                "{module}.{name} must be a function, a memory or a global, not {item}"
            )));
        };
        self.linker.define(module, name, item).map(drop).or_raise(py)
    }

    /// Defines all that an instance exports under the name of a module.
    fn define_instance(&mut self, py: Python<'_>, module: &str, instance: &Instance) -> Result<()> {
        let linker = &mut self.linker;
        let defined = instance
            .shared
            .with(|mut store| linker.instance(store.as_context_mut(), module, instance.instance).map(drop))?;
        defined.or_raise(py)
    }

    /// Defines WASI 0.1, with the keys that each store has.
    fn define_wasi(&mut self, py: Python<'_>) -> Result<()> {
        p1::add_to_linker(&mut self.linker, |data: &mut Data| &mut data.wasi).or_raise(py)
    }

    /// Makes an instance of a module in a store, and runs its start function if it has one.
    fn instantiate(slf: &Bound<'_, Self>, store: &Store, module: &Module) -> Result<Instance> {
        let py = slf.py();
        // The start function may call one that uses the linker.
        let pre = slf.try_borrow_mut()?.resolve(&module.module).or_raise(py)?;
        let made = store.shared.run(py, |store| pre.instantiate(store))?;
        Ok(Instance { shared: Arc::clone(&store.shared), instance: made.or_raise(py)? })
    }
}

impl Linker {
    /// What a module imports, found by name.
    fn resolve(&mut self, module: &::innkeeper::Module) -> std::result::Result<InstancePre<Data>, HostError> {
        let Linker { linker, functions, .. } = self;
        // Another module may import a function of Python's with another type.
        linker.allow_shadowing(true);
        for import in module.imports() {
            let function = functions.get(&(import.module.to_owned(), import.name.to_owned()));
            if let (Some(function), ExternType::Func(ty)) = (function, &import.ty) {
                let called = function_of_python(Arc::clone(function), ty.clone());
                linker.func_new(import.module, import.name, ty.clone(), called)?;
            }
        }
        linker.allow_shadowing(false);
        linker.instantiate_pre(module)
    }
}

/// A function of the host that calls one of Python's.
fn function_of_python(
    function: Arc<Py<PyAny>>,
    ty: FuncType,
) -> impl Fn(Caller<'_, Data>, &[Val], &mut [Val]) -> std::result::Result<(), HostError> + Send + Sync + 'static
{
    move |mut caller, params, results| {
        let shared = caller.data().shared.upgrade().ok_or_else(|| HostError::msg("the store is gone"))?;
        let called = Python::attach(|py| {
            let arguments =
                params.iter().map(|value| value::to_python(py, caller.as_context_mut(), &shared, *value));
            let arguments = PyTuple::new(py, arguments.collect::<Result<Vec<_>>>()?)?;
            let returned = shared.in_function(&mut caller, || function.bind(py).call1(arguments))?;
            let given = value::results_from_python(py, caller.as_context_mut(), ty.results(), &returned)?;
            for (result, value) in results.iter_mut().zip(given) {
                *result = value;
            }
            Ok(())
        });
        shared.guest_goes_on();
        called.map_err(|raised: PyErr| HostError::from_host(raised))
    }
}
