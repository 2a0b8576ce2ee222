//! Sockets go from one server to the next, so that a restart loses no connection.
//!
//! A server offers its sockets at a path of the file system. The next one takes them from there, and says so when it accepts connections; then the first accepts none any more, and ends as at SIGTERM. Both have the
//! same sockets meanwhile, so that whatever the system has queued is accepted by one of them.
//!
//! What must stay true: sockets are given to, and taken from, processes of the same user alone; the first server serves on where the next one fails before it is ready.

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType, recvmsg, sendmsg, socket_with,
    sockopt,
};
use rustix::process::geteuid;
use tokio::time::sleep;

use super::Stop;
use super::listener::{Address, Listener, Made, SocketPlace, tcp_name};

/// More sockets than anybody listens at.
const MOST_SOCKETS: usize = 64;
/// Bytes of all their names.
const MOST_BYTES: usize = 32 << 10;
/// How long the other side may take to say all that it has to.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nobody is heard after the system had no room for a connection.
const PAUSE: Duration = Duration::from_millis(100);
/// What is said by the next server when it accepts connections.
const READY: u8 = b'r';

/// Sockets that the server before this one has had.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Sockets,
    /// Who waits to be told that connections are accepted here.
    before: Option<UnixStream>,
    /// Whether that was told: until then, sockets of the file system are the one's before.
    are_ours: Arc<AtomicBool>,
}

/// Sockets that are offered to the next server. It belongs to the executor that it was made in.
#[derive(Debug)]
pub struct Offer {
    sockets: Arc<Sockets>,
    /// Whether they have gone, by which sockets of the file system stay where they are.
    have_gone: Arc<AtomicBool>,
    listener: tokio::net::UnixListener,
    made: Made,
    place: SocketPlace,
}

/// Sockets with what they are called.
type Sockets = Vec<(String, OwnedFd)>;

impl Inherited {
    /// Takes what a server offers at this path; nothing where there is none.
    ///
    /// # Errors
    /// Another user's process listens there, or something else than a server, or whoever listens says nothing for ten seconds.
    pub fn take(path: &Path) -> io::Result<Inherited> {
        match SocketPlace::open(path) {
            Ok(place) => Inherited::take_at(&place),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Inherited::default()),
            Err(error) => Err(error),
        }
    }

    /// As [`Inherited::take`], of a place that is open.
    ///
    /// # Errors
    /// As there.
    pub fn take_at(place: &SocketPlace) -> io::Result<Inherited> {
        Inherited::take_within(place, PATIENCE)
    }

    fn take_within(place: &SocketPlace, patience: Duration) -> io::Result<Inherited> {
        let until = Instant::now() + patience;
        let mut before = match connect(place, until) {
            Ok(before) => before,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(Inherited::default()),
                _ => return Err(error),
            },
        };
        require_same_user(&before)?;
        let sockets = receive(&mut before, until)?;
        Ok(Inherited { sockets, before: Some(before), are_ours: Arc::default() })
    }

    /// Listens at `address`: with the socket that the server before this one has had there, if it had one.
    ///
    /// # Errors
    /// The system's.
    pub async fn bind(&mut self, address: &Address) -> io::Result<Listener> {
        match address {
            Address::Unix(path) => self.bind_at(&SocketPlace::open(path)?),
            Address::Tcp(tcp) => match self.taken(tcp_name(tcp)) {
                Some(socket) => Listener::inherited(socket, None, &self.are_ours),
                None => Listener::bind(address).await,
            },
        }
    }

    /// As [`Inherited::bind`], at a socket of the file system in a directory that is open.
    ///
    /// # Errors
    /// The system's.
    pub fn bind_at(&mut self, place: &SocketPlace) -> io::Result<Listener> {
        match self.taken(place.socket_name()) {
            Some(socket) => Listener::inherited(socket, Some(place), &self.are_ours),
            None => Listener::bind_at(place),
        }
    }

    /// The socket of this name, if there is one.
    fn taken(&mut self, name: Option<String>) -> Option<OwnedFd> {
        let name = name?;
        let index = self.sockets.iter().position(|(known, _)| *known == name)?;
        Some(self.sockets.swap_remove(index).1)
    }

    /// Says that connections are accepted here, by which the server before this one begins to end. Sockets that nobody has taken are closed. What was inherited of the file system is this process's from then
    /// on, to remove it at its end; before, it was left to the server before this one.
    pub fn tell_ready(self) {
        // What the one before this is told, it does not remove itself.
        self.are_ours.store(true, Ordering::SeqCst);
        if let Some(mut before) = self.before {
            let _ = before.write_all(&[READY]);
        }
    }
}

