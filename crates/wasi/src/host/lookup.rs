//! Looking up names.
//!
//! The system's own resolver is asked, on a thread of its own, since it can do nothing but wait: a wait for its answer ends at the deadline as every other does, and the thread
//! ends when the resolver does. A guest has few such threads.
//!
//! What this is not: a resolver. What names the system knows, and by whom, is the machine's business.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use innkeeper_engine::fork::{After, Registration, Side};

use super::error::Error;
use super::gate::{Operation, Permit, Request};
use super::network::Target;
use super::poll::Direction;
use super::socket_room::{SocketRoom, take};
use super::{Host, sys};
use crate::keys::{HostName, canonical};

/// A name that is being looked up, or has been.
#[derive(Debug)]
pub struct Lookup {
    state: State,
    _room: SocketRoom,
}

#[derive(Debug)]
enum State {
    Known(Arc<[IpAddr]>),
    Asked { name: HostName, question: Arc<Question> },
}

/// What a thread has been asked.
#[derive(Debug)]
struct Question {
    answer: OnceLock<Result<Vec<IpAddr>, Error>>,
    /// Ready for reading when there is an answer.
    signal: OwnedFd,
}

/// Threads that look up names, for one guest and for all: one that waits for a name server outlives the guest that has asked.
const MOST_THREADS: u32 = 8;
const MOST_THREADS_IN_ALL: u32 = 64;

/// Threads that a guest leaves to others for each that it has: where names are slow, those who ask for one get it before those who ask for many.
const LEFT_FOR_EACH: u32 = 6;

/// Addresses that are taken from one answer.
const MOST_ADDRESSES: usize = 64;

/// Bytes of a name, or of an address, beyond which nobody looks at it.
const MOST_BYTES: usize = 1024;

/// The threads of all guests.
static THREADS: AtomicU32 = AtomicU32::new(0);

impl Lookup {
    /// What is ready for reading when there is an answer; none if there is one.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Known(_) => None,
            State::Asked { question, .. } => Some(question.signal.as_fd()),
        }
    }
}

impl Host {
    /// Begins to look up the addresses of a name. An address is its own, and needs no key.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no name, [`Error::Denied`]; [`Error::NameTemporary`] where very many are being looked up; [`Error::TooManyHandles`], [`Error::NoMemory`].
    pub fn start_lookup(&self, name: &str) -> Result<Lookup, Error> {
        if name.len() > MOST_BYTES {
            return Err(Error::Invalid);
        }
        if let Some(address) = address(name) {
            return Ok(Lookup { state: State::Known([address].into()), _room: self.socket_room()? });
        }
        let name = HostName::parse(name).map_err(|_| Error::Invalid)?;
        let target = Target::Name(name.clone());
        let permit = self.gate.decide(&Request::network(Operation::LookUp, &target))?;
        let room = self.socket_room()?;
        let state = match self.gate.network().pinned(&name) {
            Some(addresses) => State::Known(addresses),
            None => State::Asked { question: self.ask(&permit, &name)?, name },
        };
        Ok(Lookup { state, _room: room })
    }

    /// The addresses that have been found, at least one, the one to be tried first before the others.
    ///
    /// # Errors
    /// [`Error::Again`] while there is no answer; [`Error::NameNotFound`], [`Error::NameTemporary`], [`Error::NamePermanent`], [`Error::NoMemory`].
    pub fn finish_lookup(&self, lookup: &Lookup) -> Result<Arc<[IpAddr]>, Error> {
        match &lookup.state {
            State::Known(addresses) => Ok(Arc::clone(addresses)),
            State::Asked { name, question } => match question.answer.get() {
                None => Err(Error::Again),
                Some(Err(error)) => Err(*error),
                Some(Ok(addresses)) => {
                    self.gate.network().pin(name, (addresses.clone(), sys::is_own_address), &self.budget)
                }
            },
        }
    }

    /// Looks up the addresses of a name, and waits for them.
    ///
    /// # Errors
    /// As [`Host::start_lookup`] and [`Host::finish_lookup`], and [`Error::Interrupted`].
    pub async fn look_up(&self, name: &str) -> Result<Arc<[IpAddr]>, Error> {
        let lookup = self.start_lookup(name)?;
        let permit = self.gate.decide(&Request::ambient(Operation::Poll))?;
        let waited = (lookup.descriptor(), Direction::Read);
        Box::pin(self.when_ready(&permit, waited, || false, || self.finish_lookup(&lookup))).await
    }

