//! What decoding a module can take, told from its sections before it is decoded, and charged while it is.
//!
//! Lists of what is in a module, here and in the validator, grow in ways that do not fail gently, and some bytes of a module become a hundred. So a module is
//! refused before it is decoded where that could take more than [`crate::Limits::memory_bytes`], or than the system has.
//!
//! Must stay true: what is told is at least what decoding and validating take at once beside the module's bytes, but for the bodies of functions, of which only what
//! waits to be validated is counted (`crates/innkeeper/tests/decoding_memory.rs` measures all shapes). What cannot be read here is not decoded either.

use std::ops::Range;

use wasmparser::{BinaryReader, Chunk, Parser, Payload};

use super::*;
use crate::budget::{Budget, BudgetKind, Charge};
use crate::sys::Mapping;

/// Modules of fewer bytes are decoded without asking: what they take, a budget gives for free.
const SMALL_MODULE_BYTES: usize = 4 << 10;

/// What takes less is not tried for at the system.
const CERTAIN_BYTES: usize = 4 << 20;

/// Charges what decoding can take, until the charge is dropped.
///
/// # Errors
/// [`crate::ErrorKind::Limit`] where that is more than the engine's limit, or than the system has.
pub(super) fn charge(engine: &Engine, bytes: &[u8]) -> Result<Option<Charge>, Error> {
    if bytes.len() < SMALL_MODULE_BYTES {
        return Ok(None);
    }
    charge_most(engine, most_taken(bytes))
}

/// As [`charge`], of a component with all that is nested in it.
#[cfg(feature = "component")]
pub(super) fn charge_nest(engine: &Engine, bytes: &[u8]) -> Result<Option<Charge>, Error> {
    if bytes.len() < SMALL_MODULE_BYTES {
        return Ok(None);
    }
    let payloads = Parser::new(0).parse_all(bytes).map_while(Result::ok);
    let most = payloads.map(|payload| nest_section_bytes(&payload, bytes)).fold(0, usize::saturating_add);
    charge_most(engine, most)
}

/// What a section takes of a component or of a module in it.
#[cfg(feature = "component")]
fn nest_section_bytes(payload: &Payload<'_>, bytes: &[u8]) -> usize {
    let range = match payload {
        Payload::InstanceSection(section) => section.range(),
        Payload::CoreTypeSection(section) => section.range(),
        Payload::ComponentInstanceSection(section) => section.range(),
        Payload::ComponentAliasSection(section) => section.range(),
        Payload::ComponentTypeSection(section) => section.range(),
        Payload::ComponentCanonicalSection(section) => section.range(),
        Payload::ComponentImportSection(section) => section.range(),
        Payload::ComponentExportSection(section) => section.range(),
        _ => return section_bytes(payload, bytes),
    };
    len(range).saturating_mul(COMPONENT_BYTE_BYTES)
}

fn charge_most(engine: &Engine, most: usize) -> Result<Option<Charge>, Error> {
    let charge = Budget::of_engine(engine).hold(BudgetKind::Module, most as u64)?;
    if most > CERTAIN_BYTES {
        // The allocator keeps pieces that fit nothing, and pages for more; how many is a matter of chance.
        let with_pieces = most.saturating_add(most / 4).saturating_add(CERTAIN_BYTES);
        // Not from the allocator, which would change its ways for what is given back.
        Mapping::new(with_pieces, 0).map(drop).map_err(|_| {
            Error::limit(format!(
                "the system has no memory for decoding the module, which can take {most} bytes"
            ))
        })?;
    }
    Ok(Some(charge))
}

/// What an item of a section and each byte of the section take at most, where lists that grow count twice.
struct Cost {
    item: usize,
    byte: usize,
}

/// Names are kept here, and in the validator.
const IMPORT: Cost = Cost { item: 480, byte: 6 };
const EXPORT: Cost = Cost { item: 256, byte: 6 };
/// With its body that waits to be validated.
const FUNCTION: Cost = Cost { item: 160, byte: 0 };
const TABLE: Cost = Cost { item: 224, byte: EXPRESSION_BYTES };
const EVALUATED: Cost = Cost { item: 144, byte: EXPRESSION_BYTES };
const PLAIN: Cost = Cost { item: 24, byte: 0 };

/// What each byte of an expression takes: an operation of a byte or two, or one of a list of functions.
const EXPRESSION_BYTES: usize = 20;

/// What a type takes beside what it consists of: several copies in the validator, one here by which it is found, and its record.
const TYPE_BYTES: usize = 640;
/// A parameter, a result or a field, in the same copies.
const PART_BYTES: usize = 64;
/// A supertype is the end of a chain of up to 63, which each type has.
const SUPERTYPE_PARTS: usize = 4;
/// What a byte of a component's own sections takes at most: one is a whole type.
#[cfg(feature = "component")]
const COMPONENT_BYTE_BYTES: usize = 320;
/// A group of no types.
const GROUP_BYTES: usize = 16;

