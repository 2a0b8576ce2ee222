//! A program that is ready to be read: its keys, and what is opened for them once.
//!
//! Must stay true: what guests may lead elsewhere is opened before any of them runs, and not again.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use innkeeper::wasi::host::OpenKeys;
use innkeeper::wasi::keys::Keys;
use innkeeper::{Engine, NanBits, engine_cached};

use super::files::{self, OpenFiles};
use super::flags::ServerFlags;
use super::program::{self, Program, wording};
use super::site::Guest;
use super::{keys, tls};
use crate::cache;
use crate::guest::Execution;
use crate::report::{self, Problem};
use crate::writable::{Writable, planted};

/// See the module.
pub(super) struct Ready {
    pub(super) guest: Arc<Guest>,
    /// Its policy as it was read.
    pub(super) policy: Option<Vec<u8>>,
    pub(super) keys: Keys,
    open: OpenKeys,
    pub(super) files: OpenFiles,
    engine: Engine,
    /// What it may write to.
    writable: Mutex<Writable>,
}

/// A program with the keys that it is to have, of which nothing is open.
pub(super) struct Wanted {
    pub(super) guest: Arc<Guest>,
    pub(super) policy: Option<Vec<u8>>,
    pub(super) keys: Keys,
}

impl Wanted {
    /// Reads which keys a program is to have.
    pub(super) fn new(guest: Arc<Guest>, server: &ServerFlags) -> Result<Wanted, Problem> {
        let policy = guest.policy();
        let keys = keys::of(&guest, server).map_err(|problem| guest.at_its_place(problem))?;
        Ok(Wanted { guest, policy, keys })
    }
}

impl Ready {
    /// Opens what is wanted, where all guests may write to `granted`.
    pub(super) fn new(
        wanted: Wanted,
        (server, config): (&ServerFlags, Option<&Path>),
        granted: &Writable,
    ) -> Result<Ready, Problem> {
        let Wanted { guest, policy, mut keys } = wanted;
        if config.is_some() && keys.limits.wall_time.is_some() {
            return Err(Problem::new(
                "policy",
                "`wall` bounds one run, and requests have one time for all guests",
            )
            .help("write timeout above all guests, and no `wall` in the policy")
            .mistake());
        }
        let shown = files::shown(&keys, &guest.flags.statics);
        files::require_no_secret(&guest.flags.statics, server.cache.as_ref())?;
        keys::keep_to((&mut keys, &shown), &guest, (server, config), granted)?;
        tls::keep_from_guest(&server.tls, &shown)?;
        let (cache, reason) = cache::choose(server.cache.as_ref(), &shown)?;
        if let Some(reason) = reason {
            report::note(&reason);
        }
        let open = OpenKeys::open(&keys);
        let open = open.map_err(|error| wording(&guest.flags, &keys).cannot_be_granted(&error))?;
        let files = files::open(&guest.flags.statics)?;
        let is_repeatable = guest.flags.grants.deterministic.is_some();
        let nan_bits = if is_repeatable { NanBits::Canonical } else { NanBits::AsComputed };
        let mut execution = Execution::new(&keys.limits, nan_bits);
        (execution.tiers, execution.cache) = (server.tier.into(), cache);
        let most = server.limits.limits().max_requests;
        execution.config.pooling.idle_stores = most;
        execution.config.pooling.idle_memories = most;
        let engine = engine_cached(execution.config, execution.tiers, execution.cache);
        let writable = Mutex::new(Writable::granted_by(&keys));
        Ok(Ready { guest, policy, keys, open, files, engine, writable })
    }

    /// Reads the program.
    pub(super) fn load(&self) -> Result<Program, Problem> {
        let Guest { file, flags, .. } = &*self.guest;
        let input = program::read(file, flags)?;
        Program::new(flags, input, (&self.engine, &self.keys, self.open.clone()))
    }

    /// Refuses to read a program again that another guest may have changed. One of its own has the same keys.
    pub(super) fn keep_from(&self, others: &[Arc<Ready>]) -> Result<(), Problem> {
        let path = Path::new(&self.guest.file);
        for other in others {
            let writable = other.writable.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(step) = writable.planted(path) {
                return Err(planted(path, &step));
            }
            if !Arc::ptr_eq(&other.guest, &self.guest)
                && let Some(reason) = writable.changeable(path, "the program")
            {
                return Err(
                    Problem::new(path.display(), reason).help("keep it where no other guest may write")
                );
            }
        }
        Ok(())
    }
}
