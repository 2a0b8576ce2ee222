//! Calls whose types were checked once, when the handle was made.

use std::marker::PhantomData;

use super::slot_types::MOST_SLOTS;
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

impl<P, R> std::fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TypedFunc").field(&self.func).finish()
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
    /// A trap, or an error of a host function; a reference among the parameters that is of another store.
    #[inline]
    pub fn call(&self, store: impl AsContextMut, params: P) -> Result<R, Error> {
        // Most lists are short, and slots are made zeros first.
        if const { P::SLOTS <= FEW_SLOTS && R::SLOTS <= FEW_SLOTS } {
            self.call_with::<FEW_SLOTS>(store, params)
        } else {
            self.call_with::<MOST_SLOTS>(store, params)
        }
    }

    #[inline(always)]
    fn call_with<const SLOTS: usize>(&self, mut store: impl AsContextMut, params: P) -> Result<R, Error> {
        let inner = store.as_context_mut().0;
        let record = self.func.record(&inner.core)?;
        let mut slots = [0; SLOTS];
        params.write(&mut slots, Some(&inner.core))?;
        call::checked(inner, record, &mut slots)?;
        Ok(R::read(&slots, &mut inner.core))
    }
}

/// Slots that most lists do with.
pub(super) const FEW_SLOTS: usize = 8;
