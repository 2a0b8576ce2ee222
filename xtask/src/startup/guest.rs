//! Which guests are run to see what a start needs, and how.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A run of a guest.
pub(super) struct Run {
    /// The arguments of `inn`.
    pub(super) arguments: &'static [&'static str],
    /// How it must end.
    pub(super) exit_code: i32,
    /// Or it only prepares the next run.
    pub(super) is_traced: bool,
}

/// The smallest program, without the key to the directory that it writes to: it says so and fails.
pub(super) const SMALLEST: Run = traced(&["run", HELLO_C], 1);

/// What every start needs: without a cache, with the usual one when it is not there yet, and then; with a key.
pub(super) const HELLO: &[Run] = &[
    traced(&["run", "--cache", "off", HELLO_C], 1),
    SMALLEST,
    SMALLEST,
    traced(&["run", "--tmp", "/helloworld", HELLO_C], 0),
];

/// What usual programs need beside that: directories, and code from the cache.
pub(super) const PROGRAMS: &[Run] = &[
    traced(&["run", "--tmp", "/helloworld", "guests/hello-rust/hello-rust.wasm"], 0),
    traced(&["run", "--dir", "guests/inputs::/in::ro", "guests/ls/ls.wasm", "/in"], 0),
    filling(&["cache", "fill", WORDS]),
    traced(&["run", WORDS], 0),
];

/// What the compiler needs for functions of many kinds, in the middle of a run. It comes after what every start needs, and is together so that a first run
/// has half as much of the compiler in memory.
pub(super) const COMPILING: &[Run] = &[
    traced(&["run", "--cache", "off", WORDS], 0),
    traced(&["run", "--cache", "off", "benches/programs/json.wasm"], 0),
    traced(&["run", "--cache", "off", "benches/programs/nbody.wasm"], 0),
    traced(&["run", "--cache", "off", "--tier", "compiled", "benches/programs/lisp.wasm"], 0),
    traced(&["run", "--cache", "off", "--tier", "compiled", "benches/programs/sha256.wasm"], 0),
];

/// What a component needs beside that.
pub(super) const COMPONENTS: &[Run] = &[
    traced(&["run", "--cache", "off", COMPONENT], 0),
    filling(&["cache", "fill", COMPONENT]),
    traced(&["run", COMPONENT], 0),
];

/// A module, and a component of fourteen: each fills the cache, and then runs with what is there.
pub(super) const FILES: [[Run; 2]; 2] = [
    [
        filling(&["cache", "fill", "xtask/src/startup/module.wat"]),
        traced(&["run", "xtask/src/startup/module.wat"], 0),
    ],
    [filling(&["cache", "fill", COMPONENT]), traced(&["run", COMPONENT], 0)],
];

const HELLO_C: &str = "guests/hello-c/hello-c.wasm";
const WORDS: &str = "benches/programs/words.wasm";
const COMPONENT: &str = "xtask/src/startup/component.wat";

const fn traced(arguments: &'static [&'static str], exit_code: i32) -> Run {
    Run { arguments, exit_code, is_traced: true }
}

const fn filling(arguments: &'static [&'static str]) -> Run {
    Run { arguments, exit_code: 0, is_traced: false }
}

/// Where guests are run.
pub(super) struct House {
    pub(super) inn: PathBuf,
    /// The repository, whose guests they are.
    pub(super) root: PathBuf,
    /// The folder of their cache, so that the user's own is neither used nor changed.
    pub(super) cache: tempfile::TempDir,
}

impl House {
    pub(super) fn new(root: &Path, inn: &Path) -> Result<House, String> {
        let cache = tempfile::tempdir().map_err(|error| format!("no directory for a cache: {error}"))?;
        Ok(House { inn: inn.to_owned(), root: root.to_owned(), cache })
    }

    /// The run as a command of its own.
    pub(super) fn command(&self, run: &Run) -> Command {
        self.with_arguments(Command::new(&self.inn), run)
    }

    /// The run as a command that waits for its tracer before its first instruction.
    pub(super) fn traced(&self, run: &Run) -> Result<Command, String> {
        let this = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let mut command = Command::new(this);
        command.args(["startup", "--traced"]).arg(&self.inn);
        Ok(self.with_arguments(command, run))
    }

    fn with_arguments(&self, mut command: Command, run: &Run) -> Command {
        command.args(run.arguments);
        command.current_dir(&self.root).env("XDG_CACHE_HOME", self.cache.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}
