//! What is served: programs with their keys, each for its hosts and paths, and how all of it is read again.
//!
//! Must stay true: what is read again serves new requests as a whole or not at all; a program whose keys are the same keeps what was opened for them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use innkeeper_http::{Handler, HostPattern, Routes};

use super::flags::{GuestFlags, ServerFlags};
use super::program::Program;
use super::ready::{Ready, Wanted};
use super::{config, files};
use crate::input::Code;
use crate::report::{Problem, visible};
use crate::writable::Writable;

/// A program that is to be served, as the command line or a configuration has it.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) file: OsString,
    /// None: all of them.
    pub(super) hosts: Vec<HostPattern>,
    pub(super) path: String,
    pub(super) flags: GuestFlags,
    /// All of that as it was written: two that are the same are served alike.
    pub(super) written: Vec<OsString>,
    /// Where it was written, for messages; none on the command line.
    pub(super) place: Option<String>,
}

/// All that is served.
pub(super) struct Site {
    server: Arc<ServerFlags>,
    /// Where the guests are written, if not on the command line.
    config: Option<PathBuf>,
    served: Vec<Served>,
    /// What the files were when they were read last, in order or not.
    seen: BTreeMap<PathBuf, Stamp>,
    /// What guests may write to, those that are gone included.
    writable: Arc<Mutex<Writable>>,
}

/// A guest that is to be served next.
enum Next {
    /// As it is.
    Same(Arc<Ready>),
    New(Arc<Guest>),
}

/// A guest that is served.
struct Served {
    ready: Arc<Ready>,
    handler: Arc<dyn Handler>,
    code: Code,
    stamp: Stamp,
}

/// By which it is seen that a file has changed: when it was, which one it is and how long.
type Stamp = Option<(SystemTime, u64, u64)>;

/// Whether files that seem to be what they were are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unchanged {
    ReadAgain,
    Kept,
}

impl Guest {
    /// The problem, and where its guest was written.
    pub(super) fn at_its_place(&self, problem: Problem) -> Problem {
        match &self.place {
            Some(place) => problem.at(place),
            None => problem,
        }
    }

    /// Its policy as it is now.
    pub(super) fn policy(&self) -> Option<Vec<u8>> {
        // What cannot be read is told by whoever grants it.
        self.flags.grants.policy.as_deref().and_then(|path| std::fs::read(path).ok())
    }

    /// Whether no request is anybody else's, or for a file.
    fn answers_everything(&self) -> bool {
        self.hosts.is_empty() && self.path == "/" && self.flags.statics.is_empty()
    }
}

impl Site {
    /// These guests, and who answers by them.
    pub(super) fn new(
        server: &Arc<ServerFlags>,
        config: Option<PathBuf>,
        guests: Vec<Guest>,
    ) -> Result<(Site, Arc<dyn Handler>), Problem> {
        let (server, writable) = (Arc::clone(server), Arc::default());
        let mut site = Site { server, config, served: Vec::new(), seen: BTreeMap::new(), writable };
        site.seen.extend(site.config.clone().map(|path| (path.clone(), stamp(&path))));
        let ready = site.ready(guests.into_iter().map(|guest| Next::New(Arc::new(guest))).collect())?;
        let handler = site.serve(ready, Unchanged::ReadAgain)?;
        Ok((site, handler))
    }

    /// What guests may write to, whichever are served.
    pub(super) fn writable(&self) -> Arc<Mutex<Writable>> {
        Arc::clone(&self.writable)
    }

    /// The time on the wall that the policy of the only guest grants its requests.
    pub(super) fn wall_time(&self) -> Option<std::time::Duration> {
        self.served.iter().find_map(|served| served.ready.keys.limits.wall_time)
    }

