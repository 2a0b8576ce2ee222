//! What a connection is doing, as far as its deadlines depend on it.
//!
//! It is told by the transport, which sees bytes, and by the requests, which begin and end. Whoever drives the connection asks it when it is to be closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use tokio::time::Instant;

use super::Limits;
use super::flow::Flow;
use super::framing::Framing;

/// See the module.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    /// The requests that are under way, of which there are few.
    flows: Vec<(u64, Flow)>,
    /// How many there have been.
    served: u64,
    /// When those that are under way are to be looked at again.
    next_look: Instant,
    /// Since when there has been no request: the connection's beginning, or the end of the last one.
    since: Instant,
    /// Whether HTTP/2 is spoken.
    is_http2: bool,
    /// Since when the head of a request comes, with HTTP/1.1.
    head: Option<Instant>,
    /// Since when the client takes nothing of what is there for it.
    stuck: Option<Instant>,
    /// Since when everything has been said, and what its client still sends is thrown away.
    lingers: Option<Instant>,
    is_evicted: bool,
    /// Whether the client is to be told that its head has taken too long.
    is_late: bool,
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
    /// Everything has been said, and the client goes on sending.
    Lingering,
    /// It is not, but one of its requests may be: [`Activity::look`].
    Unknown,
}

/// A request that is under way, until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    number: u64,
}

impl Activity {
    /// That of a connection which begins now.
    pub(super) fn new() -> Arc<Activity> {
        let now = Instant::now();
        Arc::new(Activity(Mutex::new(State {
            flows: Vec::new(),
            served: 0,
            next_look: now,
            since: now,
            is_http2: false,
            head: None,
            stuck: None,
            lingers: None,
            is_evicted: false,
            is_late: false,
            waker: None,
        })))
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>, flow: Flow, limits: &Limits) -> UnderWay {
        let mut state = self.state();
        if state.flows.is_empty() {
            state.next_look = Instant::now() + limits.body_time;
        }
        state.served += 1;
        let number = state.served;
        state.flows.push((number, flow));
        drop(state);
        UnderWay { activity: Arc::clone(self), number }
    }

    /// Bytes have come, which have led to this.
    pub(super) fn received(&self, framing: &Framing) {
        let mut state = self.state();
        state.is_http2 = framing.is_http2();
        match framing.is_in_head() {
            true => {
                state.head.get_or_insert_with(Instant::now);
            }
            false => state.head = None,
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

    /// Everything has been said, and something more of what its client sends is waited for.
    pub(super) fn lingers(&self) {
        self.state().lingers.get_or_insert_with(Instant::now);
    }

    /// Whether there has been no request.
    pub(super) fn is_fresh(&self) -> bool {
        self.state().served == 0
    }

    /// Whether everything has been said, and something is waited for.
    pub(super) fn is_lingering(&self) -> bool {
        self.state().lingers.is_some()
    }

    /// When the connection is to be closed, as things stand, and why.
    pub(super) fn deadline(&self, limits: &Limits) -> (Instant, Overdue) {
        let state = self.state();
        if let Some(since) = state.lingers {
            return (since + limits.linger_time, Overdue::Lingering);
        }
        let stuck = state.stuck.map(|since| (since + limits.body_time, Overdue::Stuck));
        let waits = match state.head {
            _ if !state.flows.is_empty() => (state.next_look, Overdue::Unknown),
            _ if state.served == 0 => (state.since + limits.header_time, Overdue::Head),
            // One that has come while another was under way has its time from that one's end.
            Some(first) => (first.max(state.since) + limits.header_time, Overdue::Head),
            None => (state.since + limits.idle_time, Overdue::Idle),
        };
        stuck.filter(|(at, _)| *at < waits.0).unwrap_or(waits)
    }

    /// Whether the client has not taken an answer for too long. Where not, those under way are looked at again before one could be over.
    pub(super) fn look(&self, limits: &Limits, now: Instant) -> bool {
        let mut state = self.state();
        let Some(first) = state.flows.iter().map(|(_, flow)| flow.stuck_at(limits)).min() else {
            return false;
        };
        // One that begins to stand still now is over no sooner.
        state.next_look = first.min(now + limits.body_time);
        first <= now
    }

    /// Has the client told that its head has taken too long, by whoever reads next, and gives whether it is.
    pub(super) fn set_late(&self) -> bool {
        let mut state = self.state();
        // One that has said nothing is told nothing.
        state.is_late = state.head.is_some() && !state.is_http2;
        state.is_late
    }

    /// Whether it is to be told so now, which is said once.
    pub(super) fn take_late(&self) -> bool {
        std::mem::take(&mut self.state().is_late)
    }

    /// Since when there has been no request, where there is none.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let state = self.state();
        state.flows.is_empty().then_some(state.since)
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

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.flows.retain(|(number, _)| *number != self.number);
        if state.flows.is_empty() {
            state.since = Instant::now();
        }
        // Whoever drives the connection has a deadline to watch again.
        let waker = state.waker.clone();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
