//! Files that `inn` itself writes: reports, records, archives, compiled modules, and what a guest's streams go to.
//!
//! A guest that may write to a directory can leave links there: in this run before the file is written, or in an earlier one. So every file that a flag names is
//! opened here, before the guest starts, beneath its directory, which stays open. A link in the last place is never followed. One on the way there is followed only
//! outside of what this run's guest may write to.
//!
//! A whole document is written under another name and then renamed, so that readers see the old one or the new one, and whatever stands in its place by then is
//! replaced and not written through. A stream is opened once.
//!
//! Must stay true: nothing else in the command opens a file for writing by its path, `perf` excepted, whose file is new or nothing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use innkeeper::wasi::keys::{FileMode, Keys, StdoutKey};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::handed_over::{self, HandedStream, is_own_descriptor};
use crate::mounts;
use crate::report::{self, Problem, visible};
use crate::writable::{self, WayError, Writable, Writing};

/// What a file or directory may be opened for by others: as the user's umask has it.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
/// What stands for standard output where a document can go there.
pub(crate) const STANDARD: &str = "-";

/// A file that is going to be written.
#[derive(Debug)]
pub(crate) struct Output {
    directory: OwnedFd,
    name: OsString,
    /// For messages.
    path: PathBuf,
    /// What is there and no file of its directory's: a terminal, a pipe, a device, or whatever was handed over. It is written to as it is.
    special: Option<File>,
}

impl Output {
    /// Opens the directory of a file that is going to be written, and what is there if that is no file.
    pub(crate) fn open(path: impl AsRef<Path>, writable: &Writable) -> Result<Output, Problem> {
        let path = path.as_ref();
        let output = Output::find(path, writable, Writing::Whole)?;
        match writable.around(&output.directory) {
            Ok(None) => {}
            Ok(Some(granted)) => {
                let reason = format!(
                    "it lies in {}, which the guest may write to: what it says can be the guest's",
                    visible(&granted.to_string_lossy())
                );
                report::warning(&Problem::new(path.to_string_lossy(), reason).help("write it elsewhere"));
            }
            Err(error) => return Err(unwritable(path, &error)),
        }
        Ok(output)
    }