    /// Has a thread ask the system.
    fn ask(&self, _: &Permit, name: &HostName) -> Result<Arc<Question>, Error> {
        static REGISTRATION: Registration = Registration::new(before_fork);
        REGISTRATION.ensure();
        let running = Running::begin(&self.lookups, &THREADS).ok_or(Error::NameTemporary)?;
        let question = Arc::new(Question { answer: OnceLock::new(), signal: sys::open_signal()? });
        let asked = Arc::clone(&question);
        let name = name.to_string();
        let thread = std::thread::Builder::new().name(String::from("name look-up"));
        let spawned = innkeeper_engine::thread::spawn_for_host(thread, move || {
            let answer = resolve(&name);
            drop(running);
            let _ = asked.answer.set(answer);
            sys::raise_signal(&asked.signal);
        });
        spawned.map(|_| question).map_err(|_| Error::NoMemory)
    }
}

/// The child has none of the threads.
fn before_fork() -> After {
    Box::new(|side| {
        if side == Side::Child {
            THREADS.store(0, Ordering::Relaxed);
        }
    })
}

/// One of the threads that there may be, with the count of its guest's.
#[derive(Debug)]
struct Running {
    of_guest: Arc<AtomicU32>,
    of_all: &'static AtomicU32,
}

impl Running {
    fn begin(of_guest: &Arc<AtomicU32>, of_all: &'static AtomicU32) -> Option<Running> {
        let left_to_others = of_guest.load(Ordering::Relaxed).saturating_mul(LEFT_FOR_EACH);
        if !take(of_all, MOST_THREADS_IN_ALL.saturating_sub(left_to_others)) {
            return None;
        }
        if !take(of_guest, MOST_THREADS) {
            of_all.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Running { of_guest: Arc::clone(of_guest), of_all })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.of_guest.fetch_sub(1, Ordering::Relaxed);
        self.of_all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The address that a text is, in its canonical form.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = match plain {
        Some(plain) => IpAddr::V6(plain.parse().ok()?),
        None => text.parse().ok()?,
    };
    Some(canonical(SocketAddr::new(address, 0)).ip())
}

/// Asks the system, however long that takes.
fn resolve(name: &str) -> Result<Vec<IpAddr>, Error> {
    let found = (name, 0).to_socket_addrs().map_err(|error| failure(&error))?;
    let mut addresses = Vec::new();
    for address in found.map(|address| canonical(address).ip()).take(MOST_ADDRESSES) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(Error::NameNotFound) } else { Ok(addresses) }
}

/// Why the resolver has found nothing. The standard library keeps its code to itself and passes its words on, which are those of glibc or musl in the language that a process
/// begins with.
fn failure(error: &io::Error) -> Error {
    let words = error.to_string();
    let says = |texts: &[&str]| texts.iter().any(|text| words.contains(text));
    if says(&["Temporary failure", "Try again"]) {
        Error::NameTemporary
    } else if says(&["Non-recoverable", "Unrecoverable"]) {
        Error::NamePermanent
    } else {
        Error::NameNotFound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_their_own() {
        for (text, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("::1", Some("::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("127.1", None),
            ("[192.0.2.1]", None),
            ("localhost", None),
        ] {
            assert_eq!(
                address(text).map(|address| address.to_string()),
                expected.map(String::from),
                "{text}"
            );
        }
    }

    #[test]
    fn who_looks_up_one_name_comes_before_who_looks_up_many() {
        static OF_ALL: AtomicU32 = AtomicU32::new(0);
        let guest = || Arc::new(AtomicU32::new(0));
        let mut running = Vec::new();
        for _ in 0..MOST_THREADS {
            let of_guest = guest();
            running.extend(std::iter::from_fn(|| Running::begin(&of_guest, &OF_ALL)));
        }
        assert!(running.len() < 48, "{} for eight guests that take what they get", running.len());
        let of_guest = guest();
        running.push(Running::begin(&of_guest, &OF_ALL).expect("the ninth has one"));
        let others = (running.len()..64).map(|_| Running::begin(&guest(), &OF_ALL).expect("one each"));
        let others: Vec<_> = others.collect();
        assert!(Running::begin(&guest(), &OF_ALL).is_none(), "all have one");
        drop((running, others));
        assert_eq!(OF_ALL.load(Ordering::Relaxed), 0);
        let alone = guest();
        let many: Vec<_> = std::iter::from_fn(|| Running::begin(&alone, &OF_ALL)).collect();
        assert_eq!(many.len(), 8, "a guest alone has all of its own");
    }

    #[test]
    fn failures_of_the_resolver_are_told_apart() {
        for (words, expected) in [
            (
                "failed to lookup address information: Temporary failure in name resolution",
                Error::NameTemporary,
            ),
            ("failed to lookup address information: Name or service not known", Error::NameNotFound),
            (
                "failed to lookup address information: Non-recoverable failure in name resolution",
                Error::NamePermanent,
            ),
            (
                "failed to lookup address information: No address associated with hostname",
                Error::NameNotFound,
            ),
        ] {
            assert_eq!(failure(&io::Error::other(words)), expected, "{words}");
        }
    }
}
