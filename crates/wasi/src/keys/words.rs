//! Keys in plain words, one line for each thing that they grant, leave out or bound.
//!
//! Must stay true: every field of [`Keys`] and [`WasiLimits`] is named here, so that what joins them does not compile until somebody has said what it means.
//! Values of environment variables are secrets of whoever grants them, and not said.
//!
//! What this is not: a check. Whether something can be granted is found out by opening it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    Access, Clocks, DirKey, DirectoryOrder, FileMode, HttpKey, KernelFiles, Keys, LockedRoot, NetAction,
    NetHost, NetKey, PortSet, Random, StdinKey, StdoutKey, WasiLimits, duration_in_words,
};

/// Which part of the keys a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyLineKind {
    /// Something that the guest is granted.
    Granted,
    /// Something that it is not granted.
    NotGranted,
    /// Something that is bounded, or not.
    Limit,
}

/// One line about keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyLine {
    /// Which part of the keys it is about.
    pub kind: KeyLineKind,
    /// What it is about, as the guest knows it.
    pub thing: String,
    /// What is said of that.
    pub words: String,
    /// The file or directory of the host that this is, where it is one.
    pub host: Option<PathBuf>,
}

impl Keys {
    /// The keys in plain words: what is granted, what is not, and the bounds.
    #[must_use]
    pub fn in_words(&self) -> Vec<KeyLine> {
        let Keys {
            arguments,
            environment,
            directories,
            hidden,
            locked_root,
            listeners,
            network,
            http,
            stdin,
            stdout,
            stderr,
            clocks,
            random,
            directory_order,
            limits,
            // It has no effect on what a guest can do.
            tuning: _,
        } = self;
        let mut lines = Lines::default();
        directories.iter().for_each(|key| lines.directory(key));
        for (name, _) in environment {
            lines.granted(format!("variable {name}"), "with the value that it has now");
        }
        lines.stdin(stdin);
        lines.output("standard output", stdout);
        lines.output("standard error", stderr);
        for key in listeners {
            lines.granted(format!("socket {}", key.address), "connections to it can be accepted");
        }
        network.iter().for_each(|key| lines.network(key));
        http.iter().for_each(|key| lines.http(key));
        lines.clocks(clocks);
        lines.granted(
            "randomness",
            match random {
                Random::Real => String::from("the system's generator"),
                Random::Seeded(seed) => {
                    format!("the same in every run, from the seed {seed}: not fit for secrets")
                }
            },
        );
        lines.granted(
            "lists of directories",
            match directory_order {
                DirectoryOrder::Host => "in the order of the host's file system",
                DirectoryOrder::Sorted => "by name, the same in every run",
            },
        );
        match arguments.split_first() {
            Some((name, rest)) => lines.granted("arguments", format!("{name:?} and {} more", rest.len())),
            None => lines.refused("arguments", "none but those after FILE on the command line"),
        }
        if environment.is_empty() {
            lines.refused("environment variables", "none");
        } else {
            lines.refused("other variables", "none of the host's is seen");
        }
        lines.elsewhere(directories, *locked_root);
        for path in hidden {
            lines.hidden(path.clone());
        }
        lines.refused(
            "network",
            match (listeners.is_empty(), network.is_empty() && http.is_empty()) {
                (_, false) => "nothing but what is said above",
                (true, true) => "no connection, in either direction",
                (false, true) => "no connection to anywhere, and none accepted but at the sockets above",
            },
        );
        lines.refused("everything else", "no other programs, devices, users or settings of the machine");
        lines.limits(limits);
        lines.0
    }
}

#[derive(Default)]
struct Lines(Vec<KeyLine>);

impl Lines {
    fn add(&mut self, kind: KeyLineKind, thing: impl Into<String>, words: impl Into<String>) {
        self.0.push(KeyLine { kind, thing: thing.into(), words: words.into(), host: None });
    }

    fn granted(&mut self, thing: impl Into<String>, words: impl Into<String>) {
        self.add(KeyLineKind::Granted, thing, words);
    }

    fn refused(&mut self, thing: impl Into<String>, words: impl Into<String>) {
        self.add(KeyLineKind::NotGranted, thing, words);
    }

    fn at(&mut self, thing: impl Into<String>, words: impl Into<String>, host: &Path) {
        let (thing, words, host) = (thing.into(), words.into(), Some(host.to_path_buf()));
        self.0.push(KeyLine { kind: KeyLineKind::Granted, thing, words, host });
    }

