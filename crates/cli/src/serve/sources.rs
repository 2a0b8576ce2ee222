//! The files that say what is served: the configuration, policies, programs, and those of TLS.
//!
//! Must stay true: all of them are read here, once for each reading, and bounded; a file that a guest may have put there, or changed, is not read while guests run; nobody waits without an end for one that is read
//! again. What is asked about a file is asked of what is open.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, SystemTime};

use super::program::is_handed_over;
use crate::input;
use crate::keys::read_text;
use crate::report::{Problem, visible};
use crate::writable::{WayError, Writable};

/// How long one reading may take while guests run.
const PATIENCE: Duration = Duration::from_secs(10);

/// By which it is seen that a file has changed: when it was, which one it is and how long.
pub(super) type Stamp = Option<(SystemTime, u64, u64)>;

/// When files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Before any guest of this server runs: also from a pipe that was handed over.
    AtTheStart,
    /// While guests run.
    Again,
}

/// Why a file was not read.
#[derive(Debug)]
pub(super) enum Unread {
    System(io::Error),
    /// It is not to be read, for this reason.
    Refused(String),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Unread {
        Unread::System(error)
    }
}

impl Unread {
    /// What to say of a file that is refused.
    pub(super) fn refusal(path: &Path, reason: &str) -> Problem {
        Problem::new(visible(&path.to_string_lossy()), reason)
            .help("keep it where no guest may write, in a file system that answers, and restart the server")
    }
}

/// Reads files.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    /// Whether one is being read.
    is_out: Arc<AtomicBool>,
    patience: Duration,
}

impl Default for Sources {
    fn default() -> Sources {
        Sources { is_out: Arc::default(), patience: PATIENCE }
    }
}

impl Sources {
    /// The text of a configuration or policy, and what its file was then. `writable` is where guests may write to.
    pub(super) fn text(
        &self,
        path: &Path,
        what: &'static str,
        (writable, when): (&Writable, When),
    ) -> Result<(String, Stamp), Unread> {
        self.read(path, what, (writable, when), |file| read_text(file))
    }

    /// A program's bytes, and what its file was then.
    pub(super) fn program(
        &self,
        path: &Path,
        (writable, when): (&Writable, When),
    ) -> Result<(Vec<u8>, Stamp), Unread> {
        self.read(path, "the program", (writable, when), input::read_whole)
    }

    fn read<T: Send + 'static>(
        &self,
        path: &Path,
        what: &'static str,
        (writable, when): (&Writable, When),
        take: impl FnOnce(&File) -> io::Result<T> + Send + 'static,
    ) -> Result<(T, Stamp), Unread> {
        let (wanted, writable) = (path.to_owned(), writable.clone());
        let read = move || -> Result<(T, Stamp), Unread> {
            let file = open(&wanted, what, (&writable, when))?;
            let stamp = file.metadata().ok().and_then(|found| stamp_of(&found));
            Ok((take(&file)?, stamp))
        };
        match when {
            When::AtTheStart => read(),
            When::Again => self.in_time(read).map_err(|reason| Unread::Refused(reason.to_owned())).flatten(),
        }
    }

    /// What the files are now.
    pub(super) fn stamps(&self, paths: Vec<PathBuf>) -> Result<Vec<(PathBuf, Stamp)>, Problem> {
        let first = paths.first().cloned().unwrap_or_default();
        let stamps = self.in_time(move || {
            let stamps = paths.into_iter().map(|path| (path.clone(), stamp(&path)));
            stamps.collect::<Vec<_>>()
        });
        stamps.map_err(|reason| Unread::refusal(&first, reason))
    }

    /// Does it on a thread of its own, of which there is one at a time: a file system that does not answer holds nobody else.
    fn in_time<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, &'static str> {
        if self.is_out.swap(true, Ordering::SeqCst) {
            return Err(STILL_OUT);
        }
        let (done, came) = sync_channel(1);
        let is_out = Arc::clone(&self.is_out);
        let work = move || {
            let outcome = work();
            is_out.store(false, Ordering::SeqCst);
            let _ = done.send(outcome);
        };
        if std::thread::Builder::new().name("files".to_owned()).spawn(work).is_err() {
            self.is_out.store(false, Ordering::SeqCst);
            return Err("the system has no thread to read it on");
        }
        came.recv_timeout(self.patience).map_err(|_| "reading it does not come to its end, and is given up")
    }
}

/// Why nothing is read while something else is.
pub(super) const STILL_OUT: &str = "what was read before it has still not come to its end";

/// Opens one of the files. At the start, what was handed over as a descriptor is taken as it is, such as the pipe that a shell makes of `<(...)`.
pub(super) fn open(path: &Path, what: &str, (writable, when): (&Writable, When)) -> Result<File, Unread> {
    let refused = |reason: String| {
        Unread::Refused(match when {
            When::AtTheStart => reason,
            When::Again => format!("{reason}: it is not read again"),
        })
    };
    if is_handed_over(path) {
        return match when {
            When::AtTheStart => Ok(File::open(path)?),
            When::Again => Err(refused(format!("{what} was handed over to this process"))),
        };
    }
    let found = writable.open_input(path).map_err(|error| match error {
        WayError::System(error) => Unread::System(error),
        WayError::Planted(step) => refused(format!(
            "the way to {what} goes by the symbolic link `{}`, which lies where the guest may write",
            visible(&step.to_string_lossy())
        )),
    })?;
    let metadata = found.file.metadata()?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file").into());
    }
    match (when, found.granted) {
        (When::Again, Some(granted)) => {
            let granted = visible(&granted.to_string_lossy());
            Err(refused(format!("{what} lies in {granted}, which the guest may write to")))
        }
        (When::Again, None) if writable.is_output(&found.file) => {
            Err(refused(format!("{what} is a file that an output of a guest goes to")))
        }
        _ => Ok(found.file),
    }
}

/// What a file is now.
pub(super) fn stamp(path: &Path) -> Stamp {
    std::fs::metadata(path).ok().and_then(|found| stamp_of(&found))
}

fn stamp_of(found: &std::fs::Metadata) -> Stamp {
    Some((found.modified().ok()?, found.ino(), found.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    /// A file system that does not answer is waited for by one thread, and everybody else is told.
    #[test]
    fn what_does_not_end_is_given_up() {
        let sources = Sources { patience: Duration::from_millis(1), ..Sources::default() };
        let (go_on, waits) = channel::<()>();
        let (over, is_over) = channel();
        let held = move || {
            let _ = waits.recv();
            over.send(()).unwrap();
        };
        assert!(sources.in_time(held).unwrap_err().contains("given up"));
        assert_eq!(sources.in_time(|| ()), Err(STILL_OUT));
        go_on.send(()).unwrap();
        is_over.recv().unwrap();
        let patient = Sources { patience: PATIENCE, ..sources };
        // The thread is about to say so.
        while patient.in_time(|| ()).is_err() {
            std::thread::yield_now();
        }
    }
}
