//! How long after its deadline a guest ends.

use std::time::{Duration, Instant};

use innkeeper::{Error, Trap};

/// What is promised.
pub(crate) const PROMISED: Duration = Duration::from_millis(50);

/// When the deadline strikes: late enough to be in the middle of what is tried.
const AFTER: Duration = Duration::from_millis(15);

/// Other processes may have the processor just when the guest should end; not each time.
const ATTEMPTS: usize = 6;

/// Fails unless what `run` runs ends by the deadline, and soon after it; the least of several figures counts, and is printed. What comes with the result is
/// dropped when the time has been taken: to take a store apart is its owner's business, and none of the deadline's.
#[track_caller]
pub(crate) fn ends_at_the_deadline<T>(what: &str, mut run: impl FnMut(Watcher) -> (Result<(), Error>, T)) {
    let mut least = Duration::MAX;
    for _ in 0..ATTEMPTS {
        let (told, struck) = std::sync::mpsc::channel();
        let (result, _dropped_later) = run(Watcher { told });
        let (ended, deadline) = (Instant::now(), struck.recv().unwrap());
        if result.is_ok() && ended <= deadline {
            // On a busy machine, whoever watches the time may be late.
            continue;
        }
        let trap = result.as_ref().err().and_then(Error::trap);
        assert_eq!(trap, Some(Trap::DeadlineExceeded), "{what}: {result:?}");
        least = least.min(ended - deadline);
        if least <= PROMISED / 5 {
            break;
        }
    }
    println!("{:>9.3} ms  {what}", least.as_secs_f64() * 1e3);
    assert!(least <= PROMISED, "{what} ended {least:?} after its deadline, or before it at every attempt");
}

/// Watches the time of one run.
pub(crate) struct Watcher {
    told: std::sync::mpsc::Sender<Instant>,
}

impl Watcher {
    /// Has the time begin; `stop` is called when it is over.
    pub(crate) fn begin(self, stop: impl FnOnce() + Send + 'static) {
        std::thread::spawn(move || {
            std::thread::sleep(AFTER);
            let _ = self.told.send(Instant::now());
            stop();
        });
    }
}
