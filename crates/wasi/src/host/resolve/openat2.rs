//! Resolution by the kernel: `openat2` with "beneath" and "no magic links".
//!
//! The kernel answers "try again" when a rename anywhere races with a `..`. That is tried again, a bounded number of
//! times; then the walker, which needs no luck, takes over for that one path. So it does where a path leads to another mount, which the kernel is
//! told not to enter: behind it may be what is no part of the grant.

use std::os::fd::AsFd;

use super::{GuestPath, Resolve, ResolverKind, follows_last, walk};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::open::OpenOptions;
use crate::host::reach::{NativeDirectory, Reached};
use crate::host::sys;

/// Attempts before the walker takes over.
const MAX_ATTEMPTS: u32 = 64;

/// Finds out whether `openat2` works here: "not implemented" and "not permitted" (a system call filter) mean no.
///
/// # Errors
/// Anything else that goes wrong, such as no free descriptor.
pub(super) fn probe(permit: &Permit) -> Result<ResolverKind, Error> {
    match sys::probe_beneath(permit) {
        Ok(()) => Ok(ResolverKind::OpenAt2),
        Err(Error::NotSupported | Error::NotPermitted) => Ok(ResolverKind::Walk),
        Err(error) => Err(error),
    }
}

pub(super) fn open(
    (resolve, permit): (Resolve<'_>, &Permit),
    base: &NativeDirectory,
    path: &GuestPath<'_>,
    options: &OpenOptions,
) -> Result<Reached, Error> {
    let how = sys::OpenHow::new(options);
    let how = if follows_last(path, options) { how } else { how.without_following() };
    attempt((resolve, permit), base, path.text(), how)
        .unwrap_or_else(|| walk::open((resolve, permit), base, path, options))
}

/// Opens a directory to look things up in.
pub(super) fn directory(
    (resolve, permit): (Resolve<'_>, &Permit),
    base: &NativeDirectory,
    path: &[u8],
) -> Result<Reached, Error> {
    attempt((resolve, permit), base, path, sys::OpenHow::lookup())
        .unwrap_or_else(|| walk::directory((resolve, permit), base, path))
}

/// What the kernel says; nothing where it is for the walker to say.
fn attempt(
    (resolve, permit): (Resolve<'_>, &Permit),
    base: &NativeDirectory,
    path: &[u8],
    how: sys::OpenHow,
) -> Option<Result<Reached, Error>> {
    let mounts = base.mounts()?;
    for _ in 0..MAX_ATTEMPTS {
        if let Err(error) = resolve.heed_interrupt() {
            return Some(Err(error));
        }
        match sys::open_beneath(permit, (base.as_fd(), mounts), path, how) {
            Err(Error::Again) => {}
            // It leaves its base or its mount: the kernel does not say which.
            Err(Error::Escape) if mounts == sys::Mounts::Stay => return None,
            result => return Some(result.map(|fd| Reached { fd, is_walked: false })),
        }
    }
    None
}
