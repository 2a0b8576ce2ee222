//! The descriptor table of one guest.
//!
//! A new descriptor gets the lowest free number, as in POSIX. The table owns the host's handles: closing an entry closes
//! the handle.

use super::errno::Errno;
use super::rights::Rights;
use crate::host::{Directory, File, Listing, Socket, SocketKind, Stream};

/// The number of a descriptor: an allegation until looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fd(pub u32);

/// What a descriptor refers to.
#[derive(Debug)]
pub(super) enum Object {
    Directory(Directory),
    File(File),
    Stream(Stream),
    Socket(Socket),
}

/// Whether a directory was there from the start and has a name for the guest to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Preopened,
    Opened,
}

/// One descriptor.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) object: Object,
    pub(super) base: Rights,
    pub(super) inheriting: Rights,
    pub(super) origin: Origin,
    /// The directory listing in progress.
    pub(super) listing: Option<Listing>,
}

/// Descriptors by number.
#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Option<Entry>>,
    /// No number below this is free.
    first_free: usize,
    open: usize,
    limit: usize,
}

impl Entry {
    pub(super) fn new(object: Object, base: Rights, inheriting: Rights) -> Entry {
        Entry { object, base, inheriting, origin: Origin::Opened, listing: None }
    }

    pub(super) fn preopened(directory: Directory) -> Entry {
        let inheriting = Rights::DIRECTORY | Rights::FILE;
        let entry = Entry::new(Object::Directory(directory), Rights::DIRECTORY, inheriting);
        Entry { origin: Origin::Preopened, ..entry }
    }

    pub(super) fn socket(socket: Socket) -> Entry {
        let (base, inheriting) = match socket.kind() {
            SocketKind::Listener => (Rights::LISTENER, Rights::CONNECTION),
            SocketKind::Connection => (Rights::CONNECTION, Rights::NONE),
        };
        Entry::new(Object::Socket(socket), base, inheriting)
    }

    /// Checks that the descriptor has `rights`.
    ///
    /// # Errors
    /// `badf` if it may not read or write, `notcapable` for any other right.
    pub(super) fn require(&self, rights: Rights) -> Result<(), Errno> {
        if self.base.contains(rights) {
            return Ok(());
        }
        let missing = rights.without(self.base);
        let data = Rights::FD_READ | Rights::FD_WRITE;
        if data.contains(missing) { Err(Errno::Badf) } else { Err(Errno::NotCapable) }
    }
}

impl Table {
    /// A table for at most `limit` descriptors.
    pub(super) fn new(limit: u32) -> Table {
        Table { entries: Vec::new(), first_free: 0, open: 0, limit: limit as usize }
    }

    pub(super) fn get(&self, fd: Fd) -> Result<&Entry, Errno> {
        self.entries.get(index(fd)).and_then(Option::as_ref).ok_or(Errno::Badf)
    }

    pub(super) fn get_mut(&mut self, fd: Fd) -> Result<&mut Entry, Errno> {
        self.entries.get_mut(index(fd)).and_then(Option::as_mut).ok_or(Errno::Badf)
    }

    /// The directory that `fd` is, if it has `rights`.
    pub(super) fn directory(&self, fd: Fd, rights: Rights) -> Result<&Directory, Errno> {
        let entry = self.get(fd)?;
        match &entry.object {
            Object::Directory(directory) => {
                entry.require(rights)?;
                Ok(directory)
            }
            Object::File(_) | Object::Socket(_) => Err(Errno::NotDir),
            Object::Stream(_) => Err(Errno::Badf),
        }
    }

    /// The file that `fd` is, if it has `rights`.
    pub(super) fn file(&self, fd: Fd, rights: Rights) -> Result<&File, Errno> {
        let entry = self.get(fd)?;
        match &entry.object {
            Object::File(file) => {
                entry.require(rights)?;
                Ok(file)
            }
            _ => Err(Errno::Badf),
        }
    }

    /// The file that `fd` is, if it has `rights` and a position to begin with.
    pub(super) fn seekable(&self, fd: Fd, rights: Rights) -> Result<&File, Errno> {
        match self.get(fd)?.object {
            Object::Stream(_) | Object::Socket(_) => Err(Errno::Spipe),
            _ => self.file(fd, rights),
        }
    }

    /// Fails if there is no room for one more, so that nothing is opened in vain.
    pub(super) fn check_room(&self) -> Result<(), Errno> {
        if self.open < self.limit { Ok(()) } else { Err(Errno::Mfile) }
    }

    /// Adds an entry under the lowest free number that is at least `lowest`.
    pub(super) fn insert_from(&mut self, lowest: u32, entry: Entry) -> Result<Fd, Errno> {
        self.check_room()?;
        let mut free = self.first_free.max(lowest as usize);
        while self.entries.get(free).is_some_and(Option::is_some) {
            free += 1;
        }
        while self.entries.len() <= free {
            self.entries.push(None);
        }
        self.entries[free] = Some(entry);
        self.open += 1;
        if lowest as usize <= self.first_free {
            self.first_free = free + 1;
        }
        u32::try_from(free).map(Fd).map_err(|_| Errno::Mfile)
    }

    /// Adds an entry under the lowest free number.
    pub(super) fn insert(&mut self, entry: Entry) -> Result<Fd, Errno> {
        self.insert_from(0, entry)
    }

    /// Removes an entry, which closes it.
    pub(super) fn remove(&mut self, fd: Fd) -> Result<Entry, Errno> {
        let entry = self.entries.get_mut(index(fd)).and_then(Option::take).ok_or(Errno::Badf)?;
        self.open -= 1;
        self.first_free = self.first_free.min(index(fd));
        Ok(entry)
    }

    /// Moves an entry to the number of another, which is closed.
    pub(super) fn renumber(&mut self, from: Fd, to: Fd) -> Result<(), Errno> {
        self.get(from)?;
        self.get(to)?;
        if from == to {
            return Ok(());
        }
        let entry = self.remove(from)?;
        *self.get_mut(to)? = entry;
        Ok(())
    }
}

fn index(fd: Fd) -> usize {
    usize::try_from(fd.0).unwrap_or(usize::MAX)
}
