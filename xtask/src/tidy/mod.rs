//! House rules that a compiler does not know.
//!
//! One rule a function; each gives the places that break it. The rules are those of ARCHITECTURE.md.

use std::fs;
use std::path::{Path, PathBuf};

type Findings = Vec<String>;

/// A file of the repository.
struct File {
    /// Relative to the root, with forward slashes.
    path: String,
    text: String,
}

pub(crate) fn run(root: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    collect(root, root, &mut files)?;
    let rules: &[fn(&[File], &Path) -> Findings] = &[
        headers,
        layers,
        runtimes,
        unsafe_rooms,
        host_alone_touches_the_system,
        front_ends_apart,
        long_files,
        links,
        terms,
        modules,
        walks,
        vague_safety,
    ];
    let findings: Findings = rules.iter().flat_map(|rule| rule(&files, root)).collect();
    if findings.is_empty() {
        println!("tidy: {} files, nothing to say", files.len());
        return Ok(());
    }
    Err(format!("{}\n{} untidy places", findings.join("\n"), findings.len()))
}

/// Every Rust file says at its top what it is.
fn headers(files: &[File], _: &Path) -> Findings {
    let untold = rust(files).filter(|file| !file.text.starts_with("//!"));
    untold.map(|file| format!("{}: no `//!` header", file.path)).collect()
}

/// What each crate must not mention, so that dependencies keep their direction.
const LAYERS: &[(&str, &[&str])] = &[
    (
        "crates/engine/",
        &["innkeeper_interp", "innkeeper_wasi", "innkeeper_jit", "innkeeper_component", "innkeeper::"],
    ),
    // The component model is the same whoever provides what components import.
    (
        "crates/component/",
        &[
            "innkeeper_interp",
            "innkeeper_wasi",
            "innkeeper_jit",
            "innkeeper::",
            "\"wasi:",
            "wasi_snapshot",
            "std::fs",
            "std::net",
            "rustix",
        ],
    ),
    // Records know nothing of what works on them.
    (
        "crates/engine/src/vmctx/",
        &[
            "crate::runtime",
            "crate::store",
            "crate::instance",
            "crate::module",
            "crate::func",
            "crate::caller",
            "crate::linker",
            "crate::extern_",
            "crate::value",
            "crate::reference",
            "crate::evaluate",
            "crate::tier",
            "crate::engine",
            "crate::shared_memory",
        ],
    ),
    // WASI's convention of the exported memory is its own.
    ("crates/engine/src/runtime/", &["\"memory\""]),
    ("crates/engine/src/caller.rs", &["\"memory\""]),
    ("crates/interp/", &["innkeeper_wasi", "innkeeper_jit", "innkeeper_component", "innkeeper::"]),
    ("crates/jit/", &["innkeeper_interp", "innkeeper_wasi", "innkeeper_component", "innkeeper::"]),
    ("crates/wasi/", &["innkeeper_interp", "innkeeper_jit", "innkeeper::"]),
    (
        "crates/wasi/src/host/",
        &[
            "p1::",
            "p2::",
            "p3::",
            "innkeeper_component",
            "preview1",
            "snapshot",
            "preopen",
            "Preopen",
            "subscription",
            "Subscription",
            "`memory`",
        ],
    ),
    ("crates/wasi/src/keys/", &["p1::", "p2::", "p3::", "innkeeper_component", "preview1", "snapshot"]),
    // What it writes names the embedding API; it knows neither that nor any engine.
    (
        "crates/bindgen/",
        &[
            "innkeeper_engine",
            "innkeeper_interp",
            "innkeeper_jit",
            "innkeeper_wasi",
            "innkeeper_component",
            "use innkeeper::",
            "wasmparser",
            "tokio",
        ],
    ),
    (
        "crates/macros/",
        &[
            "innkeeper_engine",
            "innkeeper_interp",
            "innkeeper_jit",
            "innkeeper_wasi",
            "innkeeper_component",
            "use innkeeper::",
            "std::fs",
            "std::net",
            "tokio",
        ],
    ),
    // It answers requests whichever tier executes guests, and knows neither the embedding API nor the command.
    ("crates/http/", &["innkeeper_interp", "innkeeper_jit", "innkeeper::", "innkeeper_cli"]),
    // Libraries in other languages stand on the embedding API alone.
    (
        "crates/c-api/",
        &["innkeeper_engine", "innkeeper_interp", "innkeeper_jit", "innkeeper_wasi", "innkeeper_component"],
    ),
    (
        "bindings/python/",
        &["innkeeper_engine", "innkeeper_interp", "innkeeper_jit", "innkeeper_wasi", "innkeeper_component"],
    ),
    (
        "crates/wast/",
        &["innkeeper_engine", "innkeeper_interp", "innkeeper_jit", "innkeeper_wasi", "innkeeper_component"],
    ),
    ("crates/cli/", &["innkeeper_engine", "innkeeper_interp", "innkeeper_wasi", "innkeeper_component"]),
];

