//! [`Keys`]: everything one guest is granted, and the builder for it.
//!
//! A fresh `Keys` grants nothing but clocks and randomness: no directory, no variable, no argument,
//! an empty standard input and outputs that go nowhere. The fields are plain data, and are checked by
//! [`Keys::check`] and [`crate::host::Host::open`].

use std::path::PathBuf;

use super::{
    Access, Clocks, DirKey, DirectoryOrder, HttpKey, KeyError, ListenKey, LockedRoot, NetKey, Random,
    StdinKey, StdoutKey, WasiLimits, WasiTuning,
};

/// Everything one guest is granted.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Keys {
    /// Arguments, the program's name first.
    pub arguments: Vec<String>,
    /// Environment variables in order, as name and value.
    pub environment: Vec<(String, String)>,
    /// Directories, in the order in which the guest finds them.
    pub directories: Vec<DirKey>,
    /// Files and directories of the host, by absolute paths, that no directory includes, by whatever path, link or mount they are reached: they can be neither
    /// looked into nor changed, and nothing on the way to them can be moved or replaced. One that is not there cannot be made.
    pub hidden: Vec<PathBuf>,
    /// What becomes of paths that no directory covers.
    pub locked_root: LockedRoot,
    /// Listening sockets, which the guest finds after the directories.
    pub listeners: Vec<ListenKey>,
    /// What the guest may connect to, listen on, exchange datagrams with and look up.
    pub network: Vec<NetKey>,
    /// Which requests of HTTP it may send.
    pub http: Vec<HttpKey>,
    /// Standard input.
    pub stdin: StdinKey,
    /// Standard output.
    pub stdout: StdoutKey,
    /// Standard error.
    pub stderr: StdoutKey,
    /// Clocks.
    pub clocks: Clocks,
    /// Randomness.
    pub random: Random,
    /// The order in which directories are listed.
    pub directory_order: DirectoryOrder,
    /// Bounds.
    pub limits: WasiLimits,
    /// Knobs without effect on results.
    pub tuning: WasiTuning,
}

impl Keys {
    /// A builder that starts with no grants.
    #[must_use]
    pub fn builder() -> KeysBuilder {
        KeysBuilder { keys: Keys::default() }
    }

    /// Checks everything that can be checked without touching the system.
    ///
    /// # Errors
    /// A malformed argument, variable or guest path, or more keys than handles.
    pub fn check(&self) -> Result<(), KeyError> {
        for argument in &self.arguments {
            if argument.contains('\0') {
                return Err(KeyError::BadArgument(argument.clone()));
            }
        }
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(KeyError::BadVariable(name.clone()));
            }
        }
        for directory in &self.directories {
            if directory.guest.is_empty() || directory.guest.contains('\0') {
                return Err(KeyError::BadGuestPath(directory.guest.clone()));
            }
            if let (Some(first), false) = (directory.preloaded.first(), directory.is_in_memory()) {
                let (directory, path) = (directory.guest.clone(), first.path.clone());
                return Err(KeyError::PreloadOfHost { directory, path });
            }
        }
        let needed = 3 + self.directories.len() + self.listeners.len();
        if needed > self.limits.max_open_handles as usize {
            return Err(KeyError::TooManyHandles { needed, limit: self.limits.max_open_handles });
        }
        Ok(())
    }
}

/// Builds [`Keys`]. Every method adds one grant or replaces one choice.
#[derive(Clone, Debug)]
pub struct KeysBuilder {
    keys: Keys,
}

impl KeysBuilder {
    /// Adds one argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> KeysBuilder {
        self.keys.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn arguments<S: Into<String>>(mut self, arguments: impl IntoIterator<Item = S>) -> KeysBuilder {
        self.keys.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds one environment variable, in the place of one of that name.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> KeysBuilder {
        let (name, value) = (name.into(), value.into());
        let environment = &mut self.keys.environment;
        match environment.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => environment.push((name, value)),
        }
        self
    }

