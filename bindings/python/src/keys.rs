//! WASI's keys as Python gives them.

use std::path::PathBuf;
use std::sync::Arc;

use ::innkeeper::wasi::keys::{self, Access, Capture, DirKey, Sink, StdinKey, StdoutKey};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::argument::{Argument, argument};
use crate::error::{Result, refused};
use crate::finalizing::or_stay;
use crate::greenlets;
use crate::objects::{Held, Objects};

/// Bytes of a stream that are kept where nothing is said of it.
const CAPTURED_BYTES: usize = 64 << 20;

/// What WASI lets a guest reach: nothing but what is named here.
///
/// Directories have the order they are given in, `dirs` before `tmp`; none of the guest's names may be there twice. `args`: its arguments, the program's name first. `env`: its variables. `dirs`: triples of a directory, the guest's name for it, and `"ro"`, `"rw"` or `"cow"` (the guest's changes
/// are its own). `tmp`: directories in memory, by the guest's name, with the files that are in them at first. `stdin`: bytes, or `"inherit"`. `stdout`, `stderr`: `"capture"`,
/// `"inherit"`, or a function that is called with the bytes; otherwise what is written disappears.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Keys {
    args: Vec<String>,
    env: Vec<(String, String)>,
    dirs: Vec<(PathBuf, String, Access)>,
    tmp: Vec<(String, Files)>,
    stdin: StdinKey,
    stdout: Output,
    stderr: Output,
}

/// Files in a directory in memory, by their paths.
type Files = Vec<(String, Vec<u8>)>;

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
    #[pyo3(signature = (*, args = None, env = None, dirs = None, tmp = None, stdin = None, stdout = None, stderr = None))]
    pub(crate) fn new(
        args: Option<&Bound<'_, PyAny>>,
        env: Option<&Bound<'_, PyAny>>,
        dirs: Option<&Bound<'_, PyAny>>,
        tmp: Option<&Bound<'_, PyAny>>,
        stdin: Option<&Bound<'_, PyAny>>,
        stdout: Option<&Bound<'_, PyAny>>,
        stderr: Option<&Bound<'_, PyAny>>,
    ) -> Result<Keys> {
        let files = |files: Argument<'_, '_, String>| {
            files.by_name("a dict of paths to bytes", |contents| contents.bytes())
        };
        let tmp =
            tmp.map(|value| argument("tmp", value).by_name("a dict of directories to their files", files));
        let keys = Keys {
            args: args.map_or(Ok(Vec::new()), |value| argument("args", value).texts())?,
            env: env.map_or(Ok(Vec::new()), |value| argument("env", value).texts_by_name())?,
            dirs: dirs.map_or(Ok(Vec::new()), directories)?,
            tmp: tmp.transpose()?.unwrap_or_default(),
            stdin: stdin.map_or(Ok(StdinKey::Empty), input)?,
            stdout: Output::new("stdout", stdout)?,
            stderr: Output::new("stderr", stderr)?,
        };
        keys.check()?;
        Ok(keys)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        [&self.stdout, &self.stderr].into_iter().try_for_each(|output| match output {
            Output::Function(function) => visit.call(function),
            _ => Ok(()),
        })
    }
}

impl Keys {
    pub(crate) const WANTED: &str = "innkeeper.Keys";

    /// That each directory has a name of its own, and each file in memory a path in its directory.
    fn check(&self) -> Result<()> {
        let guests =
            self.dirs.iter().map(|(_, guest, _)| guest).chain(self.tmp.iter().map(|(guest, _)| guest));
        let mut names = Vec::new();
        for guest in guests {
            // As a guest would call it.
            let name = DirKey::temporary(guest, 0).guest;
            if names.contains(&name) {
                return Err(refused(format!("two directories are called {guest:?} for the guest")));
            }
            names.push(name);
        }
        for (guest, files) in &self.tmp {
            for (path, _) in files {
                if path.starts_with('/') || path.ends_with('/') {
                    let meant = path.trim_matches('/');
                    return Err(refused(format!(
                        "tmp[{guest:?}]: {path:?} is no path of a file in that directory; it neither begins nor ends with a slash, as in {meant:?}"
                    )));
                }
            }
        }
        Ok(())
    }

    /// Those of a whole program, whose name comes before its arguments, and whose output is kept.
    pub(crate) fn of_program(self, name: String) -> Keys {
        let args = std::iter::once(name).chain(self.args).collect();
        Keys { args, stdout: Output::Capture, stderr: Output::Capture, ..self }
    }

