//! What compiling may take: memory while a function is compiled, and work for a module's functions together.
//!
//! Memory is estimated ([`crate::cost`]), charged to the engine's budget for compiling, and tried for before it is needed: what the compiler allocates cannot fail
//! gently. One function that takes much is compiled at a time, whichever thread has it. Work is granted by the bytes of the module, so that very many functions of next to
//! no bytes cannot take for ever.
//!
//! Must stay true: whoever waits for a turn holds nothing that a guest waits for. What is refused stays interpreted, and is an error here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use innkeeper_engine::{Budget, BudgetKind, Charge};

use crate::code_memory;
use crate::translate::{Result, Unsupported};

/// What a function of a few kilobytes takes, and a budget gives for free.
const FIRST_BYTES: u64 = 1 << 20;

/// What takes more waits for its turn.
const LARGE_BYTES: u64 = 16 << 20;

/// The same where the process has a limit of its own on memory.
const LARGE_BYTES_WITHIN_LIMIT: u64 = 2 << 20;

/// What all functions that are being compiled may take together: what was tried for one is not there for another.
static IN_PROGRESS: AtomicU64 = AtomicU64::new(0);

fn large_bytes() -> u64 {
    use rustix::process::{Resource, getrlimit};
    let is_limited = |resource| getrlimit(resource).current.is_some();
    if is_limited(Resource::As) || is_limited(Resource::Data) {
        LARGE_BYTES_WITHIN_LIMIT
    } else {
        LARGE_BYTES
    }
}

/// Who has the turn to compile something large.
static TURN: Mutex<()> = Mutex::new(());

/// Work that each module may cause: a second, or less.
const WORK_OF_MODULE: u64 = 1_000_000;

/// Work for each byte of a module: several times what real programs cause, with inlined bodies.
const WORK_OF_BYTE: u64 = 8;

/// The work that compiling a module's functions may still take, in about as many instructions of the compiler's representation.
pub(crate) struct Credit(AtomicU64);

impl Credit {
    /// For a module of so many bytes.
    pub(crate) fn of_module(bytes: usize) -> Credit {
        Credit(AtomicU64::new(WORK_OF_MODULE + WORK_OF_BYTE * bytes as u64))
    }

    /// Whether nothing is left of it.
    pub(crate) fn is_used_up(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    /// Draws on it.
    ///
    /// # Errors
    /// Where there is not as much left; then nothing is left.
    pub(crate) fn draw(&self, work: u64) -> Result {
        let less = |left: u64| Some(left.saturating_sub(work));
        // It cannot fail: there always is a new value.
        let left =
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).unwrap_or_else(|left| left);
        match left >= work {
            true => Ok(()),
            false => Err(Unsupported::Now("the module's functions take too much compiling for its size")),
        }
    }
}

/// What the compilation of one function may take. Dropped when that is over, it gives back what is charged and the turn.
pub(crate) struct Allowance<'a> {
    credit: Option<&'a Credit>,
    charge: Charge,
    takes_turns: bool,
    /// What is known to be there.
    reached_bytes: u64,
    turn: Option<MutexGuard<'static, ()>>,
    /// What of [`IN_PROGRESS`] is this function's.
    tried_bytes: u64,
    /// What translating has taken, which lasts until the end.
    pub(crate) translated_bytes: u64,
    /// Whether bodies of others are in the function.
    pub(crate) has_inlined: bool,
}

impl<'a> Allowance<'a> {
    /// For a function of a module.
    pub(crate) fn new(credit: &'a Credit, budget: &Budget) -> Allowance<'a> {
        let mut allowance = Allowance::of_trampoline(Some(credit), budget);
        allowance.takes_turns = true;
        allowance
    }

    /// For a trampoline, whose size is that of a function's type; without credit where it must be made, and is no work to speak of. It may be a guest that waits for
    /// it, so that it does not wait for a turn.
    pub(crate) fn of_trampoline(credit: Option<&'a Credit>, budget: &Budget) -> Allowance<'a> {
        Allowance {
            credit,
            charge: budget.empty(BudgetKind::Compiling),
            takes_turns: false,
            reached_bytes: FIRST_BYTES,
            turn: None,
            translated_bytes: 0,
            tried_bytes: 0,
            has_inlined: false,
        }
    }

    /// Draws on the module's credit.
    ///
    /// # Errors
    /// Where there is not as much left; then nothing is left.
    pub(crate) fn draw(&self, work: u64) -> Result {
        self.credit.map_or(Ok(()), |credit| credit.draw(work))
    }

    /// Sees to it that compiling may have so many bytes in all.
    ///
    /// # Errors
    /// Where the budget or the system has not as much left.
    #[inline]
    pub(crate) fn reach(&mut self, bytes: u64) -> Result {
        if bytes <= self.reached_bytes { Ok(()) } else { self.reach_more(bytes) }
    }

    /// Whether it was anything large, so that what the compiler keeps for the next function is better given back.
    pub(crate) fn is_large(&self) -> bool {
        self.reached_bytes > LARGE_BYTES
    }

    #[cold]
    fn reach_more(&mut self, bytes: u64) -> Result {
        // In steps, since this is asked with each instruction.
        let stepped = (bytes.saturating_add(bytes / 4)).next_multiple_of(FIRST_BYTES);
        let may_wait = self.takes_turns && self.turn.is_none();
        if may_wait && stepped > LARGE_BYTES_WITHIN_LIMIT && stepped > large_bytes() {
            self.turn = Some(TURN.lock().unwrap_or_else(PoisonError::into_inner));
        }
        if !(self.charge.set_quietly(stepped) || self.charge.set_quietly(bytes)) {
            return Err(Unsupported::Now("compiling it would take more memory than the limit allows"));
        }
        let more = stepped.saturating_sub(self.tried_bytes);
        self.tried_bytes += more;
        let in_progress = IN_PROGRESS.fetch_add(more, Ordering::Relaxed) + more;
        if !code_memory::has_room(in_progress) {
            return Err(Unsupported::Now("the system has no memory for compiling it"));
        }
        self.reached_bytes = self.charge.bytes();
        Ok(())
    }
}

impl Drop for Allowance<'_> {
    fn drop(&mut self) {
        IN_PROGRESS.fetch_sub(self.tried_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_is_drawn_until_it_is_used_up() {
        let credit = Credit::of_module(10);
        credit.draw(WORK_OF_MODULE).unwrap();
        assert!(!credit.is_used_up());
        credit.draw(10 * WORK_OF_BYTE).unwrap();
        assert!(credit.is_used_up());
        assert!(credit.draw(1).is_err());
        let credit = Credit::of_module(0);
        // Who asks for more than there is has used it up.
        assert!(credit.draw(WORK_OF_MODULE + 1).is_err() && credit.draw(1).is_err());
    }

    #[test]
    fn memory_is_charged_and_given_back_with_the_turn() {
        let (credit, budget) = (Credit::of_module(0), Budget::new(Some(64 << 20), "the limit"));
        let mut allowance = Allowance::new(&credit, &budget);
        allowance.reach(FIRST_BYTES).unwrap();
        assert_eq!(budget.used_for(BudgetKind::Compiling), 0);
        allowance.reach(40 << 20).unwrap();
        assert!(budget.used_for(BudgetKind::Compiling) >= 40 << 20 && TURN.try_lock().is_err());
        assert!(allowance.reach(80 << 20).is_err());
        // Not the guest's business: nothing that it asked for was refused.
        assert!(budget.last_refusal().is_none());
        drop(allowance);
        assert_eq!(budget.used_for(BudgetKind::Compiling), 0);
    }
}