    fn directory(&mut self, key: &DirKey) {
        let DirKey { host, guest, access, kernel_files, .. } = key;
        let thing = format!("directory {guest}");
        let words = match access {
            Access::ReadOnly => "read",
            Access::ReadWrite => "read and change",
            Access::CopyOnWrite => "read, and change in the guest's view alone; the host's stays as it is",
            Access::Temporary { limit_bytes } => {
                let words = format!(
                    "read and change, in memory, gone with the guest, at most {}",
                    size(*limit_bytes)
                );
                return self.granted(thing, words);
            }
        };
        let words = match kernel_files {
            KernelFiles::Refused => String::from(words),
            KernelFiles::Granted => {
                format!("{words}; with the kernel's files in it, by which a guest can get out (unsafe)")
            }
        };
        self.at(thing, words, host);
    }

    fn stdin(&mut self, key: &StdinKey) {
        let thing = "standard input";
        match key {
            StdinKey::Inherit => self.granted(thing, "that of inn"),
            StdinKey::Empty => self.refused(thing, "it is empty"),
            StdinKey::Closed => self.refused(thing, "it is closed"),
            StdinKey::Bytes(bytes) => self.granted(thing, format!("{} bytes that are given", bytes.len())),
            StdinKey::File(path) => self.at(thing, "from a file", path),
            StdinKey::Source(_) => self.granted(thing, "what the embedder gives"),
            StdinKey::Opened(_) | StdinKey::OpenedFile(_) => self.granted(thing, "what was opened already"),
        }
    }

    fn output(&mut self, thing: &str, key: &StdoutKey) {
        match key {
            StdoutKey::Inherit => self.granted(thing, "that of inn"),
            StdoutKey::Discard => self.refused(thing, "what is written disappears"),
            StdoutKey::Closed => self.refused(thing, "it is closed"),
            StdoutKey::Capture(_) => self.granted(thing, "kept in memory"),
            StdoutKey::Sink(_) => self.granted(thing, "given to the embedder"),
            StdoutKey::Opened(_) => self.granted(thing, "to what was opened already"),
            StdoutKey::File { path, mode: FileMode::Truncate } => {
                self.at(thing, "to a file, which is made empty first", path);
            }
            StdoutKey::File { path, mode: FileMode::Append } => {
                self.at(thing, "to a file, after what is in it", path);
            }
        }
    }

    fn network(&mut self, key: &NetKey) {
        let NetKey { action, host, ports } = key;
        let host = match host {
            NetHost::Any if action.is_local() => String::from("every address of the machine"),
            NetHost::Any => String::from("every host"),
            host => host.to_string(),
        };
        let ports = match (*ports == PortSet::all(), ports.as_single()) {
            (true, _) => String::from("on every port"),
            (false, Some(0)) => String::from("on a port that the system chooses"),
            (false, Some(port)) => format!("on port {port}"),
            (false, None) => format!("on the ports {ports}"),
        };
        // What a name stands for is asked once.
        let looked_up = match &key.host {
            NetHost::Names(pattern) if *pattern.to_string() != *"localhost" => {
                ", at the addresses that its name has when it is first looked up"
            }
            _ => "",
        };
        match action {
            NetAction::Connect => {
                self.granted(format!("connections to {host}"), format!("by TCP, {ports}{looked_up}"))
            }
            NetAction::Listen => self.granted(
                format!("listening at {host}"),
                format!("connections by TCP can be accepted {ports}"),
            ),
            NetAction::Udp => {
                self.granted(format!("datagrams with {host}"), format!("by UDP, {ports}{looked_up}"))
            }
            NetAction::UdpBind => {
                self.granted(format!("datagrams at {host}"), format!("by UDP, from anybody, {ports}"))
            }
            NetAction::Resolve => self.granted(format!("addresses of {host}"), "can be looked up"),
        }
    }

    fn http(&mut self, key: &HttpKey) {
        let methods = match key.methods.to_string() {
            all if all == "*" => String::from("any method"),
            some => some,
        };
        let to = key.to_string();
        let to = to.split_once(':').map_or(&*to, |(_, to)| to);
        let words = match &key.host {
            NetHost::Addresses(_) => "can be sent, and its answer read",
            NetHost::Names(pattern) if *pattern.to_string() == *"localhost" => {
                "can be sent, and its answer read"
            }
            NetHost::Any | NetHost::Names(_) => {
                "can be sent, and its answer read, but to no address of this machine or of a private network"
            }
        };
        self.granted(format!("requests by {methods} to {to}"), words);
    }

