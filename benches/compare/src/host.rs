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
    arguments: &'static [&'static str],
}

pub(crate) struct Run {
    pub(crate) output: Vec<u8>,
    /// User and system time of the whole process.
    pub(crate) cpu_s: f64,
}

impl Host {
    pub(crate) fn inn() -> Host {
        let command = std::env::var_os("INN").unwrap_or_else(|| "target/release/inn".into());
        Host { name: "inn", command: command.into(), arguments: &["run"] }
    }

    pub(crate) fn run(&self, program: &Path) -> Result<Run, String> {
        let complain =
            |reason: &dyn std::fmt::Display| format!("{} {}: {reason}", self.name, program.display());
        let before = children_cpu_s().map_err(|error| complain(&error))?;
        let output = Command::new(&self.command)
            .args(self.arguments)
            .arg(program)
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
    Ok(chosen.filter_map(|(name, arguments)| Some(Host { name, command: find(name)?, arguments })).collect())
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
