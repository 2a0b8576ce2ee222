//! The command line.

use crate::programs::Program;

const USAGE: &str = "usage: innkeeper-compare [options]

  --rounds N            how often each program runs under each host (default 5)
  --only PROGRAM        one program of benches/programs
  --long                ten to fifty times the work, for which code alone counts
  --also '[--dir HOST::GUEST]... FILE ARG...'
                        another program, with what it is granted, relative to its folder, and its arguments; may be repeated
  --peers NAME,NAME     wasmi, wasm3, wasmtime, node (default: those that are on PATH)
  --tier TIER           auto (default), interpreter or compiled
  --caches WHICH        of compiled code: as-they-are (default), empty (before each run) or filled (by a run before)

INN names the inn to measure (default: target/release/inn)";

pub(crate) struct Arguments {
    /// How often each program runs under each host.
    pub(crate) rounds: usize,
    /// The one program to run.
    pub(crate) only: Option<String>,
    /// Whether programs get more work than usual.
    pub(crate) long: bool,
    /// Programs from elsewhere.
    pub(crate) also: Vec<Program>,
    /// The hosts to compare with; all that are installed where none is named.
    pub(crate) peers: Option<Vec<String>>,
    /// What executes the guest in inn.
    pub(crate) tier: &'static str,
    pub(crate) caches: Caches,
}

/// What hosts find of code that they have compiled before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caches {
    /// Whatever is there, in the places where hosts look.
    AsTheyAre,
    /// Nothing: as on the first run.
    Empty,
    /// What runs before have left.
    Filled,
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments {
            rounds: 5,
            only: None,
            long: false,
            also: Vec::new(),
            peers: None,
            tier: "auto",
            caches: Caches::AsTheyAre,
        };
        while let Some(flag) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{flag} wants a value\n{USAGE}"));
            match flag.as_str() {
                "--rounds" => {
                    let rounds = value()?.parse().ok().filter(|rounds| *rounds > 0);
                    arguments.rounds = rounds.ok_or("--rounds wants a number from 1")?;
                }
                "--only" => arguments.only = Some(value()?),
                "--long" => arguments.long = true,
                "--also" => arguments.also.push(also(&value()?)?),
                "--peers" => arguments.peers = Some(value()?.split(',').map(str::to_owned).collect()),
                "--tier" => {
                    let name = value()?;
                    let known = ["auto", "interpreter", "compiled"].into_iter().find(|known| *known == name);
                    arguments.tier = known.ok_or_else(|| format!("there is no tier `{name}`\n{USAGE}"))?;
                }
                "--caches" => {
                    arguments.caches = match value()?.as_str() {
                        "as-they-are" => Caches::AsTheyAre,
                        "empty" => Caches::Empty,
                        "filled" => Caches::Filled,
                        other => return Err(format!("caches are not `{other}`\n{USAGE}")),
                    }
                }
                _ => return Err(format!("unknown flag {flag}\n{USAGE}")),
            }
        }
        Ok(arguments)
    }
}

fn also(text: &str) -> Result<Program, String> {
    let mut words = text.split_whitespace().map(str::to_owned);
    let (mut directories, mut file) = (Vec::new(), words.next());
    while file.as_deref() == Some("--dir") {
        directories.push(words.next().ok_or("--dir wants a directory")?);
        file = words.next();
    }
    let file = file.ok_or("--also wants a file")?;
    let path = std::path::absolute(&file).map_err(|error| format!("{file}: {error}"))?;
    Ok(Program { path, arguments: words.collect(), directories })
}
