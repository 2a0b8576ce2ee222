//! What was denied and what failed lately, in words, for whoever looks after a server. As much is kept as fits on a page, whatever guests do.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Events(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    denials: VecDeque<Denial>,
    failures: VecDeque<FailedRequest>,
}

/// Something that a guest wanted and was not granted.
#[derive(Clone, Debug)]
pub(super) struct Denial {
    pub(super) guest: String,
    pub(super) what: String,
    pub(super) count: u64,
    pub(super) last: SystemTime,
}

/// A request that was not answered as its sender would have wished.
#[derive(Clone, Debug)]
pub(super) struct FailedRequest {
    pub(super) time: SystemTime,
    pub(super) guest: String,
    pub(super) method: String,
    /// Without its query, which may be secret.
    pub(super) path: String,
    /// 0 where there was no answer.
    pub(super) status: u16,
    pub(super) note: String,
    /// Its trace, by which it is found in the log.
    pub(super) trace: String,
}

/// Kept of each kind.
const MOST: usize = 50;

/// Characters that are kept of a text that clients or guests have chosen.
const MOST_CHARACTERS: usize = 300;

impl Events {
    /// A guest was denied these things.
    pub(super) fn denied(&self, guest: &str, what: &[String], time: SystemTime) {
        if what.is_empty() {
            return;
        }
        let mut kept = self.kept();
        for what in what {
            let what = shortened(what);
            let known = kept.denials.iter().position(|denial| denial.guest == guest && denial.what == what);
            let before = known.and_then(|index| kept.denials.remove(index)).map_or(0, |denial| denial.count);
            let denial = Denial { guest: guest.to_owned(), what, count: before + 1, last: time };
            push(&mut kept.denials, denial);
        }
    }

    /// A request has failed.
    pub(super) fn failed(&self, request: FailedRequest) {
        let request = FailedRequest {
            path: shortened(&request.path),
            note: shortened(&request.note),
            method: shortened(&request.method),
            ..request
        };
        push(&mut self.kept().failures, request);
    }

    /// All that is kept, the latest first.
    pub(super) fn latest(&self) -> (Vec<Denial>, Vec<FailedRequest>) {
        let kept = self.kept();
        (kept.denials.iter().cloned().collect(), kept.failures.iter().cloned().collect())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn push<T>(kept: &mut VecDeque<T>, event: T) {
    kept.truncate(MOST - 1);
    kept.push_front(event);
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_denied_again_is_counted() {
        let events = Events::default();
        let what = [String::from("a"), "b".repeat(1000)];
        for _ in 0..3 {
            events.denied("g", &what, SystemTime::now());
        }
        let (denials, _) = events.latest();
        let counts: Vec<_> =
            denials.iter().map(|denial| (denial.what.chars().count(), denial.count)).collect();
        assert_eq!(counts, [(MOST_CHARACTERS + 1, 3), (1, 3)]);
        for number in 0..1000 {
            events.denied("g", &[number.to_string()], SystemTime::now());
        }
        let (denials, _) = events.latest();
        assert_eq!((denials.len(), &*denials[0].what), (MOST, "999"));
    }
}
