//! Runs seed after seed until the time is over: `cargo xtask differential`.
//!
//! This is not a fuzzer: seeds are counted up, and what a seed leads to never changes for a version of the generator. Seeds are run in
//! processes of their own, some hundred each ([`worker`]), so that an engine that brings down its process is a finding and not the end.

#![forbid(unsafe_code)]

mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use innkeeper_differential::nest::{Nest, Tried};
use innkeeper_differential::pair::{Pair, Told};
use innkeeper_differential::tasks::{Held, Script, Tasks};
use innkeeper_differential::{Dialect, Module, Report, check};

const USAGE: &str = "usage: cargo xtask differential [options]

  --seconds N    how long to run (default 60)
  --seed S       the first seed (default 0); even seeds are compared with another engine, odd ones with Innkeeper otherwise configured
  --modules N    stop after N seeds
  --jobs N       processes at a time (default 1)
  --module FILE  check one module only, on all oracles
  --alone        leave the other engine out
  --mutants      mutants of the project's programs instead of generated modules
  --extremes     functions at the limits of the implementation instead
  --components N pairs of components that hand values to each other instead: so many, from the first seed on
  --nests N      components that are made up, or changed at random, instead: so many, from the first seed on
  --tasks N      scripts of tasks, streams and cancellations instead, beside a model: so many, from the first seed on
  --soak-tasks N N tasks in one store of each tier instead, cancelled and woken at random: what is held must stay as it is";

/// After so many differences it stops.
const ENOUGH_DIFFERENCES: usize = 20;
/// Seeds that a process runs.
const SEEDS_OF_A_WORKER: u64 = 300;

struct Options {
    time: Duration,
    seed: u64,
    modules: u64,
    jobs: u64,
    module: Option<PathBuf>,
    dialect: Option<Dialect>,
    /// So many pairs of components instead of modules.
    components: Option<u64>,
    /// So many components that nobody knows instead.
    nests: Option<u64>,
    /// So many scripts of tasks instead.
    tasks: Option<u64>,
    /// So many tasks in one store instead.
    soak_tasks: Option<u64>,
    /// Run the seeds in this process and tell the parent.
    worker: bool,
}

impl Options {
    fn dialect(&self, seed: u64) -> Dialect {
        self.dialect.unwrap_or_else(|| Dialect::of(seed))
    }
}

fn main() -> ExitCode {
    let outcome = options(std::env::args().skip(1)).and_then(|options| match &options.module {
        Some(path) => one(path),
        None if options.components.is_some() => pairs(&options),
        None if options.nests.is_some() => nests(&options),
        None if options.tasks.is_some() => scripts(&options),
        None if options.soak_tasks.is_some() => soak(&options),
        None if options.worker => worker::work(&options),
        None => run(&options),
    });
    match outcome {
        Ok(report) => {
            println!("{}", summary(&report));
            if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        time: Duration::from_secs(60),
        seed: 0,
        modules: u64::MAX,
        jobs: 1,
        module: None,
        dialect: None,
        components: None,
        nests: None,
        tasks: None,
        soak_tasks: None,
        worker: false,
    };
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{name} takes a value\n\n{USAGE}"));
        let number = |text: String| text.parse().map_err(|_| format!("`{text}` is not a number\n\n{USAGE}"));
        match name.as_str() {
            "--seconds" => options.time = Duration::from_secs(number(value()?)?),
            "--seed" => options.seed = number(value()?)?,
            "--modules" => options.modules = number(value()?)?,
            "--jobs" => options.jobs = number(value()?)?.max(1),
            "--module" => options.module = Some(value()?.into()),
            "--alone" => options.dialect = Some(Dialect::Alone),
            "--mutants" => options.dialect = Some(Dialect::Mutant),
            "--components" => options.components = Some(number(value()?)?),
            "--nests" => options.nests = Some(number(value()?)?),
            "--tasks" => options.tasks = Some(number(value()?)?),
            "--soak-tasks" => options.soak_tasks = Some(number(value()?)?),
            "--extremes" => options.dialect = Some(Dialect::Extreme),
            worker::FLAG => options.worker = true,
            _ => return Err(format!("`{name}` is not an option\n\n{USAGE}")),
        }
    }
    Ok(options)
}

/// One module from a file, in all dialects as far as the engines take it.
fn one(path: &Path) -> Result<Report, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let wasm =
        innkeeper::to_binary(&bytes).map_err(|error| format!("{}: {error}", path.display()))?.into_owned();
    let module = Module::read(wasm).ok_or_else(|| format!("{} is not a module", path.display()))?;
    let mut report = check(&module, Dialect::Shared);
    for dialect in [Dialect::Alone, Dialect::Mutant] {
        report.add(Report { modules: 0, ..check(&module, dialect) });
    }
    for difference in &report.differences {
        println!("{difference}");
    }
    Ok(report)
}

