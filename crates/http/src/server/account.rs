//! What a handler tells of a request, for the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use innkeeper_wasi::host::Explanation;

/// What is told of one request. It is among the request's extensions; clones are the same. What is told after the answer's last byte is too late for the log.
#[derive(Clone, Debug, Default)]
pub struct Account(Arc<Mutex<Told>>);

/// What has been told.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    pub(super) guest: Option<String>,
    pub(super) instance: Option<InstanceUse>,
    pub(super) processor_time: Option<Duration>,
    pub(super) denied: Vec<String>,
    pub(super) note: Option<String>,
    /// What the guest made the host hold at the most.
    pub(super) peak_bytes: Option<u64>,
    pub(super) trap: Option<String>,
    /// The request's line is written, and nothing is added to it.
    pub(super) is_over: bool,
}

/// Whose memory a request was handled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceUse {
    /// An instance that was made for it.
    New,
    /// One that has handled others before.
    Reused,
}

/// The most that is remembered of what a guest was denied.
const MOST_DENIED: usize = 16;

/// The most bytes of a sentence that are kept: guests have a part in many, and lines wait until somebody reads them.
const MOST_WORDS_BYTES: usize = 1024;

/// The beginning of a sentence, where it is too long.
fn shortened(words: &str) -> String {
    let mut end = words.len().min(MOST_WORDS_BYTES);
    while !words.is_char_boundary(end) {
        end -= 1;
    }
    let more = if end < words.len() { " …" } else { "" };
    format!("{}{more}", &words[..end])
}

impl Account {
    /// Who answers the request, and in which instance.
    pub fn handled_by(&self, guest: &str, instance: Option<InstanceUse>) {
        let mut told = self.told();
        told.guest = Some(guest.to_owned());
        told.instance = instance;
    }

    /// The processor time that the guest has used in all.
    pub fn used(&self, processor_time: Duration) {
        self.told().processor_time = Some(processor_time);
    }

    /// What the guest has made the host hold at the most, its memory included.
    pub fn held(&self, peak_bytes: u64) {
        self.told().peak_bytes = Some(peak_bytes);
    }

    /// The guest has trapped: the trap's name, of which there are few.
    pub fn trapped(&self, trap: &str) {
        self.told().trap = Some(trap.to_owned());
    }

    /// Something that the guest wanted and was not granted, in words.
    pub fn denied(&self, what: String) {
        let mut told = self.told();
        let what = shortened(&what);
        if told.denied.len() < MOST_DENIED && !told.denied.contains(&what) {
            told.denied.push(what);
        }
    }

    /// What the host has to tell of a guest that has ended: denials, and limits that it has reached. What is only of interest to who looks for a fault is left out.
    pub(crate) fn explained(&self, explanations: &[Explanation], words: &dyn Fn(&Explanation) -> String) {
        for explanation in explanations {
            match explanation {
                Explanation::Denied(_) | Explanation::DeniedMore(_) => self.denied(words(explanation)),
                Explanation::LimitReached(_) => drop(self.note(&words(explanation))),
                _ => {}
            }
        }
    }

    /// Why the request was not answered as its sender would have wished. The first reason stays. False where the request's line has been written already, so that nobody will read it there.
    pub fn note(&self, reason: &str) -> bool {
        let mut told = self.told();
        told.note.get_or_insert_with(|| shortened(reason));
        !told.is_over
    }

    pub(super) fn take(&self) -> Told {
        let nothing_more = Told { is_over: true, ..Told::default() };
        std::mem::replace(&mut self.told(), nothing_more)
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_request_is_short() {
        let account = Account::default();
        // Characters of two bytes, so that one lies across the end.
        let long = format!("a{}", "é".repeat(1 << 20));
        account.note(&long);
        (0..100).for_each(|n| account.denied(format!("{n} {long}")));
        let told = account.take();
        let words: Vec<String> = told.note.into_iter().chain(told.denied).collect();
        assert_eq!(words.len(), 1 + MOST_DENIED);
        for words in words {
            assert!((MOST_WORDS_BYTES - 1..=MOST_WORDS_BYTES + 4).contains(&words.len()), "{}", words.len());
            assert!(words.ends_with("é …"), "{words}");
        }
    }
}
