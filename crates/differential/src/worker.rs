//! Seeds in a process of their own, and who watches over it.
//!
//! A worker names each seed before it runs it, and tells what it found in a line at the end; every other line is for people. A panic is a finding, on whatever
//! thread and whoever caught it: functions of which compilation panics stay interpreted otherwise, and nobody sees it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use innkeeper_differential::{Dialect, Module, Report, check};

use crate::{Options, tell};

/// Makes a process a worker.
pub(crate) const FLAG: &str = "--worker";

const SEED: &str = "seed of a worker ";
const REPORT: &str = "report of a worker ";

/// Panics since the last seed began.
static PANICS: AtomicU64 = AtomicU64::new(0);

fn count_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(info);
    }));
}

/// Runs the seeds of a worker.
pub(crate) fn work(options: &Options) -> Result<Report, String> {
    count_panics();
    let mut total = Report::default();
    for turn in 0..options.modules {
        let seed = options.seed.wrapping_add(turn);
        println!("{SEED}{seed}");
        let dialect = options.dialect(seed);
        let Some(module) = Module::from_seed(seed, dialect) else { continue };
        PANICS.store(0, Ordering::Relaxed);
        let mut report = check(&module, dialect);
        if PANICS.load(Ordering::Relaxed) > 0 && report.differences.is_empty() {
            report.differences.push("something panicked, and was caught; see above".to_owned());
        }
        for difference in report.differences.iter().chain(&report.misplaced) {
            tell(seed, &module, difference)?;
        }
        total.add(report);
    }
    let Report { modules, calls, inconclusive, refused, others, known, misplaced, differences } = &total;
    let (misplaced, differences) = (misplaced.len(), differences.len());
    println!("{REPORT}{modules} {calls} {inconclusive} {refused} {others} {known} {misplaced} {differences}");
    Ok(total)
}

/// Runs seeds in workers. One that ends before its seeds do is a finding, and another one goes on after the seed it died of.
pub(crate) fn supervise(first: u64, count: u64, dialect: Option<Dialect>) -> Result<Report, String> {
    let (mut total, mut next, end) = (Report::default(), first, first.wrapping_add(count));
    while next != end {
        let (report, last) = watch(next, end.wrapping_sub(next), dialect)?;
        if let Some(report) = report {
            total.add(report);
            return Ok(total);
        }
        let seed = last.unwrap_or(next);
        next = seed.wrapping_add(1);
        // Whose doing it was: without the other engine the seed must go well.
        match if dialect.is_some() { (None, None) } else { watch(seed, 1, Some(Dialect::Alone))? } {
            (Some(report), _) if report.differences.is_empty() => {
                println!("seed {seed}: the other engine brings the process down");
                total.others += 1;
            }
            _ => {
                let difference = format!("seed {seed} brings the process down");
                println!("{difference}");
                total.differences.push(difference);
            }
        }
    }
    Ok(total)
}

/// What a worker tells; none where it dies, and then the seed it died of.
fn watch(first: u64, count: u64, dialect: Option<Dialect>) -> Result<(Option<Report>, Option<u64>), String> {
    let failed = |error: std::io::Error| format!("a worker cannot be run: {error}");
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args([FLAG, "--seed", &first.to_string(), "--modules", &count.to_string()]);
    command.args(match dialect {
        Some(Dialect::Alone) => Some("--alone"),
        Some(Dialect::Mutant) => Some("--mutants"),
        Some(Dialect::Extreme) => Some("--extremes"),
        Some(Dialect::Shared) | None => None,
    });
    let mut worker = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let (mut report, mut seed) = (None, None);
    if let Some(stdout) = worker.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.map_err(failed)?;
            if let Some(number) = line.strip_prefix(SEED) {
                seed = number.parse().ok();
            } else if let Some(numbers) = line.strip_prefix(REPORT) {
                report = read(numbers);
            } else if report.is_none() {
                println!("{line}");
            }
        }
    }
    worker.wait().map_err(failed)?;
    Ok((report, seed))
}

/// A report without the words of differences and misplaced traps, which the worker has told already.
fn read(numbers: &str) -> Option<Report> {
    let numbers: Option<Vec<u64>> = numbers.split(' ').map(|number| number.parse().ok()).collect();
    let [modules, calls, inconclusive, refused, others, known, misplaced, differences] = numbers?[..] else {
        return None;
    };
    let told = |count| vec!["told above".to_owned(); count as usize];
    let (misplaced, differences) = (told(misplaced), told(differences));
    Some(Report { modules, calls, inconclusive, refused, others, known, misplaced, differences })
}
