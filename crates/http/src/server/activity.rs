//! What a connection is doing, as far as its deadlines depend on it.
//!
//! It is told by the transport, which sees bytes, and by the requests, which begin and end. Whoever drives the connection asks it when it is to be closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::time::Instant;

use super::Limits;

/// What all connections of HTTP/2 begin with, as far as it tells them from others.
const HTTP2_START: &[u8] = b"PRI *";

/// See the module.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    in_flight: u32,
    /// Whether there has been a request.
    has_served: bool,
    /// Since when there has been no request: the connection's beginning, or the end of the last one.
    since: Instant,
    /// When the first byte came after that.
    first_byte: Option<Instant>,
    /// How much of the beginning of HTTP/2 has come; none once it is known to be another protocol.
    start: Option<usize>,
    /// Since when the client takes nothing of what is there for it.
    stuck: Option<Instant>,
    is_evicted: bool,
    waker: Option<Waker>,
}

/// Why a connection is over at a certain time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No request has come for too long.
    Idle,
    /// The head of a request, or the first of a connection, takes too long.
    Head,
    /// The client takes nothing of its answer.
    Stuck,
}

/// A request that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Activity {
    /// That of a connection which begins now.
    pub(super) fn new() -> Arc<Activity> {
        Arc::new(Activity(Mutex::new(State {
            in_flight: 0,
            has_served: false,
            since: Instant::now(),
            first_byte: None,
            start: Some(0),
            stuck: None,
            is_evicted: false,
            waker: None,
        })))
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        let mut state = self.state();
        state.in_flight += 1;
        state.has_served = true;
        state.first_byte = None;
        drop(state);
        UnderWay(Arc::clone(self))
    }

    /// Bytes have come.
    pub(super) fn received(&self, bytes: &[u8]) {
        let mut state = self.state();
        if let Some(seen) = state.start.filter(|seen| *seen < HTTP2_START.len()) {
            let count = bytes.len().min(HTTP2_START.len() - seen);
            let fits = bytes[..count] == HTTP2_START[seen..seen + count];
            state.start = fits.then_some(seen + count);
        }
        if state.in_flight == 0 && state.first_byte.is_none() {
            state.first_byte = Some(Instant::now());
        }
    }

    /// Whether the client can be written to now, or could not.
    pub(super) fn written(&self, is_stuck: bool) {
        let mut state = self.state();
        match is_stuck {
            true => {
                state.stuck.get_or_insert_with(Instant::now);
            }
            false => state.stuck = None,
        }
    }

    /// When the connection is to be closed, as things stand, and why.
    pub(super) fn deadline(&self, limits: &Limits) -> Option<(Instant, Overdue)> {
        let state = self.state();
        let stuck = state.stuck.map(|since| (since + limits.body_time, Overdue::Stuck));
        let waits = match state.first_byte {
            _ if state.in_flight > 0 => None,
            _ if !state.has_served => Some((state.since + limits.header_time, Overdue::Head)),
            // With HTTP/2, bytes need not be the beginning of a request.
            Some(first) if !state.is_http2() => Some((first + limits.header_time, Overdue::Head)),
            _ => Some((state.since + limits.idle_time, Overdue::Idle)),
        };
        stuck.into_iter().chain(waits).min_by_key(|(at, _)| *at)
    }

    /// Since when there has been no request, where there is none.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.in_flight == 0).then_some(state.since)
    }

    /// Has the connection closed, to make room for another.
    pub(super) fn evict(&self) {
        let mut state = self.state();
        state.is_evicted = true;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the connection is to be closed to make room; where not, `waker` is told when it is.
    pub(super) fn is_evicted(&self, waker: &Waker) -> bool {
        let mut state = self.state();
        if !state.is_evicted && !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        state.is_evicted
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_http2(&self) -> bool {
        self.start == Some(HTTP2_START.len())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight = state.in_flight.saturating_sub(1);
        if state.in_flight == 0 {
            state.since = Instant::now();
            state.first_byte = None;
        }
        // Whoever drives the connection has a deadline to watch again.
        let waker = state.waker.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
