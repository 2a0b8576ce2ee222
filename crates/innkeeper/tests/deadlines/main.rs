//! A deadline is a promise: whatever a guest is in the middle of ends within [`measure::PROMISED`] of it.
//!
//! Every instruction and every function of WASI has a row in a table here that says why it cannot take long, or how to make it take as long as it can; then it is
//! tried, in every tier. The lists come from the decoder and from the front end: a new entry without a row fails.

mod collections;
mod functions;
mod instructions;
mod large_directories;
mod measure;
mod programs;