    /// Adds a directory.
    #[must_use]
    pub fn directory(mut self, key: DirKey) -> KeysBuilder {
        self.keys.directories.push(key);
        self
    }

    /// Adds a directory by its three parts; see [`DirKey::new`].
    #[must_use]
    pub fn dir(self, host: impl Into<PathBuf>, guest: impl Into<String>, access: Access) -> KeysBuilder {
        self.directory(DirKey::new(host, guest, access))
    }

    /// Hides something of the host's from the guest; see [`Keys::hidden`].
    #[must_use]
    pub fn hidden(mut self, path: impl Into<PathBuf>) -> KeysBuilder {
        self.keys.hidden.push(path.into());
        self
    }

    /// Chooses what becomes of paths that no directory covers.
    #[must_use]
    pub fn locked_root(mut self, choice: LockedRoot) -> KeysBuilder {
        self.keys.locked_root = choice;
        self
    }

    /// Adds a listening socket.
    #[must_use]
    pub fn listener(mut self, key: ListenKey) -> KeysBuilder {
        self.keys.listeners.push(key);
        self
    }

    /// Adds a right to use the network; `"connect:example.com:443".parse()` makes one.
    #[must_use]
    pub fn net(mut self, key: NetKey) -> KeysBuilder {
        self.keys.network.push(key);
        self
    }

    /// Adds a right to send requests; `"GET:https://example.com/*".parse()` makes one.
    #[must_use]
    pub fn http(mut self, key: HttpKey) -> KeysBuilder {
        self.keys.http.push(key);
        self
    }

    /// Chooses standard input.
    #[must_use]
    pub fn stdin(mut self, key: StdinKey) -> KeysBuilder {
        self.keys.stdin = key;
        self
    }

    /// Chooses standard output.
    #[must_use]
    pub fn stdout(mut self, key: StdoutKey) -> KeysBuilder {
        self.keys.stdout = key;
        self
    }

    /// Chooses standard error.
    #[must_use]
    pub fn stderr(mut self, key: StdoutKey) -> KeysBuilder {
        self.keys.stderr = key;
        self
    }

    /// Grants all three standard streams of the host process.
    #[must_use]
    pub fn inherit_stdio(self) -> KeysBuilder {
        self.stdin(StdinKey::Inherit).stdout(StdoutKey::Inherit).stderr(StdoutKey::Inherit)
    }

    /// Chooses the clocks.
    #[must_use]
    pub fn clocks(mut self, clocks: Clocks) -> KeysBuilder {
        self.keys.clocks = clocks;
        self
    }

    /// Chooses where randomness comes from.
    #[must_use]
    pub fn random(mut self, random: Random) -> KeysBuilder {
        self.keys.random = random;
        self
    }

    /// Chooses the order in which directories are listed.
    #[must_use]
    pub fn directory_order(mut self, order: DirectoryOrder) -> KeysBuilder {
        self.keys.directory_order = order;
        self
    }

    /// Everything that the host answers is the same in every run: [`Clocks::Stepped`], seeded randomness, directories in order. What
    /// files contain, their times and numbers, and what comes in through streams and sockets are as they are.
    #[must_use]
    pub fn deterministic(self, seed: u64) -> KeysBuilder {
        self.clocks(Clocks::stepped()).random(Random::Seeded(seed)).directory_order(DirectoryOrder::Sorted)
    }

    /// Replaces the limits.
    #[must_use]
    pub fn limits(mut self, limits: WasiLimits) -> KeysBuilder {
        self.keys.limits = limits;
        self
    }

    /// Replaces the tuning.
    #[must_use]
    pub fn tuning(mut self, tuning: WasiTuning) -> KeysBuilder {
        self.keys.tuning = tuning;
        self
    }

    /// The keys. They are checked when they are opened.
    #[must_use]
    pub fn build(self) -> Keys {
        self.keys
    }
}

/// Goes on building from keys.
impl From<Keys> for KeysBuilder {
    fn from(keys: Keys) -> KeysBuilder {
        KeysBuilder { keys }
    }
}
