//! Where code comes from: source files and lines, with the functions that a compiler has inlined, read from a module's DWARF when somebody asks.
//!
//! DWARF for WebAssembly (tool-conventions, `Dwarf.md`): each section of DWARF is a custom section of that name, and addresses are offsets in the contents of the code section.
//!
//! Must stay true: what a module says of itself here is neither validated nor believed: where it is wrong or missing, there is no source, and nothing else is different.

mod bounds;

use addr2line::Context;
use addr2line::gimli::{AbbreviationsCacheStrategy, Dwarf, EndianSlice, LittleEndian};

use crate::module::ModuleParts;
use crate::trap::SourceFrame;

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// The sources of a module's code.
pub(crate) struct Sources<'a> {
    context: Context<Reader<'a>>,
    /// Where the code section's contents begin.
    code_start: usize,
}

impl<'a> Sources<'a> {
    /// Those of a module that says where its code comes from.
    pub(crate) fn of(module: &'a ModuleParts) -> Option<Sources<'a>> {
        let sections: Vec<Section<'a>> = Sections::of(module.bytes()).collect();
        let code_start = sections.iter().find(|section| section.id == CODE)?.start;
        let find = |name: &str| {
            let found = sections.iter().find_map(|section| section.custom(name));
            Ok::<_, ()>(EndianSlice::new(found.unwrap_or_default(), LittleEndian))
        };
        find(".debug_info").ok().filter(|info| !info.is_empty())?;
        let mut dwarf = Dwarf::load(|id| find(id.name())).ok()?;
        // Otherwise those that units share are read for each: in a hostile module, for very many.
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::Duplicates);
        if !bounds::are_kept(&dwarf) {
            return None;
        }
        Some(Sources { context: Context::from_dwarf(dwarf).ok()?, code_start })
    }

    /// What stands for the instruction at an offset in the module's bytes, the innermost of what was inlined there first.
    pub(crate) fn frames(&self, offset_bytes: usize) -> Vec<SourceFrame> {
        let Some(address) = offset_bytes.checked_sub(self.code_start) else { return Vec::new() };
        let mut sources = Vec::new();
        let Ok(mut frames) = self.context.find_frames(address as u64).skip_all_loads() else {
            return sources;
        };
        while let Ok(Some(frame)) = frames.next()
            && sources.len() < MOST_INLINED
        {
            let name = frame.function.as_ref().and_then(|function| function.raw_name().ok());
            let location = frame.location;
            sources.push(SourceFrame {
                func_name: name.as_ref().map(|name| cut(name)),
                file: location.as_ref().and_then(|location| location.file).map(cut),
                line: location.as_ref().and_then(|location| location.line),
                column: location.as_ref().and_then(|location| location.column),
            });
        }
        sources
    }
}

/// A name as far as it is kept: each frame has its own, and a module can have one of megabytes.
fn cut(text: &str) -> String {
    let kept = text.floor_char_boundary(MAX_TEXT_BYTES);
    let mark = if kept < text.len() { "..." } else { "" };
    format!("{}{mark}", &text[..kept])
}

/// Bytes of a function's name, or a file's, that are told.
const MAX_TEXT_BYTES: usize = 1000;

/// Inlined functions that are told of at one place.
const MOST_INLINED: usize = 64;

/// The code section's number, and that of custom sections (core specification 5.5.2, "Sections").
const CODE: u8 = 10;
const CUSTOM: u8 = 0;

/// A section of a module that has been decoded before.
struct Section<'a> {
    id: u8,
    /// Where its contents begin.
    start: usize,
    contents: &'a [u8],
}

impl<'a> Section<'a> {
    /// The contents of a custom section of this name.
    fn custom(&self, name: &str) -> Option<&'a [u8]> {
        if self.id != CUSTOM {
            return None;
        }
        let (len, after) = number(self.contents, 0)?;
        let end = after.checked_add(len)?;
        (self.contents.get(after..end)? == name.as_bytes()).then(|| &self.contents[end..])
    }
}

struct Sections<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Sections<'a> {
    fn of(bytes: &'a [u8]) -> Sections<'a> {
        // Behind the magic number and the version.
        Sections { bytes, at: 8 }
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = Section<'a>;

    fn next(&mut self) -> Option<Section<'a>> {
        let id = *self.bytes.get(self.at)?;
        let (len, start) = number(self.bytes, self.at + 1)?;
        let end = start.checked_add(len)?;
        let contents = self.bytes.get(start..end)?;
        self.at = end;
        Some(Section { id, start, contents })
    }
}

/// A 32-bit number in LEB128, and where it ends.
fn number(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, at));
        }
    }
    None
}