fn layers(files: &[File], _: &Path) -> Findings {
    let mut findings = Findings::new();
    for (room, forbidden) in LAYERS {
        // Tests may look at a crate from outside and use others for it.
        let sources =
            rust(files).filter(|file| file.path.starts_with(room) && !file.path.contains("/tests/"));
        for file in sources {
            for (line, text) in code_lines(file).take_while(|(_, text)| !text.starts_with("mod tests {")) {
                findings.extend(
                    forbidden
                        .iter()
                        .filter(|name| text.contains(*name))
                        .map(|name| format!("{}:{line}: {room} must not know `{name}`", file.path)),
                );
            }
        }
    }
    findings
}

/// The only places where an async runtime may be named: the server and client of HTTP, and the command that starts them. Everything else is driven by any executor.
const RUNTIME_ROOMS: &[&str] = &["crates/http/", "crates/cli/src/serve/", "xtask/src/tidy/"];

fn runtimes(files: &[File], _: &Path) -> Findings {
    let mut findings = Findings::new();
    let outside = |file: &&File| {
        let is_test = ["/tests/", "/benches/", "/examples/"].iter().any(|part| file.path.contains(part));
        !is_test && !RUNTIME_ROOMS.iter().any(|room| file.path.starts_with(room))
    };
    for file in rust(files).filter(outside) {
        for (line, text) in code_lines(file).take_while(|(_, text)| !text.starts_with("mod tests {")) {
            findings.extend(
                ["tokio::", "smol::", "async_std::"]
                    .iter()
                    .filter(|runtime| text.contains(*runtime))
                    .map(|runtime| format!("{}:{line}: `{runtime}` outside the rooms for it", file.path)),
            );
        }
    }
    findings
}

/// The only places where `unsafe` may stand.
const UNSAFE_ROOMS: &[&str] = &[
    "bindings/python/src/lock.rs",
    "bindings/python/src/memory.rs",
    "bindings/python/src/store.rs",
    "crates/c-api/src/boundary.rs",
    "crates/c-api/src/store.rs",
    "crates/c-api/src/vector.rs",
    "crates/c-api/src/wasm_h/module.rs",
    "crates/c-api/src/wasm_h/value.rs",
    "crates/cli/src/background/",
    "crates/cli/src/reserve.rs",
    "crates/cli/src/name_service.rs",
    "crates/cli/src/signals/ignored.rs",
    "crates/component/src/precompiled.rs",
    "crates/engine/src/fiber/",
    "crates/engine/src/sys/",
    "crates/engine/src/runtime/",
    "crates/engine/src/vmctx/",
    "crates/engine/src/tier/",
    "crates/engine/src/func/mod.rs",
    "crates/interp/src/machine.rs",
    "crates/interp/src/activation.rs",
    "crates/interp/src/backtrace.rs",
    "crates/interp/src/unwind.rs",
    "crates/interp/src/op/",
    "crates/interp/src/lib.rs",
    "crates/interp/src/code/",
    "crates/jit/src/trampoline.rs",
    "crates/jit/src/backtrace.rs",
    "crates/jit/src/libcall.rs",
    "crates/jit/src/cache/mapping.rs",
    "crates/jit/src/code_memory.rs",
    "crates/jit/src/entry.rs",
    "crates/jit/src/module.rs",
    "crates/jit/src/publish.rs",
    "crates/jit/src/queue/tests.rs",
    "crates/jit/src/region/handler.rs",
    "crates/jit/src/signal.rs",
    "crates/jit/src/trap.rs",
    "crates/jit/src/unwind.rs",
    "crates/jit/tests/",
    "crates/innkeeper/src/tiers/",
    "crates/innkeeper/tests/counting_allocator/",
    "crates/innkeeper/tests/faults.rs",
    "crates/innkeeper/tests/forked/",
    "crates/innkeeper/tests/later_handlers.rs",
    "crates/innkeeper/tests/library/",
    "xtask/src/tidy/",
];

