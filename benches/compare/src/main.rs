//! Runs the bench programs under `inn` and under whatever other hosts are installed, and prints how their times compare.
//!
//! Hosts take turns (A B C A B C), so that whatever else the machine does hits all of them alike; what counts are the ratios
//! within a round, of time and of the most memory, and of those the median. Rounds differ in memory layout (see [`Host::run`]). A host whose output differs from `inn`'s is reported and not timed.

#![forbid(unsafe_code)]

mod arguments;
mod host;
mod programs;
mod run;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use arguments::{Arguments, Caches};
use host::Host;
use programs::Program;
use run::Run;
use table::Row;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(run::FLAG) {
        return run::keep(std::env::args().skip(2));
    }
    match Arguments::parse(std::env::args().skip(1)).and_then(|arguments| compare(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("innkeeper-compare: {message}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<(), String> {
    let inn = Host::inn(arguments.tier)?;
    let peers = host::peers(arguments.peers.as_deref())?;
    let names: Vec<&str> = peers.iter().map(|peer| peer.name).collect();
    println!("{}", table::heading(&names));
    let mut rows = Vec::new();
    let caches = CacheFolder { which: arguments.caches, made: std::cell::Cell::new(0) };
    for program in programs::programs(arguments)? {
        let row = measure(&inn, &peers, &program, arguments.rounds, &caches)?;
        println!("{}", row.line());
        rows.push(row);
    }
    println!("{}", table::means(&rows, peers.len()));
    Ok(())
}

/// All rounds of one program.
fn measure(
    inn: &Host,
    peers: &[Host],
    program: &Program,
    rounds: usize,
    caches: &CacheFolder,
) -> Result<Row, String> {
    let name = program.name();
    if caches.which == Caches::Filled {
        for host in std::iter::once(inn).chain(peers) {
            for _ in 0..RUNS_THAT_FILL {
                // One that cannot run it says so below.
                let _ = host.run(program, 0, caches.path()?.as_deref());
            }
        }
    }
    let (mut times_s, mut peaks_kb) = (Vec::new(), Vec::new());
    let mut ratios: Vec<Vec<(f64, f64)>> = vec![Vec::new(); peers.len()];
    for round in 0..rounds {
        let ours = inn.run(program, round, caches.path()?.as_deref())?;
        times_s.push(ours.cpu_s);
        peaks_kb.push(ours.peak_kb);
        for (peer, ratios) in peers.iter().zip(&mut ratios) {
            match peer.run(program, round, caches.path()?.as_deref()) {
                Ok(theirs) if theirs.output == ours.output => {
                    ratios.push((ours.cpu_s / theirs.cpu_s.max(1e-6), ours.peak_kb / theirs.peak_kb.max(1.0)))
                }
                Ok(theirs) => eprintln!("{name}: {} differs: {}", peer.name, difference(&ours, &theirs)),
                Err(message) => eprintln!("{name}: {message}"),
            }
        }
    }
    let median_of =
        |ratios: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| table::median(ratios.iter().map(of).collect());
    Ok(Row {
        name,
        time_s: table::median(times_s).unwrap_or_default(),
        peak_mb: table::median(peaks_kb).unwrap_or_default() / 1024.0,
        times: ratios.iter().map(|ratios| median_of(ratios, |(time, _)| *time)).collect(),
        peaks: ratios.iter().map(|ratios| median_of(ratios, |(_, peak)| *peak)).collect(),
    })
}

/// Runs before those that are measured with filled caches.
const RUNS_THAT_FILL: usize = 2;

/// The folder for caches of all hosts, in the system's folder for temporary files.
struct CacheFolder {
    which: Caches,
    /// How many there were already: an empty one is new.
    made: std::cell::Cell<u32>,
}

impl CacheFolder {
    /// Where the next run's cache is; none where hosts are left to their own.
    fn path(&self) -> Result<Option<PathBuf>, String> {
        if self.which == Caches::AsTheyAre {
            return Ok(None);
        }
        if self.which == Caches::Empty {
            self.remove();
            self.made.set(self.made.get() + 1);
        }
        let path = self.folder();
        std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Some(path))
    }

    fn folder(&self) -> PathBuf {
        std::env::temp_dir().join(format!("innkeeper-compare-{}-{}", std::process::id(), self.made.get()))
    }

    fn remove(&self) {
        // What is left is the system's to tidy.
        let _ = std::fs::remove_dir_all(self.folder());
    }
}

impl Drop for CacheFolder {
    fn drop(&mut self) {
        self.remove();
    }
}

fn difference(ours: &Run, theirs: &Run) -> String {
    let text = |run: &Run| String::from_utf8_lossy(&run.output).trim().to_owned();
    format!("`{}` instead of `{}`", text(theirs), text(ours))
}
