//! Runs the built `inn` on the programs in `guests/`, and checks what a user sees: output, messages, exit codes.

mod cache;
mod cache_key;
mod changes;
#[path = "../../examples/components.rs"]
#[allow(dead_code, reason = "it is a program too")]
mod components;
mod compose;
mod deadline;
mod explore;
mod handed_over;
mod help;
mod input;
mod inspect;
mod invoke;
mod invoke_component;
mod keys;
mod network;
mod observe;
mod observe_component;
mod output;
mod planted;
mod plug;
mod policy;
mod programs;
mod replay;
mod run;
mod run_component;
mod stop;
mod suggestions;
mod tasks;
mod threads;
mod unfinished;
mod wast;
mod words;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// One run of `inn`.
struct Inn {
    command: Command,
    stdin: Vec<u8>,
}

/// What a run gave.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// `inn` with these arguments, of which `{name}` stands for the built guest of that name.
fn inn(args: &[&str]) -> Inn {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
    command.args(args.iter().map(|arg| match arg.strip_prefix('{').and_then(|arg| arg.strip_suffix('}')) {
        Some(name) => guest(name).into_os_string(),
        None => arg.into(),
    }));
    // Not the cache of whoever runs the tests.
    command
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"));
    Inn { command, stdin: Vec::new() }
}

/// [`inn`] where `from` is mounted at `to`, too, in mounts of its own. None where the system forbids such processes, which is said.
fn inn_with_mount(args: &[&str], (from, to): (&Path, &Path)) -> Option<Inn> {
    let unshare = |flags: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(flags).args(["--mount", "--propagation", "private"]);
        command
    };
    let works = |flags: &&[&str]| unshare(flags).arg("true").output().is_ok_and(|ran| ran.status.success());
    let Some(flags) = [&[][..], &["--user", "--map-root-user"]].into_iter().find(|flags| works(flags)) else {
        eprintln!(
            "KNOWN GAP: not tried with a mount: this system lets nobody mount anything (unshare --mount)"
        );
        return None;
    };
    let plain = inn(args).command;
    let mut command = unshare(flags);
    let script = r#"mount --bind "$1" "$2" && shift 2 && exec "$@""#;
    command.args(["sh", "-c", script, "sh"]).args([from, to]);
    command.arg(plain.get_program()).args(plain.get_args());
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Some(Inn { command, stdin: Vec::new() })
}

/// The built guest of that name.
fn guest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests").join(name).join(format!("{name}.wasm"))
}

/// A folder that lives as long as the test.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A folder with `site/`, which `markdown-site` can build.
fn site() -> tempfile::TempDir {
    let dir = scratch();
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/inputs/site");
    let copied = Command::new("cp").arg("-R").arg(inputs).arg(dir.path().join("site")).status();
    assert!(copied.expect("cp runs").success());
    dir
}

impl Inn {
    fn current_dir(mut self, dir: impl AsRef<Path>) -> Inn {
        self.command.current_dir(dir);
        self
    }

    fn env(mut self, name: &str, value: &str) -> Inn {
        self.command.env(name, value);
        self
    }

    fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Inn {
        self.stdin = bytes.into();
        self
    }

    fn run(self) -> Ran {
        self.run_with_id().0
    }

    /// Runs it; gives the process's number too.
    fn run_with_id(mut self) -> (Ran, u32) {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("inn starts");
        let id = child.id();
        let mut stdin = child.stdin.take().expect("a pipe");
        let writer = std::thread::spawn(move || stdin.write_all(&self.stdin));
        let output: Output = child.wait_with_output().expect("inn ends");
        // A guest need not read all, or any, of its input.
        let _ = writer.join();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        (Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }, id)
    }
}

impl Ran {
    #[track_caller]
    fn code(&self, code: i32) -> &Ran {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    fn stdout(&self, stdout: &str) -> &Ran {
        assert_eq!(self.stdout, stdout, "{self:#?}");
        self
    }

    #[track_caller]
    fn stderr(&self, stderr: &str) -> &Ran {
        assert_eq!(self.stderr, stderr, "{self:#?}");
        self
    }

    /// Every part is somewhere in standard output.
    #[track_caller]
    fn prints(&self, parts: &[&str]) -> &Ran {
        for part in parts {
            assert!(self.stdout.contains(part), "no {part:?} in {self:#?}");
        }
        self
    }

    /// Every part is somewhere in standard error.
    #[track_caller]
    fn says(&self, parts: &[&str]) -> &Ran {
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {self:#?}");
        }
        self
    }
}
