//! The keys of a program that is served: each request's guest has them.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use innkeeper::wasi::keys::{Access, DirKey, KeyError, Keys, Policy, StdinKey, StdoutKey};
use rustix::fs::AtFlags;

use super::files::{StaticFlag, no_files};
use super::flags::ServerFlags;
use super::program::wording;
use super::site::Guest;
use super::sources::{Sources, Stamp, Unread, When};
use crate::handed_over::is_own_descriptor;
use crate::keys::{complete, granted_by, policy_of, require_in_sight};
use crate::output::{OpenStream, open_stream};
use crate::report::{Problem, visible};
use crate::writable::{WayError, Writable, planted};
use crate::{cache, mounts};

/// What one request's guest may make inn hold, if nobody says otherwise.
pub(super) const MEMORY_BYTES: u64 = 256 << 20;

/// What a policy says, and what its file was when that was read.
pub(super) type PolicyText = Option<(String, Stamp)>;

/// Reads a guest's policy, where it has one.
pub(super) fn policy(
    guest: &Guest,
    sources: &Sources,
    (writable, when): (&Writable, When),
) -> Result<PolicyText, Problem> {
    let Some(path) = &guest.flags.grants.policy else { return Ok(None) };
    // What is wrong with it is printed.
    require_in_sight(path, &cache::out_of_sight(None))?;
    match sources.text(path, "the policy", (writable, when)) {
        Ok(read) => Ok(Some(read)),
        Err(Unread::Refused(reason)) => Err(Unread::refusal(path, &reason)),
        Err(Unread::System(error)) => Err(match policy_of(path.as_os_str(), Err(error)) {
            Err(problem) => problem,
            Ok(_) => Problem::new(visible(&path.to_string_lossy()), "it cannot be read"),
        }),
    }
}

/// The keys of each request's guest, with this policy.
pub(super) fn of(guest: &Guest, policy: &PolicyText, server: &ServerFlags) -> Result<Keys, Problem> {
    let builder = Keys::builder().argument(guest.file.to_string_lossy());
    let policy = match (&guest.flags.grants.policy, policy) {
        (Some(path), Some((text, _))) => policy_of(path.as_os_str(), Ok(text.clone()))?,
        _ => Policy::default(),
    };
    let mut keys = granted_by(policy, builder, &guest.flags.grants)?.build();
    // These are nobody's input, and the log's output. A module has those of its request instead.
    if keys.stdin == StdinKey::Inherit {
        keys.stdin = StdinKey::Empty;
    }
    if matches!(keys.stdout, StdoutKey::Inherit) {
        let stderr = std::io::stderr().as_fd().try_clone_to_owned();
        keys.stdout = stderr.map_or(StdoutKey::Closed, |stderr| StdoutKey::Opened(Arc::new(stderr)));
    }
    let flags = &guest.flags.limits;
    let limits = &mut keys.limits;
    limits.memory_bytes = flags.max_memory.or(limits.memory_bytes).or(Some(MEMORY_BYTES));
    limits.written_bytes = flags.max_written.or(limits.written_bytes);
    limits.max_open_handles = flags.max_handles.unwrap_or(limits.max_open_handles);
    limits.overlay_bytes = flags.max_cow.unwrap_or(limits.overlay_bytes);
    complete(&mut keys, server.cache.as_ref())?;
    Ok(keys)
}

/// What keys and flags of a guest name, open: by no link that a guest may have left.
#[derive(Debug)]
pub(super) struct Opened {
    /// In the order of the keys; none where one is in memory.
    directories: Vec<Option<Arc<OwnedFd>>>,
    /// In the order of `--static`.
    pub(super) statics: Vec<Arc<OwnedFd>>,
    stdin: Option<Arc<OwnedFd>>,
}

impl Opened {
    /// Opens all that, where guests may write to `writable`.
    pub(super) fn new(guest: &Guest, keys: &Keys, writable: &Writable) -> Result<Opened, Problem> {
        let directory = |key: &DirKey| {
            if matches!(key.access, Access::Temporary { .. }) {
                return Ok(None);
            }
            let path = key.host.clone();
            let error = match writable.open_directory(&key.host) {
                Ok(directory) => return Ok(Some(Arc::new(directory))),
                Err(WayError::Planted(step)) => return Err(planted(&path, &step)),
                Err(WayError::System(reason)) => match reason.kind() {
                    ErrorKind::NotFound => KeyError::DirectoryMissing(path),
                    ErrorKind::NotADirectory => KeyError::NotADirectory(path),
                    _ => KeyError::DirectoryUnreadable { path, reason },
                },
            };
            Err(wording(&guest.flags, keys).cannot_be_granted(&error))
        };
        let files = |flag: &StaticFlag| match writable.open_directory(&flag.directory) {
            Ok(directory) => Ok(Arc::new(directory)),
            Err(WayError::Planted(step)) => Err(planted(&flag.directory, &step)),
            Err(WayError::System(error)) => Err(no_files(&flag.directory, &error)),
        };
        let stdin = match &keys.stdin {
            StdinKey::File(path) if !is_own_descriptor(path) => Some(match writable.open_input(path) {
                Ok(found) => {
                    writable.require_file_in_sight(&found.file, path)?;
                    Arc::new(OwnedFd::from(found.file))
                }
                Err(WayError::Planted(step)) => return Err(planted(path, &step)),
                Err(WayError::System(error)) => {
                    let reason = format!("it is to be standard input, and cannot be read: {error}");
                    return Err(Problem::new(visible(&path.to_string_lossy()), reason)
                        .help("create it, or correct the path")
                        .mistake());
                }
            }),
            _ => None,
        };
        Ok(Opened {
            directories: keys.directories.iter().map(directory).collect::<Result<_, _>>()?,
            statics: guest.flags.statics.iter().map(files).collect::<Result<_, _>>()?,
            stdin,
        })
    }

