//! Calls with slots as they are, for code that is generated for a function's type and has checked everything itself.
//!
//! Parameters and results share their slots: those of the parameters are from the first on when a call begins, those of the results when it returns. A slot has 64 bits: numbers of
//! 32 bits are zero-extended, a vector takes two slots, low half first, and a reference is what [`Val::to_raw`] gives, 0 for null.

use super::call;
use crate::caller::Caller;
use crate::error::Error;
use crate::func::Func;
use crate::linker::Linker;
use crate::runtime::host::{self, Dynamic};
use crate::store::{AsContext, AsContextMut};
use crate::types::{FuncType, ValType};
use crate::value::Val;

impl Func {
    /// Calls the function with raw slots. That there are enough is checked: [`FuncType::call_slots`], the larger number of those that parameters and results take.
    ///
    /// # Errors
    /// As [`Func::call`]; too few slots.
    ///
    /// # Safety
    /// The first slots hold values of the function's parameter types, references being of this store.
    pub unsafe fn call_unchecked(
        &self,
        mut store: impl AsContextMut,
        slots: &mut [u64],
    ) -> Result<(), Error> {
        let inner = store.as_context_mut().0;
        let record = self.record(&inner.core)?;
        let wanted = call::func_type_of(record).call_slots() as usize;
        if slots.len() < wanted {
            return Err(Error::usage(format!(
                "the call needs {wanted} slots, and was given {}",
                slots.len()
            )));
        }
        call::checked(inner, record, slots)
    }

    /// A host function of a type known at run time that is given raw slots, as many as [`FuncType::call_slots`] says.
    ///
    /// # Errors
    /// Where the engine's registry of types is full.
    ///
    /// # Safety
    /// Where `call` returns without an error, it has left values of the function's result types in the first slots, references being of the store that it was called in.
    pub unsafe fn new_unchecked<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        call: impl Fn(Caller<'_, T>, &mut [u64]) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Result<Func, Error> {
        let core = &mut store.as_context_mut().0.core;
        let record = core.new_host_func(host::code::<T, Dynamic>(call), &ty)?;
        Func::from_record(record, core)
    }
}

impl<T: 'static> Linker<T> {
    /// As [`Linker::func_new`], with a function that is given raw slots.
    ///
    /// # Errors
    /// As [`Linker::func_wrap`].
    ///
    /// # Safety
    /// As [`Func::new_unchecked`].
    pub unsafe fn func_new_unchecked(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        call: impl Fn(Caller<'_, T>, &mut [u64]) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Result<&mut Self, Error> {
        self.define_code((module, name), ty, host::code::<T, Dynamic>(call))
    }
}

impl Val {
    /// The value's slots, of which all but vectors use the first only.
    ///
    /// # Errors
    /// Where it is a reference of another store, or is no longer good.
    pub fn to_raw(self, store: impl AsContext) -> Result<[u64; 2], Error> {
        self.to_slots(&store.as_context().0.core)
    }

    /// The value that slots stand for.
    ///
    /// # Safety
    /// The slots hold a value of the type, a reference being one of this store that something in it still refers to.
    pub unsafe fn from_raw(mut store: impl AsContextMut, slots: [u64; 2], ty: ValType) -> Val {
        Val::from_slots(slots, ty, &mut store.as_context_mut().0.core)
    }
}
