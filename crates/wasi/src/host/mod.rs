//! The host layer: the only code that touches the operating system on a guest's behalf.
//!
//! [`Host`] holds what is common to all handles: the decision point ([`Gate`]), the path resolver, limits, clocks.
//! Handles ([`Directory`], [`File`], [`Stream`], [`Socket`]) carry their own rights and are owned by a
//! front end's table. Every operation is a method of `Host` that first asks the gate and only then, holding the
//! `Permit` it got, calls into `sys`.
//!
//! What must stay true: no WASI version is mentioned here; a handle derived from another never has more rights;
//! `sys` is the only module that calls the operating system, and none of its functions for guests can be called without a permit.

mod allowance;
mod clock;
mod credentials;
mod denial;
mod directory;
mod error;
mod explain;
mod file;
mod gate;
mod handles;
mod hidden;
mod http;
mod limit_reached;
mod look;
mod lookup;
mod metadata;
mod missed;
mod missing;
mod network;
mod open;
mod open_keys;
mod pipe_room;
mod poll;
mod portion;
mod random;
mod reach;
#[cfg(any(feature = "async", feature = "component"))]
mod reactor;
mod readdir;
mod resolve;
mod shared;
mod socket;
mod socket_option;
mod socket_room;
mod stdio;
mod stop;
#[cfg(any(feature = "async", feature = "component"))]
mod suspend;
mod sys;
mod tcp;
mod times;
mod tree;
mod udp;
mod unread;
mod usage;
mod visible;
mod way;

/// Addresses are data: what is done with them is done here.
pub use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use innkeeper_engine::{Budget, InterruptHandle};

pub use clock::{Clock, processor_time};
pub use credentials::{Credentials, Grant, Rights};
pub use denial::{Denial, MissingKey};
pub use directory::Directory;
pub use error::Error;
pub use explain::{Explanation, HeldDirectory};
pub use file::{Advice, File, FileFlags, Whence};
pub use gate::{Gate, Operation};
pub use handles::Handles;
pub use http::{AllowedRequest, RequestRoom};
pub use limit_reached::{LimitReached, ReachedLimit};
pub use lookup::Lookup;
pub use metadata::{FileKind, Metadata, Timestamp};
pub use network::Transport;
pub use open::{DataAccess, LastLink, OpenOptions, Opened, WriteSync};
pub use open_keys::{OpenKeys, OwnKeys};
pub use poll::{Direction, Interest, Interrupt, Pollable, Readiness, WaitMode, WaitRequest, hold_thread};
pub use readdir::{DirEntry, Listing};
pub use resolve::ResolverKind;
pub use socket::{ReceiveFlags, ShutdownHow, Socket, SocketAddress, SocketKind};
pub use socket_option::SocketOption;
pub use stdio::{Nonblocking, Stream};
pub use tcp::AddressFamily;
pub use times::{SetTime, SetTimes};
pub use tree::{
    Aftermath, ApplyCause, ApplyError, ArchiveError, Change, ChangeKind, ChangesSeal, Finish, KeptDirectory,
    Leftover, Overlay, Stop, Trust, Unfinished, finish_apply, list_unfinished,
};
pub use udp::Received;
pub use usage::Usage;
pub use visible::{named, visible};
pub use way::Way;

use crate::keys::{KeyError, Keys, WasiLimits, plain_guest_path};
use gate::Permit;
use network::Network;
use open_keys::OpenedKeys;
use resolve::Resolve;
use shared::Shared;
use stop::StoreStop;
use tree::Visit;

/// What whoever sets it calls the limit on what a guest may make the host hold.
const MEMORY_LIMIT: &str = "Limits::memory_bytes";

/// One guest's host: what its keys opened to, apart from the handles themselves. Clones are of the same guest; each belongs to one store, if it was given to one.
#[derive(Clone, Debug)]
pub struct Host {
    shared: Arc<Shared>,
    /// Whose requests to stop end waits here.
    store: Option<StoreStop>,
    waits: WaitMode,
}

impl std::ops::Deref for Host {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Host {
    /// Opens `keys`: checks them, opens each directory and socket, and chooses the path resolver.
    ///
    /// A directory key that is a symbolic link is followed here, once, and never again.
    ///
    /// # Errors
    /// The first key that cannot be honoured.
    pub fn open(keys: &Keys) -> Result<(Host, Handles), KeyError> {
        Host::of_opened(keys, &OpenedKeys::open(keys)?)
    }