    /// Whether another opening found the same.
    pub(super) fn is(&self, other: &Opened) -> bool {
        let identities = |opened: &Opened| -> Vec<_> {
            let all = opened.directories.iter().flatten().chain(&opened.statics).chain(&opened.stdin);
            all.map(|fd| mounts::look(fd, Path::new(""), AtFlags::empty()).ok().map(|it| it.identity))
                .collect()
        };
        identities(self) == identities(other)
    }

    /// The directories of these keys to which this applies.
    fn directories<'a>(
        &'a self,
        keys: &'a Keys,
        applies: impl Fn(Access) -> bool + 'a,
    ) -> impl Iterator<Item = (&'a Arc<OwnedFd>, &'a Path)> {
        let all = keys.directories.iter().zip(&self.directories).filter(move |(key, _)| applies(key.access));
        all.filter_map(|(key, opened)| Some((opened.as_ref()?, &*key.host)))
    }

    /// Adds what a guest with these keys may write to.
    pub(super) fn granted(&self, keys: &Keys, writable: &mut Writable) -> Result<(), Problem> {
        self.directories(keys, |access| access == Access::ReadWrite).try_for_each(|(directory, path)| {
            let looked = writable.also_grants(directory, path);
            looked.map_err(|error| Problem::new(visible(&path.to_string_lossy()), error))
        })
    }

    /// All that a guest with these keys is granted in any way, and what clients are given, as if somebody could write there.
    pub(super) fn shown(&self, keys: &Keys, statics: &[StaticFlag]) -> Result<(Writable, Writable), Problem> {
        let mut to_clients = Writable::default();
        let problem =
            |path: &Path, error: std::io::Error| Problem::new(visible(&path.to_string_lossy()), error);
        for (flag, opened) in statics.iter().zip(&self.statics) {
            let added = to_clients.also_grants(opened, &flag.directory);
            added.map_err(|error| problem(&flag.directory, error))?;
        }
        let mut to_all = to_clients.clone();
        for (directory, path) in self.directories(keys, |_| true) {
            to_all.also_grants(directory, path).map_err(|error| problem(path, error))?;
        }
        Ok((to_clients, to_all))
    }

    /// Has the keys be to what is open.
    pub(super) fn put_into(&self, keys: &mut Keys) {
        for (key, opened) in keys.directories.iter_mut().zip(&self.directories) {
            if let Some(opened) = opened {
                *key = key.clone().with_opened(Arc::clone(opened));
            }
        }
        if let Some(stdin) = &self.stdin {
            keys.stdin = StdinKey::OpenedFile(Arc::clone(stdin));
        }
    }
}

/// The files that are read for a guest: its program, its policy and its standard input.
pub(super) fn inputs(guest: &Guest, keys: &Keys) -> Vec<OsString> {
    let policy = guest.flags.grants.policy.as_ref().map(|path| path.clone().into_os_string());
    let stdin = match &keys.stdin {
        StdinKey::File(path) => Some(path.clone().into_os_string()),
        _ => None,
    };
    [guest.file.clone()].into_iter().chain(policy).chain(stdin).collect()
}

/// Sees to it that no stream of this process is what no guest may reach, warns of what guests may change, and opens the files that standard streams of this guest go to, once: a guest could lead the next one's
/// elsewhere. Those that a guest before it has `open` for the same are not begun anew.
pub(super) fn open_streams(
    keys: &mut Keys,
    guest: &Guest,
    (writable, open): (&Writable, &[OpenStream]),
) -> Result<Vec<OpenStream>, Problem> {
    writable.check_streams(keys)?;
    writable.warn_of_input(Path::new(&guest.file), "the program that is served");
    if let Some(policy) = &guest.flags.grants.policy {
        writable.warn_of_input(policy, "the policy");
    }
    let mut streams = Vec::new();
    for key in [&mut keys.stdout, &mut keys.stderr] {
        if let StdoutKey::File { path, mode } = key {
            let file = open_stream((path, *mode), writable, open)?;
            streams.push(OpenStream { path: path.clone(), mode: *mode, file: Arc::clone(&file) });
            *key = StdoutKey::Opened(file);
        }
    }
    Ok(streams)
}
