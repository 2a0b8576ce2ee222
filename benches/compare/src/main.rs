//! Runs the bench programs under `inn` and under whatever other hosts are installed, and prints how their times compare.
//!
//! Hosts take turns (A B C A B C), so that whatever else the machine does hits all of them alike; what counts are the ratios
//! within a round, and of those the median. Rounds differ in memory layout (see [`Host::run`]). A host whose output differs from `inn`'s is reported and not timed.

#![forbid(unsafe_code)]

mod arguments;
mod host;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arguments::Arguments;
use host::{Host, Run};
use table::Row;

fn main() -> ExitCode {
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
    for program in programs(arguments.only.as_deref())? {
        let row = measure(&inn, &peers, &program, arguments.rounds)?;
        println!("{}", row.line());
        rows.push(row);
    }
    println!("{}", table::means(&rows, peers.len()));
    Ok(())
}

/// All rounds of one program.
fn measure(inn: &Host, peers: &[Host], program: &Path, rounds: usize) -> Result<Row, String> {
    let name = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut times_s = Vec::new();
    let mut ratios: Vec<Vec<f64>> = vec![Vec::new(); peers.len()];
    for round in 0..rounds {
        let ours = inn.run(program, round)?;
        times_s.push(ours.cpu_s);
        for (peer, ratios) in peers.iter().zip(&mut ratios) {
            match peer.run(program, round) {
                Ok(theirs) if theirs.output == ours.output => {
                    ratios.push(ours.cpu_s / theirs.cpu_s.max(1e-6))
                }
                Ok(theirs) => eprintln!("{name}: {} differs: {}", peer.name, difference(&ours, &theirs)),
                Err(message) => eprintln!("{name}: {message}"),
            }
        }
    }
    let ratios = ratios.into_iter().map(table::median).collect();
    Ok(Row { name, time_s: table::median(times_s).unwrap_or_default(), ratios })
}

fn difference(ours: &Run, theirs: &Run) -> String {
    let text = |run: &Run| String::from_utf8_lossy(&run.output).trim().to_owned();
    format!("`{}` instead of `{}`", text(theirs), text(ours))
}

/// The built programs, in the order of their names.
fn programs(only: Option<&str>) -> Result<Vec<PathBuf>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("programs");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut programs: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .filter(|path| only.is_none_or(|only| path.file_stem().is_some_and(|stem| stem == only)))
        .collect();
    programs.sort();
    match only {
        Some(only) if programs.is_empty() => Err(format!("there is no program `{only}` in benches/programs")),
        _ => Ok(programs),
    }
}
