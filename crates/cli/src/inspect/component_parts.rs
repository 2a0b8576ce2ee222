//! What the bytes of a component say of its modules, and of what made it.

use std::collections::HashSet;
use std::ops::Range;

use serde::Serialize;
use wasmparser::{KnownCustom, Parser, Payload};

use super::binary::add_producers;
use super::facts::Producer;

/// A module that a component has in it.
#[derive(Debug, Serialize)]
pub(super) struct CoreModule {
    pub(super) offset: usize,
    pub(super) size_bytes: usize,
    pub(super) name: Option<String>,
    /// What toolchains put it there for, where that is known.
    pub(super) role: Option<&'static str>,
}

/// Both.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) modules: Vec<CoreModule>,
    pub(super) producers: Vec<Producer>,
}

/// The parts of a component's bytes, whose modules lie in these ranges.
pub(super) fn parts(bytes: &[u8], modules: &[Range<usize>]) -> Part {
    let modules = modules
        .iter()
        .map(|range| {
            let module = bytes.get(range.clone()).unwrap_or_default();
            let name = module_name(module);
            let role = name.as_deref().and_then(role);
            CoreModule { offset: range.start, size_bytes: range.len(), name, role }
        })
        .collect();
    let mut found = Vec::new();
    // Those of the component, of what is nested in it, and of its modules.
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        if let Payload::CustomSection(section) = &payload
            && let KnownCustom::Producers(reader) = section.as_known()
        {
            // What is damaged in it is left out: it says nothing about what the component does.
            let _ = add_producers(&mut found, reader);
        }
    }
    let mut seen = HashSet::new();
    found.retain(|Producer { field, name, version }| {
        seen.insert((field.clone(), name.clone(), version.clone()))
    });
    Part { modules, producers: found }
}

/// What a module is there for that has such a name.
fn role(name: &str) -> Option<&'static str> {
    [
        ("wit-component:adapter", "an adapter from WASI 0.1"),
        ("wasi_snapshot_preview1", "an adapter from WASI 0.1"),
        ("wit-component:shim", "functions that stand for others until these are there"),
        ("wit-component:fixups", "puts functions where others stand for them"),
    ]
    .into_iter()
    .find_map(|(start, role)| name.starts_with(start).then_some(role))
}

/// The name in a module's name section.
fn module_name(module: &[u8]) -> Option<String> {
    let mut payloads = Parser::new(0).parse_all(module).map_while(Result::ok);
    payloads.find_map(|payload| match payload {
        Payload::CustomSection(section) => match section.as_known() {
            KnownCustom::Name(names) => names.into_iter().map_while(Result::ok).find_map(|name| match name {
                wasmparser::Name::Module { name, .. } => Some(name.to_owned()),
                _ => None,
            }),
            _ => None,
        },
        _ => None,
    })
}
