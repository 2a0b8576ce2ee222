//! The hosts that run programs, and one run of one of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// What `node` needs to be told to run a WASI program.
const NODE_SCRIPT: &str = "const { WASI } = require('wasi');
const wasi = new WASI({ version: 'preview1', args: [process.argv[1]] });
const module = new WebAssembly.Module(require('fs').readFileSync(process.argv[1]));
wasi.start(new WebAssembly.Instance(module, wasi.getImportObject()));";

/// Names, and the arguments that stand before the program's file.
const PEERS: &[(&str, &[&str])] = &[
    ("wasmi", &["run"]),
    ("wasm3", &[]),
    ("wasmtime", &["run"]),
    ("node", &["--no-warnings", "-e", NODE_SCRIPT]),
];

pub(crate) struct Host {
    pub(crate) name: &'static str,
    command: PathBuf,
    arguments: Vec<&'static str>,
}

pub(crate) struct Run {
    pub(crate) output: Vec<u8>,
    /// User and system time of the whole process.
    pub(crate) cpu_s: f64,
}

impl Host {
    pub(crate) fn inn(tier: &'static str) -> Result<Host, String> {
        let named = std::env::var_os("INN").unwrap_or_else(|| "target/release/inn".into());
        // Hosts run in the programs' folder.
        let command =
            std::path::absolute(&named).ok().filter(|command| command.is_file()).ok_or_else(|| {
                format!(
                    "there is no {}: build it with cargo build --release, or name one in INN",
                    named.display()
                )
            })?;
        Ok(Host { name: "inn", command, arguments: vec!["run", "--tier", tier] })
    }

    /// Runs `program`. The length of its name depends on `round`: it moves what hosts allocate, and a host whose frames happen to
    /// straddle cache lines can be three times as slow. Over several rounds no host has only bad or only good luck.
    pub(crate) fn run(&self, program: &Path, round: usize) -> Result<Run, String> {
        let complain =
            |reason: &dyn std::fmt::Display| format!("{} {}: {reason}", self.name, program.display());
        let folder = program.parent().unwrap_or(Path::new("."));
        let name = Path::new(&"./".repeat(round * 5 % 16)).join(program.file_name().unwrap_or_default());
        let before = children_cpu_s().map_err(|error| complain(&error))?;
        let output = Command::new(&self.command)
            .args(&self.arguments)
            .arg(name)
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| complain(&format!("cannot run {}: {error}", self.command.display())))?;
        let after = children_cpu_s().map_err(|error| complain(&error))?;
        if !output.status.success() {
            return Err(complain(
                &String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default(),
            ));
        }
        Ok(Run { output: output.stdout, cpu_s: after - before })
    }
}

/// The peers that were asked for; where nothing was, those that are installed.
pub(crate) fn peers(wanted: Option<&[String]>) -> Result<Vec<Host>, String> {
    for name in wanted.unwrap_or_default() {
        if !PEERS.iter().any(|(known, _)| known == name) {
            return Err(format!("there is no peer `{name}`; known are wasmi, wasm3, wasmtime and node"));
        }
        if find(name).is_none() {
            return Err(format!("{name} is not on PATH"));
        }
    }
    let chosen =
        PEERS.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted.iter().any(|w| w == name)));
    let host = |(name, arguments): &(&'static str, &'static [&'static str])| {
        Some(Host { name, command: find(name)?, arguments: arguments.to_vec() })
    };
    Ok(chosen.filter_map(host).collect())
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The time used by all processes that this one has started and waited for.
fn children_cpu_s() -> Result<f64, nix::Error> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1e6)
}
