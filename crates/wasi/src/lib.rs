//! WASI for the Innkeeper host: [`keys`] say what a guest may do, [`host`] does it, and [`p1`] speaks
//! WASI 0.1 to the guest. [`observe`] watches calls: traces, records, replays.
//!
//! What must stay true:
//! - Only [`host`] touches the operating system, and it mentions no WASI version.
//! - Every access of a guest passes the one decision point, [`host::Gate`].
//! - [`p1`] translates types and errors only.
//!
//! This crate runs no WebAssembly: it is called by whoever does, with the guest's memory as bytes.

#![forbid(unsafe_code)]

pub mod host;
pub mod keys;
pub mod observe;
pub mod p1;
pub mod stop;

pub use p1::exit_code;
