//! An inspection for people.
//!
//! Must stay true: every field is named here, so that none is forgotten; names that a module has chosen are printed through [`short`].

use std::fmt::Write as _;

use super::facts::{
    Export, Import, Inspection, Memory, ModuleKind, Producer, Section, SuggestedKey, WasiVersion,
};
use crate::report::short;

// Writing to a string does not fail, here and below.

pub(super) fn text(inspection: &Inspection) -> String {
    let Inspection {
        // Of the JSON, not of the module.
        format: _,
        file,
        kind,
        name,
        size_bytes,
        functions,
        memories,
        wasi,
        features,
        producers,
        sections,
        imports,
        exports,
        keys,
    } = inspection;
    let mut text = format!("{file}\n");
    fact(&mut text, "kind", kind_in_words(*kind));
    if let Some(name) = name {
        fact(&mut text, "name", &short(name));
    }
    fact(&mut text, "size", &format!("{size_bytes} bytes"));
    fact(&mut text, "functions", &format!("{functions} defined"));
    for memory in memories {
        fact(&mut text, "memory", &memory_in_words(memory));
    }
    fact(&mut text, "WASI", &joined(wasi.iter().map(version_in_words), " and "));
    fact(&mut text, "features", &joined(features.iter().map(ToString::to_string), ", "));
    for Producer { field, name, version } in producers {
        let line = format!("{}, {} {}", short(field), short(name), short(version));
        fact(&mut text, "made by", line.trim_end());
    }
    write_sections(&mut text, sections);
    write_imports(&mut text, imports);
    let _ = writeln!(text, "\nExports: {}", exports.len());
    for Export { name, ty } in exports {
        let _ = writeln!(text, "  {}: {ty}", short(name));
    }
    write_keys(&mut text, keys);
    text
}

fn fact(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:<11}{value}");
}

fn joined(words: impl Iterator<Item = String>, separator: &str) -> String {
    let words: Vec<String> = words.collect();
    if words.is_empty() { String::from("none") } else { words.join(separator) }
}

fn kind_in_words(kind: ModuleKind) -> &'static str {
    match kind {
        ModuleKind::Program => "program (exports _start)",
        ModuleKind::Start => "program (its start function)",
        ModuleKind::Reactor => "reactor (exports _initialize; its functions are called with --invoke)",
        ModuleKind::Library => "library (its functions are called with --invoke)",
    }
}

fn version_in_words(of: &WasiVersion) -> String {
    let WasiVersion { version, module, functions } = of;
    let unit = if *functions == 1 { "function" } else { "functions" };
    format!("{version} ({module}, {functions} {unit})")
}

fn memory_in_words(memory: &Memory) -> String {
    let Memory { minimum_pages, minimum_bytes, maximum_pages, maximum_bytes, addresses, shared } = memory;
    let size = |pages: u64, bytes: u64| {
        let unit = if pages == 1 { "page" } else { "pages" };
        format!("{pages} {unit} ({bytes} bytes)")
    };
    let most = match (maximum_pages, maximum_bytes) {
        (Some(pages), Some(bytes)) => format!("{} at most", size(*pages, *bytes)),
        _ => String::from("no maximum"),
    };
    let addresses = if *addresses == "i32" { String::new() } else { format!(", with {addresses} addresses") };
    let shared = if *shared { ", shared by threads" } else { "" };
    format!("{} at start, {most}{addresses}{shared}", size(*minimum_pages, *minimum_bytes))
}

fn write_sections(text: &mut String, sections: &[Section]) {
    let _ = writeln!(text, "\nSections: {}", sections.len());
    for Section { name, custom, offset, size_bytes } in sections {
        let custom = custom.as_ref().map(|custom| format!(" {}", short(custom))).unwrap_or_default();
        let _ = writeln!(text, "  {name}{custom}: {size_bytes} bytes at offset {offset}");
    }
}

fn write_imports(text: &mut String, imports: &[Import]) {
    let _ = writeln!(text, "\nImports: {}", imports.len());
    for Import { module, name, ty, purpose, provided: _, reason: _ } in imports {
        let _ = writeln!(text, "  {} {}: {ty}, for {purpose}", short(module), short(name));
    }
    if imports.iter().all(|import| import.provided) {
        return;
    }
    let _ = writeln!(text, "\nImports that inn does not have, so that it cannot run this module:");
    for Import { module, name, reason, .. } in imports.iter().filter(|import| !import.provided) {
        let _ = writeln!(text, "  {} {}: {}", short(module), short(name), reason.unwrap_or_default());
    }
}

fn write_keys(text: &mut String, keys: &[SuggestedKey]) {
    let _ = writeln!(text, "\nKeys that it may want:{}", if keys.is_empty() { " none" } else { "" });
    for SuggestedKey { flag, purpose, functions } in keys {
        let _ = writeln!(text, "  {flag:<34} {purpose} ({})", functions.join(", "));
    }
}