impl Offer {
    /// Makes ready to offer the sockets of these listeners at a path, where those of a server before this one are offered until [`Offer::take_place`].
    ///
    /// # Errors
    /// The system's; there are more than 64 sockets.
    pub fn at<'a>(path: &Path, listeners: impl IntoIterator<Item = &'a Listener>) -> io::Result<Offer> {
        Offer::at_place(&SocketPlace::open(path)?, listeners)
    }

    /// As [`Offer::at`], in a directory that is open.
    ///
    /// # Errors
    /// As there.
    pub fn at_place<'a>(
        place: &SocketPlace,
        listeners: impl IntoIterator<Item = &'a Listener>,
    ) -> io::Result<Offer> {
        let have_gone = Arc::new(AtomicBool::new(false));
        let mut sockets = Vec::new();
        for listener in listeners {
            if let Some(name) = listener.name() {
                listener.may_go(&have_gone);
                sockets.push((name, listener.as_fd().try_clone_to_owned()?));
            }
        }
        if sockets.len() > MOST_SOCKETS {
            let reason = format!("there are {} sockets, and {MOST_SOCKETS} at most go along", sockets.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let (listener, made) = Made::beside(place, &have_gone)?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        Ok(Offer { sockets: Arc::new(sockets), have_gone, listener, made, place: place.clone() })
    }

    /// Offers them from now on, and whatever was offered there no more: to be called when connections are accepted and the server before this one was told so ([`Inherited::tell_ready`]), so that it can be
    /// asked again if this one fails before.
    ///
    /// # Errors
    /// The system's.
    pub fn take_place(&mut self) -> io::Result<()> {
        self.made.move_to(&self.place)
    }

    /// Waits until a server has taken them and accepts connections, and then has this one end; or until it is to end otherwise.
    pub async fn wait(self, stop: &Stop) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.draining() => return,
            };
            let Ok((next, _)) = accepted else {
                sleep(PAUSE).await;
                continue;
            };
            let sockets = Arc::clone(&self.sockets);
            let given = tokio::task::spawn_blocking(move || give(next.into_std()?, &sockets));
            // Whoever fails to take them can try again.
            if matches!(given.await, Ok(Ok(true))) {
                self.have_gone.store(true, Ordering::SeqCst);
                return stop.drain();
            }
        }
    }
}

/// Gives the sockets away, and gives whether whoever has them accepts connections.
fn give(mut next: UnixStream, sockets: &Sockets) -> io::Result<bool> {
    require_same_user(&next)?;
    next.set_nonblocking(false)?;
    next.set_read_timeout(Some(PATIENCE))?;
    next.set_write_timeout(Some(PATIENCE))?;
    send(&mut next, sockets)?;
    let mut said = [0];
    next.read_exact(&mut said)?;
    Ok(said == [READY])
}

/// A connection to whoever listens there.
fn connect(place: &SocketPlace, until: Instant) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(place.way())?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, OPENED, None)?;
    loop {
        match rustix::net::connect(&socket, &address) {
            Ok(()) => break,
            // As many as the system queues wait there already.
            Err(Errno::AGAIN | Errno::INTR) if Instant::now() < until => std::thread::sleep(PAUSE),
            Err(Errno::AGAIN) => return Err(nothing_said()),
            Err(error) => return Err(error.into()),
        }
    }
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

/// How a socket is opened of which nobody is waited for.
const OPENED: SocketFlags = SocketFlags::NONBLOCK.union(SocketFlags::CLOEXEC);

fn nothing_said() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "whoever listens there accepts nothing, or says nothing")
}

/// Has reading fail when that time has come.
fn wait_until(stream: &UnixStream, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(nothing_said());
    }
    stream.set_read_timeout(Some(left))
}

/// What reading has failed of, in words where it is that nothing came.
fn said_too_late(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { nothing_said() } else { error }
}

fn require_same_user(stream: &UnixStream) -> io::Result<()> {
    match sockopt::socket_peercred(stream)?.uid == geteuid() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user's process is there")),
    }
}

/// Sends sockets, and their names a line each, with an empty one at the end.
fn send(stream: &mut UnixStream, sockets: &Sockets) -> io::Result<()> {
    let mut text: String = sockets.iter().flat_map(|(name, _)| [name, "\n"]).collect();
    text.push('\n');
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|(_, socket)| socket.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        let fits = control.push(SendAncillaryMessage::ScmRights(&descriptors));
        debug_assert!(fits, "there are no more than that");
    }
    let sent = sendmsg(&*stream, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    // What did not go at once has no descriptors.
    stream.write_all(text.as_bytes().get(sent..).unwrap_or_default())
}

fn receive(stream: &mut UnixStream, until: Instant) -> io::Result<Sockets> {
    let mut text = vec![0; MOST_BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    wait_until(stream, until)?;
    let received = recvmsg(&*stream, &mut [IoSliceMut::new(&mut text)], &mut control, flags);
    let mut count = received.map_err(|error| said_too_late(error.into()))?.bytes;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received);
        }
    }
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "what listens there is no server");
    while !text[..count].ends_with(b"\n\n") && text[..count] != *b"\n" {
        wait_until(stream, until)?;
        let more = stream.read(&mut text[count..]).map_err(said_too_late)?;
        if more == 0 {
            return Err(malformed());
        }
        count += more;
    }
    let names = str::from_utf8(&text[..count]).map_err(|_| malformed())?;
    let names: Vec<&str> = names.lines().filter(|name| !name.is_empty()).collect();
    match names.len() == sockets.len() {
        true => Ok(names.into_iter().map(String::from).zip(sockets).collect()),
        false => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use rustix::net::{bind, listen};

    use super::*;

    /// Whoever accepts nothing, or says nothing, is waited for no longer than that, however full its queue is.
    #[test]
    fn nobody_is_waited_for_without_an_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let place = SocketPlace::open(&path).unwrap();
        let take = || Inherited::take_within(&place, Duration::from_millis(1)).map(|_| ());
        take().unwrap();
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, OPENED, None).unwrap();
        bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        listen(&socket, 0).unwrap();
        let full = Instant::now();
        // The first one is queued, and hears nothing; from then on there is no room.
        for _ in 0..3 {
            assert_eq!(take().unwrap_err().kind(), io::ErrorKind::TimedOut);
            std::mem::forget(connect(&place, full));
        }
        drop(socket);
        take().unwrap();
    }
}
