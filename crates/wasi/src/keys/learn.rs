//! Policies from runs: the least that covers what was used, over several runs.

use std::path::{Component, Path, PathBuf};

use super::policy::{
    ClockKind, PolicyAccess, PolicyDirectory, PolicyStream, PolicyTemporary, Size, StreamFile, StreamWord,
    Time,
};
use super::{Access, Clocks, DirKey, FileMode, KernelFiles, Keys, Policy, Random, StdinKey, StdoutKey};
use crate::host::Usage;

impl Policy {
    /// The least policy under which a guest with these keys, that made use of these of them, can do the same again.
    ///
    /// Which clocks, randomness and limits there are is taken over: they grant no access to anything.
    #[must_use]
    pub fn covering(keys: &Keys, usage: &Usage) -> Policy {
        let mut policy = Policy::default();
        for used in &usage.directories {
            // Of what is beneath a directory with the kernel's files, nobody has noted whether it was one of them.
            let kernel_files = key_of(keys, used).map_or(KernelFiles::Refused, |key| key.kernel_files);
            policy.cover_directory(&used.clone().with_kernel_files(kernel_files));
        }
        if usage.environment {
            policy.environment.set = keys.environment.iter().cloned().collect();
        }
        // An output grants nothing, and a later run may have more to say than this one: errors, for example.
        policy.stdio.stdin = Some(match &keys.stdin {
            _ if !usage.streams.contains(&"stdin") => PolicyStream::Word(StreamWord::Empty),
            StdinKey::File(path) => PolicyStream::File(StreamFile { file: absolute(path), append: false }),
            _ => PolicyStream::Word(StreamWord::Inherit),
        });
        policy.stdio.stdout = Some(output(&keys.stdout));
        policy.stdio.stderr = Some(output(&keys.stderr));
        policy.network.listen.clone_from(&usage.listeners);
        policy.network.allow.clone_from(&usage.network);
        (policy.clocks.kind, policy.clocks.seconds) = match keys.clocks {
            Clocks::Real => (ClockKind::Real, None),
            Clocks::Fixed { realtime } => (ClockKind::Fixed, Some(realtime.as_secs())),
            Clocks::Stepped { realtime, .. } => (ClockKind::Stepped, Some(realtime.as_secs())),
        };
        policy.random.seed = match keys.random {
            Random::Real => None,
            Random::Seeded(seed) => Some(seed),
        };
        let limits = &keys.limits;
        policy.limits.written = limits.written_bytes.map(Size);
        policy.limits.memory = limits.memory_bytes.map(Size);
        policy.limits.wall = limits.wall_time.map(Time);
        policy.limits.cpu = limits.processor_time.map(Time);
        policy
    }

    /// Makes relative host paths absolute, so that policies from different folders can be compared.
    #[must_use]
    pub fn absolute(mut self) -> Policy {
        self.each_path(absolute);
        self
    }

    /// Makes the paths of what lies in `folder`, which is absolute, relative to it: [`Policy::in_folder`] the other way round. Where `top` is around both, the way leads
    /// up to it and down again.
    #[must_use]
    pub fn relative_to(mut self, folder: &Path, top: &Path) -> Policy {
        self.each_path(|path| relative(path, folder, top).unwrap_or_else(|| path.to_owned()));
        self
    }

    fn each_path(&mut self, change: impl Fn(&Path) -> PathBuf) {
        for directory in &mut self.directories {
            directory.host = change(&directory.host);
        }
        for stream in [&mut self.stdio.stdin, &mut self.stdio.stdout, &mut self.stdio.stderr] {
            if let Some(PolicyStream::File(file)) = stream {
                file.file = change(&file.file);
            }
        }
    }

    /// Adds what `other` grants and this policy does not.
    #[must_use]
    pub fn merged(mut self, other: Policy) -> Policy {
        for directory in other.directories {
            self.add_directory(directory);
        }
        for temporary in other.temporaries {
            match self.temporaries.iter_mut().find(|known| known.guest == temporary.guest) {
                Some(known) => known.size.0 = known.size.0.max(temporary.size.0),
                None => self.temporaries.push(temporary),
            }
        }
        for pattern in other.environment.inherit {
            if !self.environment.inherit.contains(&pattern) {
                self.environment.inherit.push(pattern);
            }
        }
        self.environment.set.extend(other.environment.set);
        let streams = [
            (&mut self.stdio.stdin, other.stdio.stdin),
            (&mut self.stdio.stdout, other.stdio.stdout),
            (&mut self.stdio.stderr, other.stdio.stderr),
        ];
        for (known, other) in streams {
            let unused = [StreamWord::Empty, StreamWord::Discard, StreamWord::Closed].map(PolicyStream::Word);
            if known.as_ref().is_some_and(|known| unused.contains(known)) {
                *known = other;
            }
        }
        for address in other.network.listen {
            if !self.network.listen.contains(&address) {
                self.network.listen.push(address);
            }
        }
        for key in other.network.allow {
            if !self.network.allow.contains(&key) {
                self.network.allow.push(key);
            }
        }
        self
    }

