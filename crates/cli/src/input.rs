//! Reading FILE: a path or `-`, the binary or the text format.
//!
//! What is read is bounded, also from standard input and from files that have no end.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;

use innkeeper::component::Component;
use innkeeper::{Compilable, Engine, Error, ErrorKind, Module, Precompiled};

use crate::report::{Problem, visible};
use crate::{absent, foreign, reserve};

/// Bytes that a module may have: as many as the JavaScript embedding allows, which is what validation assumes.
const MAX_INPUT_BYTES: u64 = 1 << 30;

/// Reading text takes many times its own size.
const MAX_TEXT_BYTES: usize = 32 << 20;

/// A module in the binary format, not yet checked.
pub(crate) struct Input {
    /// What to call it in messages, without control characters.
    pub(crate) name: String,
    /// The module; empty once it has been decoded.
    pub(crate) bytes: Vec<u8>,
    /// What it was read from, unless that was standard input or no regular file.
    pub(crate) source: Option<ModuleFile>,
    /// The text that it was translated from, if it was.
    pub(crate) text: Option<Vec<u8>>,
}

/// What a file holds, decoded and validated.
#[derive(Clone)]
pub(crate) enum Code {
    Module(Module),
    Component(Component),
}

impl Code {
    /// Writes to the cache what is compiled by now.
    pub(crate) fn keep_code(&self) {
        match self {
            Code::Module(module) => drop(module.keep_code()),
            Code::Component(component) => drop(component.keep_code()),
        }
    }

    /// All of it, to be compiled.
    pub(crate) fn compilable(&self) -> &dyn Compilable {
        match self {
            Code::Module(module) => module,
            Code::Component(component) => component,
        }
    }
}

/// The file that a module was read from, which stays what it is whatever happens to its path.
#[derive(Debug)]
pub(crate) struct ModuleFile {
    file: File,
    found: Metadata,
}

impl ModuleFile {
    /// The file, to be read again from its beginning; nothing where it seems to have been written to since. That is asked to spare the work, and need not be sure: whoever reads
    /// the file again finds in the cache what belongs to the digest of the bytes that it has read itself.
    #[cfg(target_os = "linux")]
    pub(crate) fn unchanged(mut self) -> Option<File> {
        let now = self.file.metadata().ok()?;
        let is_same = now.len() == self.found.len() && now.modified().ok() == self.found.modified().ok();
        self.file.rewind().ok().filter(|()| is_same)?;
        Some(self.file)
    }
}

impl Input {
    /// Reads the file at `path`, or standard input if that is `-`, and translates it where it is text.
    pub(crate) fn read(path: &OsStr) -> Result<Input, Problem> {
        Input::of(path, read_bytes(path))
    }

    /// As [`Input::read`], of a file that is one, also where it is standard input: whatever else, such as a pipe that nobody writes to, is refused and waited for by
    /// nobody.
    pub(crate) fn read_regular_file(path: &OsStr) -> Result<Input, Problem> {
        Input::of(path, read_regular_file(path))
    }

    /// As [`Input::read`], of what was read of that path, or could not be.
    pub(crate) fn of_bytes(path: &OsStr, bytes: io::Result<Vec<u8>>) -> Result<Input, Problem> {
        Input::of(path, bytes.map(|bytes| (bytes, None)))
    }

