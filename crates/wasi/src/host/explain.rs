//! The report for a person: which keys the guest missed, in lines that are ready to print.
//!
//! Guests choose some of these texts, so every line has control characters made visible.
//! Whether and when to print is the caller's business.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicU32, Ordering};

use super::credentials::Grant;
use super::denial::{Denial, MissingKey};
use super::error::Error;
use super::{Host, gate::Gate};
use crate::keys::Access;

/// What an [`Explanation`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExplanationKind {
    /// Something was denied.
    Denied,
    /// A limit was reached: of what the guest makes the host hold, or of what it writes.
    LimitReached,
    /// The guest's calls failed, since it exports no memory for them.
    NoMemory,
    /// The guest looked for directories and had none. Of interest only if it failed.
    NoDirectory,
    /// Which descriptor a listening socket is.
    SocketsHeld,
    /// The directories the guest knows about, when it looked for some. Of interest only if it failed: a path outside of
    /// them is refused by the guest's own library and never reaches the host.
    DirectoriesHeld,
}

/// One thing to tell the person who granted the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What it is about.
    pub kind: ExplanationKind,
    /// One line, without control characters.
    pub line: String,
    /// The flag that would mend it, if there is one.
    pub flag: Option<String>,
}

/// A step of a guest's search for its preopened directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreopenScan {
    /// A preopened directory was there.
    Found,
    /// There was none: the search is over.
    End,
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

/// What is known about the guest's search for its directories.
#[derive(Debug, Default)]
pub(super) struct ScanRecord {
    found: AtomicU32,
    ended: AtomicU32,
}

impl Host {
    /// Notes that the guest asked which directories it was given.
    pub fn note_preopen_scan(&self, step: PreopenScan) {
        match step {
            PreopenScan::Found => self.scan.found.fetch_add(1, Ordering::Relaxed),
            PreopenScan::End => self.scan.ended.fetch_add(1, Ordering::Relaxed),
        };
    }

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

    fn explain_reached(&self) -> Vec<Explanation> {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |limit: &ReachedLimit| match limit {
            ReachedLimit::Handles => {
                let most = self.limits.max_open_handles;
                (
                    format!("one more open descriptor was refused: --max-handles is {most}"),
                    "--max-handles COUNT",
                )
            }
            ReachedLimit::Threads => {
                let most = self.limits.max_threads;
                (format!("one more thread was refused: --max-threads is {most}"), "--max-threads COUNT")
            }
            ReachedLimit::Overlay(guest) => {
                let most = self.limits.overlay_bytes;
                (format!("more changes in {guest} were refused: --max-cow is {most} bytes"), "--max-cow SIZE")
            }
            ReachedLimit::Temporary(guest, most) => (
                format!("more in {guest} was refused: its size is {most} bytes, --tmp {guest}::SIZE"),
                "--tmp GUEST::SIZE",
            ),
        };
        let explain = |limit: &ReachedLimit| {
            let (line, flag) = line(limit);
            Explanation {
                kind: ExplanationKind::LimitReached,
                line: visible(&line),
                flag: Some(flag.to_owned()),
            }
        };
        reached.iter().map(explain).collect()
    }

