//! The report for a person: which keys the guest missed, and which limits it met, as data that can be printed.
//!
//! How a key is granted or a limit raised is not said here: whoever grants keys knows whether that is done by flags, a policy or a program. Guests choose some of these
//! texts, so every line has control characters made visible. Whether and when to print is the caller's business.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use innkeeper_engine::{BudgetKind, ByteCount};

use super::Host;
use super::credentials::{Grant, Rights};
use super::denial::{Denial, MissingKey, Refusal};
use super::directory::Directory;
use super::error::Error;
use super::gate::{Object, Operation, Request};
use super::missing;
use crate::keys::Access;

/// One thing to tell the person who granted the keys. Printed, it is one line without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// Something was denied.
    Denied(Denial),
    /// So many more things were denied, of which there is no record.
    DeniedMore(u64),
    /// The guest wanted to accept connections on a descriptor that is no socket. These are.
    NoSocket {
        /// What the guest took for one.
        descriptor: u32,
        /// Those that were granted, by descriptor.
        held: Vec<(u32, SocketAddr)>,
    },
    /// The guest's calls failed, since it exports no memory for them.
    NoMemory,
    /// A limit was reached.
    LimitReached(LimitReached),
    /// Which descriptor a listening socket is.
    SocketHeld {
        /// The descriptor.
        descriptor: u32,
        /// Where it listens.
        address: SocketAddr,
    },
    /// The guest looked for directories and had none. Of interest only if it failed.
    NoDirectory,
    /// The guest listed the root directory that stands for what was not granted, and has seen nothing in it. It may not take that for a failure.
    EmptyRoot,
    /// The last path that was not found in a directory that covers every path. It is there on the host by its absolute name: if the guest has asked for that, a key is
    /// missing. Of interest only if it failed.
    Elsewhere {
        /// The path, as an absolute one.
        path: String,
        /// The guest path of the directory that it was looked up in.
        guest: String,
        /// The key that would make it found.
        missing: MissingKey,
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
    listed_locked_root: AtomicBool,
}

impl Host {
    /// Notes that the guest asked which directories it was given.
    pub fn note_preopen_scan(&self, step: PreopenScan) {
        match step {
            PreopenScan::Found => self.scan.found.fetch_add(1, Ordering::Relaxed),
            PreopenScan::End => self.scan.ended.fetch_add(1, Ordering::Relaxed),
        };
    }

    /// Notes that the guest has listed the root in which nothing is, because it was granted no directory.
    pub(super) fn note_locked_root_listed(&self) {
        self.scan.listed_locked_root.store(true, Ordering::Relaxed);
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

    /// Tells which descriptors a front end has made of the sockets.
    pub fn note_sockets(&self, sockets: Vec<(u32, SocketAddr)>) {
        let _ = self.sockets.set(sockets);
    }

    /// Notes that a call failed because the guest has no memory that the host could read or write.
    pub fn note_missing_memory(&self) {
        self.lacks_memory.store(true, Ordering::Relaxed);
    }

    /// Notes that the guest wanted something done with a path and named a directory by a number that its library gives where it has found none.
    pub fn note_no_directory(&self, operation: Operation, path: &[u8]) {
        let reads = matches!(operation, Operation::OpenRead | Operation::Stat | Operation::ReadLink);
        self.gate.record_no_directory((operation, if reads { Rights::READ } else { Rights::ALL }), path);
    }

    /// Notes that a path was not found, if it was looked up in a directory in which libraries look up absolute paths as well. The last one is kept: what fails for it
    /// ends soon.
    #[cold]
    pub(super) fn note_missed(&self, request: &Request<'_>, directory: &Directory) {
        let Object::Path(credentials, path) = request.object else { return };
        let Grant::Directory { guest, .. } = &*credentials.grant else { return };
        if *directory.credentials.guest_path != **guest || !missing::stripped(guest).is_empty() {
            return;
        }
        let missed = Refusal::of_path((request.operation, request.needs), Error::NotFound, credentials, path);
        *self.missed.lock().unwrap_or_else(PoisonError::into_inner) = Some(missed);
    }

    fn explain_missed(&self) -> Option<Explanation> {
        let missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let missing = missing::elsewhere(&missed, &self.grants)?;
        let path = String::from_utf8_lossy(missed.path.as_deref()?).into_owned();
        let guest = missed.credentials?.guest_path.to_string();
        Some(Explanation::Elsewhere { path: format!("/{path}"), guest, missing })
    }

    /// The distinct denials so far, oldest first. Which key is missing is looked up on the host meanwhile.
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
        explanations.extend(self.explain_missing_listener());
        explanations.extend(self.lacks_memory.load(Ordering::Relaxed).then_some(Explanation::NoMemory));
        explanations.extend(self.limits_reached().into_iter().map(Explanation::LimitReached));
        explanations.extend(self.explain_missed());
        explanations.extend(self.explain_sockets());
        let has_none = !self.grants.iter().any(|grant| matches!(**grant, Grant::Directory { .. }));
        if has_none && self.scan.listed_locked_root.load(Ordering::Relaxed) {
            explanations.push(Explanation::EmptyRoot);
        } else if self.scan.ended.load(Ordering::Relaxed) > 0 {
            explanations.push(self.explain_directories());
        }
        explanations
    }

