//! The directories that a guest may write to, and the host paths that flags name, which may lead through them, or name a file twice.
//!
//! A guest that may write to a directory can leave links there: in this run, or in an earlier one. No path that a flag names is followed through a link in a
//! directory that this run's guest may write to, whichever mounts show it. Of directories that only guests of earlier runs could write to nobody knows.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use innkeeper::wasi::keys::{Access, Keys, StdinKey};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::cache;
use crate::flags::RunArgs;
use crate::handed_over::{self, HandedStream, is_own_descriptor};
use crate::mounts::{self, Identity, Looked};
use crate::report::{self, Problem, named, visible};
use crate::values::{CacheFlag, ChangesFlag};

/// Links followed on the way to a file, as many as the system follows.
const MAX_LINKS: u32 = 40;
/// A directory, only to go on from there.
pub(crate) const LOOKUP: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directories that a guest may write to, and what `inn` reads and writes for its user in this run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writable {
    granted: Vec<Granted>,
    cache: Option<CacheFlag>,
    /// What no guest may reach, looked at when it is first asked for.
    hidden: OnceCell<Vec<Granted>>,
    inputs: Vec<OsString>,
    outputs: RefCell<Vec<Written>>,
    /// Files that outputs of guests have gone to, of guests that are gone as well.
    written: BTreeSet<Identity>,
}

/// A directory, as it was when it was looked at.
#[derive(Clone, Debug)]
struct Granted {
    looked: Looked,
    path: PathBuf,
    /// Itself, where it was opened: its path may lead elsewhere by now.
    opened: Option<Arc<OwnedFd>>,
}

/// A file that was opened to be read.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) file: File,
    /// The granted directory that it lies in, where a guest may change it.
    pub(crate) granted: Option<PathBuf>,
}

/// A file that `inn` writes.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// The directory and the name in it.
    at: (Identity, OsString),
    /// The file, if there is one.
    file: Option<Identity>,
    how: Writing,
    path: PathBuf,
}

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writing {
    /// From its beginning, or anew.
    Whole,
    /// At its end, whatever others write.
    Append,
}

/// Why a way cannot be gone.
#[derive(Debug)]
pub(crate) enum WayError {
    System(io::Error),
    /// This name on the way is a link that a guest may have left.
    Planted(OsString),
}

impl From<WayError> for io::Error {
    fn from(error: WayError) -> io::Error {
        match error {
            WayError::System(error) => error,
            WayError::Planted(step) => io::Error::other(format!(
                "the way goes by the symbolic link `{}`, which lies where the guest may write",
                visible(&step.to_string_lossy())
            )),
        }
    }
}

impl From<Errno> for WayError {
    fn from(error: Errno) -> WayError {
        WayError::System(error.into())
    }
}

