//! Policies from runs: the least that covers what was used, over several runs.

use std::path::{Component, Path, PathBuf};

use super::policy::{
    ClockKind, PolicyAccess, PolicyDirectory, PolicyStream, PolicyTemporary, Size, StreamFile, StreamWord,
    Time,
};
use super::{
    Access, Clocks, DirKey, FileMode, KernelFiles, Keys, Policy, Random, StdinKey, StdoutKey, WasiLimits,
};
use crate::host::Usage;

impl Policy {
    /// The least policy under which a guest with these keys, that made use of these of them, can do the same again.
    ///
    /// Which clocks, randomness and limits there are is taken over: they grant no access to anything. Whatever else it grants, the keys grant. What they hide
    /// ([`Keys::hidden`]) no policy can say: whoever applies one hides it again.
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
            StdinKey::Closed => PolicyStream::Word(StreamWord::Closed),
            _ if !usage.streams.contains(&"stdin") => PolicyStream::Word(StreamWord::Empty),
            StdinKey::File(path) => PolicyStream::File(StreamFile { file: absolute(path), append: false }),
            StdinKey::Inherit => PolicyStream::Word(StreamWord::Inherit),
            // What only this process could give is no part of a policy, and what somebody else may have on its own standard input was not granted.
            StdinKey::Empty
            | StdinKey::Bytes(_)
            | StdinKey::Source(_)
            | StdinKey::Opened(_)
            | StdinKey::OpenedFile(_) => PolicyStream::Word(StreamWord::Empty),
        });
        policy.stdio.stdout = Some(output(&keys.stdout));
        policy.stdio.stderr = Some(output(&keys.stderr));
        policy.network.listen.clone_from(&usage.listeners);
        policy.network.allow.clone_from(&usage.network);
        policy.http.allow.clone_from(&usage.http);
        (policy.clocks.kind, policy.clocks.seconds) = match keys.clocks {
            Clocks::Real => (ClockKind::Real, None),
            Clocks::Fixed { realtime } => (ClockKind::Fixed, Some(realtime.as_secs())),
            Clocks::Stepped { realtime, .. } => (ClockKind::Stepped, Some(realtime.as_secs())),
        };
        policy.random.seed = match keys.random {
            Random::Real => None,
            Random::Seeded(seed) => Some(seed),
        };
        let (limits, usual) = (&keys.limits, WasiLimits::default());
        let unusual = |limit: u32, usual: u32| (limit != usual).then_some(limit);
        policy.limits.handles = unusual(limits.max_open_handles, usual.max_open_handles);
        policy.limits.threads = unusual(limits.max_threads, usual.max_threads);
        let is_unusual = limits.overlay_bytes != usual.overlay_bytes;
        policy.limits.overlay = is_unusual.then_some(Size(limits.overlay_bytes));
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
        for key in other.http.allow {
            if !self.http.allow.contains(&key) {
                self.http.allow.push(key);
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

/// The key by which a directory was reached: of those around it that allow as much, the one whose name says most.
fn key_of<'a>(keys: &'a Keys, used: &DirKey) -> Option<&'a DirKey> {
    let names = |key: &&DirKey| {
        let is_enough = key.access == used.access
            || matches!(
                (key.access, used.access),
                (Access::ReadWrite | Access::CopyOnWrite, Access::ReadOnly)
            );
        is_enough
            && used.host.starts_with(&key.host)
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
    fn the_kernels_files_are_granted_with_no_more_access_than_their_key_has() {
        let proc =
            DirKey::new("/w/app", "/srv/app", Access::ReadOnly).with_kernel_files(KernelFiles::Granted);
        let keys = Keys::builder().dir("/w", "/srv", Access::ReadWrite).directory(proc).build();
        for (access, kernel_files) in [(Access::ReadWrite, false), (Access::ReadOnly, true)] {
            let directories = vec![DirKey::new("/w/app", "/srv/app", access)];
            let policy = Policy::covering(&keys, &Usage { directories, ..Usage::default() });
            assert_eq!(policy.directories[0].kernel_files, kernel_files, "{access:?}");
        }
    }

    /// Which of two standard inputs of the guest's is more: none, an empty one, what this key gives.
    fn rank(stdin: &StdinKey) -> u8 {
        match stdin {
            StdinKey::Closed => 0,
            StdinKey::Empty => 1,
            StdinKey::Inherit
            | StdinKey::Bytes(_)
            | StdinKey::File(_)
            | StdinKey::Source(_)
            | StdinKey::Opened(_)
            | StdinKey::OpenedFile(_) => 2,
        }
    }

    /// A policy that was learned is granted, and compared with the keys of the run, field by field: a new kind of key has to be thought of here.
    #[test]
    fn no_kind_of_key_is_learned_as_more_than_it_granted() {
        let inputs = [
            StdinKey::Inherit,
            StdinKey::Empty,
            StdinKey::Closed,
            StdinKey::Bytes(b"secret".to_vec()),
            StdinKey::File("/in".into()),
            StdinKey::Source(crate::keys::Source::new(std::io::empty())),
            StdinKey::Opened(std::sync::Arc::new(std::io::pipe().unwrap().0.into())),
            StdinKey::OpenedFile(std::sync::Arc::new(std::io::pipe().unwrap().0.into())),
        ];
        let usages = [
            Usage::default(),
            Usage { environment: true, streams: vec!["stdin", "stdout", "stderr"], ..Usage::default() },
        ];
        for (input, usage) in inputs.iter().flat_map(|input| usages.iter().map(move |usage| (input, usage))) {
            let mut keys = Keys::builder().variable("A*", "1").stdin(input.clone()).build();
            keys.limits = WasiLimits {
                max_open_handles: 10,
                written_bytes: Some(11),
                overlay_bytes: 12,
                max_threads: 13,
                wall_time: Some(std::time::Duration::from_secs(14)),
                processor_time: Some(std::time::Duration::from_secs(15)),
                memory_bytes: Some(16),
                ..WasiLimits::default()
            };
            let policy = Policy::parse(&Policy::covering(&keys, usage).to_text()).expect("policy");
            let of_the_host = [("A*".into(), "of the host".into()), ("AB".into(), "of the host".into())];
            let granted = policy.grant(Keys::builder(), of_the_host.into_iter()).expect("keys").build();
            let Keys {
                arguments,
                environment,
                directories,
                // No policy can hide anything.
                hidden: _,
                // It is nothing but where there is nothing.
                locked_root: _,
                listeners,
                network,
                http,
                stdin,
                stdout,
                stderr,
                clocks,
                random,
                directory_order: _,
                limits,
                tuning: _,
            } = granted;
            assert!(
                arguments.is_empty() && directories.is_empty() && listeners.is_empty() && network.is_empty()
            );
            assert!(http.is_empty());
            assert!(
                environment.iter().all(|variable| keys.environment.contains(variable)),
                "{environment:?}"
            );
            let is_same = stdin == keys.stdin;
            assert!(
                is_same || rank(&stdin) < 2 && rank(&stdin) <= rank(&keys.stdin),
                "{stdin:?} for {input:?}"
            );
            assert!(matches!((stdout, stderr), (StdoutKey::Discard, StdoutKey::Discard)));
            assert!(matches!(clocks, Clocks::Real) && matches!(random, Random::Real));
            // What no policy can say is as usual.
            assert_eq!(limits, keys.limits);
        }
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
