//! How a store is made that is not like all others of its engine.

use std::time::Duration;

#[cfg(feature = "async")]
use crate::async_limiter::ResourceLimiterAsync;
use crate::budget::Budget;
use crate::engine::Engine;
use crate::error::Error;
use crate::limiter::{Limiter, ResourceLimiter};
use crate::limits::Limits;
use crate::store::Store;

/// What a store is made from; see [`Store::builder`].
///
/// ```
/// # use innkeeper_engine::{Engine, Error, Store};
/// # fn make(engine: &Engine) -> Result<(), Error> {
/// let store = Store::builder(engine, ())
///     .memory_bytes(64 << 20)
///     .memory_size(16 << 20)
///     .table_elements(10_000)
///     .deadline(std::time::Duration::from_secs(1))
///     .build()?;
/// # drop(store);
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct StoreBuilder<'a, T: 'static> {
    engine: &'a Engine,
    data: T,
    limits: Limits,
    budget: Option<Budget>,
    limiter: Option<Limiter>,
    deadline: Option<Duration>,
    processor_time: Option<Duration>,
    fuel: Option<u64>,
}

impl<'a, T: 'static> StoreBuilder<'a, T> {
    pub(crate) fn new(engine: &'a Engine, data: T) -> StoreBuilder<'a, T> {
        StoreBuilder {
            engine,
            data,
            limits: engine.config().limits.clone(),
            budget: None,
            limiter: None,
            deadline: None,
            processor_time: None,
            fuel: None,
        }
    }

    /// All limits at once. Without this they are those of the engine's configuration.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// [`Limits::memory_bytes`]: the bytes that the store's guests may make the host hold, all kinds of things together.
    pub fn memory_bytes(mut self, bytes: u64) -> Self {
        self.limits.memory_bytes = Some(bytes);
        self
    }

    /// A budget that others charge to as well, in the place of one of the store's own.
    pub fn budget(mut self, budget: &Budget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// [`Limits::memory_size`]: the bytes that each linear memory may have.
    pub fn memory_size(mut self, bytes: u64) -> Self {
        self.limits.memory_size = Some(bytes);
        self
    }

    /// [`Limits::table_elements`]: the elements that each table may have.
    pub fn table_elements(mut self, elements: u64) -> Self {
        self.limits.table_elements = elements;
        self
    }

    /// [`Limits::heap_bytes`]: the bytes that objects may take together.
    pub fn heap_bytes(mut self, bytes: usize) -> Self {
        self.limits.heap_bytes = bytes;
        self
    }

    /// [`Limits::instances`]: how many instances there may be.
    pub fn instances(mut self, count: usize) -> Self {
        self.limits.instances = count;
        self
    }

    /// [`Limits::memories`]: how many memories there may be.
    pub fn memories(mut self, count: usize) -> Self {
        self.limits.memories = count;
        self
    }

    /// [`Limits::tables`]: how many tables there may be.
    pub fn tables(mut self, count: usize) -> Self {
        self.limits.tables = count;
        self
    }

    /// Has `limiter` asked whenever a memory or table is to grow.
    pub fn limiter(mut self, limiter: impl ResourceLimiter + 'static) -> Self {
        self.limiter = Some(Limiter::Direct(Box::new(limiter)));
        self
    }

    /// As [`StoreBuilder::limiter`], with one whose answers guests wait for.
    ///
    /// ```
    /// # use innkeeper_engine::{ResourceLimiterAsync, Engine, Error, Store};
    /// /// Somebody far away decides.
    /// struct Remote;
    ///
    /// # async fn ask(_: u64) -> bool { true }
    /// impl ResourceLimiterAsync for Remote {
    ///     fn memory_growing(&mut self, current: u64, desired: u64, _: Option<u64>) -> Box<dyn Future<Output = bool> + Send + '_> {
    ///         Box::new(ask(desired - current))
    ///     }
    ///     fn table_growing(&mut self, _: u64, _: u64, _: Option<u64>) -> Box<dyn Future<Output = bool> + Send + '_> {
    ///         Box::new(async { true })
    ///     }
    /// }
    ///
    /// # fn make(engine: &Engine) -> Result<Store<()>, Error> {
    /// Store::builder(engine, ()).limiter_async(Remote).build()
    /// # }
    /// ```
    #[cfg(feature = "async")]
    pub fn limiter_async(mut self, limiter: impl ResourceLimiterAsync + 'static) -> Self {
        self.limiter = Some(Limiter::Async(Box::new(limiter)));
        self
    }

    /// As [`Store::set_deadline`]; the time begins when the store is built, and is that of all its calls together: when it has passed the store runs no guests until
    /// [`Store::set_deadline`] is called.
    pub fn deadline(mut self, after: Duration) -> Self {
        self.deadline = Some(after);
        self
    }

    /// As [`Store::set_processor_time`].
    pub fn processor_time(mut self, limit: Duration) -> Self {
        self.processor_time = Some(limit);
        self
    }

    /// As [`Store::set_fuel`].
    pub fn fuel(mut self, units: u64) -> Self {
        self.fuel = Some(units);
        self
    }

    /// Makes the store.
    ///
    /// # Errors
    /// Where the budget or the operating system refuses the guest's stack or the thread that watches deadlines, or the engine does not meter the fuel that is given.
    pub fn build(self) -> Result<Store<T>, Error> {
        let budget =
            self.budget.unwrap_or_else(|| Budget::new(self.limits.memory_bytes, "Limits::memory_bytes"));
        let mut store = Store::with_limits(self.engine, self.data, (&budget, self.limits))?;
        store.inner.core.limiter = self.limiter;
        if let Some(units) = self.fuel {
            store.set_fuel(units)?;
        }
        store.set_processor_time(self.processor_time);
        if self.deadline.is_some() {
            store.set_deadline(self.deadline)?;
        }
        Ok(store)
    }
}

impl<T> std::fmt::Debug for StoreBuilder<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreBuilder").field("limits", &self.limits).finish_non_exhaustive()
    }
}
