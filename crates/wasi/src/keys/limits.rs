//! WasiLimits on what a guest can make the host hold. Nothing the guest controls is unbounded.
//!
//! A limit changes when an operation fails, never what a successful one does. Knobs without any
//! effect on results are in [`crate::keys::WasiTuning`].

use std::time::Duration;

/// Bounds on host resources held for one guest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WasiLimits {
    /// Handles open at once, those that were granted included. A handle costs one host descriptor, and one more
    /// while a directory is being listed. Opening one more fails with "too many open files".
    pub max_open_handles: u32,
    /// Things that one wait is for. More fails with "invalid argument" before anything is allocated.
    pub max_interests: u32,
    /// Denials remembered for the report, each distinct one once. Later ones are only counted.
    pub max_denials: u32,
    /// Bytes that the guest may write to files, streams and sockets in all, whatever makes a file longer included; none: as many as it likes. More fails
    /// with "quota exceeded"; memory of [`crate::keys::Access::Temporary`] directories has its own limit and is counted here too.
    pub written_bytes: Option<u64>,
    /// Bytes of memory that the changes in one copy-on-write directory may take. More fails with "no space left".
    pub overlay_bytes: u64,
    /// Threads that the guest may start at once. One more cannot be started.
    pub max_threads: u32,
    /// How long the guest may run, by the clock on the wall. What blocks ends then, too. Watched by [`crate::stop::Stopper`].
    pub wall_time: Option<Duration>,
    /// How much processor time the process that runs the guest may use. Watched by [`crate::stop::Stopper`].
    pub processor_time: Option<Duration>,
    /// Bytes that the guest may make the host hold, all kinds of things together ([`innkeeper_engine::BudgetKind`]): its memories, tables, objects,
    /// instances, stacks, directories in memory, descriptors. None: half of the memory that the machine has, or the process may use.
    /// Stores of the guest are made with [`crate::host::Host::budget`].
    pub memory_bytes: Option<u64>,
    /// Bytes handed to the random generator at once. A larger request is filled in pieces.
    pub random_chunk_bytes: usize,
}

impl Default for WasiLimits {
    fn default() -> WasiLimits {
        WasiLimits {
            max_open_handles: 8192,
            max_interests: 16_384,
            max_denials: 64,
            written_bytes: None,
            overlay_bytes: 1 << 30,
            max_threads: 1024,
            wall_time: None,
            processor_time: None,
            memory_bytes: None,
            random_chunk_bytes: 1 << 16,
        }
    }
}
