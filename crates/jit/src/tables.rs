//! What must be known about a function's instructions when one of them stops: a table of bytes that is written to the cache as it is and read when
//! somebody asks, which is rarely.
//!
//! Rows are differences from the row before, as numbers of seven bits a byte. Bytes that make no sense give no answer.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use innkeeper_engine::FuncType;
use innkeeper_engine::index::DefinedFuncIndex;

use crate::cache::SavedCode;
use crate::region::{Catch, CatchSite};

/// The tables of a function.
#[derive(Clone)]
pub(crate) struct Tables(Storage);

#[derive(Clone)]
enum Storage {
    Made(Arc<[u8]>),
    /// Where they lie among the tables of a file.
    Saved(Arc<SavedCode>, Range<usize>),
}

/// An inlined body, or a loop's that is there once more. What comes from it has *places* of its own, beyond the module's bytes;
/// those of the function itself are offsets in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Inlined {
    /// The place of the body's first byte.
    pub(crate) place: u32,
    pub(crate) source: InlinedFrom,
}

/// Where an inlined body comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InlinedFrom {
    Function {
        /// Whose body it is.
        func: DefinedFuncIndex,
        /// Where that begins in the module's bytes.
        body: u32,
        /// The place of the call: one of another body's that is inlined, or of the function's.
        call: u32,
    },
    Loop {
        /// The place of the loop's body where it is there first.
        first: u32,
    },
}

/// Written as the function of a loop.
const NO_FUNCTION: u32 = u32::MAX;

/// What the translation of a function knows of places.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) inlined: Vec<Inlined>,
    /// The load before an instruction, by the instruction's place. The compiler may let the instruction load its operand itself, and then it is the
    /// load that fails there.
    pub(crate) loads_before: HashMap<u32, LoadBefore>,
    /// Types of functions that it calls.
    pub(crate) callees: HashSet<FuncType>,
}

/// The load before an instruction.
#[derive(Clone, Copy)]
pub(crate) struct LoadBefore {
    /// Its place.
    pub(crate) place: u32,
    /// Whether the instruction is a load too.
    pub(crate) is_before_load: bool,
}

impl Places {
    /// Completes rows of places, each valid from an offset in the code on, by those of loads that became part of other instructions. Loads, and
    /// nothing else, raise the trap with the code `load`.
    pub(crate) fn complete(&self, rows: &[(u32, u32)], traps: &[(u32, u8)], load: u8) -> Vec<(u32, u32)> {
        let (mut loads, mut back) = (Vec::new(), Vec::new());
        // A load's own instruction comes last of those at its place, if it is not itself part of what comes after it.
        let mut found = HashSet::new();
        for (offset, _) in traps.iter().rev().filter(|(_, code)| *code == load) {
            let rows_until = rows.partition_point(|(start, _)| start <= offset);
            let Some((_, place)) = rows_until.checked_sub(1).map(|i| rows[i]) else { continue };
            if let Some(load) = self.loads_before.get(&place)
                && !(load.is_before_load && found.insert(place))
            {
                found.insert(load.place);
                loads.push((*offset, load.place));
                back.push((offset + 1, place));
            }
        }
        // Of rows at one offset the last counts.
        let mut all = [&back, rows, &loads].concat();
        all.sort_by_key(|(offset, _)| *offset);
        all
    }
}

/// What an instruction of machine code comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The function, where it is another one than that whose code this is.
    pub(crate) func: Option<DefinedFuncIndex>,
    /// Where the instruction lies in the module's bytes.
    pub(crate) offset_bytes: u32,
}

/// What a place stands for, innermost first: the instruction there, then the calls in whose place it is. `inlined` ascends.
pub(crate) fn origins(inlined: &[Inlined], place: u32) -> Vec<Origin> {
    let (mut origins, mut place, mut inlined) = (Vec::new(), place, inlined);
    loop {
        // A call has a lower place than what is inlined there.
        let body = inlined.partition_point(|body| body.place <= place).checked_sub(1);
        let Some(body) = body else {
            origins.push(Origin { func: None, offset_bytes: place });
            return origins;
        };
        let within = place - inlined[body].place;
        place = match inlined[body].source {
            InlinedFrom::Function { func, body, call } => {
                origins.push(Origin { func: Some(func), offset_bytes: body.wrapping_add(within) });
                call
            }
            InlinedFrom::Loop { first } => first.wrapping_add(within),
        };
        inlined = &inlined[..body];
    }
}

