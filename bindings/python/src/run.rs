//! Whole programs of WASI in one call.

use std::collections::HashMap;
use std::path::PathBuf;

use ::innkeeper::wasi::p1;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::engine::{self, Module, Source};
use crate::error::{OrRaise, Result};
use crate::keys::Keys;
use crate::store::seconds;

/// How a program has ended.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Finished {
    /// The code that it has exited with; 0 is success.
    #[pyo3(get)]
    exit_code: i32,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
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

    fn __repr__(&self) -> String {
        let (out, err) = (String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr));
        format!("Finished(exit_code={}, stdout={out:?}, stderr={err:?})", self.exit_code)
    }
}

/// A program as Python has it.
#[derive(FromPyObject)]
pub(crate) enum Program<'py> {
    /// One that was loaded already.
    Module(PyRef<'py, Module>),
    /// Its bytes.
    Bytes(Vec<u8>),
    /// The file that it is in.
    File(PathBuf),
}

/// Runs a program of WASI 0.1 until it ends: a file, its bytes, or a `Module`. The keys are as those of `Keys`; the program's name is put before `args`.
///
/// `deadline`: seconds until it ends with a `Trap`, whatever it does. `max_memory`: bytes that it may make its host hold, unless it is
/// a `Module`, whose engine says that. What it writes is kept.
#[pyfunction]
#[pyo3(signature = (program, args = Vec::new(), *, env = HashMap::new(), dirs = Vec::new(), tmp = HashMap::new(), stdin = None, deadline = None, max_memory = None))]
#[expect(clippy::too_many_arguments, reason = "they are named where it is called")]
pub(crate) fn run(
    py: Python<'_>,
    program: Program<'_>,
    args: Vec<String>,
    env: HashMap<String, String>,
    dirs: Vec<(PathBuf, String, String)>,
    tmp: HashMap<String, HashMap<String, Vec<u8>>>,
    stdin: Option<&Bound<'_, PyAny>>,
    deadline: Option<f64>,
    max_memory: Option<u64>,
) -> Result<Finished> {
    let deadline = deadline.map(seconds).transpose()?;
    let name = match &program {
        Program::File(path) => {
            path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        }
        _ => "program".to_owned(),
    };
    let module = match program {
        Program::Module(module) => module.module.clone(),
        Program::Bytes(bytes) => {
            Module::from_source(py, &engine::engine(max_memory, false).or_raise(py)?, Source::Bytes(bytes))?
                .module
        }
        Program::File(path) => {
            let engine = engine::engine(max_memory, false).or_raise(py)?;
            py.detach(|| ::innkeeper::Module::from_file(&engine, path)).or_raise(py)?
        }
    };
    let args = std::iter::once(name).chain(args).collect();
    let captured = pyo3::types::PyString::new(py, "capture").into_any();
    let keys = Keys::new(args, env, dirs, tmp, stdin, Some(&captured), Some(&captured))?;
    let (mut keys, stdout, stderr) = keys.open()?;
    keys.limits.wall_time = deadline;
    let exit_code = py.detach(|| p1::run(module.engine(), &module, keys)).or_raise(py)?;
    let kept = |capture: Option<::innkeeper::wasi::keys::Capture>| {
        capture.map_or_else(Vec::new, |kept| kept.contents())
    };
    Ok(Finished { exit_code, stdout: kept(stdout), stderr: kept(stderr) })
}
