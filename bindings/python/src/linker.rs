//! What guests are given: functions of Python's, what other instances export, and WASI.

use std::collections::HashMap;

use ::innkeeper::wasi::p1;
use ::innkeeper::{
    AsContextMut, Caller, Error as HostError, ErrorKind, Extern, ExternType, FuncType, InstancePre, Val,
};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

use crate::argument::argument;
use crate::engine::{Engine, Module};
use crate::error::{OrRaise, Result, exception, refused};
use crate::finalizing::or_stay;
use crate::instance::{Func, Global, Instance};
use crate::lock::PythonsLock;
use crate::memory::Memory;
use crate::objects::FunctionId;
use crate::store::{Data, Store};
use crate::value;

/// Names of what guests import, and what they get for them.
#[pyclass(module = "innkeeper")]
pub(crate) struct Linker {
    linker: ::innkeeper::Linker<Data>,
    /// Functions of Python's, whose types are those that a module imports them with.
    functions: HashMap<(String, String), (FunctionId, Py<PyAny>)>,
    /// Whether WASI is there.
    has_wasi: bool,
}

/// The modules that WASI 0.1 is imported from.
const WASI: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

#[pymethods]
impl Linker {
    #[new]
    fn new(engine: &Bound<'_, PyAny>) -> Result<Linker> {
        let engine = argument("engine", engine).of_class::<Engine>(Engine::WANTED)?;
        let mut linker = ::innkeeper::Linker::new(&engine.get().engine);
        linker.allow_shadowing(true);
        Ok(Linker { linker, functions: HashMap::new(), has_wasi: false })
    }

    /// Defines an item under the names of a module and of its own: a function of Python's, or a `Func`, `Memory` or `Global` of the store that is instantiated in.
    ///
    /// A function of Python's is called with the values that the guest passes, and gives nothing, one value, or several. An exception that it raises ends the guest, and comes
    /// back from the call that the guest is in.
    ///
    /// What is defined last under a name is what it stands for, whatever it is, from the next `instantiate` on; so also with `define_instance` and `define_wasi`.
    fn define(
        slf: &Bound<'_, Self>,
        module: &Bound<'_, PyAny>,
        name: &Bound<'_, PyAny>,
        item: &Bound<'_, PyAny>,
    ) -> Result<()> {
        let (module, name) = (argument("module", module).text()?, argument("name", name).text()?);
        let item: Extern = if let Ok(func) = item.cast::<Func>() {
            func.get().func.into()
        } else if let Ok(memory) = item.cast::<Memory>() {
            memory.get().memory.into()
        } else if let Ok(global) = item.cast::<Global>() {
            global.get().global.into()
        } else if item.is_callable() {
            let function = (FunctionId::next(), item.clone().unbind());
            let before = slf.try_borrow_mut()?.functions.insert((module, name), function);
            // Once the linker is borrowed no more: what goes with it may use the linker.
            drop(before);
            return Ok(());
        } else {
            return Err(argument("item", item).wrong("a function, a memory or a global"));
        };
        let mut this = slf.try_borrow_mut()?;
        this.linker.define(&module, &name, item).map(drop).or_raise(slf.py())?;
        let before = this.functions.remove(&(module, name));
        drop(this);
        drop(before);
        Ok(())
    }

    /// Defines all that an instance exports under the name of a module.
    fn define_instance(
        slf: &Bound<'_, Self>,
        module: &Bound<'_, PyAny>,
        instance: &Bound<'_, PyAny>,
    ) -> Result<()> {
        let module = argument("module", module).text()?;
        let instance = argument("instance", instance).of_class::<Instance>("an innkeeper.Instance")?;
        let Instance { store, instance } = instance.get();
        let mut this = slf.try_borrow_mut()?;
        let define = |mut store: ::innkeeper::StoreContextMut<'_, Data>| {
            this.linker.instance(store.as_context_mut(), &module, *instance)?;
            let names = instance.exports(&store).into_iter().map(|(name, _)| (module.clone(), name));
            Ok::<_, HostError>(names.filter_map(|name| this.functions.remove(&name)).collect::<Vec<_>>())
        };
        let before = store.get().with(define)?.or_raise(slf.py())?;
        drop(this);
        drop(before);
        Ok(())
    }

    /// Defines WASI 0.1, with the keys that each store has.
    fn define_wasi(slf: &Bound<'_, Self>) -> Result<()> {
        let mut this = slf.try_borrow_mut()?;
        p1::add_to_linker(&mut this.linker, |data: &mut Data| &mut data.wasi).or_raise(slf.py())?;
        this.has_wasi = true;
        let before: Vec<_> =
            this.functions.extract_if(|(module, _), _| WASI.contains(&module.as_str())).collect();
        drop(this);
        drop(before);
        Ok(())
    }

    fn __repr__(&self) -> String {
        let wasi = if self.has_wasi { ", and WASI" } else { "" };
        format!("<innkeeper.Linker with {} of Python's functions{wasi}>", self.functions.len())
    }

    /// Makes an instance of a module in a store, and runs its start function if it has one.
    fn instantiate(
        slf: &Bound<'_, Self>,
        store: &Bound<'_, PyAny>,
        module: &Bound<'_, PyAny>,
    ) -> Result<Instance> {
        let py = slf.py();
        let store = argument("store", store).of_class::<Store>(Store::WANTED)?;
        let module = argument("module", module).of_class::<Module>(Module::WANTED)?;
        // The start function may call one that uses the linker.
        let pre = slf.try_borrow_mut()?.resolve(py, store.get(), &module.get().module)?;
        let made = Store::run(&store, |store| pre.instantiate(store))?;
        Ok(Instance { store: store.unbind(), instance: made.or_raise(py)? })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        self.functions.values().try_for_each(|(_, function)| visit.call(function))
    }

    fn __clear__(slf: &Bound<'_, Self>) {
        // Whoever has borrowed it is not garbage.
        let functions = slf.try_borrow_mut().map(|mut linker| std::mem::take(&mut linker.functions));
        drop(functions);
    }
}

