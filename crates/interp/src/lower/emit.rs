//! Writing code: words, labels, and what is known of the last instruction, which the next may fuse with ([`super::fuse`]).
//!
//! Must stay true: `last` describes the instruction that ends at the current position, and is forgotten at every label, because
//! control can arrive there without having executed it.

use super::frame::SlotIndex;
use super::fuse::{CountedCompare, Made};
use super::{Result, too_large};
use crate::code::Word;
use crate::machine::{Class, Handler};

pub(super) struct Emitter {
    words: Vec<Word>,
    last: Option<Last>,
    /// The slot whose value is also in the accumulator of the class.
    accumulated: Option<(SlotIndex, Class)>,
    /// The lowest position that code was taken back to since the last mark.
    lowest: Position,
}

/// A position in the code, in words.
pub(super) type Position = usize;

/// What is known of the last instruction.
#[derive(Clone, Copy)]
pub(super) struct Last {
    /// Where it starts.
    pub(super) start: Position,
    /// The slot it wrote, named by the lowest operand of its word 1.
    pub(super) result: SlotIndex,
    /// Whether that is a local, so that the result must be written even if the next instruction takes it.
    pub(super) kept: bool,
    /// How its result came about.
    pub(super) made: Made,
    /// What the accumulators held before it.
    accumulated_before: Option<(SlotIndex, Class)>,
}

/// A comparison that can become a branch, or another condition.
#[derive(Clone, Copy)]
pub(super) struct Condition {
    /// Where the comparison starts; its code is taken back from here.
    pub(super) start: Position,
    /// The handlers that branch on it.
    pub(super) branches: Branches,
    /// The operands.
    pub(super) a: SlotIndex,
    pub(super) b: SlotIndex,
    /// A constant second operand.
    pub(super) constant: Option<Word>,
    /// How to select by it.
    pub(super) select: Select,
    /// Whether it is about a local that was counted just before.
    pub(super) counted: Option<CountedCompare>,
}

/// How `select` can take a condition.
#[derive(Clone, Copy)]
pub(super) enum Select {
    /// Only as a value.
    Value,
    /// By a handler that compares the condition's operands.
    Compare(Forms),
    /// By the value in a slot, the other way round.
    Inverted { slot: SlotIndex, in_slot: Handler, accumulated: Handler },
}

/// The handlers that branch on a condition.
#[derive(Clone, Copy)]
pub(super) struct Branches {
    /// Where it holds, to a later place.
    pub(super) branch_if: Forms,
    /// Where it does not.
    pub(super) branch_unless: Forms,
    /// Where it holds, to a loop's header.
    pub(super) loop_if: Forms,
    pub(super) loop_unless: Forms,
}

/// When a conditional branch is taken.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Taken {
    If,
    Unless,
}

/// Where a branch leads: back to a loop's header, which counts and can be interrupted, or on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Direction {
    On,
    Back,
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

impl Branches {
    pub(super) fn get(&self, taken: Taken, direction: Direction) -> Forms {
        match (taken, direction) {
            (Taken::If, Direction::On) => self.branch_if,
            (Taken::Unless, Direction::On) => self.branch_unless,
            (Taken::If, Direction::Back) => self.loop_if,
            (Taken::Unless, Direction::Back) => self.loop_unless,
        }
    }

    /// Those of the opposite condition.
    pub(super) fn inverted(self) -> Branches {
        Branches {
            branch_if: self.branch_unless,
            branch_unless: self.branch_if,
            loop_if: self.loop_unless,
            loop_unless: self.loop_if,
        }
    }
}

impl Condition {
    /// One that only branches, on operands in slots.
    pub(super) fn branching(start: Position, branches: Branches, a: SlotIndex, b: SlotIndex) -> Condition {
        Condition { start, branches, a, b, constant: None, select: Select::Value, counted: None }
    }