fn unsafe_rooms(files: &[File], _: &Path) -> Findings {
    let mut findings = Findings::new();
    for file in rust(files).filter(|file| !UNSAFE_ROOMS.iter().any(|room| file.path.starts_with(room))) {
        for (line, text) in code_lines(file) {
            if ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| text.contains(word)) {
                findings.push(format!("{}:{line}: `unsafe` outside the rooms for it", file.path));
            }
        }
    }
    findings
}

/// WASI's front ends.
const FRONT_ENDS: &[&str] = &["p1", "p2", "p3"];

/// Which of WASI's front ends a file is of.
fn front_end(path: &str) -> Option<&str> {
    let room = path.strip_prefix("crates/wasi/src/")?.split('/').next()?;
    FRONT_ENDS.contains(&room).then_some(room)
}

/// WASI's front ends know nothing of each other, but for 0.3, which shares the guest's context and resources with 0.2: one component may use both.
fn front_ends_apart(files: &[File], _: &Path) -> Findings {
    let mut findings = Findings::new();
    for file in rust(files) {
        let Some(own) = front_end(&file.path) else { continue };
        for (line, text) in code_lines(file) {
            let others = FRONT_ENDS.iter().filter(|other| **other != own && (own, **other) != ("p3", "p2"));
            let named = others.filter(|other| text.contains(&format!("{other}::")));
            findings
                .extend(named.map(|other| format!("{}:{line}: {own} must not know `{other}`", file.path)));
        }
    }
    findings
}

/// WASI's front ends translate; the host layer alone calls the operating system.
fn host_alone_touches_the_system(files: &[File], _: &Path) -> Findings {
    let mut findings = Findings::new();
    for file in rust(files).filter(|file| front_end(&file.path).is_some()) {
        for (line, text) in code_lines(file) {
            if ["std::fs", "std::net", "rustix", "libc::"].iter().any(|name| text.contains(name)) {
                findings.push(format!("{}:{line}: only wasi/host touches the operating system", file.path));
            }
        }
    }
    findings
}

/// Words that the engine and the tiers do not use, and the field's terms for what they stood for.
const TERMS: &[(&str, &str)] = &[
    ("attend", "safepoint, or to answer a request"),
    ("attention", "safepoint"),
    ("branch_back", "back-edge"),
    ("branches back", "back-edges"),
    ("builtin", "libcall"),
    ("census", "compile statistics"),
    ("landing", "exit point"),
    ("loop entry", "OSR entry"),
    ("LoopEntry", "OsrEntry"),
    ("melt", "fuse"),
    ("recall", "cache lookup"),
    ("resolver", "lazy-binding stub"),
    ("tried block", "`try` block"),
    ("tried range", "exception-table entry"),
];

/// Whoever knows other runtimes finds things by the names that they have there.
fn terms(files: &[File], _: &Path) -> Findings {
    let rooms = ["crates/engine/", "crates/interp/", "crates/jit/"];
    let mut findings = Findings::new();
    for file in rust(files).filter(|file| rooms.iter().any(|room| file.path.starts_with(room))) {
        for (line, text) in file.text.lines().enumerate() {
            let text = text.to_lowercase();
            let is_in = |(old, _): &&(&str, &str)| text.contains(&old.to_lowercase());
            findings.extend(TERMS.iter().filter(is_in).map(|(old, term)| {
                format!("{}:{}: `{old}` is called {term} here (docs/glossary.md)", file.path, line + 1)
            }));
        }
    }
    findings
}

/// Words of SAFETY texts that name nobody.
const VAGUE: &[&str] = &["caller promises", "callers promise", "callers' callers"];

