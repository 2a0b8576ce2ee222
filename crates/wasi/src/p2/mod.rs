//! WASI 0.2: the interfaces that components import, in version 0.2.12, which serves whoever wants any version since 0.2.0.
//!
//! A translation of types and errors. What must stay true: nothing here imports the operating system or another front end, whatever is done is done by [`crate::host`] with
//! the same keys and the same decision point; everything that a guest makes the host hold is in the [`table::Table`], charged and counted; only what may wait is
//! bound with `waiting`, and waits by the host's own means.
//!
//! **An interface is added** by a module with a function `bind`, which [`link::add_to_linker`] calls:
//! 1. [`Interface::new`](interface::Interface::new) with its name without a version. Each function is bound with the tuple of its parameters and its result in Rust types
//!    (docs/components.md): by `func`, or by `waiting` where it is an `async fn`, because it may have to wait. Strings and lists of bytes are borrowed from the guest's memory
//!    (`&str`, `&[u8]`), resources are `Borrowed<'_, H>` and `Resource<H>`.
//! 2. A resource is a type that implements [`table::Held`], bound by `resource`. [`Context`] has `push` to make one, `push_child` for what must be dropped before what it was
//!    made from, `table.get` and `table.get_mut` to find it, and drops it with its last handle. Whoever makes several, or opens, takes or changes something for one, has `Context::room` for
//!    all of them first: then nothing is left half done.
//! 3. What the specification calls a trap is a [`Misuse`]; what a guest can be told is in the interface's own error type. A host error that says that the guest is to
//!    stop ends the call by a trap.
//! 4. A handle that can be waited for joins [`poll::Waitable`]; one that can be read from or written to as a stream joins `InputSource` and `OutputSink` in `streams/`.
//! 5. `crates/innkeeper/tests/wasi_0_2/wasi-0.2.12.wat` has every function with its type: one that is not bound, or with another type, fails a test, unless it is named in
//!    `known-gaps.txt` beside it; and so does one that is named there and bound.
//!
//! Another crate binds an interface in the same way, through what is public here. What its guests wait for, read and write that is no handle of the host's is an [`Event`], a [`Source`] or
//! a [`Sink`].
//!
//! Choices, where the specification leaves room:
//! - What a key does not allow is `not-permitted`, as a path that leaves its directory is. `mutate-directory` is not asked for when a directory is opened: it has what the one
//!   it was reached through has.
//! - As many handles as there may be is `insufficient-memory`, because there is no better code.
//! - Dropping a stream before its pollables is a trap. A listing outlives its directory, and a stream its file.
//!
//! Specification: <https://github.com/WebAssembly/WASI/tree/v0.2.12>

pub(crate) mod charged;
pub(crate) mod cli;
pub(crate) mod clocks;
pub(crate) mod context;
mod custom;
pub(crate) mod failure;
pub(crate) mod filesystem;
pub(crate) mod interface;
mod link;
pub(crate) mod misuse;
mod observe;
pub(crate) mod poll;
pub(crate) mod random;
mod replayed;
mod run;
pub(crate) mod sockets;
pub(crate) mod streams;
pub(crate) mod table;

pub use context::Context;
pub use custom::{Event, Sink, Source, StreamEnd, StreamFault};
pub use failure::{Failure, Outcome, told};
pub use interface::{FindContext, Interface, VERSION, Waits};
pub use link::add_to_linker;
pub use misuse::Misuse;
pub use observe::{Observers, ReplayedFailure, is_trap};
pub use poll::Pollable;
pub use replayed::ReplayedStreams;
#[cfg(feature = "async")]
pub use run::call_run_async;
pub(crate) use run::store;
pub use run::{RUN, call_run, run};
pub use streams::{InputStream, IoError, OutputStream};
pub use table::{Full, Held, Room};
