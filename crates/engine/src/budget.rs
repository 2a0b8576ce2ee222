//! One bound on what a guest makes its host hold, whatever it is made of.
//!
//! A [`Budget`] belongs to one guest: all its stores and threads, and the host layer's state on its behalf, charge to it what they hold, as it
//! costs the host, and release it when they let go. [`BudgetKind`] lists every kind of thing there is; a [`Charge`] releases what it holds when it is
//! dropped.
//!
//! Must stay true: what is charged is at least what the host holds, except for [`Budget::FREE_BYTES`]; a charge that is refused has changed nothing.
//! Whoever allocates often charges in steps, so that allocating stays cheap. Not here: limits on counts (`Limits`), which exist beside this one.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::byte_count::ByteCount;
use crate::engine::Engine;
use crate::sys;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident $text:literal,)*) => {
        /// What a guest makes its host hold.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum BudgetKind { $($(#[$doc])* $variant,)* }

        impl BudgetKind {
            /// Every kind, in order of declaration.
            pub const ALL: &'static [BudgetKind] = &[$(BudgetKind::$variant,)*];

            /// The kind in words, as in "4096 bytes more for *tables*".
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(BudgetKind::$variant => $text,)* }
            }
        }
    };
}

kinds! {
    /// Linear memories; a shared one counts once.
    LinearMemory "linear memory",
    /// Elements of tables.
    Table "tables",
    /// Structures, arrays, exceptions and references to the host's objects, with the collector's own records.
    Heap "objects",
    /// Instances: their records, and the copies of their element segments.
    Instance "instances",
    /// Stores, and the stacks that guests' functions run on, as far as they have been used.
    Stack "stacks",
    /// Contents, names and listings of directories that the host keeps itself: in memory, and changes of copy-on-write ones.
    Tree "directories in memory",
    /// Descriptors and what belongs to them.
    Descriptor "descriptors",
    /// Listings of directories that are being read.
    Listing "listings",
    /// Copies that a host call makes of what the guest hands it.
    Buffer "buffers",
    /// What decoding a module takes, and what is held of it beside its bytes.
    Module "decoding a module",
    /// What compiling a function takes meanwhile. It comes last: it refuses nothing else.
    Compiling "compiling",
}

/// What users call the limit of an engine's configuration.
const ENGINE_LIMIT: &str = "Limits::memory_bytes";

/// Whether the system has refused memory that the host itself needs.
static IS_SYSTEM_EXHAUSTED: AtomicBool = AtomicBool::new(false);

/// What is called where much was given back.
static WHEN_MUCH_IS_GIVEN_BACK: OnceLock<fn()> = OnceLock::new();

/// Bytes that were given back since it was called last, as far as they are the allocator's.
static GIVEN_BACK_BYTES: AtomicU64 = AtomicU64::new(0);

/// So many are worth a call, which takes some thousandths of a second where all of them can go back to the system.
const MUCH_GIVEN_BACK_BYTES: u64 = 16 << 20;

/// A bound on bytes that all that is done for one guest shares. Clones are the same budget.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    limit: Limit,
    /// What users call the limit.
    name: &'static str,
    /// A limit that came later: the lesser of both counts.
    restricted_bytes: AtomicU64,
    restricted_name: OnceLock<&'static str>,
    /// Bytes of all kinds but [`BudgetKind::Compiling`], as far as they count: whether something is being compiled must make no difference to a guest, so that
    /// its charges never look at that.
    used: AtomicU64,
    /// Bytes of all these kinds but linear memory; those over [`Budget::FREE_BYTES`] are in `used`.
    beside_memory: AtomicU64,
    by_kind: [AtomicU64; BudgetKind::ALL.len()],
    peak: AtomicU64,
    /// The kind of the last refusal, as its number plus one, and its bytes.
    refused_kind: AtomicU8,
    refused_bytes: AtomicU64,
    /// How far over the limit the last refusal would have been.
    refused_over_bytes: AtomicU64,
}

enum Limit {
    Bytes(u64),
    /// Half of what the machine has, which is looked up when it first matters.
    HalfOfMachine(OnceLock<u64>),
}

/// Counts what many small blocks of the allocator's held, and has them returned to the system where they have become many: whoever needs them next may be another
/// thread, with another heap. Memories and large buffers are the system's own, and what objects and compiling leave is needed again at once.
fn note_given_back(bytes: u64) {
    let before = GIVEN_BACK_BYTES.fetch_add(bytes, Ordering::Relaxed);
    if before.saturating_add(bytes) < MUCH_GIVEN_BACK_BYTES {
        return;
    }
    GIVEN_BACK_BYTES.store(0, Ordering::Relaxed);
    if let Some(give_back) = WHEN_MUCH_IS_GIVEN_BACK.get() {
        give_back();
    }
}

