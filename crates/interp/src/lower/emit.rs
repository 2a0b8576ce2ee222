//! Writing code: words, labels, and the two fusions that look at the last instruction.
//!
//! Must stay true: `last` describes the instruction that ends at the current position, and is forgotten at every label, because
//! control can arrive there without having executed it.

use super::frame::SlotIndex;
use super::{Result, too_large};
use crate::code::Word;
use crate::machine::{Class, Handler};

pub(super) struct Emitter {
    words: Vec<Word>,
    last: Option<Last>,
    /// The slot whose value is also in the accumulator of the class.
    accumulated: Option<(SlotIndex, Class)>,
    /// Labels and conditional branches so far.
    runs: u32,
}

/// A position in the code, in words.
pub(super) type Position = usize;

/// What is known of the last instruction.
#[derive(Clone, Copy)]
struct Last {
    /// The slot it wrote.
    result: SlotIndex,
    /// The word whose lowest operand names that slot.
    result_word: Position,
    /// How to branch on its result instead of computing it.
    condition: Option<Condition>,
}

/// A comparison that can become a branch.
#[derive(Clone, Copy)]
pub(super) struct Condition {
    /// Where the comparison starts; its code is taken back from here.
    pub(super) start: Position,
    /// The handler that branches where the comparison holds.
    pub(super) branch_if: Forms,
    /// The handler that branches where it does not.
    pub(super) branch_unless: Forms,
    /// The operands.
    pub(super) a: SlotIndex,
    pub(super) b: SlotIndex,
    /// A constant second operand.
    pub(super) constant: Option<Word>,
}

/// The handlers of an operation by where its operands are.
#[derive(Clone, Copy)]
pub(super) struct Forms {
    /// All in slots.
    pub(super) slots: Handler,
    /// One of them in the accumulator, where that is so; it is in its slot as well.
    pub(super) accumulated: Option<Handler>,
}

impl Forms {
    pub(super) fn slots(slots: Handler) -> Forms {
        Forms { slots, accumulated: None }
    }

    /// The form for operands that were looked at a moment ago.
    pub(super) fn handler(self) -> Handler {
        self.accumulated.unwrap_or(self.slots)
    }
}

/// A branch whose target is not known yet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fixup {
    /// In the upper half of the word after `at`.
    Operand { at: Position },
    /// The word at `word`, of the table instruction at `at`.
    Table { at: Position, word: Position },
}

impl Emitter {
    pub(super) fn new(mut words: Vec<Word>) -> Emitter {
        words.clear();
        Emitter { words, last: None, accumulated: None, runs: 0 }
    }

    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    pub(super) fn into_buffer(self) -> Vec<Word> {
        self.words
    }

    pub(super) fn position(&self) -> Position {
        self.words.len()
    }

    /// Emits an instruction with one word of operands.
    pub(super) fn op(&mut self, handler: Handler, operands: Word) {
        self.accumulated = None;
        self.op_keeping(handler, operands);
    }

    /// Emits an instruction with one word of operands that writes neither slots nor accumulators.
    pub(super) fn op_keeping(&mut self, handler: Handler, operands: Word) {
        self.last = None;
        self.words.push(handler as usize as Word);
        self.words.push(operands);
    }

    /// Appends a word to the instruction just emitted.
    pub(super) fn word(&mut self, word: Word) {
        self.words.push(word);
    }

    /// As [`Emitter::wrote`]. The value is also in the accumulator of the class.
    pub(super) fn wrote_through(
        &mut self,
        class: Class,
        start: Position,
        result: SlotIndex,
        condition: Option<Condition>,
    ) {
        self.wrote(start, result, condition);
        self.accumulated = Some((result, class));
    }

    /// Whether the value of a slot is in the accumulator of a class.
    pub(super) fn is_accumulated(&self, slot: SlotIndex, class: Class) -> bool {
        self.accumulated == Some((slot, class))
    }

