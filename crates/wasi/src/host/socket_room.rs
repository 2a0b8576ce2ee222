//! Room for sockets: how many a guest may have at once, and what they cost it.
//!
//! Sockets that a guest makes itself, what it accepts on them, and look-ups of names count, each as one open handle ([`crate::keys::WasiLimits::max_open_handles`]). Sockets that it
//! was handed open are counted where they are numbered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use innkeeper_engine::{BudgetKind, Charge};

use super::error::Error;
use super::{Host, ReachedLimit};

/// Room for one socket, until this is dropped.
#[derive(Debug)]
pub(super) struct SocketRoom {
    taken: Arc<AtomicU32>,
    _charge: Charge,
}

/// What a socket costs beside what the system keeps for it.
const COST_BYTES: u64 = 1 << 10;

impl Host {
    /// Keeps room for one more socket, before it is made: none is made, or accepted, in vain.
    ///
    /// # Errors
    /// [`Error::TooManyHandles`], [`Error::NoMemory`].
    pub(super) fn socket_room(&self) -> Result<SocketRoom, Error> {
        let charge = self.budget.hold(BudgetKind::Descriptor, COST_BYTES).map_err(|_| Error::NoMemory)?;
        let taken = Arc::clone(&self.sockets);
        if !take(&taken, self.limits.max_open_handles) {
            self.note_limit(ReachedLimit::Handles);
            return Err(Error::TooManyHandles);
        }
        Ok(SocketRoom { taken, _charge: charge })
    }
}

/// Counts one more, up to `most`.
pub(super) fn take(taken: &AtomicU32, most: u32) -> bool {
    let more = |count: u32| (count < most).then_some(count + 1);
    taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

impl Drop for SocketRoom {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
