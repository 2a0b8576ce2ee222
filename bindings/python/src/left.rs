//! What a guest of WASI has left with its host: what was denied to it, and files in directories that the host keeps itself.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use ::innkeeper::wasi::host::{Error as HostError, KeptDirectory};
use ::innkeeper::wasi::keys::DirKey;
use ::innkeeper::wasi::p1::Context;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::argument::argument;
use crate::error::{Result, refused};

/// What was denied, a sentence for each thing.
pub(crate) fn denials(wasi: &Context) -> Vec<String> {
    wasi.host().denials().iter().map(ToString::to_string).collect()
}

/// The paths of the files in a directory.
pub(crate) fn files(wasi: &Context, directory: &str) -> Result<Vec<OsString>> {
    let files = kept(wasi, directory)?.files();
    let files = files.map_err(|error| refused(format!("cannot list {directory}: {error}")))?;
    Ok(files.into_iter().map(OsString::from_vec).collect())
}

/// A file that a guest has left.
pub(crate) struct File {
    directory: String,
    path: OsString,
    most_bytes: u64,
}

impl File {
    /// The one that a function for Python is asked for.
    pub(crate) fn named(
        directory: &Bound<'_, PyAny>,
        path: &Bound<'_, PyAny>,
        most_bytes: Option<&Bound<'_, PyAny>>,
    ) -> Result<File> {
        let most_bytes =
            most_bytes.map_or(Ok(DirKey::TEMPORARY_BYTES), |bytes| argument("max_bytes", bytes).count());
        Ok(File {
            directory: argument("directory", directory).text()?,
            path: argument("path", path).path()?.into_os_string(),
            most_bytes: most_bytes?,
        })
    }

    /// What is in it.
    pub(crate) fn read<'py>(&self, py: Python<'py>, wasi: &Context) -> Result<Bound<'py, PyBytes>> {
        let bytes = kept(wasi, &self.directory)?.read_file(self.path.as_bytes(), self.most_bytes);
        let bytes = bytes.map_err(|error| {
            let of = if matches!(error, HostError::FileTooLarge) {
                format!(": it has more than {} bytes (max_bytes)", self.most_bytes)
            } else if self.path.as_bytes().starts_with(b"/") {
                let whole = String::from_utf8_lossy(self.path.as_bytes());
                let within = whole.strip_prefix(self.directory.trim_end_matches('/')).unwrap_or(&whole);
                format!(": the path is one in the directory, such as {:?}", within.trim_start_matches('/'))
            } else {
                format!(": {error}")
            };
            refused(format!("cannot read {} in {}{of}", self.path.display(), self.directory))
        })?;
        Ok(PyBytes::new(py, &bytes))
    }
}

fn kept<'a>(wasi: &'a Context, directory: &str) -> Result<&'a KeptDirectory> {
    wasi.host().kept_directory(directory).ok_or_else(|| {
        refused(format!(
            "the guest has no directory {directory:?} in memory (`tmp`), and no \"cow\" one of that name"
        ))
    })
}
