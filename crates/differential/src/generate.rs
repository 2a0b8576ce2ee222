//! Modules out of bytes, bounded so that every call ends and memories stay small.
//!
//! The fuel that bounds a module is a global of its own ([`FUEL_EXPORT`]), counted by instructions of the module itself, so that every
//! engine counts alike.

use arbitrary::{Result, Unstructured};
use wasm_smith::Config;
use wasmparser::{Parser, Payload};

use crate::random::Random;

/// The export under which a module offers its fuel, a mutable `i32`.
pub(crate) const FUEL_EXPORT: &str = "differential: fuel";

/// Loops and calls that one call of an export may make, all told.
pub(crate) const FUEL: u32 = 1000;

const MEMORY_BYTES: u64 = 1 << 20;
const TABLE_ELEMENTS: u64 = 500;

/// Which parts of WebAssembly a module may use, and so who can run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// What the other engine has too.
    Shared,
    /// Everything; Innkeeper is compared with itself, and with the third engine if that was compiled in.
    Alone,
    /// A real program that was changed here and there; Innkeeper is compared with itself, on so much fuel.
    Mutant,
    /// A function at the limits of the implementation, which checks itself; see [`crate::extreme`].
    Extreme,
}

/// A module and what it exports.
#[derive(Clone, Debug)]
pub struct Module {
    /// The binary format.
    pub wasm: Vec<u8>,
    /// The names of all exports in order.
    pub exports: Vec<String>,
}

impl Dialect {
    /// Seeds take turns.
    #[must_use]
    pub fn of(seed: u64) -> Dialect {
        if seed.is_multiple_of(2) { Dialect::Shared } else { Dialect::Alone }
    }
}

impl Module {
    /// The module of a seed; none where the generator gives up.
    #[must_use]
    pub fn from_seed(seed: u64, dialect: Dialect) -> Option<Module> {
        match dialect {
            Dialect::Mutant => return crate::mutate::mutant(seed),
            Dialect::Extreme => return crate::extreme::axes(seed).module(),
            Dialect::Shared | Dialect::Alone => {}
        }
        let mut random = Random::new(seed);
        let len = random.pick(&[512, 2048, 8192, 32768, 131_072]);
        // Which bytes are right depends on the seed's own dialect.
        Module::from_bytes(&random.bytes(len), Dialect::of(seed))
    }

    /// The module that bytes lead the generator to; none where they are too few.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], dialect: Dialect) -> Option<Module> {
        let mut unstructured = Unstructured::new(bytes);
        let config = config(dialect, &mut unstructured).ok()?;
        let mut generated = wasm_smith::Module::new(config, &mut unstructured).ok()?;
        let fuel = generated.ensure_termination(FUEL).ok()?;
        Module::read(export_global(&generated.to_bytes(), fuel)?)
    }

    /// A module that was written to a file; none where the bytes are not one.
    #[must_use]
    pub fn read(wasm: Vec<u8>) -> Option<Module> {
        let mut exports = Vec::new();
        for payload in Parser::new(0).parse_all(&wasm) {
            if let Payload::ExportSection(section) = payload.ok()? {
                for export in section {
                    exports.push(export.ok()?.name.to_owned());
                }
            }
        }
        Some(Module { wasm, exports })
    }
}

fn config(dialect: Dialect, u: &mut Unstructured<'_>) -> Result<Config> {
    let alone = dialect == Dialect::Alone;
    let gc = alone && u.ratio(7, 8)?;
    let floats = u.ratio(3, 4)?;
    // Types of recursion groups are the module's own; a host cannot make functions of them.
    let most_imports = if gc && u.ratio(7, 8)? { 0 } else { 6 };
    Ok(Config {
        canonicalize_nans: true,
        export_everything: true,
        // Vectors take the place of much else where they are allowed.
        simd_enabled: u.ratio(1, 3)?,
        // The generator does not make the NaNs of relaxed operations canonical, and vectors show their bits.
        relaxed_simd_enabled: !floats && u.ratio(1, 2)?,
        gc_enabled: gc,
        exceptions_enabled: alone,
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        tail_call_enabled: u.ratio(3, 4)?,
        multi_value_enabled: u.ratio(7, 8)?,
        extended_const_enabled: true,
        saturating_float_to_int_enabled: true,
        sign_extension_ops_enabled: true,
        allow_floats: floats,
        compact_imports_enabled: false,
        custom_descriptors_enabled: false,
        memory64_enabled: alone && u.ratio(1, 3)?,
        threads_enabled: false,
        shared_everything_threads_enabled: false,
        wide_arithmetic_enabled: alone,
        max_memories: if alone { 3 } else { 1 },
        max_tables: 4,
        max_imports: u.int_in_range(0..=most_imports)?,
        max_funcs: u.int_in_range(8..=20)?,
        min_funcs: u.int_in_range(1..=8)?,
        // Code that cannot trap gets further.
        disallow_traps: u.ratio(1, 3)?,
        min_globals: 2,
        max_globals: 12,
        max_types: 20,
        max_data_segments: 8,
        max_element_segments: 8,
        max_instructions: u.int_in_range(10..=500)?,
        max_memory32_bytes: MEMORY_BYTES,
        max_memory64_bytes: MEMORY_BYTES.into(),
        memory_max_size_required: true,
        max_table_elements: TABLE_ELEMENTS,
        table_max_size_required: true,
        limit_arrays_in_const_exprs: true,
        memory_offset_choices: wasm_smith::MemoryOffsetChoices(60, 38, 2),
        ..Config::default()
    })
}

/// Adds an export of a global to a module that has an export section already.
fn export_global(wasm: &[u8], global: u32) -> Option<Vec<u8>> {
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::ExportSection(section) = payload.ok()? else { continue };
        let position = |offset: u64| usize::try_from(offset).ok();
        let whole = position(section.range().start)?..position(section.range().end)?;
        let first = position(section.clone().into_iter_with_offsets().next()?.ok()?.0)?;
        let mut contents = Vec::new();
        write_u32(&mut contents, section.count() + 1);
        contents.extend_from_slice(&wasm[first..whole.end]);
        write_u32(&mut contents, FUEL_EXPORT.len() as u32);
        contents.extend_from_slice(FUEL_EXPORT.as_bytes());
        contents.push(3);
        write_u32(&mut contents, global);
        let mut len = Vec::new();
        write_u32(&mut len, u32::try_from(whole.len()).ok()?);
        // The section's number and length stand before its contents.
        let mut exported = wasm[..whole.start - len.len()].to_vec();
        write_u32(&mut exported, contents.len() as u32);
        exported.extend_from_slice(&contents);
        exported.extend_from_slice(&wasm[whole.end..]);
        return Some(exported);
    }
    None
}

/// LEB128 (core specification 5.2.2, "Integers").
fn write_u32(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}
