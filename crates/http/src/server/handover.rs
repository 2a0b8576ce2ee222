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
use std::time::Duration;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg, sockopt,
};
use rustix::process::geteuid;
use tokio::time::sleep;

use super::Stop;
use super::listener::{Address, Listener, Made};

/// More sockets than anybody listens at.
const MOST_SOCKETS: usize = 64;
/// Bytes of all their names.
const MOST_BYTES: usize = 32 << 10;
/// How long the other side may take to say something.
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
}

/// Sockets that are offered to the next server. It belongs to the executor that it was made in.
#[derive(Debug)]
pub struct Offer {
    sockets: Arc<Sockets>,
    /// Whether they have gone, by which sockets of the file system stay where they are.
    have_gone: Arc<AtomicBool>,
    listener: tokio::net::UnixListener,
    _made: Made,
}

/// Sockets with what they are called.
type Sockets = Vec<(String, OwnedFd)>;

impl Inherited {
    /// Takes what a server offers at this path; nothing where there is none.
    ///
    /// # Errors
    /// Another user's process listens there, or something else than a server.
    pub fn take(path: &Path) -> io::Result<Inherited> {
        let mut before = match UnixStream::connect(path) {
            Ok(before) => before,
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => return Ok(Inherited::default()),
                _ => return Err(error),
            },
        };
        require_same_user(&before)?;
        before.set_read_timeout(Some(PATIENCE))?;
        let sockets = receive(&mut before)?;
        Ok(Inherited { sockets, before: Some(before) })
    }

    /// Listens at `address`: with the socket that the server before this one has had there, if it had one.
    ///
    /// # Errors
    /// The system's.
    pub async fn bind(&mut self, address: &Address) -> io::Result<Listener> {
        let name = address.name();
        match self.sockets.iter().position(|(known, _)| name.as_ref() == Some(known)) {
            Some(index) => Listener::inherited(self.sockets.swap_remove(index).1, address),
            None => Listener::bind(address).await,
        }
    }

    /// Says that connections are accepted here, by which the server before this one begins to end. Sockets that nobody has taken are closed.
    pub fn tell_ready(self) {
        if let Some(mut before) = self.before {
            let _ = before.write_all(&[READY]);
        }
    }
}

impl Offer {
    /// Offers the sockets of these listeners at a path, where those of a server before this one are offered no more.
    ///
    /// # Errors
    /// The system's.
    pub fn at<'a>(path: &Path, listeners: impl IntoIterator<Item = &'a Listener>) -> io::Result<Offer> {
        let have_gone = Arc::new(AtomicBool::new(false));
        let mut sockets = Vec::new();
        for listener in listeners {
            if let Some(name) = listener.name() {
                listener.may_go(&have_gone);
                sockets.push((name, listener.as_fd().try_clone_to_owned()?));
            }
        }
        sockets.truncate(MOST_SOCKETS);
        let (listener, made) = Made::in_place_of(path)?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::UnixListener::from_std(listener)?;
        Ok(Offer { sockets: Arc::new(sockets), have_gone, listener, _made: made })
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

fn receive(stream: &mut UnixStream) -> io::Result<Sockets> {
    let mut text = vec![0; MOST_BYTES];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let mut count = recvmsg(&*stream, &mut [IoSliceMut::new(&mut text)], &mut control, flags)?.bytes;
    let mut sockets = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            sockets.extend(received);
        }
    }
    let malformed = || io::Error::new(io::ErrorKind::InvalidData, "what listens there is no server");
    while !text[..count].ends_with(b"\n\n") && text[..count] != *b"\n" {
        let more = stream.read(&mut text[count..])?;
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
