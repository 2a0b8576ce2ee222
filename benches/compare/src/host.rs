//! The hosts that run programs.

use std::path::{Path, PathBuf};

use crate::programs::Program;
use crate::run::{self, Run};

/// What `node` needs to be told to run a WASI program.
const NODE_SCRIPT: &str = "const { WASI } = require('wasi');
const wasi = new WASI({ version: 'preview1', args: process.argv.slice(1) });
const module = new WebAssembly.Module(require('fs').readFileSync(process.argv[1]));
wasi.start(new WebAssembly.Instance(module, wasi.getImportObject()));";

/// Names, the arguments that stand before the program's file, and whether directories can be granted there as `--dir HOST::GUEST`.
const PEERS: &[(&str, &[&str], bool)] = &[
    ("wasmi", &["run"], false),
    ("wasm3", &[], false),
    ("wasmtime", &["run"], true),
    ("node", &["--no-warnings", "-e", NODE_SCRIPT], false),
];

pub(crate) struct Host {
    pub(crate) name: &'static str,
    command: PathBuf,
    arguments: Vec<&'static str>,
    grants_directories: bool,
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
        Ok(Host { name: "inn", command, arguments: vec!["run", "--tier", tier], grants_directories: true })
    }

    /// Runs a program. The length of its name depends on `round`: it moves what hosts allocate, and a host whose frames happen to
    /// straddle cache lines can be three times as slow. Over several rounds no host has only bad or only good luck.
    pub(crate) fn run(&self, program: &Program, round: usize, cache: Option<&Path>) -> Result<Run, String> {
        let folder = program.path.parent().unwrap_or(Path::new("."));
        let name = Path::new(&"./".repeat(round * 5 % 16)).join(program.path.file_name().unwrap_or_default());
        let mut arguments: Vec<String> = self.arguments.iter().map(|word| (*word).to_owned()).collect();
        if !self.grants_directories && !program.directories.is_empty() {
            return Err(format!("{} is not told how to grant directories", self.name));
        }
        for directory in &program.directories {
            arguments.extend(["--dir".to_owned(), directory.clone()]);
        }
        arguments.push(name.to_string_lossy().into_owned());
        arguments.extend_from_slice(&program.arguments);
        run::run(&self.command, &arguments, folder, cache)
            .map_err(|reason| format!("{} {}: {reason}", self.name, program.path.display()))
    }
}

/// The peers that were asked for; where nothing was, those that are installed.
pub(crate) fn peers(wanted: Option<&[String]>) -> Result<Vec<Host>, String> {
    for name in wanted.unwrap_or_default() {
        if !PEERS.iter().any(|(known, _, _)| known == name) {
            return Err(format!("there is no peer `{name}`; known are wasmi, wasm3, wasmtime and node"));
        }
        if find(name).is_none() {
            return Err(format!("{name} is not on PATH"));
        }
    }
    let chosen =
        PEERS.iter().filter(|(name, _, _)| wanted.is_none_or(|wanted| wanted.iter().any(|w| w == name)));
    let host = |(name, arguments, grants_directories): &(&'static str, &'static [&'static str], bool)| {
        Some(Host {
            name,
            command: find(name)?,
            arguments: arguments.to_vec(),
            grants_directories: *grants_directories,
        })
    };
    Ok(chosen.filter_map(host).collect())
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