impl Tables {
    /// Trap codes by the offset of their instruction; the places that the instructions from an offset on come from; calls whose exceptions are caught: all
    /// ascending by offset in the code; and what is inlined, ascending by place.
    pub(crate) fn new(
        traps: &[(u32, u8)],
        places: &[(u32, u32)],
        catches: &[CatchSite],
        inlined: &[Inlined],
    ) -> Tables {
        let mut bytes = Vec::new();
        Sites::write(&mut bytes, catches);
        push(&mut bytes, traps.len() as u32);
        let mut last = 0;
        for (offset, code) in traps {
            push(&mut bytes, offset - last);
            bytes.push(*code);
            last = *offset;
        }
        push(&mut bytes, inlined.len() as u32);
        for Inlined { place, source } in inlined {
            let numbers = match *source {
                InlinedFrom::Function { func, body, call } => [*place, func.0, body, call],
                InlinedFrom::Loop { first } => [*place, NO_FUNCTION, first, 0],
            };
            for number in numbers {
                push(&mut bytes, number);
            }
        }
        let (mut last, mut last_place) = (0, 0u32);
        for (offset, place) in places {
            push(&mut bytes, offset - last);
            let step = place.wrapping_sub(last_place).cast_signed();
            push(&mut bytes, ((step << 1) ^ (step >> 31)).cast_unsigned());
            (last, last_place) = (*offset, *place);
        }
        Tables(Storage::Made(bytes.into()))
    }

    /// Tables that were written before.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Tables {
        Tables(Storage::Made(bytes.into()))
    }

    /// Tables that lie in a file.
    pub(crate) fn saved(code: Arc<SavedCode>, range: Range<usize>) -> Tables {
        Tables(Storage::Saved(code, range))
    }

    /// As they are written.
    pub(crate) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Storage::Made(bytes) => bytes,
            Storage::Saved(code, range) => code.tables(range.clone()),
        }
    }

    /// What is caught of a call that returns to `offset`. An exception asks at each frame that it passes: nothing else is read.
    pub(crate) fn catch_site(&self, offset: u32) -> Option<FoundSite<'_>> {
        let (sites, _) = Sites::read(self.bytes())?;
        sites.find(offset)
    }

    /// The rows behind those of catches.
    fn rows(&self) -> Option<Rows<'_>> {
        Sites::read(self.bytes()).map(|(_, rows)| rows)
    }

    /// The code of the trap that the instruction at `offset` raises.
    pub(crate) fn trap_at(&self, offset: u32) -> Option<u8> {
        let mut rows = self.rows()?;
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

    /// What the instruction at `offset` comes from: see [`origins`]. Empty where nobody knows.
    pub(crate) fn origins_at(&self, offset: u32) -> Vec<Origin> {
        self.find_origins(offset).unwrap_or_default()
    }

    fn find_origins(&self, offset: u32) -> Option<Vec<Origin>> {
        let (inlined, mut rows) = self.read_inlined()?;
        let place = rows.place_at(offset)?;
        Some(origins(&inlined, place))
    }

    /// What is inlined.
    pub(crate) fn inlined(&self) -> Vec<Inlined> {
        self.read_inlined().map(|(inlined, _)| inlined).unwrap_or_default()
    }

    /// What is inlined, and the rows behind that.
    fn read_inlined(&self) -> Option<(Vec<Inlined>, Rows<'_>)> {
        let mut rows = self.rows()?;
        for _ in 0..rows.number()? {
            rows.number()?;
            rows.byte()?;
        }
        let mut inlined = Vec::new();
        for _ in 0..rows.number()? {
            inlined.push(rows.inlined()?);
        }
        Some((inlined, rows))
    }
}

/// What is caught of one call.
pub(crate) struct FoundSite<'a> {
    /// See [`CatchSite`].
    pub(crate) frame_bytes: u32,
    /// See [`CatchSite`].
    pub(crate) context: u32,
    count: u32,
    rows: Rows<'a>,
}

impl<'a> FoundSite<'a> {
    /// What is caught, innermost first.
    pub(crate) fn catches(&self) -> impl Iterator<Item = Catch> + use<'a> {
        let mut rows = Rows(self.rows.0);
        (0..self.count).map_while(move |_| {
            let (has_tag, tag, handler) = (rows.number()?, rows.number()?, rows.number()?);
            Some(Catch { tag: (has_tag == 1).then_some(tag), handler })
        })
    }
}

/// Calls whose exceptions are caught: their number, bytes of their rows, an index of where each returns to and where its row begins, and the rows.
struct Sites<'a> {
    index: &'a [[u8; 8]],
    rows: &'a [u8],
}

