//! Innkeeper for C: the functions of the standard `wasm.h`, and those of `innkeeper.h` on the same types.
//!
//! Each function is described in the header that declares it, in `include/`; a test compares both with the library's symbols. What must stay true: nothing unwinds out of
//! a function, and a null pointer or an object of another store is an error, not a crash ([`boundary`]). What C promises is in the headers; where it is relied on, `SAFETY` says so.
//!
//! What this is not: an API for Rust, which is the crate `innkeeper`.

#![allow(missing_docs, reason = "the headers describe the functions")]
#![allow(unreachable_pub, reason = "what C calls is public, whichever module it is in")]

mod boundary;
mod host_info;
mod innkeeper_h;
mod object;
mod problem;
mod store;
mod vector;
mod wasm_h;
