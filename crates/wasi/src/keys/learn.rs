//! Policies from runs: the least that covers what was used, over several runs.

use std::path::Path;

use super::policy::{
    ClockKind, PolicyAccess, PolicyDirectory, PolicyStream, PolicyTemporary, Size, StreamWord, Time,
};
use super::{Access, Clocks, DirKey, KernelFiles, Keys, Policy, Random};
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
            let includes =
                |key: &DirKey| key.kernel_files == KernelFiles::Granted && used.host.starts_with(&key.host);
            let kernel_files = match keys.directories.iter().any(includes) {
                true => KernelFiles::Granted,
                false => KernelFiles::Refused,
            };
            policy.cover_directory(&used.clone().with_kernel_files(kernel_files));
        }
        if usage.environment {
            policy.environment.set = keys.environment.iter().cloned().collect();
        }
        let stream = |name, unused| {
            let used = usage.streams.contains(&name);
            Some(PolicyStream::Word(if used { StreamWord::Inherit } else { unused }))
        };
        policy.stdio.stdin = stream("stdin", StreamWord::Empty);
        policy.stdio.stdout = stream("stdout", StreamWord::Discard);
        policy.stdio.stderr = stream("stderr", StreamWord::Discard);
        policy.network.listen.clone_from(&usage.listeners);
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
        let host = std::path::absolute(&key.host).unwrap_or_else(|_| key.host.clone());
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