    fn of_opened(keys: &Keys, opened: &OpenedKeys) -> Result<(Host, Handles), KeyError> {
        let permit = Permit::of_the_keys_owner();
        let time = clock::TimeSource::new(&permit, keys.clocks);
        let budget = Budget::new(keys.limits.memory_bytes, MEMORY_LIMIT);
        let now = time.stamp(&permit);
        let opening = handles::Opening { permit: &permit, keys, opened, budget: &budget, now };
        let (handles, trees) = Handles::open(&opening)?;
        let grants =
            handles.directories.iter().map(|directory| directory.credentials.grant.clone()).collect();
        let shared = Shared {
            gate: Gate::new(&keys.limits, Network::new(&opened.network, &opened.http)),
            resolve: opened.resolve,
            sockets: Arc::default(),
            lookups: Arc::default(),
            limits: keys.limits.clone(),
            budget,
            arguments: keys.arguments.clone(),
            environment: keys.environment.clone(),
            environment_read: AtomicBool::new(false),
            grants,
            opened: Arc::clone(&opened.directories),
            time,
            random: random::RandomSource::new(keys.random),
            order: keys.directory_order,
            allowance: keys.limits.written_bytes.map(allowance::Allowance::new),
            trees,
            interrupt: OnceLock::new(),
            unread: OnceLock::new(),
            search: explain::Search::default(),
            reached: Mutex::default(),
            missed: Mutex::default(),
        };
        Ok((Host { shared: Arc::new(shared), store: None, waits: WaitMode::default() }, handles))
    }

    /// Lets requests to stop the store of `handle`, and its deadline, end whatever waits here from now on, and waits in the given way. A front end calls this with the
    /// store it is called by; where that is the same as the last time, it costs next to nothing.
    #[inline]
    pub fn serve_store(&mut self, handle: &InterruptHandle, waits: WaitMode) {
        self.waits = waits;
        if !self.store.as_ref().is_some_and(|store| store.is_of(handle)) {
            self.store = Some(StoreStop::new(handle));
        }
    }

    /// The guest's arguments, the program's name first.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The guest's environment variables, as name and value.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        self.environment_read.store(true, Ordering::Relaxed);
        &self.environment
    }

    /// The bounds that hold for this guest.
    #[must_use]
    pub fn limits(&self) -> &WasiLimits {
        &self.limits
    }

    /// What everything is charged to that the guest makes the host hold; its stores are made with it
    /// ([`innkeeper_engine::Store::with_budget`]).
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The decision point: counts of operations, and denials.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// How paths are being resolved.
    #[must_use]
    pub fn resolver(&self) -> ResolverKind {
        self.resolve.kind()
    }

    /// The copy-on-write directories, in the order of the keys.
    #[must_use]
    pub fn overlays(&self) -> &[Overlay] {
        &self.trees.overlays
    }

    /// The directory in memory or copy-on-write that the guest knows by a name, as its key says it: for what the guest has left there. The first one, if there are several.
    #[must_use]
    pub fn kept_directory(&self, guest: &str) -> Option<&KeptDirectory> {
        let named = plain_guest_path(guest.to_owned());
        self.trees.kept.iter().find(|directory| directory.guest_path() == named)
    }

    /// The directories in memory and the copy-on-write ones, in the order of the keys.
    #[must_use]
    pub fn kept_directories(&self) -> &[KeptDirectory] {
        &self.trees.kept
    }

    /// Gives the guest's remaining time slice away.
    ///
    /// # Errors
    /// None at present.
    pub fn yield_now(&self) -> Result<(), Error> {
        let permit = self.gate.decide(&gate::Request::ambient(Operation::Yield))?;
        sys::yield_now(&permit);
        Ok(())
    }

    /// The way to find what a path leads to, on behalf of this guest.
    fn searching(&self) -> Resolve<'_> {
        self.resolve.asked_by(self)
    }

    /// What an operation on a directory of the host's own keeping needs.
    fn visit<'a>(&'a self, permit: &'a Permit) -> Visit<'a> {
        Visit { permit, resolve: self.searching(), now: self.time.stamp(permit) }
    }

    /// Notes the outcome of an operation on a path in `directory`.
    fn conclude<T>(
        &self,
        permit: &Permit,
        request: &gate::Request<'_>,
        directory: &Directory,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        if self.gate.usage().is_some() {
            self.note_path(permit, request, directory, result.as_ref().map(|_| ()).map_err(|error| *error));
        }
        self.note_no_space(&directory.credentials.grant, &result);
        if matches!(result, Err(Error::NotFound)) {
            self.note_missed(request, directory);
        }
        self.gate.conclude(request, result)
    }
}
