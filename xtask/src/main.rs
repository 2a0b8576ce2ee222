//! Development tasks: `cargo xtask ci` runs everything that a change must pass, `cargo xtask tidy` only looks at the tree,
//! `cargo xtask differential` compares Innkeeper with another engine, `cargo xtask races` attacks the sandbox, `cargo xtask soak` uses stores by the million, `cargo xtask models`, `miri` and `sanitize` look closer, `cargo xtask startup`
//! finds out which code a start needs, `cargo xtask c-library` installs and checks the library for C, `cargo xtask dist` builds the binary that is handed out.

mod c_library;
mod checkers;
mod ci;
mod differential;
mod dist;
mod oracle;
mod races;
mod soak;
mod startup;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask ci | tidy | differential | oracle | races | soak | models | miri | sanitize | startup | c-library | dist [options]

  ci            formatting, lints, tidiness, all tests, the README's commands, the guests
  tidy          house rules only: layers, unsafe rooms, file headers, links
  differential  generated modules on Innkeeper and another engine; with --help, its options
  oracle        calls of components, compared with what the component model's own definitions make of random values
  races         guests' calls while another thread changes the tree under them; --tries COUNT
  soak          stores that are used in every way and dropped, and deadlines that are lifted; --cycles COUNT, --deadlines COUNT
  models        every order in which threads can act on what they share, in small models
  miri          tests of the interpreter's unsafe core and of views of guests' memory under Miri
  sanitize      tests under AddressSanitizer; takes arguments for `cargo test`
  startup       links what a start executes together, in crates/cli/startup.ld; with --check, whether a start takes more memory than it may
  c-library     the library for C: installed, or its programs under AddressSanitizer, or with those of the standard
  dist          the binary that is handed out: statically linked, and smallest in memory";

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("ci") => ci::run(&root()),
        Some("differential") => differential::run(&root(), std::env::args().skip(2)),
        Some("oracle") => oracle::run(&root(), std::env::args().skip(2)),
        Some("races") => races::run(&root(), std::env::args().skip(2)),
        Some("dist") => dist::run(&root(), std::env::args().skip(2)),
        Some("soak") => soak::run(&root(), std::env::args().skip(2)),
        Some("c-library") => c_library::run(&root(), std::env::args().skip(2)),
        Some("models") => checkers::models(&root()),
        Some("miri") => checkers::miri(&root()),
        Some("sanitize") => checkers::sanitize(&root(), std::env::args().skip(2)),
        Some("startup") => startup::run(&root(), std::env::args().skip(2)),
        Some("tidy") => tidy::run(&root()),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `command` to its end, which must be a good one.
fn done(command: &mut std::process::Command) -> Result<(), String> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{} ended with {status}", command.get_program().display())),
        Err(error) => Err(format!("cannot run {}: {error}", command.get_program().display())),
    }
}

/// Where cargo puts what it builds: this program is in a folder there, by its profile.
fn target_folder() -> Result<PathBuf, String> {
    let this = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let folder = this.ancestors().nth(2).ok_or("this program is in no folder of cargo's")?;
    Ok(folder.to_owned())
}

/// The repository's root: the folder above this crate.
fn root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_owned()
}
