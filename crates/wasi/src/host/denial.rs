//! Denials as data: what was asked, and which key is missing.
//!
//! The guest chose the texts in here. Print them only through [`super::visible`]. What stands here knows no command line: how a key is granted is said by whoever
//! grants keys. Which key is missing is worked out in [`super::missing`].

use std::fmt;
use std::path::PathBuf;

use super::credentials::{Credentials, MAX_NAME_BYTES, Rights};
use super::error::Error;
use super::gate::Operation;
use super::network::Transport;
use super::visible::{named, visible};
use crate::keys::{Access, HttpKey, NetKey};

/// One distinct thing that was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What was asked for.
    pub operation: Operation,
    /// On what, in the guest's words.
    pub path: String,
    /// The key that would have allowed it.
    pub missing: MissingKey,
    /// How often it was denied.
    pub count: u64,
}

/// The key that a denied operation lacked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MissingKey {
    /// The directory was granted, but only for reading: the same key with [`Access::ReadWrite`] would allow it.
    Write {
        /// The host path of the grant.
        host: PathBuf,
        /// The guest path of the grant.
        guest: String,
    },
    /// No directory that was granted covers the path. A key to this one would.
    Directory {
        /// The host directory that is meant; nothing where there is none, or where several can be. Outside of the working directory it is known by the path's text only: it may not be there.
        host: Option<PathBuf>,
        /// The guest path it should have: one that guests' libraries choose for the path.
        guest: String,
        /// What the operation needs to do in it.
        access: Access,
    },
    /// The guest has found no directory for a path, though one covers everything: it looks for absolute names, as programs in Go do. The same key
    /// under this name would be found.
    Name {
        /// The host path of the grant.
        host: PathBuf,
        /// The guest path it has.
        known: String,
        /// The guest path it should have.
        guest: String,
        /// What the grant allows.
        access: Access,
    },
    /// The path leads to a file of the kernel's, such as those in `/proc`, which a grant includes only if it says so.
    KernelFiles {
        /// The host path of the grant.
        host: PathBuf,
        /// The guest path of the grant.
        guest: String,
        /// What the grant allows.
        access: Access,
    },
    /// The path stays inside as text, and a symbolic link in it leads outside. No key changes that.
    LinkTarget {
        /// The guest path of the directory that the path was looked up in.
        guest: String,
    },
    /// The path leads out of the directory that it was looked up in, and the guest would look it up there whatever else it was granted.
    Outside {
        /// The guest path of that directory.
        guest: String,
    },
    /// It is in a directory that was granted, and the guest's library finds what is there only by names that begin like the directory's.
    Spelling {
        /// The guest path of that directory.
        guest: String,
        /// What the guest would find it as.
        path: String,
    },
    /// The path leads to what the host keeps for itself, such as the code cache and its key.
    Hidden,
    /// The path has a name in it that is reserved for directories in which changes of copy-on-write directories are staged.
    Reserved,
    /// No key to the network covers the address or name.
    Network {
        /// The least key that would.
        key: NetKey,
    },
    /// No key covers the request.
    Http {
        /// The least key that would, where one can be written for its path; else one for all paths of its host.
        key: HttpKey,
    },
    /// No key is for anything that a socket of this kind could be used for.
    Socket {
        /// The kind.
        transport: Transport,
    },
    /// The standard stream or socket does not allow this, and no key would.
    Nothing,
}

