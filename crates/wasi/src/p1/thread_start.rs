//! What a start function waits for that starts a thread: that the thread's instance is there.
//!
//! Must stay true: whoever waits is told, also where the thread ends without a word. In a call that can wait no thread is held.
//!
//! What this is not: the thread, or its instance (`threads.rs`).

#[cfg(feature = "async")]
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "async")]
use std::task::{Context, Poll, Waker};

use innkeeper_engine::Error;

/// A thread that was started, or was not.
pub(super) struct Started {
    /// Its number, or a negative error number.
    id: i32,
    /// What whoever has started it waits for.
    instance: Option<Arc<Instance>>,
}

/// Says whether the thread's instance is there, at the latest when it is dropped.
pub(super) struct Teller(Arc<Instance>);

#[derive(Default)]
struct Instance {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<(), Error>>,
    #[cfg(feature = "async")]
    waker: Option<Waker>,
}

impl Started {
    pub(super) fn at_once(id: i32) -> Started {
        Started { id, instance: None }
    }

    /// A thread whose instance is to be waited for.
    pub(super) fn when_told(id: i32) -> (Started, Teller) {
        let instance = Arc::new(Instance::default());
        (Started { id, instance: Some(Arc::clone(&instance)) }, Teller(instance))
    }

    /// The result of `thread-spawn`, once there is one. Holds the thread.
    ///
    /// # Errors
    /// Those of the new instance.
    pub(super) fn hold_thread(self) -> Result<i32, Error> {
        let Some(instance) = self.instance else { return Ok(self.id) };
        let mut state = instance.state();
        loop {
            match state.outcome.take() {
                Some(outcome) => return outcome.map(|()| self.id),
                None => state = instance.told.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// As [`Started::hold_thread`], without a thread.
    ///
    /// # Errors
    /// Those of the new instance.
    #[cfg(feature = "async")]
    pub(super) async fn suspend(self) -> Result<i32, Error> {
        let Some(instance) = self.instance else { return Ok(self.id) };
        poll_fn(|context| instance.poll(context)).await.map(|()| self.id)
    }
}

impl Teller {
    pub(super) fn tell(self, outcome: Result<(), Error>) {
        self.0.tell(outcome);
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        // The thread has ended: a panic of it has been shown where it happened.
        self.0.tell(Ok(()));
    }
}

impl Instance {
    /// What is told first counts.
    fn tell(&self, outcome: Result<(), Error>) {
        let mut state = self.state();
        state.outcome.get_or_insert(outcome);
        #[cfg(feature = "async")]
        let waker = state.waker.take();
        drop(state);
        self.told.notify_one();
        #[cfg(feature = "async")]
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    #[cfg(feature = "async")]
    fn poll(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        let waker = context.waker().clone();
        let mut state = self.state();
        if let Some(outcome) = state.outcome.take() {
            return Poll::Ready(outcome);
        }
        let before = state.waker.replace(waker);
        drop(state);
        // The embedder's, with nothing locked.
        drop(before);
        Poll::Pending
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
