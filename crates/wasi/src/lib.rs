//! WASI for the Innkeeper host: [`keys`] say what a guest may do, [`host`] does it, and the front
//! ends speak WASI to the guest: [`p1`] version 0.1, to modules, and `p2` version 0.2 and `p3` version 0.3, to components. [`observe`] watches calls: traces, records, replays.
//!
//! What must stay true:
//! - Only [`host`] touches the operating system, and it mentions no WASI version.
//! - Every access of a guest passes the one decision point, [`host::Gate`].
//! - Front ends translate types and errors only, and know nothing of each other; but `p3` has the handles of `p2`, since one component may use both.
//!
//! This crate runs no WebAssembly: it is called by whoever does, with the guest's memory as bytes.

#![forbid(unsafe_code)]

mod exit;
pub mod host;
pub mod keys;
pub mod observe;
pub mod p1;
#[cfg(feature = "component")]
pub mod p2;
#[cfg(feature = "component")]
pub mod p3;
pub mod stop;

pub use exit::{Exit, exit_code};