    /// What all programs are called, for messages.
    pub(super) fn names(&self) -> String {
        let source = self.config.as_ref().map(|config| config.as_os_str());
        let names = self.served.iter().map(|served| served.ready.guest.file.as_os_str());
        source
            .into_iter()
            .chain(names)
            .map(|name| visible(&name.to_string_lossy()))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Whether a file has changed since this was asked last, or since it was read.
    pub(super) fn has_changed(&mut self) -> bool {
        let now = self.stamps();
        std::mem::replace(&mut self.seen, now) != self.seen
    }

    /// Reads everything again, and gives who answers from now on.
    ///
    /// # Errors
    /// What is not in order: then nothing has changed.
    pub(super) fn read_again(&mut self, unchanged: Unchanged) -> Result<Arc<dyn Handler>, Problem> {
        // Before it is read: what is written meanwhile is a change.
        self.seen = self.stamps();
        let next = match self.config.clone() {
            Some(path) => {
                self.keep_from_guests(&path, "the configuration")?;
                let read = config::read(&path)?;
                read.warn_of_server(&self.server);
                let again = |guest: Guest| {
                    let is_same = |served: &&Served| served.ready.guest.written == guest.written;
                    match self.served.iter().find(is_same) {
                        Some(served) => self.policy_again(&served.ready),
                        None => self.with_policy(Arc::new(guest)),
                    }
                };
                read.guests.into_iter().map(again).collect::<Result<Vec<_>, _>>()?
            }
            None => {
                let all = self.served.iter().map(|served| self.policy_again(&served.ready));
                all.collect::<Result<Vec<_>, _>>()?
            }
        };
        let ready = self.ready(next)?;
        self.serve(ready, unchanged)
    }

    /// Writes to the cache what is compiled by now.
    pub(super) fn keep_code(&self) {
        self.served.iter().for_each(|served| served.code.keep_code());
    }

    /// Has these guests served from now on.
    fn serve(&mut self, ready: Vec<Arc<Ready>>, unchanged: Unchanged) -> Result<Arc<dyn Handler>, Problem> {
        let running: Vec<_> = self.served.iter().map(|served| Arc::clone(&served.ready)).collect();
        let served: Result<Vec<Served>, Problem> = ready
            .into_iter()
            .map(|ready| {
                let stamp = stamp(Path::new(&ready.guest.file));
                let is_same = |served: &&Served| {
                    unchanged == Unchanged::Kept
                        && Arc::ptr_eq(&served.ready, &ready)
                        && served.stamp == stamp
                };
                if let Some(Served { handler, code, .. }) = self.served.iter().find(is_same) {
                    return Ok(Served { handler: Arc::clone(handler), code: code.clone(), ready, stamp });
                }
                let loaded = ready.keep_from(&running).and_then(|()| ready.load());
                let Program { handler, code } =
                    loaded.map_err(|problem| ready.guest.at_its_place(problem))?;
                Ok(Served { handler, code, ready, stamp })
            })
            .collect();
        let served = served?;
        let handler = routes(&served)?;
        self.keep_code();
        self.served = served;
        // What was not looked at before it was read.
        let mut now = self.stamps();
        for (path, stamp) in &mut now {
            let served = self.served.iter().find(|served| Path::new(&served.ready.guest.file) == path);
            let before = self.seen.get(path).copied().or(served.map(|served| served.stamp));
            *stamp = before.unwrap_or(*stamp);
        }
        self.seen = now;
        Ok(handler)
    }

    /// A guest whose policy can be another.
    fn policy_again(&self, ready: &Arc<Ready>) -> Result<Next, Problem> {
        match ready.policy == ready.guest.policy() {
            true => Ok(Next::Same(Arc::clone(ready))),
            false => self.with_policy(Arc::clone(&ready.guest)),
        }
    }

    /// A guest whose policy is read while others run.
    fn with_policy(&self, guest: Arc<Guest>) -> Result<Next, Problem> {
        if let Some(policy) = &guest.flags.grants.policy {
            self.keep_from_guests(policy, "the policy").map_err(|problem| guest.at_its_place(problem))?;
        }
        Ok(Next::New(guest))
    }

    /// Refuses to read again what says which keys there are, where a guest may have changed it: it would grant itself what it likes.
    fn keep_from_guests(&self, path: &Path, what: &str) -> Result<(), Problem> {
        let writable = self.writable.lock().unwrap_or_else(PoisonError::into_inner);
        match writable.changeable(path, what) {
            None => Ok(()),
            Some(reason) => Err(Problem::new(path.display(), format!("{reason}: it is not read again"))
                .help("keep it where no guest may write, and restart the server")),
        }
    }

    /// Makes the keys of guests ready that are new.
    fn ready(&self, next: Vec<Next>) -> Result<Vec<Arc<Ready>>, Problem> {
        let wanted = |next: Next| match next {
            Next::Same(ready) => Ok(Err(ready)),
            Next::New(guest) => Wanted::new(guest, &self.server).map(Ok),
        };
        let all = next.into_iter().map(wanted).collect::<Result<Vec<_>, _>>()?;
        let mut writable = self.writable.lock().unwrap_or_else(PoisonError::into_inner);
        // What one may write to, none is led through.
        for Wanted { keys, .. } in all.iter().flatten() {
            writable.also_grants(&Writable::granted_by(keys));
        }
        let config = self.config.as_deref();
        let ready = |next| match next {
            Err(ready) => Ok(ready),
            Ok(wanted @ Wanted { .. }) => {
                let guest = Arc::clone(&wanted.guest);
                let ready = Ready::new(wanted, (&self.server, config), &writable);
                ready.map(Arc::new).map_err(|problem| guest.at_its_place(problem))
            }
        };
        all.into_iter().map(ready).collect()
    }

    /// What the files are now.
    fn stamps(&self) -> BTreeMap<PathBuf, Stamp> {
        let of_guest = |served: &Served| {
            let Guest { file, flags, .. } = &*served.ready.guest;
            std::iter::once(PathBuf::from(file)).chain(flags.grants.policy.clone()).collect::<Vec<_>>()
        };
        let paths = self.config.iter().cloned().chain(self.served.iter().flat_map(of_guest));
        paths.map(|path| (path.clone(), stamp(&path))).collect()
    }
}

/// Each guest for its hosts and its path, with the files beside it.
fn routes(served: &[Served]) -> Result<Arc<dyn Handler>, Problem> {
    if let [Served { ready, handler, .. }] = served
        && ready.guest.answers_everything()
    {
        return Ok(Arc::clone(handler));
    }
    let mut routes = Routes::new();
    for Served { ready, handler, .. } in served {
        let Guest { hosts, path, .. } = &*ready.guest;
        let hosts: Vec<Option<&HostPattern>> =
            if hosts.is_empty() { vec![None] } else { hosts.iter().map(Some).collect() };
        for host in hosts {
            files::add(&mut routes, host, &ready.files)
                .map_err(|problem| ready.guest.at_its_place(problem))?;
            if !routes.add_of_host(host, path, Arc::clone(handler)) {
                let host = host.map(ToString::to_string).unwrap_or_default();
                let problem = Problem::new("path", format!("{host}{path} is somebody's already")).mistake();
                return Err(ready.guest.at_its_place(problem));
            }
        }
    }
    Ok(Arc::new(routes))
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.ino(), found.len()))
}
