//! Whether memories and tables may grow: the store's limits, and whoever its owner wants to be asked.
//!
//! Must stay true: whatever grows is looked at in one order: the type and the store's limits, then the limiter, then the budget and the system. What the limiter
//! was told is what becomes of it, also where other threads grow the same memory. A panic of a limiter's never crosses frames of a guest. What it is asked about is then refused, and the panic goes on when they are left.

use std::panic::{AssertUnwindSafe, catch_unwind};

#[cfg(feature = "async")]
use crate::async_limiter::ResourceLimiterAsync;
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

/// Who is asked.
pub(crate) enum Limiter {
    Direct(Box<dyn ResourceLimiter>),
    #[cfg(feature = "async")]
    Async(Box<dyn ResourceLimiterAsync>),
}

/// What is to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Growing {
    Memory,
    Table,
}

/// What a limiter is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) what: Growing,
    pub(crate) current: u64,
    pub(crate) desired: u64,
    pub(crate) maximum: Option<u64>,
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
        match self.ask(Question::of_new_memory(ty)) {
            true => Ok(()),
            false => Err(self
                .refused(|| Error::limit(format!("the store's limiter refuses a memory of {bytes} bytes")))),
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
        let min = ty.size.min;
        match self.ask(Question::of_new_table(ty)) {
            true => Ok(()),
            false => Err(self
                .refused(|| Error::limit(format!("the store's limiter refuses a table of {min} elements")))),
        }
    }

    /// Why something did not grow that might have: somebody refuses it, which `refusal` tells, or would have to be waited for.
    pub(crate) fn refused(&mut self, refusal: impl FnOnce() -> Error) -> Error {
        match self.take_wanted() {
            Some(_) => Error::usage(CANNOT_WAIT),
            None => refusal(),
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
            if delta > 0 && !self.ask(Question::new(Growing::Memory, (current, desired), maximum)) {
                return None;
            }
            // Not under the memory's lock, because the limiter is the embedder's: what was looked at may have changed.
            let Some(grown) = self.memories[id].grow_from(from_bytes, delta) else { continue };
            if grown.is_none() {
                self.tell_failed(Growing::Memory);
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
            if !self.ask(Question::new(Growing::Table, (current, desired), max)) {
                return Ok(None);
            }
        }
        let grown = self.tables[id].grow_in_portions(delta, value, heed)?;
        if grown.is_none() {
            self.tell_failed(Growing::Table);
        }
        Ok(grown)
    }

    /// Tells the limiter, if there is one, that something did not grow that it has allowed.
    pub(crate) fn tell_failed(&mut self, what: Growing) {
        let Some(limiter) = &mut self.limiter else { return };
        let told = catch_unwind(AssertUnwindSafe(|| match (limiter, what) {
            (Limiter::Direct(limiter), Growing::Memory) => limiter.memory_grow_failed(),
            (Limiter::Direct(limiter), Growing::Table) => limiter.table_grow_failed(),
            #[cfg(feature = "async")]
            (Limiter::Async(limiter), Growing::Memory) => limiter.memory_grow_failed(),
            #[cfg(feature = "async")]
            (Limiter::Async(limiter), Growing::Table) => limiter.table_grow_failed(),
        }));
        if let Err(panic) = told {
            self.keep_host_panic(panic);
        }
    }

    /// What the limiter says, if there is one. False also where it has to be waited for: then [`StoreCore::take_wanted`] tells what it is to be asked.
    fn ask(&mut self, question: Question) -> bool {
        let asked = match &mut self.limiter {
            None => return true,
            Some(Limiter::Direct(limiter)) => {
                catch_unwind(AssertUnwindSafe(|| question.put_to(&mut **limiter)))
            }
            #[cfg(feature = "async")]
            Some(Limiter::Async(_)) => return self.answers.take(question),
        };
        match asked {
            Ok(answer) => answer,
            Err(panic) => {
                self.keep_host_panic(panic);
                false
            }
        }
    }

    /// What the limiter has to be asked first for something to grow, if it was that for which it did not. What it has said before is of no use any more.
    pub(crate) fn take_wanted(&mut self) -> Option<Question> {
        #[cfg(feature = "async")]
        {
            self.answers.end()
        }
        #[cfg(not(feature = "async"))]
        None
    }

    /// Goes on with what code of the host's panicked with when no frame of a guest is there any more; only the first one counts.
    pub(crate) fn keep_host_panic(&mut self, panic: Box<dyn std::any::Any + Send>) {
        self.host_panics.keep(panic);
        if !self.record.is_guest_under_way() {
            self.resume_host_panic();
        }
    }
}

/// Why nothing grows where a limiter cannot be asked.
pub(crate) const CANNOT_WAIT: &str = "the store has an asynchronous limiter, which cannot be waited for here (use call_async, instantiate_async, grow_async and new_async)";

impl Question {
    pub(crate) fn new(what: Growing, (current, desired): (u64, u64), maximum: Option<u64>) -> Question {
        Question { what, current, desired, maximum }
    }

    /// About a memory that is to be made.
    pub(crate) fn of_new_memory(ty: &MemoryType) -> Question {
        let bytes = |pages: u64| pages.saturating_mul(ty.page_bytes());
        Question::new(Growing::Memory, (0, bytes(ty.pages.min)), ty.pages.max.map(bytes))
    }

    /// About a table that is to be made.
    pub(crate) fn of_new_table(ty: &TableType) -> Question {
        Question::new(Growing::Table, (0, ty.size.min), ty.size.max)
    }

    fn put_to(self, limiter: &mut dyn ResourceLimiter) -> bool {
        let Question { what, current, desired, maximum } = self;
        match what {
            Growing::Memory => limiter.memory_growing(current, desired, maximum),
            Growing::Table => limiter.table_growing(current, desired, maximum),
        }
    }
}
