//! Tells the linker to put what a start executes together, and to pack relocations, in release builds for x86-64 Linux.
//!
//! Neither changes what the program does, so neither may be in the way of a build: a small program is linked with the same linker, flags and
//! script first, and run where it can be. What does not work for it is not used. `INNKEEPER_STARTUP=off` uses nothing;
//! `INNKEEPER_STARTUP=FILE` takes another script, for `cargo xtask dist`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which functions come first: see `cargo xtask startup`.
const SCRIPT: &str = "startup.ld";

/// One entry of a few bytes for a group of relocations, instead of 24 bytes for each. Needs glibc 2.36 where the program runs.
const PACKED_RELOCATIONS: &str = "-Wl,-z,pack-relative-relocs";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=INNKEEPER_STARTUP");
    let setting = env::var_os("INNKEEPER_STARTUP");
    if setting.as_deref().is_some_and(|setting| setting == "off") || !is_release_for_this_platform() {
        return;
    }
    let script = setting.map_or_else(|| folder("CARGO_MANIFEST_DIR").join(SCRIPT), PathBuf::from);
    println!("cargo::rerun-if-changed={}", script.display());
    let order = format!("-Wl,-T,{}", script.display());
    // A comma in the path would be taken for the end of an argument.
    let order = (script.is_file() && !script.to_string_lossy().contains(',')).then_some(&*order);
    for arguments in [[order, Some(PACKED_RELOCATIONS)], [order, None], [None, Some(PACKED_RELOCATIONS)]] {
        let arguments: Vec<&str> = arguments.into_iter().flatten().collect();
        if links_and_runs(&arguments) {
            for argument in arguments {
                println!("cargo::rustc-link-arg-bins={argument}");
            }
            return;
        }
    }
}

fn is_release_for_this_platform() -> bool {
    let is = |name, value| env::var(name).is_ok_and(|found| found == value);
    is("PROFILE", "release")
        && is("CARGO_CFG_TARGET_ARCH", "x86_64")
        && is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
}

/// Whether a program can be linked so, as cargo will link the real one, and then starts.
fn links_and_runs(link_arguments: &[&str]) -> bool {
    let source = folder("OUT_DIR").join("probe.rs");
    let program = folder("OUT_DIR").join("probe");
    if fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let target = env::var_os("TARGET").unwrap_or_default();
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.arg(&source).arg("-o").arg(&program).arg("--target").arg(&target);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut argument = OsString::from("-Clinker=");
        argument.push(linker);
        rustc.arg(argument);
    }
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    rustc.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    rustc.args(link_arguments.iter().map(|argument| format!("-Clink-arg={argument}")));
    let succeeds = |command: &mut Command| {
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    succeeds(&mut rustc) && (env::var_os("HOST") != Some(target) || succeeds(&mut Command::new(&program)))
}

/// A folder that cargo names.
fn folder(variable: &str) -> PathBuf {
    env::var_os(variable).map(PathBuf::from).unwrap_or_else(|| Path::new(".").to_owned())
}