    /// Which descriptors the sockets are that the guest was granted.
    fn sockets(&self) -> &[(u32, SocketAddr)] {
        self.sockets.get().map_or(&[], Vec::as_slice)
    }

    /// Which descriptors the sockets are that the guest was granted, one by one.
    #[must_use]
    pub fn explain_sockets(&self) -> Vec<Explanation> {
        let explain =
            |&(descriptor, address): &(u32, SocketAddr)| Explanation::SocketHeld { descriptor, address };
        self.sockets().iter().map(explain).collect()
    }

    fn explain_missing_listener(&self) -> Option<Explanation> {
        let descriptor = u32::try_from(self.missing_listener.load(Ordering::Relaxed)).ok()?;
        Some(Explanation::NoSocket { descriptor, held: self.sockets().to_vec() })
    }

    fn limits_reached(&self) -> Vec<LimitReached> {
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

    fn explain_directories(&self) -> Explanation {
        let held = self.grants.iter().filter_map(|grant| match &**grant {
            Grant::Directory { host, guest, access } => {
                Some(HeldDirectory { guest: guest.clone(), host: host.clone(), access: *access })
            }
            Grant::LockedRoot | Grant::Stdio(_) | Grant::Listener(_) => None,
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
            Explanation::NoSocket { descriptor, held } => {
                let found: Vec<String> = held
                    .iter()
                    .map(|(fd, address)| format!("that on {address} is descriptor {fd}"))
                    .collect();
                let reason = match found.is_empty() {
                    true => String::from("no socket was granted"),
                    false => format!("it is no socket; {}", found.join(", ")),
                };
                format!("denied: accept a connection on descriptor {descriptor}: {reason}")
            }
            Explanation::NoMemory => String::from(
                "the module exports no memory named `memory`, where the host looks for what it is called with: such calls failed with `fault`; \
                 export its memory under that name",
            ),
            Explanation::LimitReached(limit) => limit.to_string(),
            Explanation::SocketHeld { descriptor, address } => {
                format!("the socket on {address} is descriptor {descriptor}")
            }
            Explanation::Elsewhere { path, guest, .. } => format!(
                "{} was looked up in {}, as every path is, and is not there; this machine has one of that name",
                named(path),
                named(guest)
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

/// What was denied and why, without how to mend it, control characters made visible.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.count > 1 { format!(" ({} times)", self.count) } else { String::new() };
        let text = format!("{} {}{times}: {}", self.operation.name(), named(&self.path), self.missing);
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

/// `text` with every character that is not visible replaced by an escape, so that a guest cannot drive the terminal or hide anything.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        if is_visible(character) {
            result.push(character);
        } else {
            result.extend(character.escape_unicode());
        }
    }
    result
}

/// Most characters of a name in a sentence; what is longer is shortened in the middle.
const MAX_NAMED_CHARS: usize = 256;

/// A name that a guest has chosen, such as a path, as it stands in a sentence: in quotes if anything in it could be taken for the sentence itself.
#[must_use]
pub fn named(name: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "_./@%+=~-".contains(character);
    let count = name.chars().count();
    let shown: String = if count > MAX_NAMED_CHARS {
        let half = MAX_NAMED_CHARS / 2;
        name.chars().take(half).chain(['…']).chain(name.chars().skip(count - half)).collect()
    } else {
        name.to_owned()
    };
    if !shown.is_empty() && shown.chars().all(|character| is_plain(character) || character == '…') {
        return visible(&shown);
    }
    let mut quoted = String::from('"');
    for character in shown.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    visible(&(quoted + "\""))
}

/// Whether a character shows, or changes how the visible one before it does. What controls the terminal or the direction of text is not, nor what separates lines, nor any space but one,
/// nor what nothing is assigned to or has a meaning for its users only.
fn is_visible(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    // The standard library has the table: it escapes what does not show, and a mark only if nothing comes before it.
    let mut with_one_before = [0; 5];
    with_one_before[0] = b'a';
    let end = 1 + character.encode_utf8(&mut with_one_before[1..]).len();
    let text = std::str::from_utf8(&with_one_before[..end]).unwrap_or_default();
    text.escape_debug().count() == 2 && !is_blank(character)
}

/// Letters and marks that show nothing, though they are ones by their category.
fn is_blank(character: char) -> bool {
    matches!(
        character,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters of the general categories Cc, Cf, Co, Cn, Zl and Zp, range by range, and letters that show nothing.
    const HIDDEN: &[(u32, u32)] = &[
        (0x0, 0x1f),
        (0x7f, 0xa0),
        (0xad, 0xad),
        (0x34f, 0x34f),
        (0x378, 0x379),
        (0x600, 0x605),
        (0x61c, 0x61c),
        (0x6dd, 0x6dd),
        (0x70f, 0x70f),
        (0x890, 0x891),
        (0x8e2, 0x8e2),
        (0x115f, 0x1160),
        (0x180b, 0x180f),
        (0x2000, 0x200f),
        (0x2028, 0x202f),
        (0x205f, 0x206f),
        (0x2800, 0x2800),
        (0x3000, 0x3000),
        (0x3164, 0x3164),
        (0xe000, 0xf8ff),
        (0xfdd0, 0xfdef),
        (0xfeff, 0xfeff),
        (0xffa0, 0xffa0),
        (0xfff0, 0xfffb),
        (0xfffe, 0xffff),
        (0x110bd, 0x110bd),
        (0x110cd, 0x110cd),
        (0x13430, 0x1343f),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0x1fffe, 0x1ffff),
        (0xe0000, 0x10_ffff),
    ];

    #[test]
    fn every_character_that_does_not_show_is_escaped() {
        for (first, last) in HIDDEN {
            for character in (*first..=*last).filter_map(char::from_u32) {
                let shown = visible(&format!("a{character}b"));
                assert_eq!(shown, format!("a{}b", character.escape_unicode()));
            }
        }
        for text in ["a b~", "caf\u{e9}", "cafe\u{301}", "日本", "\u{1f3e0}", "…“”", "Ж", "שלום"]
        {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn a_name_in_a_sentence_is_not_taken_for_the_sentence() {
        for (name, shown) in [
            ("/a/b-c_d.e", "/a/b-c_d.e"),
            ("日本/x", "日本/x"),
            ("", r#""""#),
            ("../x: no key covers it", r#""../x: no key covers it""#),
            (r#"a" \"#, r#""a\" \\""#),
            ("a;b", r#""a;b""#),
            ("a\nb", r#""a\u{a}b""#),
        ] {
            assert_eq!(named(name), shown);
        }
        let long = named(&format!("/begin/{}/end", "x".repeat(5000)));
        assert!(long.starts_with("/begin/x") && long.ends_with("x/end") && long.contains("x…x"), "{long}");
        assert_eq!(long.chars().count(), MAX_NAMED_CHARS + 1);
    }
}
