//! The functions of `innkeeper.h`, by its chapters.

mod config;
mod error;
mod keys;
mod left;
mod linker;
mod module;
mod store;
