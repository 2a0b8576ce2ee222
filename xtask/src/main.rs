//! Development tasks: `cargo xtask ci` runs everything that a change must pass, `cargo xtask tidy` only looks at the tree,
//! `cargo xtask differential` compares Innkeeper with another engine, `cargo xtask races` attacks the sandbox.

mod ci;
mod differential;
mod races;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask ci | tidy | differential | races [options]

  ci            formatting, lints, tidiness, all tests, the README's commands, the guests
  tidy          house rules only: layers, unsafe rooms, file headers, links
  differential  generated modules on Innkeeper and another engine; with --help, its options
  races         guests' calls while another thread changes the tree under them; --tries COUNT";

fn main() -> ExitCode {
    let outcome = match std::env::args().nth(1).as_deref() {
        Some("ci") => ci::run(&root()),
        Some("differential") => differential::run(&root(), std::env::args().skip(2)),
        Some("races") => races::run(&root(), std::env::args().skip(2)),
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

/// The repository's root: the folder above this crate.
fn root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.parent().unwrap_or(crate_dir).to_owned()
}
