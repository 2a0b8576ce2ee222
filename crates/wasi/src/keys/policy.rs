//! Keys as a file: a policy in TOML.
//!
//! Everything that keys can say can be said here, and nothing else: an unknown field is an error that names its place. What a policy leaves
//! out is as the command line has it without flags: no directory, no variable, the standard streams of the host process,
//! real clocks and randomness. Relative paths are relative to the policy's own folder.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use super::quantity::{Size, Time};
use super::{
    Access, Clocks, DirKey, DirectoryOrder, FileMode, HttpKey, KernelFiles, Keys, KeysBuilder, ListenKey,
    LockedRoot, NetKey, Random, StdinKey, StdoutKey,
};

/// A policy, as its file has it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Policy {
    /// Directories of the host, in the order in which the guest finds them.
    #[serde(rename = "directory", skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<PolicyDirectory>,
    /// Directories in memory, which come after those of the host.
    #[serde(rename = "temporary", skip_serializing_if = "Vec::is_empty")]
    pub temporaries: Vec<PolicyTemporary>,
    /// Environment variables.
    #[serde(skip_serializing_if = "is_default")]
    pub environment: PolicyEnvironment,
    /// The standard streams.
    #[serde(skip_serializing_if = "is_default")]
    pub stdio: PolicyStdio,
    /// Clocks.
    #[serde(skip_serializing_if = "is_default")]
    pub clocks: PolicyClocks,
    /// Randomness.
    #[serde(skip_serializing_if = "is_default")]
    pub random: PolicyRandom,
    /// Sockets.
    #[serde(skip_serializing_if = "is_default")]
    pub network: PolicyNetwork,
    /// Requests of HTTP.
    #[serde(skip_serializing_if = "is_default")]
    pub http: PolicyHttp,
    /// Bounds.
    #[serde(skip_serializing_if = "is_default")]
    pub limits: PolicyLimits,
}

/// `[[directory]]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyDirectory {
    /// The directory on the host.
    pub host: PathBuf,
    /// The guest's name for it; the host's, if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest: Option<String>,
    /// What may be done in it: reading only, if nothing is said.
    #[serde(default)]
    pub access: PolicyAccess,
    /// Whether the kernel's files beneath it, such as those in `/proc`, are part of it: `unsafe = true`.
    #[serde(default, rename = "unsafe", skip_serializing_if = "is_default")]
    pub kernel_files: bool,
}

/// The word for what may be done in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PolicyAccess {
    /// Read.
    #[default]
    Ro,
    /// Read and change.
    Rw,
    /// Read and, in the guest's view alone, change.
    Cow,
}

/// `[[temporary]]`
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PolicyTemporary {
    /// The guest's name for it.
    pub guest: String,
    /// What it may take; [`DirKey::TEMPORARY_BYTES`], if nothing is said.
    #[serde(default = "temporary_size")]
    pub size: Size,
}

/// `[environment]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PolicyEnvironment {
    /// Variables of the host process, by name; `*` stands for any text. One that is not set is left out, and one that a pattern means and is not UTF-8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inherit: Vec<String>,
    /// Variables with values. They come after the inherited ones and replace those of the same name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
}

/// `[stdio]`: each of them `"inherit"`, `"closed"`, `"empty"` (`"discard"` for outputs), or `{ file = "PATH" }`, for outputs with
/// `append = true` if what is in the file should stay.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PolicyStdio {
    /// Standard input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<PolicyStream>,
    /// Standard output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdout: Option<PolicyStream>,
    /// Standard error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stderr: Option<PolicyStream>,
}

/// A standard stream.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(
    rename_all = "lowercase",
    untagged,
    expecting = "a stream is \"inherit\", \"closed\", \"empty\", \"discard\" or { file = \"PATH\" }"
)]
#[non_exhaustive]
pub enum PolicyStream {
    /// One of the words.
    Word(StreamWord),
    /// A file of the host.
    File(StreamFile),
}

/// What a stream is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum StreamWord {
    /// The host process's own.
    Inherit,
    /// None.
    Closed,
    /// An input without anything in it.
    Empty,
    /// An output that disappears.
    Discard,
}

/// A file as a stream.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StreamFile {
    /// The file.
    pub file: PathBuf,
    /// For outputs: whether what is in it stays.
    #[serde(default, skip_serializing_if = "is_default")]
    pub append: bool,
}

/// `[clocks]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PolicyClocks {
    /// Which.
    pub kind: ClockKind,
    /// For others than real ones: what the real-time clock shows first, in seconds from 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Which clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ClockKind {
    /// The host's.
    #[default]
    Real,
    /// They stand still.
    Fixed,
    /// They advance as they are read.
    Stepped,
}

