//! WASI 0.3: the interfaces that components import, in version 0.3.2, which serves whoever wants any version since 0.3.0.
//!
//! A translation of types and errors, as [`crate::p2`] is, with which it shares the guest's [`Context`](crate::p2::Context): one component may use both, with the same keys, the same handles, and one count of them.
//! What must stay true: whatever is done is done by [`crate::host`]; no call holds the thread while it waits; bytes go between the guest's own memory and the system, without a buffer in between; and
//! whatever goes on beside the guest is charged to its budget.
//!
//! **An interface is added** by a module with a function `bind`, which [`link::add_to_linker`] calls:
//! 1. [`Interface::new`](interface::Interface::new) with its name without a version. Each function is bound with the tuple of its parameters and its result in Rust types (docs/components.md), by what it is in WIT:
//!    - `func`, where it is no `async` function: as in `p2`, with what it borrows from the guest's memory.
//!    - `at_once`, where it is one that never has to wait: as `func`.
//!    - `beside`, where the host may have to wait: an `async fn` that is given a [`Beside`](interface::Beside), which has the context for a step at a time, and owned parameters (`String`, `Lent<H>`). Nothing of the
//!      context is held while it waits: what it needs it takes out of it first.
//!    - `reads`, where it gives a `stream<u8>` with a `future` of how that has ended, from an [`InputSource`](crate::p2::streams::InputSource).
//!    - `lists`, where it gives such a future with a stream of other values, some at a time.
//!    - `writes`, where it takes a `stream<u8>` and gives such a future, to an [`OutputSink`](crate::p2::streams::OutputSink).
//! 2. A resource is one of `p2`'s, wherever that has the same; a new one is made as there.
//! 3. An interface's error codes implement [`Code`](streams::Code), which says what they are in a future.
//! 4. `crates/innkeeper/tests/wasi_0_3/wasi-0.3.2.wat` has every function with its type: one that is not bound, or with another type, fails a test, unless it is named in `known-gaps.txt` beside it; and so does
//!    one that is named there and bound.
//!
//! Another crate binds an interface in the same way, through what is public here.
//!
//! Choices, where the specification leaves room:
//! - A stream of bytes that a guest drops early has ended well. A read or write of no bytes is done at once.
//! - As many handles as there may be is `insufficient-memory` for files, and `io` for standard streams. A stream that is under way counts as an open handle.
//!
//! Specification: <https://github.com/WebAssembly/WASI/tree/v0.3.0>

mod cli;
mod clocks;
mod filesystem;
mod interface;
mod link;
mod random;
mod run;
mod sockets;
mod streams;

pub use interface::{Beside, Interface, VERSION};
pub use link::add_to_linker;
#[cfg(feature = "async")]
pub use run::call_run_async;
pub use run::{RUN, call_run, is_used_by, run};
