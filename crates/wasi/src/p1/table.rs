//! The descriptor table of one guest.
//!
//! A new descriptor gets the lowest free number, as in POSIX. The table owns the host's handles: closing an entry closes
//! the handle, as soon as no other thread of the guest is using it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use innkeeper_engine::{Budget, BudgetKind, Charge};

use super::errno::Errno;
use super::rights::Rights;
use crate::host::{Directory, File, Listing, Rights as HostRights, Socket, SocketKind, Stream};

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
    base: AtomicU64,
    inheriting: AtomicU64,
    pub(super) origin: Origin,
    /// The directory listing in progress.
    listing: Mutex<Option<Listing>>,
}

/// Descriptors by number.
#[derive(Debug)]
pub(super) struct Table {
    slots: Mutex<Slots>,
}

#[derive(Debug)]
struct Slots {
    entries: Vec<Option<Slot>>,
    /// No number below this is free.
    first_free: usize,
    open: usize,
    /// Descriptors that there is room kept for.
    kept: usize,
    limit: usize,
    budget: Budget,
}

/// Room for one more descriptor, kept and paid for before what it is for is opened: nothing is made, cut or accepted in vain.
#[derive(Debug)]
pub(super) struct Room<'a> {
    table: &'a Table,
    charge: Option<Charge>,
}

#[derive(Debug)]
struct Slot {
    entry: Arc<Entry>,
    _charge: Charge,
}

/// What a descriptor costs beside the guest's name for it: the entry, its place in the table, and the host's handle.
const ENTRY_COST_BYTES: u64 = 1 << 10;

impl Entry {
    pub(super) fn new(object: Object, base: Rights, inheriting: Rights) -> Entry {
        Entry {
            object,
            base: AtomicU64::new(base.bits()),
            inheriting: AtomicU64::new(inheriting.bits()),
            origin: Origin::Opened,
            listing: Mutex::new(None),
        }
    }

    pub(super) fn preopened(directory: Directory) -> Entry {
        let inheriting = Rights::DIRECTORY | Rights::FILE;
        let entry = Entry::new(Object::Directory(directory), Rights::DIRECTORY, inheriting);
        Entry { origin: Origin::Preopened, ..entry }
    }

    pub(super) fn socket(socket: Socket) -> Entry {
        let (base, inheriting) = match socket.kind() {
            SocketKind::Listener => (Rights::LISTENER, Rights::CONNECTION),
            SocketKind::Connection | SocketKind::Unconnected | SocketKind::Datagram => {
                (Rights::CONNECTION, Rights::NONE)
            }
        };
        Entry::new(Object::Socket(socket), base, inheriting)
    }

    /// What it costs.
    fn cost_bytes(&self) -> u64 {
        let name = match &self.object {
            Object::Directory(directory) => directory.guest_path(),
            Object::File(file) => file.credentials().guest_path(),
            // The host's own names.
            Object::Stream(_) | Object::Socket(_) => "",
        };
        ENTRY_COST_BYTES + name.len() as u64
    }

    /// The rights of the descriptor itself.
    pub(super) fn base(&self) -> Rights {
        Rights::from_bits(self.base.load(Ordering::Relaxed))
    }

    /// The rights that it passes on.
    pub(super) fn inheriting(&self) -> Rights {
        Rights::from_bits(self.inheriting.load(Ordering::Relaxed))
    }

    /// What the host's handle rules out. These rights stay the descriptor's, so that the host is asked and can say which key is missing, but are not stated.
    fn unstated(&self) -> Rights {
        let held = match &self.object {
            Object::Directory(directory) => directory.credentials().rights(),
            Object::File(file) => file.credentials().rights(),
            Object::Stream(_) | Object::Socket(_) => return Rights::NONE,
        };
        let without = |needed, rights| if held.contains(needed) { Rights::NONE } else { rights };
        without(HostRights::WRITE, Rights::WRITING) | without(HostRights::CHANGE, Rights::CHANGING)
    }