/// The reason, without how to mend it.
impl fmt::Display for MissingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissingKey::Write { guest, .. } => write!(f, "{} was granted read-only", named(guest)),
            MissingKey::Directory { .. } | MissingKey::Network { .. } | MissingKey::Http { .. } => {
                f.write_str("no key covers it")
            }
            MissingKey::Socket { .. } => f.write_str("no key is for anything that could be done with it"),
            MissingKey::Name { known, .. } => {
                write!(f, "the guest looks for a directory with an absolute name, as programs in Go do, and {} is none", named(known))
            }
            MissingKey::KernelFiles { guest, .. } => write!(
                f,
                "it is a file of the kernel's, such as those in /proc and /sys, through which a guest could reach this process, and {} was granted without those",
                named(guest)
            ),
            MissingKey::LinkTarget { guest } => write!(
                f,
                "a symbolic link leads out of {0}, and none is followed there, whatever is granted; name to the guest what the link points to, or put that into {0}",
                named(guest)
            ),
            MissingKey::Outside { guest } => write!(
                f,
                "it leads out of {}, where the guest looks it up whatever else is granted; name the file to it by another path",
                named(guest)
            ),
            MissingKey::Spelling { guest, path } => write!(
                f,
                "it is in {}, where the guest finds it by the name {} only",
                named(guest),
                named(path)
            ),
            MissingKey::Hidden => {
                f.write_str("it is on the way to the code cache or its key, which no guest may reach")
            }
            MissingKey::Reserved => f.write_str(
                "names that begin with .innkeeper-cow- are those of directories in which changes are kept while they are made, which no guest may reach",
            ),
            MissingKey::Nothing => f.write_str("the key does not allow this"),
        }
    }
}

/// What was denied and why, without how to mend it, control characters made visible.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.count > 1 { format!(" ({} times)", self.count) } else { String::new() };
        let object = match self.missing {
            // The host's own words, not a guest's.
            MissingKey::Network { .. } | MissingKey::Socket { .. } | MissingKey::Http { .. } => {
                self.path.clone()
            }
            _ => named(&self.path),
        };
        let text = format!("{} {object}{times}: {}", self.operation.name(), self.missing);
        f.write_str(&visible(&text))
    }
}

/// A request that was denied, as it was put to the gate.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) operation: Operation,
    pub(super) needs: Rights,
    pub(super) reason: Error,
    /// Those of the handle; nothing where the guest named none that is open.
    pub(super) credentials: Option<Credentials>,
    /// The path looked up in it, up to a bound.
    pub(super) path: Option<Box<[u8]>>,
    /// The key that is missing, where that was known at once.
    pub(super) missing: Option<MissingKey>,
    pub(super) count: u64,
}

impl Refusal {
    /// One of an operation on a path.
    pub(super) fn of_path(
        (operation, needs): (Operation, Rights),
        reason: Error,
        credentials: &Credentials,
        path: &[u8],
    ) -> Refusal {
        let path = Some(Box::from(&path[..path.len().min(MAX_NAME_BYTES)]));
        Refusal {
            operation,
            needs,
            reason,
            credentials: Some(credentials.clone()),
            path,
            missing: None,
            count: 1,
        }
    }

    /// On what, in the guest's words.
    pub(super) fn name(&self) -> String {
        match (&self.credentials, &self.path) {
            (Some(credentials), Some(path)) => credentials.name_of(path),
            (Some(credentials), None) => credentials.guest_path.to_string(),
            (None, path) => String::from_utf8_lossy(path.as_deref().unwrap_or_default()).into_owned(),
        }
    }

    fn is_same(&self, other: &Refusal) -> bool {
        let place = |refusal: &Refusal| {
            refusal
                .credentials
                .as_ref()
                .map(|credentials| (credentials.grant.clone(), credentials.guest_path.clone()))
        };
        self.operation == other.operation
            && self.path == other.path
            && self.reason == other.reason
            && self.missing == other.missing
            && self.needs == other.needs
            && place(self) == place(other)
    }
}

/// Refusals, each distinct one once, up to a bound.
#[derive(Debug)]
pub(super) struct DenialRecord {
    list: Vec<Refusal>,
    limit: usize,
    dropped: u64,
}

impl DenialRecord {
    pub(super) fn new(limit: u32) -> DenialRecord {
        DenialRecord { list: Vec::new(), limit: limit as usize, dropped: 0 }
    }

    pub(super) fn list(&self) -> &[Refusal] {
        &self.list
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn add(&mut self, refusal: Refusal) {
        if let Some(known) = self.list.iter_mut().find(|known| known.is_same(&refusal)) {
            known.count += 1;
        } else if self.list.len() < self.limit {
            self.list.push(refusal);
        } else {
            self.dropped += 1;
        }
    }
}