/// A charge that a budget refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// What it was for.
    pub kind: BudgetKind,
    /// How much more was asked for.
    pub wanted_bytes: u64,
    /// How far over the limit that would have been.
    pub over_bytes: u64,
    /// The budget's limit.
    pub limit_bytes: u64,
    /// What users call the limit.
    pub limit_name: &'static str,
    /// Whether it is not the limit that is reached, but the system's own end.
    pub is_system_exhausted: bool,
}

impl Budget {
    /// Everything but linear memory may take this much together before it counts: what any guest at all needs. So a limit can be read as
    /// one on linear memory where a guest has little else.
    pub const FREE_BYTES: u64 = 1 << 20;

    /// Every machine has twice as much.
    const CERTAIN_BYTES: u64 = 32 << 20;

    /// A budget of `limit_bytes`, which messages call `limit_name`; none: half of the memory that the machine has, or the process may use.
    #[must_use]
    pub fn new(limit_bytes: Option<u64>, limit_name: &'static str) -> Budget {
        Budget(Arc::new(Inner {
            limit: limit_bytes.map_or_else(|| Limit::HalfOfMachine(OnceLock::new()), Limit::Bytes),
            name: limit_name,
            restricted_bytes: AtomicU64::new(u64::MAX),
            restricted_name: OnceLock::new(),
            used: AtomicU64::new(0),
            beside_memory: AtomicU64::new(0),
            by_kind: std::array::from_fn(|_| AtomicU64::new(0)),
            peak: AtomicU64::new(0),
            refused_kind: AtomicU8::new(0),
            refused_bytes: AtomicU64::new(0),
            refused_over_bytes: AtomicU64::new(0),
        }))
    }

    /// Half of the memory that this machine has, or this process may use: the limit where none is given.
    #[must_use]
    pub fn default_limit_bytes() -> u64 {
        sys::memory_bytes() / 2
    }

    /// Makes the limit `limit_bytes` from now on, which messages call `limit_name`, where it is more at present: for whoever has a budget from somebody else, and a limit of their own. What is over it already stays.
    pub fn restrict(&self, limit_bytes: u64, limit_name: &'static str) {
        if limit_bytes >= self.limit_bytes() {
            return;
        }
        let name = self.0.restricted_name.get_or_init(|| limit_name);
        debug_assert_eq!(*name, limit_name, "a budget is restricted by one kind of limit");
        self.0.restricted_bytes.fetch_min(limit_bytes, Ordering::Relaxed);
    }

    /// [`Budget::restrict`] by what an engine's configuration says of each store ([`crate::Limits::memory_bytes`]).
    pub fn restrict_as_engine(&self, engine: &Engine) {
        if let Some(bytes) = engine.config().limits.memory_bytes {
            self.restrict(bytes, ENGINE_LIMIT);
        }
    }

    /// The budget of a store that is made without one.
    pub(crate) fn of_engine(engine: &Engine) -> Budget {
        Budget::new(engine.config().limits.memory_bytes, ENGINE_LIMIT)
    }

    /// Charges `bytes` until [`Budget::release`]. For whoever keeps the number itself; see [`Budget::hold`].
    ///
    /// # Errors
    /// Where that would be over the limit, and then nothing is charged.
    pub fn charge(&self, kind: BudgetKind, bytes: u64) -> Result<(), Exceeded> {
        match self.charge_quietly(kind, bytes) {
            true => Ok(()),
            false => Err(self.refuse(kind, bytes)),
        }
    }

    /// As [`Budget::charge`], for what can be done without: a refusal, which false tells of, is not noted as one.
    #[must_use]
    pub fn charge_quietly(&self, kind: BudgetKind, bytes: u64) -> bool {
        // Sums of what fits cannot wrap.
        if bytes > i64::MAX as u64 || IS_SYSTEM_EXHAUSTED.load(Ordering::Relaxed) {
            return false;
        }
        let counted = match kind {
            BudgetKind::LinearMemory => bytes,
            BudgetKind::Compiling => 0,
            _ => {
                let before = self.0.beside_memory.fetch_add(bytes, Ordering::Relaxed);
                over_free(before.saturating_add(bytes)) - over_free(before)
            }
        };
        let of_kind = self.0.by_kind[kind as usize].fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let used = self.0.used.fetch_add(counted, Ordering::Relaxed).saturating_add(counted);
        let matters = match kind {
            BudgetKind::Compiling => used.saturating_add(of_kind),
            _ => used,
        };
        if matters > self.certain_bytes() && matters > self.limit_bytes() {
            self.release(kind, bytes);
            return false;
        }
        self.0.peak.fetch_max(matters, Ordering::Relaxed);
        true
    }

