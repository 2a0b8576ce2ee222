//! How a server is told to end.

use std::sync::Arc;

use tokio::sync::watch;

/// Ends servers: those that are given clones of it. At first it does nothing.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<Phase>>);

/// How far a server's end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Draining,
    Ended,
}

impl Stop {
    /// One that has not been used.
    #[must_use]
    pub fn new() -> Stop {
        Stop(Arc::new(watch::Sender::new(Phase::Serving)))
    }

    /// Has no connections accepted any more, and no requests beside those that are being handled.
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Has everything ended at once.
    pub fn end(&self) {
        self.advance(Phase::Ended);
    }

    /// Whether [`Stop::drain`] or [`Stop::end`] was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Phase::Draining
    }

    /// Waits until [`Stop::drain`] or [`Stop::end`] is called.
    pub async fn draining(&self) {
        self.reached(Phase::Draining).await;
    }

    /// Waits until [`Stop::end`] is called.
    pub async fn ended(&self) {
        self.reached(Phase::Ended).await;
    }

    fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let advances = *phase < to;
            *phase = (*phase).max(to);
            advances
        });
    }

    async fn reached(&self, wanted: Phase) {
        // The sender lives as long as this.
        let _ = self.0.subscribe().wait_for(|phase| *phase >= wanted).await;
    }
}

impl Default for Stop {
    fn default() -> Stop {
        Stop::new()
    }
}
