//! The state of one guest of WASI 0.2: its host, and what its handles stand for.

use std::sync::Arc;

use innkeeper_component::{Borrowed, Resource};
use innkeeper_engine::Error;

use super::misuse::Misuse;
use super::table::{Full, Held, Room, Rooms, Table};
use crate::host::{Directory, Handles, Host, OpenKeys, ReachedLimit, Stream};
use crate::keys::{KeyError, Keys};

/// One guest's WASI 0.2.
#[derive(Debug)]
pub struct Context {
    pub(crate) host: Host,
    pub(crate) table: Table,
    pub(crate) stdin: Option<Arc<Stream>>,
    pub(crate) stdout: Option<Arc<Stream>>,
    pub(crate) stderr: Option<Arc<Stream>>,
    /// What WASI 0.3 gives as a seed, once it was asked for it: it is the same each time.
    pub(crate) insecure_seed: Option<(u64, u64)>,
    /// The directories that the guest begins with, in the order of the keys.
    pub(crate) directories: Vec<Arc<Directory>>,
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
            insecure_seed: None,
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
    ///
    /// # Errors
    /// Where there is no room for it.
    pub fn push<H: Held>(&mut self, value: H) -> Result<Resource<H>, Full> {
        let room = self.room()?;
        Ok(self.table.push(room, value))
    }

    /// [`Context::push`] of what cannot outlive another resource.
    ///
    /// # Errors
    /// Where there is no room for it; where there is no such resource.
    pub fn push_child<H: Held, P: Held>(
        &mut self,
        value: H,
        parent: Borrowed<'_, P>,
    ) -> Result<Resource<H>, Error> {
        let room = self.room()?;
        Ok(self.table.push_child(room, value, parent)?)
    }

    /// Room for all handles that a function makes, which it asks for before it opens, takes or changes anything.
    pub(crate) fn room<R: Rooms>(&self) -> Result<R, Full> {
        self.table.room().inspect_err(|full| self.note(full))
    }

    /// Room for one resource that takes so many more bytes than others of its kind, to ask for before anything is done for it.
    ///
    /// # Errors
    /// Where there is none.
    pub fn room_with<H: Held>(&self, more_bytes: usize) -> Result<Room<H>, Full> {
        self.table.room_with(more_bytes).inspect_err(|full| self.note(full))
    }

    /// Keeps what room was asked for.
    pub fn push_into<H: Held>(&mut self, room: Room<H>, value: H) -> Resource<H> {
        self.table.push(room, value)
    }

    /// As [`Context::push_into`], of what cannot outlive another resource.
    ///
    /// # Errors
    /// Where there is no such resource.
    pub fn push_child_into<H: Held, P: Held>(
        &mut self,
        room: Room<H>,
        value: H,
        parent: Borrowed<'_, P>,
    ) -> Result<Resource<H>, Misuse> {
        self.table.push_child(room, value, parent)
    }

    /// What is behind a resource.
    ///
    /// # Errors
    /// Where the guest has dropped it: a trap.
    pub fn get<H: Held>(&self, resource: Borrowed<'_, H>) -> Result<&H, Misuse> {
        self.table.get(resource)
    }

    /// What is behind a resource, to change it.
    ///
    /// # Errors
    /// As [`Context::get`].
    pub fn get_mut<H: Held>(&mut self, resource: Borrowed<'_, H>) -> Result<&mut H, Misuse> {
        self.table.get_mut(resource)
    }

    /// Takes what is behind a resource that the guest has handed over.
    ///
    /// # Errors
    /// As [`Context::get`], and where something is left that was made from it.
    pub fn take<H: Held>(&mut self, resource: &Resource<H>) -> Result<H, Misuse> {
        self.table.take(resource)
    }

    /// [`Context::room`] for so many alike.
    pub(crate) fn room_for<H: Held>(&self, count: usize) -> Result<Vec<Room<H>>, Full> {
        self.table.room_for(count).inspect_err(|full| self.note(full))
    }

    fn note(&self, full: &Full) {
        if matches!(full, Full::Handles) {
            self.host.note_limit(ReachedLimit::Handles);
        }
    }
}
