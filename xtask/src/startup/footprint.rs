//! How much memory the smallest program takes, and how much it may.

use std::path::Path;

use super::guest::{House, SMALLEST};
use super::tracee;

/// The least of this many runs counts: where the system puts the file in memory moves the windows in which it maps code.
const RUNS: usize = 9;

/// Fails where `inn` takes more than `most_kib` KiB of memory for the smallest program.
pub(crate) fn check(root: &Path, inn: &Path, most_kib: u64) -> Result<(), String> {
    let house = House::new(root, inn)?;
    let mut least_kib = u64::MAX;
    for _ in 0..RUNS {
        least_kib = least_kib.min(tracee::peak_kib(&house, &SMALLEST)?);
    }
    println!("{}: {least_kib} KiB at most for hello-c, may be {most_kib}", inn.display());
    if least_kib <= most_kib {
        return Ok(());
    }
    Err("more memory than before for hello-c: if the code has moved, `cargo xtask startup` finds it; if the start does \
         more, it should not, or say so in docs/benchmarks.md and xtask/src/startup/mod.rs"
        .to_owned())
}
