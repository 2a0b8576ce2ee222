//! Where code of a file is entered: a function's start, or one of its loops, from an interpreter's frame (on-stack replacement).
//!
//! Must stay true: code that is entered at a loop is used for frames that are laid out as those that it was made for. So what it takes for granted of them is part of
//! its digest ([`frame_bytes`]): what was made for another layout is as good as damaged.

use innkeeper_engine::tier::{OsrEntry, OsrValue};

use crate::translate::Start;

/// A function that a file has something of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PartFunc {
    /// Of which of the modules that a component consists of; 0 where the file is a module's.
    pub(crate) part: u32,
    /// Which of those that the module defines.
    pub(crate) func: u32,
}

/// Where a function is entered. A function's start comes before its loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryPoint {
    /// Which function.
    pub(crate) func: PartFunc,
    /// Where the `loop` instruction lies in the module's bytes, or [`EntryPoint::START`].
    pub(crate) place: u32,
}

impl EntryPoint {
    /// Where no instruction lies: a module does not begin with one.
    pub(crate) const START: u32 = 0;

    /// The start of a function.
    pub(crate) fn start(func: PartFunc) -> EntryPoint {
        EntryPoint { func, place: EntryPoint::START }
    }

    /// None where the loop lies too far behind in its module to be told.
    pub(crate) fn of(func: PartFunc, start: Start<'_>) -> Option<EntryPoint> {
        let place = match start {
            Start::Call => EntryPoint::START,
            Start::Loop(entry) => u32::try_from(entry.offset_bytes).ok()?,
        };
        Some(EntryPoint { func, place })
    }

    pub(crate) fn is_start(self) -> bool {
        self.place == EntryPoint::START
    }
}

/// What code takes for granted of the frame that it is entered from: where the values are that it goes on with. Nothing at a function's start.
pub(crate) fn frame_bytes(start: Start<'_>) -> Vec<u8> {
    let Start::Loop(OsrEntry { func: _, position: _, offset_bytes: _, locals, operands }) = start else {
        return Vec::new();
    };
    let mut bytes = Vec::new();
    for values in [locals, operands] {
        bytes.extend((values.len() as u64).to_le_bytes());
        for value in values {
            let (kind, number) = match *value {
                OsrValue::Slot(slot) => (0, u64::from(slot)),
                OsrValue::Constant(bits) => (1, bits),
            };
            bytes.push(kind);
            bytes.extend(number.to_le_bytes());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use innkeeper_engine::index::DefinedFuncIndex;

    use super::*;

    #[test]
    fn frames_that_are_laid_out_otherwise_are_told_apart() {
        let (slot, constant) = (OsrValue::Slot(1), OsrValue::Constant(1));
        let values = [vec![], vec![slot], vec![constant], vec![OsrValue::Slot(2)], vec![slot, constant]];
        let mut seen = HashSet::from([frame_bytes(Start::Call)]);
        for locals in &values {
            for operands in &values {
                let entry = OsrEntry {
                    func: DefinedFuncIndex(0),
                    position: 7,
                    offset_bytes: 9,
                    locals: locals.clone().into(),
                    operands: operands.clone().into(),
                };
                assert!(seen.insert(frame_bytes(Start::Loop(&entry))), "{entry:?}");
                // The interpreter's own name of the loop is not what the code depends on.
                let moved = OsrEntry { position: 8, ..entry };
                assert!(!seen.insert(frame_bytes(Start::Loop(&moved))));
            }
        }
    }
}