    /// The rights that it states: its own, and those that it passes on.
    pub(super) fn stated(&self) -> (Rights, Rights) {
        let unstated = self.unstated();
        (self.base().without(unstated), self.inheriting().without(unstated))
    }

    /// Whether a file that is opened beneath it for writing is wished for. Libraries leave out of a wish what a directory does not state to pass on, and would open for less without
    /// a word; what only those ask for who want to write is left.
    pub(super) fn is_wish_to_write(&self, wish: Rights) -> bool {
        wish.contains(Rights::FD_WRITE)
            || wish.contains(Rights::FD_DATASYNC) && self.unstated().contains(Rights::FD_WRITE)
    }

    /// Gives rights up.
    ///
    /// # Errors
    /// `notcapable` for a right that it does not state.
    pub(super) fn narrow(&self, base: Rights, inheriting: Rights) -> Result<(), Errno> {
        let (stated, passed_on) = self.stated();
        if !stated.contains(base) || !passed_on.contains(inheriting) {
            return Err(Errno::NotCapable);
        }
        let unstated = self.unstated();
        // Two threads that narrow at once: what either gives up is gone.
        self.base.fetch_and((base | unstated).bits(), Ordering::Relaxed);
        self.inheriting.fetch_and((inheriting | unstated).bits(), Ordering::Relaxed);
        Ok(())
    }

    /// The listing in progress, for one thread at a time.
    pub(super) fn listing(&self) -> MutexGuard<'_, Option<Listing>> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that the descriptor has `rights`.
    ///
    /// # Errors
    /// `badf` if it may not read or write, `notcapable` for any other right.
    pub(super) fn require(&self, rights: Rights) -> Result<(), Errno> {
        let base = self.base();
        if base.contains(rights) {
            return Ok(());
        }
        let missing = rights.without(base);
        let data = Rights::FD_READ | Rights::FD_WRITE;
        if data.contains(missing) { Err(Errno::Badf) } else { Err(Errno::NotCapable) }
    }

    /// The directory that this is, if it has `rights`.
    pub(super) fn directory(&self, rights: Rights) -> Result<&Directory, Errno> {
        match &self.object {
            Object::Directory(directory) => {
                self.require(rights)?;
                Ok(directory)
            }
            Object::File(_) | Object::Socket(_) => Err(Errno::NotDir),
            Object::Stream(_) => Err(Errno::Badf),
        }
    }

    /// The file that this is, if it has `rights`.
    pub(super) fn file(&self, rights: Rights) -> Result<&File, Errno> {
        match &self.object {
            Object::File(file) => {
                self.require(rights)?;
                Ok(file)
            }
            _ => Err(Errno::Badf),
        }
    }

    /// The file that this is, if it has `rights` and a position to begin with.
    pub(super) fn seekable(&self, rights: Rights) -> Result<&File, Errno> {
        match self.object {
            Object::Stream(_) | Object::Socket(_) => Err(Errno::Spipe),
            _ => self.file(rights),
        }
    }

    /// The socket that this is, if it has `rights`.
    pub(super) fn as_socket(&self, rights: Rights) -> Result<&Socket, Errno> {
        match &self.object {
            Object::Socket(socket) => {
                self.require(rights)?;
                Ok(socket)
            }
            // To the guest nothing is open there.
            Object::Directory(directory) if directory.is_locked_root() => Err(Errno::Badf),
            _ => Err(Errno::NotSock),
        }
    }
}

impl Table {
    /// A table for at most `limit` descriptors, which are charged to `budget`.
    pub(super) fn new(limit: u32, budget: &Budget) -> Table {
        let (limit, budget) = (limit as usize, budget.clone());
        let slots = Slots { entries: Vec::new(), first_free: 0, open: 0, kept: 0, limit, budget };
        Table { slots: Mutex::new(slots) }
    }

    /// The descriptor with this number. It stays usable to the caller when another thread closes it.
    pub(super) fn get(&self, fd: Fd) -> Result<Arc<Entry>, Errno> {
        let slots = self.slots();
        let slot = slots.entries.get(index(fd)).and_then(Option::as_ref).ok_or(Errno::Badf)?;
        Ok(Arc::clone(&slot.entry))
    }

