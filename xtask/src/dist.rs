//! `cargo xtask dist`: builds the binary that is handed out.
//!
//! It has everything in it, the C library too, so that it runs on any Linux of this processor, and its code in the order that its own
//! trace found: it takes the least memory and starts first. Why `cargo build` does not make this one is in RATIONALE.md.

use std::fs;
use std::path::{Path, PathBuf};

use crate::startup::{self, Output};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The most memory that it may take for the smallest program, in KiB: a quarter more than it took (docs/benchmarks.md).
const MOST_KIB: u64 = 3400;

pub(crate) fn run(root: &Path, mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    if arguments.next().is_some() {
        return Err("usage: cargo xtask dist".to_owned());
    }
    let folder = crate::target_folder()?.join("dist");
    let complain = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(&folder).map_err(|error| complain(&folder, error))?;
    // With the order of the last time, or none: the functions are the same.
    let (script, map) = (folder.join("startup.ld"), folder.join("inn.map"));
    let mapped = build(root, &folder, &script, &Output::Mapped(&map))?;
    let text = startup::script(root, &mapped, &map)?;
    if fs::read_to_string(&script).ok().as_ref() != Some(&text) {
        fs::write(&script, text).map_err(|error| complain(&script, error))?;
    }
    let built = build(root, &folder, &script, &Output::Program)?;
    startup::check(root, &built, MOST_KIB)?;
    let inn = folder.join("inn");
    fs::copy(&built, &inn).map_err(|error| complain(&inn, error))?;
    println!("{} is done", inn.display());
    Ok(())
}

fn build(root: &Path, folder: &Path, script: &Path, output: &Output) -> Result<PathBuf, String> {
    // With a target named, what runs while building is built as usual.
    let mut cargo = output.cargo(&["--target", TARGET, "--target-dir", &folder.to_string_lossy()]);
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" -C target-feature=+crt-static -C relocation-model=pie");
    cargo.env("RUSTFLAGS", flags.trim_start()).env(startup::SCRIPT_VARIABLE, script);
    crate::done(cargo.current_dir(root))?;
    Ok(folder.join(TARGET).join("release/inn"))
}
