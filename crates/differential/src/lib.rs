//! Runs generated modules on Innkeeper and on other oracles, and compares everything that can be seen from outside.
//!
//! A module comes from a seed or from a fuzzer's bytes ([`Module`]), made up or as a mutant of one of the project's programs; an [`Oracle`] runs it and tells what it saw ([`Observation`]); two
//! observations are compared ([`compare`]); [`check`] takes a module through all oracles of its dialect. What a module is called with
//! depends on its bytes alone, so a file of a module is enough to see a difference again.
//!
//! This is not a judge: where oracles differ, the specification says who is right.

#![forbid(unsafe_code)]

mod check;
mod compare;
pub mod extreme;
mod generate;
mod mutate;
pub mod nest;
mod oracle;
pub mod pair;
mod random;
pub mod tasks;
mod value;

pub use check::{Report, check, check_bytes};
pub use compare::{Comparison, Strictness, compare};
pub use generate::{Dialect, Module};
#[cfg(feature = "wasmtime")]
pub use oracle::WasmtimeOracle;
pub use oracle::{Answers, Call, Frame, InnkeeperOracle, Observation, Oracle, Outcome, WasmiOracle};
pub use random::Random;
pub use value::Value;
