//! What a host function gets: the store it was called in, and the instance that called.

use crate::engine::Engine;
use crate::error::Error;
use crate::extern_::{Extern, Memory};
use crate::instance::Instance;
use crate::store::{AsContext, AsContextMut, InstanceId, StoreContext, StoreContextMut, StoreCore};
use crate::trap::Backtrace;
use crate::vmctx::LinearMemory;
use crate::vmctx::record::InterruptHandle;
use crate::vmctx::shared_memory::SharedMemory;

/// The store and the calling instance, for the time of one host call.
pub struct Caller<'a, T: 'static> {
    store: StoreContextMut<'a, T>,
    instance: Option<InstanceId>,
}

/// What of a memory can be lent to a function of the host: see [`Caller::lend_memory_and_data`].
pub enum LentMemory<'a> {
    /// There is no such memory.
    None,
    /// The bytes of one that nobody else has.
    Own(&'a mut [u8]),
    /// One that threads share, whose bytes cannot be borrowed.
    Shared(&'a SharedMemory),
}

impl<'a, T: 'static> Caller<'a, T> {
    pub(crate) fn new(store: StoreContextMut<'a, T>, instance: Option<InstanceId>) -> Self {
        Caller { store, instance }
    }

    /// The embedder's data.
    #[must_use]
    pub fn data(&self) -> &T {
        &self.store.0.data
    }

    /// The embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.store.0.data
    }

    /// The fuel that is left.
    ///
    /// # Errors
    /// Where the engine's configuration does not meter fuel.
    #[doc(alias = "get_fuel")]
    pub fn fuel(&self) -> Result<u64, Error> {
        self.store.0.core.check_metering()?;
        Ok(self.store.0.core.record.fuel())
    }

    /// Gives guests `units` of fuel, in the place of what is left; see [`crate::Store::set_fuel`]. So a function of the host takes what it costs. A guest has paid for a run of
    /// instructions when it begins it, so that it finishes the one that it is in with whatever is left: where there is too little, return [`crate::Trap::OutOfFuel`].
    ///
    /// # Errors
    /// Where the engine's configuration does not meter fuel.
    pub fn set_fuel(&mut self, units: u64) -> Result<(), Error> {
        self.store.0.core.check_metering()?;
        self.store.0.core.record.set_fuel(units);
        Ok(())
    }

    /// What the calling instance exports under `name`; none where the host itself called.
    #[must_use]
    pub fn get_export(&self, name: &str) -> Option<Extern> {
        Instance::from_id(self.instance?, &self.store.0.core).get_export(self, name)
    }

    /// The guest's functions that have led here, innermost first: those that have called this function, and where one of them was called by another function of the host, those
    /// that have called that. Names, offsets and lines are as in the backtrace of a trap. Nothing is noted for this at a call; asking costs some microseconds a frame.
    #[must_use]
    pub fn backtrace(&self) -> Backtrace {
        Backtrace::capture(self)
    }

    /// The engine that the store was made for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        self.store.0.core.engine()
    }

    /// Frees every object that nothing refers to; otherwise that happens when the heap has grown enough.
    pub fn gc(&mut self) {
        self.store.gc();
    }

    /// The instance that called; none where the host itself did.
    #[must_use]
    #[inline]
    pub fn instance(&self) -> Option<Instance> {
        Some(Instance::from_id(self.instance?, &self.store.0.core))
    }

    /// The bytes of a memory, together with the embedder's data; none where the memory is of another store, or shared and so cannot be borrowed.
    #[inline]
    pub fn memory_and_data(&mut self, memory: Memory) -> Option<(&mut [u8], &mut T)> {
        let inner = &mut *self.store.0;
        let id = memory.id_in(&inner.core)?;
        Some((inner.core.memories[id].bytes_mut()?, &mut inner.data))
    }

    /// A memory, if it is shared, together with the embedder's data; none where it is of another store, too.
    #[inline]
    pub fn shared_memory_and_data(&mut self, memory: Memory) -> Option<(&SharedMemory, &mut T)> {
        let inner = &mut *self.store.0;
        let id = memory.id_in(&inner.core)?;
        match &inner.core.memories[id] {
            LinearMemory::Shared(memory) => Some((memory, &mut inner.data)),
            LinearMemory::Own(_) => None,
        }
    }

    /// What of a memory can be lent, together with the embedder's data; nothing of no memory, and of one of another store.
    #[inline]
    pub fn lend_memory_and_data(&mut self, memory: Option<Memory>) -> (LentMemory<'_>, &mut T) {
        let inner = &mut *self.store.0;
        let lent = match memory.and_then(|memory| memory.id_in(&inner.core)) {
            None => LentMemory::None,
            Some(id) => match &mut inner.core.memories[id] {
                LinearMemory::Shared(memory) => LentMemory::Shared(memory),
                own => own.bytes_mut().map_or(LentMemory::None, LentMemory::Own),
            },
        };
        (lent, &mut inner.data)
    }

    /// Lets another thread stop the store's guests, and this function find out that one does; see [`InterruptHandle::wake_on_stop`].
    #[must_use]
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.store.0.core.record.interrupt_handle().clone()
    }

    /// [`Caller::interrupt_handle`], borrowed, together with the embedder's data.
    #[inline]
    pub fn interrupt_handle_and_data(&mut self) -> (&InterruptHandle, &mut T) {
        let inner = &mut *self.store.0;
        (inner.core.record.interrupt_handle(), &mut inner.data)
    }

    /// For host functions that were interrupted in the middle: the trap that the store's owner has asked for, if any, so that it need not
    /// wait for the guest's next loop or call.
    ///
    /// # Errors
    /// [`crate::Trap::Interrupted`], [`crate::Trap::DeadlineExceeded`].
    pub fn check_interrupts(&mut self) -> Result<(), Error> {
        Ok(self.store.0.core.stop_if_asked()?)
    }

    /// Whether a module is being instantiated in the store: the call comes, at some remove, from its start function.
    #[must_use]
    pub fn is_instantiating(&self) -> bool {
        self.store.0.core.starting > 0
    }

    /// Whether the caller is executed as machine code, and not by the interpreter. That can be otherwise at every call.
    #[must_use]
    pub fn is_in_machine_code(&self) -> bool {
        self.store.0.core.record.is_in_machine_code()
    }

    /// What the store holds.
    #[inline(always)]
    pub(crate) fn core(&self) -> &StoreCore {
        &self.store.0.core
    }

    /// What the store holds.
    #[inline(always)]
    pub(crate) fn core_mut(&mut self) -> &mut StoreCore {
        &mut self.store.0.core
    }

    #[inline(always)]
    pub(crate) fn reborrow(&mut self) -> Caller<'_, T> {
        Caller { store: StoreContextMut(self.store.0), instance: self.instance }
    }
}

impl<T> AsContext for Caller<'_, T> {
    type Data = T;
    fn as_context(&self) -> StoreContext<'_, T> {
        StoreContext(self.store.0)
    }
}

impl<T> AsContextMut for Caller<'_, T> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, T> {
        StoreContextMut(self.store.0)
    }
}
