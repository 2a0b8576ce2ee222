//! Shared memories as embedders make them: for the stores of one engine, on as many threads.

use crate::budget::Budget;
use crate::engine::Engine;
use crate::error::Error;
use crate::types::MemoryType;
use crate::vmctx::shared_memory::SharedMemory;

impl SharedMemory {
    /// A memory of zeros that stores of `engine` can share, with a budget of its own ([`crate::Limits::memory_bytes`]).
    ///
    /// # Errors
    /// Where `ty` is not shared or states no maximum, and where a limit or the operating system refuses the memory.
    pub fn new(engine: &Engine, ty: MemoryType) -> Result<SharedMemory, Error> {
        SharedMemory::with_budget(engine, ty, &Budget::of_engine(engine))
    }

    /// A memory of zeros that stores of `engine` can share, charged to `budget`, once for all stores.
    ///
    /// # Errors
    /// Where `ty` is not shared or states no maximum, and where the budget or the operating system refuses the memory.
    pub fn with_budget(engine: &Engine, ty: MemoryType, budget: &Budget) -> Result<SharedMemory, Error> {
        SharedMemory::with_layout(ty, engine.config().tuning.memory_layout, engine.parking(), budget)
    }

    /// Whether stores of `engine` can use the memory.
    #[must_use]
    pub fn is_of(&self, engine: &Engine) -> bool {
        self.waits_in(engine.parking())
    }
}
