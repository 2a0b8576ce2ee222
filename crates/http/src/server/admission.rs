//! Which requests are handled now, which wait, and which are sent away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Limits;

/// See the module.
#[derive(Debug)]
pub(super) struct Admission {
    room: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A place in the queue, until this is dropped.
struct Queued<'a>(&'a AtomicUsize);

impl Admission {
    pub(super) fn new(limits: &Limits) -> Admission {
        let room = limits.max_requests.clamp(1, Semaphore::MAX_PERMITS);
        Admission { room: Arc::new(Semaphore::new(room)), waiting: AtomicUsize::new(0) }
    }

    /// Lets a request in, which may have to wait for that; none where too many wait, or it has waited for too long.
    pub(super) async fn enter(&self, limits: &Limits) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Some(permit);
        }
        let queued = Queued(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= limits.max_queue {
            return None;
        }
        let permit = timeout(limits.queue_time, Arc::clone(&self.room).acquire_owned()).await;
        drop(queued);
        permit.ok()?.ok()
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