    fn of(path: &OsStr, bytes: io::Result<(Vec<u8>, Option<ModuleFile>)>) -> Result<Input, Problem> {
        let name =
            if path == "-" { String::from("standard input") } else { visible(&path.to_string_lossy()) };
        let (bytes, source) = match bytes {
            Ok(read) => read,
            Err(reason) if reason.kind() == io::ErrorKind::FileTooLarge => {
                let reason = format!("larger than {MAX_INPUT_BYTES} bytes, the most that a module may have");
                return Err(
                    Problem::new(name, reason).help("build the guest without debug information, or strip it")
                );
            }
            Err(reason) => return Err(absent::unreadable_module(path, &name, &reason)),
        };
        if bytes.is_empty() {
            return Err(Problem::new(name, "not a WebAssembly module: it is empty")
                .help("build or fetch the file again"));
        }
        if Precompiled::is_one(&bytes) {
            return Err(Problem::new(
                name,
                "it was compiled ahead of time; this takes the module that it was made from",
            )
            .help("name the .wasm file"));
        }
        if let Some((kind, mend)) = foreign::file_kind(&bytes) {
            return Err(Problem::new(name, format!("not a WebAssembly module, but {kind}")).help(mend));
        }
        let mut input = Input { name, bytes, source, text: None };
        if is_text(&input.bytes) {
            if input.bytes.len() > MAX_TEXT_BYTES {
                let reason =
                    format!("larger than {MAX_TEXT_BYTES} bytes, the most that a module's text may have");
                return Err(Problem::new(&input.name, reason).help("translate it to the binary format"));
            }
            check_room_for_text(&input.name, input.bytes.len())?;
            let translated = innkeeper::to_binary(&input.bytes).map(|binary| binary.into_owned());
            let translated = translated.map_err(|error| {
                let problem = input.problem(&error);
                match foreign::unread_text(&input.bytes) {
                    Some(help) => problem.help(help),
                    None => problem,
                }
            })?;
            input.text = Some(std::mem::replace(&mut input.bytes, translated));
            if let Some((kind, mend)) = foreign::file_kind(&input.bytes) {
                return Err(
                    Problem::new(input.name, format!("not a WebAssembly module, but {kind}")).help(mend)
                );
            }
        }
        Ok(input)
    }

    /// Whether the file at `path` was compiled ahead of time. What cannot be read was not.
    pub(crate) fn is_precompiled(path: &OsStr) -> bool {
        let mut start = [0; 64];
        // Opening a pipe would take what is written to it.
        let is_file = path != "-" && Path::new(path).is_file();
        let mut read = || File::open(path).and_then(|mut file| file.read(&mut start));
        is_file && read().is_ok_and(|len| Precompiled::is_one(&start[..len]))
    }

    /// Whether it is a component, not a module.
    pub(crate) fn is_component(&self) -> bool {
        Component::is_one(&self.bytes)
    }

    /// Decodes and validates the module, which takes the bytes.
    pub(crate) fn module(&mut self, engine: &Engine) -> Result<Module, Problem> {
        if self.is_component() {
            return Err(Problem::new(&self.name, "a component, and this command takes modules")
                .help("`inn validate` and `inn inspect` take components"));
        }
        Module::new(engine, std::mem::take(&mut self.bytes)).map_err(|error| self.problem(&error))
    }

    /// Decodes and validates the component, which takes the bytes.
    pub(crate) fn component(&mut self, engine: &Engine) -> Result<Component, Problem> {
        Component::new(engine, std::mem::take(&mut self.bytes)).map_err(|error| self.problem(&error))
    }

    /// Decodes and validates the module or component, which takes the bytes.
    pub(crate) fn code(&mut self, engine: &Engine) -> Result<Code, Problem> {
        match self.is_component() {
            true => self.component(engine).map(Code::Component),
            false => self.module(engine).map(Code::Module),
        }
    }

    /// What to say about an error of decoding or validation.
    pub(crate) fn problem(&self, error: &Error) -> Problem {
        match error.kind() {
            ErrorKind::Text(message) => {
                Problem::of_lines(&self.name, message.trim_end().replace("<anon>", &self.name))
            }
            ErrorKind::Malformed { message, offset_bytes } if is_missing_feature(message) => self
                .problem_at(*offset_bytes, &format!("it uses what is switched off or not there: {message}"))
                .help("build the guest without it, unless --features has switched it off"),
            ErrorKind::Malformed { message, offset_bytes } if is_limit(message) => self
                .problem_at(*offset_bytes, &format!("it is larger than modules may be: {message}"))
                .help("build the guest in smaller parts"),
            // It was translated a moment ago, so that nothing can be damaged.
            ErrorKind::Malformed { message, offset_bytes } if self.text.is_some() => self
                .problem_at(*offset_bytes, &format!("its text can be read, and is not valid: {message}"))
                .help("mend the text: each instruction has to find the operands that it takes, and leave what is expected"),
            ErrorKind::MalformedComponent { message, offset_bytes } if is_missing_feature(message) => self
                .problem_at(*offset_bytes, &format!("it uses what is not there: {message}"))
                .help("build the component without it"),
            ErrorKind::MalformedComponent { .. } => Problem::new(&self.name, error)
                .help("the file is damaged or no component; build or fetch it again"),
            ErrorKind::Malformed { .. } => Problem::new(&self.name, error)
                .help("the file is damaged or no module; build or fetch it again"),
            ErrorKind::Limit(text) if text.contains("Limits::memory_bytes") => {
                Problem::new(&self.name, text.replace("Limits::memory_bytes", "--max-memory"))
                    .help("if the host can hold it, raise --max-memory; or build the guest in smaller parts")
            }
            _ => Problem::new(&self.name, error),
        }
    }

