//! How one request gets on with its client: whether it waits for more of the body, or for more of its answer to be taken, and how many bytes have gone either way.
//!
//! A client that is slow on purpose holds a place that others wait for. So requests are told apart by this, not by their age: one that a program computes for is nobody's fault but the program's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;

/// See the module. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Flow(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    begun: Instant,
    /// When its answer is to be there as a whole.
    deadline: Instant,
    state: Mutex<State>,
}

/// Bytes that have gone of late: in the window of time that is not over, and in the one before.
#[derive(Debug, Default)]
struct Recent {
    /// When the window has begun; none before the first bytes.
    begun: Option<Instant>,
    bytes: u64,
    before: u64,
}

#[derive(Debug, Default)]
struct State {
    recent: Recent,
    /// Since when it waits for more of the request's body.
    body_since: Option<Instant>,
    /// Since when it waits for the client to take what is there of the answer.
    answer_since: Option<Instant>,
    /// How long it has waited for its client before that.
    waited: Duration,
    is_cut: bool,
    waker: Option<Waker>,
}

impl Flow {
    /// That of a request which begins now.
    pub(super) fn begin(limits: &Limits) -> Flow {
        let begun = Instant::now();
        let deadline = begun + limits.request_time;
        Flow(Arc::new(Shared { begun, deadline, state: Mutex::default() }))
    }

    /// When the request's answer is to be there as a whole.
    pub(super) fn deadline(&self) -> Instant {
        self.0.deadline
    }

    /// Nothing of the body is there; `waker` is told when it is not waited for any more.
    pub(super) fn waits_for_body(&self, waker: &Waker) {
        let mut state = self.state();
        state.body_since.get_or_insert_with(Instant::now);
        if !state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
    }

    /// So many bytes of the body have come, or its end.
    pub(super) fn body_came(&self, bytes: usize) {
        let mut state = self.state();
        let since = state.body_since.take();
        state.gone_on(since, bytes);
    }

    /// A part of the answer is there to be taken.
    pub(super) fn offers_answer(&self) {
        self.state().answer_since = Some(Instant::now());
    }

    /// So many bytes, which were the part that was there, are taken, or about to be.
    pub(super) fn answer_taken(&self, bytes: usize) {
        let mut state = self.state();
        let since = state.answer_since.take();
        state.gone_on(since, bytes);
    }

    /// Whether it is not waited for any more: others wait for its place.
    pub(super) fn is_cut(&self) -> bool {
        self.state().is_cut
    }

    /// Has it waited for no more. Gives whether its client does not take its answer: then its connection has to go.
    pub(super) fn cut(&self) -> bool {
        let mut state = self.state();
        state.is_cut = true;
        let waker = state.waker.take();
        let is_stuck = state.answer_since.is_some();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        is_stuck
    }

    /// Where it waits for its client now, has done so for `slow_time` in all, and has got on with less than the least rate of late: its bytes a second.
    pub(super) fn slowness(&self, limits: &Limits, now: Instant) -> Option<u64> {
        let mut state = self.state();
        let waits = state.body_since.into_iter().chain(state.answer_since).min()?;
        let waited = state.waited + now.saturating_duration_since(waits);
        let rate = state.recent.rate(self.0.begun, now);
        (!state.is_cut && waited >= limits.slow_time && rate < limits.min_rate_bytes).then_some(rate)
    }

    /// When the connection is to be closed, as things stand, because its client does not take the answer.
    pub(super) fn stuck_at(&self, limits: &Limits) -> Instant {
        // An answer that nobody asks for more of is not told of its deadline.
        let late = self.0.deadline + limits.body_time;
        self.state().answer_since.map_or(late, |since| late.min(since + limits.body_time))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn gone_on(&mut self, since: Option<Instant>, bytes: usize) {
        let now = Instant::now();
        self.recent.count(bytes, now);
        self.waited += since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
    }
}

/// How long a window of [`Recent`] is: a client that has taken much at once and then nothing is slow after two of them.
const WINDOW: Duration = Duration::from_secs(1);

impl Recent {
    fn count(&mut self, bytes: usize, now: Instant) {
        self.roll(now);
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Bytes a second of what has begun at `begun`.
    fn rate(&mut self, begun: Instant, now: Instant) -> u64 {
        self.roll(now);
        let current = self.begun.map_or(Duration::ZERO, |begun| now.saturating_duration_since(begun));
        let span = (current + WINDOW).min(now.saturating_duration_since(begun));
        let milliseconds = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
        self.bytes.saturating_add(self.before).saturating_mul(1000) / milliseconds
    }

    /// Begins a new window where the last one is over.
    fn roll(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(*self.begun.get_or_insert(now));
        if passed >= WINDOW {
            let bytes = std::mem::take(&mut self.bytes);
            self.before = if passed < 2 * WINDOW { bytes } else { 0 };
            self.begun = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_slow_while_its_client_is() {
        let limits = Limits { min_rate_bytes: 1000, ..Limits::default() };
        let flow = Flow::begin(&limits);
        let after = |seconds: f64| Instant::now() + Duration::from_secs_f64(seconds);
        assert_eq!(flow.slowness(&limits, after(10.0)), None, "nobody waits for the client");
        flow.waits_for_body(Waker::noop());
        assert_eq!(flow.slowness(&limits, after(0.5)), None, "it has not waited for long");
        assert_eq!(flow.slowness(&limits, after(3.0)), Some(0));
        let flow = Flow::begin(&limits);
        flow.body_came(1_000_000);
        flow.waits_for_body(Waker::noop());
        assert_eq!(flow.slowness(&limits, after(1.5)), None, "it has been fast just now");
        assert_eq!(flow.slowness(&limits, after(4.0)), Some(0), "what was long ago does not count");
        assert!(!flow.cut(), "its connection can stay");
        assert_eq!(flow.slowness(&limits, after(5.0)), None, "it goes already");
        let flow = Flow::begin(&limits);
        flow.offers_answer();
        assert!(flow.slowness(&limits, after(3.0)).is_some());
        assert!(flow.cut());
    }

    #[test]
    fn bytes_are_counted_by_the_second() {
        let begun = Instant::now();
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let mut recent = Recent::default();
        for tenth in 0..50 {
            recent.count(100, at(tenth * 100));
        }
        let rate = recent.rate(begun, at(5000));
        assert!((800..=1200).contains(&rate), "{rate}");
        assert_eq!(recent.rate(begun, at(7001)), 0);
    }
}
