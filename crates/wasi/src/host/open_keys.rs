//! Keys that have been opened once, for many guests.
//!
//! What is looked up by name on behalf of their owner is looked up here, once: directories, what is hidden from them, sockets. Guests share the descriptors, and nothing that
//! they can change by them but the files themselves: what a guest writes to a copy-on-write or in-memory directory is its own.
//!
//! What this is not: streams to and from files. Each guest has them opened anew, as their modes say, also where [`StdinKey::OpenedFile`] keeps others from leading the way elsewhere.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::gate::Permit;
use super::handles::{self, Handles};
use super::hidden::Hidden;
use super::reach::NativeDirectory;
use super::resolve::Resolve;
use super::{Grant, Host};
use crate::keys::{DirKey, HttpKey, KeyError, Keys, NetKey, StdinKey, StdoutKey};

/// Keys that have been opened; clones are the same. A guest's host made from them ([`OpenKeys::host`]) is cheap: for a guest without streams to or from files it takes no
/// call of the system.
#[derive(Clone, Debug)]
pub struct OpenKeys(Arc<(Keys, OpenedKeys)>);

/// What one of many guests is given beside keys that all have.
#[derive(Clone, Debug, Default)]
pub struct OwnKeys {
    /// Environment variables, which come after those that all have.
    pub variables: Vec<(String, String)>,
    /// Standard input.
    pub stdin: StdinKey,
    /// Standard output.
    pub stdout: StdoutKey,
}

/// What keys open to that all guests share.
#[derive(Debug)]
pub(super) struct OpenedKeys {
    pub(super) resolve: Resolve<'static>,
    /// What no directory includes, and no stream is.
    pub(super) hidden: Option<Arc<Hidden>>,
    /// In the order of the keys; none where a directory is not the host's.
    pub(super) directories: Arc<[Option<NativeDirectory>]>,
    /// In the order of the keys.
    pub(super) listeners: Vec<(Arc<OwnedFd>, Grant)>,
    /// What guests may do in the network.
    pub(super) network: Arc<[NetKey]>,
    /// Which requests they may send.
    pub(super) http: Arc<[HttpKey]>,
}

impl OpenKeys {
    /// Opens `keys`: checks them, opens each directory and socket, and chooses the path resolver.
    ///
    /// A directory key that is a symbolic link is followed here, once, and never again.
    ///
    /// # Errors
    /// The first key that cannot be honoured.
    pub fn open(keys: &Keys) -> Result<OpenKeys, KeyError> {
        Ok(OpenKeys(Arc::new((keys.clone(), OpenedKeys::open(keys)?))))
    }

    /// The host of one more guest that has these keys, and the handles that it starts with.
    ///
    /// # Errors
    /// A stream to or from a file that cannot be opened.
    pub fn host(&self) -> Result<(Host, Handles), KeyError> {
        let (keys, opened) = &*self.0;
        Host::of_opened(keys, opened)
    }

    /// As [`OpenKeys::host`], with what only this guest is given.
    ///
    /// # Errors
    /// A variable whose name or value cannot be one; a stream that cannot be opened.
    pub fn host_with(&self, own: OwnKeys) -> Result<(Host, Handles), KeyError> {
        let (keys, opened) = &*self.0;
        let mut keys = keys.clone();
        keys.environment.extend(own.variables);
        (keys.stdin, keys.stdout) = (own.stdin, own.stdout);
        keys.check()?;
        Host::of_opened(&keys, opened)
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.0.0
    }
}

impl OpenedKeys {
    pub(super) fn open(keys: &Keys) -> Result<OpenedKeys, KeyError> {
        keys.check()?;
        let permit = Permit::of_the_keys_owner();
        let is_native = |key: &DirKey| !key.is_in_memory();
        let has_native = keys.directories.iter().any(is_native);
        // Whoever has no directory of the host's resolves no path of its.
        let resolve = match has_native {
            true => Resolve::choose(&permit, &keys.tuning).map_err(|error| KeyError::Setup(error.into()))?,
            false => Resolve::nothing(),
        };
        // What is to be hidden concerns whoever is granted something of the host's.
        let is_file = |key: &StdoutKey| matches!(key, StdoutKey::File { .. });
        let has_input = matches!(keys.stdin, StdinKey::File(_) | StdinKey::OpenedFile(_));
        let has_file = has_input || is_file(&keys.stdout) || is_file(&keys.stderr);
        let hidden = match has_native || has_file {
            true => Hidden::find(&permit, &keys.hidden)
                .map_err(|(path, error)| KeyError::CannotHide { path, reason: error.into() })?,
            false => None,
        };
        let how = (&permit, resolve, keys.tuning.aliases);
        let open = |key: &DirKey| {
            let native = is_native(key).then(|| handles::open_host(how, hidden.as_ref(), key));
            native.transpose()
        };
        let directories = keys.directories.iter().map(open).collect::<Result<_, _>>()?;
        let listeners = keys.listeners.iter().map(|key| handles::listen(&permit, key));
        let listeners = listeners.collect::<Result<_, _>>()?;
        let (network, http) = (keys.network.as_slice().into(), keys.http.as_slice().into());
        Ok(OpenedKeys { resolve, hidden, directories, listeners, network, http })
    }
}