    /// Keeps room for one more, for which the guest's name has at most so many bytes.
    pub(super) fn room(&self, name_bytes: usize) -> Result<Room<'_>, Errno> {
        let mut slots = self.slots();
        slots.check_room()?;
        let charge = slots.charge(ENTRY_COST_BYTES + name_bytes as u64)?;
        slots.kept += 1;
        Ok(Room { table: self, charge: Some(charge) })
    }

    /// Adds an entry under the lowest free number that is at least `lowest`.
    pub(super) fn insert_from(&self, lowest: u32, entry: Entry) -> Result<Fd, Errno> {
        let mut slots = self.slots();
        slots.check_room()?;
        let charge = slots.charge(entry.cost_bytes())?;
        slots.insert_from(lowest as usize, Slot { entry: Arc::new(entry), _charge: charge })
    }

    /// Removes an entry, which closes it.
    pub(super) fn remove(&self, fd: Fd) -> Result<Arc<Entry>, Errno> {
        Ok(self.slots().remove(fd)?.entry)
    }

    /// Moves an entry to the number of another, which is closed.
    pub(super) fn renumber(&self, from: Fd, to: Fd) -> Result<(), Errno> {
        let mut slots = self.slots();
        for fd in [from, to] {
            if slots.entries.get(index(fd)).is_none_or(Option::is_none) {
                return Err(Errno::Badf);
            }
        }
        if from == to {
            return Ok(());
        }
        let slot = slots.remove(from)?;
        let replaced = slots.entries[index(to)].replace(slot);
        // Closing may take long.
        drop(slots);
        drop(replaced);
        Ok(())
    }

    /// Closes everything.
    pub(super) fn clear(&self) {
        let mut slots = self.slots();
        let entries = std::mem::take(&mut slots.entries);
        (slots.first_free, slots.open) = (0, 0);
        // Closing may take long.
        drop(slots);
        drop(entries);
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room<'_> {
    /// Puts an entry there, under the lowest free number.
    pub(super) fn fill(mut self, entry: Entry) -> Result<Fd, Errno> {
        let Some(mut charge) = self.charge.take() else { return Err(Errno::NoMem) };
        // Its name is as long as was said, or shorter: to hold less is never refused.
        charge.set(entry.cost_bytes()).map_err(|_| Errno::NoMem)?;
        self.table.slots().insert_from(0, Slot { entry: Arc::new(entry), _charge: charge })
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.table.slots().kept -= 1;
    }
}

impl Slots {
    fn check_room(&self) -> Result<(), Errno> {
        if self.open + self.kept < self.limit { Ok(()) } else { Err(Errno::Mfile) }
    }

    fn charge(&self, bytes: u64) -> Result<Charge, Errno> {
        self.budget.hold(BudgetKind::Descriptor, bytes).map_err(|_| Errno::NoMem)
    }

    /// Adds a slot for which there is room.
    fn insert_from(&mut self, lowest: usize, slot: Slot) -> Result<Fd, Errno> {
        let mut free = self.first_free.max(lowest);
        while self.entries.get(free).is_some_and(Option::is_some) {
            free += 1;
        }
        while self.entries.len() <= free {
            self.entries.push(None);
        }
        self.entries[free] = Some(slot);
        self.open += 1;
        if lowest <= self.first_free {
            self.first_free = free + 1;
        }
        u32::try_from(free).map(Fd).map_err(|_| Errno::Mfile)
    }

    fn remove(&mut self, fd: Fd) -> Result<Slot, Errno> {
        let slot = self.entries.get_mut(index(fd)).and_then(Option::take).ok_or(Errno::Badf)?;
        self.open -= 1;
        self.first_free = self.first_free.min(index(fd));
        Ok(slot)
    }
}

fn index(fd: Fd) -> usize {
    usize::try_from(fd.0).unwrap_or(usize::MAX)
}
