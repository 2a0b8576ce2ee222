//! Whether memories and tables may grow: the store's limits, and whoever its owner wants to be asked.
//!
//! Must stay true: whatever grows is looked at in one order: the type and the store's limits, then the limiter, then the budget and the system. What the limiter
//! was told is what becomes of it, also where other threads grow the same memory. A panic of a limiter's never crosses frames of a guest. What it is asked about is then refused, and the panic goes on when they are left.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::Error;
use crate::store::{MemoryId, StoreCore, TableId};
use crate::trap::Trap;
use crate::types::{MemoryType, TableType};
use crate::vmctx::table::TableEntity;

/// Decides about growth in a store, beside its [`crate::Limits`], which are looked at first; see [`crate::StoreBuilder::limiter`].
///
/// A new memory or table grows from nothing. Where another store's guest grows a shared memory just then, it is asked once more, about the new size. What is refused is seen by the guest as `memory.grow` or `table.grow` that returns -1, or ends the instantiation that
/// asked for it.
pub trait ResourceLimiter: Send + Sync {
    /// Whether a memory may grow from `current` to `desired` bytes; `maximum` is what its type says.
    fn memory_growing(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool;

    /// Whether a table may grow from `current` to `desired` elements; `maximum` is what its type says.
    fn table_growing(&mut self, current: u64, desired: u64, maximum: Option<u64>) -> bool;

    /// A memory did not grow, though it might have: the budget, or the system, has no more.
    fn memory_grow_failed(&mut self) {}

    /// A table did not grow, though it might have.
    fn table_grow_failed(&mut self) {}
}

impl StoreCore {
    /// Checks that there may be one more memory of a type.
    pub(crate) fn check_new_memory(&mut self, ty: &MemoryType) -> Result<(), Error> {
        let (count, limit) = (self.memories.len(), self.limits.memories);
        if count >= limit {
            return Err(Error::limit(format!(
                "the store holds {limit} memories, the most it may (Limits::memories)"
            )));
        }
        // What the address space does not have is refused by whoever maps it.
        let bytes = ty.pages.min.saturating_mul(ty.page_bytes());
        if let Some(limit) = self.limits.memory_size
            && bytes > limit
        {
            let message =
                format!("a memory of {bytes} bytes is over the limit of {limit} (Limits::memory_size)");
            return Err(Error::limit(message));
        }
        let maximum = ty.pages.max.map(|pages| pages.saturating_mul(ty.page_bytes()));
        match self.ask(|limiter| limiter.memory_growing(0, bytes, maximum)) {
            true => Ok(()),
            false => Err(Error::limit(format!("the store's limiter refuses a memory of {bytes} bytes"))),
        }
    }

    /// Checks that there may be one more table of a type.
    pub(crate) fn check_new_table(&mut self, ty: &TableType) -> Result<(), Error> {
        let (count, limit) = (self.tables.len(), self.limits.tables);
        if count >= limit {
            return Err(Error::limit(format!(
                "the store holds {limit} tables, the most it may (Limits::tables)"
            )));
        }
        TableEntity::check_limit(ty, self.limits.table_elements)?;
        let (min, max) = (ty.size.min, ty.size.max);
        match self.ask(|limiter| limiter.table_growing(0, min, max)) {
            true => Ok(()),
            false => Err(Error::limit(format!("the store's limiter refuses a table of {min} elements"))),
        }
    }

    /// Grows a memory by `delta` pages of zeros and returns the old size in pages; none where its maximum, a limit, the budget or the operating system forbids
    /// it, and then nothing has changed.
    pub(crate) fn grow_memory(&mut self, id: MemoryId, delta: u64) -> Option<u64> {
        if self.limits.memory_size.is_none() && self.limiter.is_none() {
            return self.memories[id].grow(delta);
        }
        let ty = self.memories[id].ty();
        let maximum = ty.pages.max.map(|pages| pages.saturating_mul(ty.page_bytes()));
        let most =
            ty.max_pages().saturating_mul(ty.page_bytes()).min(self.limits.memory_size.unwrap_or(u64::MAX));
        loop {
            let from_bytes = self.memories[id].len_bytes();
            let current = from_bytes as u64;
            let desired = current.checked_add(delta.checked_mul(ty.page_bytes())?)?;
            if desired > most {
                return None;
            }
            if delta > 0 && !self.ask(|limiter| limiter.memory_growing(current, desired, maximum)) {
                return None;
            }
            // Not under the memory's lock, because the limiter is the embedder's: what was looked at may have changed.
            let Some(grown) = self.memories[id].grow_from(from_bytes, delta) else { continue };
            if grown.is_none() {
                self.tell(|limiter| limiter.memory_grow_failed());
            }
            return grown;
        }
    }

    /// Grows a table by `delta` elements of `value` and returns the old size; none where it is refused. `heed` is asked after each portion whether to go on.
    ///
    /// # Errors
    /// That of `heed`, and then the table is as it was.
    pub(crate) fn grow_table(
        &mut self,
        id: TableId,
        (delta, value): (u64, u64),
        heed: impl Fn() -> Result<(), Trap>,
    ) -> Result<Option<u64>, Trap> {
        let Some(desired) = self.tables[id].size_after(delta) else { return Ok(None) };
        if self.limiter.is_some() && delta > 0 {
            let ty = self.tables[id].ty();
            let (current, max) = (ty.size.min, ty.size.max);
            if !self.ask(|limiter| limiter.table_growing(current, desired, max)) {
                return Ok(None);
            }
        }
        let grown = self.tables[id].grow_in_portions(delta, value, heed)?;
        if grown.is_none() {
            self.tell(|limiter| limiter.table_grow_failed());
        }
        Ok(grown)
    }

    /// Tells the limiter, if there is one.
    pub(crate) fn tell(&mut self, message: impl FnOnce(&mut dyn ResourceLimiter)) {
        self.ask(|limiter| {
            message(limiter);
            true
        });
    }

    /// What the limiter says, if there is one.
    fn ask(&mut self, question: impl FnOnce(&mut dyn ResourceLimiter) -> bool) -> bool {
        let Some(limiter) = &mut self.limiter else { return true };
        match catch_unwind(AssertUnwindSafe(|| question(&mut **limiter))) {
            Ok(answer) => answer,
            Err(panic) => {
                self.keep_host_panic(panic);
                false
            }
        }
    }

    /// Goes on with what code of the host's panicked with when no frame of a guest is there any more; only the first one counts.
    pub(crate) fn keep_host_panic(&mut self, panic: Box<dyn std::any::Any + Send>) {
        self.host_panics.keep(panic);
        if !self.record.is_guest_under_way() {
            self.resume_host_panic();
        }
    }
}
