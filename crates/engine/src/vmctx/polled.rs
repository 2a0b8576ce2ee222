//! The page that loops of machine code read, and nothing more, so that a loop can be stopped: reading it faults while somebody
//! requests a safepoint, and the compiling tier's signal handler takes it from there. A read whose value nobody uses is the cheapest check there is.
//!
//! The page lies right before the record of the store, which machine code has at hand wherever it is.

use std::ptr::NonNull;
use std::sync::{Arc, PoisonError};

use super::VmStore;
use crate::error::Error;
use crate::pooling::Pooling;
use crate::sync::{Mutex, MutexGuard};
use crate::sys::{Mapping, page_bytes};

/// Bytes from what machine code reads in each round of a loop to the record of its store, a [`VmStore`].
pub const POLL_BEFORE_RECORD_BYTES: usize = 4096;

/// A record and the page before it. The page is there once machine code runs.
pub(crate) struct PolledRecord {
    vm: NonNull<VmStore>,
    page: Mutex<Page>,
    pool: Arc<RecordPool>,
}

/// Pages for the records of one engine's stores.
pub(crate) struct RecordPool {
    /// How many there may be in use, and how many are kept.
    most: Option<usize>,
    most_idle: usize,
    /// No model's: engines, which have a pool, are made outside of models too.
    state: std::sync::Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    in_use: usize,
    idle: Vec<Page>,
}

struct Page {
    /// The page, then the record.
    mapping: Mapping,
    is_apart: bool,
    is_forbidden: bool,
}

// SAFETY: the record is owned, and only its address is given out.
unsafe impl Send for PolledRecord {}
// SAFETY: as above.
unsafe impl Sync for PolledRecord {}

impl PolledRecord {
    /// # Errors
    /// Where the engine has as many stores as it may, or the operating system refuses the memory.
    pub(crate) fn new(vm: VmStore, pool: &Arc<RecordPool>) -> Result<PolledRecord, Error> {
        let page = pool.take()?;
        // SAFETY: the mapping is page-aligned, and has room for the record behind its first page. Its address is not null. Nobody has used it, or its user has
        // dropped what was there.
        let vm = unsafe {
            let place = page.mapping.base().add(page_bytes()).cast::<VmStore>();
            place.write(vm);
            NonNull::new_unchecked(place)
        };
        Ok(PolledRecord { vm, page: Mutex::new(page), pool: Arc::clone(pool) })
    }

    /// The record, which lives as long as `self`.
    pub(crate) fn get(&self) -> *mut VmStore {
        self.vm.as_ptr()
    }

    /// Makes what is polled a page of its own, if it is not yet. One that is made while `is_wanted` says that somebody requests a safepoint is forbidden from
    /// the start: who asks says so before the page is forbidden.
    pub(crate) fn set_page_apart(&self, is_wanted: impl FnOnce() -> bool) -> Result<(), Error> {
        let mut page = self.lock();
        if !page.is_apart {
            page.mapping.set_first_page_apart()?;
            page.is_apart = true;
            page.set(is_wanted());
        }
        Ok(())
    }

    /// Makes reading the page fault.
    pub(crate) fn forbid(&self) {
        self.lock().set(true);
    }

    /// Lets the page be read.
    pub(crate) fn permit(&self) {
        self.lock().set(false);
    }

    #[cfg(all(test, feature = "loom"))]
    pub(crate) fn is_forbidden(&self) -> bool {
        self.lock().is_forbidden
    }

    fn lock(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PolledRecord {
    fn drop(&mut self) {
        // SAFETY: written in `new`, dropped once, here, before its memory goes.
        unsafe { self.vm.drop_in_place() };
        let mut page = self.lock();
        page.set(false);
        let page = std::mem::replace(
            &mut *page,
            Page { mapping: Mapping::none(), is_apart: false, is_forbidden: false },
        );
        self.pool.put(page);
    }
}

impl RecordPool {
    pub(crate) fn new(pooling: &Pooling) -> RecordPool {
        RecordPool {
            most: pooling.most_stores,
            most_idle: pooling.idle_stores,
            state: std::sync::Mutex::new(PoolState::default()),
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<RecordPool> {
        Arc::new(RecordPool::new(&Pooling::default()))
    }

    fn take(&self) -> Result<Page, Error> {
        let mut state = self.lock();
        if let Some(most) = self.most
            && state.in_use >= most
        {
            return Err(Error::limit(format!(
                "the engine has {most} stores, the most it may have (Pooling::most_stores)"
            )));
        }
        let page = match state.idle.pop() {
            Some(page) => page,
            None => Page::new()?,
        };
        state.in_use += 1;
        Ok(page)
    }

    fn put(&self, page: Page) {
        let mut state = self.lock();
        state.in_use -= 1;
        if state.idle.len() < self.most_idle {
            state.idle.push(page);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Page {
    fn new() -> Result<Page, Error> {
        let page_bytes = page_bytes();
        assert!(page_bytes >= POLL_BEFORE_RECORD_BYTES, "what is polled lies in a page before the record");
        let mapping = Mapping::new(page_bytes + size_of::<VmStore>(), 0)?;
        Ok(Page { mapping, is_apart: false, is_forbidden: false })
    }

    fn set(&mut self, is_forbidden: bool) {
        if self.is_apart && self.is_forbidden != is_forbidden {
            self.mapping.set_first_page_readable(!is_forbidden);
            self.is_forbidden = is_forbidden;
        }
    }
}