    /// What to say about what lies at an offset of the module: in its text where there is one, with the line.
    fn problem_at(&self, offset_bytes: usize, reason: &str) -> Problem {
        let text = self.text.as_ref().filter(|text| check_room_for_text(&self.name, text.len()).is_ok());
        // Names that the module has chosen can be in it, and are no lines of the message.
        let reason = visible(reason);
        match text.and_then(|text| innkeeper::message_in_text(text, offset_bytes, &reason)) {
            Some(shown) => Problem::of_lines(&self.name, shown.trim_end().replace("<anon>", &self.name)),
            None => {
                let of = if self.text.is_some() { " of its binary form" } else { "" };
                Problem::new(&self.name, format!("{reason} (at offset 0x{offset_bytes:x}{of})"))
            }
        }
    }
}

/// What reads the text format ends the process where it finds no memory.
pub(crate) fn check_room_for_text(name: &str, text_bytes: usize) -> Result<(), Problem> {
    let bytes = innkeeper::text_memory_bytes(text_bytes);
    if reserve::has_room(bytes) {
        return Ok(());
    }
    let reason = format!(
        "the system has no memory for its text: reading {text_bytes} bytes can take {} MiB",
        bytes.div_ceil(1 << 20)
    );
    Err(Problem::new(name, reason)
        .help("translate it to the binary format, or raise the limit (ulimit -v, ulimit -d)"))
}

fn read_regular_file(path: &OsStr) -> io::Result<(Vec<u8>, Option<ModuleFile>)> {
    use rustix::fs::{Mode, OFlags, open};
    let file = File::from(match path == "-" {
        true => io::stdin().as_fd().try_clone_to_owned()?,
        // Of a pipe it would wait for a writer.
        false => open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?,
    });
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file any more"));
    }
    Ok((read_bounded(file, metadata.len(), MAX_INPUT_BYTES)?, None))
}

/// All of an open file, if that is no more than a module may have.
pub(crate) fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    read_bounded(file, file.metadata()?.len(), MAX_INPUT_BYTES)
}

fn read_bytes(path: &OsStr) -> io::Result<(Vec<u8>, Option<ModuleFile>)> {
    if path == "-" {
        return Ok((read_bounded(io::stdin().lock(), 0, MAX_INPUT_BYTES)?, None));
    }
    let file = File::open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let bytes = read_bounded(&file, found.len(), MAX_INPUT_BYTES)?;
    let source = found.is_file().then_some(ModuleFile { file, found });
    Ok((bytes, source))
}

/// Reads everything; memory for `expected_bytes` is taken at once. More than `limit_bytes` is [`io::ErrorKind::FileTooLarge`], without
/// reading where that is expected, and after no more than one byte over the limit otherwise.
fn read_bounded(source: impl Read, expected_bytes: u64, limit_bytes: u64) -> io::Result<Vec<u8>> {
    if expected_bytes > limit_bytes {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::new();
    let reserve = usize::try_from(expected_bytes).unwrap_or(0);
    bytes.try_reserve_exact(reserve).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    source.take(limit_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit_bytes { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Whether bytes are meant as the text format. Damaged binaries contain zeros almost everywhere, texts nowhere.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok()
}

/// Whether validation refused something that is well-formed but switched off, as far as its words tell.
fn is_missing_feature(message: &str) -> bool {
    ["not enabled", "be enabled", "proposal", " feature"].iter().any(|words| message.contains(words))
}

/// Whether validation refused more of something than engines have to support, as far as its words tell.
fn is_limit(message: &str) -> bool {
    ["exceeds", "exceed", "limit of", "too many", "too large"].iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_without_end_is_given_up_at_the_limit() {
        let error = read_bounded(io::repeat(0), 0, 1000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_bounded(io::repeat(0).take(1000), 0, 1000).unwrap().len(), 1000);
        assert_eq!(read_bounded(io::empty(), 1001, 1000).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }
}
