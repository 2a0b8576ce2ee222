//! Where connections come from: addresses, sockets of the file system, and sockets that systemd has opened.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, renameat, statat, unlinkat};
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

/// Where a socket of the file system is, or is to be: a directory that is open, and the name in it. What its path leads to by then makes no difference. Clones are the same.
#[derive(Clone, Debug)]
pub struct SocketPlace {
    directory: Arc<OwnedFd>,
    name: OsString,
    /// For messages.
    path: PathBuf,
}

/// A socket of the file system that this process is to remove at its end.
#[derive(Debug)]
pub(super) struct Made {
    place: SocketPlace,
    /// Device and number of the socket: another may be in its place by then.
    identity: Identity,
    /// Whether this process answers for it: one that another has made is left to that until this one serves.
    is_ours: Arc<AtomicBool>,
    /// Whether another process has it: then it stays.
    has_gone: OnceLock<Arc<AtomicBool>>,
}

/// Device and number of a file.
type Identity = (u64, u64);

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
            Address::Tcp(address) => TcpListener::bind(address).await.map(Kind::Tcp).map(Listener::plain),
            Address::Unix(path) => Listener::bind_at(&SocketPlace::open(path)?),
        }
    }

    /// Listens at a socket of the file system in a directory that is open. One that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// The system's.
    pub fn bind_at(place: &SocketPlace) -> io::Result<Listener> {
        place.remove_abandoned()?;
        let listener = UnixListener::bind(place.way())?;
        let made = Made::at(place, Arc::new(AtomicBool::new(true)))?;
        Ok(Listener::plain(Kind::Unix(listener, Some(made))))
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

    /// That of a socket which another process has had. One of the file system, which is at `place`, is removed at this one's end, once it is `ours`.
    pub(super) fn inherited(
        socket: OwnedFd,
        place: Option<&SocketPlace>,
        is_ours: &Arc<AtomicBool>,
    ) -> io::Result<Listener> {
        let mut listener = Listener::of(socket)?;
        if let (Kind::Unix(_, made), Some(place)) = (&mut listener.kind, place) {
            *made = Some(Made::at(place, Arc::clone(is_ours))?);
        }
        Ok(listener)
    }

    /// What its socket is called where it is handed over, as [`Address::name`] has it.
    pub(super) fn name(&self) -> Option<String> {
        match &self.kind {
            Kind::Tcp(listener) => listener.local_addr().ok().and_then(|address| tcp_name(&address)),
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
            Kind::Unix(_, Some(made)) => write!(f, "unix:{}", made.place.path.display()),
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

/// What a socket of the network is called between two processes; none where the system chooses.
pub(super) fn tcp_name(address: &SocketAddr) -> Option<String> {
    (address.port() != 0).then(|| format!("tcp {address}"))
}

impl SocketPlace {
    /// Opens the directory of this path, links on the way included.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<SocketPlace> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        SocketPlace::within(openat(CWD, parent.unwrap_or(Path::new(".")), flags, Mode::empty())?, path)
    }

    /// The last name of this path in a directory that has been opened, for whoever has a say in which way is gone there.
    ///
    /// # Errors
    /// The path has no last name.
    pub fn within(directory: OwnedFd, path: &Path) -> io::Result<SocketPlace> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        Ok(SocketPlace { directory: Arc::new(directory), name, path: path.to_owned() })
    }

    /// Whether two are the same name in the same directory, by whatever paths.
    #[must_use]
    pub fn is(&self, other: &SocketPlace) -> bool {
        let identity = |place: &SocketPlace| fstat(&place.directory).map(|it| (it.st_dev, it.st_ino)).ok();
        self.name == other.name && identity(self).is_some_and(|it| identity(other) == Some(it))
    }

    /// What its socket is called between two processes; none where there is none.
    pub(super) fn socket_name(&self) -> Option<String> {
        self.identity().map(unix_name)
    }

    /// A path that leads there, whatever is done to the one that it was opened by.
    pub(super) fn way(&self) -> PathBuf {
        Path::new(&format!("/proc/self/fd/{}", self.directory.as_raw_fd())).join(&self.name)
    }

    /// Which socket is there, if one is.
    fn identity(&self) -> Option<Identity> {
        let found = statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        (FileType::from_raw_mode(found.st_mode) == FileType::Socket).then_some((found.st_dev, found.st_ino))
    }

    /// Removes a socket that nobody listens at: whoever made it was killed.
    fn remove_abandoned(&self) -> io::Result<()> {
        let is_abandoned = || {
            let connected = std::os::unix::net::UnixStream::connect(self.way());
            connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if self.identity().is_some() && is_abandoned() {
            unlinkat(&self.directory, &self.name, AtFlags::empty())?;
        }
        Ok(())
    }

    /// Refuses what is there and no socket.
    fn require_socket_or_nothing(&self) -> io::Result<()> {
        match statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) if self.identity().is_none() => Err(io::ErrorKind::AlreadyExists.into()),
            _ => Ok(()),
        }
    }
}

impl Made {
    /// The socket that is there.
    fn at(place: &SocketPlace, is_ours: Arc<AtomicBool>) -> io::Result<Made> {
        let identity = place.identity().ok_or(io::ErrorKind::NotFound)?;
        Ok(Made { place: place.clone(), identity, is_ours, has_gone: OnceLock::new() })
    }

    /// One of this process's own beside a place, which it is to have later: until then, whoever has it keeps it.
    pub(super) fn beside(
        place: &SocketPlace,
        has_gone: &Arc<AtomicBool>,
    ) -> io::Result<(std::os::unix::net::UnixListener, Made)> {
        place.require_socket_or_nothing()?;
        let mut beside = place.clone();
        beside.name.push(format!(".{}", getpid().as_raw_nonzero()));
        beside.remove_abandoned()?;
        let listener = std::os::unix::net::UnixListener::bind(beside.way())?;
        let made = Made::at(&beside, Arc::new(AtomicBool::new(true)))?;
        let _ = made.has_gone.set(Arc::clone(has_gone));
        Ok((listener, made))
    }

    /// Puts it there, whatever listens there. There is one of both at any time.
    pub(super) fn move_to(&mut self, place: &SocketPlace) -> io::Result<()> {
        place.require_socket_or_nothing()?;
        renameat(&self.place.directory, &self.place.name, &place.directory, &place.name)?;
        self.place = place.clone();
        Ok(())
    }
}

fn unix_name((device, number): Identity) -> String {
    format!("unix {device}:{number}")
}

impl Drop for Made {
    fn drop(&mut self) {
        let has_gone = self.has_gone.get().is_some_and(|gone| gone.load(Ordering::SeqCst));
        let is_ours = self.is_ours.load(Ordering::SeqCst) && !has_gone;
        if is_ours && self.place.identity() == Some(self.identity) {
            let _ = unlinkat(&self.place.directory, &self.place.name, AtFlags::empty());
        }
    }
}