impl Writable {
    /// Where no guest runs, in a command that reads these files.
    pub(crate) fn by_no_guest<'a>(inputs: impl IntoIterator<Item = &'a OsString>) -> Writable {
        Writable { inputs: inputs.into_iter().cloned().collect(), ..Writable::default() }
    }

    /// What these keys let a guest write to, at once or when its changes are applied, in a command that reads the guest's module and standard input.
    pub(crate) fn of(keys: &Keys, args: &RunArgs) -> Writable {
        let applies = args.reports.cow_changes.contains(&ChangesFlag::Apply);
        let is_writable = |access| access == Access::ReadWrite || applies && access == Access::CopyOnWrite;
        Writable {
            granted: looked_at(keys, is_writable),
            cache: args.cache.clone(),
            inputs: inputs(keys, args.file()),
            ..Writable::default()
        }
    }

    /// Where guests answer requests whose code is kept there, before any is granted a directory.
    pub(crate) fn of_server(cache: Option<&CacheFlag>) -> Writable {
        Writable { cache: cache.cloned(), ..Writable::default() }
    }

    /// What these keys let a guest write to at once, where none runs.
    pub(crate) fn granted_by(keys: &Keys) -> Writable {
        Writable { granted: looked_at(keys, |access| access == Access::ReadWrite), ..Writable::default() }
    }

    /// Notes one more file that is read in this run.
    pub(crate) fn also_reads(&mut self, path: &OsStr) {
        self.inputs.push(path.to_owned());
    }

    /// Takes an open directory for one that a guest may write to.
    pub(crate) fn also_grants(&mut self, directory: &Arc<OwnedFd>, path: &Path) -> io::Result<()> {
        let looked = mounts::look(directory, Path::new(""), AtFlags::empty())?;
        let place = |looked: Looked| (looked.identity, looked.mount);
        if !self.granted.iter().any(|known| known.path == path && place(known.looked) == place(looked)) {
            let opened = Some(Arc::clone(directory));
            self.granted.push(Granted { looked, path: path.to_owned(), opened });
        }
        Ok(())
    }

    /// Has these be the files that are read and written, which no further output may be.
    pub(crate) fn reads_and_writes(&mut self, inputs: Vec<OsString>, outputs: Vec<Written>) {
        self.inputs = inputs;
        self.outputs = RefCell::new(outputs);
    }

    /// The files that are written by now.
    pub(crate) fn outputs(&self) -> Vec<Written> {
        self.outputs.borrow().clone()
    }

    /// Remembers which files are written, for as long as anything is asked here.
    pub(crate) fn remember_outputs(&mut self) {
        let outputs = self.outputs.get_mut();
        self.written.extend(outputs.iter().filter_map(|it| it.file));
    }

    /// Whether an output of a guest goes, or has gone, to this file.
    pub(crate) fn is_output(&self, file: impl AsFd) -> bool {
        let found = handed_over::regular_file(&file);
        found.is_some_and(|found| self.written.contains(&found.identity))
    }

    /// Notes which file was opened for the output of this path that was taken last.
    pub(crate) fn was_opened(&self, path: &Path, file: impl AsFd) {
        let mut outputs = self.outputs.borrow_mut();
        if let Some(output) = outputs.last_mut().filter(|output| output.path == path) {
            output.file = handed_over::regular_file(&file).map(|found| found.identity);
        }
    }

    /// Refuses an open file that is read in this run.
    pub(crate) fn require_unread(&self, file: impl AsFd, path: &Path) -> Result<(), Problem> {
        let found = handed_over::regular_file(&file);
        match found.and_then(|found| self.input(found.identity)) {
            None => Ok(()),
            Some(input) => Err(Problem::new(path.to_string_lossy(), read_in_this_run(input))
                .help("write another file")
                .mistake()),
        }
    }

    /// The input that is this file, by whatever path.
    fn input(&self, file: Identity) -> Option<&OsString> {
        self.inputs.iter().find(|path| {
            let looked = match path.as_bytes() {
                b"-" => return HandedStream::Input.file().is_some_and(|it| it.identity == file),
                _ => mounts::look(CWD, Path::new(path), AtFlags::empty()),
            };
            looked.is_ok_and(|it| it.kind == FileType::RegularFile && it.identity == file)
        })
    }

    /// The granted directory that an open one is, or is in. The descriptors are asked, so that links and mounts make no difference.
    pub(crate) fn around(&self, directory: &OwnedFd) -> io::Result<Option<&Path>> {
        shown_in(&self.granted, directory)
    }

    /// Refuses to write to a directory in which the code cache or its key is kept: what is written can be the guest's.
    pub(crate) fn require_in_sight(&self, directory: &OwnedFd, path: &Path) -> Result<(), Problem> {
        match shown_in(self.hidden(), directory) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err(hidden(path)),
            Err(error) => Err(crate::output::unwritable(path, &error)),
        }
    }

    /// Refuses an open file that no guest may reach, by whatever name: the key of the code cache, or what is in the cache.
    pub(crate) fn require_file_in_sight(&self, file: impl AsFd, path: &Path) -> Result<(), Problem> {
        if self.is_hidden(file) { Err(hidden(path)) } else { Ok(()) }
    }

    fn is_hidden(&self, file: impl AsFd) -> bool {
        let Some(found) = handed_over::regular_file(&file) else { return false };
        let is_one = |identity| self.hidden().iter().any(|thing| thing.looked.identity == identity);
        // What the key's directory and the cache hold lies directly in them, and a directory is the same one by whatever mount it is seen. A directory that nobody can look
        // at, or that is gone, is neither.
        let directory = || mounts::look(CWD, &handed_over::directory_of(&file)?, AtFlags::empty()).ok();
        is_one(found.identity) || directory().is_some_and(|around| is_one(around.identity))
    }

    /// Refuses standard streams that are handed over and no guest may reach, or that go to what this run reads.
    pub(crate) fn require_streams_in_sight(&self, streams: &[HandedStream]) -> Result<(), Problem> {
        let refused = |stream: &HandedStream| Some((*stream, self.refused(*stream)?));
        let Some((stream, problem)) = streams.iter().find_map(refused) else { return Ok(()) };
        if stream == HandedStream::Error {
            self.leave_standard_error();
        }
        Err(problem)
    }

    fn refused(&self, stream: HandedStream) -> Option<Problem> {
        let file = stream.file()?;
        if self.is_hidden(stream) {
            return Some(hidden_stream(stream));
        }
        let input = HandedStream::WRITTEN.contains(&stream).then(|| self.input(file.identity))??;
        Some(
            Problem::new(stream.name(), read_in_this_run(input)).help("have it go to another file").mistake(),
        )
    }

    /// Has what is said from now on go to standard output, or nowhere: a message would be written to what nobody may write to.
    fn leave_standard_error(&self) {
        let _ = match self.refused(HandedStream::Output) {
            None => rustix::stdio::dup2_stderr(HandedStream::Output),
            Some(_) => openat(CWD, c"/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
                .and_then(rustix::stdio::dup2_stderr),
        };
    }

    fn hidden(&self) -> &[Granted] {
        self.hidden.get_or_init(|| {
            let paths = cache::out_of_sight(self.cache.as_ref()).into_iter();
            paths.filter_map(|path| Granted::at(&path)).collect()
        })
    }

    /// Refuses host paths that keys and flags name, if they go through links that the guest may have left: to what it is granted or reads, or where its code is kept. Refuses
    /// standard streams, too, that whoever starts the command has opened and no guest may reach.
    pub(crate) fn check_inputs(&self, keys: &Keys, cache: Option<&CacheFlag>) -> Result<(), Problem> {
        self.check_streams(keys)?;
        let is_native = |access| !matches!(access, Access::Temporary { .. });
        let directories = keys.directories.iter().filter(|key| is_native(key.access)).map(|key| &key.host);
        let stdin = match &keys.stdin {
            StdinKey::File(path) => Some(path),
            _ => None,
        };
        self.check_cache(cache)?;
        directories.chain(stdin).try_for_each(|path| self.require_unplanted(path))
    }

    /// Refuses standard streams that whoever starts the command has opened and no guest may reach.
    pub(crate) fn check_streams(&self, keys: &Keys) -> Result<(), Problem> {
        self.require_streams_in_sight(&HandedStream::WRITTEN)?;
        match keys.stdin {
            StdinKey::Inherit => self.require_streams_in_sight(&[HandedStream::Input]),
            _ => Ok(()),
        }
    }

    /// Refuses a directory for code to which a guest may have led.
    pub(crate) fn check_cache(&self, cache: Option<&CacheFlag>) -> Result<(), Problem> {
        match cache {
            Some(CacheFlag::Directory(path)) => self.require_unplanted(path),
            _ => Ok(()),
        }
    }

    fn require_unplanted(&self, path: &Path) -> Result<(), Problem> {
        match self.planted(path) {
            None => Ok(()),
            Some(step) => Err(planted(path, &step)),
        }
    }

    /// Warns of a file that is read and decides what a later run may do, where the guest may change it, or what leads to it.
    pub(crate) fn warn_of_input(&self, path: &Path, what: &str) {
        if let Some(reason) = self.changeable(path, what) {
            let reason = format!("{reason}: it can change what the next run does");
            report::warning(&Problem::new(path.to_string_lossy(), reason).help("keep it elsewhere"));
        }
    }

    /// How the guest may change a file, or what leads to it, where it may.
    pub(crate) fn changeable(&self, path: &Path, what: &str) -> Option<String> {
        if let Some(step) = self.planted(path) {
            let step = visible(&step.to_string_lossy());
            return Some(format!(
                "the way to {what} goes by the symbolic link `{step}`, which lies where the guest may write"
            ));
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = LOOKUP.difference(OFlags::NOFOLLOW);
        let opened = openat(CWD, directory.unwrap_or(Path::new(".")), flags, Mode::empty());
        let around = opened.map_err(io::Error::from).and_then(|directory| self.around(&directory));
        let Ok(Some(granted)) = around else { return None };
        let granted = visible(&granted.to_string_lossy());
        Some(format!("{what} lies in {granted}, which the guest may write to"))
    }

    /// Warns where the guest may change the program that is running, which the user will run again.
    pub(crate) fn warn_of_program(&self) {
        if !self.granted.is_empty()
            && let Ok(program) = std::env::current_exe()
        {
            self.warn_of_input(&program, "the program inn itself");
        }
    }

    /// The name of a link on the way to a path, or of the last one, that the guest may have left. What cannot be found has none: opening it will tell.
    pub(crate) fn planted(&self, path: &Path) -> Option<OsString> {
        if self.granted.is_empty() || is_own_descriptor(path) {
            return None;
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        if openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS).is_ok() {
            return None;
        }
        match self.follow(path, path) {
            Err(WayError::Planted(step)) => Some(step),
            _ => None,
        }
    }

    /// Opens the directory of a file that is to be written, and gives the file's name in it.
    pub(crate) fn directory_of(&self, path: &Path) -> Result<(OwnedFd, OsString), WayError> {
        let name = path.file_name().filter(|_| !path.as_os_str().as_bytes().ends_with(b"/"));
        let Some(name) = name else { return Err(Errno::ISDIR.into()) };
        let at = self.follow(path, path.parent().unwrap_or(Path::new("")))?;
        // One that can be written to, where the search went by ones that can only be searched.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(&at, c".", flags, Mode::empty()).unwrap_or(at);
        Ok((directory, name.to_owned()))
    }

    /// Opens a file to read it, through no link in a directory that the guest may write to. To be asked anew whenever the file is read: guests move things meanwhile.
    pub(crate) fn open_input(&self, path: &Path) -> Result<Found, WayError> {
        let mut path = path.to_owned();
        for _ in 0..=MAX_LINKS {
            let (directory, name) = self.directory_of(&path)?;
            let flags =
                OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let error = match openat(&directory, &name, flags, Mode::empty()) {
                Ok(file) => {
                    let granted = self.around(&directory).map_err(WayError::System)?;
                    return Ok(Found { file: File::from(file), granted: granted.map(Path::to_owned) });
                }
                Err(error @ Errno::LOOP) => error,
                Err(error) => return Err(error.into()),
            };
            let target = rustix::fs::readlinkat(&directory, &name, Vec::new()).map_err(|_| error)?;
            if self.around(&directory).map_err(WayError::System)?.is_some() {
                return Err(WayError::Planted(name));
            }
            path.pop();
            path.push(OsStr::from_bytes(target.as_bytes()));
        }
        Err(Errno::LOOP.into())
    }

    /// Opens a directory, only to go on from there, through no link in a directory that a guest may write to. One that was handed over is the one that it is.
    pub(crate) fn open_directory(&self, path: &Path) -> Result<OwnedFd, WayError> {
        match is_own_descriptor(path) {
            true => Ok(openat(CWD, path, LOOKUP.difference(OFlags::NOFOLLOW), Mode::empty())?),
            false => self.follow(path, path),
        }
    }

    /// Opens a directory step by step, through no link in a directory that the guest may write to.
    fn follow(&self, path: &Path, to: &Path) -> Result<OwnedFd, WayError> {
        let mut todo = steps(to);
        let mut links_left = MAX_LINKS;
        let start = if path.is_absolute() { c"/" } else { c"." };
        let mut at = openat(CWD, start, LOOKUP, Mode::empty())?;
        while let Some(step) = todo.pop_front() {
            match openat(&at, &step, LOOKUP, Mode::empty()) {
                Ok(next) => at = next,
                Err(error @ (Errno::LOOP | Errno::NOTDIR)) => {
                    let target = rustix::fs::readlinkat(&at, &step, Vec::new()).map_err(|_| error)?;
                    if self.around(&at).map_err(WayError::System)?.is_some() {
                        return Err(WayError::Planted(step));
                    }
                    links_left = links_left.checked_sub(1).ok_or(Errno::LOOP)?;
                    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
                    if target.is_absolute() {
                        at = openat(CWD, c"/", LOOKUP, Mode::empty())?;
                    }
                    steps(target).into_iter().rev().for_each(|step| todo.push_front(step));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(at)
    }

    /// Notes a file that is going to be written; refuses it where an input or another output of this run is the same file.
    pub(crate) fn take(
        &self,
        (directory, name): (&OwnedFd, &OsStr),
        path: &Path,
        how: Writing,
    ) -> Result<(), Problem> {
        let unwritable = |error: io::Error| crate::output::unwritable(path, &error);
        let directory = mounts::look(directory, Path::new(""), AtFlags::empty()).map_err(unwritable)?;
        let at = (directory.identity, name.to_owned());
        // Of a descriptor that was handed over, what is open is meant.
        let follows = if is_own_descriptor(path) { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let file = mounts::look(CWD, path, follows).ok();
        let file = file.filter(|it| it.kind == FileType::RegularFile).map(|it| it.identity);
        if let Some(input) = file.and_then(|file| self.input(file)) {
            let reason = read_in_this_run(input);
            return Err(Problem::new(path.to_string_lossy(), reason).help("write another file").mistake());
        }
        let mut outputs = self.outputs.borrow_mut();
        let is_same = |it: &&Written| it.at == at || it.file.is_some() && it.file == file;
        let is_lost = |other: Writing| other == Writing::Whole || how == Writing::Whole;
        let other = outputs.iter().filter(is_same).find(|it| is_lost(it.how));
        let other = other.map(|it| visible(&it.path.to_string_lossy())).or_else(|| {
            let own = HandedStream::of_path(path);
            let is_same = |it: &HandedStream| {
                Some(*it) != own && it.file().is_some_and(|found| Some(found.identity) == file)
            };
            let stream =
                HandedStream::WRITTEN.into_iter().filter(is_same).find(|it| is_lost(it.writing()))?;
            Some(stream.name().to_owned())
        });
        if let Some(other) = other {
            let reason = format!(
                "another output of this run goes to the same file, as {other}, and one of them would be lost"
            );
            return Err(Problem::new(path.to_string_lossy(), reason)
                .help("give each a file of its own")
                .mistake());
        }
        outputs.push(Written { at, file, how, path: path.to_owned() });
        Ok(())
    }
}

/// What is read in a run of this program.
fn inputs(keys: &Keys, program: &OsStr) -> Vec<OsString> {
    let stdin = match &keys.stdin {
        StdinKey::File(path) => Some(path.clone().into_os_string()),
        StdinKey::Inherit => Some(OsString::from("-")),
        _ => None,
    };
    [program.to_owned()].into_iter().chain(stdin).collect()
}

/// The directories of keys to which this applies, as far as they are there.
fn looked_at(keys: &Keys, applies: impl Fn(Access) -> bool) -> Vec<Granted> {
    let granted = keys.directories.iter().filter(|key| applies(key.access));
    granted.filter_map(|key| Granted::at(&key.host)).collect()
}

impl Granted {
    /// What is at this path, if anything is.
    fn at(path: &Path) -> Option<Granted> {
        let looked = mounts::look(CWD, path, AtFlags::empty()).ok()?;
        Some(Granted { looked, path: path.to_owned(), opened: None })
    }

    /// Whether it shows a directory by another mount.
    fn shows(&self, directory: (&OwnedFd, Looked)) -> bool {
        let again = || openat(CWD, &self.path, LOOKUP.difference(OFlags::NOFOLLOW), Mode::empty());
        match &self.opened {
            Some(opened) => mounts::is_shown_in(directory, (&**opened, self.looked)),
            None => again().is_ok_and(|opened| mounts::is_shown_in(directory, (&opened, self.looked))),
        }
    }
}

/// The one of these directories that an open one is, or is in.
fn shown_in<'a>(directories: &'a [Granted], directory: &OwnedFd) -> io::Result<Option<&'a Path>> {
    if directories.is_empty() {
        return Ok(None);
    }
    let look = |at: &OwnedFd| mounts::look(at, Path::new(""), AtFlags::empty());
    let mut at = openat(directory, c".", LOOKUP, Mode::empty())?;
    let mut here = look(&at)?;
    let mut is_first_on_mount = true;
    loop {
        let is_it = |known: &&Granted| {
            known.looked.identity == here.identity || is_first_on_mount && known.shows((&at, here))
        };
        if let Some(known) = directories.iter().find(is_it) {
            return Ok(Some(&known.path));
        }
        at = openat(&at, c"..", LOOKUP, Mode::empty())?;
        let above = look(&at)?;
        if above.identity == here.identity {
            return Ok(None);
        }
        is_first_on_mount = above.mount.is_none() || above.mount != here.mount;
        here = above;
    }
}

fn hidden(path: &Path) -> Problem {
    Problem::new(path.to_string_lossy(), HIDDEN).help("name another file").mistake()
}

fn read_in_this_run(input: &OsStr) -> String {
    let input = match input.as_bytes() {
        b"-" => String::from("standard input"),
        _ => named(&input.to_string_lossy()),
    };
    format!("it is read in this run, as {input}, and would be overwritten")
}

fn hidden_stream(stream: HandedStream) -> Problem {
    let help = match stream {
        HandedStream::Input => "have it come from another file, or give the guest none: --stdin empty",
        HandedStream::Output | HandedStream::Error => "have it go to another file",
    };
    Problem::new(stream.name(), HIDDEN).help(help).mistake()
}

/// Why nothing is written to, or read from, a file.
const HIDDEN: &str = "the code cache or its key is kept there, which no guest may reach";

/// The steps of a path, without those that lead nowhere.
fn steps(path: &Path) -> VecDeque<OsString> {
    let steps = path.components().filter(|step| matches!(step, Component::Normal(_) | Component::ParentDir));
    steps.map(|step| step.as_os_str().to_owned()).collect()
}

/// What to say of a link on the way to a path that a flag names.
pub(crate) fn planted(path: &Path, step: &OsStr) -> Problem {
    let step = visible(&step.to_string_lossy());
    let reason =
        format!("`{step}` on the way there is a symbolic link in a directory that the guest may write to");
    Problem::new(path.to_string_lossy(), reason).help("name what the link leads to, if that is meant")
}
