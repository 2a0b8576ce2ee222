//! Ranges of addresses as the signal handler sees them: a list that is read without a lock, in the middle of anything.
//!
//! Ranges are never freed, only used again. A range that is being written is nobody's: code that is being executed was announced before, and is
//! withdrawn afterwards, so that its own range is not written meanwhile, and the handler need never wait.

use std::ops::Range;
use std::ptr;

use innkeeper_engine::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

/// A range, in a list.
struct Addresses {
    /// Even where the range holds still; one more with each writing.
    version: AtomicUsize,
    start: AtomicUsize,
    /// No more than `start` where the range is free.
    end: AtomicUsize,
    next: AtomicPtr<Addresses>,
}

/// All ranges that there ever were at a time.
struct List {
    first: AtomicPtr<Addresses>,
}

#[cfg(not(feature = "loom"))]
static ALL: List = List { first: AtomicPtr::new(ptr::null_mut()) };

#[cfg(feature = "loom")]
innkeeper_engine::sync::loom::lazy_static! {
    static ref ALL: List = List { first: AtomicPtr::new(ptr::null_mut()) };
}

/// Whether an address is in machine code of ours. Safe to ask in a signal handler.
pub(crate) fn contains(pc: usize) -> bool {
    ALL.contains(pc)
}

/// Makes a range known, before anything in it is executed.
pub(super) fn announce(addresses: Range<usize>) {
    ALL.announce(addresses);
}

/// Forgets a range, when nothing in it will be executed any more.
pub(super) fn withdraw(addresses: &Range<usize>) {
    ALL.withdraw(addresses);
}

impl List {
    fn ranges(&self) -> impl Iterator<Item = &Addresses> {
        let at = |range: &AtomicPtr<Addresses>| {
            // SAFETY: null, or a range that is never freed.
            unsafe { range.load(Ordering::Acquire).as_ref() }
        };
        std::iter::successors(at(&self.first), move |range| at(&range.next))
    }

    fn contains(&self, pc: usize) -> bool {
        self.ranges().any(|range| range.read().is_some_and(|(range, _)| range.contains(&pc)))
    }

    fn announce(&self, addresses: Range<usize>) {
        let is_taken = self.ranges().any(|range| {
            let free = range.read().filter(|(range, _)| range.is_empty());
            free.is_some_and(|(_, version)| range.write(version, &addresses))
        });
        if is_taken {
            return;
        }
        let range = Box::leak(Box::new(Addresses {
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(addresses.start),
            end: AtomicUsize::new(addresses.end),
            next: AtomicPtr::new(self.first.load(Ordering::Acquire)),
        }));
        loop {
            let next = range.next.load(Ordering::Relaxed);
            match self.first.compare_exchange(next, range, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(first) => range.next.store(first, Ordering::Relaxed),
            }
        }
    }

    fn withdraw(&self, addresses: &Range<usize>) {
        for range in self.ranges() {
            let found = range.read().filter(|(range, _)| range == addresses);
            if found.is_some_and(|(_, version)| range.write(version, &(0..0))) {
                return;
            }
        }
    }
}

impl Addresses {
    /// The range, with its version; none while it is being written.
    fn read(&self) -> Option<(Range<usize>, usize)> {
        let version = self.version.load(Ordering::Acquire);
        let range = self.start.load(Ordering::Relaxed)..self.end.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let holds_still = version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version;
        holds_still.then_some((range, version))
    }

    /// Replaces the range, unless somebody else has done so since `version`.
    fn write(&self, version: usize, addresses: &Range<usize>) -> bool {
        let writing = version + 1;
        if self.version.compare_exchange(version, writing, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        fence(Ordering::Release);
        self.start.store(addresses.start, Ordering::Relaxed);
        self.end.store(addresses.end, Ordering::Relaxed);
        self.version.store(writing + 1, Ordering::Release);
        true
    }
}

/// Every order in which code can come and go while a signal is being handled.
#[cfg(all(test, feature = "loom"))]
mod model {
    use std::sync::Arc;

    use innkeeper_engine::sync::{loom, thread};

    use super::*;

    fn explore(check: impl Fn(Arc<List>) + Send + Sync + 'static) {
        loom::model(move || check(Arc::new(List { first: AtomicPtr::new(ptr::null_mut()) })));
    }

    /// A range is used again for other code: at no time does a mixture of both contain what neither does.
    fn contains_nothing_between(former: Range<usize>, later: Range<usize>, between: usize) {
        explore(move |list| {
            list.announce(former.clone());
            let other = Arc::clone(&list);
            let reader = thread::spawn(move || other.contains(between));
            list.withdraw(&former);
            list.announce(later.clone());
            assert!(!reader.join().unwrap());
            assert_eq!(list.ranges().count(), 1);
        });
    }

    #[test]
    fn an_old_start_and_a_new_end_are_no_range() {
        contains_nothing_between(10..20, 30..40, 25);
    }

    #[test]
    fn a_new_start_and_an_old_end_are_no_range() {
        contains_nothing_between(30..40, 10..20, 25);
    }

    /// Code that stays is always there, whatever comes and goes beside it.
    #[test]
    fn what_stays_is_found_all_the_time() {
        explore(|list| {
            list.announce(500..600);
            list.announce(10..20);
            let other = Arc::clone(&list);
            let reader = thread::spawn(move || other.contains(550));
            list.withdraw(&(10..20));
            list.announce(30..40);
            assert!(reader.join().unwrap());
            assert!(list.contains(35) && !list.contains(15));
        });
    }

    /// Two threads want the range that is free: both get one.
    #[test]
    fn two_announcements_do_not_share_a_range() {
        explore(|list| {
            list.announce(10..20);
            list.withdraw(&(10..20));
            let other = Arc::clone(&list);
            let writer = thread::spawn(move || other.announce(30..40));
            list.announce(50..60);
            assert!(list.contains(50));
            writer.join().unwrap();
            assert!(list.contains(30) && list.contains(50) && !list.contains(10));
        });
    }
}