    /// [`Output::open`] for what a guest writes to a standard stream: that this is the guest's, nobody needs to be told.
    fn find(path: &Path, writable: &Writable, how: Writing) -> Result<Output, Problem> {
        if path.as_os_str().is_empty() {
            let problem = Problem::from_message("the path of a file to write is empty");
            return Err(problem.help("name a file"));
        }
        if path == Path::new(STANDARD) {
            let reason = "standard output is the guest's, or of what the command says";
            return Err(Problem::new(path.to_string_lossy(), reason)
                .help("name a file; one of that name is written ./-")
                .mistake());
        }
        let (directory, name) = writable.directory_of(path).map_err(|error| match error {
            WayError::System(error) => unwritable(path, &error),
            WayError::Planted(step) => writable::planted(path, &step),
        })?;
        writable.require_in_sight(&directory, path)?;
        let special = match statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => match FileType::from_raw_mode(found.st_mode) {
                FileType::RegularFile => None,
                FileType::Directory => return Err(unwritable(path, &io::ErrorKind::IsADirectory.into())),
                FileType::Symlink if is_own_descriptor(path) => {
                    let file = handed_over::open(path, how).map_err(|error| unwritable(path, &error))?;
                    match HandedStream::of_path(path) {
                        Some(stream) => writable.require_streams_in_sight(&[stream])?,
                        None => writable.require_file_in_sight(&file, path)?,
                    }
                    Some(file)
                }
                FileType::Symlink => return Err(link(path)),
                _ => Some(
                    open_at(&directory, &name, OFlags::empty()).map_err(|error| unwritable(path, &error))?,
                ),
            },
            Err(Errno::NOENT) => None,
            Err(error) => return Err(unwritable(path, &error.into())),
        };
        // What was handed over can be a file, too.
        if special.as_ref().is_none_or(|file| handed_over::regular_file(file).is_some()) {
            writable.take((&directory, &name), path, how)?;
        }
        Ok(Output { directory, name, path: path.to_owned(), special })
    }

    /// The file's path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the file's directory is now, whatever has been done to the path that it was opened by.
    pub(crate) fn folder(&self) -> io::Result<PathBuf> {
        let link = format!("/proc/self/fd/{}", self.directory.as_raw_fd());
        std::fs::read_link(link)
    }

    /// The file, to be written to while the guest runs.
    pub(crate) fn stream(self, mode: FileMode, writable: &Writable) -> Result<File, Problem> {
        let failed = |error: io::Error| unwritable(&self.path, &error);
        let file = match self.special {
            Some(special) => special,
            None => {
                let flags = if mode == FileMode::Append { OFlags::APPEND } else { OFlags::empty() };
                let file = open_at(&self.directory, &self.name, OFlags::CREATE | flags).map_err(failed)?;
                writable.require_file_in_sight(&file, &self.path)?;
                writable.require_unread(&file, &self.path)?;
                let found = fstat(&file).map_err(|error| failed(error.into()))?;
                let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
                if mode == FileMode::Truncate && is_file {
                    file.set_len(0).map_err(failed)?;
                }
                file
            }
        };
        Ok(file)
    }

    /// Writes a whole document.
    pub(crate) fn write<T, E: From<io::Error> + std::fmt::Display>(
        self,
        fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<T, Problem> {
        let path = self.path.clone();
        let failed = |error: E| {
            Problem::new(path.to_string_lossy(), format!("cannot be written: {error}"))
                .help("check that its directory is there, and has room")
        };
        self.write_or(fill, (E::from, failed))
    }

    /// [`Output::write`], with what the system's errors become, and what is said about any.
    pub(crate) fn write_or<T, E>(
        self,
        fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
        (of_system, failed): (impl Fn(io::Error) -> E, impl Fn(E) -> Problem),
    ) -> Result<T, Problem> {
        let whole = |file: &File| -> Result<T, E> {
            let mut to = BufWriter::with_capacity(1 << 16, file);
            let made = fill(&mut to)?;
            to.flush().map_err(&of_system)?;
            Ok(made)
        };
        if let Some(special) = &self.special {
            return whole(special).map_err(failed);
        }
        let (file, temporary) = self.begin().map_err(|error| failed(of_system(error)))?;
        let written = whole(&file).and_then(|made| {
            renameat(&self.directory, &temporary, &self.directory, &self.name)
                .map_err(|error| of_system(error.into()))?;
            Ok(made)
        });
        if written.is_err() {
            let _ = unlinkat(&self.directory, &temporary, AtFlags::empty());
        }
        written.map_err(failed)
    }

    /// A new file beside the one that it will replace, with the same permissions.
    fn begin(&self) -> io::Result<(File, String)> {
        const ATTEMPTS: u32 = 8;
        let mut attempt = 0;
        loop {
            let name = random_name()?;
            match open_at(&self.directory, OsStr::new(&name), OFlags::CREATE | OFlags::EXCL) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS => {
                    attempt += 1
                }
                Err(error) => return Err(error),
                Ok(file) => {
                    let old = statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW);
                    if let Ok(old) = old
                        && FileType::from_raw_mode(old.st_mode) == FileType::RegularFile
                    {
                        let _ = rustix::fs::fchmod(&file, Mode::from_raw_mode(old.st_mode & 0o777));
                    }
                    return Ok((file, name));
                }
            }
        }
    }
}

/// Where a command without a guest writes its document.
pub(crate) enum Document {
    File(Output),
    /// Standard output; what is said of it goes to standard error.
    Standard,
}

