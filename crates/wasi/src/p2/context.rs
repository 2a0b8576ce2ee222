//! The state of one guest of WASI 0.2: its host, and what its handles stand for.

use std::sync::Arc;

use innkeeper_component::{Borrowed, Resource};
use innkeeper_engine::Error;

use super::table::{Full, Held, Room, Rooms, Table};
use crate::host::{Directory, Handles, Host, OpenKeys, ReachedLimit, Stream};
use crate::keys::{KeyError, Keys};

/// One guest's WASI 0.2.
#[derive(Debug)]
pub struct Context {
    pub(super) host: Host,
    pub(super) table: Table,
    pub(super) stdin: Option<Arc<Stream>>,
    pub(super) stdout: Option<Arc<Stream>>,
    pub(super) stderr: Option<Arc<Stream>>,
    /// The directories that the guest begins with, in the order of the keys.
    pub(super) directories: Vec<Arc<Directory>>,
}

impl Context {
    /// Opens `keys`.
    ///
    /// # Errors
    /// The first key that cannot be honoured.
    pub fn new(keys: &Keys) -> Result<Context, KeyError> {
        let (host, handles) = Host::open(keys)?;
        Ok(Context::from_parts(host, handles))
    }

    /// One more guest that has keys which are open.
    ///
    /// # Errors
    /// A stream to or from a file that cannot be opened.
    pub fn with_open_keys(keys: &OpenKeys) -> Result<Context, KeyError> {
        let (host, handles) = keys.host()?;
        Ok(Context::from_parts(host, handles))
    }

    /// A context from a host that is already open.
    #[must_use]
    pub fn from_parts(host: Host, handles: Handles) -> Context {
        let table = Table::new(host.limits().max_open_handles, host.budget());
        let directories = handles.directories.into_iter().chain(handles.locked_root);
        Context {
            table,
            stdin: handles.stdin.map(Arc::new),
            stdout: handles.stdout.map(Arc::new),
            stderr: handles.stderr.map(Arc::new),
            directories: directories.map(Arc::new).collect(),
            host,
        }
    }

    /// The host: denials, counts, limits.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Closes everything that the guest has open, for when it has ended.
    pub fn close_handles(&mut self) {
        self.table.clear();
    }

    /// Keeps what a new resource of the guest's stands for, where nothing was done for it that others can see.
    pub(super) fn push<H: Held>(&mut self, value: H) -> Result<Resource<H>, Full> {
        let room = self.room()?;
        Ok(self.table.push(room, value))
    }

    /// [`Context::push`] of what cannot outlive another resource.
    pub(super) fn push_child<H: Held, P: Held>(
        &mut self,
        value: H,
        parent: Borrowed<'_, P>,
    ) -> Result<Resource<H>, Error> {
        let room = self.room()?;
        Ok(self.table.push_child(room, value, parent)?)
    }

    /// Room for all handles that a function makes, which it asks for before it opens, takes or changes anything.
    pub(super) fn room<R: Rooms>(&self) -> Result<R, Full> {
        self.table.room().inspect_err(|full| self.note(full))
    }

    /// [`Context::room`] for one that takes so many more bytes than others of its kind.
    pub(super) fn room_with<H: Held>(&self, more_bytes: usize) -> Result<Room<H>, Full> {
        self.table.room_with(more_bytes).inspect_err(|full| self.note(full))
    }

    /// [`Context::room`] for so many alike.
    pub(super) fn room_for<H: Held>(&self, count: usize) -> Result<Vec<Room<H>>, Full> {
        self.table.room_for(count).inspect_err(|full| self.note(full))
    }

    fn note(&self, full: &Full) {
        if matches!(full, Full::Handles) {
            self.host.note_limit(ReachedLimit::Handles);
        }
    }
}
