//! Where connections come from: addresses, sockets of the file system, and sockets that systemd has opened.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, sockopt};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::Tls;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port; of port 0, the system chooses one.
    Tcp(SocketAddr),
    /// A socket of the file system, which is made.
    Unix(PathBuf),
}

/// A socket that connections are accepted from. It belongs to the executor that it was made in.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    tls: Option<Tls>,
}

#[derive(Debug)]
enum Kind {
    Tcp(TcpListener),
    /// Where it was made here, its path, which goes with it.
    Unix(UnixListener, Option<Made>),
}

/// A socket of the file system that this process has made.
#[derive(Debug)]
struct Made(PathBuf);

/// A connection that has been accepted.
pub(super) enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// The number of the first descriptor that is handed over.
const FIRST_ACTIVATED: i32 = 3;
/// More than anybody hands over.
const MOST_ACTIVATED: i32 = 1024;

impl Listener {
    /// Listens at `address`. A socket of the file system that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// The system's.
    pub async fn bind(address: &Address) -> io::Result<Listener> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address).await.map(Kind::Tcp),
            Address::Unix(path) => {
                remove_abandoned(path)?;
                let listener = UnixListener::bind(path)?;
                Ok(Kind::Unix(listener, Some(Made(path.clone()))))
            }
        }
        .map(Listener::plain)
    }

    /// The same, of which connections over the network are encrypted. Those over a socket of the file system are not: they stay on the machine.
    #[must_use]
    pub fn encrypted(self, tls: &Tls) -> Listener {
        let tls = matches!(self.kind, Kind::Tcp(_)).then(|| tls.clone());
        Listener { tls, ..self }
    }

    fn plain(kind: Kind) -> Listener {
        Listener { kind, tls: None }
    }

    /// The sockets that systemd has opened for this process (`LISTEN_FDS`); none where there are none.
    ///
    /// # Errors
    /// What was handed over is no socket that listens, or cannot be had.
    pub fn activated() -> io::Result<Vec<Listener>> {
        let number = |name| std::env::var(name).ok().and_then(|value: String| value.parse::<i32>().ok());
        if number("LISTEN_PID") != Some(getpid().as_raw_nonzero().get()) {
            return Ok(Vec::new());
        }
        let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, MOST_ACTIVATED);
        if count == 0 {
            return Ok(Vec::new());
        }
        let process = pidfd_open(getpid(), PidfdFlags::empty())?;
        let descriptors = FIRST_ACTIVATED..FIRST_ACTIVATED + count;
        descriptors.map(|fd| Listener::of(pidfd_getfd(&process, fd, PidfdGetfdFlags::empty())?)).collect()
    }

    /// One of a socket that listens already.
    fn of(socket: OwnedFd) -> io::Result<Listener> {
        if !sockopt::socket_acceptconn(&socket)? {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no socket that listens"));
        }
        match sockopt::socket_domain(&socket)? {
            AddressFamily::INET | AddressFamily::INET6 => {
                let listener = std::net::TcpListener::from(socket);
                listener.set_nonblocking(true)?;
                TcpListener::from_std(listener).map(Kind::Tcp)
            }
            AddressFamily::UNIX => {
                let listener = std::os::unix::net::UnixListener::from(socket);
                listener.set_nonblocking(true)?;
                UnixListener::from_std(listener).map(|listener| Kind::Unix(listener, None))
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a socket of another kind")),
        }
        .map(Listener::plain)
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        match &self.kind {
            Kind::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // What is written is meant to go out.
                stream.set_nodelay(true)?;
                Ok(Accepted::Tcp(stream, peer))
            }
            Kind::Unix(listener, _) => listener.accept().await.map(|(stream, _)| Accepted::Unix(stream)),
        }
    }

    /// Its address, where it has one.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().ok(),
            Kind::Unix(..) => None,
        }
    }
}

impl fmt::Display for Listener {
    /// As clients name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Tcp(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "{}://{address}", if self.tls.is_some() { "https" } else { "http" }),
                Err(error) => write!(f, "an address that the system does not tell ({error})"),
            },
            Kind::Unix(_, Some(Made(path))) => write!(f, "unix:{}", path.display()),
            Kind::Unix(_, None) => f.write_str("a socket of the file system that was handed over"),
        }
    }
}

/// Removes a socket that nobody listens at: whoever made it was killed.
fn remove_abandoned(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    let is_abandoned = || {
        let connected = std::os::unix::net::UnixStream::connect(path);
        connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    if is_socket && is_abandoned() { std::fs::remove_file(path) } else { Ok(()) }
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