impl<'a> Sites<'a> {
    fn write(bytes: &mut Vec<u8>, sites: &[CatchSite]) {
        let (mut index, mut rows) = (Vec::new(), Vec::new());
        for site in sites {
            index.extend(site.return_offset.to_le_bytes());
            index.extend((rows.len() as u32).to_le_bytes());
            for number in [site.frame_bytes, site.context, site.catches.len() as u32] {
                push(&mut rows, number);
            }
            for Catch { tag, handler } in &site.catches {
                push(&mut rows, u32::from(tag.is_some()));
                push(&mut rows, tag.unwrap_or(0));
                push(&mut rows, *handler);
            }
        }
        push(bytes, sites.len() as u32);
        push(bytes, rows.len() as u32);
        bytes.extend(index);
        bytes.extend(rows);
    }

    /// The sites, and what is behind them.
    fn read(bytes: &'a [u8]) -> Option<(Sites<'a>, Rows<'a>)> {
        let mut rest = Rows(bytes);
        let (count, rows_bytes) = (rest.number()? as usize, rest.number()? as usize);
        let (index, rest) = rest.0.split_at_checked(count.checked_mul(8)?)?;
        let (rows, rest) = rest.split_at_checked(rows_bytes)?;
        Some((Sites { index: index.as_chunks().0, rows }, Rows(rest)))
    }

