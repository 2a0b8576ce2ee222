//! The limits that a guest met, with their values, as data that can be printed.
//!
//! Memory and what is written are known by those who count them; everything else is noted where a call fails for it.

use std::fmt;
use std::sync::PoisonError;

use innkeeper_engine::{BudgetKind, ByteCount};

use super::Host;
use super::credentials::Grant;
use super::error::Error;
use super::visible::named;
use crate::keys::Access;

/// A limit that took effect, with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitReached {
    /// [`crate::keys::WasiLimits::memory_bytes`].
    Memory {
        /// What more was wanted for.
        kind: BudgetKind,
        /// How much more was wanted.
        wanted_bytes: u64,
        /// How far beyond the limit that would have been.
        over_bytes: u64,
        /// The limit.
        limit_bytes: u64,
        /// Whether it is the usual one, half of the memory that there is.
        is_usual: bool,
    },
    /// No limit, but the end of what the system has: so much more was wanted.
    SystemMemory {
        /// What more was wanted for.
        kind: BudgetKind,
        /// How much more was wanted.
        wanted_bytes: u64,
    },
    /// [`crate::keys::WasiLimits::written_bytes`].
    Written {
        /// The limit.
        limit_bytes: u64,
    },
    /// [`crate::keys::WasiLimits::max_open_handles`].
    Handles {
        /// The limit.
        most: u32,
    },
    /// [`crate::keys::WasiLimits::max_threads`].
    Threads {
        /// The limit.
        most: u32,
    },
    /// [`crate::keys::WasiLimits::overlay_bytes`].
    Overlay {
        /// The guest's name for the copy-on-write directory.
        guest: String,
        /// The limit.
        limit_bytes: u64,
    },
    /// The size of a directory in memory.
    Temporary {
        /// The guest's name for it.
        guest: String,
        /// The limit.
        limit_bytes: u64,
    },
}

/// A limit that made a call of the guest's fail, beside those on memory and on what is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ReachedLimit {
    /// [`crate::keys::WasiLimits::max_open_handles`].
    Handles,
    /// [`crate::keys::WasiLimits::max_threads`].
    Threads,
    /// [`crate::keys::WasiLimits::overlay_bytes`], in the copy-on-write directory of that name.
    Overlay(String),
    /// The size of the directory in memory of that name.
    Temporary(String, u64),
}

impl Host {
    /// Notes that a limit made a call fail.
    pub fn note_limit(&self, limit: ReachedLimit) {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner).insert(limit);
    }

    /// Notes that a directory of the host's own keeping had no room for what a guest wanted.
    pub(super) fn note_no_space<T>(&self, grant: &Grant, result: &Result<T, Error>) {
        let Grant::Directory { guest, access, .. } = grant else { return };
        if !matches!(result, Err(Error::NoSpace)) || self.budget.last_refusal().is_some() {
            return;
        }
        match access {
            Access::CopyOnWrite => self.note_limit(ReachedLimit::Overlay(guest.clone())),
            Access::Temporary { limit_bytes } => {
                self.note_limit(ReachedLimit::Temporary(guest.clone(), *limit_bytes))
            }
            Access::ReadOnly | Access::ReadWrite => {}
        }
    }

    pub(super) fn limits_reached(&self) -> Vec<LimitReached> {
        let memory = self.budget.last_refusal().map(|refused| match refused.is_system_exhausted {
            true => LimitReached::SystemMemory { kind: refused.kind, wanted_bytes: refused.wanted_bytes },
            false => LimitReached::Memory {
                kind: refused.kind,
                wanted_bytes: refused.wanted_bytes,
                over_bytes: refused.over_bytes,
                limit_bytes: refused.limit_bytes,
                is_usual: self.limits.memory_bytes.is_none(),
            },
        });
        let written = self.allowance.as_ref().and_then(super::allowance::Allowance::exceeded);
        let written = written.map(|limit_bytes| LimitReached::Written { limit_bytes });
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let others = reached.iter().map(|limit| match limit {
            ReachedLimit::Handles => LimitReached::Handles { most: self.limits.max_open_handles },
            ReachedLimit::Threads => LimitReached::Threads { most: self.limits.max_threads },
            ReachedLimit::Overlay(guest) => {
                LimitReached::Overlay { guest: guest.clone(), limit_bytes: self.limits.overlay_bytes }
            }
            ReachedLimit::Temporary(guest, limit_bytes) => {
                LimitReached::Temporary { guest: guest.clone(), limit_bytes: *limit_bytes }
            }
        });
        memory.into_iter().chain(written).chain(others).collect()
    }
}

/// What was refused, and the limit's value.
impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.refused())?;
        match self.value() {
            Some(value) => write!(f, ": the limit is {value}"),
            None => f.write_str(", because the system has no more memory"),
        }
    }
}

impl LimitReached {
    /// What was refused, in words.
    #[must_use]
    pub fn refused(&self) -> String {
        match self {
            LimitReached::Memory { kind, wanted_bytes, .. }
            | LimitReached::SystemMemory { kind, wanted_bytes } => {
                format!("{} more for {} were refused", ByteCount(*wanted_bytes), kind.name())
            }
            LimitReached::Written { .. } => String::from("the guest was refused to write more"),
            LimitReached::Handles { .. } => String::from("one more open descriptor was refused"),
            LimitReached::Threads { .. } => String::from("one more thread was refused"),
            LimitReached::Overlay { guest, .. } => format!("more changes in {} were refused", named(guest)),
            LimitReached::Temporary { guest, .. } => format!("more in {} was refused", named(guest)),
        }
    }

    /// The limit's value, as a person reads it; nothing where there is none.
    #[must_use]
    pub fn value(&self) -> Option<String> {
        match self {
            LimitReached::Memory { limit_bytes, over_bytes, is_usual, .. } => {
                let usual = if *is_usual { ", half of the memory there is" } else { "" };
                Some(format!(
                    "{}{usual}; with that it would be {} over",
                    ByteCount(*limit_bytes),
                    ByteCount(*over_bytes)
                ))
            }
            LimitReached::SystemMemory { .. } => None,
            LimitReached::Written { limit_bytes }
            | LimitReached::Overlay { limit_bytes, .. }
            | LimitReached::Temporary { limit_bytes, .. } => Some(ByteCount(*limit_bytes).to_string()),
            LimitReached::Handles { most } | LimitReached::Threads { most } => Some(most.to_string()),
        }
    }
}
