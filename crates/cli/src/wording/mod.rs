//! How a key is granted and a limit raised: by a flag, or in the policy that has set it.
//!
//! The library says which key is missing and which limit was reached; the words of the command line and of policies are here. Must stay true: a mend is said by who holds the
//! words: a flag where a flag has granted, the policy where the policy has.

mod suggested;
mod wanted;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use innkeeper::Limits;
use innkeeper::wasi::host::{self, LimitReached, MissingKey};
use innkeeper::wasi::keys::{DirKey, KernelFiles, KeyError, Keys, WasiLimits, duration_in_words};
use innkeeper::wasi::p1::Explanation;

use crate::flags::{GrantFlags, RunArgs};
use crate::report::{Problem, named, visible};
use crate::values::{ACCESSES, DirFlag};

use suggested::{grant_http_with, grant_network_with, grant_socket_with, grant_with};
use wanted::{Wanted, is_elsewhere, is_machines, wanted};

pub(crate) use suggested::dir_flag;

/// Stands for a directory that has to be chosen.
const CHOOSE: &str = "HOST";

/// The words of one command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wording {
    /// The policy, if there is one.
    policy: Option<String>,
    /// Guest paths, and directories of the host, that flags have granted.
    guests: Vec<String>,
    hosts: Vec<PathBuf>,
    /// Limits that the policy has set, and no flag.
    limits: Vec<LimitName>,
}

/// A limit: its flag, and its name under `[limits]` in a policy.
pub(crate) type LimitName = (&'static str, &'static str);

pub(crate) const MEMORY: LimitName = ("--max-memory", "memory");
pub(crate) const WRITTEN: LimitName = ("--max-written", "written");
pub(crate) const HANDLES: LimitName = ("--max-handles", "handles");
const THREADS: LimitName = ("--max-threads", "threads");
pub(crate) const OVERLAY: LimitName = ("--max-cow", "overlay");
pub(crate) const WALL: LimitName = ("--timeout", "wall");
pub(crate) const PROCESSOR: LimitName = ("--max-cpu", "cpu");

/// That a guest's calls were nested too deep.
pub(crate) fn deep_calls() -> String {
    let Limits { guest_stack_bytes, native_stack_bytes, .. } = Limits::default();
    let mib = |bytes: usize| bytes >> 20;
    format!(
        "the guest was stopped: its calls are nested deeper than its stack holds, which is {} MiB for interpreted functions and {} MiB for compiled ones; \
         no flag changes that, and most often it is recursion without end",
        mib(guest_stack_bytes),
        mib(native_stack_bytes)
    )
}

impl Wording {
    /// Those of a command line that runs a guest with these keys.
    pub(crate) fn of(args: &RunArgs, keys: &Keys) -> Wording {
        let (given, held, usual) = (&args.keys.limits, &keys.limits, WasiLimits::default());
        let limits = [
            (MEMORY, given.max_memory.is_none() && held.memory_bytes.is_some()),
            (WRITTEN, given.max_written.is_none() && held.written_bytes.is_some()),
            (HANDLES, given.max_handles.is_none() && held.max_open_handles != usual.max_open_handles),
            (THREADS, given.max_threads.is_none() && held.max_threads != usual.max_threads),
            (OVERLAY, given.max_cow.is_none() && held.overlay_bytes != usual.overlay_bytes),
            (WALL, given.timeout.is_none() && held.wall_time.is_some()),
            (PROCESSOR, given.max_cpu.is_none() && held.processor_time.is_some()),
        ];
        Wording::of_grants(&args.keys.grants, &limits)
    }

    /// Those of a command line that has granted this, and left limits with these names to its policy.
    pub(crate) fn of_grants(grants: &GrantFlags, limits: &[(LimitName, bool)]) -> Wording {
        let directories = grants.dirs.iter().chain(&grants.mapdirs).map(|DirFlag(key)| key);
        let all = directories.clone().chain(grants.tmps.iter().map(|tmp| &tmp.0));
        Wording {
            policy: grants.policy.as_ref().map(|policy| visible(&policy.to_string_lossy())),
            guests: all.map(|key| key.guest.clone()).collect(),
            hosts: directories.map(|key| key.host.clone()).collect(),
            limits: limits.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect(),
        }
    }

    /// Those of a policy without flags.
    pub(crate) fn of_policy(policy: &OsStr) -> Wording {
        Wording { policy: Some(visible(&policy.to_string_lossy())), ..Wording::default() }
    }

