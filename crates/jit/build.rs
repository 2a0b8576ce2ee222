//! Gives this build of the compiler a name: code that another build has made knows other offsets into the engine's records, and is not for this one.
//!
//! The name is a digest of everything that machine code depends on and that is known when the compiler is built: its own sources and the
//! engine's, the versions of what they use (Cargo.lock), the Rust compiler, and how it was called.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    // For measuring what interruption costs, see docs/benchmarks.md: built with INNKEEPER_UNPOLLED set, loops cannot be interrupted.
    println!("cargo::rustc-check-cfg=cfg(unpolled)");
    if std::env::var_os("INNKEEPER_UNPOLLED").is_some() {
        println!("cargo::rustc-cfg=unpolled");
    }
    let mut hasher = Hasher(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    for folder in ["src", "../engine/src"] {
        println!("cargo::rerun-if-changed={folder}");
        files(Path::new(folder), &mut hasher);
    }
    if let Some(lock) = lock_file() {
        println!("cargo::rerun-if-changed={}", lock.display());
        println!("cargo::rustc-env=INNKEEPER_BUILD_LOCK={}", lock.display());
        hasher.add(&fs::read(&lock).unwrap_or_default());
    }
    for name in [
        "CARGO_PKG_VERSION",
        "TARGET",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "CARGO_ENCODED_RUSTFLAGS",
        "INNKEEPER_UNPOLLED",
    ] {
        println!("cargo::rerun-if-env-changed={name}");
        hasher.add(name.as_bytes());
        hasher.add(std::env::var(name).unwrap_or_default().as_bytes());
    }
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    if let Ok(output) = Command::new(rustc).arg("-vV").output() {
        hasher.add(&output.stdout);
    }
    println!("cargo::rustc-env=INNKEEPER_BUILD={:032x}", hasher.0);
}

/// The versions that are built with: of this workspace or, where this is a published version, of the one whose target directory this is built in.
fn lock_file() -> Option<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map(|here| Path::new(&here).join("../.."));
    let target = std::env::var_os("OUT_DIR").map(PathBuf::from);
    let above = target.iter().flat_map(|target| target.ancestors()).map(Path::to_owned);
    here.into_iter().chain(above).map(|folder| folder.join("Cargo.lock")).find(|lock| lock.is_file())
}

fn files(folder: &Path, hasher: &mut Hasher) {
    // Where the engine's sources are not beside this crate, they are those of a published version, which never change.
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, hasher);
        } else {
            hasher.add(path.to_string_lossy().as_bytes());
            hasher.add(&fs::read(&path).unwrap_or_default());
        }
    }
}

/// FNV-1a with 128 bits; nobody attacks a build.
struct Hasher(u128);

impl Hasher {
    fn add(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }
}
