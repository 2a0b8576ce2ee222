//! The state of one guest of WASI 0.1: its host and its descriptors.

use std::sync::Arc;

use super::errno::Errno;
use super::explain::Notes;
use super::exported_memory::ExportedMemories;
use super::observe::Observers;
use super::rights::Rights;
use super::table::{Entry, Object, Room, Table};
use crate::host::{Handles, Host, OpenKeys, ReachedLimit, Stream};
use crate::keys::{KeyError, Keys};

/// The number of the first preopened directory; libraries look for them from here up to the first gap.
const FIRST_PREOPEN: u32 = 3;

/// One guest's WASI 0.1.
///
/// Clones are the same guest: its threads share descriptors and keys.
///
/// Descriptors 0, 1 and 2 are the standard streams that are not closed, directories follow from 3, then listening sockets.
#[derive(Clone, Debug)]
pub struct Context {
    pub(super) host: Host,
    pub(super) table: Arc<Table>,
    pub(super) observers: Option<Arc<Observers>>,
    pub(super) notes: Arc<Notes>,
    pub(super) memories: ExportedMemories,
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
        let streams = [
            (0, handles.stdin, Rights::FD_READ),
            (1, handles.stdout, Rights::FD_WRITE),
            (2, handles.stderr, Rights::FD_WRITE),
        ];
        // There is room: opening the keys checked that they fit into the limit.
        for (number, stream, data) in streams {
            if let Some(stream) = stream {
                let _ = table.insert_from(number, stream_entry(stream, data));
            }
        }
        // Guests find a socket by its number, the one after their directories: nothing else may have it.
        let locked_root = handles.locked_root.filter(|_| handles.listeners.is_empty());
        for directory in handles.directories.into_iter().chain(locked_root) {
            let _ = table.insert_from(FIRST_PREOPEN, Entry::preopened(directory));
        }
        let mut sockets = Vec::new();
        for listener in handles.listeners {
            let address = listener.address();
            if let (Ok(fd), Some(address)) =
                (table.insert_from(FIRST_PREOPEN, Entry::socket(listener)), address)
            {
                sockets.push((fd, address));
            }
        }
        let notes = Arc::new(Notes::new(sockets));
        Context {
            host,
            table: Arc::new(table),
            observers: None,
            notes,
            memories: ExportedMemories::default(),
        }
    }

    /// The same guest, its calls watched.
    #[must_use]
    pub fn observed(self, observers: Observers) -> Context {
        let observers = (!observers.is_empty()).then(|| Arc::new(observers));
        Context { observers, ..self }
    }

    /// Keeps room for one more descriptor, for which the guest's name has at most so many bytes, so that nothing is opened in vain.
    pub(super) fn room(&self, name_bytes: usize) -> Result<Room<'_>, Errno> {
        let is_full = |errno: &Errno| *errno == Errno::Mfile;
        self.table.room(name_bytes).inspect_err(|errno| {
            if is_full(errno) {
                self.host.note_limit(ReachedLimit::Handles);
            }
        })
    }

    /// Who watches the guest's calls, if anybody does.
    #[must_use]
    pub fn observers(&self) -> Option<&Observers> {
        self.observers.as_deref()
    }

    /// The host: denials, counts, limits.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Closes every descriptor of the guest, for when it has ended. What it has left open would be missing where its changes are applied or archived, and where whatever else
    /// needs descriptors is done for its owner: a process has only so many.
    pub fn close_descriptors(&self) {
        self.table.clear();
    }
}

fn stream_entry(stream: Stream, data: Rights) -> Entry {
    Entry::new(Object::Stream(stream), data | Rights::STREAM, Rights::NONE)
}
