//! When guests that were called so that they can wait let others have their turn: after a slice of time ([`crate::time_slice`]), or so much fuel
//! (`runtime/fuel.rs`).

use crate::error::Error;
use crate::store::Store;
use crate::time_slice::TimeSlice;

impl<T> Store<T> {
    /// Has guests that were called with [`crate::Func::call_async`] or instantiated with [`crate::InstancePre::instantiate_async`] let others have their turn whenever
    /// they have run for so long in one poll: at their next loop or call, the future says that it is pending, and has itself polled again. Guests in calls
    /// that cannot wait go on. None: they never do.
    pub fn yield_every(&mut self, slice: Option<std::time::Duration>) {
        let handle = self.interrupt_handle();
        self.inner.core.time_slice = slice.map(|slice| TimeSlice::new(handle, slice));
    }

    /// Has guests that were called with [`crate::Func::call_async`] or instantiated with [`crate::InstancePre::instantiate_async`] let others have their turn whenever
    /// they have used so much fuel: the future says that it is pending, and has itself polled again. That is at the same places in every tier and every run, as
    /// where fuel runs out. Guests in calls that cannot wait go on. None: they never do; zero is one.
    ///
    /// ```
    /// # use innkeeper_engine::{Error, Store};
    /// # fn serve<T>(store: &mut Store<T>) -> Result<(), Error> {
    /// // A million instructions in all, in turns of ten thousand.
    /// store.set_fuel(1_000_000)?;
    /// store.yield_every_fuel(Some(10_000))
    /// # }
    /// ```
    ///
    /// # Errors
    /// Where the engine's configuration does not meter fuel.
    #[doc(alias = "fuel_async_yield_interval")]
    pub fn yield_every_fuel(&mut self, units: Option<u64>) -> Result<(), Error> {
        self.inner.core.check_metering()?;
        self.inner.core.record.set_fuel_portion(units.map_or(u64::MAX, |units| units.max(1)));
        Ok(())
    }
}
