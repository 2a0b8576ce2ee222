//! What the system has refused, and which of its limits that is.

use rustix::io::Errno;

use crate::error::{Error, ErrorKind};

/// The error for what the system did not do: "making 65536 bytes of memory usable", say.
#[cold]
pub(crate) fn refused(what: &str, errno: Errno) -> Error {
    // A system without memory and one that has no more mappings give the same number.
    let limit = if errno == Errno::NOMEM { mappings_limit() } else { None };
    Error::new(ErrorKind::Os(match limit {
        Some(most) => format!(
            "{what}: the process has {most} mappings of memory, the most that the system lets it have (vm.max_map_count)"
        ),
        None => format!("{what}: {errno}"),
    }))
}

/// How many mappings a process may have, where this one has so many or nearly so.
fn mappings_limit() -> Option<usize> {
    /// Some calls make two more at once, and other threads come and go.
    const NEARLY: usize = 8;
    let most: usize = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?.trim().parse().ok()?;
    let there = std::fs::read("/proc/self/maps").ok()?.iter().filter(|byte| **byte == b'\n').count();
    (there + NEARLY >= most).then_some(most)
}