/// A SAFETY text says who guarantees what: the validator, lowering, a check and where it is, a type. That of a function which passes a contract on names those who call it.
fn vague_safety(files: &[File], _: &Path) -> Findings {
    let rooms = ["crates/engine/", "crates/interp/", "crates/jit/"];
    let is_judged = |path: &str| rooms.iter().any(|room| path.starts_with(room));
    let mut findings = Findings::new();
    for file in rust(files).filter(|file| is_judged(&file.path)) {
        for (line, text) in file.text.lines().enumerate() {
            if VAGUE.iter().any(|words| text.contains(words)) {
                findings.push(format!("{}:{}: who guarantees it, and how?", file.path, line + 1));
            }
        }
    }
    findings
}

/// The files that the walks of ARCHITECTURE.md go through are there, and no walk is longer than eight.
fn walks(files: &[File], _: &Path) -> Findings {
    const MOST_FILES: usize = 8;
    let Some(page) = files.iter().find(|file| file.path == "ARCHITECTURE.md") else { return Findings::new() };
    let section =
        page.text.split("\n## ").find(|section| section.starts_with("Eight walks")).unwrap_or_default();
    let mut findings = Findings::new();
    let walks: Vec<&str> = section.split("\n- ").skip(1).collect();
    if walks.len() != 8 {
        findings.push(format!("ARCHITECTURE.md: {} walks, not eight", walks.len()));
    }
    for walk in walks {
        let named: Vec<&str> = walk.split('`').filter(|word| word.ends_with(".rs")).collect();
        let is_there = |name: &str| files.iter().any(|file| file.path == format!("crates/{name}"));
        let gone = named.iter().filter(|name| !is_there(name));
        findings.extend(
            gone.map(|name| format!("ARCHITECTURE.md: a walk goes through {name}, which is not there")),
        );
        if named.len() > MOST_FILES {
            findings.push(format!("ARCHITECTURE.md: a walk through {} files", named.len()));
        }
    }
    findings
}

/// A module with others inside is `mod.rs` in their folder.
fn modules(files: &[File], _: &Path) -> Findings {
    let has_folder = |file: &&File| {
        let folder = format!("{}/", file.path.trim_end_matches(".rs"));
        rust(files).any(|other| other.path.starts_with(&folder))
    };
    let findings = rust(files).filter(has_folder);
    findings.map(|file| format!("{}: beside its folder, instead of `mod.rs` in it", file.path)).collect()
}

/// Lines from which a file is a smell; tables and generated code are named.
const LONG_FILE_LINES: usize = 600;
const LONG_BY_NATURE: &[&str] = &[];

fn long_files(files: &[File], _: &Path) -> Findings {
    let long = rust(files).filter(|file| file.text.lines().count() > LONG_FILE_LINES);
    long.filter(|file| !LONG_BY_NATURE.contains(&file.path.as_str()))
        .map(|file| format!("{}: {} lines", file.path, file.text.lines().count()))
        .collect()
}

/// Relative links in Markdown files lead somewhere.
fn links(files: &[File], root: &Path) -> Findings {
    let mut findings = Findings::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
        for target in file.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            let elsewhere = target.is_empty() || target.contains("://") || target.contains(' ');
            if !elsewhere && !root.join(folder).join(target).exists() {
                findings.push(format!("{}: dead link to {target}", file.path));
            }
        }
    }
    findings
}

fn rust(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.path.ends_with(".rs"))
}

/// Lines with their numbers from 1, without those that are comments.
fn code_lines(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let lines = file.text.lines().enumerate().map(|(i, text)| (i + 1, text));
    lines.filter(|(_, text)| !text.trim_start().starts_with("//"))
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<(), String> {
    let complain = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| complain(folder, error))? {
        entries.push(entry.map_err(|error| complain(folder, error))?.path());
    }
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if !matches!(&*name, "target" | ".git" | "node_modules" | "inputs" | "expected") {
                collect(root, &path, files)?;
            }
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            let relative = path.strip_prefix(root).unwrap_or(&path);
            let text = fs::read_to_string(&path).map_err(|error| complain(&path, error))?;
            files.push(File { path: relative.to_string_lossy().replace('\\', "/"), text });
        }
    }
    Ok(())
}
