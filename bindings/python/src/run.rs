//! Whole programs of WASI in one call.

use std::ffi::OsString;

use ::innkeeper::wasi::p1::{self, Context};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::argument::argument;
use crate::engine::{self, Module};
use crate::error::{Error, OrRaise, Result, exception, refused, tell};
use crate::finalizing::or_stay;
use crate::keys::Keys;
use crate::left;

/// How a program has ended.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Finished {
    /// The code that it has exited with; 0 is success.
    #[pyo3(get)]
    exit_code: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// What was denied to it, a sentence for each thing.
    #[pyo3(get)]
    denials: Vec<String>,
    wasi: Context,
}

#[pymethods]
impl Finished {
    /// What it wrote to its standard output.
    #[getter]
    fn stdout<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.stdout)
    }

    /// What it wrote to its standard error.
    #[getter]
    fn stderr<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.stderr)
    }

    /// The paths of the files in a directory that it had in memory, by its name for it (`tmp`), or of those that it has made or changed in one that was `"cow"`.
    fn files(&self, directory: &Bound<'_, PyAny>) -> Result<Vec<OsString>> {
        left::files(&self.wasi, &argument("directory", directory).text()?)
    }

    /// What is in a file of such a directory; an `Error` where it has more than `max_bytes`.
    #[pyo3(signature = (directory, path, *, max_bytes = None))]
    fn read_file<'py>(
        &self,
        py: Python<'py>,
        directory: &Bound<'py, PyAny>,
        path: &Bound<'py, PyAny>,
        max_bytes: Option<&Bound<'py, PyAny>>,
    ) -> Result<Bound<'py, PyBytes>> {
        left::File::named(directory, path, max_bytes)?.read(py, &self.wasi)
    }

    fn __repr__(&self) -> String {
        let (out, err) = (String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr));
        format!("Finished(exit_code={}, stdout={out:?}, stderr={err:?})", self.exit_code)
    }
}

/// Runs a program of WASI 0.1 until it ends: a file, its bytes, or a `Module`. The keys are as those of `Keys`; the program's name is put before `args`.
///
/// `deadline`: seconds until it ends with a `Trap`, whatever it does. `max_memory`: bytes that it may make its host hold, unless it is
/// a `Module`, whose engine says that. What it writes is kept, also where it traps: then the exception has it.
#[pyfunction]
#[pyo3(signature = (program, args = None, *, env = None, dirs = None, tmp = None, stdin = None, deadline = None, max_memory = None))]
#[expect(clippy::too_many_arguments, reason = "they are named where it is called")]
pub(crate) fn run(
    py: Python<'_>,
    program: &Bound<'_, PyAny>,
    args: Option<&Bound<'_, PyAny>>,
    env: Option<&Bound<'_, PyAny>>,
    dirs: Option<&Bound<'_, PyAny>>,
    tmp: Option<&Bound<'_, PyAny>>,
    stdin: Option<&Bound<'_, PyAny>>,
    deadline: Option<&Bound<'_, PyAny>>,
    max_memory: Option<&Bound<'_, PyAny>>,
) -> Result<Finished> {
    let deadline = deadline.map(|value| argument("deadline", value).seconds()).transpose()?;
    let max_memory = max_memory.map(|value| argument("max_memory", value).count()).transpose()?;
    let keys = Keys::new(args, env, dirs, tmp, stdin, None, None)?;
    let (module, name) = loaded(py, program, max_memory)?;
    let (mut keys, stdout, stderr) = keys.of_program(name).open(py, &Default::default());
    keys.limits.wall_time = deadline;
    let wasi = Context::new(&keys).or_raise(py)?;
    let ended = or_stay(|| py.detach(|| p1::run_in(module.engine(), &module, &wasi)));
    let kept = |capture: Option<::innkeeper::wasi::keys::Capture>| {
        capture.map_or_else(Vec::new, |kept| kept.contents())
    };
    let (stdout, stderr, denials) = (kept(stdout), kept(stderr), left::denials(&wasi));
    match ended {
        Ok(exit_code) => Ok(Finished { exit_code, stdout, stderr, denials, wasi }),
        Err(error) => {
            let raised = exception(py, &error);
            if raised.is_instance_of::<Error>(py) {
                tell(py, &raised, "stdout", PyBytes::new(py, &stdout));
                tell(py, &raised, "stderr", PyBytes::new(py, &stderr));
                tell(py, &raised, "denials", denials);
            }
            Err(raised)
        }
    }
}

/// The module of a program, and what the program is called.
fn loaded(
    py: Python<'_>,
    program: &Bound<'_, PyAny>,
    max_memory: Option<u64>,
) -> Result<(::innkeeper::Module, String)> {
    let given = argument("program", program);
    let unnamed = || String::from("program");
    if let Ok(module) = program.cast::<Module>() {
        return Ok((module.get().module.clone(), unnamed()));
    }
    let is_path = program.is_instance_of::<PyString>() || program.hasattr("__fspath__")?;
    let engine = engine::engine(max_memory, false).or_raise(py)?;
    if is_path {
        let path = given.path()?;
        let name = path.file_name().map_or_else(unnamed, |name| name.to_string_lossy().into_owned());
        let is_text = path.as_os_str().as_encoded_bytes().trim_ascii_start().starts_with(b"(");
        let is_there = path.exists();
        return match Module::from_path(py, &engine, path) {
            Err(_) if is_text && !is_there => Err(refused(
                "program: a str is the path of a file; bytes, or Module(engine, text), are a module in the text format",
            )),
            module => Ok((module?.module, name)),
        };
    }
    let bytes = given.bytes_or(", the path of a file, or an innkeeper.Module")?;
    Ok((Module::from_bytes(py, &engine, bytes)?.module, unnamed()))
}