    /// The opposite.
    pub(super) fn inverted(self) -> Condition {
        let counted = self.counted.map(CountedCompare::inverted);
        Condition { branches: self.branches.inverted(), select: Select::Value, counted, ..self }
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
        Emitter { words, last: None, accumulated: None, lowest: 0 }
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

    /// Emits an instruction whose result, in the slot that its lowest operand names, is in the accumulator of the class as well.
    pub(super) fn op_through(&mut self, handler: Handler, operands: Word, class: Class, made: Made) {
        let before = self.accumulated;
        self.op(handler, operands);
        self.made(operands, made, before);
        self.accumulated = Some((lowest(operands), class));
    }

    /// Emits an instruction whose result is in the slot that its lowest operand names, and in no accumulator.
    pub(super) fn op_writing(&mut self, handler: Handler, operands: Word, made: Made) {
        let before = self.accumulated;
        self.op(handler, operands);
        self.made(operands, made, before);
    }

    /// Says that the instruction starting at `start` wrote its result to slot `result`, named by the lowest operand of its word 1.
    pub(super) fn wrote(&mut self, start: Position, result: SlotIndex, condition: Option<Condition>) {
        let made = condition.map_or(Made::Other, Made::Condition);
        self.last = Some(Last { start, result, kept: false, made, accumulated_before: None });
    }

    fn made(&mut self, operands: Word, made: Made, accumulated_before: Option<(SlotIndex, Class)>) {
        let start = self.words.len() - 2;
        let result = lowest(operands);
        self.last = Some(Last { start, result, kept: false, made, accumulated_before });
    }

    /// Whether the value of a slot is in the accumulator of a class.
    pub(super) fn is_accumulated(&self, slot: SlotIndex, class: Class) -> bool {
        self.accumulated == Some((slot, class))
    }

    /// Makes the last instruction write the local `to` where it wrote `from`; false where it did not.
    pub(super) fn redirect(&mut self, from: SlotIndex, to: SlotIndex) -> bool {
        match &mut self.last {
            Some(last) if last.result == from => {
                (last.result, last.kept) = (to, true);
                let word = &mut self.words[last.start + 1];
                *word = with_lowest(*word, to);
                if let Some((slot, _)) = &mut self.accumulated {
                    *slot = to;
                }
                true
            }
            _ => false,
        }
    }

    /// How the value in `slot` came about, if the last instruction made it and nobody else needs it there.
    pub(super) fn made_in(&self, slot: SlotIndex) -> Option<(Position, Made)> {
        let last = self.last?;
        (last.result == slot && !last.kept).then_some((last.start, last.made))
    }

    /// The last instruction.
    pub(super) fn last(&self) -> Option<Last> {
        self.last
    }

    /// Nothing fuses with the last instruction any more.
    pub(super) fn forget_last(&mut self) {
        self.last = None;
    }

    /// The condition that the last instruction computed, if it is in `slot` and nobody else needs it there.
    pub(super) fn condition(&self, slot: SlotIndex) -> Option<Condition> {
        match self.made_in(slot) {
            Some((_, Made::Condition(condition))) => Some(condition),
            _ => None,
        }
    }

    /// Takes back the last instruction.
    pub(super) fn take_back_last(&mut self) {
        if let Some(last) = self.last {
            self.take_back(last.start);
            self.accumulated = last.accumulated_before;
        }
    }

    /// Takes back the code from `start` on.
    pub(super) fn take_back(&mut self, start: Position) {
        self.words.truncate(start);
        self.lowest = self.lowest.min(start);
        self.last = None;
        self.accumulated = None;
    }

    /// The position; starts to watch how far code is taken back.
    pub(super) fn mark(&mut self) -> Position {
        self.lowest = self.words.len();
        self.lowest
    }

    /// Where code begins that was emitted since the mark, and what it was taken back for.
    pub(super) fn lowest_since(&self, mark: Position) -> Position {
        self.lowest.min(mark)
    }

    /// A label: control can arrive here from elsewhere.
    pub(super) fn label(&mut self) -> Position {
        self.last = None;
        self.accumulated = None;
        self.words.len()
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

fn lowest(word: Word) -> SlotIndex {
    let [low, high, ..] = word.to_ne_bytes();
    SlotIndex::from_ne_bytes([low, high])
}

fn with_lowest(word: Word, slot: SlotIndex) -> Word {
    let mut bytes = word.to_ne_bytes();
    bytes[..2].copy_from_slice(&slot.to_ne_bytes());
    Word::from_ne_bytes(bytes)
}
