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

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use innkeeper::wasi::keys::{Access, FileMode, Keys, StdoutKey};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use crate::report::{self, Problem, visible};
use crate::values::ChangesFlag;

/// Links followed on the way to a file, as many as the system follows.
const MAX_LINKS: u32 = 40;
/// What a file or directory may be opened for by others: as the user's umask has it.
const FILE_MODE: Mode = Mode::from_raw_mode(0o666);
/// A directory, only to go on from there.
const LOOKUP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a directory is, whatever its name.
type Identity = (u64, u64);

/// The directories that a guest may write to.
#[derive(Debug, Default)]
pub(crate) struct Writable(Vec<(Identity, PathBuf)>);

/// A file that is going to be written.
#[derive(Debug)]
pub(crate) struct Output {
    directory: OwnedFd,
    name: OsString,
    /// For messages.
    path: PathBuf,
    /// What is there and no file: a terminal, a pipe, a device. It is written to as it is.
    special: Option<File>,
}

impl Writable {
    /// Where no guest runs, or none is granted anything.
    pub(crate) fn nothing() -> Writable {
        Writable::default()
    }

    /// What these keys let a guest write to, at once or when its changes are applied.
    pub(crate) fn of(keys: &Keys, changes: &[ChangesFlag]) -> Writable {
        let applies = changes.contains(&ChangesFlag::Apply);
        let is_writable = |access| match access {
            Access::ReadWrite => true,
            Access::CopyOnWrite => applies,
            _ => false,
        };
        let written = keys.directories.iter().filter(|key| is_writable(key.access));
        let found = written.filter_map(|key| {
            let stat = rustix::fs::stat(&key.host).ok()?;
            Some((identity(&stat), key.host.clone()))
        });
        Writable(found.collect())
    }

    /// The granted directory that an open one is, or is in. The descriptors are asked, so that links and mounts make no difference.
    fn around(&self, directory: &OwnedFd) -> io::Result<Option<&Path>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut here = identity(&fstat(directory)?);
        let mut at = openat(directory, c".", LOOKUP, Mode::empty())?;
        loop {
            if let Some((_, path)) = self.0.iter().find(|(granted, _)| *granted == here) {
                return Ok(Some(path));
            }
            at = openat(&at, c"..", LOOKUP, Mode::empty())?;
            let above = identity(&fstat(&at)?);
            if above == here {
                return Ok(None);
            }
            here = above;
        }
    }

    /// Warns of a file that is read and decides what a later run may do, where the guest may change it.
    pub(crate) fn warn_of_input(&self, path: &Path, what: &str) {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let opened = openat(
            CWD,
            directory.unwrap_or(Path::new(".")),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let around = opened.map_err(io::Error::from).and_then(|directory| self.around(&directory));
        if let Ok(Some(granted)) = around {
            let reason = format!(
                "{what} lies in {}, which the guest may write to: it can change what the next run does",
                visible(&granted.to_string_lossy())
            );
            report::warning(&Problem::new(path.to_string_lossy(), reason).help("keep it elsewhere"));
        }
    }
}

impl Output {
    /// Opens the directory of a file that is going to be written, and what is there if that is no file.
    pub(crate) fn open(path: impl AsRef<Path>, writable: &Writable) -> Result<Output, Problem> {
        let path = path.as_ref();
        let output = Output::find(path, writable)?;
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
    fn find(path: &Path, writable: &Writable) -> Result<Output, Problem> {
        let (directory, name) = Way { writable, path, links_left: MAX_LINKS }.follow()?;
        let special = match statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => match FileType::from_raw_mode(found.st_mode) {
                FileType::RegularFile => None,
                FileType::Directory => return Err(unwritable(path, &io::ErrorKind::IsADirectory.into())),
                FileType::Symlink if is_own_descriptor(path) => {
                    Some(File::options().write(true).open(path).map_err(|error| unwritable(path, &error))?)
                }
                FileType::Symlink => return Err(link(path)),
                _ => Some(
                    open_at(&directory, &name, OFlags::empty()).map_err(|error| unwritable(path, &error))?,
                ),
            },
            Err(Errno::NOENT) => None,
            Err(error) => return Err(unwritable(path, &error.into())),
        };
        Ok(Output { directory, name, path: path.to_owned(), special })
    }

