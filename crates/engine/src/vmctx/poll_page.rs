//! The page that loops of machine code read, and nothing more, so that a loop can be stopped: reading it faults while somebody asks for
//! attention, and the compiling tier's signal handler takes it from there. A read whose value nobody uses is the cheapest check there is.

use std::sync::PoisonError;

use crate::error::Error;
use crate::sync::{Mutex, MutexGuard};
use crate::sys::SharedPage;

/// A page that is there once machine code runs.
#[derive(Default)]
pub(crate) struct PollPage(Mutex<State>);

#[derive(Default)]
struct State {
    page: Option<SharedPage>,
    is_forbidden: bool,
}

impl PollPage {
    /// The page's address, and makes the page if there is none. One that is made while `is_wanted` says that somebody asks for attention is forbidden from
    /// the start: who asks says so before the page is forbidden.
    pub(crate) fn map(&self, is_wanted: impl FnOnce() -> bool) -> Result<*const u8, Error> {
        let mut state = self.lock();
        if let Some(page) = &state.page {
            return Ok(page.address());
        }
        let page = SharedPage::new()?;
        let address = page.address();
        state.page = Some(page);
        state.set(is_wanted());
        Ok(address)
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set(&mut self, is_forbidden: bool) {
        if let Some(page) = &self.page
            && self.is_forbidden != is_forbidden
        {
            page.set_readable(!is_forbidden);
            self.is_forbidden = is_forbidden;
        }
    }
}
