//! The functions of `innkeeper.h`, by its chapters.

mod config;
mod error;
mod keys;
mod linker;
mod module;
mod store;
