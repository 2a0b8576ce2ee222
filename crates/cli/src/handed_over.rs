//! Descriptors that whoever starts `inn` hands over: the standard streams, and those that a path such as `/dev/fd/3` names.
//!
//! A path says nothing about what they lead to, so that what is open is looked at. Must stay true: what is here is asked where a stream or a path of this kind is
//! used, and nothing of it is opened otherwise.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, OFlags, fcntl_getfl};

use crate::mounts::{self, Looked};
use crate::writable::Writing;

/// A standard stream as it was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandedStream {
    Input,
    Output,
    Error,
}

impl HandedStream {
    /// Those that are written to; the one first that messages go to.
    pub(crate) const WRITTEN: [HandedStream; 2] = [HandedStream::Error, HandedStream::Output];

    /// Its name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            HandedStream::Input => "standard input",
            HandedStream::Output => "standard output",
            HandedStream::Error => "standard error",
        }
    }

    /// The regular file that it is, if it is one.
    pub(crate) fn file(self) -> Option<Looked> {
        regular_file(self.as_fd())
    }

    /// How what it is written to is written.
    pub(crate) fn writing(self) -> Writing {
        match fcntl_getfl(self.as_fd()) {
            Ok(flags) if flags.contains(OFlags::APPEND) => Writing::Append,
            _ => Writing::Whole,
        }
    }

    /// The stream that a path names, of those that are written to.
    pub(crate) fn of_path(path: &Path) -> Option<HandedStream> {
        let name = path.file_name()?.to_str()?;
        match (is_own_descriptor(path), name) {
            (true, "stdout" | "1") => Some(HandedStream::Output),
            (true, "stderr" | "2") => Some(HandedStream::Error),
            _ => None,
        }
    }
}

impl AsFd for HandedStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            HandedStream::Input => rustix::stdio::stdin(),
            HandedStream::Output => rustix::stdio::stdout(),
            HandedStream::Error => rustix::stdio::stderr(),
        }
    }
}

/// Whether a path is the system's name of a descriptor of this process: a link that leads where whoever started the command has said.
pub(crate) fn is_own_descriptor(path: &Path) -> bool {
    let is_number = |name: &OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
    match path.parent().and_then(Path::to_str) {
        Some("/dev") => {
            matches!(path.file_name().and_then(OsStr::to_str), Some("stdin" | "stdout" | "stderr"))
        }
        Some("/dev/fd" | "/proc/self/fd") => path.file_name().is_some_and(is_number),
        _ => false,
    }
}

/// Opens what such a path names, to be written to as it was handed over. Of a standard stream it is the descriptor itself, so that both go on where the other has written;
/// any other is opened once more, where the first stands, and adds to the end where that does.
pub(crate) fn open(path: &Path, how: Writing) -> io::Result<File> {
    if let Some(stream) = HandedStream::of_path(path) {
        return Ok(stream.as_fd().try_clone_to_owned()?.into());
    }
    let (position, appends) = standing(path).unwrap_or((0, false));
    let mut file = File::options().write(true).append(appends || how == Writing::Append).open(path)?;
    if position > 0 {
        // What has no positions has none to go to.
        let _ = file.seek(SeekFrom::Start(position));
    }
    Ok(file)
}

/// Where a descriptor of this process stands, and whether what it is written is appended, as the system tells (proc_pid_fdinfo(5)).
fn standing(path: &Path) -> Option<(u64, bool)> {
    let number = path.file_name()?.to_str()?;
    let told = std::fs::read_to_string(Path::new("/proc/self/fdinfo").join(number)).ok()?;
    let field = |name: &str| told.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
    let flags = u32::from_str_radix(field("flags:")?, 8).ok()?;
    Some((field("pos:")?.parse().ok()?, OFlags::from_bits_retain(flags).contains(OFlags::APPEND)))
}

/// What an open file is, if it is a regular one.
pub(crate) fn regular_file(file: impl AsFd) -> Option<Looked> {
    let looked = mounts::look(file, Path::new(""), AtFlags::empty()).ok()?;
    (looked.kind == FileType::RegularFile).then_some(looked)
}

/// The directory that an open file was opened in, or has been moved to since.
pub(crate) fn directory_of(file: impl AsFd) -> Option<PathBuf> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())).ok()?;
    path.parent().filter(|_| path.is_absolute()).map(Path::to_owned)
}