    /// The file, to be written to while the guest runs.
    pub(crate) fn stream(self, mode: FileMode) -> Result<File, Problem> {
        let open = || match self.special {
            Some(special) => Ok(special),
            None => {
                let flags = if mode == FileMode::Append { OFlags::APPEND } else { OFlags::empty() };
                let file = open_at(&self.directory, &self.name, OFlags::CREATE | flags)?;
                let is_file = FileType::from_raw_mode(fstat(&file)?.st_mode) == FileType::RegularFile;
                if mode == FileMode::Truncate && is_file {
                    file.set_len(0)?;
                }
                Ok(file)
            }
        };
        open().map_err(|error: io::Error| unwritable(&self.path, &error))
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
        const ATTEMPTS: u32 = 100;
        let mut attempt = 0;
        loop {
            let name = format!(".inn-{}-{attempt}", std::process::id());
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

/// Opens the files that the guest's standard streams go to.
pub(crate) fn open_streams(keys: &mut Keys, writable: &Writable) -> Result<(), Problem> {
    for key in [&mut keys.stdout, &mut keys.stderr] {
        if let StdoutKey::File { path, mode } = key {
            let file = Output::find(path, writable)?.stream(*mode)?;
            *key = StdoutKey::Opened(Arc::new(file.into()));
        }
    }
    Ok(())
}

/// The way to a file's directory.
struct Way<'a> {
    writable: &'a Writable,
    path: &'a Path,
    links_left: u32,
}

impl Way<'_> {
    /// The directory, and the file's name in it.
    fn follow(mut self) -> Result<(OwnedFd, OsString), Problem> {
        let failed = |error: io::Error| unwritable(self.path, &error);
        let Some(name) = self.path.file_name().filter(|_| !ends_in_slash(self.path)) else {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        };
        let mut todo = steps(self.path.parent().unwrap_or(Path::new("")));
        let start = |path: &Path| if path.is_absolute() { c"/" } else { c"." };
        let open = |at: &OwnedFd, name: &OsStr| openat(at, name, LOOKUP, Mode::empty());
        let mut at =
            openat(CWD, start(self.path), LOOKUP, Mode::empty()).map_err(|error| failed(error.into()))?;
        while let Some(step) = todo.pop_front() {
            match open(&at, &step) {
                Ok(next) => at = next,
                Err(error @ (Errno::LOOP | Errno::NOTDIR)) => {
                    let target =
                        rustix::fs::readlinkat(&at, &step, Vec::new()).map_err(|_| failed(error.into()))?;
                    if self.writable.around(&at).map_err(failed)?.is_some() {
                        return Err(link_on_the_way(self.path, &step));
                    }
                    self.links_left =
                        self.links_left.checked_sub(1).ok_or_else(|| failed(Errno::LOOP.into()))?;
                    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                    if target.is_absolute() {
                        at =
                            openat(CWD, c"/", LOOKUP, Mode::empty()).map_err(|error| failed(error.into()))?;
                    }
                    steps(target).into_iter().rev().for_each(|step| todo.push_front(step));
                }
                Err(error) => return Err(failed(error.into())),
            }
        }
        // One that can be written to, where the search went by ones that can only be searched.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(&at, c".", flags, Mode::empty()).unwrap_or(at);
        Ok((directory, name.to_owned()))
    }
}

/// The steps of a path to a directory, without those that lead nowhere.
fn steps(path: &Path) -> VecDeque<OsString> {
    let steps = path.components().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    steps.map(|step| step.as_os_str().to_owned()).collect()
}

fn ends_in_slash(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/")
}

/// Whether a path is the system's name of a descriptor of this process: a link that leads where whoever started the command has said.
fn is_own_descriptor(path: &Path) -> bool {
    let is_number = |name: &OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
    match path.parent().and_then(Path::to_str) {
        Some("/dev") => matches!(path.file_name().and_then(OsStr::to_str), Some("stdout" | "stderr")),
        Some("/dev/fd" | "/proc/self/fd") => path.file_name().is_some_and(is_number),
        _ => false,
    }
}

fn open_at(directory: &OwnedFd, name: &OsStr, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = rustix::io::retry_on_intr(|| openat(directory.as_fd(), name, flags, FILE_MODE));
    Ok(opened.map(File::from)?)
}

#[allow(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")]
fn identity(stat: &Stat) -> Identity {
    (stat.st_dev as u64, stat.st_ino as u64)
}

fn link(path: &Path) -> Problem {
    Problem::new(
        path.to_string_lossy(),
        "it is a symbolic link, which a guest may have left to have another file written",
    )
    .help("remove the link, or name the file that it leads to")
}

fn link_on_the_way(path: &Path, step: &OsStr) -> Problem {
    let step = visible(&step.to_string_lossy());
    let reason =
        format!("`{step}` on the way there is a symbolic link in a directory that the guest may write to");
    Problem::new(path.to_string_lossy(), reason)
        .help("write it elsewhere, or name the directory that the link leads to")
}

fn unwritable(path: &Path, error: &io::Error) -> Problem {
    Problem::new(path.to_string_lossy(), format!("cannot be written: {error}"))
        .help("check that its directory is there, and has room")
}