/// `[random]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PolicyRandom {
    /// What all random bytes follow from; the system's generator, if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// `[network]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PolicyNetwork {
    /// Addresses of sockets that the guest finds open, and accepts connections on.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "super::quantity::addresses")]
    pub listen: Vec<SocketAddr>,
    /// What the guest may connect to, listen on itself, exchange datagrams with and look up, each as the flag `--net` has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<NetKey>,
}

/// `[http]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PolicyHttp {
    /// Which requests the guest may send, each as the flag `--http` has it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<HttpKey>,
}

/// `[limits]`
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PolicyLimits {
    /// Handles open at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handles: Option<u32>,
    /// Threads at once, the first one not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// Bytes written in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<Size>,
    /// Memory of a copy-on-write directory's changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay: Option<Size>,
    /// Linear memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Size>,
    /// Time on the wall.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall: Option<Time>,
    /// Processor time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Time>,
}

fn temporary_size() -> Size {
    Size(DirKey::TEMPORARY_BYTES)
}

/// Why a policy cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It is not TOML, has an unknown field, or a value that means nothing; the message shows the place.
    #[error("{0}")]
    Malformed(#[from] toml::de::Error),
    /// An environment variable of the host process that is asked for by its name is not UTF-8.
    #[error(
        "the environment variable {0} is not UTF-8, which WASI wants; set another value under [environment.set]"
    )]
    VariableNotUnicode(String),
    /// A stream is something that streams of its direction cannot be.
    #[error("{stream} cannot be \"{word}\"; an input can be \"empty\", an output \"discard\"")]
    BadStream {
        /// The stream.
        stream: &'static str,
        /// What it should be.
        word: &'static str,
    },
}

impl Policy {
    /// Reads a policy.
    ///
    /// # Errors
    /// [`PolicyError::Malformed`], which names line and column.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        Ok(toml::from_str(text)?)
    }

    /// The policy as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Everything in here can be written.
        toml::to_string(self).unwrap_or_default()
    }

    /// Makes relative host paths relative to `folder`.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Policy {
        for directory in &mut self.directories {
            if directory.guest.is_none() {
                directory.guest = Some(directory.host.to_string_lossy().into_owned());
            }
            directory.host = folder.join(&directory.host);
        }
        for stream in [&mut self.stdio.stdin, &mut self.stdio.stdout, &mut self.stdio.stderr] {
            if let Some(PolicyStream::File(file)) = stream {
                file.file = folder.join(&file.file);
            }
        }
        self
    }

    /// Adds what the policy grants to `keys`; `variable` lists the host process's environment.
    ///
    /// # Errors
    /// What cannot be granted.
    pub fn grant(
        &self,
        mut keys: KeysBuilder,
        variables: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<KeysBuilder, PolicyError> {
        for directory in &self.directories {
            let access = match directory.access {
                PolicyAccess::Ro => Access::ReadOnly,
                PolicyAccess::Rw => Access::ReadWrite,
                PolicyAccess::Cow => Access::CopyOnWrite,
            };
            let host = directory.host.to_string_lossy().into_owned();
            let kernel_files =
                if directory.kernel_files { KernelFiles::Granted } else { KernelFiles::Refused };
            let key = DirKey::new(&directory.host, directory.guest.clone().unwrap_or(host), access);
            keys = keys.directory(key.with_kernel_files(kernel_files));
        }
        for temporary in &self.temporaries {
            keys = keys.directory(DirKey::temporary(&temporary.guest, temporary.size.0));
        }
        for (name, value) in self.environment.variables(variables)? {
            keys = keys.variable(name, value);
        }
        for address in &self.network.listen {
            keys = keys.listener(ListenKey::new(*address));
        }
        for key in &self.network.allow {
            keys = keys.net(key.clone());
        }
        for key in &self.http.allow {
            keys = keys.http(key.clone());
        }
        keys = self.stdio.grant(keys)?;
        let realtime = Duration::from_secs(self.clocks.seconds.unwrap_or(946_684_800));
        keys = keys.clocks(match self.clocks.kind {
            ClockKind::Real => Clocks::Real,
            ClockKind::Fixed => Clocks::Fixed { realtime },
            ClockKind::Stepped => Clocks::Stepped { realtime, step: Duration::from_micros(1) },
        });
        if let Some(seed) = self.random.seed {
            // Whoever wants the same run again wants directories in order, too.
            keys = keys.random(Random::Seeded(seed)).directory_order(DirectoryOrder::Sorted);
        }
        let mut keys = keys.locked_root(LockedRoot::Present).build();
        self.limits.apply(&mut keys);
        Ok(KeysBuilder::from(keys))
    }
}

