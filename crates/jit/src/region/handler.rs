//! Pages of machine code as the signal handler sees them: a table that is read without a lock, in the middle of anything, in a time that does not depend on how
//! much code there is or has been.
//!
//! A tree of three levels by the bits of an address, whose leaves have a bit for each page. Nodes are made when a page of theirs is first code, and never freed: a leaf stands
//! for megabytes of addresses, so that there are few, however often code comes and goes.
//!
//! Must stay true: code that is being executed was announced before, and is withdrawn afterwards; a page is one announcer's only, since pieces of code are mappings of
//! their own.

use std::ops::Range;
use std::ptr;

use innkeeper_engine::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The least that pages may have.
const PAGE_BITS: u32 = 12;

/// Bits of an address that each level goes by. Addresses of programs have 47 bits; there are none beyond.
#[cfg(not(feature = "loom"))]
const LEVELS: [u32; 3] = [12, 12, 11];
/// Few, for the model checker, which looks at each cell.
#[cfg(feature = "loom")]
const LEVELS: [u32; 3] = [1, 1, 7];

const WORD_BITS: usize = 64;

struct Root([AtomicPtr<Inner>; 1 << LEVELS[0]]);

struct Inner([AtomicPtr<Leaf>; 1 << LEVELS[1]]);

struct Leaf([AtomicU64; (1 << LEVELS[2]) / WORD_BITS]);

#[cfg(not(feature = "loom"))]
static ALL: Root = Root([const { AtomicPtr::new(ptr::null_mut()) }; 1 << LEVELS[0]]);

#[cfg(feature = "loom")]
innkeeper_engine::sync::loom::lazy_static! {
    static ref ALL: Root = Root::new();
}

/// Whether an address is in a page of machine code of ours. Safe to ask in a signal handler.
pub(crate) fn contains(pc: usize) -> bool {
    ALL.contains(pc)
}

/// Makes the pages of a range known, before anything in it is executed.
pub(super) fn announce(addresses: &Range<usize>) {
    ALL.set(addresses, |word, bits| {
        word.fetch_or(bits, Ordering::AcqRel);
    });
}

/// Forgets the pages of a range, when nothing in it will be executed any more.
pub(super) fn withdraw(addresses: &Range<usize>) {
    ALL.set(addresses, |word, bits| {
        word.fetch_and(!bits, Ordering::AcqRel);
    });
}

/// Where a page is in each level, and which bit of a leaf it has; none where there can be no page.
fn places(page: usize) -> Option<([usize; 3], u64)> {
    let below = |level: usize| LEVELS[level + 1..].iter().sum::<u32>();
    let place = |level: usize| (page >> below(level)) & ((1 << LEVELS[level]) - 1);
    let is_page = page >> LEVELS.iter().sum::<u32>() == 0;
    is_page.then(|| ([place(0), place(1), place(2) / WORD_BITS], 1 << (place(2) % WORD_BITS)))
}

impl Root {
    #[cfg(feature = "loom")]
    fn new() -> Root {
        Root(std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())))
    }

    fn contains(&self, address: usize) -> bool {
        let Some(([inner, leaf, word], bit)) = places(address >> PAGE_BITS) else { return false };
        // SAFETY: null, or a node of this file's that is never freed.
        let inner = unsafe { self.0[inner].load(Ordering::Acquire).as_ref() };
        // SAFETY: as above.
        let leaf = inner.and_then(|inner| unsafe { inner.0[leaf].load(Ordering::Acquire).as_ref() });
        leaf.is_some_and(|leaf| leaf.0[word].load(Ordering::Acquire) & bit != 0)
    }

    /// Changes the bits of a range's pages, a word at a time.
    fn set(&self, addresses: &Range<usize>, change: impl Fn(&AtomicU64, u64)) {
        let pages = addresses.start >> PAGE_BITS..(addresses.end.saturating_sub(1) >> PAGE_BITS) + 1;
        let mut gathered: Option<([usize; 3], u64)> = None;
        for (place, bit) in pages.filter_map(places) {
            match &mut gathered {
                Some((same, bits)) if *same == place => *bits |= bit,
                _ => {
                    if let Some((place, bits)) = gathered.replace((place, bit)) {
                        change(self.word(place), bits);
                    }
                }
            }
        }
        if let Some((place, bits)) = gathered {
            change(self.word(place), bits);
        }
    }

    /// A leaf's word, with all that leads to it.
    fn word(&self, [inner, leaf, word]: [usize; 3]) -> &AtomicU64 {
        let make_inner = || Inner(std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())));
        let make_leaf = || Leaf(std::array::from_fn(|_| AtomicU64::new(0)));
        &node(&node(&self.0[inner], make_inner).0[leaf], make_leaf).0[word]
    }
}

