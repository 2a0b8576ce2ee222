//! An executor written by hand: it takes turns with many futures on one thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

/// How long something may take that happens soon, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A future that is polled by whoever is told that it can go on.
struct Task {
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
    ready: Sender<Arc<Task>>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let ready = self.ready.clone();
        // Nobody listens any more once all have ended.
        let _ = ready.send(self);
    }
}

/// Runs all futures to their ends on this thread.
pub(crate) fn run_all(futures: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>) {
    let (ready, turns) = channel();
    let mut left = futures.len();
    for future in futures {
        let task = Arc::new(Task { future: Mutex::new(Some(future)), ready: ready.clone() });
        ready.send(task).unwrap();
    }
    while left > 0 {
        let task = turns.recv_timeout(SOON).expect("somebody goes on");
        let mut slot = task.future.lock().unwrap();
        let Some(future) = &mut *slot else { continue };
        let waker = Waker::from(Arc::clone(&task));
        if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            *slot = None;
            left -= 1;
        }
    }
}
