//! Who calls whom: what the compiler wants to know of calls whose callee the code does not name.
//!
//! Nobody looks at every call. The calls of a function that are counted to find out whether it is hot come in a few quanta, and the one that ends a
//! quantum is looked at: where it returns to tells the instruction. So a call costs what it would cost anyway, and what is called often is seen often.
//! Calls of what has been compiled are counted where they enter machine code.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use innkeeper_engine::index::DefinedFuncIndex;

use crate::code::Word;

/// Quanta of the calls that make a function hot.
const QUANTA: u32 = 8;

/// More callees of one instruction are not told apart from these.
const MAX_CALLEES: usize = 4;

/// How calls are counted.
#[derive(Clone, Copy)]
pub(crate) struct Quanta {
    count: u32,
    calls: u32,
    /// Calls beyond all quanta, which the first has.
    rest: u32,
}

impl Quanta {
    /// For functions that are hot after so many calls.
    pub(crate) fn of(calls: u32) -> Quanta {
        let count = calls.clamp(1, QUANTA);
        Quanta { count, calls: calls / count, rest: calls % count }
    }

    /// Calls in the first quantum.
    pub(crate) fn first(self) -> u32 {
        self.calls + self.rest
    }

    /// Calls in the others.
    pub(crate) fn later(self) -> u32 {
        self.calls
    }

    /// Calls of a function that has ended so many quanta, and has `left` until it ends the next.
    pub(crate) fn counted(self, ended: u32, left: u32) -> u32 {
        // What is hot has ended the last, and counts down from the largest number.
        let ended = ended.min(self.count - 1);
        self.first().wrapping_add(self.calls.wrapping_mul(ended)).wrapping_sub(left)
    }
}

/// What becomes of a function whose call was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heat {
    /// It is looked at again after so many calls.
    Warm(u32),
    Hot,
}

/// Calls that were looked at.
#[derive(Default)]
pub(crate) struct CallProfile {
    /// Callees with how often they were seen, by the address that the call returns to.
    seen: BTreeMap<usize, Vec<(DefinedFuncIndex, u32)>>,
    /// Quanta of calls that functions have ended.
    ended: HashMap<DefinedFuncIndex, u32>,
}

impl CallProfile {
    /// Notes a call that ends a quantum of the callee's. `returns_to` is null where the caller is no function of the instance.
    pub(crate) fn look(&mut self, quanta: Quanta, callee: DefinedFuncIndex, returns_to: *const Word) -> Heat {
        self.note(callee, returns_to);
        let ended = self.ended.entry(callee).or_default();
        *ended += 1;
        if *ended < quanta.count { Heat::Warm(quanta.calls) } else { Heat::Hot }
    }

    /// Notes a call.
    pub(crate) fn note(&mut self, callee: DefinedFuncIndex, returns_to: *const Word) {
        if returns_to.is_null() {
            return;
        }
        let callees = self.seen.entry(returns_to as usize).or_default();
        if let Some((_, times)) = callees.iter_mut().find(|(known, _)| *known == callee) {
            *times += 1;
        } else if callees.len() < MAX_CALLEES {
            callees.push((callee, 1));
        }
    }

    /// Quanta of calls that a function has ended.
    pub(crate) fn ended(&self, func: DefinedFuncIndex) -> u32 {
        self.ended.get(&func).copied().unwrap_or(0)
    }

    /// Lets a function's calls be counted from the beginning.
    pub(crate) fn forget(&mut self, func: DefinedFuncIndex) {
        self.ended.remove(&func);
    }

    /// What was called from code in a range of addresses: the distance in words from its start to where the call returns to, the callee, how often.
    pub(crate) fn from(&self, code: Range<*const Word>) -> Vec<(usize, DefinedFuncIndex, u32)> {
        let (start, end) = (code.start as usize, code.end as usize);
        // A call that is the last instruction returns to the end.
        let seen = self.seen.range(start + 1..=end.max(start + 1));
        let of = |(address, callees): (&usize, &Vec<(DefinedFuncIndex, u32)>)| {
            let word = (address - start) / size_of::<Word>();
            callees.iter().map(|(callee, times)| (word, *callee, *times)).collect::<Vec<_>>()
        };
        seen.flat_map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quanta_are_all_calls() {
        for calls in [1, 2, 3, 8, 9, 15, 500, 1000] {
            let quanta = Quanta::of(calls);
            let (mut sum, mut seen) = (quanta.first(), CallProfile::default());
            while let Heat::Warm(more) = seen.look(quanta, DefinedFuncIndex(0), std::ptr::null()) {
                assert_eq!(quanta.counted(seen.ended(DefinedFuncIndex(0)), more), sum);
                sum += more;
            }
            assert_eq!(sum, calls);
            assert_eq!(quanta.counted(seen.ended(DefinedFuncIndex(0)), u32::MAX - 6), calls + 7);
        }
    }

    #[test]
    fn calls_belong_to_the_code_that_they_return_to() {
        let code = [0 as Word; 10];
        let mut calls = CallProfile::default();
        let quanta = Quanta::of(500);
        let [f, g] = [DefinedFuncIndex(1), DefinedFuncIndex(2)];
        for (callee, word) in [(f, 3), (g, 3), (f, 3), (g, 10), (f, 0)] {
            let returns_to = code.as_ptr().wrapping_add(word);
            assert_eq!(calls.look(quanta, callee, returns_to), Heat::Warm(62));
        }
        let of = code.as_ptr_range();
        assert_eq!(calls.from(of.clone()), [(3, f, 2), (3, g, 1), (10, g, 1)]);
        assert_eq!(calls.from(of.start..of.start.wrapping_add(3)), [(3, f, 2), (3, g, 1)]);
        assert_eq!(calls.from(of.end..of.end), []);
    }
}
