//! The keys of a program that is served: each request's guest has them.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::sync::Arc;

use innkeeper::wasi::keys::{Keys, StdinKey, StdoutKey};
use innkeeper_http::server::Address;

use super::flags::ServerFlags;
use super::site::Guest;
use super::{cannot_hand_over, cannot_listen};
use crate::keys::{complete, granted};
use crate::output::open_streams;
use crate::report::Problem;
use crate::writable::{WayError, Writable, planted};

/// What one request's guest may make inn hold, if nobody says otherwise.
pub(super) const MEMORY_BYTES: u64 = 256 << 20;

/// The keys of each request's guest.
pub(super) fn of(guest: &Guest, server: &ServerFlags) -> Result<Keys, Problem> {
    let builder = Keys::builder().argument(guest.file.to_string_lossy());
    let mut keys = granted(builder, &guest.flags.grants)?.build();
    // These are nobody's input, and the log's output. A module has those of its request instead.
    if keys.stdin == StdinKey::Inherit {
        keys.stdin = StdinKey::Empty;
    }
    if matches!(keys.stdout, StdoutKey::Inherit) {
        let stderr = std::io::stderr().as_fd().try_clone_to_owned();
        keys.stdout = stderr.map_or(StdoutKey::Closed, |stderr| StdoutKey::Opened(Arc::new(stderr)));
    }
    let flags = &guest.flags.limits;
    let limits = &mut keys.limits;
    limits.memory_bytes = flags.max_memory.or(limits.memory_bytes).or(Some(MEMORY_BYTES));
    limits.written_bytes = flags.max_written.or(limits.written_bytes);
    limits.max_open_handles = flags.max_handles.unwrap_or(limits.max_open_handles);
    limits.overlay_bytes = flags.max_cow.unwrap_or(limits.overlay_bytes);
    complete(&mut keys, server.cache.as_ref())?;
    Ok(keys)
}

/// Sees to it that guests reach nothing but what their keys grant: what is granted and written for them, and shown to clients, goes by no link that a guest may have left, and no stream of this process is what no
/// guest may reach. Opens the files that their standard streams go to, once: a guest could lead the next one's elsewhere. All guests together may write to `granted`.
pub(super) fn keep_to(
    (keys, shown): (&mut Keys, &Keys),
    guest: &Guest,
    (server, config): (&ServerFlags, Option<&Path>),
    granted: &Writable,
) -> Result<(), Problem> {
    let policy = guest.flags.grants.policy.as_deref();
    let mut writable = Writable::of_served(keys, &guest.file, server.cache.as_ref());
    writable.also_grants(granted);
    for path in policy.into_iter().chain(config) {
        writable.also_reads(path.as_os_str());
    }
    writable.check_inputs(shown, server.cache.as_ref())?;
    for address in server.listen.iter().chain(&server.admin) {
        if let Address::Unix(path) = address {
            writable.directory_of(path).map_err(|error| match error {
                WayError::System(error) => cannot_listen(address, &error),
                WayError::Planted(step) => planted(path, &step),
            })?;
        }
    }
    if let Some(path) = &server.handover {
        writable.directory_of(path).map_err(|error| match error {
            WayError::System(error) => cannot_hand_over(path, &error),
            WayError::Planted(step) => planted(path, &step),
        })?;
    }
    writable.warn_of_input(Path::new(&guest.file), "the program that is served");
    if let Some(policy) = policy {
        writable.warn_of_input(policy, "the policy");
    }
    if let Some(config) = config {
        writable.warn_of_input(config, "the configuration");
    }
    writable.warn_of_program();
    open_streams(keys, &writable)
}
