//! Runs tests under what watches each access of memory: Miri, an interpreter of Rust that knows what the language allows, and AddressSanitizer, which knows what is allocated. Neither is
//! part of a usual toolchain: where one is missing, this says so, and what makes it possible.
//!
//! What the two can run, and what they found last, is in `docs/checks.md`.

use std::path::Path;
use std::process::{Command, Stdio};

/// What Miri runs: packages with features, a target of theirs, and which of its tests. Tests with system calls that Miri does not know, and with machine code, are left out.
const MIRI: &[&[&str]] = &[
    &["-p", "innkeeper-interp", "--features", "loop-dispatch", "--test", "unsafe_core"],
    &["-p", "innkeeper-wasi", "--lib", "--", "p1::memory"],
];

/// Addresses go through guests' slots as numbers. Of the two models of what pointers may alias, this one is met.
const MIRI_FLAGS: &str = "-Zmiri-permissive-provenance -Zmiri-disable-isolation -Zmiri-tree-borrows";

pub(crate) fn miri(root: &Path) -> Result<(), String> {
    if !answers(Command::new("cargo").args(["+nightly", "miri", "--version"])) {
        return Err("Miri is not installed: `rustup toolchain install nightly --component miri,rust-src` makes it possible".to_owned());
    }
    for tests in MIRI {
        println!("== Miri: {}", tests.join(" "));
        // Its libraries are others than those of usual builds.
        let target = root.join("target/miri");
        crate::done(
            Command::new("cargo")
                .args(["+nightly", "miri", "test", "-q", "--locked"])
                .args(*tests)
                .env("MIRIFLAGS", MIRI_FLAGS)
                .env("CARGO_TARGET_DIR", target)
                .current_dir(root),
        )?;
    }
    Ok(())
}

/// What AddressSanitizer watches, where nobody says it.
const SANITIZED: &[&str] = &[
    "-p",
    "innkeeper-engine",
    "-p",
    "innkeeper-interp",
    "--features",
    "innkeeper-engine/async,innkeeper-interp/loop-dispatch",
    "--lib",
    "--tests",
    "--no-fail-fast",
    "--",
    // It reads a stack as a whole, as collections do: also what the sanitizer has put between variables.
    "--skip",
    "registers_are_seen_from_any_thread",
];

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Faults are the compiling tier's. Frames that are left with their fiber are poisoned for ever, where fake ones would be kept as well. What cannot be allocated is an error, as without it.
const ASAN_OPTIONS: &str = "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:detect_stack_use_after_return=0:allocator_may_return_null=1:detect_leaks=0";

pub(crate) fn sanitize(root: &Path, arguments: impl Iterator<Item = String>) -> Result<(), String> {
    if !has_sanitizer() {
        return Err(format!(
            "this toolchain has no AddressSanitizer for {TARGET}: `rustup toolchain install nightly` and `cargo +nightly xtask sanitize` make it possible"
        ));
    }
    let mut arguments: Vec<String> = arguments.collect();
    if arguments.is_empty() {
        arguments = SANITIZED.iter().map(|argument| (*argument).to_owned()).collect();
    }
    crate::done(
        Command::new("cargo")
            .args(["test", "-q", "--locked", "--target", TARGET])
            .args(arguments)
            // The flag is none of a stable compiler, which has all that it takes.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("RUSTFLAGS", "-Zsanitizer=address")
            .env("ASAN_OPTIONS", ASAN_OPTIONS)
            .env("CARGO_TARGET_DIR", root.join("target/sanitize"))
            .current_dir(root),
    )
}

/// Whether the toolchain brings the runtime library of AddressSanitizer.
fn has_sanitizer() -> bool {
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", TARGET]).output();
    let Ok(libraries) = libraries else { return false };
    let folder = String::from_utf8_lossy(&libraries.stdout).trim().to_owned();
    std::fs::read_dir(folder).is_ok_and(|files| {
        files.flatten().any(|file| file.file_name().to_string_lossy().ends_with("_rt.asan.a"))
    })
}

fn answers(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// Every order in which threads can act on what they share, in small models: as in `cargo xtask ci`.
pub(crate) fn models(root: &Path) -> Result<(), String> {
    let features = "innkeeper-interp/loom,innkeeper-jit/loom";
    let models = ["test", "--workspace", "--lib", "--features", features, "--locked", "model::"];
    crate::done(Command::new("cargo").args(models).current_dir(root))
}
