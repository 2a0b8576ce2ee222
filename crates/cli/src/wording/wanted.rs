//! The directory that a flag would have to grant for what was denied.

use std::path::{Path, PathBuf};

use innkeeper::wasi::host::MissingKey;
use innkeeper::wasi::keys::{Access, KernelFiles};

/// A directory that a flag would grant.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Nothing where it has to be chosen.
    pub(super) host: Option<PathBuf>,
    pub(super) guest: String,
    pub(super) access: Access,
    pub(super) kernel_files: KernelFiles,
    /// Whether the flag takes the place of one that is there.
    pub(super) is_instead: bool,
}

/// Whether a key is to a directory of the machine that the guest calls as the machine does. Guests' libraries make relative paths absolute, so that a file which is not there
/// looks like one of those.
pub(super) fn is_machines(missing: &MissingKey) -> bool {
    matches!(missing, MissingKey::Directory { host: Some(host), guest, .. } if host.is_absolute() && Path::new(guest) == host)
}

/// Whether a key is to a directory outside of the working directory, where nobody looks whether it is there.
pub(super) fn is_elsewhere(missing: &MissingKey) -> bool {
    matches!(missing, MissingKey::Directory { host: Some(host), .. } if host.is_absolute() || host.starts_with(".."))
}

/// What would have allowed an operation, if a flag would.
pub(super) fn wanted(missing: &MissingKey) -> Option<Wanted> {
    let (host, guest, access, kernel_files, is_instead) = match missing {
        MissingKey::Directory { host, guest, access } => {
            (host.clone(), guest, *access, KernelFiles::Refused, false)
        }
        MissingKey::Write { host, guest } => {
            (Some(host.clone()), guest, Access::ReadWrite, KernelFiles::Refused, true)
        }
        MissingKey::Name { host, guest, access, .. } => {
            (Some(host.clone()), guest, *access, KernelFiles::Refused, true)
        }
        MissingKey::KernelFiles { host, guest, access } => {
            (Some(host.clone()), guest, *access, KernelFiles::Granted, true)
        }
        _ => return None,
    };
    Some(Wanted { host, guest: guest.clone(), access, kernel_files, is_instead })
}

impl Wanted {
    /// With whatever others want of the same name that can be the same directory.
    pub(super) fn with_all(mut self, all: &[Wanted]) -> Wanted {
        for other in all.iter().filter(|other| other.guest == self.guest) {
            if self.host.is_some() && other.host.is_some() && self.host != other.host {
                continue;
            }
            if self.host.is_none() {
                self.host = other.host.clone();
            }
            if other.access == Access::ReadWrite && self.access == Access::ReadOnly {
                self.access = Access::ReadWrite;
            }
            if other.kernel_files == KernelFiles::Granted {
                self.kernel_files = KernelFiles::Granted;
            }
            self.is_instead |= other.is_instead;
        }
        self
    }
}