    /// Notes that the guest wanted to accept a connection on a descriptor that is no socket.
    pub fn note_missing_listener(&self, descriptor: u32) {
        let none = u64::from(u32::MAX) + 1;
        let _ = self.missing_listener.compare_exchange(
            none,
            descriptor.into(),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    fn explain_missing_listener(&self) -> Option<Explanation> {
        let descriptor = u32::try_from(self.missing_listener.load(Ordering::Relaxed)).ok()?;
        let found: Vec<String> = self
            .sockets()
            .iter()
            .map(|(fd, address)| format!("that on {address} is descriptor {fd}"))
            .collect();
        let reason = if found.is_empty() {
            String::from("no socket was granted; grant one with --listen ADDRESS:PORT")
        } else {
            format!("it is no socket; {}", found.join(", "))
        };
        Some(Explanation {
            kind: ExplanationKind::Denied,
            line: format!("denied: accept a connection on descriptor {descriptor}: {reason}"),
            flag: found.is_empty().then(|| String::from("--listen ADDRESS:PORT")),
        })
    }

    /// Which descriptors the sockets are that the guest was granted.
    fn sockets(&self) -> &[(u32, std::net::SocketAddr)] {
        self.sockets.get().map_or(&[], Vec::as_slice)
    }

    /// Tells which descriptors a front end has made of the sockets.
    pub fn note_sockets(&self, sockets: Vec<(u32, std::net::SocketAddr)>) {
        let _ = self.sockets.set(sockets);
    }

    fn explain_sockets(&self) -> Vec<Explanation> {
        let explain = |(fd, address): &(u32, std::net::SocketAddr)| Explanation {
            kind: ExplanationKind::SocketsHeld,
            line: format!("the socket on {address} is descriptor {fd}"),
            flag: None,
        };
        self.sockets().iter().map(explain).collect()
    }

    /// Notes that a call failed because the guest has no memory that the host could read or write.
    pub fn note_missing_memory(&self) {
        self.lacks_memory.store(true, Ordering::Relaxed);
    }

    /// The distinct denials so far, oldest first.
    #[must_use]
    pub fn denials(&self) -> Vec<Denial> {
        self.gate.denials()
    }

    /// What to tell the person who granted the keys: denials first, then hints that matter only if the guest failed.
    #[must_use]
    pub fn explain(&self) -> Vec<Explanation> {
        let mut explanations: Vec<Explanation> = self.gate.denials().iter().map(explain_denial).collect();
        explanations.extend(explain_dropped(&self.gate));
        explanations.extend(self.explain_missing_listener());
        explanations.extend(self.explain_missing_memory());
        explanations.extend(self.explain_memory());
        explanations.extend(self.explain_written());
        explanations.extend(self.explain_reached());
        explanations.extend(self.explain_sockets());
        if self.scan.ended.load(Ordering::Relaxed) > 0 {
            explanations.push(self.explain_directories());
        }
        explanations
    }

    fn explain_missing_memory(&self) -> Option<Explanation> {
        self.lacks_memory.load(Ordering::Relaxed).then(|| Explanation {
            kind: ExplanationKind::NoMemory,
            line: String::from(
                "the module exports no memory named `memory`, where the host looks for what it is called with: such calls failed with `fault`; \
                 export its memory under that name",
            ),
            flag: None,
        })
    }

    fn explain_memory(&self) -> Option<Explanation> {
        let refused = self.budget.last_refusal()?;
        if refused.is_system_exhausted {
            return Some(Explanation {
                kind: ExplanationKind::LimitReached,
                line: refused.to_string(),
                flag: None,
            });
        }
        let flag = refused.limit_name;
        let default = if self.limits.memory_bytes.is_none() { ", half of the memory there is" } else { "" };
        Some(Explanation {
            kind: ExplanationKind::LimitReached,
            line: format!(
                "{} bytes more for {} were refused: {flag} is {} bytes{default}; with them it would be {} over",
                refused.wanted_bytes,
                refused.kind.name(),
                refused.limit_bytes,
                self.budget
                    .used_bytes()
                    .saturating_add(refused.wanted_bytes)
                    .saturating_sub(refused.limit_bytes)
            ),
            flag: Some(format!("{flag} SIZE")),
        })
    }

    fn explain_written(&self) -> Option<Explanation> {
        let limit_bytes = self.allowance.as_ref()?.exceeded()?;
        Some(Explanation {
            kind: ExplanationKind::LimitReached,
            line: format!("the guest was refused to write more: --max-written is {limit_bytes} bytes"),
            flag: Some(String::from("--max-written SIZE")),
        })
    }

    fn explain_directories(&self) -> Explanation {
        if self.grants.is_empty() {
            return Explanation {
                kind: ExplanationKind::NoDirectory,
                line: String::from(
                    "the guest looked for preopened directories and found none; grant one with --dir HOST::GUEST",
                ),
                flag: Some(String::from("--dir HOST::GUEST")),
            };
        }
        let held: Vec<String> = self.grants.iter().filter_map(|grant| describe(grant)).collect();
        Explanation {
            kind: ExplanationKind::DirectoriesHeld,
            line: visible(&format!(
                "the guest holds {}; a path outside of that its own library refuses, as \"no such file\" or \"not capable\"",
                held.join(", ")
            )),
            flag: None,
        }
    }
}

/// `text` with control and formatting characters replaced by visible escapes, so that a guest cannot drive the terminal.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible(character) {
            result.extend(character.escape_unicode());
        } else {
            result.push(character);
        }
    }
    result
}

fn explain_denial(denial: &Denial) -> Explanation {
    let flag = denial.missing.flag().map(|flag| visible(&flag));
    let reason = match &denial.missing {
        MissingKey::Write { guest, .. } => format!("{guest} was granted read-only"),
        MissingKey::Directory { .. } => String::from("no key covers it"),
        MissingKey::LinkTarget { guest } => {
            format!("a symbolic link leads out of {guest}; grant the directory that the link points into")
        }
        MissingKey::KernelFiles { guest } => format!(
            "it is a file of the kernel's, such as those in /proc and /sys, through which a guest could reach this process; `unsafe` at the end of the flag \
             that grants {guest} includes them"
        ),
        MissingKey::Hidden => {
            String::from("it is on the way to the code cache or its key, which no guest may reach")
        }
        MissingKey::Reserved => String::from(
            "names that begin with .innkeeper-cow- are those of directories in which inn keeps changes while it makes them, which no guest may reach",
        ),
        MissingKey::Nothing => String::from("the key does not allow this"),
    };
    let times = if denial.count > 1 { format!(" ({} times)", denial.count) } else { String::new() };
    let mend = flag.as_ref().map_or_else(String::new, |flag| format!("; grant it with {flag}"));
    let text = format!("denied: {} {}{times}: {reason}{mend}", denial.operation.name(), denial.path);
    Explanation { kind: ExplanationKind::Denied, line: visible(&text), flag }
}

fn explain_dropped(gate: &Gate) -> Option<Explanation> {
    let dropped = gate.denials_dropped();
    (dropped > 0).then(|| Explanation {
        kind: ExplanationKind::Denied,
        line: format!("denied: {dropped} more requests, not listed"),
        flag: None,
    })
}

fn describe(grant: &Grant) -> Option<String> {
    match grant {
        Grant::Directory { host, guest, access } => {
            Some(format!("{guest} ({}, {} on the host)", access.flag_word(), host.display()))
        }
        Grant::LockedRoot | Grant::Stdio(_) | Grant::Listener(_) => None,
    }
}

/// Characters that change how the text around them is shown: bidirectional controls, line separators, byte order mark.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
