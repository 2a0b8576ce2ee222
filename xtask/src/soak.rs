//! Runs the soak at length: stores that are used in every way and dropped, and deadlines that are kept and lifted at random. The cases are in `crates/innkeeper/tests/soak/`.

use std::path::Path;
use std::process::Command;

const USAGE: &str = "usage: cargo xtask soak [--cycles COUNT] [--deadlines COUNT]";

pub(crate) fn run(root: &Path, mut arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let (mut cycles, mut deadlines) = (1_000_000_u64, 100_000_u64);
    while let Some(argument) = arguments.next() {
        let count = arguments.next().and_then(|count| count.replace('_', "").parse().ok());
        match (argument.as_str(), count) {
            ("--cycles", Some(count)) => cycles = count,
            ("--deadlines", Some(count)) => deadlines = count,
            _ => return Err(USAGE.to_owned()),
        }
    }
    // A development build: it looks whether what must be true is.
    let cargo = ["test", "--locked", "-p", "innkeeper", "--features", "async", "--test", "soak", "--"];
    crate::done(
        Command::new("cargo")
            .args(cargo)
            .args(["--nocapture", "--test-threads=1"])
            .env("INNKEEPER_SOAK_CYCLES", cycles.to_string())
            .env("INNKEEPER_SOAK_DEADLINES", deadlines.to_string())
            .current_dir(root),
    )
}
