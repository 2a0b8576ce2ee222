//! What there is to say of a module, as data.
//!
//! Must stay true: names of fields are the JSON's, which scripts read. New ones may join; what is there keeps its name and meaning while [`FORMAT`] is the same.

use std::collections::HashMap;

use innkeeper::wasi::p1::Version;
use innkeeper::{ExternType, ImportType, IndexType, MemoryType, Module, Sharing};
use serde::Serialize;

use super::binary::Parts;
use super::provider::{KEY_KINDS, Provider, provider, purpose};
use crate::entry::is_its_start_function;

/// The version of the layout.
const FORMAT: u32 = 1;

/// A module.
#[derive(Debug, Serialize)]
pub(super) struct Inspection {
    /// The version of this layout.
    pub(super) format: u32,
    /// What the module is called in messages.
    pub(super) file: String,
    /// How it is used.
    pub(super) kind: ModuleKind,
    /// Its name, from the name section.
    pub(super) name: Option<String>,
    pub(super) size_bytes: usize,
    /// Functions that it defines.
    pub(super) functions: usize,
    /// Memories that it defines.
    pub(super) memories: Vec<Memory>,
    /// Versions of WASI that it imports from.
    pub(super) wasi: Vec<WasiVersion>,
    /// Parts of WebAssembly since its first version that it cannot do without.
    pub(super) features: Vec<&'static str>,
    /// What made it, as it says itself.
    pub(super) producers: Vec<Producer>,
    pub(super) sections: Vec<Section>,
    /// Imports, each once.
    pub(super) imports: Vec<Import>,
    pub(super) exports: Vec<Export>,
    /// Keys that it may want.
    pub(super) keys: Vec<SuggestedKey>,
}

/// How a module is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ModuleKind {
    /// It exports `_start`.
    Program,
    /// Its start function is the program.
    Start,
    /// It exports `_initialize`, and functions to be called one by one.
    Reactor,
    /// Its functions are called one by one.
    Library,
}

/// A memory that a module defines.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    pub(super) minimum_pages: u64,
    pub(super) minimum_bytes: u64,
    pub(super) maximum_pages: Option<u64>,
    pub(super) maximum_bytes: Option<u64>,
    /// The type of an address.
    pub(super) addresses: &'static str,
    pub(super) shared: bool,
}

/// A version of WASI, and how much of it is imported.
#[derive(Debug, Serialize)]
pub(super) struct WasiVersion {
    pub(super) version: &'static str,
    pub(super) module: &'static str,
    pub(super) functions: usize,
}

/// Something that had a part in making a module.
#[derive(Debug, Serialize)]
pub(super) struct Producer {
    /// `language`, `processed-by` or `sdk`.
    pub(super) field: String,
    pub(super) name: String,
    pub(super) version: String,
}

/// A section of a module.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    pub(super) name: &'static str,
    /// The name of a custom section.
    pub(super) custom: Option<String>,
    /// Where its contents begin in the file.
    pub(super) offset: u64,
    pub(super) size_bytes: u64,
}

/// An import.
#[derive(Debug, Serialize)]
pub(super) struct Import {
    pub(super) module: String,
    pub(super) name: String,
    /// Its type, in words.
    #[serde(rename = "type")]
    pub(super) ty: String,
    pub(super) purpose: &'static str,
    /// Whether `inn` has it.
    pub(super) provided: bool,
    /// Why not.
    pub(super) reason: Option<&'static str>,
}

/// An export.
#[derive(Debug, Serialize)]
pub(super) struct Export {
    pub(super) name: String,
    /// Its type, in words.
    #[serde(rename = "type")]
    pub(super) ty: String,
}

/// A key that a module may want.
#[derive(Debug, Serialize)]
pub(super) struct SuggestedKey {
    pub(super) flag: &'static str,
    pub(super) purpose: &'static str,
    /// The imported functions that suggest it.
    pub(super) functions: Vec<String>,
}

impl Inspection {
    /// What there is to say of a module, whose binary has these parts.
    pub(super) fn of(file: &str, parts: Parts, module: &Module) -> Inspection {
        let Parts { size_bytes, sections, producers, features } = parts;
        let imports = imports(module);
        Inspection {
            format: FORMAT,
            file: file.to_owned(),
            kind: kind(module),
            name: module.name().map(str::to_owned),
            size_bytes,
            functions: module.defined_func_count(),
            memories: module.defined_memories().map(memory).collect(),
            wasi: wasi(&imports),
            features,
            producers,
            sections,
            imports: imports.iter().map(|(import, provider)| of_import(import, *provider)).collect(),
            exports: module
                .exports()
                .map(|export| Export { name: export.name.to_owned(), ty: export.ty.to_string() })
                .collect(),
            keys: keys(&imports),
        }
    }
}

/// The imports with what provides them. A module may import the same thing often.
fn imports(module: &Module) -> Vec<(ImportType<'_>, Provider)> {
    let mut known = HashMap::new();
    let mut imports = Vec::new();
    for import in module.imports() {
        if known.insert((import.module, import.name, import.ty.to_string()), ()).is_none() {
            let provider = provider(&import);
            imports.push((import, provider));
        }
    }
    imports
}

fn of_import(import: &ImportType<'_>, provider: Provider) -> Import {
    Import {
        module: import.module.to_owned(),
        name: import.name.to_owned(),
        ty: import.ty.to_string(),
        purpose: purpose(import, provider),
        provided: provider.is_here(),
        reason: match provider {
            Provider::Wasi(_) | Provider::Threads => None,
            Provider::WasiOfAnotherType(_) => Some("is there, with another type"),
            Provider::Nobody => Some("is not there"),
        },
    }
}

fn kind(module: &Module) -> ModuleKind {
    let exports = |name: &str| {
        module.exports().any(|export| export.name == name && matches!(export.ty, ExternType::Func(_)))
    };
    if exports("_start") {
        ModuleKind::Program
    } else if exports("_initialize") {
        ModuleKind::Reactor
    } else if is_its_start_function(module) {
        ModuleKind::Start
    } else {
        ModuleKind::Library
    }
}

fn memory(memory: MemoryType) -> Memory {
    let bytes = |pages: u64| pages.saturating_mul(memory.page_bytes());
    Memory {
        minimum_pages: memory.pages.min,
        minimum_bytes: bytes(memory.pages.min),
        maximum_pages: memory.pages.max,
        maximum_bytes: memory.pages.max.map(bytes),
        addresses: match memory.index {
            IndexType::I32 => "i32",
            IndexType::I64 => "i64",
        },
        shared: memory.sharing == Sharing::Shared,
    }
}

fn wasi(imports: &[(ImportType<'_>, Provider)]) -> Vec<WasiVersion> {
    let count = |version| imports.iter().filter(|(_, provider)| *provider == Provider::Wasi(version)).count();
    let versions = Version::ALL.into_iter().map(|version| WasiVersion {
        version: "0.1",
        module: version.module_name(),
        functions: count(version),
    });
    versions.filter(|version| version.functions > 0).collect()
}

fn keys(imports: &[(ImportType<'_>, Provider)]) -> Vec<SuggestedKey> {
    let provided = imports.iter().filter(|(_, provider)| matches!(provider, Provider::Wasi(_)));
    let names: Vec<&str> = provided.map(|(import, _)| import.name).collect();
    let keys = KEY_KINDS.iter().map(|kind| SuggestedKey {
        flag: kind.flag,
        purpose: kind.meaning,
        functions: names
            .iter()
            .filter(|name| (kind.functions)(name))
            .map(|name| (*name).to_owned())
            .collect(),
    });
    keys.filter(|key| !key.functions.is_empty()).collect()
}