    fn cover_directory(&mut self, key: &DirKey) {
        let access = match key.access {
            Access::ReadOnly => PolicyAccess::Ro,
            Access::ReadWrite => PolicyAccess::Rw,
            Access::CopyOnWrite => PolicyAccess::Cow,
            Access::Temporary { limit_bytes } => {
                self.temporaries.push(PolicyTemporary { guest: key.guest.clone(), size: Size(limit_bytes) });
                return;
            }
        };
        let host = absolute(&key.host);
        let kernel_files = key.kernel_files == KernelFiles::Granted;
        self.add_directory(PolicyDirectory { host, guest: Some(key.guest.clone()), access, kernel_files });
    }

    /// Adds a directory, unless one that is there covers it; those that it covers go.
    fn add_directory(&mut self, new: PolicyDirectory) {
        if self.directories.iter().any(|known| covers(known, &new)) {
            return;
        }
        self.directories.retain(|known| !covers(&new, known));
        self.directories.push(new);
        self.directories.sort_by(|a, b| (&a.guest, &a.host).cmp(&(&b.guest, &b.host)));
    }
}

/// The key by which a directory was reached: of those around it, the one whose name says most.
fn key_of<'a>(keys: &'a Keys, used: &DirKey) -> Option<&'a DirKey> {
    let names = |key: &&DirKey| {
        used.host.starts_with(&key.host)
            && (key.guest == "." && !used.guest.starts_with('/')
                || Path::new(&used.guest).starts_with(&key.guest))
    };
    keys.directories.iter().filter(names).max_by_key(|key| Path::new(&key.guest).components().count())
}

/// An output as a policy has it. One that only this process could read is discarded.
fn output(key: &StdoutKey) -> PolicyStream {
    match key {
        StdoutKey::Inherit => PolicyStream::Word(StreamWord::Inherit),
        StdoutKey::Closed => PolicyStream::Word(StreamWord::Closed),
        StdoutKey::File { path, mode } => {
            PolicyStream::File(StreamFile { file: absolute(path), append: *mode == FileMode::Append })
        }
        _ => PolicyStream::Word(StreamWord::Discard),
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The way from `folder` to `path`, if both are absolute and it need not lead above `top`.
fn relative(path: &Path, folder: &Path, top: &Path) -> Option<PathBuf> {
    let is_plain = |path: &Path| !path.components().any(|component| component == Component::ParentDir);
    if !is_plain(path) || !is_plain(folder) {
        return None;
    }
    let mut way = PathBuf::new();
    let beneath = folder.ancestors().find_map(|around| {
        let beneath = path.strip_prefix(around).ok();
        if beneath.is_none() {
            way.push("..");
        }
        beneath.filter(|_| around == folder || around.starts_with(top))
    })?;
    way.push(beneath);
    Some(if way.as_os_str().is_empty() { PathBuf::from(".") } else { way })
}

/// Whether whatever `less` allows is allowed by `more`, under the same names.
fn covers(more: &PolicyDirectory, less: &PolicyDirectory) -> bool {
    let enough = (more.kernel_files || !less.kernel_files)
        && (more.access == less.access
            || matches!(
                (more.access, less.access),
                (PolicyAccess::Rw | PolicyAccess::Cow, PolicyAccess::Ro)
            ));
    let name = |directory: &PolicyDirectory| {
        directory.guest.clone().unwrap_or_else(|| directory.host.to_string_lossy().into_owned())
    };
    let (more_name, less_name) = (name(more), name(less));
    let within = if more_name == "." && !less_name.starts_with('/') {
        Some(Path::new(&less_name).strip_prefix(".").unwrap_or(Path::new(&less_name)))
    } else {
        Path::new(&less_name).strip_prefix(&more_name).ok()
    };
    enough
        && within.is_some_and(|within| {
            more.host.join(within) == less.host || (within.as_os_str().is_empty() && more.host == less.host)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_granted_by_the_key_that_granted_them() {
        let proc = DirKey::new("/w", "/srv", Access::ReadOnly).with_kernel_files(KernelFiles::Granted);
        let keys = Keys::builder().directory(proc).dir("/w/app", "/app", Access::ReadOnly).build();
        let learned = |host: &str, guest: &str| {
            let directories = vec![DirKey::new(host, guest, Access::ReadOnly)];
            let policy = Policy::covering(&keys, &Usage { directories, ..Usage::default() });
            policy.directories[0].kernel_files
        };
        assert!(!learned("/w/app", "/app") && !learned("/w/app/x", "/app/x"));
        assert!(learned("/w", "/srv") && learned("/w/app", "/srv/app"));
    }

    #[test]
    fn paths_are_relative_where_the_policy_and_they_can_travel_together() {
        let relative =
            |path: &str, folder: &str| relative(Path::new(path), Path::new(folder), Path::new("/w/top"));
        for (path, folder, way) in [
            ("/w/top/data", "/w/top", "data"),
            ("/w/top", "/w/top", "."),
            ("/w/top/data", "/w/top/etc", "../data"),
            ("/w/top", "/w/top/etc", ".."),
            ("/x/y/z", "/x/y", "z"),
        ] {
            assert_eq!(relative(path, folder), Some(way.into()), "{path} {folder}");
        }
        for (path, folder) in
            [("/w/other", "/w/top"), ("/usr/share", "/w/top/etc"), ("/w/top/../x", "/w/top")]
        {
            assert_eq!(relative(path, folder), None, "{path} {folder}");
        }
    }
}
