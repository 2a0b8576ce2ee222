//! `inn inspect`: what a module needs and offers, and which keys that suggests.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::process::ExitCode;

use innkeeper::wasi::p1::functions::{ParameterType, Returns};
use innkeeper::wasi::p1::{self, Version};
use innkeeper::{Config, ExternType, FuncType, ImportType, MemoryType, Module, Sharing, ValType};

use crate::args::FileArgs;
use crate::input::Input;
use crate::report::{self, Problem, short};
use crate::run;

pub(crate) fn inspect(args: &FileArgs) -> Result<ExitCode, Problem> {
    args.work.watch()?;
    let mut input = Input::read(&args.file)?;
    let size_bytes = input.bytes.len();
    let engine = innkeeper::engine(Config::default());
    let module = input.module(&engine)?;
    report::output(&describe(&input.name, size_bytes, &module))?;
    Ok(ExitCode::SUCCESS)
}

/// What provides an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Provider {
    Wasi(Version),
    /// A version of WASI has the name, with another type.
    WasiOfAnotherType(Version),
    /// The proposal for threads.
    Threads,
    Nobody,
}

impl Provider {
    /// Whether `inn` has what is imported.
    pub(crate) fn is_here(self) -> bool {
        matches!(self, Provider::Wasi(_) | Provider::Threads)
    }
}

/// A kind of key, and which functions of WASI 0.1 a guest needs it for.
struct KeyKind {
    flag: &'static str,
    meaning: &'static str,
    functions: fn(&str) -> bool,
}

const KEY_KINDS: &[KeyKind] = &[
    KeyKind {
        flag: "--dir HOST[::GUEST][::ro|rw|cow]",
        meaning: "files and directories",
        functions: |name| name.starts_with("path_") || name == "fd_readdir",
    },
    KeyKind {
        flag: "--env NAME[=VALUE]",
        meaning: "environment variables",
        functions: |name| name == "environ_get",
    },
    KeyKind { flag: "ARGS after FILE", meaning: "arguments", functions: |name| name == "args_get" },
    KeyKind {
        flag: "--listen ADDRESS:PORT",
        meaning: "connections to accept",
        functions: |name| name.starts_with("sock_"),
    },
    KeyKind {
        flag: "always granted",
        meaning: "clocks and randomness",
        functions: |name| name.starts_with("clock_") || name == "random_get",
    },
];

fn describe(file: &str, size_bytes: usize, module: &Module) -> String {
    let mut text = format!("{file}\n");
    fact(&mut text, "kind", kind(module));
    if let Some(name) = module.name() {
        fact(&mut text, "name", &short(name));
    }
    fact(&mut text, "size", &format!("{size_bytes} bytes"));
    fact(&mut text, "functions", &format!("{} defined", module.defined_func_count()));
    for memory in module.defined_memories() {
        fact(&mut text, "memory", &memory_size(memory));
    }
    let mut imports: Vec<(ImportType<'_>, Provider)> = Vec::new();
    let mut known = HashSet::new();
    for import in module.imports() {
        // A module may import the same thing often.
        if known.insert((import.module, import.name, import.ty.to_string())) {
            let provider = provider(&import);
            imports.push((import, provider));
        }
    }
    fact(&mut text, "WASI", &wasi(&imports));
    describe_imports(&mut text, &imports);
    describe_exports(&mut text, module);
    describe_keys(&mut text, &imports);
    text
}

fn fact(text: &mut String, name: &str, value: &str) {
    // Writing to a string does not fail, here and below.
    let _ = writeln!(text, "  {name:<11}{value}");
}

fn kind(module: &Module) -> &'static str {
    let exports = |name: &str| {
        module.exports().any(|export| export.name == name && matches!(export.ty, ExternType::Func(_)))
    };
    if exports("_start") {
        "program (exports _start)"
    } else if exports("_initialize") {
        "reactor (exports _initialize; its functions are called with --invoke)"
    } else if run::is_its_start_function(module) {
        "program (its start function)"
    } else {
        "library (its functions are called with --invoke)"
    }
}

