//! The decision point: every access of a guest to the operating system is allowed or denied here.
//!
//! [`Gate::decide`] compares what an operation needs with the rights of the handle it is tried on, counts it, and
//! keeps a record of what was denied. Who passes gets a [`Permit`], without which nothing in `sys` can be called.
//! Where somebody wants to learn it, what was made use of is noted here too.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::credentials::{Credentials, Grant, MAX_NAME_BYTES, Rights};
use super::denial::{DenialRecord, Refusal};
use super::directory::Directory;
use super::error::Error;
use super::network::{Network, Target};
use super::resolve::GuestPath;
use super::usage::UsageRecord;
use crate::keys::WasiLimits;

macro_rules! operations {
    ($($variant:ident $text:literal,)*) => {
        /// What a guest wants done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Operation { $(#[doc = $text] $variant,)* }

        impl Operation {
            /// Every operation, in order of declaration.
            pub const ALL: &'static [Operation] = &[$(Operation::$variant,)*];

            /// The operation in words, as in "denied: *open for reading* /etc/passwd".
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Operation::$variant => $text,)* }
            }
        }
    };
}

operations! {
    Accept "accept a connection on",
    Advise "advise on",
    Allocate "allocate space in",
    Bind "bind a socket to",
    Clock "read the clock",
    Connect "connect to",
    CreateDirectory "create directory",
    CreateSocket "create a socket for",
    Flush "flush",
    HttpRequest "request",
    Link "create hard link",
    List "list",
    Listen "listen on",
    LookUp "look up",
    OpenRead "open for reading",
    OpenWrite "open for writing",
    Poll "wait for",
    Random "get random bytes",
    Read "read",
    ReadLink "read symbolic link",
    Receive "receive from",
    RemoveDirectory "remove directory",
    RemoveFile "remove file",
    Rename "rename",
    Seek "seek in",
    Send "send to",
    SetFlags "change flags of",
    SetSize "change the size of",
    SetTimes "change the times of",
    Shutdown "shut down",
    Stat "look at",
    Symlink "create symbolic link",
    Write "write",
    Yield "yield",
}

/// Proof that the gate allowed the operation in progress.
///
/// It cannot be made outside this module and is neither stored nor cloned.
#[derive(Debug)]
pub(crate) struct Permit(());

impl Permit {
    /// For opening keys: done for their owner, before there is a guest.
    pub(super) fn of_the_keys_owner() -> Permit {
        Permit(())
    }
}

/// An operation on an object, as put to the gate.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(super) operation: Operation,
    pub(super) needs: Rights,
    pub(super) object: Object<'a>,
}