/// The node in a place, which is made where there is none.
fn node<T>(place: &AtomicPtr<T>, make: impl FnOnce() -> T) -> &T {
    // SAFETY: null, or a node of this file's that is never freed.
    if let Some(node) = unsafe { place.load(Ordering::Acquire).as_ref() } {
        return node;
    }
    let made = Box::into_raw(Box::new(make()));
    match place.compare_exchange(ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: just made, and never freed from now on.
        Ok(_) => unsafe { &*made },
        Err(others) => {
            // SAFETY: what another thread has put there is never freed; ours nobody has seen.
            unsafe {
                drop(Box::from_raw(made));
                &*others
            }
        }
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    /// As code comes and goes for a year: what was there before is not there any more, and what is there is found as quickly.
    #[test]
    fn pages_come_and_go() {
        const PAGE: usize = 1 << PAGE_BITS;
        let base = 0x5a5a_0000_0000;
        for round in 0..2000 {
            let start = base + round * 70 * PAGE;
            let range = start..start + 100 * PAGE + 1;
            announce(&range);
            assert!(range.clone().step_by(PAGE).all(contains) && contains(range.end - 1));
            assert!(!contains(start - 1) && !contains(start + 101 * PAGE), "{round}");
            withdraw(&range);
            assert!(!range.step_by(PAGE).any(contains));
        }
        // Where no program's addresses are.
        announce(&(usize::MAX - PAGE..usize::MAX));
        assert!(!contains(usize::MAX - 1) && !contains(1 << 47));
    }
}

/// Every order in which code can come and go while a signal is being handled.
#[cfg(all(test, feature = "loom"))]
mod model {
    use std::sync::Arc;

    use innkeeper_engine::sync::{loom, thread};

    use super::*;

    const PAGE: usize = 1 << PAGE_BITS;

    fn explore(check: impl Fn(Arc<Root>) + Send + Sync + 'static) {
        loom::model(move || check(Arc::new(Root::new())));
    }

    fn pages(pages: Range<usize>) -> Range<usize> {
        pages.start * PAGE..pages.end * PAGE
    }

    impl Root {
        fn announce(&self, addresses: Range<usize>) {
            self.set(&pages(addresses), |word, bits| {
                word.fetch_or(bits, Ordering::AcqRel);
            });
        }

        fn withdraw(&self, addresses: Range<usize>) {
            self.set(&pages(addresses), |word, bits| {
                word.fetch_and(!bits, Ordering::AcqRel);
            });
        }
    }

    /// Code that stays is always there, and what was never code never is, whatever comes and goes beside it.
    #[test]
    fn what_stays_is_found_all_the_time() {
        explore(|root| {
            root.announce(50..52);
            let other = Arc::clone(&root);
            let reader = thread::spawn(move || (other.contains(51 * PAGE), other.contains(25 * PAGE)));
            root.announce(10..20);
            root.withdraw(10..20);
            root.announce(30..40);
            assert_eq!(reader.join().unwrap(), (true, false));
            assert!(root.contains(35 * PAGE) && !root.contains(15 * PAGE));
        });
    }

    /// Two threads need the same nodes, which are there once.
    #[test]
    fn two_announcements_lose_nothing() {
        explore(|root| {
            let other = Arc::clone(&root);
            let writer = thread::spawn(move || other.announce(3..4));
            root.announce(5..6);
            assert!(root.contains(5 * PAGE));
            writer.join().unwrap();
            assert!(root.contains(3 * PAGE) && root.contains(5 * PAGE) && !root.contains(4 * PAGE));
        });
    }
}
