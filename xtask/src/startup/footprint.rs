//! How much memory the smallest program takes, and how many files a component opens, and how much that may be.

use std::path::Path;

use super::guest::{FILES, House, SMALLEST};
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

/// Fails where a component of many modules opens more files than one module does: all that is kept of it is in one file.
pub(crate) fn check_opens(root: &Path, inn: &Path) -> Result<(), String> {
    let house = House::new(root, inn)?;
    let mut opens = [0; 2];
    for (count, [filling, run]) in opens.iter_mut().zip(&FILES) {
        let mut command = house.command(filling);
        let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
        if !status.success() {
            return Err(format!("{command:?} ended with {status}"));
        }
        *count = tracee::opens(&house, run)?;
    }
    let [of_module, of_component] = opens;
    println!("{}: {of_component} files opened for a component, {of_module} for a module", inn.display());
    if of_component <= of_module {
        return Ok(());
    }
    Err("a component of fourteen modules opens more files than a module: what is kept of it is to be in one file".to_owned())
}