impl PolicyEnvironment {
    fn variables(
        &self,
        host: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<Vec<(String, String)>, PolicyError> {
        let mut variables = BTreeMap::new();
        for (name, value) in host {
            let Some(name) = name.to_str() else { continue };
            if !self.inherit.iter().any(|pattern| matches_pattern(pattern, name)) {
                continue;
            }
            match value.into_string() {
                Ok(value) => drop(variables.insert(name.to_owned(), value)),
                // Who names it wants it; of what a pattern means, what can be given is given.
                Err(_)
                    if self.inherit.iter().any(|wanted| wanted == name) && !self.set.contains_key(name) =>
                {
                    return Err(PolicyError::VariableNotUnicode(name.to_owned()));
                }
                Err(_) => {}
            }
        }
        variables.extend(self.set.clone());
        Ok(variables.into_iter().collect())
    }
}

impl PolicyStdio {
    fn grant(&self, keys: KeysBuilder) -> Result<KeysBuilder, PolicyError> {
        let stdin = match &self.stdin {
            None | Some(PolicyStream::Word(StreamWord::Inherit)) => StdinKey::Inherit,
            Some(PolicyStream::Word(StreamWord::Closed)) => StdinKey::Closed,
            Some(PolicyStream::Word(StreamWord::Empty)) => StdinKey::Empty,
            Some(PolicyStream::Word(StreamWord::Discard)) => {
                return Err(PolicyError::BadStream { stream: "stdin", word: "discard" });
            }
            Some(PolicyStream::File(file)) => StdinKey::File(file.file.clone()),
        };
        let output = |stream, key: &Option<PolicyStream>| match key {
            None | Some(PolicyStream::Word(StreamWord::Inherit)) => Ok(StdoutKey::Inherit),
            Some(PolicyStream::Word(StreamWord::Closed)) => Ok(StdoutKey::Closed),
            Some(PolicyStream::Word(StreamWord::Discard)) => Ok(StdoutKey::Discard),
            Some(PolicyStream::Word(StreamWord::Empty)) => {
                Err(PolicyError::BadStream { stream, word: "empty" })
            }
            Some(PolicyStream::File(file)) => Ok(StdoutKey::File {
                path: file.file.clone(),
                mode: if file.append { FileMode::Append } else { FileMode::Truncate },
            }),
        };
        let (stdout, stderr) = (output("stdout", &self.stdout)?, output("stderr", &self.stderr)?);
        Ok(keys.stdin(stdin).stdout(stdout).stderr(stderr))
    }
}

impl PolicyLimits {
    fn apply(&self, keys: &mut Keys) {
        let limits = &mut keys.limits;
        if let Some(handles) = self.handles {
            limits.max_open_handles = handles;
        }
        if let Some(threads) = self.threads {
            limits.max_threads = threads;
        }
        if let Some(Size(overlay)) = self.overlay {
            limits.overlay_bytes = overlay;
        }
        limits.written_bytes = self.written.map(|size| size.0).or(limits.written_bytes);
        limits.memory_bytes = self.memory.map(|size| size.0).or(limits.memory_bytes);
        limits.wall_time = self.wall.map(|time| time.0).or(limits.wall_time);
        limits.processor_time = self.cpu.map(|time| time.0).or(limits.processor_time);
    }
}

/// Whether `name` is what `pattern` says, in which `*` stands for any text.
#[must_use]
pub fn matches_pattern(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_to_the_network_are_as_the_flag_has_them() {
        let policy = |key: &str| Policy::parse(&format!("[network]\nallow = [{key:?}]"));
        let read = policy("connect:10.0.0.0/8:443,80").expect("a policy");
        assert!(read.to_text().contains("allow = [\"connect:10.0.0.0/8:80,443\"]"), "{}", read.to_text());
        let error = policy("example.com:443").expect_err("it does not say what for").to_string();
        assert!(error.contains("line 2") && error.contains("write connect:example.com:443"), "{error}");
    }

    #[test]
    fn patterns_match_with_stars() {
        for (pattern, name) in
            [("A", "A"), ("LC_*", "LC_ALL"), ("*", "X"), ("*_*E", "A_BE"), ("A*B*C", "AxBBC")]
        {
            assert!(matches_pattern(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("A", "AB"), ("LC_*", "LANG"), ("", "A"), ("A*A", "A"), ("*_*E", "ABE")] {
            assert!(!matches_pattern(pattern, name), "{pattern} {name}");
        }
    }
}
