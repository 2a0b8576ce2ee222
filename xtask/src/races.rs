//! Runs the sandbox's races at length, in a release build: guests' calls while another thread changes the tree under them.
//! The cases are in `crates/wasi/tests/races.rs`.

use std::path::Path;
use std::process::Command;

/// Tries for each case and resolver where nobody says how many.
const TRIES: &str = "1000000";

pub(crate) fn run(root: &Path, mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let tries = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => TRIES.to_owned(),
        (Some("--tries"), Some(tries)) if tries.parse::<u64>().is_ok() => tries,
        _ => return Err("usage: cargo xtask races [--tries COUNT]".to_owned()),
    };
    // One case at a time: each has an attacker of its own, and more threads than processors attack less.
    let cargo = ["test", "--release", "--locked", "-p", "innkeeper-wasi", "--test", "races", "--"];
    let status = Command::new("cargo")
        .args(cargo)
        .args(["--nocapture", "--test-threads=1"])
        .env("INNKEEPER_RACE_TRIES", tries)
        .current_dir(root)
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the races ended with {status}")),
        Err(error) => Err(format!("cannot run cargo: {error}")),
    }
}