/// What the sections can take, as far as they can be read.
fn most_taken(bytes: &[u8]) -> usize {
    let (mut parser, mut rest, mut most) = (Parser::new(0), bytes, 0_usize);
    while let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, true) {
        most = most.saturating_add(section_bytes(&payload, bytes));
        let Payload::CodeSectionStart { size, .. } = payload else {
            if let Payload::End(_) = payload {
                break;
            }
            rest = &rest[consumed..];
            continue;
        };
        parser.skip_section();
        let behind = consumed.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
        let Some(next) = rest.get(behind..) else { break };
        rest = next;
    }
    most
}

fn section_bytes(payload: &Payload<'_>, bytes: &[u8]) -> usize {
    let (count, range, cost) = match payload {
        Payload::TypeSection(section) => {
            let range = section.range();
            let section = bytes.get(range.start as usize..range.end as usize).unwrap_or_default();
            return types_bytes(&mut BinaryReader::new(section, 0));
        }
        Payload::ImportSection(section) => (section.count(), section.range(), IMPORT),
        Payload::ExportSection(section) => (section.count(), section.range(), EXPORT),
        Payload::FunctionSection(section) => (section.count(), section.range(), FUNCTION),
        Payload::TableSection(section) => (section.count(), section.range(), TABLE),
        Payload::GlobalSection(section) => (section.count(), section.range(), EVALUATED),
        Payload::ElementSection(section) => (section.count(), section.range(), EVALUATED),
        Payload::DataSection(section) => {
            let exprs = expr_bytes(section).saturating_mul(EVALUATED.byte);
            return exprs.saturating_add(bounded(section.count(), bytes).saturating_mul(EVALUATED.item));
        }
        Payload::TagSection(section) => (section.count(), section.range(), PLAIN),
        Payload::MemorySection(section) => (section.count(), section.range(), PLAIN),
        _ => return 0,
    };
    let items = bounded(count, bytes).saturating_mul(cost.item);
    items.saturating_add(len(range).saturating_mul(cost.byte))
}

/// Each item has a byte at least.
fn bounded(count: u32, bytes: &[u8]) -> usize {
    (count as usize).min(bytes.len())
}

fn len(range: Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}

/// Bytes of a data section beside contents, which stay where they are.
fn expr_bytes(section: &wasmparser::DataSectionReader<'_>) -> usize {
    let segments = section.clone().into_iter().map_while(Result::ok);
    segments
        .map(|data| len(data.range.clone()).saturating_sub(data.data.len()))
        .fold(0, usize::saturating_add)
}

/// What the types of a section take. They are only counted: reading them takes what is to be told.
fn types_bytes(section: &mut BinaryReader<'_>) -> usize {
    let mut counted = Types::default();
    // Where something stands that is not known here, it is the decoder's business to refuse that.
    let _ = counted.count(section);
    let Types { groups, types, parts } = counted;
    let groups = groups.saturating_mul(GROUP_BYTES).saturating_add(types.saturating_mul(TYPE_BYTES));
    groups.saturating_add(parts.saturating_mul(PART_BYTES))
}

/// What types there are in a section.
#[derive(Default)]
struct Types {
    groups: usize,
    types: usize,
    parts: usize,
}

type Counted = Result<(), wasmparser::Error>;

impl Types {
    /// Counts types, and what they consist of (core specification 5.3, "Types").
    fn count(&mut self, section: &mut BinaryReader<'_>) -> Counted {
        for _ in 0..section.read_var_u32()? {
            self.groups += 1;
            let mut members = 1;
            if section.clone().read_u8()? == 0x4e {
                section.read_u8()?;
                members = section.read_var_u32()?;
            }
            for _ in 0..members {
                self.types += 1;
                self.count_parts(section)?;
            }
        }
        Ok(())
    }

    fn count_parts(&mut self, section: &mut BinaryReader<'_>) -> Counted {
        loop {
            match section.read_u8()? {
                // Open or final, with supertypes.
                0x50 | 0x4f => {
                    for _ in 0..section.read_var_u32()? {
                        section.read_var_u32()?;
                        self.parts += SUPERTYPE_PARTS;
                    }
                }
                0x60 => {
                    self.count_values(section)?;
                    return self.count_values(section);
                }
                0x5f => {
                    for _ in 0..section.read_var_u32()? {
                        self.count_field(section)?;
                    }
                    return Ok(());
                }
                0x5e => return self.count_field(section),
                // Those of proposals: shared, and what they describe or are described by.
                0x65 => {}
                0x4c | 0x4d => drop(section.read_var_u32()?),
                _ => return section.read_var_u32().map(drop),
            }
        }
    }

    fn count_field(&mut self, section: &mut BinaryReader<'_>) -> Counted {
        skip_value_type(section)?;
        self.parts += 1;
        section.read_u8().map(drop)
    }

    fn count_values(&mut self, section: &mut BinaryReader<'_>) -> Counted {
        for _ in 0..section.read_var_u32()? {
            skip_value_type(section)?;
            self.parts += 1;
        }
        Ok(())
    }
}

fn skip_value_type(section: &mut BinaryReader<'_>) -> Counted {
    match section.read_u8()? {
        // A reference to a type, which may be one of a proposal.
        0x63 | 0x64 => {
            if matches!(section.clone().read_u8()?, 0x62 | 0x65) {
                section.read_u8()?;
            }
            section.read_var_s33().map(drop)
        }
        0x65 => section.read_u8().map(drop),
        _ => Ok(()),
    }
}
