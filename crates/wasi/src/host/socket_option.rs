//! Options of sockets that a guest has.
//!
//! What is asked for beyond what the system allows is brought down to that, as standards allow; what comes back may therefore differ from what was set.

use super::credentials::Rights;
use super::error::Error;
use super::gate::Operation;
use super::socket::Socket;
use super::{Host, sys};

/// An option of a socket. Its value is a number in the unit that it says; zero is none, except where it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketOption {
    /// Whether it is found out that the other end is gone while nothing is sent: 0 or 1.
    KeepAlive,
    /// After which time without traffic that is looked for, in nanoseconds.
    KeepAliveIdleNs,
    /// How long between two looks, in nanoseconds.
    KeepAliveIntervalNs,
    /// After how many looks without an answer the other end is gone.
    KeepAliveCount,
    /// Over how many routers packets go: 1 to 255.
    HopLimit,
    /// How much the system keeps that was received, in bytes.
    ReceiveBufferBytes,
    /// How much the system keeps that is to be sent, in bytes.
    SendBufferBytes,
}

impl SocketOption {
    /// Every option.
    pub const ALL: &'static [SocketOption] = &[
        SocketOption::KeepAlive,
        SocketOption::KeepAliveIdleNs,
        SocketOption::KeepAliveIntervalNs,
        SocketOption::KeepAliveCount,
        SocketOption::HopLimit,
        SocketOption::ReceiveBufferBytes,
        SocketOption::SendBufferBytes,
    ];
}

impl Host {
    /// The value of an option.
    ///
    /// # Errors
    /// [`Error::NotSupported`] for an option that sockets of its kind do not have.
    pub fn socket_option(&self, socket: &Socket, option: SocketOption) -> Result<u64, Error> {
        let permit = self.decide_for_socket(Operation::Stat, Rights::NONE, socket)?;
        sys::socket_option(&permit, socket.as_fd(), (option, socket.family()))
    }

    /// Sets an option.
    ///
    /// # Errors
    /// [`Error::Invalid`] for zero where that is no value; [`Error::NotSupported`].
    pub fn set_socket_option(&self, socket: &Socket, option: SocketOption, value: u64) -> Result<(), Error> {
        let permit = self.decide_for_socket(Operation::SetFlags, Rights::NONE, socket)?;
        if value == 0 && option != SocketOption::KeepAlive {
            return Err(Error::Invalid);
        }
        sys::set_socket_option(&permit, socket.as_fd(), (option, socket.family()), value)
    }
}