    /// The policy that has granted the directory that the guest calls so, if no flag has.
    fn policy_of(&self, guest: &str) -> Option<&str> {
        self.policy.as_deref().filter(|_| !self.guests.iter().any(|known| known == guest))
    }

    /// One explanation on one line, with how to mend it.
    pub(crate) fn explain_one(&self, explanation: &host::Explanation) -> String {
        self.explain(&Explanation::Host(explanation.clone()), &[], &mut HashSet::new())
    }

    /// Explanations, each on one line, with how to mend it. What would mend several is said once: two keys to one name would be refused.
    pub(crate) fn explain_all(&self, explanations: &[Explanation]) -> Vec<String> {
        let denials = explanations.iter().filter_map(|explanation| match explanation {
            Explanation::Host(host::Explanation::Denied(denial)) => wanted(&denial.missing),
            _ => None,
        });
        let all: Vec<Wanted> = denials.collect();
        let mut said = HashSet::new();
        explanations.iter().map(|explanation| self.explain(explanation, &all, &mut said)).collect()
    }

    fn explain(&self, explanation: &Explanation, all: &[Wanted], said: &mut HashSet<String>) -> String {
        let line = explanation.to_string();
        let mend = match explanation {
            Explanation::Host(explanation) => match explanation {
                host::Explanation::LimitReached(limit) => return self.limit_reached(limit),
                host::Explanation::Denied(denial) => match self.mend(&denial.missing, all) {
                    Some(mend) if !said.insert(mend.clone()) => Some(String::from("the same mends it")),
                    Some(mend) if is_machines(&denial.missing) => {
                        Some(format!("if this machine's is meant, {mend}"))
                    }
                    Some(mend) if is_elsewhere(&denial.missing) => {
                        Some(format!("if the host has that directory, {mend}"))
                    }
                    mend => mend,
                },
                host::Explanation::Elsewhere { missing, .. } => {
                    self.mend(missing, &[]).map(|mend| format!("if this machine's is meant, {mend}"))
                }
                host::Explanation::Repeated { rest, .. } => Some(format!(
                    "name it {} to the guest, or grant the directory around it as /: --dir {CHOOSE}::/",
                    named(rest)
                )),
                host::Explanation::NoDirectory | host::Explanation::EmptyRoot => {
                    Some(String::from("grant one with --dir HOST::GUEST"))
                }
                _ => None,
            },
            Explanation::NoSocket { held, .. } if held.is_empty() => {
                Some(String::from("grant one with --listen ADDRESS:PORT"))
            }
            _ => None,
        };
        match mend {
            Some(mend) => format!("{line}; {}", visible(&mend)),
            None => line,
        }
    }

    /// How the key is granted that a denied operation lacked, and what others want of the same name.
    fn mend(&self, missing: &MissingKey, all: &[Wanted]) -> Option<String> {
        match missing {
            MissingKey::Network { key } => return Some(grant_network_with(key)),
            MissingKey::Http { key } => return Some(grant_http_with(key)),
            MissingKey::Socket { transport } => return Some(grant_socket_with(*transport)),
            _ => {}
        }
        let in_policy = |guest: &str, what: &str| {
            let policy = self.policy_of(guest)?;
            Some(format!("write {what} for {} in {policy}", named(guest)))
        };
        let wanted = wanted(missing)?.with_all(all);
        let by_flag = || {
            let host = wanted.host.as_deref().unwrap_or(Path::new(CHOOSE));
            let key = DirKey::new(host, &wanted.guest, wanted.access).with_kernel_files(wanted.kernel_files);
            grant_with(&key, if wanted.is_instead { " instead" } else { "" })
        };
        let mend = match missing {
            MissingKey::Write { guest, .. } => in_policy(guest, "access = \"rw\""),
            MissingKey::Name { known, .. } => in_policy(known, "guest = \"/\""),
            MissingKey::KernelFiles { guest, .. } => in_policy(guest, "unsafe = true"),
            _ => None,
        };
        let trust = match (mend.is_some(), missing, wanted.kernel_files) {
            (true, MissingKey::KernelFiles { .. }, _) | (false, _, KernelFiles::Granted) => {
                ", if the guest is to be trusted like inn itself"
            }
            _ => "",
        };
        Some(mend.unwrap_or_else(by_flag) + trust)
    }

