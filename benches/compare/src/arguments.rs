//! The command line.

const USAGE: &str = "usage: innkeeper-compare [--rounds N] [--only PROGRAM] [--peers NAME,NAME] [--tier TIER]
INN names the inn to measure (default: target/release/inn); peers are wasmi, wasm3, wasmtime, node;
TIER is auto (default), interpreter or compiled";

pub(crate) struct Arguments {
    /// How often each program runs under each host.
    pub(crate) rounds: usize,
    /// The one program to run.
    pub(crate) only: Option<String>,
    /// The hosts to compare with; all that are installed where none is named.
    pub(crate) peers: Option<Vec<String>>,
    /// What executes the guest in inn.
    pub(crate) tier: &'static str,
}

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Arguments, String> {
        let mut arguments = Arguments { rounds: 5, only: None, peers: None, tier: "auto" };
        while let Some(flag) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{flag} wants a value\n{USAGE}"));
            match flag.as_str() {
                "--rounds" => {
                    let rounds = value()?.parse().ok().filter(|rounds| *rounds > 0);
                    arguments.rounds = rounds.ok_or("--rounds wants a number from 1")?;
                }
                "--only" => arguments.only = Some(value()?),
                "--peers" => arguments.peers = Some(value()?.split(',').map(str::to_owned).collect()),
                "--tier" => {
                    let name = value()?;
                    let known = ["auto", "interpreter", "compiled"].into_iter().find(|known| *known == name);
                    arguments.tier = known.ok_or_else(|| format!("there is no tier `{name}`\n{USAGE}"))?;
                }
                _ => return Err(format!("unknown flag {flag}\n{USAGE}")),
            }
        }
        Ok(arguments)
    }
}
