//! Borrows of a store, and what gives them: a store itself, what a function of the host is called with, and references to those.

use crate::engine::Engine;
use crate::error::Error;
use crate::store::{AsContext, AsContextMut, Store, StoreContext, StoreContextMut};

impl<T> std::fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("id", &self.inner.core.id()).finish_non_exhaustive()
    }
}

impl<'a, T> StoreContext<'a, T> {
    /// The embedder's data.
    #[must_use]
    pub fn data(&self) -> &'a T {
        &self.0.data
    }

    /// The engine that the store was made for.
    #[must_use]
    pub fn engine(&self) -> &'a Engine {
        self.0.core.engine()
    }

    /// The fuel that is left.
    ///
    /// # Errors
    /// Where the engine's configuration does not meter fuel.
    #[doc(alias = "get_fuel")]
    pub fn fuel(&self) -> Result<u64, Error> {
        self.0.core.check_metering()?;
        Ok(self.0.core.record.fuel())
    }
}

impl<T> StoreContextMut<'_, T> {
    /// The engine that the store was made for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.0.core.engine()
    }

    /// Frees every object that nothing refers to; otherwise that happens when the heap has grown enough.
    pub fn gc(&mut self) {
        let live_end = self.0.core.stack_top();
        self.0.core.collect(live_end);
    }

    /// The fuel that is left.
    ///
    /// # Errors
    /// Where the engine's configuration does not meter fuel.
    #[doc(alias = "get_fuel")]
    pub fn fuel(&self) -> Result<u64, Error> {
        self.0.core.check_metering()?;
        Ok(self.0.core.record.fuel())
    }

    /// Gives guests `units` of fuel, in the place of what is left; see [`Store::set_fuel`].
    ///
    /// # Errors
    /// Where the engine's configuration does not meter fuel.
    pub fn set_fuel(&mut self, units: u64) -> Result<(), Error> {
        self.0.core.check_metering()?;
        self.0.core.record.set_fuel(units);
        Ok(())
    }

    /// The embedder's data.
    #[must_use]
    pub fn data(&self) -> &T {
        &self.0.data
    }

    /// The embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.0.data
    }
}

impl<T> AsContext for Store<T> {
    type Data = T;
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(&self.inner)
    }
}

impl<T> AsContextMut for Store<T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(&mut self.inner)
    }
}

impl<T> AsContext for StoreContext<'_, T> {
    type Data = T;
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }
}

impl<T> AsContext for StoreContextMut<'_, T> {
    type Data = T;
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.0)
    }
}

impl<T> AsContextMut for StoreContextMut<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.0)
    }
}

impl<C: AsContext> AsContext for &C {
    type Data = C::Data;
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContext> AsContext for &mut C {
    type Data = C::Data;
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        C::as_context(self)
    }
}

impl<C: AsContextMut> AsContextMut for &mut C {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        C::as_context_mut(self)
    }
}