    fn clocks(&mut self, clocks: &Clocks) {
        let since = |time: &Duration| format!("{} seconds after the beginning of 1970", time.as_secs());
        self.granted(
            "clocks",
            match clocks {
                Clocks::Real => String::from("the machine's"),
                Clocks::Fixed { realtime } => format!("they stand still at {}", since(realtime)),
                Clocks::Stepped { realtime, step } => {
                    format!("they begin at {} and advance by {step:?} when they are read", since(realtime))
                }
            },
        );
    }

    fn elsewhere(&mut self, directories: &[DirKey], locked_root: LockedRoot) {
        let only = if directories.is_empty() {
            "no file of the host"
        } else {
            "nothing outside of the directories above"
        };
        let told = match locked_root {
            LockedRoot::Absent => "",
            LockedRoot::Present => ", and what it looks for is told as denied",
        };
        self.refused("other files", format!("{only}{told}"));
        if directories.iter().any(|key| key.kernel_files == KernelFiles::Refused && is_native(key)) {
            self.refused(
                "files of the kernel's",
                "those in /proc, /sys and their like, also where a directory above has them",
            );
        }
    }

    fn hidden(&mut self, host: PathBuf) {
        self.refused("out of sight", "inn's own, wherever a directory above has it");
        if let Some(line) = self.0.last_mut() {
            line.host = Some(host);
        }
    }

    fn limits(&mut self, limits: &WasiLimits) {
        let WasiLimits {
            max_open_handles,
            max_interests,
            written_bytes,
            overlay_bytes,
            max_threads,
            wall_time,
            processor_time,
            memory_bytes,
            // What a report tells, and how a request is filled: no guest is refused anything by them.
            max_denials: _,
            random_chunk_bytes: _,
        } = limits;
        let time = |time: &Option<Duration>| time.map_or_else(|| String::from("none"), duration_in_words);
        let mut bound = |thing: &str, words: String| self.add(KeyLineKind::Limit, thing, words);
        bound("wall", format!("{}, from the start of the command to its end", time(wall_time)));
        bound("cpu", format!("{}, of processor time", time(processor_time)));
        let memory = memory_bytes.map_or_else(|| String::from("half of the machine's"), size);
        bound("memory", format!("{memory}, for all that the guest makes its host hold"));
        let written = written_bytes.map_or_else(|| String::from("none"), size);
        bound("written", format!("{written}, for what is written, and what files are made longer by"));
        bound("handles", format!("{max_open_handles} files, directories and sockets open at once"));
        bound("threads", format!("{max_threads} besides the first"));
        bound("overlay", format!("{}, for the changes in each cow directory", size(*overlay_bytes)));
        bound("interests", format!("{max_interests} things waited for at once"));
    }
}

fn is_native(key: &DirKey) -> bool {
    !matches!(key.access, Access::Temporary { .. })
}

/// Bytes as people write them, where that is exact.
fn size(bytes: u64) -> String {
    let units = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let exact = units.iter().find(|(_, bits)| bytes > 0 && bytes.trailing_zeros() >= *bits);
    exact.map_or_else(|| format!("{bytes} bytes"), |(unit, bits)| format!("{} {unit}", bytes >> bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_granted_but_clocks_and_randomness_unless_it_is_said() {
        let lines = Keys::default().in_words();
        let granted: Vec<&str> =
            lines.iter().filter(|line| line.kind == KeyLineKind::Granted).map(|line| &*line.thing).collect();
        assert_eq!(granted, ["clocks", "randomness", "lists of directories"]);
        let refused = ["arguments", "environment variables", "standard input", "network", "other files"];
        for thing in refused {
            assert!(
                lines.iter().any(|line| line.kind == KeyLineKind::NotGranted && line.thing == thing),
                "{thing}: {lines:#?}"
            );
        }
    }

    #[test]
    fn values_of_variables_are_not_said() {
        let lines = Keys::builder().variable("TOKEN", "secret").build().in_words();
        assert!(lines.iter().any(|line| line.thing == "variable TOKEN"));
        assert!(!format!("{lines:?}").contains("secret"));
    }

    #[test]
    fn sizes_are_exact() {
        for (bytes, words) in
            [(0, "0 bytes"), (1 << 30, "1 GiB"), (3 << 29, "1536 MiB"), (1025, "1025 bytes")]
        {
            assert_eq!(size(bytes), words);
        }
    }
}
