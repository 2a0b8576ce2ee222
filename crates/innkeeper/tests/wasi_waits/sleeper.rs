//! The smallest executor that there is: it polls one future, and sleeps between.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// How long something may take that happens soon, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Wakes a thread, and counts.
pub(crate) struct Sleeper {
    thread: Thread,
    woken: AtomicUsize,
}

impl Sleeper {
    pub(crate) fn new() -> Arc<Sleeper> {
        Arc::new(Sleeper { thread: std::thread::current(), woken: AtomicUsize::new(0) })
    }

    /// Polls `future` once.
    pub(crate) fn poll<F: Future + ?Sized>(self: &Arc<Self>, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }

    /// Polls `future` whenever somebody wakes this thread, until it is ready.
    pub(crate) fn run<F: Future + ?Sized>(self: &Arc<Self>, mut future: Pin<&mut F>) -> F::Output {
        let begin = Instant::now();
        loop {
            let before = self.woken.load(Ordering::Acquire);
            if let Poll::Ready(result) = self.poll(future.as_mut()) {
                return result;
            }
            while self.woken.load(Ordering::Acquire) == before {
                assert!(begin.elapsed() < SOON, "nobody wakes the future");
                std::thread::park_timeout(Duration::from_millis(100));
            }
        }
    }
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::Release);
        self.thread.unpark();
    }
}
