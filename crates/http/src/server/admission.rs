//! Which requests are handled now, which wait, which are sent away, and which have to go so that others need not wait.
//!
//! Places are meant for requests that are worked on. A client that is slow on purpose costs itself next to nothing and holds one all the same, so that some hundred such clients would keep everybody
//! out. Therefore, as soon as somebody waits, those go that have waited for their own client for some time and get on with fewer bytes a second than anybody needs: slowest first, one for each that waits.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Limits;
use super::activity::Activity;
use super::bound::Bound;
use super::flow::Flow;
use super::metrics::Metrics;

/// How often it is looked for slow requests while others wait.
const LOOK_TIME: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub(super) struct Admission {
    room: Arc<Semaphore>,
    waiting: AtomicUsize,
    inside: Arc<Mutex<Inside>>,
    metrics: Arc<Metrics>,
}

/// The requests that have a place.
#[derive(Debug, Default)]
struct Inside {
    numbers: u64,
    requests: HashMap<u64, (Flow, Arc<Activity>)>,
    /// When it was last looked for slow ones.
    looked: Option<Instant>,
}

/// A request's place, until this is dropped.
#[derive(Debug)]
pub(super) struct Admitted {
    inside: Arc<Mutex<Inside>>,
    number: u64,
    metrics: Arc<Metrics>,
    /// Goes last: whoever has the place next finds this one gone.
    _permit: OwnedSemaphorePermit,
}

/// A place in the queue, until this is dropped.
struct Queued<'a>(&'a Admission);

impl Admission {
    pub(super) fn new(limits: &Limits, metrics: &Arc<Metrics>) -> Admission {
        let room = limits.max_requests.clamp(1, Semaphore::MAX_PERMITS);
        Admission {
            room: Arc::new(Semaphore::new(room)),
            waiting: AtomicUsize::new(0),
            inside: Arc::default(),
            metrics: Arc::clone(metrics),
        }
    }

    /// Lets a request in, which may have to wait for that; none where too many wait, or it has waited for too long.
    pub(super) async fn enter(
        &self,
        limits: &Limits,
        (flow, activity): (&Flow, &Arc<Activity>),
    ) -> Option<Admitted> {
        let permit = match Arc::clone(&self.room).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait(limits).await?,
        };
        let mut inside = lock(&self.inside);
        inside.numbers += 1;
        let number = inside.numbers;
        inside.requests.insert(number, (flow.clone(), Arc::clone(activity)));
        drop(inside);
        self.metrics.in_flight.inc();
        let (inside, metrics) = (Arc::clone(&self.inside), Arc::clone(&self.metrics));
        Some(Admitted { inside, number, metrics, _permit: permit })
    }

    /// Whether a request that came now would be sent away.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.room.available_permits() == 0 && self.waiting.load(Ordering::Relaxed) >= limits.max_queue
    }

    async fn wait(&self, limits: &Limits) -> Option<OwnedSemaphorePermit> {
        let end = Instant::now() + limits.queue_time;
        let ahead = self.waiting.fetch_add(1, Ordering::Relaxed);
        self.metrics.waiting.inc();
        let _queued = Queued(self);
        let mut place = pin!(Arc::clone(&self.room).acquire_owned());
        loop {
            let now = Instant::now();
            self.make_room(limits, now);
            if ahead >= limits.max_queue || now >= end {
                return None;
            }
            if let Ok(permit) = timeout_at(end.min(now + LOOK_TIME), place.as_mut()).await {
                return permit.ok();
            }
        }
    }

    /// Has as many slow requests cut short as others wait, or as many as there are.
    fn make_room(&self, limits: &Limits, now: Instant) {
        let mut inside = lock(&self.inside);
        if inside.looked.is_some_and(|looked| now < looked + LOOK_TIME / 2) {
            return;
        }
        inside.looked = Some(now);
        let cut = inside.requests.values().filter(|(flow, _)| flow.is_cut()).count();
        let wanted = self.waiting.load(Ordering::Relaxed).saturating_sub(cut);
        let slow = inside.requests.iter();
        let slow = slow.filter_map(|(number, (flow, _))| Some((flow.slowness(limits, now)?, *number)));
        let mut slow: Vec<(u64, u64)> = slow.collect();
        slow.sort_unstable();
        let chosen = slow.iter().take(wanted).filter_map(|(_, number)| inside.requests.get(number));
        let chosen: Vec<(Flow, Arc<Activity>)> = chosen.cloned().collect();
        drop(inside);
        for (flow, activity) in chosen {
            self.metrics.hit(Bound::MinRate);
            if flow.cut() {
                activity.evict();
            }
        }
    }
}

fn lock(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let gone = lock(&self.inside).requests.remove(&self.number);
        drop(gone);
        self.metrics.in_flight.dec();
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.waiting.dec();
    }
}
