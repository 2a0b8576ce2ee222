//! Very many stores, one after another and on several threads, each used in another way: descriptors, mappings and memory of the process stay as they are; and very many deadlines, of which
//! none strikes before its time or after it was lifted.
//!
//! In the tests of every change some seconds of it. `cargo xtask soak` sets how much there is.

mod cycles;
mod deadlines;
mod process;
mod random;

use std::sync::{Mutex, PoisonError};

/// One at a time: each looks at the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// What `cargo xtask soak` says, or little.
fn count(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |count| count.parse().expect("a number"))
}

#[test]
fn stores_leave_nothing_behind_however_they_were_used() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    cycles::run(count("INNKEEPER_SOAK_CYCLES", 8000));
}

#[test]
fn deadlines_strike_in_time_and_never_after_they_were_lifted() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    deadlines::run(count("INNKEEPER_SOAK_DEADLINES", 4000));
}
