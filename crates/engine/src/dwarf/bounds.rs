//! Whether reading a module's DWARF takes no more than its size lets expect.
//!
//! What reads it parses inlined functions inside each other by recursion, and copies what several parts refer to once for each of them: lists of ranges, programs of lines,
//! names of directories. Compilers make none of that deep or many times over, and a guest that does has no sources.
//!
//! Must stay true: this takes time linear in the sections, and next to no memory.

use addr2line::gimli::constants::{DW_AT_ranges, DW_AT_stmt_list};
use addr2line::gimli::{AttributeValue, Dwarf, Reader as _, Section as _, Unit, UnitHeader};

use super::Reader;

/// Entries inside each other: namespaces, functions, blocks, what is inlined.
const MAX_DEPTH: isize = 256;
/// What is free for each account, whatever the sections' sizes.
const FREE: u64 = 64 << 10;
/// Bytes of the sections that each byte of them stands for: programs of lines that units share, and paths.
const TIMES: u64 = 4;

/// Whether the whole of it may be read. What is damaged may: it is left out where it is met.
pub(super) fn are_kept(dwarf: &Dwarf<Reader<'_>>) -> bool {
    let len = |section: &[u8]| section.len() as u64;
    let ranges = len(dwarf.ranges.debug_ranges().reader().slice());
    let range_lists = len(dwarf.ranges.debug_rnglists().reader().slice());
    let lines = len(dwarf.debug_line.reader().slice());
    let strings = len(dwarf.debug_str.reader().slice()) + len(dwarf.debug_line_str.reader().slice());
    let mut left = Left {
        ranges: FREE + ranges + range_lists,
        line_bytes: FREE + TIMES * lines,
        path_bytes: (1 << 20) + 8 * TIMES * (lines + strings),
    };
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        if left.unit(dwarf, header).is_none() {
            return false;
        }
    }
    true
}

/// What may still be read.
struct Left {
    /// Ranges of addresses, for each that refers to them.
    ranges: u64,
    /// Bytes of programs of lines, for each unit that refers to them.
    line_bytes: u64,
    /// Bytes of the paths of units' files.
    path_bytes: u64,
}

impl Left {
    /// None where too much is asked for.
    fn unit(&mut self, dwarf: &Dwarf<Reader<'_>>, header: UnitHeader<Reader<'_>>) -> Option<()> {
        let Some(lines) = line_program_bytes(dwarf, &header) else { return Some(()) };
        draw(&mut self.line_bytes, lines)?;
        let Ok(unit) = dwarf.unit(header) else { return Some(()) };
        self.paths(dwarf, &unit)?;
        self.entries(dwarf, &unit)
    }

    /// Every file of a unit gets a whole path when the first line of the unit is asked for.
    fn paths(&mut self, dwarf: &Dwarf<Reader<'_>>, unit: &Unit<Reader<'_>>) -> Option<()> {
        let Some(program) = &unit.line_program else { return Some(()) };
        let header = program.header();
        let len = |text| dwarf.attr_string(unit, text).map_or(0, |text| text.len() as u64);
        let around = unit.comp_dir.map_or(0, |directory| directory.len() as u64);
        header.file_names().iter().try_for_each(|file| {
            let directory = file.directory(header).map_or(0, len);
            draw(&mut self.path_bytes, around + directory + len(file.path_name()) + 32)
        })
    }

    fn entries(&mut self, dwarf: &Dwarf<Reader<'_>>, unit: &Unit<Reader<'_>>) -> Option<()> {
        let Ok(mut entries) = unit.entries_raw(None) else { return Some(()) };
        while !entries.is_empty() {
            if entries.next_depth() > MAX_DEPTH {
                return None;
            }
            let Ok(abbreviation) = entries.read_abbreviation() else { return Some(()) };
            let Some(attributes) = abbreviation.map(|abbreviation| abbreviation.attributes()) else {
                continue;
            };
            if !attributes.iter().any(|attribute| attribute.name() == DW_AT_ranges) {
                if entries.skip_attributes(attributes).is_err() {
                    return Some(());
                }
                continue;
            }
            for attribute in attributes {
                let Ok(attribute) = entries.read_attribute(*attribute) else { return Some(()) };
                if attribute.name() == DW_AT_ranges {
                    self.ranges(dwarf, unit, attribute.value())?;
                }
            }
        }
        Some(())
    }

    fn ranges<'a>(
        &mut self,
        dwarf: &Dwarf<Reader<'a>>,
        unit: &Unit<Reader<'a>>,
        list: AttributeValue<Reader<'a>>,
    ) -> Option<()> {
        let Ok(Some(mut ranges)) = dwarf.attr_ranges(unit, list) else { return Some(()) };
        while let Ok(Some(_)) = ranges.next() {
            draw(&mut self.ranges, 1)?;
        }
        Some(())
    }
}

fn draw(left: &mut u64, wanted: u64) -> Option<()> {
    *left = left.checked_sub(wanted)?;
    Some(())
}

/// How long the program of lines is that a unit refers to; 0 where it refers to none, and none where the unit cannot be read.
fn line_program_bytes<'a>(dwarf: &Dwarf<Reader<'a>>, header: &UnitHeader<Reader<'a>>) -> Option<u64> {
    let abbreviations = dwarf.abbreviations(header).ok()?;
    let mut entries = header.entries_raw(&abbreviations, None).ok()?;
    let attributes = entries.read_abbreviation().ok()??.attributes();
    let mut len = 0;
    for attribute in attributes {
        let attribute = entries.read_attribute(*attribute).ok()?;
        let offset = match attribute.value() {
            AttributeValue::DebugLineRef(offset) if attribute.name() == DW_AT_stmt_list => offset.0,
            _ => continue,
        };
        let program = dwarf.debug_line.reader().slice().get(offset..)?;
        // A length (DWARF 5, 7.4): 32 bits, or 64 behind a mark.
        let first =
            program.get(..4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))?;
        len =
            if first == u32::MAX { program.len() as u64 } else { u64::from(first).min(program.len() as u64) };
    }
    Some(len)
}
