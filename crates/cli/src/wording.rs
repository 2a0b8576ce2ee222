//! How a key is granted and a limit raised: by a flag, or in the policy that has set it.
//!
//! The library says which key is missing and which limit was reached; the words of the command line and of policies are here. Must stay true: a flag that is suggested
//! grants exactly the key that is missing when it is typed into a shell, whatever bytes are in its paths; where no flag can say it, none is suggested.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use innkeeper::Limits;
use innkeeper::wasi::host::{self, LimitReached, MissingKey};
use innkeeper::wasi::keys::{Access, DirKey, KernelFiles, KeyError, Keys, WasiLimits, duration_in_words};
use innkeeper::wasi::p1::Explanation;

use crate::flags::RunArgs;
use crate::report::{Problem, named, visible};
use crate::values::{ACCESSES, DirFlag};

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

const MEMORY: LimitName = ("--max-memory", "memory");
const WRITTEN: LimitName = ("--max-written", "written");
const HANDLES: LimitName = ("--max-handles", "handles");
const THREADS: LimitName = ("--max-threads", "threads");
const OVERLAY: LimitName = ("--max-cow", "overlay");
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
        let flags = &args.keys;
        let directories = flags.dirs.iter().chain(&flags.mapdirs).map(|DirFlag(key)| key);
        let all = directories.clone().chain(flags.tmps.iter().map(|tmp| &tmp.0));
        let (given, held, usual) = (&flags.limits, &keys.limits, WasiLimits::default());
        let limits = [
            (MEMORY, given.max_memory.is_none() && held.memory_bytes.is_some()),
            (WRITTEN, given.max_written.is_none() && held.written_bytes.is_some()),
            (HANDLES, given.max_handles.is_none() && held.max_open_handles != usual.max_open_handles),
            (THREADS, given.max_threads.is_none() && held.max_threads != usual.max_threads),
            (OVERLAY, given.max_cow.is_none() && held.overlay_bytes != usual.overlay_bytes),
            (WALL, given.timeout.is_none() && held.wall_time.is_some()),
            (PROCESSOR, given.max_cpu.is_none() && held.processor_time.is_some()),
        ];
        Wording {
            policy: flags.policy.as_ref().map(|policy| visible(&policy.to_string_lossy())),
            guests: all.map(|key| key.guest.clone()).collect(),
            hosts: directories.map(|key| key.host.clone()).collect(),
            limits: limits.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect(),
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

/// A directory that a flag would grant.
#[derive(Clone, Debug)]
struct Wanted {
    /// Nothing where it has to be chosen.
    host: Option<PathBuf>,
    guest: String,
    access: Access,
    kernel_files: KernelFiles,
    /// Whether the flag takes the place of one that is there.
    is_instead: bool,
}

/// Whether a key is to a directory of the machine that the guest calls as the machine does. Guests' libraries make relative paths absolute, so that a file which is not there
/// looks like one of those.
fn is_machines(missing: &MissingKey) -> bool {
    matches!(missing, MissingKey::Directory { host: Some(host), guest, .. } if host.is_absolute() && Path::new(guest) == host)
}

/// Whether a key is to a directory outside of the working directory, where nobody looks whether it is there.
fn is_elsewhere(missing: &MissingKey) -> bool {
    matches!(missing, MissingKey::Directory { host: Some(host), .. } if host.is_absolute() || host.starts_with(".."))
}

/// What would have allowed an operation, if a flag would.
fn wanted(missing: &MissingKey) -> Option<Wanted> {
    let (host, guest, access, kernel_files, is_instead) = match missing {
        MissingKey::Directory { host, guest, access } => {
            (host.clone(), guest, *access, KernelFiles::Refused, false)
        }
        MissingKey::Write { host, guest } => {
            (Some(host.clone()), guest, Access::ReadWrite, KernelFiles::Refused, true)
        }
        MissingKey::Name { host, guest, access, .. } => {
            (Some(host.clone()), guest, *access, KernelFiles::Refused, true)
        }
        MissingKey::KernelFiles { host, guest, access } => {
            (Some(host.clone()), guest, *access, KernelFiles::Granted, true)
        }
        _ => return None,
    };
    Some(Wanted { host, guest: guest.clone(), access, kernel_files, is_instead })
}

impl Wanted {
    /// With whatever others want of the same name that can be the same directory.
    fn with_all(mut self, all: &[Wanted]) -> Wanted {
        for other in all.iter().filter(|other| other.guest == self.guest) {
            if self.host.is_some() && other.host.is_some() && self.host != other.host {
                continue;
            }
            if self.host.is_none() {
                self.host = other.host.clone();
            }
            if other.access == Access::ReadWrite && self.access == Access::ReadOnly {
                self.access = Access::ReadWrite;
            }
            if other.kernel_files == KernelFiles::Granted {
                self.kernel_files = KernelFiles::Granted;
            }
            self.is_instead |= other.is_instead;
        }
        self
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

fn grant_with(key: &DirKey, instead: &str) -> String {
    match dir_flag(key) {
        Some(flag) => format!("grant it with {flag}{instead}"),
        None => {
            let word = key.access.flag_word();
            let is_granted = key.kernel_files == KernelFiles::Granted;
            let kernel_files = if is_granted { ", unsafe = true" } else { "" };
            format!(
                "no flag can say it, as its path has `::` in it, but a policy can: [[directory]] host = {}, guest = {}, access = {word:?}{kernel_files}",
                toml_string(&key.host.to_string_lossy()),
                toml_string(&key.guest)
            )
        }
    }
}

/// A text as TOML has it, on one line, with what does not show escaped.
fn toml_string(text: &str) -> String {
    let mut written = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => written.extend(['\\', character]),
            _ if visible(character.encode_utf8(&mut [0; 4])).chars().count() == 1 => written.push(character),
            _ => written.push_str(&format!("\\U{:08X}", u32::from(character))),
        }
    }
    written + "\""
}

/// The flag that grants a key, as it is typed into a shell; nothing where it would be read as another.
pub(crate) fn dir_flag(key: &DirKey) -> Option<String> {
    let host = match key.host.as_os_str().as_bytes().first() {
        // It would be taken for a flag.
        Some(b'-') => Path::new(".").join(&key.host),
        _ => key.host.clone(),
    };
    let mut value = OsString::from(&host);
    value.push(format!("::{}::{}", key.guest, key.access.flag_word()));
    if key.kernel_files == KernelFiles::Granted {
        value.push("::unsafe");
    }
    let same = DirKey::new(host, &key.guest, key.access).with_kernel_files(key.kernel_files);
    let is_same = DirFlag::parse_dir(value.clone()).is_ok_and(|DirFlag(read)| read == same);
    is_same.then(|| format!("--dir {}", quoted(&value)))
}

/// A word as a shell reads it back.
fn quoted(word: &OsStr) -> String {
    // Bash expands `~` behind `=`, too; and what is a letter depends on the locale.
    let is_plain = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "/._-:,@%+".contains(character))
    };
    match word.to_str() {
        Some(text) if is_plain(text) => text.to_owned(),
        Some(text) if visible(text) == text => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let mut text = String::from("$'");
            for chunk in word.as_bytes().utf8_chunks() {
                for character in chunk.valid().chars() {
                    match character {
                        '\'' | '\\' => text.extend(['\\', character]),
                        _ if visible(character.encode_utf8(&mut [0; 4])).chars().count() == 1 => {
                            text.push(character)
                        }
                        _ => escape(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
                escape(&mut text, chunk.invalid());
            }
            text + "'"
        }
    }
}

/// Adds bytes as `$'...'` has them.
fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!(r"\{byte:03o}"));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_suggested_flag_is_read_back_by_a_shell_as_the_key() {
        let hosts: [&[u8]; 16] = [
            b"a=~/x",
            b"a:~/x",
            b"{a,b}",
            b"=ls",
            b".",
            b"a b",
            b"it's",
            b"-x",
            b"~x",
            b"$HOME",
            b"caf\xe9",
            b"a\nb",
            b"\xe2\x80\xaeb",
            b"a\\b",
            "\u{e9}".as_bytes(),
            b"a:b",
        ];
        for host in hosts {
            for guest in [".", "/g", "../g", "a b", "ro"] {
                for access in [Access::ReadOnly, Access::ReadWrite, Access::CopyOnWrite] {
                    let host = PathBuf::from(OsString::from_vec(host.to_vec()));
                    let key = DirKey::new(&host, guest, access).with_kernel_files(KernelFiles::Granted);
                    let flag = dir_flag(&key).unwrap_or_else(|| panic!("{key:?}"));
                    let ran = std::process::Command::new("bash")
                        .args(["-c", &format!("printf %s {}", flag.trim_start_matches("--dir "))])
                        .output()
                        .unwrap();
                    let DirFlag(read) = DirFlag::parse_dir(OsString::from_vec(ran.stdout)).unwrap();
                    let plain = |host: &Path| host.strip_prefix("./").unwrap_or(host).to_owned();
                    assert_eq!(plain(&read.host), plain(&host), "{flag}");
                    assert_eq!(
                        (read.guest, read.access, read.kernel_files),
                        (key.guest, access, KernelFiles::Granted),
                        "{flag}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_a_policy_is_to_say_is_read_back_as_the_key() {
        for text in ["a::b", "a::\u{202e}b", "a::\"\\", "a::\0\u{1b}\u{e0041}", "a::\u{e9}"] {
            let suggested = grant_with(&DirKey::new(text, "/g::h", Access::ReadOnly), "");
            let (_, fields) = suggested.split_once("[[directory]] ").expect("a table");
            let policy = format!("[[directory]]\n{}", fields.replace(", ", "\n"));
            let read = innkeeper::wasi::keys::Policy::parse(&policy).expect("a policy");
            assert_eq!(
                (read.directories[0].host.as_path(), read.directories[0].guest.as_deref()),
                (Path::new(text), Some("/g::h"))
            );
            assert_eq!(visible(&suggested), suggested);
        }
    }

    #[test]
    fn what_no_flag_can_say_is_not_suggested_as_one() {
        for (host, guest) in [("a::b", "/g"), ("a", "/g::h"), ("a:", "/g"), ("a", "g:"), ("a", "/g::ro")] {
            let key = DirKey::new(host, guest, Access::ReadOnly);
            assert_eq!(dir_flag(&key), None, "{host} {guest}");
            assert!(grant_with(&key, "").contains("[[directory]]"), "{host} {guest}");
        }
    }
}
