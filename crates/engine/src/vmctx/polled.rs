//! The page that loops of machine code read, and nothing more, so that a loop can be stopped: reading it faults while somebody
//! requests a safepoint, and the compiling tier's signal handler takes it from there. A read whose value nobody uses is the cheapest check there is.
//!
//! The page lies right before the record of the store, which machine code has at hand wherever it is.

use std::ptr::NonNull;
use std::sync::{Arc, PoisonError};

use super::VmStore;
use crate::error::{Error, ErrorKind};
use crate::host_panics::FirstPanic;
use crate::pool::{Idle, Permits};
use crate::pooling::Pooling;
use crate::sync::{Mutex, MutexGuard};
use crate::sys::{Mapping, page_bytes};

/// Bytes from what machine code reads in each round of a loop to the record of its store, a [`VmStore`].
pub const POLL_BEFORE_RECORD_BYTES: usize = 4096;

/// A record and the page before it. The page is there once machine code runs. It can outlive its store, where somebody has a handle to it.
pub(crate) struct PolledRecord {
    vm: NonNull<VmStore>,
    page: Mutex<Page>,
    pool: Arc<RecordPool>,
}

/// Pages for the records of one engine's stores.
pub(crate) struct RecordPool {
    stores: Permits,
    idle: Idle<(), Page>,
}

/// The right to be a store; given back when dropped.
pub(crate) struct StorePermit(Arc<RecordPool>);

struct Page {
    /// The page, then the record.
    mapping: Mapping,
    state: PageState,
    is_forbidden: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum PageState {
    /// No machine code has run.
    Unused,
    /// What is polled is a mapping of its own.
    Apart,
    /// The system has refused that: nobody knows what is there now.
    Lost,
}

// SAFETY: the record is owned, and only its address is given out.
unsafe impl Send for PolledRecord {}
// SAFETY: as above.
unsafe impl Sync for PolledRecord {}

impl PolledRecord {
    /// # Errors
    /// Where the operating system refuses the memory.
    pub(crate) fn new(vm: VmStore, pool: &Arc<RecordPool>) -> Result<PolledRecord, Error> {
        let page = match pool.idle.take(()) {
            Some(page) => page,
            None => Page::new()?,
        };
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
        match page.state {
            PageState::Apart => return Ok(()),
            PageState::Unused => page.set_apart()?,
            PageState::Lost => {
                let text =
                    "the page that machine code polls could not be mapped before, and is not tried again";
                return Err(Error::new(ErrorKind::Os(text.to_owned())));
            }
        }
        page.set(is_wanted());
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
        let mut panics = FirstPanic::default();
        // SAFETY: written in `new`, dropped once, here, before its memory goes. What a function of the host was about to wait for may be in it, which is the embedder's.
        panics.catch(|| unsafe { self.vm.drop_in_place() });
        let mut page = self.lock();
        page.set(false);
        let page = std::mem::replace(&mut *page, Page::none());
        if page.state != PageState::Lost {
            drop(self.pool.idle.put((), page));
        }
        panics.go_on();
    }
}

impl RecordPool {
    pub(crate) fn new(pooling: &Pooling) -> RecordPool {
        RecordPool { stores: Permits::new(pooling.most_stores), idle: Idle::new(pooling.idle_stores) }
    }

    #[cfg(test)]
    pub(crate) fn for_tests() -> Arc<RecordPool> {
        Arc::new(RecordPool::new(&Pooling::default()))
    }

    /// # Errors
    /// Where the engine has as many stores as it may.
    pub(crate) fn permit(self: &Arc<RecordPool>) -> Result<StorePermit, Error> {
        self.stores.take(1).map_err(|most| {
            Error::limit(format!("the engine has {most} stores, the most it may have (Pooling::most_stores)"))
        })?;
        Ok(StorePermit(Arc::clone(self)))
    }
}

impl Drop for StorePermit {
    fn drop(&mut self) {
        self.0.stores.give_back(1);
    }
}

impl Page {
    fn new() -> Result<Page, Error> {
        let page_bytes = page_bytes();
        assert!(page_bytes >= POLL_BEFORE_RECORD_BYTES, "what is polled lies in a page before the record");
        let mapping = Mapping::new(page_bytes + size_of::<VmStore>(), 0)?;
        Ok(Page { mapping, state: PageState::Unused, is_forbidden: false })
    }

    fn none() -> Page {
        Page { mapping: Mapping::none(), state: PageState::Unused, is_forbidden: false }
    }

    fn set_apart(&mut self) -> Result<(), Error> {
        self.state = PageState::Lost;
        self.mapping.set_first_page_apart()?;
        self.state = PageState::Apart;
        Ok(())
    }

    fn set(&mut self, is_forbidden: bool) {
        if self.state == PageState::Apart && self.is_forbidden != is_forbidden {
            self.mapping.set_first_page_readable(!is_forbidden);
            self.is_forbidden = is_forbidden;
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;
    use crate::fiber::StackPool;
    use crate::vmctx::{Pending, VmFiber};

    /// A record with what its fiber has left to tell.
    fn record(pool: &Arc<RecordPool>, pending: Option<Pending>) -> PolledRecord {
        let stack = StackPool::for_tests().take().unwrap();
        let mut fiber = VmFiber::new(&stack, 1024);
        fiber.pending = pending;
        let vm = VmStore::new(fiber, std::ptr::null(), 1);
        PolledRecord::new(vm, pool).unwrap()
    }

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("what somebody panicked with panics again");
        }
    }

    #[test]
    fn a_record_goes_back_to_its_pool_whatever_panics_in_it() {
        let pool = RecordPool::for_tests();
        let record = record(&pool, Some(Pending::Panic(Box::new(Bomb))));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(record))).is_err());
        assert!(pool.idle.take(()).is_some());
    }

    #[test]
    fn a_page_that_was_lost_is_not_tried_again_and_goes_to_nobody() {
        let pool = RecordPool::for_tests();
        let record = record(&pool, None);
        record.set_page_apart(|| true).unwrap();
        record.permit();
        record.lock().state = PageState::Lost;
        assert!(record.set_page_apart(|| true).is_err());
        // Nothing of it is touched any more.
        record.forbid();
        assert!(!record.lock().is_forbidden);
        drop(record);
        assert!(pool.idle.take(()).is_none());
    }
}
