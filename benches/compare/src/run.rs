//! One run of a command, in the care of a process of its own: what the system counts for waited-for children is then that run's alone,
//! the most memory too.

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// Makes a process a keeper of one run.
pub(crate) const FLAG: &str = "--keep-one-run";
/// Begins the line that a keeper ends its standard error with.
const TOLD: &str = "innkeeper-compare measured ";

/// What one run took.
pub(crate) struct Run {
    pub(crate) output: Vec<u8>,
    /// User and system time of the whole process.
    pub(crate) cpu_s: f64,
    /// The most memory that was resident, in kilobytes.
    pub(crate) peak_kb: f64,
}

/// Runs a command in a folder, with `cache` as the place for what programs keep, where that is given.
pub(crate) fn run(
    command: &Path,
    arguments: &[String],
    folder: &Path,
    cache: Option<&Path>,
) -> Result<Run, String> {
    let failed = |error: std::io::Error| format!("cannot run {}: {error}", command.display());
    let mut keeper = Command::new(std::env::current_exe().map_err(failed)?);
    keeper.arg(FLAG).arg(command).args(arguments).current_dir(folder).stdin(Stdio::null());
    if let Some(cache) = cache {
        keeper.env("XDG_CACHE_HOME", cache);
    }
    let output = keeper.output().map_err(failed)?;
    let told = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(told.lines().next().unwrap_or_default().to_owned());
    }
    let numbers: Option<Vec<f64>> = told
        .lines()
        .last()
        .and_then(|line| line.strip_prefix(TOLD))
        .map(|numbers| numbers.split(' ').filter_map(|number| number.parse().ok()).collect());
    match numbers.as_deref() {
        Some(&[cpu_s, peak_kb]) => Ok(Run { output: output.stdout, cpu_s, peak_kb }),
        _ => Err(format!("{} was not measured", command.display())),
    }
}

/// A keeper's whole life.
pub(crate) fn keep(mut words: impl Iterator<Item = String>) -> ExitCode {
    let Some(command) = words.next() else { return ExitCode::FAILURE };
    match Command::new(&command).args(words).status() {
        Ok(status) if status.success() => {}
        Ok(status) => {
            eprintln!("{command} ended with {status}");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("cannot run {command}: {error}");
            return ExitCode::FAILURE;
        }
    }
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else { return ExitCode::FAILURE };
    let cpu_s = (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6;
    eprintln!("\n{TOLD}{cpu_s} {}", usage.max_rss());
    ExitCode::SUCCESS
}
