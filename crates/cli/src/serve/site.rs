//! What is served: programs with their keys, each for its hosts and paths, and how all of it is read again.
//!
//! Must stay true: what is read again serves new requests as a whole or not at all; a program whose keys are the same keeps what was opened for them; what a guest may have changed is not read while guests run.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use innkeeper::Cache;
use innkeeper_http::{Handler, HostPattern, Routes};

use super::flags::{GuestFlags, ServerFlags};
use super::keys::{self, PolicyText};
use super::program::{Program, is_handed_over};
use super::ready::{Around, Ready, Wanted};
use super::sources::{Sources, Stamp, When, stamp};
use super::tls::TlsFlags;
use super::{config, files};
use crate::cache;
use crate::input::Code;
use crate::report::{self, Problem, visible};
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
    /// What guests may write to, and what their outputs go to, those that are gone included.
    writable: Arc<Mutex<Writable>>,
    sources: Sources,
    /// Where compiled code is kept, once that is open.
    cache: OnceCell<Cache>,
}

/// A guest that is to be served next.
enum Next {
    /// As it is.
    Same(Arc<Ready>),
    New(Arc<Guest>, PolicyText),
}

/// A guest that is served.
struct Served {
    ready: Arc<Ready>,
    handler: Arc<dyn Handler>,
    code: Code,
    stamp: Stamp,
}

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
        let writable = Arc::new(Mutex::new(Writable::of_server(server.cache.as_ref())));
        let (sources, cache) = (Sources::default(), OnceCell::new());
        let (served, seen) = (Vec::new(), BTreeMap::new());
        let mut site = Site { server: Arc::clone(server), config, served, seen, writable, sources, cache };
        site.seen.extend(site.config.clone().map(|path| (path.clone(), stamp(&path))));
        let nobody = Writable::default();
        let new = |guest: Guest| site.with_policy(Arc::new(guest), (&nobody, When::AtTheStart));
        let next = guests.into_iter().map(new).collect::<Result<Vec<_>, _>>()?;
        let (ready, writable) = site.ready(next)?;
        let handler = site.serve((ready, writable), (Unchanged::ReadAgain, When::AtTheStart))?;
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
    ///
    /// # Errors
    /// That cannot be found out.
    pub(super) fn has_changed(&mut self) -> Result<bool, Problem> {
        let now = self.stamps()?;
        Ok(std::mem::replace(&mut self.seen, now) != self.seen)
    }

    /// Reads everything again, and gives who answers from now on.
    ///
    /// # Errors
    /// What is not in order: then nothing has changed.
    pub(super) fn read_again(&mut self, unchanged: Unchanged) -> Result<Arc<dyn Handler>, Problem> {
        // Before it is read: what is written meanwhile is a change.
        self.seen = self.stamps()?;
        let now = self.writable.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let when = (&now, When::Again);
        let next = match &self.config {
            Some(path) => {
                let read = config::read(path, &self.sources, when)?;
                read.warn_of_server(&self.server);
                let again = |guest: Guest| {
                    let is_same = |served: &&Served| served.ready.guest.written == guest.written;
                    match self.served.iter().find(is_same) {
                        Some(served) => self.policy_again(&served.ready, &now),
                        None => self.with_policy(Arc::new(guest), when),
                    }
                };
                read.guests.into_iter().map(again).collect::<Result<Vec<_>, _>>()?
            }
            None => {
                let all = self.served.iter().map(|served| self.policy_again(&served.ready, &now));
                all.collect::<Result<Vec<_>, _>>()?
            }
        };
        let (ready, writable) = self.ready(next)?;
        self.serve((ready, writable), (unchanged, When::Again))
    }

    /// Writes to the cache what is compiled by now.
    pub(super) fn keep_code(&self) {
        self.served.iter().for_each(|served| served.code.keep_code());
    }

    /// Has these guests served from now on.
    fn serve(
        &mut self,
        (ready, writable): (Vec<Arc<Ready>>, Writable),
        (unchanged, when): (Unchanged, When),
    ) -> Result<Arc<dyn Handler>, Problem> {
        let served: Result<Vec<Served>, Problem> = ready
            .into_iter()
            .map(|ready| {
                let file = Path::new(&ready.guest.file);
                let stamp = stamp(file);
                // What is not read again stays what it is for as long as nothing has changed.
                let is_kept =
                    || unchanged == Unchanged::Kept || writable.changeable(file, "the program").is_some();
                let is_same = |served: &&Served| {
                    Arc::ptr_eq(&served.ready, &ready)
                        && (is_handed_over(file) || served.stamp == stamp && is_kept())
                };
                if let Some(Served { handler, code, .. }) = self.served.iter().find(is_same) {
                    return Ok(Served { handler: Arc::clone(handler), code: code.clone(), ready, stamp });
                }
                let loaded = ready.load(&self.sources, (&writable, when));
                let Program { handler, code } =
                    loaded.map_err(|problem| ready.guest.at_its_place(problem))?;
                Ok(Served { handler, code, ready, stamp })
            })
            .collect();
        let served = served?;
        let handler = routes(&served)?;
        self.keep_code();
        self.served = served;
        let mut writable = writable;
        writable.remember_outputs();
        *self.writable.lock().unwrap_or_else(PoisonError::into_inner) = writable;
        // What was not looked at before it was read.
        let mut now = self.stamps()?;
        for (path, stamp) in &mut now {
            let served = self.served.iter().find(|served| Path::new(&served.ready.guest.file) == path);
            let before = self.seen.get(path).copied().or(served.map(|served| served.stamp));
            *stamp = before.unwrap_or(*stamp);
        }
        self.seen = now;
        Ok(handler)
    }

    /// A guest whose policy can be another, where guests may write to `writable`.
    fn policy_again(&self, ready: &Arc<Ready>, writable: &Writable) -> Result<Next, Problem> {
        let same = || Ok(Next::Same(Arc::clone(ready)));
        let (Some(path), Some((text, read))) = (&ready.guest.flags.grants.policy, &ready.policy) else {
            return same();
        };
        // What is not read again stays what it is for as long as nothing has changed.
        if is_handed_over(path) || writable.changeable(path, "the policy").is_some() && stamp(path) == *read {
            return same();
        }
        match self.with_policy(Arc::clone(&ready.guest), (writable, When::Again))? {
            Next::New(_, Some((now, _))) if now == *text => same(),
            next => Ok(next),
        }
    }

    /// A guest whose policy is read.
    fn with_policy(&self, guest: Arc<Guest>, when: (&Writable, When)) -> Result<Next, Problem> {
        let policy = keys::policy(&guest, &self.sources, when);
        let policy = policy.map_err(|problem| guest.at_its_place(problem))?;
        Ok(Next::New(guest, policy))
    }

    /// Makes the keys of guests ready that are new. Gives what all guests may write to then.
    fn ready(&self, next: Vec<Next>) -> Result<(Vec<Arc<Ready>>, Writable), Problem> {
        let mut writable = self.writable.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let wanted = |next: Next| match next {
            Next::Same(ready) => Ok(Err(ready)),
            Next::New(guest, policy) => Wanted::new(guest, policy, (&self.server, &writable)).map(Ok),
        };
        let all = next.into_iter().map(wanted).collect::<Result<Vec<_>, _>>()?;
        let (new, kept) = (|| all.iter().flatten(), || all.iter().filter_map(|it| it.as_ref().err()));
        // What one may write to, none is led through.
        new().try_for_each(|wanted| wanted.granted(&mut writable))?;
        new().try_for_each(|wanted| wanted.open_again(&writable))?;
        let cache = self.cache(&writable)?;
        // No output of one is what another is served by.
        let TlsFlags { tls_cert, tls_key } = &self.server.tls;
        let of_server = self.config.iter().chain(tls_cert).chain(tls_key);
        let inputs = of_server.map(|path| path.clone().into_os_string());
        let inputs = inputs.chain(new().flat_map(Wanted::inputs));
        let inputs = inputs.chain(kept().flat_map(|ready| ready.inputs.iter().cloned())).collect();
        let outputs = kept().flat_map(|ready| ready.outputs.iter().cloned()).collect();
        writable.reads_and_writes(inputs, outputs);
        if new().next().is_some() {
            writable.warn_of_program();
            if let Some(config) = &self.config {
                writable.warn_of_input(config, "the configuration");
            }
        }
        let policies: Vec<PathBuf> = all
            .iter()
            .filter_map(|it| match it {
                Ok(wanted) => wanted.guest.flags.grants.policy.clone(),
                Err(ready) => ready.guest.flags.grants.policy.clone(),
            })
            .collect();
        let streams: Vec<_> =
            self.served.iter().flat_map(|served| served.ready.streams.iter().cloned()).collect();
        let around = Around {
            server: &self.server,
            say_what_is_granted: self.config.iter().chain(&policies).map(|path| &**path).collect(),
            writable: &writable,
            streams: &streams,
            cache: &cache,
        };
        let ready = |next: Result<Wanted, Arc<Ready>>| match next {
            Err(ready) => Ok(ready),
            Ok(wanted) => {
                let guest = Arc::clone(&wanted.guest);
                let ready = Ready::new(wanted, &around);
                ready.map(Arc::new).map_err(|problem| guest.at_its_place(problem))
            }
        };
        let ready = all.into_iter().map(ready).collect::<Result<Vec<_>, _>>()?;
        Ok((ready, writable))
    }

    /// Where compiled code is kept, which is opened once: a guest could lead the way elsewhere.
    fn cache(&self, writable: &Writable) -> Result<Cache, Problem> {
        if let Some(cache) = self.cache.get() {
            return Ok(cache.clone());
        }
        let flag = self.server.cache.as_ref();
        writable.check_cache(flag)?;
        let (cache, reason) = cache::open(flag)?;
        if let Some(reason) = reason {
            report::note(&reason);
        }
        Ok(self.cache.get_or_init(|| cache).clone())
    }

    /// What the files are now.
    fn stamps(&self) -> Result<BTreeMap<PathBuf, Stamp>, Problem> {
        let of_guest = |served: &Served| {
            let Guest { file, flags, .. } = &*served.ready.guest;
            std::iter::once(PathBuf::from(file)).chain(flags.grants.policy.clone()).collect::<Vec<_>>()
        };
        let paths = self.config.iter().cloned().chain(self.served.iter().flat_map(of_guest));
        self.sources.stamps(paths.collect()).map(BTreeMap::from_iter)
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