    /// Makes all budgets of the process refuse whatever is asked for from now on: for an allocator that lives on a reserve.
    pub fn system_has_no_more() {
        IS_SYSTEM_EXHAUSTED.store(true, Ordering::Relaxed);
    }

    /// Has `give_back` called whenever 16 MiB of directories, descriptors and listings have been let go of since it was called last, on whichever thread does so: for whoever
    /// knows how to make the process's allocator return to the system what it has free. The first function that is given stays.
    pub fn when_much_is_given_back(give_back: fn()) {
        // Who comes second has the same heaps, and nothing to add.
        let _ = WHEN_MUCH_IS_GIVEN_BACK.set(give_back);
    }

    /// Gives back what was charged.
    pub fn release(&self, kind: BudgetKind, bytes: u64) {
        let counted = match kind {
            BudgetKind::LinearMemory => bytes,
            BudgetKind::Compiling => 0,
            _ => {
                let before = self.0.beside_memory.fetch_sub(bytes, Ordering::Relaxed);
                over_free(before) - over_free(before.saturating_sub(bytes))
            }
        };
        self.0.by_kind[kind as usize].fetch_sub(bytes, Ordering::Relaxed);
        self.0.used.fetch_sub(counted, Ordering::Relaxed);
        if matches!(kind, BudgetKind::Tree | BudgetKind::Descriptor | BudgetKind::Listing) {
            note_given_back(bytes);
        }
    }

    /// Charges `bytes` for as long as the [`Charge`] lives.
    ///
    /// # Errors
    /// As [`Budget::charge`].
    pub fn hold(&self, kind: BudgetKind, bytes: u64) -> Result<Charge, Exceeded> {
        self.charge(kind, bytes)?;
        Ok(Charge { budget: self.clone(), kind, bytes })
    }

    /// A charge of nothing yet.
    #[must_use]
    pub fn empty(&self, kind: BudgetKind) -> Charge {
        Charge { budget: self.clone(), kind, bytes: 0 }
    }

    /// The limit.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        let first = match &self.0.limit {
            Limit::Bytes(bytes) => *bytes,
            Limit::HalfOfMachine(bytes) => *bytes.get_or_init(Budget::default_limit_bytes),
        };
        first.min(self.0.restricted_bytes.load(Ordering::Relaxed))
    }

    /// What users call the limit.
    #[must_use]
    pub fn limit_name(&self) -> &'static str {
        self.0.restricted_name.get().unwrap_or(&self.0.name)
    }

    /// What is held at present, as far as it counts.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed).saturating_add(self.used_for(BudgetKind::Compiling))
    }

    /// The most that was held at once, as far as it counts.
    #[must_use]
    pub fn peak_bytes(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// What is held of a kind.
    #[must_use]
    pub fn used_for(&self, kind: BudgetKind) -> u64 {
        self.0.by_kind[kind as usize].load(Ordering::Relaxed)
    }

    /// The last charge that was refused.
    #[must_use]
    pub fn last_refusal(&self) -> Option<Exceeded> {
        let kind = self.0.refused_kind.load(Ordering::Acquire);
        let kind = BudgetKind::ALL.get(usize::from(kind).checked_sub(1)?)?;
        let over_bytes = self.0.refused_over_bytes.load(Ordering::Relaxed);
        Some(self.exceeded(*kind, self.0.refused_bytes.load(Ordering::Relaxed), over_bytes))
    }

    /// A limit that certainly holds without asking the system for the machine's size.
    fn certain_bytes(&self) -> u64 {
        let first = match &self.0.limit {
            Limit::Bytes(bytes) => *bytes,
            Limit::HalfOfMachine(bytes) => bytes.get().copied().unwrap_or(Budget::CERTAIN_BYTES),
        };
        first.min(self.0.restricted_bytes.load(Ordering::Relaxed))
    }

    #[cold]
    fn refuse(&self, kind: BudgetKind, bytes: u64) -> Exceeded {
        // What is free of charge is not known to be so here: at least so much is over, as something was refused.
        let over_bytes = self.used_bytes().saturating_add(bytes).saturating_sub(self.limit_bytes()).max(1);
        self.0.refused_bytes.store(bytes, Ordering::Relaxed);
        self.0.refused_over_bytes.store(over_bytes, Ordering::Relaxed);
        self.0.refused_kind.store(kind as u8 + 1, Ordering::Release);
        self.exceeded(kind, bytes, over_bytes)
    }

    fn exceeded(&self, kind: BudgetKind, wanted_bytes: u64, over_bytes: u64) -> Exceeded {
        Exceeded {
            kind,
            wanted_bytes,
            over_bytes,
            limit_bytes: self.limit_bytes(),
            limit_name: self.limit_name(),
            is_system_exhausted: IS_SYSTEM_EXHAUSTED.load(Ordering::Relaxed),
        }
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by_kind = BudgetKind::ALL.iter().map(|kind| (*kind, self.used_for(*kind)));
        f.debug_struct("Budget")
            .field("used_bytes", &self.used_bytes())
            .field("by_kind", &by_kind.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, wanted) = (self.kind.name(), ByteCount(self.wanted_bytes));
        if self.is_system_exhausted {
            return write!(f, "{wanted} more for {kind} are refused, because the system has no more memory");
        }
        let (limit, limit_name) = (ByteCount(self.limit_bytes), self.limit_name);
        write!(
            f,
            "{wanted} more for {kind} are over the {limit} that the guest may make the host hold ({limit_name})"
        )
    }
}

