//! The report for a person, with what a host does not know: descriptors by number, and the memory that calls work on.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::context::Context;
use super::table::Fd;
use crate::host::{self, SocketAddress};

/// One thing to tell the person who granted the keys. Printed, it is one line without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Explanation {
    /// What any guest of the host can meet.
    Host(host::Explanation),
    /// The guest wanted to accept connections on a descriptor that is no socket. These are.
    NoSocket {
        /// What the guest took for one.
        descriptor: Fd,
        /// Those that were granted, by descriptor.
        held: Vec<(Fd, SocketAddress)>,
    },
    /// The guest's calls failed, since it exports no memory for them.
    NoMemory,
    /// Which descriptor a listening socket is.
    SocketHeld {
        /// The descriptor.
        descriptor: Fd,
        /// Where it listens.
        address: SocketAddress,
    },
}

/// What is noted while the guest runs.
#[derive(Debug)]
pub(super) struct Notes {
    lacks_memory: AtomicBool,
    /// The first descriptor that the guest took for a socket in vain.
    missing_listener: OnceLock<Fd>,
    /// Which descriptors the sockets are that the guest was granted.
    sockets: Vec<(Fd, SocketAddress)>,
}

impl Notes {
    pub(super) fn new(sockets: Vec<(Fd, SocketAddress)>) -> Notes {
        Notes { lacks_memory: AtomicBool::new(false), missing_listener: OnceLock::new(), sockets }
    }

    /// Notes that the guest wanted to accept a connection on a descriptor that is no socket.
    pub(super) fn missing_listener(&self, descriptor: Fd) {
        let _ = self.missing_listener.set(descriptor);
    }

    /// Notes that a call failed because the guest has no memory that the host could read or write.
    pub(super) fn missing_memory(&self) {
        self.lacks_memory.store(true, Ordering::Relaxed);
    }
}

impl Context {
    /// What to tell the person who granted the keys: denials first, then hints that matter only if the guest failed.
    #[must_use]
    pub fn explain(&self) -> Vec<Explanation> {
        let no_socket = self.notes.missing_listener.get().map(|descriptor| Explanation::NoSocket {
            descriptor: *descriptor,
            held: self.notes.sockets.clone(),
        });
        let lacks_memory = self.notes.lacks_memory.load(Ordering::Relaxed);
        let of_host = self.host.explain().into_iter().map(Explanation::Host);
        let mut explanations: Vec<Explanation> = of_host
            .chain(no_socket)
            .chain(lacks_memory.then_some(Explanation::NoMemory))
            .chain(self.explain_sockets())
            .collect();
        explanations.sort_by_key(Explanation::rank);
        explanations
    }

    /// Which descriptors the sockets are that the guest was granted, one by one.
    #[must_use]
    pub fn explain_sockets(&self) -> Vec<Explanation> {
        let explain =
            |&(descriptor, address): &(Fd, SocketAddress)| Explanation::SocketHeld { descriptor, address };
        self.notes.sockets.iter().map(explain).collect()
    }
}

impl Explanation {
    /// Where it stands among others.
    fn rank(&self) -> u8 {
        use host::Explanation as OfHost;
        match self {
            Explanation::Host(OfHost::Denied(_) | OfHost::DeniedMore(_)) => 0,
            Explanation::NoSocket { .. } => 1,
            Explanation::NoMemory => 2,
            Explanation::Host(
                OfHost::LimitReached(_) | OfHost::Elsewhere { .. } | OfHost::Repeated { .. },
            ) => 3,
            Explanation::SocketHeld { .. } => 4,
            Explanation::Host(OfHost::EmptyRoot | OfHost::NoDirectory | OfHost::DirectoriesHeld(_)) => 5,
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Explanation::Host(explanation) => explanation.fmt(f),
            Explanation::NoSocket { descriptor, held } => {
                write!(f, "denied: accept a connection on descriptor {}: ", descriptor.0)?;
                if held.is_empty() {
                    return f.write_str("no socket was granted");
                }
                f.write_str("it is no socket; ")?;
                for (i, (descriptor, address)) in held.iter().enumerate() {
                    let comma = if i > 0 { ", " } else { "" };
                    write!(f, "{comma}that on {address} is descriptor {}", descriptor.0)?;
                }
                Ok(())
            }
            Explanation::NoMemory => f.write_str(
                "the module exports no memory named `memory`, where the host looks for what it is called with: such calls failed with `fault`; \
                 export its memory under that name",
            ),
            Explanation::SocketHeld { descriptor, address } => {
                write!(f, "the socket on {address} is descriptor {}", descriptor.0)
            }
        }
    }
}
