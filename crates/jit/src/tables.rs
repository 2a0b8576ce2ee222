//! What must be known about a function's instructions when one of them stops: a table of bytes that is written to the cache as it is and read when
//! somebody asks, which is rarely.
//!
//! Rows are differences from the row before, as numbers of seven bits a byte. Bytes that make no sense give no answer.

use std::ops::Range;
use std::sync::Arc;

use crate::cache::SavedCode;

/// The tables of a function.
#[derive(Clone)]
pub(crate) struct Tables(Source);

#[derive(Clone)]
enum Source {
    Made(Arc<[u8]>),
    /// Where they lie among the tables of a file.
    Saved(Arc<SavedCode>, Range<usize>),
}

impl Tables {
    /// Trap codes by the offset of their instruction, and where in the module's bytes the instructions from an offset on come from; both ascending by
    /// offset in the code.
    pub(crate) fn new(traps: &[(u32, u8)], places: &[(u32, u32)]) -> Tables {
        let mut bytes = Vec::new();
        push(&mut bytes, traps.len() as u32);
        let mut last = 0;
        for (offset, code) in traps {
            push(&mut bytes, offset - last);
            bytes.push(*code);
            last = *offset;
        }
        let (mut last, mut last_place) = (0, 0u32);
        for (offset, place) in places {
            push(&mut bytes, offset - last);
            let step = place.wrapping_sub(last_place).cast_signed();
            push(&mut bytes, ((step << 1) ^ (step >> 31)).cast_unsigned());
            (last, last_place) = (*offset, *place);
        }
        Tables(Source::Made(bytes.into()))
    }

    /// Tables that were written before.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Tables {
        Tables(Source::Made(bytes.into()))
    }

    /// Tables that lie in a file.
    pub(crate) fn saved(code: Arc<SavedCode>, range: Range<usize>) -> Tables {
        Tables(Source::Saved(code, range))
    }

    /// As they are written.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Source::Made(bytes) => bytes,
            Source::Saved(code, range) => code.tables(range.clone()),
        }
    }

    /// The code of the trap that the instruction at `offset` raises.
    pub(crate) fn trap_at(&self, offset: u32) -> Option<u8> {
        let mut rows = Rows(self.bytes());
        let mut at = 0u32;
        for _ in 0..rows.number()? {
            at = at.checked_add(rows.number()?)?;
            let code = rows.byte()?;
            if at >= offset {
                return (at == offset).then_some(code);
            }
        }
        None
    }

    /// Where the instruction at `offset` comes from in the module's bytes.
    pub(crate) fn place_at(&self, offset: u32) -> Option<u32> {
        let mut rows = Rows(self.bytes());
        for _ in 0..rows.number()? {
            rows.number()?;
            rows.byte()?;
        }
        let (mut at, mut place, mut found) = (0u32, 0u32, None);
        while let Some(step) = rows.number() {
            at = at.checked_add(step)?;
            if at > offset {
                break;
            }
            let step = rows.number()?;
            place = place.wrapping_add((step >> 1) ^ (step & 1).wrapping_neg());
            found = Some(place);
        }
        found
    }
}

fn push(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

struct Rows<'a>(&'a [u8]);

impl Rows<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in (0..32).step_by(7) {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_found() {
        let traps = [(0, 1), (5, 7), (300_000, 9)];
        let places = [(3, 1000), (10, 900), (11, u32::MAX), (400, 0), (70_000, 1 << 31)];
        let tables = Tables::new(&traps, &places);
        for offset in (0..1000).chain([299_999, 300_000, 300_001]) {
            let trap = traps.iter().find(|(at, _)| *at == offset).map(|(_, code)| *code);
            assert_eq!(tables.trap_at(offset), trap, "{offset}");
            let place = places.iter().rfind(|(at, _)| *at <= offset).map(|(_, place)| *place);
            assert_eq!(tables.place_at(offset), place, "{offset}");
        }
    }

    #[test]
    fn any_bytes_are_harmless() {
        for first in 0..=255u8 {
            for len in 0..8 {
                let tables = Tables(Source::Made(vec![first; len].into()));
                let _ = (tables.trap_at(u32::MAX), tables.place_at(u32::MAX));
            }
        }
    }
}