impl Document {
    /// Opens the file of this path, or standard output for `-`.
    pub(crate) fn open(path: &Path, writable: &Writable) -> Result<Document, Problem> {
        if path == Path::new(STANDARD) && io::stdout().is_terminal() {
            let reason = "it is a terminal, and what is written is for another program";
            return Err(Problem::new("standard output", reason)
                .help("name a file, or have it go to one")
                .mistake());
        }
        if path == Path::new(STANDARD) {
            writable.require_streams_in_sight(&[HandedStream::Output])?;
            return Ok(Document::Standard);
        }
        Output::open(path, writable).map(Document::File)
    }

    /// Writes it, and says `closing` where that is not part of it.
    pub(crate) fn write(self, document: &[u8], closing: &str) -> Result<(), Problem> {
        match self {
            Document::File(output) => {
                output.write(|to| to.write_all(document))?;
                report::output(closing)
            }
            Document::Standard => {
                report::bytes(document)?;
                report::table(closing);
                Ok(())
            }
        }
    }
}

/// What to call the file of a document.
pub(crate) fn written_to(path: &Path) -> String {
    if path == Path::new(STANDARD) {
        String::from("standard output")
    } else {
        visible(&path.to_string_lossy())
    }
}

/// Opens the files that the guest's standard streams go to.
pub(crate) fn open_streams(keys: &mut Keys, writable: &Writable) -> Result<(), Problem> {
    for key in [&mut keys.stdout, &mut keys.stderr] {
        if let StdoutKey::File { path, mode } = key {
            *key = StdoutKey::Opened(open_stream((path, *mode), writable, &[])?);
        }
    }
    Ok(())
}

/// Opens a file that a guest's stream goes to; where it is one of those that are `open` for the same, that one.
pub(crate) fn open_stream(
    (path, mode): (&Path, FileMode),
    writable: &Writable,
    open: &[OpenStream],
) -> Result<Arc<OwnedFd>, Problem> {
    let how = if mode == FileMode::Append { Writing::Append } else { Writing::Whole };
    let output = Output::find(path, writable, how)?;
    let there = mounts::look(&output.directory, Path::new(&output.name), AtFlags::SYMLINK_NOFOLLOW).ok();
    let there = there.map(|found| found.identity);
    let is_it = |stream: &&OpenStream| {
        let file = handed_over::regular_file(&stream.file).map(|found| found.identity);
        stream.path == path && stream.mode == mode && file.is_some() && file == there
    };
    let file = match open.iter().find(is_it) {
        Some(stream) => Arc::clone(&stream.file),
        None => Arc::new(output.stream(mode, writable)?.into()),
    };
    writable.was_opened(path, &file);
    Ok(file)
}

/// A file that a guest's stream goes to.
#[derive(Clone, Debug)]
pub(crate) struct OpenStream {
    pub(crate) path: PathBuf,
    pub(crate) mode: FileMode,
    pub(crate) file: Arc<OwnedFd>,
}

/// A name for a file that is being written. A guest may have the directory, and is not to guess it.
fn random_name() -> io::Result<String> {
    let mut number = [0; 8];
    rustix::io::retry_on_intr(|| getrandom(&mut number, GetRandomFlags::empty()))?;
    Ok(format!(".inn-{:016x}", u64::from_ne_bytes(number)))
}

fn open_at(directory: &OwnedFd, name: &OsStr, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::io::retry_on_intr(|| openat(directory.as_fd(), name, flags, FILE_MODE));
    Ok(opened.map(File::from)?)
}

fn link(path: &Path) -> Problem {
    Problem::new(
        path.to_string_lossy(),
        "it is a symbolic link, which a guest may have left to have another file written",
    )
    .help("remove the link, or name the file that it leads to")
}

pub(crate) fn unwritable(path: &Path, error: &io::Error) -> Problem {
    if error.kind() == io::ErrorKind::IsADirectory {
        let problem = Problem::new(path.to_string_lossy(), "it is a directory, and a file is to be written");
        return problem.help("name a file").mistake();
    }
    Problem::new(path.to_string_lossy(), format!("cannot be written: {error}"))
        .help("check that its directory is there, and has room")
}
