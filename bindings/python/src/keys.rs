//! WASI's keys as Python gives them.

use std::collections::HashMap;
use std::path::PathBuf;

use ::innkeeper::wasi::keys::{self, Access, Capture, DirKey, Sink, StdinKey, StdoutKey};
use pyo3::prelude::*;

use crate::error::{Result, refused};

/// Bytes of a stream that are kept where nothing is said of it.
const CAPTURED_BYTES: usize = 64 << 20;

/// What WASI lets a guest reach: nothing but what is named here.
///
/// `args`: its arguments, the program's name first. `env`: its variables. `dirs`: triples of a directory, the guest's name for it, and `"ro"`, `"rw"` or `"cow"` (the guest's changes
/// are its own). `tmp`: directories in memory, by the guest's name, with the files that are in them at first. `stdin`: bytes, or `"inherit"`. `stdout`, `stderr`: `"capture"`,
/// `"inherit"`, or a function that is called with the bytes; otherwise what is written disappears.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Keys {
    args: Vec<String>,
    env: HashMap<String, String>,
    dirs: Vec<(PathBuf, String, Access)>,
    tmp: HashMap<String, HashMap<String, Vec<u8>>>,
    stdin: StdinKey,
    stdout: Output,
    stderr: Output,
}

/// Where what a guest writes goes.
pub(crate) enum Output {
    Discard,
    Inherit,
    Capture,
    Function(Py<PyAny>),
}

#[pymethods]
impl Keys {
    #[new]
    #[pyo3(signature = (*, args = Vec::new(), env = HashMap::new(), dirs = Vec::new(), tmp = HashMap::new(), stdin = None, stdout = None, stderr = None))]
    pub(crate) fn new(
        args: Vec<String>,
        env: HashMap<String, String>,
        dirs: Vec<(PathBuf, String, String)>,
        tmp: HashMap<String, HashMap<String, Vec<u8>>>,
        stdin: Option<&Bound<'_, PyAny>>,
        stdout: Option<&Bound<'_, PyAny>>,
        stderr: Option<&Bound<'_, PyAny>>,
    ) -> Result<Keys> {
        let dirs = dirs.into_iter().map(|(host, guest, word)| Ok((host, guest, access(&word)?)));
        Ok(Keys {
            args,
            env,
            dirs: dirs.collect::<Result<_>>()?,
            tmp,
            stdin: stdin.map_or(Ok(StdinKey::Empty), input)?,
            stdout: Output::new("stdout", stdout)?,
            stderr: Output::new("stderr", stderr)?,
        })
    }
}

impl Keys {
    /// The keys for one guest, with what its standard output and its standard error are kept in.
    pub(crate) fn open(&self) -> Result<(keys::Keys, Option<Capture>, Option<Capture>)> {
        let (stdout, kept_stdout) = self.stdout.key();
        let (stderr, kept_stderr) = self.stderr.key();
        let mut builder = keys::Keys::builder()
            .arguments(self.args.iter().cloned())
            .stdin(self.stdin.clone())
            .stdout(stdout)
            .stderr(stderr);
        for (name, value) in &self.env {
            builder = builder.variable(name, value);
        }
        for (host, guest, access) in &self.dirs {
            builder = builder.dir(host, guest, *access);
        }
        for (guest, files) in &self.tmp {
            let files = files.iter().map(|(path, contents)| (path.clone(), contents.clone()));
            builder = builder.directory(DirKey::temporary(guest, DirKey::TEMPORARY_BYTES).with_files(files));
        }
        Ok((builder.build(), kept_stdout, kept_stderr))
    }
}

impl Output {
    fn new(name: &str, value: Option<&Bound<'_, PyAny>>) -> Result<Output> {
        let Some(value) = value else { return Ok(Output::Discard) };
        if value.is_callable() {
            return Ok(Output::Function(value.clone().unbind()));
        }
        match value.extract::<&str>() {
            Ok("inherit") => Ok(Output::Inherit),
            Ok("capture") => Ok(Output::Capture),
            _ => Err(refused(format!(
                "{name} must be \"capture\", \"inherit\", a function or None, not {value}"
            ))),
        }
    }

    /// The key, and what is kept if it is.
    fn key(&self) -> (StdoutKey, Option<Capture>) {
        match self {
            Output::Discard => (StdoutKey::Discard, None),
            Output::Inherit => (StdoutKey::Inherit, None),
            Output::Capture => {
                let capture = Capture::new(CAPTURED_BYTES);
                (StdoutKey::Capture(capture.clone()), Some(capture))
            }
            Output::Function(function) => {
                let function = Python::attach(|py| function.clone_ref(py));
                (StdoutKey::Sink(Sink::new(Writer(function))), None)
            }
        }
    }
}

/// Calls a function of Python's with what is written.
struct Writer(Py<PyAny>);

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let called = Python::attach(|py| self.0.call1(py, (pyo3::types::PyBytes::new(py, bytes),)).map(drop));
        called.map(|()| bytes.len()).map_err(std::io::Error::other)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn input(value: &Bound<'_, PyAny>) -> Result<StdinKey> {
    if let Ok("inherit") = value.extract::<&str>() {
        return Ok(StdinKey::Inherit);
    }
    Ok(StdinKey::Bytes(value.extract()?))
}

fn access(word: &str) -> Result<Access> {
    match word {
        "ro" => Ok(Access::ReadOnly),
        "rw" => Ok(Access::ReadWrite),
        "cow" => Ok(Access::CopyOnWrite),
        _ => Err(refused(format!("{word:?} is no access: \"ro\", \"rw\" and \"cow\" are"))),
    }
}