    /// What a limit has refused, with its name and value.
    fn limit_reached(&self, limit: &LimitReached) -> String {
        let name = match limit {
            LimitReached::Memory { .. } => self.limit(MEMORY),
            LimitReached::Written { .. } => self.limit(WRITTEN),
            LimitReached::Handles { .. } => self.limit(HANDLES),
            LimitReached::Threads { .. } => self.limit(THREADS),
            LimitReached::Overlay { .. } => self.limit(OVERLAY),
            LimitReached::Temporary { guest, .. } => match self.policy_of(guest) {
                Some(policy) => format!("`size` for {guest} in {policy}"),
                None => format!("--tmp {guest}::SIZE"),
            },
            _ => return limit.to_string(),
        };
        let value = limit.value().unwrap_or_default();
        let line = match limit {
            LimitReached::Temporary { .. } => format!("{}: its size is {value}, {name}", limit.refused()),
            _ => format!("{}: {name} is {value}", limit.refused()),
        };
        visible(&line)
    }

    /// What a limit is called where it was set: by its flag, or in the policy.
    fn limit(&self, name: LimitName) -> String {
        let (flag, key) = name;
        match &self.policy {
            Some(policy) if self.limits.contains(&name) => format!("`{key}` under [limits] in {policy}"),
            _ => flag.to_owned(),
        }
    }

    /// What is said of a limit in an error of the engine's, which calls it by its name in the library.
    pub(crate) fn memory_limit_in(&self, text: &str) -> Option<String> {
        text.contains("Limits::memory_bytes")
            .then(|| text.replace("Limits::memory_bytes", &self.limit(MEMORY)))
    }

    /// That a guest was stopped by a deadline.
    pub(crate) fn stopped(&self, name: LimitName, limit: Duration) -> String {
        format!("the guest was stopped: {} is {}", self.limit(name), duration_in_words(limit))
    }

    /// What to say about keys that cannot be honoured: another command line, or another policy, would have others.
    pub(crate) fn cannot_be_granted(&self, error: &KeyError) -> Problem {
        let text = error.to_string();
        let (message, mend) = text.split_once("; ").unwrap_or((&text, ""));
        let host = match error {
            KeyError::DirectoryMissing(path)
            | KeyError::NotADirectory(path)
            | KeyError::KernelFiles(path)
            | KeyError::Hidden(path)
            | KeyError::Reserved(path)
            | KeyError::DirectoryUnreadable { path, .. } => Some(path),
            _ => None,
        };
        let policy = host.and_then(|host| self.policy.as_deref().filter(|_| !self.hosts.contains(host)));
        let message = match policy {
            Some(policy) => format!("{policy}: {message}"),
            None => message.to_owned(),
        };
        let problem = Problem::from_message(visible(&message)).mistake();
        let mend = match (error, policy) {
            (KeyError::DirectoryMissing(path), _) if is_for_shells(path) => {
                String::from("neither ~ nor $ is replaced here: write the whole path")
            }
            (KeyError::DirectoryMissing(path), None) => near_colon(path).unwrap_or_else(|| mend.to_owned()),
            (KeyError::DirectoryMissing(_), Some(_)) => String::from(
                "create it, or correct `host`, which is relative to the policy's folder; docs/policies.md says more",
            ),
            (KeyError::KernelFiles(_), None) => String::from(
                "grant another directory, or say that this is meant with `unsafe` at the flag's end",
            ),
            (KeyError::KernelFiles(_), Some(_)) => String::from(
                "grant another directory, or say that this is meant with `unsafe = true`; docs/policies.md says more",
            ),
            (KeyError::Reserved(_), _) => {
                String::from("finish them first, with `inn cow resume` or `inn cow undo`")
            }
            (KeyError::TooManyHandles { .. }, _) => {
                format!("raise {}, or grant less", self.limit(HANDLES))
            }
            _ => mend.to_owned(),
        };
        if mend.is_empty() { problem } else { problem.help(mend) }
    }
}

/// Whether a path has in it what shells replace.
fn is_for_shells(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().as_bytes().first(), Some(b'~' | b'$')))
}

/// What is meant by a host path with one colon in it.
fn near_colon(path: &Path) -> Option<String> {
    let (host, guest) = path.to_str()?.split_once(':')?;
    // A guest's path has no colon here, but for one before an access.
    let parts = guest.rsplit_once(':').filter(|(_, last)| ACCESSES.contains(last));
    let flag = match parts {
        Some((guest, access)) => format!("{host}::{guest}::{access}"),
        None => format!("{host}::{guest}"),
    };
    let between = if parts.is_none() && ACCESSES.contains(&guest) {
        "Two colons stand before an access"
    } else {
        "Two colons stand between the host's path and the guest's"
    };
    Path::new(host).is_dir().then(|| format!("did you mean {flag}? {between}"))
}