    fn find(&self, return_offset: u32) -> Option<FoundSite<'a>> {
        let halves = |entry: &[u8; 8]| {
            let [a, b, c, d, e, f, g, h] = *entry;
            (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
        };
        let at = self.index.binary_search_by_key(&return_offset, |entry| halves(entry).0).ok()?;
        let mut rows = Rows(self.rows.get(halves(&self.index[at]).1 as usize..)?);
        let (frame_bytes, context, count) = (rows.number()?, rows.number()?, rows.number()?);
        Some(FoundSite { frame_bytes, context, count, rows })
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
    /// The place of the instruction at `offset`, from rows of places.
    fn place_at(&mut self, offset: u32) -> Option<u32> {
        let (mut at, mut place, mut found) = (0u32, 0u32, None);
        while let Some(step) = self.number() {
            at = at.checked_add(step)?;
            if at > offset {
                break;
            }
            let step = self.number()?;
            place = place.wrapping_add((step >> 1) ^ (step & 1).wrapping_neg());
            found = Some(place);
        }
        found
    }

    fn inlined(&mut self) -> Option<Inlined> {
        let (place, func, body, call) = (self.number()?, self.number()?, self.number()?, self.number()?);
        let source = match func {
            NO_FUNCTION => InlinedFrom::Loop { first: body },
            _ => InlinedFrom::Function { func: DefinedFuncIndex(func), body, call },
        };
        Some(Inlined { place, source })
    }

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
    fn loads_in_other_instructions_have_their_own_place() {
        let before = |place, is_before_load| (place, LoadBefore { place: 40, is_before_load });
        let places = Places {
            loads_before: HashMap::from([before(50, false), before(60, true)]),
            ..Places::default()
        };
        // The instruction of place 50 begins at offset 4; at 6 it loads, at 9 it traps otherwise. That of place 60 is a load, and takes its address from
        // another one.
        let rows = [(0, 30), (4, 50), (12, 60)];
        let traps = [(2, 7), (6, 7), (9, 8), (12, 7), (14, 7)];
        let all = places.complete(&rows, &traps, 7);
        let place_at = |offset| all.iter().rfind(|(start, _)| *start <= offset).map(|(_, place)| *place);
        let found: Vec<_> = [2, 4, 6, 7, 9, 12, 13, 14].into_iter().filter_map(place_at).collect();
        assert_eq!(found, [30, 50, 40, 50, 50, 40, 60, 60]);
        // Each takes its address from the one before, and all but the last are part of the next.
        let before = |place, load| (place, LoadBefore { place: load, is_before_load: true });
        let chain = HashMap::from([before(20, 10), before(30, 20)]);
        let chain = Places { loads_before: chain, ..Places::default() };
        let all = chain.complete(&[(0, 20), (3, 30)], &[(1, 7), (3, 7), (5, 7)], 7);
        let place_at = |offset| all.iter().rfind(|(start, _)| *start <= offset).map(|(_, place)| *place);
        assert_eq!([1, 3, 5].map(place_at), [Some(10), Some(20), Some(30)]);
        // What follows at once is not taken for the instruction's rest.
        let all = places.complete(&[(4, 50), (7, 60)], &[(6, 7)], 7);
        assert_eq!(all.iter().rfind(|(start, _)| *start <= 7), Some(&(7, 60)));
    }

    #[test]
    fn what_is_written_is_found() {
        let traps = [(0, 1), (5, 7), (300_000, 9)];
        let places = [(3, 1000), (10, 10_001), (11, u32::MAX), (400, 0), (70_000, 10_060)];
        let site = |return_offset, tag| CatchSite {
            return_offset,
            frame_bytes: 1 << 20,
            context: 16,
            catches: [Catch { tag, handler: 300 }, Catch { tag: None, handler: 70_000 }].into(),
        };
        let sites = [site(7, Some(0)), site(900, Some(u32::MAX)), site(901, None)];
        // The second inside the first.
        let inlined = [
            inlined(10_000, 1, 1000),
            inlined(10_050, 2, 10_020),
            copied(15_000, 40),
            inlined(20_000, 3, 900),
        ];
        let tables = Tables::new(&traps, &places, &sites, &inlined);
        for offset in (0..1000).chain([299_999, 300_000, 300_001]) {
            let trap = traps.iter().find(|(at, _)| *at == offset).map(|(_, code)| *code);
            assert_eq!(tables.trap_at(offset), trap, "{offset}");
            let place = places.iter().rfind(|(at, _)| *at <= offset).map(|(_, place)| *place);
            let found = tables.origins_at(offset);
            assert_eq!(found, place.map(|place| origins(&inlined, place)).unwrap_or_default(), "{offset}");
            let site = sites.iter().find(|site| site.return_offset == offset);
            let found = tables.catch_site(offset).map(|found| CatchSite {
                return_offset: offset,
                frame_bytes: found.frame_bytes,
                context: found.context,
                catches: found.catches().collect(),
            });
            assert_eq!(found.as_ref(), site, "{offset}");
        }
    }

    /// An exception that passes very many frames looks at each of them.
    #[test]
    fn a_call_is_found_without_reading_what_other_calls_catch() {
        let site = |return_offset| CatchSite {
            return_offset,
            frame_bytes: 16,
            context: 8,
            catches: (0..1000).map(|handler| Catch { tag: Some(3), handler }).collect(),
        };
        let sites: Vec<_> = (1..=200).map(site).collect();
        let tables = Tables::new(&[(7, 9)], &[(0, 3)], &sites, &[]);
        let start = std::time::Instant::now();
        for _ in 0..100_000 {
            let found = tables.catch_site(200).and_then(|found| found.catches().next());
            assert_eq!(found, Some(Catch { tag: Some(3), handler: 0 }));
            assert_eq!(tables.trap_at(7), Some(9));
        }
        // Milliseconds; minutes if all were read.
        assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    }

    fn inlined(place: u32, func: u32, call: u32) -> Inlined {
        Inlined { place, source: InlinedFrom::Function { func: DefinedFuncIndex(func), body: 500, call } }
    }

    fn copied(place: u32, first: u32) -> Inlined {
        Inlined { place, source: InlinedFrom::Loop { first } }
    }

    #[test]
    fn bodies_lie_in_the_place_of_calls() {
        let inlined = [
            inlined(1000, 1, 70),
            inlined(1050, 2, 1020),
            inlined(1060, 3, 80),
            copied(1100, 90),
            copied(1200, 1055),
        ];
        let origins = |place| {
            let plain = |origin: Origin| (origin.func.map(|func| func.0), origin.offset_bytes);
            origins(&inlined, place).into_iter().map(plain).collect::<Vec<_>>()
        };
        assert_eq!(origins(999), [(None, 999)]);
        assert_eq!(origins(1000), [(Some(1), 500), (None, 70)]);
        assert_eq!(origins(1051), [(Some(2), 501), (Some(1), 520), (None, 70)]);
        assert_eq!(origins(1061), [(Some(3), 501), (None, 80)]);
        // Loops that are there once more: one of the function's, and one in the second body.
        assert_eq!(origins(1107), [(None, 97)]);
        assert_eq!(origins(1201), [(Some(2), 506), (Some(1), 520), (None, 70)]);
    }

    #[test]
    fn any_bytes_are_harmless() {
        for first in 0..=255u8 {
            for len in 0..20 {
                let tables = Tables(Storage::Made(vec![first; len].into()));
                let _ = (tables.trap_at(u32::MAX), tables.origins_at(u32::MAX), tables.catch_site(u32::MAX));
            }
        }
    }
}
