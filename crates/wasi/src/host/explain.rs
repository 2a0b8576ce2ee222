//! The report for a person: which keys the guest missed, and which limits it met, as data that can be printed.
//!
//! How a key is granted or a limit raised is not said here: whoever grants keys knows whether that is done by flags, a policy or a program. Guests choose some of these
//! texts, so every line has control characters made visible. Whether and when to print is the caller's business.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Host;
use super::credentials::{Grant, Rights};
use super::denial::{Denial, MissingKey};
use super::gate::Operation;
use super::limit_reached::LimitReached;
use super::visible::{named, visible};
use crate::keys::Access;

/// One thing to tell the person who granted the keys. Printed, it is one line without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// Something was denied.
    Denied(Denial),
    /// So many more things were denied, of which there is no record.
    DeniedMore(u64),
    /// A limit was reached.
    LimitReached(LimitReached),
    /// The guest looked for directories and had none. Of interest only if it failed.
    NoDirectory,
    /// The guest listed the root directory that stands for what was not granted, and has seen nothing in it. It may not take that for a failure.
    EmptyRoot,
    /// The last path that was not found in a directory that covers every path. It may be there on the host by its absolute name: if the guest has asked for that, a key is
    /// missing. Of interest only if it failed.
    Elsewhere {
        /// The path, as an absolute one.
        path: String,
        /// The guest path of the directory that it was looked up in.
        guest: String,
        /// The key that would make it found.
        missing: MissingKey,
    },
    /// The last path that was not found in a directory and begins with that directory's own name: what follows is there. Programs of Go begin in the first directory that they
    /// were granted. Of interest only if the guest failed.
    Repeated {
        /// The path, as it was looked up in the directory.
        path: String,
        /// The guest path of the directory.
        guest: String,
        /// What is there.
        rest: String,
    },
    /// The directories the guest knows about, when it looked for some. Of interest only if it failed: a path outside of
    /// them is refused by the guest's own library and never reaches the host.
    DirectoriesHeld(Vec<HeldDirectory>),
}

/// A directory that a guest holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldDirectory {
    /// The guest's name for it.
    pub guest: String,
    /// Where it is on the host, as granted; without meaning for a directory in memory.
    pub host: PathBuf,
    /// What may be done in it.
    pub access: Access,
}

/// What is known about the guest's search for its directories.
#[derive(Debug, Default)]
pub(super) struct Search {
    ended: AtomicBool,
    listed_locked_root: AtomicBool,
}

impl Host {
    /// Notes that the guest has asked for all directories that it was granted, and was told.
    pub fn note_directories_searched(&self) {
        self.search.ended.store(true, Ordering::Relaxed);
    }

    /// Notes that the guest has listed the root in which nothing is, because it was granted no directory.
    pub(super) fn note_locked_root_listed(&self) {
        self.search.listed_locked_root.store(true, Ordering::Relaxed);
    }

    /// Notes that the guest wanted something done with a path and named no directory for it, as its library does where it has found none.
    pub fn note_no_directory(&self, operation: Operation, path: &[u8]) {
        let reads = matches!(operation, Operation::OpenRead | Operation::Stat | Operation::ReadLink);
        self.gate.record_no_directory((operation, if reads { Rights::READ } else { Rights::ALL }), path);
    }

    /// The distinct denials so far, oldest first. For which key is missing, names beneath the working directory and names in the root of the machine are looked at; nothing else that the guest has named is.
    #[must_use]
    pub fn denials(&self) -> Vec<Denial> {
        self.gate.refusals().iter().map(|refusal| refusal.denial(&self.grants)).collect()
    }

    /// What to tell the person who granted the keys: denials first, then hints that matter only if the guest failed.
    #[must_use]
    pub fn explain(&self) -> Vec<Explanation> {
        let mut explanations: Vec<Explanation> =
            self.denials().into_iter().map(Explanation::Denied).collect();
        let dropped = self.gate.denials_dropped();
        explanations.extend((dropped > 0).then_some(Explanation::DeniedMore(dropped)));
        explanations.extend(self.limits_reached().into_iter().map(Explanation::LimitReached));
        explanations.extend(self.explain_missed());
        let has_none = !self.grants.iter().any(|grant| matches!(**grant, Grant::Directory { .. }));
        if has_none && self.search.listed_locked_root.load(Ordering::Relaxed) {
            explanations.push(Explanation::EmptyRoot);
        } else if self.search.ended.load(Ordering::Relaxed) {
            explanations.push(self.explain_directories());
        }
        explanations
    }

    fn explain_directories(&self) -> Explanation {
        let held = self.grants.iter().filter_map(|grant| match &**grant {
            Grant::Directory { host, guest, access } => {
                Some(HeldDirectory { guest: guest.clone(), host: host.clone(), access: *access })
            }
            Grant::LockedRoot | Grant::Stdio(_) | Grant::Listener(_) | Grant::Network => None,
        });
        let held: Vec<HeldDirectory> = held.collect();
        if held.is_empty() { Explanation::NoDirectory } else { Explanation::DirectoriesHeld(held) }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Explanation::Denied(denial) => format!("denied: {denial}"),
            Explanation::DeniedMore(more) => format!("denied: {more} more requests, not listed"),
            Explanation::LimitReached(limit) => limit.to_string(),
            Explanation::Elsewhere { path, guest, .. } => format!(
                "{} was looked up in {}, as every path is, and is not there",
                named(path),
                named(guest)
            ),
            Explanation::Repeated { path, guest, rest } => format!(
                "{} was looked up in {}, where the guest begins, as programs in Go do, and is not there; {} is",
                named(path),
                named(guest),
                named(rest)
            ),
            Explanation::NoDirectory => {
                String::from("the guest looked for directories that it was granted, and there was none")
            }
            Explanation::EmptyRoot => String::from(
                "the guest listed its root directory, which is empty, as no directory was granted",
            ),
            Explanation::DirectoriesHeld(held) => {
                let held: Vec<String> = held.iter().map(ToString::to_string).collect();
                format!(
                    "the guest holds {}; a path outside of that its own library refuses, as \"no such file\" or \"not capable\"",
                    held.join(", ")
                )
            }
        };
        f.write_str(&visible(&text))
    }
}

impl fmt::Display for HeldDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.access {
            Access::Temporary { .. } => write!(f, "{} (in memory)", named(&self.guest)),
            access => {
                let host = named(&self.host.to_string_lossy());
                write!(f, "{} ({}, {host} on the host)", named(&self.guest), access.flag_word())
            }
        }
    }
}
