//! Innkeeper for Python: the classes of the module `innkeeper`, over the embedding API alone.
//!
//! [`engine`] has what is shared (engines and modules), [`store`] one guest's state and who may use it when, [`linker`] what guests are given, [`instance`] what they export,
//! [`memory`] their memory as a buffer, [`objects`] what of Python's a store refers to, [`keys`] WASI's keys, [`run`] whole programs, [`left`] what they leave, [`value`] what passes between Python and a guest, [`argument`] what functions are given, and [`error`] what can go wrong. [`lock`],
//! [`greenlets`] and [`finalizing`] have what Python asks of guests that call it: its lock, one stack at a time, and threads that it ends.
//!
//! Must stay true: a guest runs without Python's lock, so that other threads of Python go on, unless Python can see its memory meanwhile; a store is used by one thread at
//! a time, and whoever comes second gets an error.

#![deny(unsafe_code)]

mod argument;
mod engine;
mod error;
mod finalizing;
mod greenlets;
mod instance;
mod keys;
mod left;
mod linker;
#[allow(unsafe_code, reason = "takes and gives Python's lock for a guest that runs")]
mod lock;
#[allow(unsafe_code, reason = "hands a guest's memory to Python")]
mod memory;
mod objects;
mod run;
#[allow(unsafe_code, reason = "keeps the caller of a function of the host while it runs")]
mod store;
mod value;

/// Run WebAssembly guests with just the keys they need.
#[pyo3::pymodule]
mod innkeeper {
    #[pymodule_export]
    use crate::engine::{Engine, Module};
    #[pymodule_export]
    use crate::error::{Error, Exit, Trap};
    #[pymodule_export]
    use crate::instance::{Func, Global, Instance};
    #[pymodule_export]
    use crate::keys::Keys;
    #[pymodule_export]
    use crate::linker::Linker;
    #[pymodule_export]
    use crate::memory::Memory;
    #[pymodule_export]
    use crate::run::{Finished, run};
    #[pymodule_export]
    use crate::store::Store;

    use pyo3::types::PyModuleMethods;

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        crate::error::describe(module)
    }
}
