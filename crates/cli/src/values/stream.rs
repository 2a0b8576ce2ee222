//! Where standard streams come from and go to: `--stdin`, `--stdout`, `--stderr`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use innkeeper::wasi::keys::{FileMode, StdinKey, StdoutKey};

use super::path_after;

/// A value of `--stdin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputFlag(pub(crate) StdinKey);

impl InputFlag {
    /// Reads `inherit`, `empty`, `closed` or `file:PATH`.
    pub(crate) fn parse(value: OsString) -> Result<InputFlag, String> {
        match (value.as_bytes(), path_after(&value, "file:")) {
            (b"inherit", _) => Ok(StdinKey::Inherit),
            (b"empty", _) => Ok(StdinKey::Empty),
            (b"closed", _) => Ok(StdinKey::Closed),
            (_, Some(path)) if path == Path::new("-") => Err(standard("input")),
            (_, Some(path)) => Ok(StdinKey::File(path)),
            _ => Err(String::from("write inherit, empty, closed or file:PATH")),
        }
        .map(InputFlag)
    }
}

/// What to say to `file:-`.
fn standard(direction: &str) -> String {
    format!("inn's own standard {direction} is `inherit`; a file of that name is written file:./-")
}

/// A value of `--stdout` or `--stderr`.
#[derive(Clone, Debug)]
pub(crate) struct OutputFlag(pub(crate) StdoutKey);

impl OutputFlag {
    /// Reads `inherit`, `discard`, `closed`, `file:PATH` or `append:PATH`.
    pub(crate) fn parse(value: OsString) -> Result<OutputFlag, String> {
        match (value.as_bytes(), path_after(&value, "file:"), path_after(&value, "append:")) {
            (b"inherit", ..) => Ok(StdoutKey::Inherit),
            (b"discard", ..) => Ok(StdoutKey::Discard),
            (b"closed", ..) => Ok(StdoutKey::Closed),
            (_, Some(path), _) | (_, _, Some(path)) if path == Path::new("-") => Err(standard("output")),
            (_, Some(path), _) => Ok(StdoutKey::File { path, mode: FileMode::Truncate }),
            (_, _, Some(path)) => Ok(StdoutKey::File { path, mode: FileMode::Append }),
            _ => Err(String::from("write inherit, discard, closed, file:PATH or append:PATH")),
        }
        .map(OutputFlag)
    }
}
