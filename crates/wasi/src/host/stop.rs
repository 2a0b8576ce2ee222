//! How a store's own requests to stop, its deadline above all, reach the waits of the host calls that its guests make.
//!
//! Must stay true: whatever is asked of the store after a wait has begun ends the wait; a wait that was woken in vain goes on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::task::{Wake, Waker};

use innkeeper_engine::{InterruptHandle, WakeOnStop};

use super::error::Error;
use super::sys;

/// The store on whose behalf a host is asked.
#[derive(Clone, Debug)]
pub(super) struct StoreStop {
    handle: InterruptHandle,
    /// Made for the first wait.
    bell: OnceLock<Arc<Bell>>,
}

/// What a wait looks at beside what it waits for.
#[derive(Debug)]
struct Bell(OwnedFd);

/// A wait that a request to stop wakes, until it is dropped.
pub(super) struct Watched<'a> {
    stop: &'a StoreStop,
    bell: &'a Bell,
    _entered: WakeOnStop<'a>,
}

impl StoreStop {
    pub(super) fn new(handle: &InterruptHandle) -> StoreStop {
        StoreStop { handle: handle.clone(), bell: OnceLock::new() }
    }

    #[inline]
    pub(super) fn is_of(&self, handle: &InterruptHandle) -> bool {
        InterruptHandle::same(&self.handle, handle)
    }

    /// Has `waker` woken when the store is to stop, until what this gives is dropped.
    #[cfg(all(feature = "async", feature = "component"))]
    pub(super) fn wake(&self, waker: &Waker) -> WakeOnStop<'_> {
        self.handle.wake_on_stop(waker.clone())
    }

    pub(super) fn is_asked(&self) -> bool {
        self.handle.is_stop_asked()
    }

    /// Begins a wait.
    ///
    /// # Errors
    /// No free descriptor; the store is to stop.
    pub(super) fn watch(&self) -> Result<Watched<'_>, Error> {
        let bell = match self.bell.get() {
            Some(bell) => bell,
            None => {
                let bell = Arc::new(Bell(sys::open_signal()?));
                self.bell.get_or_init(|| bell)
            }
        };
        let entered = self.handle.wake_on_stop(Waker::from(Arc::clone(bell)));
        let watched = Watched { stop: self, bell, _entered: entered };
        watched.heed().map(|()| watched)
    }
}

impl<'a> Watched<'a> {
    pub(super) fn descriptor(&self) -> BorrowedFd<'a> {
        self.bell.0.as_fd()
    }

    /// The bell has rung, maybe long ago.
    ///
    /// # Errors
    /// The store is to stop.
    pub(super) fn rang(&self) -> Result<(), Error> {
        sys::clear_signal(&self.bell.0);
        // Only now: whoever asks after this rings again.
        self.heed()
    }

    fn heed(&self) -> Result<(), Error> {
        if self.stop.is_asked() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        sys::raise_signal(&self.0);
    }
}