    /// Says that the instruction starting at `start` wrote its result to slot `result`, named by the lowest operand of its word 1.
    pub(super) fn wrote(&mut self, start: Position, result: SlotIndex, condition: Option<Condition>) {
        self.last = Some(Last { result, result_word: start + 1, condition });
    }

    /// Makes the last instruction write `to` where it wrote `from`; false where it did not.
    pub(super) fn redirect(&mut self, from: SlotIndex, to: SlotIndex) -> bool {
        match self.last {
            Some(last) if last.result == from => {
                let word = &mut self.words[last.result_word];
                *word = with_lowest(*word, to);
                self.last = None;
                if let Some((slot, _)) = &mut self.accumulated {
                    *slot = to;
                }
                true
            }
            _ => false,
        }
    }

    /// The comparison that the last instruction made, if its result is in `slot`.
    pub(super) fn condition(&self, slot: SlotIndex) -> Option<Condition> {
        self.last.filter(|last| last.result == slot).and_then(|last| last.condition)
    }

    /// Takes back the code from `start` on.
    pub(super) fn take_back(&mut self, start: Position) {
        self.words.truncate(start);
        self.last = None;
        self.accumulated = None;
    }

    /// A label: control can arrive here from elsewhere.
    pub(super) fn label(&mut self) -> Position {
        self.end_run();
        self.last = None;
        self.accumulated = None;
        self.words.len()
    }

    /// Says that the straight run of instructions ends here.
    pub(super) fn end_run(&mut self) {
        self.runs += 1;
    }

    /// Tells straight runs of instructions apart.
    pub(super) fn run_number(&self) -> u32 {
        self.runs
    }

    /// Resolves a branch to `target`.
    pub(super) fn fix(&mut self, fixup: Fixup, target: Position) -> Result {
        match fixup {
            Fixup::Operand { at } => {
                let offset = i32::try_from(target as i64 - at as i64)
                    .map_err(|_| too_large("a branch is too long"))?;
                let word = &mut self.words[at + 1];
                *word = with_upper(*word, offset.cast_unsigned());
            }
            Fixup::Table { at, word } => self.words[word] = (target as i64 - at as i64).cast_unsigned(),
        }
        Ok(())
    }

    /// Replaces the word at `position`.
    pub(super) fn patch(&mut self, position: Position, word: Word) {
        self.words[position] = word;
    }
}

/// Four slots in one word.
pub(super) fn slots(a: SlotIndex, b: SlotIndex, c: SlotIndex, d: SlotIndex) -> Word {
    pack([a, b, c, d])
}

/// Two slots and an immediate of 32 bits in one word.
pub(super) fn slots_immediate(a: SlotIndex, b: SlotIndex, immediate: u32) -> Word {
    with_upper(slots(a, b, 0, 0), immediate)
}

/// Two 32-bit numbers in one word, low half first.
pub(super) fn pair(low: u32, high: u32) -> Word {
    Word::from(low) | Word::from(high) << 32
}

// Handlers read operands as 16- and 32-bit cells of the word in memory order, so words are put together in memory order too.
fn pack(operands: [SlotIndex; 4]) -> Word {
    let mut bytes = [0; 8];
    for (cell, operand) in bytes.chunks_exact_mut(2).zip(operands) {
        cell.copy_from_slice(&operand.to_ne_bytes());
    }
    Word::from_ne_bytes(bytes)
}

fn with_upper(word: Word, immediate: u32) -> Word {
    let mut bytes = word.to_ne_bytes();
    bytes[4..].copy_from_slice(&immediate.to_ne_bytes());
    Word::from_ne_bytes(bytes)
}

fn with_lowest(word: Word, slot: SlotIndex) -> Word {
    let mut bytes = word.to_ne_bytes();
    bytes[..2].copy_from_slice(&slot.to_ne_bytes());
    Word::from_ne_bytes(bytes)
}