/// What an operation is tried on.
#[derive(Debug)]
pub(super) enum Object<'a> {
    /// Something the keys grant without a handle, such as a clock.
    Ambient,
    /// An open handle.
    Handle(&'a Credentials),
    /// A path in an open directory.
    Path(&'a Credentials, &'a [u8]),
    /// Something in the network.
    Network(&'a Target),
}

impl<'a> Request<'a> {
    pub(super) fn ambient(operation: Operation) -> Request<'a> {
        Request { operation, needs: Rights::NONE, object: Object::Ambient }
    }

    pub(super) fn network(operation: Operation, target: &'a Target) -> Request<'a> {
        Request { operation, needs: Rights::NONE, object: Object::Network(target) }
    }

    pub(super) fn operation(&self) -> Operation {
        self.operation
    }

    /// Whether it is about changing names.
    pub(super) fn changes(&self) -> bool {
        self.needs.contains(Rights::CHANGE)
    }

    /// Whether it is about an open directory and nothing in it, and changes nothing.
    fn looks_at_directory_itself(&self) -> bool {
        let is_itself = match self.object {
            Object::Ambient | Object::Network(_) => false,
            Object::Handle(_) => true,
            Object::Path(_, path) => GuestPath::parse(path).is_ok_and(|path| path.text() == b"."),
        };
        is_itself && Rights::READ.contains(self.needs)
    }

    pub(super) fn handle(operation: Operation, needs: Rights, credentials: &'a Credentials) -> Request<'a> {
        Request { operation, needs, object: Object::Handle(credentials) }
    }

    pub(super) fn path(
        operation: Operation,
        needs: Rights,
        directory: &'a Directory,
        path: &'a [u8],
    ) -> Request<'a> {
        Request { operation, needs, object: Object::Path(&directory.credentials, path) }
    }
}

/// The decision point of one guest.
#[derive(Debug)]
pub struct Gate {
    counts: Vec<AtomicU64>,
    network: Network,
    denials: Mutex<DenialRecord>,
    usage: OnceLock<UsageRecord>,
}

impl Gate {
    pub(super) fn new(limits: &WasiLimits, network: Network) -> Gate {
        Gate {
            network,
            counts: Operation::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            denials: Mutex::new(DenialRecord::new(limits.max_denials)),
            usage: OnceLock::new(),
        }
    }

    /// Allows or denies `request`.
    ///
    /// # Errors
    /// [`Error::Denied`] if the key behind the handle does not allow it: this is recorded.
    /// [`Error::Locked`] if there is no key, whatever is wanted: this is recorded too.
    /// [`Error::NotOpenForThis`] if the key would, and the handle was opened with less.
    #[inline]
    pub(super) fn decide(&self, request: &Request<'_>) -> Result<Permit, Error> {
        self.counts[request.operation as usize].fetch_add(1, Ordering::Relaxed);
        let credentials = match request.object {
            Object::Ambient => return Ok(Permit(())),
            Object::Network(target) => return self.decide_on_network(request, target),
            Object::Handle(credentials) | Object::Path(credentials, _) => credentials,
        };
        if matches!(*credentials.grant, Grant::LockedRoot) && !request.looks_at_directory_itself() {
            self.record(request, Error::Locked);
            return Err(Error::Locked);
        }
        if credentials.rights.contains(request.needs) {
            if let Some(usage) = self.usage.get() {
                usage.note_handle(request);
            }
            return Ok(Permit(()));
        }
        if credentials.grant.rights().contains(request.needs) {
            return Err(Error::NotOpenForThis);
        }
        self.record(request, Error::Denied);
        Err(Error::Denied)
    }

    fn decide_on_network(&self, request: &Request<'_>, target: &Target) -> Result<Permit, Error> {
        if !self.network.allows(target) {
            self.record(request, Error::Denied);
            return Err(Error::Denied);
        }
        if let Some(usage) = self.usage.get() {
            match target {
                Target::Request(request) => usage.note_http(&self.network, request),
                _ => usage.note_network(&self.network, target),
            }
        }
        Ok(Permit(()))
    }

    /// The keys to the network, and what is known of names.
    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// Notes the outcome of an operation that had been allowed: leaving the directory, found during path
    /// resolution, is a denial too, and so is reaching what is no part of a grant.
    pub(super) fn conclude<T>(&self, request: &Request<'_>, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(reason @ (Error::Escape | Error::KernelFiles | Error::Hidden | Error::Reserved)) = result {
            self.record(request, reason);
        }
        result
    }

    pub(super) fn learn_usage(&self, record: impl FnOnce() -> UsageRecord) {
        self.usage.get_or_init(record);
    }

    /// What has been noted of the guest's usage, if anybody wants to know.
    pub(super) fn usage(&self) -> Option<&UsageRecord> {
        self.usage.get()
    }

    /// The distinct refusals so far, oldest first.
    pub(super) fn refusals(&self) -> Vec<Refusal> {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner).list().to_vec()
    }

    /// Notes that a path was looked up in no directory at all.
    pub(super) fn record_no_directory(&self, (operation, needs): (Operation, Rights), path: &[u8]) {
        let path = Some(&path[..path.len().min(MAX_NAME_BYTES)]);
        self.add(Refusal {
            operation,
            needs,
            reason: Error::Locked,
            credentials: None,
            path: path.map(Box::from),
            missing: None,
            count: 1,
        });
    }

    /// How many denials were not kept because the record was full.
    #[must_use]
    pub fn denials_dropped(&self) -> u64 {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner).dropped()
    }

    /// How often `operation` was asked for, allowed or not.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.counts[operation as usize].load(Ordering::Relaxed)
    }

    fn record(&self, request: &Request<'_>, reason: Error) {
        let (credentials, path, missing) = match request.object {
            Object::Ambient => return,
            Object::Handle(credentials) => (Some(credentials.clone()), None, None),
            Object::Path(credentials, path) => {
                let path = Box::from(&path[..path.len().min(MAX_NAME_BYTES)]);
                (Some(credentials.clone()), Some(path), None)
            }
            Object::Network(target) => {
                let name = target.to_string().into_bytes();
                (None, Some(name.into()), Some(self.network.missing_key(target)))
            }
        };
        self.add(Refusal {
            operation: request.operation,
            needs: request.needs,
            reason,
            credentials,
            path,
            missing,
            count: 1,
        });
    }

    fn add(&self, refusal: Refusal) {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner).add(refusal);
    }
}
