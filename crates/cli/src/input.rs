//! Reading FILE: a path or `-`, the binary or the text format.
//!
//! What is read is bounded, also from standard input and from files that have no end.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use innkeeper::{Engine, Error, ErrorKind, Module};

use crate::report::{Problem, visible};

/// Bytes that a module may have: as many as the JavaScript embedding allows, which is what validation assumes.
const MAX_INPUT_BYTES: u64 = 1 << 30;

/// A module in the binary format, not yet checked.
pub(crate) struct Input {
    /// What to call it in messages, without control characters.
    pub(crate) name: String,
    /// The module; empty once it has been decoded.
    pub(crate) bytes: Vec<u8>,
}

impl Input {
    /// Reads the file at `path`, or standard input if that is `-`, and translates it where it is text.
    pub(crate) fn read(path: &OsStr) -> Result<Input, Problem> {
        let name =
            if path == "-" { String::from("standard input") } else { visible(&path.to_string_lossy()) };
        let bytes = read_bytes(path).map_err(|reason| unreadable(path, &name, &reason))?;
        if bytes.len() as u64 > MAX_INPUT_BYTES {
            return Err(Problem::new(
                name,
                format!("larger than {MAX_INPUT_BYTES} bytes, the most that a module may have"),
            )
            .help("build the guest without debug information, or strip it"));
        }
        if bytes.is_empty() {
            return Err(Problem::new(name, "not a WebAssembly module: it is empty (at offset 0x0)")
                .help("build or fetch the file again"));
        }
        let mut input = Input { name, bytes };
        if is_text(&input.bytes) {
            let translated = innkeeper::to_binary(&input.bytes).map(|binary| binary.into_owned());
            input.bytes = translated.map_err(|error| input.problem(&error))?;
        }
        Ok(input)
    }

    /// Decodes and validates the module, which takes the bytes.
    pub(crate) fn module(&mut self, engine: &Engine) -> Result<Module, Problem> {
        Module::new(engine, std::mem::take(&mut self.bytes)).map_err(|error| self.problem(&error))
    }

    /// What to say about an error of decoding or validation.
    pub(crate) fn problem(&self, error: &Error) -> Problem {
        let problem = Problem::new(&self.name, error);
        match error.kind() {
            ErrorKind::Text(message) => {
                Problem::new(&self.name, message.trim_end().replace("<anon>", &self.name))
            }
            ErrorKind::Malformed { message, .. } if is_missing_feature(message) => {
                problem.help("this inn does not have that feature; build the guest without it")
            }
            ErrorKind::Malformed { .. } => {
                problem.help("the file is damaged or no module; build or fetch it again")
            }
            _ => problem,
        }
    }
}

fn read_bytes(path: &OsStr) -> io::Result<Vec<u8>> {
    if path == "-" {
        return read_bounded(io::stdin().lock(), 0);
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    read_bounded(file, metadata.len())
}

/// Reads everything, but no more than one byte over the bound; memory for `expected_bytes` is taken at once.
fn read_bounded(source: impl Read, expected_bytes: u64) -> io::Result<Vec<u8>> {
    let expected_bytes = usize::try_from(expected_bytes.min(MAX_INPUT_BYTES)).unwrap_or(0);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(expected_bytes).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    source.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether bytes are meant as the text format. Damaged binaries contain zeros almost everywhere, texts nowhere.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

/// Whether validation refused something that is well-formed but switched off, as far as its words tell.
fn is_missing_feature(message: &str) -> bool {
    ["not enabled", "be enabled", "proposal", " feature"].iter().any(|words| message.contains(words))
}

fn unreadable(path: &OsStr, name: &str, reason: &io::Error) -> Problem {
    match reason.kind() {
        io::ErrorKind::NotFound
            if Path::new(path).components().count() == 1 && !path.as_encoded_bytes().contains(&b'.') =>
        {
            Problem::new(name, "no such file")
                .help("check the path; a command of inn stands before all flags, and `inn --help` lists them")
        }
        io::ErrorKind::NotFound => {
            Problem::new(name, "no such file").help("check the path, or build the program first")
        }
        io::ErrorKind::IsADirectory => Problem::new(name, "it is a directory, and a module is a file")
            .help("name the .wasm or .wat file; a directory is granted with --dir"),
        io::ErrorKind::PermissionDenied => {
            Problem::new(name, "permission denied").help("check that this user may read the file")
        }
        _ => Problem::new(name, format!("cannot be read: {reason}")),
    }
}