/// Pairs of components, in this process, until the time is over.
fn pairs(options: &Options) -> Result<Report, String> {
    let mut told = Told::default();
    let count = options.components.unwrap_or_default();
    let report =
        each_seed(options, count, |seed| Pair::from_seed(seed).check().map(|of_pair| told.add(of_pair)));
    println!("{} calls, {} failed, {} of them differently", told.calls, told.failed, told.failed_differently);
    Ok(report)
}

/// Components that nobody knows, likewise.
fn nests(options: &Options) -> Result<Report, String> {
    let mut tried = Tried::default();
    let count = options.nests.unwrap_or_default();
    let report =
        each_seed(options, count, |seed| Nest::from_seed(seed).check().map(|of_nest| tried.add(of_nest)));
    println!("{tried:?}");
    Ok(report)
}

/// Scripts of tasks beside their model, likewise.
fn scripts(options: &Options) -> Result<Report, String> {
    let (tasks, mut steps, mut traps) = (Tasks::new(), 0, 0_u64);
    let report = each_seed(options, options.tasks.unwrap_or_default(), |seed| {
        let script = Script::from_seed(seed);
        steps += script.len();
        traps += u64::from(script.traps());
        tasks.run(&script)
    });
    println!("{steps} steps, {traps} of the scripts end in a trap");
    Ok(report)
}

/// Tasks by the million.
fn soak(options: &Options) -> Result<Report, String> {
    /// What a process may grow by meanwhile: the system and the allocator are not ours.
    const MOST_GROWN_BYTES: u64 = 4 << 20;
    let (mut report, mut second) = (Report::default(), [None; 2]);
    println!("tier | tasks | budget | resident");
    Tasks::new().soak(options.soak_tasks.unwrap_or_default(), options.seed, |tier, held| {
        println!("{tier} | {} | {} B | {} KiB", held.tasks, held.budget_bytes, held.resident_bytes >> 10);
        if held.tasks == 0 {
            return;
        }
        let first: Held = *second[tier].get_or_insert(held);
        let has_grown = held.budget_bytes > first.budget_bytes
            || held.resident_bytes > first.resident_bytes + MOST_GROWN_BYTES;
        if has_grown {
            report.differences.push(format!("{held:?}, where it was {first:?}"));
        }
    })?;
    Ok(report)
}

/// Checks seed after seed.
fn each_seed(options: &Options, count: u64, mut check: impl FnMut(u64) -> Result<(), String>) -> Report {
    let (start, mut report) = (Instant::now(), Report::default());
    for turn in 0..count {
        if start.elapsed() >= options.time || report.differences.len() >= ENOUGH_DIFFERENCES {
            break;
        }
        let seed = options.seed.wrapping_add(turn);
        report.modules += 1;
        if let Err(difference) = check(seed) {
            println!("seed {seed}: {difference}");
            report.differences.push(difference);
        }
    }
    report
}

fn run(options: &Options) -> Result<Report, String> {
    let (start, next, total) = (Instant::now(), AtomicU64::new(0), Mutex::new(Report::default()));
    let last_told = Mutex::new(start);
    let supervise = || -> Result<(), String> {
        loop {
            let turn = next.fetch_add(SEEDS_OF_A_WORKER, Ordering::Relaxed);
            if turn >= options.modules || start.elapsed() >= options.time {
                return Ok(());
            }
            let first = options.seed.wrapping_add(turn);
            let report =
                worker::supervise(first, SEEDS_OF_A_WORKER.min(options.modules - turn), options.dialect)?;
            let Ok(mut total) = total.lock() else { return Ok(()) };
            total.add(report);
            if total.differences.len() >= ENOUGH_DIFFERENCES {
                return Ok(());
            }
            if let Ok(mut last) = last_told.lock()
                && last.elapsed() >= Duration::from_secs(30)
            {
                *last = Instant::now();
                println!("{:4} s, seed {first}: {}", start.elapsed().as_secs(), summary(&total));
            }
        }
    };
    std::thread::scope(|scope| {
        let supervisors: Vec<_> = (0..options.jobs).map(|_| scope.spawn(supervise)).collect();
        supervisors.into_iter().try_for_each(|supervisor| match supervisor.join() {
            Ok(outcome) => outcome,
            Err(_) => Err("a supervisor panicked".to_owned()),
        })
    })?;
    total.into_inner().map_err(|_| "a supervisor panicked".to_owned())
}

/// Tells of a difference and keeps the module.
fn tell(seed: u64, module: &Module, difference: &str) -> Result<(), String> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let folder = target.join("differential");
    let path = folder.join(format!("seed-{seed}.wasm"));
    std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&path, &module.wasm))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!("seed {seed}: {difference}");
    println!("  to see it again: cargo xtask differential --seed {seed} --modules 1");
    println!("               or: cargo xtask differential --module {}", path.display());
    Ok(())
}

fn summary(report: &Report) -> String {
    format!(
        "{} modules, {} calls compared, {} inconclusive, {} refused, {} differences of the others, {} by their known faults, {} misplaced traps, {} differences",
        report.modules,
        report.calls,
        report.inconclusive,
        report.refused,
        report.others,
        report.known,
        report.misplaced.len(),
        report.differences.len()
    )
}
