//! WASI 0.1: all functions of `wasi_snapshot_preview1`, and `wasi_unstable` where it differs.
//!
//! A translation of types and errors. What must stay true: nothing here imports the operating system, whatever is done is done by
//! [`crate::host`]; guest pointers and lengths are checked in [`memory`] alone; the list of functions is written
//! once, in [`mod@functions`].
//!
//! Choices that hold for all functions, where the specification leaves room:
//! - A path that leaves its directory, and a change through a read-only key, are `perm`. A right that is missing from a
//!   descriptor is `notcapable`, except that reading or writing without `fd_read` or `fd_write` is `badf`, as in POSIX.
//! - A file operation on a directory is `badf`; a path operation on a file is `notdir`.
//! - Unknown flag bits are `inval`.
//! - Pointers need no alignment, just as loads and stores in WebAssembly do not.
//! - Result pointers are checked before anything is done.
//!
//! Specification: <https://github.com/WebAssembly/WASI/blob/wasi-0.1/preview1/docs.md>

mod args_environ;
mod buffers;
mod clock;
mod context;
mod describe;
mod dir;
mod errno;
mod explain;
mod exported_memory;
mod fd;
mod fdstat;
mod filestat;
pub mod functions;
mod journal;
mod link;
pub mod memory;
mod observe;
mod path;
mod poll;
mod process;
mod random;
mod replayed;
mod rights;
mod run;
mod sock;
mod table;
mod thread_start;
pub mod threads;
pub mod types;
mod unstable;

pub use crate::exit::{Exit, exit_code};
pub use context::Context;
pub use errno::Errno;
pub use explain::Explanation;
pub use functions::{Function, Outcome, Version, call, functions};
pub use link::add_to_linker;
pub use memory::{GuestMemory, Pointer};
pub use observe::Observers;
pub use replayed::ReplayedStreams;
pub use rights::Rights;
pub use run::{run, run_in};
pub use table::Fd;