    /// The keys for one guest, with what its standard output and its standard error are kept in; functions that they go to are the store's objects.
    pub(crate) fn open(
        &self,
        py: Python<'_>,
        objects: &Arc<Objects>,
    ) -> (keys::Keys, Option<Capture>, Option<Capture>) {
        let (stdout, kept_stdout) = self.stdout.key(py, objects);
        let (stderr, kept_stderr) = self.stderr.key(py, objects);
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
        (builder.build(), kept_stdout, kept_stderr)
    }
}

impl Output {
    fn new(name: &str, value: Option<&Bound<'_, PyAny>>) -> Result<Output> {
        let Some(value) = value else { return Ok(Output::Discard) };
        if value.is_callable() {
            return Ok(Output::Function(value.clone().unbind()));
        }
        const WANTED: &str = "\"capture\", \"inherit\", a function or None";
        let Ok(word) = value.cast::<PyString>() else { return Err(argument(name, value).wrong(WANTED)) };
        match word.to_str()? {
            "inherit" => Ok(Output::Inherit),
            "capture" => Ok(Output::Capture),
            other => Err(refused(format!("{name} must be {WANTED}, not {other:?}"))),
        }
    }

    /// The key, and what is kept if it is.
    fn key(&self, py: Python<'_>, objects: &Arc<Objects>) -> (StdoutKey, Option<Capture>) {
        match self {
            Output::Discard => (StdoutKey::Discard, None),
            Output::Inherit => (StdoutKey::Inherit, None),
            Output::Capture => {
                let capture = Capture::new(CAPTURED_BYTES);
                (StdoutKey::Capture(capture.clone()), Some(capture))
            }
            Output::Function(function) => {
                let function = objects.hold(function.clone_ref(py));
                (StdoutKey::Sink(Sink::new(Writer { function, objects: Arc::clone(objects) })), None)
            }
        }
    }
}

/// Calls a function of Python's with what is written. What that raises ends the guest.
struct Writer {
    function: Held,
    objects: Arc<Objects>,
}

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let call = |py: Python<'_>| {
            let function = self.function.get(py).ok_or(std::io::ErrorKind::BrokenPipe)?;
            let function = function.bind(py);
            let called = PyTuple::new(py, [PyBytes::new(py, bytes)])
                .and_then(|arguments| greenlets::in_function(py, || or_stay(|| function.call1(&arguments))));
            called.map(|_| bytes.len()).map_err(|raised| {
                self.objects.end_guest(raised);
                std::io::Error::other("the function that the output goes to has failed")
            })
        };
        // Within and without, since Python's lock is asked for in both places.
        or_stay(|| Python::attach(|py| or_stay(|| call(py))))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn input(value: &Bound<'_, PyAny>) -> Result<StdinKey> {
    match value.cast::<PyString>() {
        Ok(word) if word == "inherit" => Ok(StdinKey::Inherit),
        _ => Ok(StdinKey::Bytes(argument("stdin", value).bytes_or(", \"inherit\" or None")?)),
    }
}

/// Directories of this machine's.
fn directories(value: &Bound<'_, PyAny>) -> Result<Vec<(PathBuf, String, Access)>> {
    const WANTED: &str =
        "a list of triples: a directory, the guest's name for it, and \"ro\", \"rw\" or \"cow\"";
    let dirs = argument("dirs", value);
    if value.is_instance_of::<PyString>() {
        return Err(dirs.wrong(WANTED));
    }
    let parts = value.try_iter().map_err(|_| dirs.wrong(WANTED))?;
    let part = |(number, part): (usize, Result<Bound<'_, PyAny>>)| {
        let (part, name) = (part?, format!("dirs[{number}]"));
        let whole = || {
            argument(&name, &part).wrong("a triple of a directory, the guest's name for it, and an access")
        };
        let triple = part.cast::<PyTuple>().ok().filter(|triple| triple.len() == 3).ok_or_else(whole)?;
        let host = argument(format_args!("{name}[0]"), &triple.get_item(0)?).path()?;
        let guest = argument(format_args!("{name}[1]"), &triple.get_item(1)?).text()?;
        Ok((host, guest, access(&argument(format_args!("{name}[2]"), &triple.get_item(2)?).text()?)?))
    };
    parts.enumerate().map(part).collect()
}

fn access(word: &str) -> Result<Access> {
    match word {
        "ro" => Ok(Access::ReadOnly),
        "rw" => Ok(Access::ReadWrite),
        "cow" => Ok(Access::CopyOnWrite),
        _ => Err(refused(format!("{word:?} is no access: \"ro\", \"rw\" and \"cow\" are"))),
    }
}
