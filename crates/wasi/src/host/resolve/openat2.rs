//! Resolution by the kernel: `openat2` with "beneath" and "no magic links".
//!
//! The kernel answers "try again" when a rename anywhere races with a `..`. That is tried again, a bounded number of
//! times; then the walker, which needs no luck, takes over for that one path.

use std::os::fd::{BorrowedFd, OwnedFd};

use super::{GuestPath, ResolverKind, follows_last, walk};
use crate::host::error::Error;
use crate::host::gate::Permit;
use crate::host::open::OpenOptions;
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
    permit: &Permit,
    base: BorrowedFd<'_>,
    path: &GuestPath<'_>,
    options: &OpenOptions,
) -> Result<OwnedFd, Error> {
    let how = sys::OpenHow::new(options);
    let how = if follows_last(path, options) { how } else { how.without_following() };
    match attempt(|| sys::open_beneath(permit, base, path.text(), how)) {
        Some(result) => result,
        None => walk::open(permit, base, path, options),
    }
}

/// Opens a directory to look things up in.
pub(super) fn directory(permit: &Permit, base: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Error> {
    match attempt(|| sys::open_beneath(permit, base, path, sys::OpenHow::lookup())) {
        Some(result) => result,
        None => walk::directory(permit, base, path),
    }
}

/// Runs `call` until it says something else than "try again"; nothing if it never does.
fn attempt<T>(call: impl Fn() -> Result<T, Error>) -> Option<Result<T, Error>> {
    (0..MAX_ATTEMPTS).map(|_| call()).find(|result| !matches!(result, Err(Error::Again)))
}