impl std::error::Error for Exceeded {}

/// What of the bytes beside linear memory counts.
fn over_free(bytes: u64) -> u64 {
    bytes.saturating_sub(Budget::FREE_BYTES)
}

/// Bytes that something holds; dropped, they are released.
#[derive(Debug)]
pub struct Charge {
    budget: Budget,
    kind: BudgetKind,
    bytes: u64,
}

impl Charge {
    /// What is charged.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The budget that it is charged to.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Charges `more` bytes.
    ///
    /// # Errors
    /// As [`Budget::charge`].
    pub fn add(&mut self, more: u64) -> Result<(), Exceeded> {
        self.budget.charge(self.kind, more)?;
        self.bytes += more;
        Ok(())
    }

    /// Has another charge of the same budget and kind hold so much of this, or all where that is less: nothing is released in between.
    pub fn hand_over(&mut self, bytes: u64, to: &mut Charge) {
        let is_alike = self.kind == to.kind && Arc::ptr_eq(&self.budget.0, &to.budget.0);
        let bytes = if is_alike { bytes.min(self.bytes) } else { 0 };
        self.bytes -= bytes;
        to.bytes += bytes;
    }

    /// Makes it `bytes`, as [`Budget::charge_quietly`] does; false where it stays as it is.
    #[must_use]
    pub fn set_quietly(&mut self, bytes: u64) -> bool {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            if !self.budget.charge_quietly(self.kind, more) {
                return false;
            }
        } else {
            self.budget.release(self.kind, self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }

    /// Makes it `bytes`.
    ///
    /// # Errors
    /// As [`Budget::charge`]; to make it less is never refused.
    pub fn set(&mut self, bytes: u64) -> Result<(), Exceeded> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.add(more)?,
            None => {
                self.budget.release(self.kind, self.bytes - bytes);
                self.bytes = bytes;
            }
        }
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.release(self.kind, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit_bytes: u64) -> Budget {
        Budget::new(Some(limit_bytes), "the limit")
    }

    #[test]
    fn what_is_charged_is_released() {
        let budget = budget(10 << 20);
        let mut charges: Vec<Charge> =
            BudgetKind::ALL.iter().map(|kind| budget.hold(*kind, 1 << 20).unwrap()).collect();
        let others = BudgetKind::ALL.len() as u64 - 1;
        assert_eq!(budget.used_bytes(), (1 << 20) + (others << 20) - Budget::FREE_BYTES);
        charges[0].set(100).unwrap();
        charges[0].add(1).unwrap();
        assert_eq!(budget.used_for(BudgetKind::LinearMemory), 101);
        drop(charges);
        assert_eq!(budget.used_bytes(), 0);
        assert!(BudgetKind::ALL.iter().all(|kind| budget.used_for(*kind) == 0));
    }