fn memory_size(memory: MemoryType) -> String {
    let size = |pages: u64| {
        let unit = if pages == 1 { "page" } else { "pages" };
        format!("{pages} {unit} ({} bytes)", u128::from(pages) * u128::from(memory.page_bytes()))
    };
    match memory.pages.max {
        Some(max) => format!("{} at start, {} at most", size(memory.pages.min), size(max)),
        None => format!("{} at start, no maximum", size(memory.pages.min)),
    }
}

fn wasi(imports: &[(ImportType<'_>, Provider)]) -> String {
    let mut versions: Vec<String> = Vec::new();
    for version in Version::ALL {
        let count = imports.iter().filter(|(_, provider)| *provider == Provider::Wasi(version)).count();
        if count > 0 {
            let unit = if count == 1 { "function" } else { "functions" };
            versions.push(format!("0.1 ({}, {count} {unit})", version.module_name()));
        }
    }
    if versions.is_empty() { String::from("none") } else { versions.join(" and ") }
}

fn describe_imports(text: &mut String, imports: &[(ImportType<'_>, Provider)]) {
    let _ = writeln!(text, "\nImports: {}", imports.len());
    for (import, _) in imports {
        let _ = writeln!(text, "  {} {}: {}", short(import.module), short(import.name), import.ty);
    }
    if imports.iter().all(|(_, provider)| matches!(provider, Provider::Wasi(_) | Provider::Threads)) {
        return;
    }
    let _ = writeln!(text, "\nImports that inn does not have, so that it cannot run this module:");
    for (import, provider) in imports {
        let reason = match provider {
            Provider::Wasi(_) | Provider::Threads => continue,
            Provider::WasiOfAnotherType(_) => "is there, with another type",
            Provider::Nobody => "is not there",
        };
        let _ = writeln!(text, "  {} {}: {reason}", short(import.module), short(import.name));
    }
}

fn describe_exports(text: &mut String, module: &Module) {
    let _ = writeln!(text, "\nExports: {}", module.exports().len());
    for export in module.exports() {
        let _ = writeln!(text, "  {}: {}", short(export.name), export.ty);
    }
}

fn describe_keys(text: &mut String, imports: &[(ImportType<'_>, Provider)]) {
    let names: Vec<&str> = imports
        .iter()
        .filter(|(_, provider)| matches!(provider, Provider::Wasi(_)))
        .map(|(import, _)| import.name)
        .collect();
    let wanted =
        |kind: &KeyKind| names.iter().copied().filter(|name| (kind.functions)(name)).collect::<Vec<_>>();
    let kinds: Vec<(&KeyKind, Vec<&str>)> =
        KEY_KINDS.iter().map(|kind| (kind, wanted(kind))).filter(|(_, wanted)| !wanted.is_empty()).collect();
    let _ = writeln!(text, "\nKeys that it may want:{}", if kinds.is_empty() { " none" } else { "" });
    for (kind, wanted) in kinds {
        let _ = writeln!(text, "  {:<34} {} ({})", kind.flag, kind.meaning, wanted.join(", "));
    }
}

pub(crate) fn provider(import: &ImportType<'_>) -> Provider {
    let Some(version) = Version::ALL.into_iter().find(|version| version.module_name() == import.module)
    else {
        return match &import.ty {
            ExternType::Memory(ty) if ty.sharing == Sharing::Shared => Provider::Threads,
            ExternType::Func(_) if import.module == "wasi" && import.name == "thread-spawn" => {
                Provider::Threads
            }
            _ => Provider::Nobody,
        };
    };
    match p1::functions(version).iter().find(|function| function.name == import.name) {
        None => Provider::Nobody,
        Some(function) if import.ty == ExternType::Func(wasm_type(function)) => Provider::Wasi(version),
        Some(_) => Provider::WasiOfAnotherType(version),
    }
}

fn wasm_type(function: &p1::Function) -> FuncType {
    let params = function.parameters.iter().map(|(_, ty)| match ty {
        ParameterType::I32 => ValType::I32,
        ParameterType::I64 => ValType::I64,
    });
    let results = match function.returns {
        Returns::Errno => Some(ValType::I32),
        Returns::Never => None,
    };
    FuncType::new(params, results)
}
