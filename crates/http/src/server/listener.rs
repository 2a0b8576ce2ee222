//! Where connections come from: addresses, sockets of the file system, and sockets that systemd has opened.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, openat, renameat, statat, unlinkat};
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

/// A socket of the file system that this process has made. Its directory stays open: by then its path may lead elsewhere.
#[derive(Debug)]
pub(super) struct Made {
    directory: OwnedFd,
    name: OsString,
    /// Device and number of the socket: another may be in its place by then.
    identity: (u64, u64),
    /// For messages.
    path: PathBuf,
    /// Whether another process has it: then it stays.
    has_gone: OnceLock<Arc<AtomicBool>>,
}

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
                let (directory, name) = place(path)?;
                remove_abandoned(&directory, &name)?;
                let listener = UnixListener::bind(within(&directory, &name))?;
                Made::at(path).map(|made| Kind::Unix(listener, Some(made)))
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

    /// That of a socket which another process has had at this address. One of the file system is removed at this one's end.
    pub(super) fn inherited(socket: OwnedFd, address: &Address) -> io::Result<Listener> {
        let mut listener = Listener::of(socket)?;
        if let (Kind::Unix(_, made), Address::Unix(path)) = (&mut listener.kind, address) {
            *made = Some(Made::at(path)?);
        }
        Ok(listener)
    }

    /// What its socket is called where it is handed over, as [`Address::name`] has it.
    pub(super) fn name(&self) -> Option<String> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().ok().map(|address| Address::Tcp(address).name())?,
            Kind::Unix(_, made) => made.as_ref().map(|made| unix_name(made.identity)),
        }
    }

    /// Has its socket of the file system left where it is, once that is so.
    pub(super) fn may_go(&self, has_gone: &Arc<AtomicBool>) {
        if let Kind::Unix(_, Some(made)) = &self.kind {
            let _ = made.has_gone.set(Arc::clone(has_gone));
        }
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
            Kind::Unix(_, Some(made)) => write!(f, "unix:{}", made.path.display()),
            Kind::Unix(_, None) => f.write_str("a socket of the file system that was handed over"),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.kind {
            Kind::Tcp(listener) => listener.as_fd(),
            Kind::Unix(listener, _) => listener.as_fd(),
        }
    }
}

impl Address {
    /// What its socket is called between two processes; none where there is none, or the system chooses.
    pub(super) fn name(&self) -> Option<String> {
        match self {
            Address::Tcp(address) => (address.port() != 0).then(|| format!("tcp {address}")),
            Address::Unix(path) => {
                let (directory, name) = place(path).ok()?;
                socket_identity(&directory, &name).map(unix_name)
            }
        }
    }
}

impl Made {
    /// The socket that is at this path.
    fn at(path: &Path) -> io::Result<Made> {
        let (directory, name) = place(path)?;
        let identity = socket_identity(&directory, &name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Made { directory, name, identity, path: path.to_owned(), has_gone: OnceLock::new() })
    }

    /// One of this process's own, whatever listens at its path. There is one of both at any time.
    pub(super) fn in_place_of(path: &Path) -> io::Result<(std::os::unix::net::UnixListener, Made)> {
        let (directory, name) = place(path)?;
        if socket_identity(&directory, &name).is_none()
            && statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
        {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let mut new = name.clone();
        new.push(format!(".{}", getpid().as_raw_nonzero()));
        let _ = unlinkat(&directory, &new, AtFlags::empty());
        let listener = std::os::unix::net::UnixListener::bind(within(&directory, &new))?;
        renameat(&directory, &new, &directory, &name)?;
        Made::at(path).map(|made| (listener, made))
    }
}

/// The directory of a socket of the file system, and its name there.
fn place(path: &Path) -> io::Result<(OwnedFd, OsString)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok((openat(CWD, parent.unwrap_or(Path::new(".")), flags, Mode::empty())?, name))
}

fn unix_name((device, number): (u64, u64)) -> String {
    format!("unix {device}:{number}")
}

/// A path to a file of an open directory.
fn within(directory: &OwnedFd, name: &OsStr) -> PathBuf {
    Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name)
}

/// Which socket is there, if one is.
fn socket_identity(directory: &OwnedFd, name: &OsStr) -> Option<(u64, u64)> {
    let found = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    (FileType::from_raw_mode(found.st_mode) == FileType::Socket).then_some((found.st_dev, found.st_ino))
}

/// Removes a socket that nobody listens at: whoever made it was killed.
fn remove_abandoned(directory: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let is_abandoned = || {
        let connected = std::os::unix::net::UnixStream::connect(within(directory, name));
        connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    if socket_identity(directory, name).is_some() && is_abandoned() {
        unlinkat(directory, name, AtFlags::empty())?;
    }
    Ok(())
}

impl Drop for Made {
    fn drop(&mut self) {
        let has_gone = self.has_gone.get().is_some_and(|gone| gone.load(Ordering::SeqCst));
        if !has_gone && socket_identity(&self.directory, &self.name) == Some(self.identity) {
            let _ = unlinkat(&self.directory, &self.name, AtFlags::empty());
        }
    }
}
