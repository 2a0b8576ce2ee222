//! Calls whose types were checked once, when the handle was made.

use std::marker::PhantomData;

use super::{Func, WasmParams, WasmResults};
use crate::error::Error;
use crate::runtime::call;
use crate::store::AsContextMut;

/// A function known to take `P` and return `R`.
pub struct TypedFunc<P, R> {
    func: Func,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    pub(super) fn new(func: Func) -> Self {
        TypedFunc { func, types: PhantomData }
    }

    /// The function without its types.
    #[must_use]
    pub fn func(&self) -> Func {
        self.func
    }

    /// Calls the function.
    ///
    /// # Errors
    /// A trap, or an error of a host function.
    pub fn call(&self, mut store: impl AsContextMut, params: P) -> Result<R, Error> {
        let inner = store.as_context_mut().0;
        let record = self.func.record(&inner.core)?;
        // Typed lists hold at most 8 values of one slot.
        let mut slots = [0; 8];
        params.write(&mut slots);
        call::checked(inner, record, &mut slots)?;
        Ok(R::read(&slots))
    }
}
