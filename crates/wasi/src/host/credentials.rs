//! What a handle may do and where that comes from.
//!
//! Rights here are the real ones. A front end may show its guest finer ones, but an operation that these do not
//! contain is refused by the gate whatever the front end thinks.

use std::net::SocketAddr;
use std::ops::{BitAnd, BitOr};
use std::path::PathBuf;
use std::sync::Arc;

use crate::keys::Access;

/// Longest guest path kept for messages, in bytes.
pub(super) const MAX_NAME_BYTES: usize = 4096;

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// No right.
    pub const NONE: Rights = Rights(0);
    /// Read data, look up and list names, read metadata.
    pub const READ: Rights = Rights(1);
    /// Write data and change a file's size.
    pub const WRITE: Rights = Rights(2);
    /// Create, rename and remove names, and change times.
    pub const CHANGE: Rights = Rights(4);
    /// Every right.
    pub const ALL: Rights = Rights(7);

    /// Whether every right in `other` is in this set.
    #[must_use]
    pub fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Rights {
    type Output = Rights;

    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}

impl BitAnd for Rights {
    type Output = Rights;

    fn bitand(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }
}

impl From<Access> for Rights {
    fn from(access: Access) -> Rights {
        match access {
            Access::ReadOnly => Rights::READ,
            Access::ReadWrite | Access::CopyOnWrite | Access::Temporary { .. } => Rights::ALL,
        }
    }
}

/// The key that a handle, directly or through others, came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Grant {
    /// A directory key.
    Directory {
        /// The host path as granted.
        host: PathBuf,
        /// The guest's name for it.
        guest: String,
        /// What it allows.
        access: Access,
    },
    /// No key: the root of everything that was not granted. There is nothing in it.
    LockedRoot,
    /// A standard stream, by its usual name.
    Stdio(&'static str),
    /// A listening socket.
    Listener(SocketAddr),
    /// A socket that the guest has made. What it may be used for is decided by each address.
    Network,
}

impl Grant {
    /// The most that any handle from this grant can have.
    #[must_use]
    pub fn rights(&self) -> Rights {
        match self {
            Grant::Directory { access, .. } => Rights::from(*access),
            Grant::LockedRoot => Rights::READ,
            Grant::Stdio("stdin") => Rights::READ,
            Grant::Stdio(_) => Rights::WRITE,
            Grant::Listener(_) | Grant::Network => Rights::READ | Rights::WRITE,
        }
    }
}

/// A handle's rights, its origin, and the guest's name for it.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub(super) rights: Rights,
    pub(super) grant: Arc<Grant>,
    /// For messages only; never resolved.
    pub(super) guest_path: Arc<str>,
}

impl Credentials {
    /// The credentials that a key gives to the handle it opens to.
    pub(super) fn of_grant(grant: Grant, guest_path: &str) -> Credentials {
        Credentials { rights: grant.rights(), grant: Arc::new(grant), guest_path: guest_path.into() }
    }

    /// The credentials of something reached through this handle at `path`: never more than this handle's.
    pub(super) fn derive(&self, path: &[u8], rights: Rights) -> Credentials {
        Credentials {
            rights: self.rights & rights,
            grant: Arc::clone(&self.grant),
            guest_path: self.name_of(path).into(),
        }
    }

    /// What the guest would call `path` looked up in this handle, for messages.
    pub(super) fn name_of(&self, path: &[u8]) -> String {
        let path = String::from_utf8_lossy(&path[..path.len().min(MAX_NAME_BYTES)]);
        if path.starts_with('/') || &*self.guest_path == "." {
            return path.into_owned();
        }
        let mut name = String::from(self.guest_path.trim_end_matches('/'));
        if name.len() + path.len() > MAX_NAME_BYTES {
            name = String::from("...");
        }
        name.push('/');
        name.push_str(&path);
        name
    }

    /// What the guest would call it; for messages only.
    #[must_use]
    pub fn guest_path(&self) -> &str {
        &self.guest_path
    }

    /// What this handle may do.
    #[must_use]
    pub fn rights(&self) -> Rights {
        self.rights
    }

    /// The key that the handle came from.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
    }
}