    #[test]
    fn the_lesser_of_two_limits_counts() {
        for (first, later, expected) in [(100, 50, 50), (50, 100, 50), (50, 50, 50)] {
            let budget = budget(first << 20);
            let held = budget.hold(BudgetKind::LinearMemory, 20 << 20).unwrap();
            budget.restrict(later << 20, "another limit");
            assert_eq!(budget.limit_bytes(), expected << 20);
            let more = (expected << 20) - (20 << 20);
            drop(budget.hold(BudgetKind::LinearMemory, more).unwrap());
            let refused = budget.hold(BudgetKind::LinearMemory, more + 1).unwrap_err();
            assert_eq!(refused.limit_bytes, expected << 20);
            assert_eq!(refused.limit_name == "another limit", later < first);
            drop(held);
        }
        let none = Budget::new(None, "the limit");
        none.restrict(1, "another limit");
        assert!(none.charge(BudgetKind::LinearMemory, 2).is_err());
    }

    #[test]
    fn compiling_beside_a_guest_gives_it_no_byte_more_or_less() {
        let budget = budget(16 << 20);
        let (is_over, compiled) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    // Refused, and granted where there is room.
                    for bytes in [200 << 20, 1 << 20] {
                        if budget.charge_quietly(BudgetKind::Compiling, bytes) {
                            compiled.fetch_add(1, Ordering::Relaxed);
                            std::thread::yield_now();
                            budget.release(BudgetKind::Compiling, bytes);
                        }
                    }
                }
            });
            let mut wrong = Vec::new();
            while compiled.load(Ordering::Relaxed) < 50 {
                // As much as there is, at once, and no byte more: whatever is being compiled.
                let granted = (0..257).filter(|_| budget.charge_quietly(BudgetKind::LinearMemory, 64 << 10));
                let count = granted.count();
                budget.release(BudgetKind::LinearMemory, (64 << 10) * count as u64);
                wrong.extend((count != 256).then_some(count));
            }
            is_over.store(true, Ordering::Relaxed);
            assert!(wrong.is_empty(), "{wrong:?}");
        });
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let budget = budget(1000);
        let held = budget.hold(BudgetKind::LinearMemory, 1000).unwrap();
        for kind in BudgetKind::ALL {
            for bytes in [Budget::FREE_BYTES + 1, 1 << 40, i64::MAX as u64, u64::MAX] {
                let refused = budget.charge(*kind, bytes).unwrap_err();
                assert_eq!((refused.kind, refused.wanted_bytes, refused.limit_bytes), (*kind, bytes, 1000));
                assert_eq!(budget.last_refusal().unwrap(), refused);
            }
        }
        assert_eq!(budget.used_bytes(), 1000);
        assert_eq!(budget.peak_bytes(), 1000);
        drop(held);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn compiling_takes_what_is_left_and_refuses_nothing_else() {
        let budget = budget(100 << 20);
        let memory = budget.hold(BudgetKind::LinearMemory, 60 << 20).unwrap();
        assert!(!budget.charge_quietly(BudgetKind::Compiling, 50 << 20));
        assert!(budget.charge_quietly(BudgetKind::Compiling, 30 << 20));
        let more = budget.hold(BudgetKind::LinearMemory, 40 << 20).unwrap();
        assert!(budget.charge(BudgetKind::LinearMemory, Budget::FREE_BYTES + 1).is_err());
        budget.release(BudgetKind::Compiling, 30 << 20);
        drop((memory, more));
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn without_a_limit_it_is_half_of_the_machine() {
        let budget = Budget::new(None, "the limit");
        let limit = Budget::default_limit_bytes();
        assert!(limit >= Budget::CERTAIN_BYTES);
        budget.charge(BudgetKind::LinearMemory, limit).unwrap();
        assert!(budget.charge(BudgetKind::LinearMemory, 1).is_err());
        assert_eq!(budget.limit_bytes(), limit);
    }

    #[test]
    fn threads_that_charge_and_release_leave_nothing() {
        let budget = budget(100_000);
        std::thread::scope(|scope| {
            for kind in [BudgetKind::LinearMemory, BudgetKind::Table, BudgetKind::Heap, BudgetKind::Tree] {
                let budget = &budget;
                scope.spawn(move || {
                    for bytes in 0..20_000 {
                        let _ = budget.hold(kind, bytes * 97 % 1_500_000);
                    }
                });
            }
        });
        assert_eq!(budget.used_bytes(), 0);
        assert_eq!(budget.0.beside_memory.load(Ordering::Relaxed), 0);
    }
}
