//! A program that is ready to be read: its keys, and what is opened for them once.
//!
//! Must stay true: what guests may lead elsewhere is opened once, by a way that no guest has made, and what is open is what is then checked and used: guests may run meanwhile.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use innkeeper::wasi::host::OpenKeys;
use innkeeper::wasi::keys::Keys;
use innkeeper::{Cache, Engine, NanBits, engine_cached};

use super::files::{self, OpenFiles};
use super::flags::ServerFlags;
use super::keys::{self, Opened, PolicyText};
use super::program::{self, Program, wording};
use super::site::Guest;
use super::sources::{Sources, When};
use super::tls;
use crate::cache;
use crate::guest::Execution;
use crate::output::OpenStream;
use crate::report::{Problem, visible};
use crate::writable::{Writable, Written};

/// See the module.
pub(super) struct Ready {
    pub(super) guest: Arc<Guest>,
    /// Its policy as it was read.
    pub(super) policy: PolicyText,
    pub(super) keys: Keys,
    open: OpenKeys,
    pub(super) files: OpenFiles,
    engine: Engine,
    /// The files that its streams go to.
    pub(super) streams: Vec<OpenStream>,
    pub(super) outputs: Vec<Written>,
    /// The files that are read for it.
    pub(super) inputs: Vec<OsString>,
}

/// A program with the keys that it is to have, and what they name.
pub(super) struct Wanted {
    pub(super) guest: Arc<Guest>,
    policy: PolicyText,
    keys: Keys,
    opened: Opened,
}

/// What all guests have.
pub(super) struct Around<'a> {
    pub(super) server: &'a ServerFlags,
    /// Files that say what is granted: the configuration, and the policies of all guests.
    pub(super) say_what_is_granted: Vec<&'a Path>,
    pub(super) writable: &'a Writable,
    /// Outputs of the guests that are served now.
    pub(super) streams: &'a [OpenStream],
    pub(super) cache: &'a Cache,
}

impl Wanted {
    /// Finds which keys a program is to have, and opens what they name, where guests that run may write to `writable`.
    pub(super) fn new(
        guest: Arc<Guest>,
        policy: PolicyText,
        (server, writable): (&ServerFlags, &Writable),
    ) -> Result<Wanted, Problem> {
        let new = || {
            let keys = keys::of(&guest, &policy, server)?;
            let opened = Opened::new(&guest, &keys, writable)?;
            Ok((keys, opened))
        };
        let (keys, opened) = new().map_err(|problem| guest.at_its_place(problem))?;
        Ok(Wanted { guest, policy, keys, opened })
    }

    /// Adds what it may write to.
    pub(super) fn granted(&self, writable: &mut Writable) -> Result<(), Problem> {
        self.opened.granted(&self.keys, writable)
    }

    /// Opens all of it again, now that it is known what all guests may write to: none is led by a link that another could have left in an earlier run.
    pub(super) fn open_again(&self, writable: &Writable) -> Result<(), Problem> {
        let again = Opened::new(&self.guest, &self.keys, writable);
        match again.map(|again| again.is(&self.opened)) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let name = visible(&self.guest.file.to_string_lossy());
                let reason = "what its keys name was moved while it was opened";
                Err(self.guest.at_its_place(Problem::new(name, reason).help("try again")))
            }
            Err(problem) => Err(self.guest.at_its_place(problem)),
        }
    }

    /// The files that are read for it.
    pub(super) fn inputs(&self) -> Vec<OsString> {
        keys::inputs(&self.guest, &self.keys)
    }
}

impl Ready {
    /// Makes ready what is wanted.
    pub(super) fn new(wanted: Wanted, around: &Around<'_>) -> Result<Ready, Problem> {
        let inputs = wanted.inputs();
        let Wanted { guest, policy, mut keys, opened } = wanted;
        let &Around { server, writable, .. } = around;
        if guest.place.is_some() && keys.limits.wall_time.is_some() {
            return Err(Problem::new(
                "policy",
                "`wall` bounds one run, and requests have one time for all guests",
            )
            .help("write timeout above all guests, and no `wall` in the policy")
            .mistake());
        }
        let (to_clients, shown) = opened.shown(&keys, &guest.flags.statics)?;
        let flag = server.cache.as_ref();
        files::require_no_secret(&to_clients, flag, around.say_what_is_granted.iter().copied())?;
        tls::keep_from_guest(&server.tls, &shown)?;
        let cache = cache::for_keys(around.cache.clone(), flag, &files::shown(&keys, &guest.flags.statics))?;
        let before = writable.outputs().len();
        let streams = keys::open_streams(&mut keys, &guest, (writable, around.streams))?;
        let outputs = writable.outputs().split_off(before);
        opened.put_into(&mut keys);
        let open = OpenKeys::open(&keys);
        let open = open.map_err(|error| wording(&guest.flags, &keys).cannot_be_granted(&error))?;
        let files = files::of(&guest.flags.statics, &opened.statics);
        let is_repeatable = guest.flags.grants.deterministic.is_some();
        let nan_bits = if is_repeatable { NanBits::Canonical } else { NanBits::AsComputed };
        let mut execution = Execution::new(&keys.limits, nan_bits);
        (execution.tiers, execution.cache) = (server.tier.into(), cache);
        let most = server.limits.limits().max_requests;
        execution.config.pooling.idle_stores = most;
        execution.config.pooling.idle_memories = most;
        let engine = engine_cached(execution.config, execution.tiers, execution.cache);
        Ok(Ready { guest, policy, keys, open, files, engine, streams, outputs, inputs })
    }

    /// Reads the program, where guests may write to `writable`.
    pub(super) fn load(
        &self,
        sources: &Sources,
        (writable, when): (&Writable, When),
    ) -> Result<Program, Problem> {
        let Guest { file, flags, .. } = &*self.guest;
        let input = program::read(file, flags, sources, (writable, when))?;
        Program::new(flags, input, (&self.engine, &self.keys, self.open.clone()))
    }
}