impl Linker {
    /// What a module imports, found by name. Functions of Python's become objects of the store that it is to be in.
    fn resolve(
        &mut self,
        py: Python<'_>,
        store: &Store,
        module: &::innkeeper::Module,
    ) -> Result<InstancePre<Data>> {
        let Linker { linker, functions, has_wasi } = self;
        for import in module.imports() {
            let function = functions.get(&(import.module.to_owned(), import.name.to_owned()));
            let Some((id, function)) = function else { continue };
            let name = format!("{}.{}", import.module, import.name);
            let ExternType::Func(ty) = &import.ty else {
                return Err(refused(format!(
                    "the module imports {name} as {}, and a function of Python's is defined under that name",
                    import.ty
                )));
            };
            store.objects.know(py, *id, function);
            // Another module may import it with another type.
            let called = function_of_python(*id, name, ty.clone());
            linker.func_new(import.module, import.name, ty.clone(), called).or_raise(py)?;
        }
        linker.instantiate_pre(module).map_err(|error| {
            let is_link = matches!(error.kind(), ErrorKind::Link(_));
            if is_link && !*has_wasi && module.imports().any(|import| WASI.contains(&import.module)) {
                return refused(format!("{error}; Linker.define_wasi() defines WASI"));
            }
            exception(py, &error)
        })
    }
}

/// A function of the host that calls one of Python's, which the store that it is called in has among its objects.
fn function_of_python(
    id: FunctionId,
    name: String,
    ty: FuncType,
) -> impl Fn(Caller<'_, Data>, &[Val], &mut [Val]) -> std::result::Result<(), HostError> + Send + Sync + 'static
{
    let called_as = CalledAs { id, name, ty };
    move |mut caller, params, results| {
        let mut call = |py: Python<'_>| {
            let Some(owner) = caller.data().owner.as_ref().map(|owner| owner.clone_ref(py)) else {
                return (Err(refused("the store is about to go")), false);
            };
            let called = called_as.call(py, &owner, &mut caller, (params, &mut *results));
            (called, owner.get().has_views())
        };
        // Within and without, since Python's lock is asked for in both places.
        let (called, has_views) = or_stay(|| Python::attach(|py| or_stay(|| call(py))));
        // The function may have made views of the guest's memory, or dropped them.
        PythonsLock::hold(has_views);
        called.map_err(HostError::from_host)
    }
}

/// What a function of Python's is to a guest that imports it.
struct CalledAs {
    id: FunctionId,
    name: String,
    ty: FuncType,
}

impl CalledAs {
    fn call(
        &self,
        py: Python<'_>,
        owner: &Py<Store>,
        caller: &mut Caller<'_, Data>,
        (params, results): (&[Val], &mut [Val]),
    ) -> Result<()> {
        let store = owner.get();
        let function = store.objects.function(py, self.id);
        let function = function.ok_or_else(|| refused("the store was taken for garbage"))?;
        let arguments =
            params.iter().map(|value| value::to_python(py, caller.as_context_mut(), owner, *value));
        let arguments = PyTuple::new(py, arguments.collect::<Result<Vec<_>>>()?)?;
        let function = function.bind(py);
        let returned = store.in_function(py, caller, || or_stay(|| function.call1(&arguments)))?;
        let name = self.name.as_str();
        let given =
            value::results_from_python(caller.as_context_mut(), (store, name), self.ty.results(), &returned)?;
        for (result, value) in results.iter_mut().zip(given) {
            *result = value;
        }
        Ok(())
    }
}
