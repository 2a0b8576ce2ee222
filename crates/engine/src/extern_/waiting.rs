//! Memories and tables that the embedder makes and grows in a store whose limiter has to be waited for.
//!
//! Must stay true: nothing has been made or has grown while a limiter is asked, so that a future that is dropped has done nothing. What a limiter has said is of use to one attempt only.

use super::memory::memory_cannot_grow;
use super::table::table_cannot_grow;
use super::{Memory, Table};
use crate::error::Error;
use crate::limiter::Question;
use crate::store::{AsContextMut, StoreCore};
use crate::types::{MemoryType, TableType};
use crate::value::Val;

impl Memory {
    /// As [`Memory::new`], and waits for the store's limiter where that takes time ([`crate::StoreBuilder::limiter_async`]).
    ///
    /// # Errors
    /// As [`Memory::new`]; [`crate::Trap::Interrupted`] and [`crate::Trap::DeadlineExceeded`] where the store's guests are to stop meanwhile.
    pub async fn new_async<T: Send + 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: MemoryType,
    ) -> Result<Memory, Error> {
        let core = &mut store.as_context_mut().0.core;
        let question = Question::of_new_memory(&ty);
        let answer = core.wait_for_answer(question).await?;
        core.with_answer(question, answer, |core| {
            let id = core.new_memory(ty, None)?;
            Ok(Memory::from_id(id, core))
        })
    }

    /// As [`Memory::grow`], and waits for the store's limiter where that takes time ([`crate::StoreBuilder::limiter_async`]). Dropped meanwhile, nothing has grown.
    ///
    /// # Errors
    /// As [`Memory::grow`]; [`crate::Trap::Interrupted`] and [`crate::Trap::DeadlineExceeded`] where the store's guests are to stop meanwhile.
    pub async fn grow_async<T: Send + 'static>(
        self,
        mut store: impl AsContextMut<Data = T>,
        delta_pages: u64,
    ) -> Result<u64, Error> {
        let core = &mut store.as_context_mut().0.core;
        let id = self.id(core)?;
        let grown = core.grow_waiting(|core| Ok(core.grow_memory(id, delta_pages))).await?;
        grown.ok_or_else(|| memory_cannot_grow(delta_pages))
    }
}

impl Table {
    /// As [`Table::new`], and waits for the store's limiter where that takes time ([`crate::StoreBuilder::limiter_async`]).
    ///
    /// # Errors
    /// As [`Table::new`]; [`crate::Trap::Interrupted`] and [`crate::Trap::DeadlineExceeded`] where the store's guests are to stop meanwhile.
    pub async fn new_async<T: Send + 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: TableType,
        init: Val,
    ) -> Result<Table, Error> {
        let core = &mut store.as_context_mut().0.core;
        let question = Question::of_new_table(&ty);
        let answer = core.wait_for_answer(question).await?;
        core.with_answer(question, answer, |core| Table::make(core, ty, init))
    }

    /// As [`Table::grow`], and waits for the store's limiter where that takes time ([`crate::StoreBuilder::limiter_async`]). Dropped meanwhile, nothing has grown.
    ///
    /// # Errors
    /// As [`Table::grow`]; [`crate::Trap::Interrupted`] and [`crate::Trap::DeadlineExceeded`] where the store's guests are to stop meanwhile.
    pub async fn grow_async<T: Send + 'static>(
        self,
        mut store: impl AsContextMut<Data = T>,
        delta: u64,
        init: Val,
    ) -> Result<u64, Error> {
        let core = &mut store.as_context_mut().0.core;
        let grown = core.grow_waiting(|core| self.try_grow(core, delta, init)).await?;
        grown.ok_or_else(|| table_cannot_grow(delta))
    }
}

impl StoreCore {
    /// Grows something, as often as the limiter has to be asked first: another store may have grown a shared memory meanwhile.
    async fn grow_waiting(
        &mut self,
        mut grow: impl FnMut(&mut StoreCore) -> Result<Option<u64>, Error>,
    ) -> Result<Option<u64>, Error> {
        loop {
            let grown = grow(self);
            match self.take_wanted() {
                None => return grown,
                Some(question) => {
                    let answer = self.wait_for_answer(question).await?;
                    self.answers.give(question, answer);
                }
            }
        }
    }

    /// Makes something, about which the limiter has been asked.
    fn with_answer<R>(
        &mut self,
        question: Question,
        answer: bool,
        make: impl FnOnce(&mut StoreCore) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.answers.give(question, answer);
        let made = make(self);
        self.take_wanted();
        made
    }
}
