//! The standard streams.
//!
//! An inherited stream is the host process's own descriptor, shared with whoever else has it; its modes are
//! never changed. Whether the guest wants to wait is kept here.
//!
//! A file that is opened for a stream is compared with what no guest may reach by what is open, not by its path, and before it is changed.
//!
//! No call of the system waits, except the one that can be interrupted: bytes are moved as far as that is possible at once, and then readiness is waited
//! for ([`Moving`]). That somebody else, another thread of the guest or another process, was faster meanwhile is just another reason to wait.

use std::io::{IoSlice, IoSliceMut};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::allowance::Unwritten;
use super::credentials::{Credentials, Grant, Rights};
use super::error::Error;
use super::gate::{Operation, Permit, Request};
use super::handles::Opening;
use super::hidden::Hidden;
use super::pipe_room::PipeRoom;
use super::poll::{Direction, hold_thread};
use super::portion::{Moved, PORTION_BYTES, portions, total};
use super::{Host, sys};
use crate::keys::{Capture, FileMode, KeyError, Sink, Source, StdinKey, StdoutKey};

/// A standard stream of a guest.
#[derive(Debug)]
pub struct Stream {
    credentials: Credentials,
    source: StreamEnd,
    /// Whether reading or writing can have to wait, once somebody has looked: regular files are always ready.
    waits: OnceLock<bool>,
    nonblocking: AtomicBool,
    /// Whether the guest has been told that nobody reads what it writes here.
    pub(super) is_unread: AtomicBool,
    /// What can be written without waiting, where somebody has asked.
    pub(super) room: PipeRoom,
    moving: Moving,
}

/// How bytes are moved without waiting, where the system does not do so when asked to with each call.
#[derive(Debug, Default)]
struct Moving {
    /// The same terminal or pipe, opened once more with a mode of its own, once that has been tried.
    reopened: OnceLock<Option<OwnedFd>>,
    /// Held from looking whether there is something to do until it is done, where nothing else helps: so that no other thread of this process comes between.
    turn: Mutex<()>,
}

/// Bytes that can be written to whatever is ready for writing, without waiting: the least that a pipe has room for then.
const READY_BYTES: usize = 4096;

#[derive(Debug)]
enum StreamEnd {
    Inherited(BorrowedFd<'static>),
    /// A file of the host's that the keys name.
    File(OwnedFd),
    Bytes(Mutex<Remaining>),
    Discard,
    Capture(Capture),
    Source(Source),
    Sink(Sink),
}

/// Bytes to be read, and how many have been.
#[derive(Debug)]
struct Remaining {
    bytes: Vec<u8>,
    taken: usize,
}

impl Stream {
    /// Standard input, unless the key says that there is none.
    pub(super) fn input(opening: &Opening<'_>) -> Result<Option<Stream>, KeyError> {
        let &Opening { permit, keys, .. } = opening;
        let bytes =
            |bytes: &[u8]| StreamEnd::Bytes(Mutex::new(Remaining { bytes: bytes.to_vec(), taken: 0 }));
        let source = match &keys.stdin {
            StdinKey::Inherit => StreamEnd::Inherited(sys::stdin()),
            StdinKey::Empty => bytes(&[]),
            StdinKey::Bytes(text) => bytes(text),
            StdinKey::Source(source) => StreamEnd::Source(source.clone()),
            StdinKey::Opened(fd) => StreamEnd::File(duplicate(permit, fd)?),
            StdinKey::OpenedFile(fd) => {
                let name = Path::new("what was opened for it");
                let file = sys::open_granted_input_again(permit, fd.as_fd());
                let file = file.map_err(|reason| unusable(("stdin", name), reason))?;
                require_in_sight(opening, ("stdin", name), file.as_fd())?;
                StreamEnd::File(file)
            }
            StdinKey::File(path) => {
                let file = sys::open_granted_input(permit, path);
                let file = file.map_err(|reason| unusable(("stdin", path), reason))?;
                require_in_sight(opening, ("stdin", path), file.as_fd())?;
                StreamEnd::File(file)
            }
            StdinKey::Closed => return Ok(None),
        };
        Ok(Some(Stream::new("stdin", source)))
    }

    /// Standard output, unless the key says that there is none.
    pub(super) fn output(opening: &Opening<'_>) -> Result<Option<Stream>, KeyError> {
        Stream::sink(opening, "stdout", &opening.keys.stdout, sys::stdout())
    }

    /// Standard error, unless the key says that there is none.
    pub(super) fn error(opening: &Opening<'_>) -> Result<Option<Stream>, KeyError> {
        Stream::sink(opening, "stderr", &opening.keys.stderr, sys::stderr())
    }

    fn sink(
        opening: &Opening<'_>,
        name: &'static str,
        key: &StdoutKey,
        inherited: BorrowedFd<'static>,
    ) -> Result<Option<Stream>, KeyError> {
        let source = match key {
            StdoutKey::Inherit => StreamEnd::Inherited(inherited),
            StdoutKey::Discard => StreamEnd::Discard,
            StdoutKey::Capture(capture) => StreamEnd::Capture(capture.clone()),
            StdoutKey::Sink(sink) => StreamEnd::Sink(sink.clone()),
            StdoutKey::Opened(fd) => StreamEnd::File(duplicate(opening.permit, fd)?),
            StdoutKey::File { path, mode } => StreamEnd::File(open_output(opening, (name, path), *mode)?),
            StdoutKey::Closed => return Ok(None),
        };
        Ok(Some(Stream::new(name, source)))
    }

    fn new(name: &'static str, source: StreamEnd) -> Stream {
        let credentials = Credentials::of_grant(Grant::Stdio(name), name);
        Stream {
            credentials,
            source,
            waits: OnceLock::new(),
            nonblocking: AtomicBool::new(false),
            is_unread: AtomicBool::new(false),
            room: PipeRoom::default(),
            moving: Moving::default(),
        }
    }

    /// Its rights and origin.
    #[must_use]
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Whether it is a terminal.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.descriptor().is_some_and(sys::is_terminal)
    }

    /// Whether reading or writing can have to wait, as at a pipe or a terminal.
    #[must_use]
    pub fn may_wait(&self) -> bool {
        *self.waits.get_or_init(|| self.descriptor().is_some_and(|fd| !sys::is_regular(fd)))
    }

    /// Whether reads and writes fail instead of waiting.
    #[must_use]
    pub fn is_nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    /// The host's descriptor, if it has one.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self.source {
            StreamEnd::Inherited(fd) => Some(fd),
            StreamEnd::File(ref fd) => Some(fd.as_fd()),
            _ => None,
        }
    }

    /// Bytes left to read in memory.
    pub(super) fn bytes_left(&self) -> u64 {
        match &self.source {
            StreamEnd::Bytes(remaining) => {
                let remaining = remaining.lock().unwrap_or_else(PoisonError::into_inner);
                (remaining.bytes.len() - remaining.taken) as u64
            }
            _ => 0,
        }
    }
}

/// Opens or creates the file that a stream goes to, unless no guest may reach it; nothing is changed before that is known.
fn open_output(
    opening: &Opening<'_>,
    (name, path): (&'static str, &Path),
    mode: FileMode,
) -> Result<OwnedFd, KeyError> {
    let permit = opening.permit;
    let failed = |reason| unusable((name, path), reason);
    let file_name = path.file_name().ok_or_else(|| failed(std::io::ErrorKind::IsADirectory.into()))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directory = sys::open_granted(permit, parent).map_err(failed)?;
    let hides = |hidden: &Arc<Hidden>| hidden.surrounds(permit, directory.as_fd());
    if opening.opened.hidden.as_ref().map_or(Ok(false), hides).map_err(|error| failed(error.into()))? {
        return Err(KeyError::HiddenStream { name, path: path.to_owned() });
    }
    let file = sys::open_granted_output(permit, (directory.as_fd(), file_name), mode).map_err(failed)?;
    require_in_sight(opening, (name, path), file.as_fd())?;
    if mode == FileMode::Truncate && sys::is_regular(file.as_fd()) {
        sys::set_size(permit, file.as_fd(), 0).map_err(|error| failed(error.into()))?;
    }
    Ok(file)
}

/// Refuses an open file that no guest may reach, by whatever path it was opened.
fn require_in_sight(
    opening: &Opening<'_>,
    (name, path): (&'static str, &Path),
    file: BorrowedFd<'_>,
) -> Result<(), KeyError> {
    let hides = |hidden: &Arc<Hidden>| hidden.has_file(opening.permit, file);
    match opening.opened.hidden.as_ref().map_or(Ok(false), hides) {
        Ok(false) => Ok(()),
        Ok(true) => Err(KeyError::HiddenStream { name, path: path.to_owned() }),
        Err(error) => Err(unusable((name, path), error.into())),
    }
}

fn unusable((name, path): (&'static str, &Path), reason: std::io::Error) -> KeyError {
    KeyError::Stream { name, path: path.to_owned(), reason }
}

impl Host {
    /// Reads what there is, waiting for the first byte. Zero bytes at the end.
    ///
    /// # Errors
    /// [`Error::NotOpenForThis`] on an output, [`Error::Again`], [`Error::Interrupted`], [`Error::Io`].
    pub async fn read_stream(&self, stream: &Stream, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        let permit = self.decide_for_stream(Operation::Read, Rights::READ, stream)?;
        match &stream.source {
            StreamEnd::Bytes(remaining) => {
                Ok(remaining.lock().unwrap_or_else(PoisonError::into_inner).read(buffers))
            }
            StreamEnd::Source(source) => source.read(buffers).map_err(|error| of_embedder(&error)),
            StreamEnd::Discard | StreamEnd::Capture(_) | StreamEnd::Sink(_) => Err(Error::BadHandle),
            StreamEnd::Inherited(_) | StreamEnd::File(_) if stream.may_wait() => {
                match self.read_first(&permit, stream, buffers) {
                    Err(Error::Again) if !stream.is_nonblocking() => {
                        Box::pin(self.read_waiting(&permit, stream, buffers)).await
                    }
                    result => result,
                }
            }
            StreamEnd::Inherited(_) | StreamEnd::File(_) => {
                let fd = stream.descriptor().ok_or(Error::BadHandle)?;
                self.read_in_portions(buffers, |buffers, _| sys::read(&permit, fd, buffers))
            }
        }
    }

    /// [`Host::read_stream`] of what there is now.
    ///
    /// # Errors
    /// As there; [`Error::Again`] where there is nothing yet, whatever the stream's operations do otherwise.
    pub fn read_stream_now(&self, stream: &Stream, buffers: &mut [IoSliceMut<'_>]) -> Result<usize, Error> {
        if !stream.may_wait() {
            return hold_thread(self.read_stream(stream, buffers));
        }
        let permit = self.decide_for_stream(Operation::Read, Rights::READ, stream)?;
        self.read_first(&permit, stream, buffers)
    }

    /// Writes all, or part where it can go no further without waiting and must not.
    ///
    /// # Errors
    /// [`Error::NotOpenForThis`] on an input, [`Error::Pipe`], [`Error::NoSpace`] if a capture is full,
    /// [`Error::Again`], [`Error::Interrupted`], [`Error::Io`].
    pub async fn write_stream(&self, stream: &Stream, buffers: &[IoSlice<'_>]) -> Result<usize, Error> {
        let permit = self.decide_for_stream(Operation::Write, Rights::WRITE, stream)?;
        let mut allowed = self.take_allowance(buffers)?;
        let (buffers, unwritten) = allowed.parts();
        let result = match &stream.source {
            StreamEnd::Inherited(_) | StreamEnd::File(_) if stream.may_wait() => {
                let first = self.write_first(&permit, stream, (buffers, unwritten));
                let written = if let ControlFlow::Break(Ok(written)) = first { written } else { 0 };
                stream.room.take(written, total(buffers));
                match first {
                    ControlFlow::Break(result) => result,
                    ControlFlow::Continue(written) => {
                        let rest = (buffers, written, unwritten);
                        Box::pin(self.write_on(&permit, stream, rest)).await
                    }
                }
            }
            source => {
                let result = self.write_at_once(&permit, source, buffers);
                unwritten.settle(&result);
                result
            }
        };
        self.note_unread(stream, &result);
        result
    }

    /// [`Host::write_stream`] of as much as there is room for now, a portion at most.
    ///
    /// # Errors
    /// As there; [`Error::Again`] where there is no room, whatever the stream's operations do otherwise.
    pub fn write_stream_now(&self, stream: &Stream, bytes: &[u8]) -> Result<usize, Error> {
        let bytes = &[IoSlice::new(bytes.get(..PORTION_BYTES).unwrap_or(bytes))];
        if !stream.may_wait() {
            return hold_thread(self.write_stream(stream, bytes));
        }
        let permit = self.decide_for_stream(Operation::Write, Rights::WRITE, stream)?;
        let mut allowed = self.take_allowance(bytes)?;
        let (buffers, unwritten) = allowed.parts();
        let result = self.write_some(&permit, stream, buffers);
        unwritten.settle(&result);
        if let Ok(written) = result {
            stream.room.take(written, total(buffers));
        }
        self.note_unread(stream, &result);
        result
    }

    /// Writes where nothing has to be waited for.
    fn write_at_once(
        &self,
        permit: &Permit,
        source: &StreamEnd,
        buffers: &[IoSlice<'_>],
    ) -> Result<usize, Error> {
        match source {
            StreamEnd::Discard => Ok(total(buffers)),
            StreamEnd::Capture(capture) => capture_all(capture, buffers),
            StreamEnd::Sink(sink) => sink.write(buffers).map_err(|error| of_embedder(&error)),
            StreamEnd::Bytes(_) | StreamEnd::Source(_) => Err(Error::BadHandle),
            StreamEnd::Inherited(fd) => self.write_to_end(permit, *fd, buffers),
            StreamEnd::File(fd) => self.write_to_end(permit, fd.as_fd(), buffers),
        }
    }

    /// Writes to what is always ready.
    fn write_to_end(
        &self,
        permit: &Permit,
        fd: BorrowedFd<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Result<usize, Error> {
        self.write_in_portions(buffers, |buffers, _| sys::write(permit, fd, buffers))
    }

    /// Reads what there is, at most a portion; [`Error::Again`] where that is nothing.
    fn read_first(
        &self,
        permit: &Permit,
        stream: &Stream,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<usize, Error> {
        match self.first_portion(buffers)? {
            Some(portion) => self.read_some(permit, stream, &mut [portion]),
            None => self.read_some(permit, stream, buffers),
        }
    }

    fn read_some(
        &self,
        permit: &Permit,
        stream: &Stream,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<usize, Error> {
        let fd = stream.descriptor().ok_or(Error::BadHandle)?;
        let mut read = |fd: BorrowedFd<'_>, how| match how {
            How::ByCall => sys::read_now(permit, fd, buffers),
            How::ByMode | How::IfReady => sys::read(permit, fd, buffers),
        };
        self.at_once(permit, (fd, &stream.moving), Direction::Read, &mut read)
    }

    /// Reads as soon as there is something.
    async fn read_waiting(
        &self,
        permit: &Permit,
        stream: &Stream,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Result<usize, Error> {
        let read = || self.read_first(permit, stream, buffers);
        let waited = (stream.descriptor(), Direction::Read);
        self.when_ready(permit, waited, || stream.is_nonblocking(), read).await
    }

    /// Writes as much of little as there is room for; continues with how much that was where somebody has to wait for more.
    fn write_first(
        &self,
        permit: &Permit,
        stream: &Stream,
        (buffers, unwritten): (&[IoSlice<'_>], &mut Unwritten<'_>),
    ) -> ControlFlow<Result<usize, Error>, usize> {
        let wanted = total(buffers);
        if wanted > PORTION_BYTES {
            return ControlFlow::Continue(0);
        }
        let may_wait = !stream.is_nonblocking();
        let result = self.write_some(permit, stream, buffers);
        unwritten.settle(&result);
        match result {
            Err(Error::Again) if may_wait => ControlFlow::Continue(0),
            Ok(written) if written < wanted && may_wait => ControlFlow::Continue(written),
            result => ControlFlow::Break(result),
        }
    }

    /// [`Host::write_waiting`], portion by portion. Of one portion a part may have been written before.
    async fn write_on(
        &self,
        permit: &Permit,
        stream: &Stream,
        (buffers, written, unwritten): (&[IoSlice<'_>], usize, &mut Unwritten<'_>),
    ) -> Result<usize, Error> {
        let mut moved = Moved::default();
        for portion in portions(buffers) {
            let done = match self.heed_before(&portion) {
                Ok(()) => self.write_waiting(permit, stream, (&portion, written, unwritten)).await,
                Err(interrupted) => Err(interrupted),
            };
            if moved.add(total(&portion), done)?.is_break() {
                break;
            }
        }
        Ok(moved.bytes)
    }

    /// Writes all, as a guest expects it that wants to wait: many do not look whether it was all.
    async fn write_waiting(
        &self,
        permit: &Permit,
        stream: &Stream,
        (buffers, mut written, unwritten): (&[IoSlice<'_>], usize, &mut Unwritten<'_>),
    ) -> Result<usize, Error> {
        let wanted = total(buffers);
        if written == 0 {
            written = self.write_some_when_ready(permit, stream, (buffers, unwritten)).await?;
        }
        if written == wanted || stream.is_nonblocking() {
            return Ok(written);
        }
        let mut rest: Vec<IoSlice<'_>> = buffers.iter().map(|buffer| IoSlice::new(buffer)).collect();
        let mut rest = &mut rest[..];
        IoSlice::advance_slices(&mut rest, written);
        while written < wanted {
            match self.write_some_when_ready(permit, stream, (rest, unwritten)).await {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    written += count;
                    IoSlice::advance_slices(&mut rest, count);
                }
            }
        }
        Ok(written)
    }

    /// Writes what there is room for, as soon as there is room.
    async fn write_some_when_ready(
        &self,
        permit: &Permit,
        stream: &Stream,
        (buffers, unwritten): (&[IoSlice<'_>], &mut Unwritten<'_>),
    ) -> Result<usize, Error> {
        let write = || {
            let written = self.write_some(permit, stream, buffers);
            unwritten.settle(&written);
            written
        };
        let waited = (stream.descriptor(), Direction::Write);
        self.when_ready(permit, waited, || stream.is_nonblocking(), write).await
    }

    /// Writes what there is room for; [`Error::Again`] where that is nothing.
    fn write_some(&self, permit: &Permit, stream: &Stream, buffers: &[IoSlice<'_>]) -> Result<usize, Error> {
        let fd = stream.descriptor().ok_or(Error::BadHandle)?;
        let mut write = |fd: BorrowedFd<'_>, how| match how {
            How::ByCall => sys::write_now(permit, fd, buffers),
            How::ByMode => sys::write(permit, fd, buffers),
            How::IfReady => {
                let first = buffers.iter().find(|buffer| !buffer.is_empty());
                let first = first.map_or(&[][..], |buffer| &buffer[..buffer.len().min(READY_BYTES)]);
                sys::write(permit, fd, &[IoSlice::new(first)])
            }
        };
        self.at_once(permit, (fd, &stream.moving), Direction::Write, &mut write)
    }

    /// Changes whether the stream's operations wait, for this guest alone.
    ///
    /// # Errors
    /// None at present.
    pub fn set_stream_nonblocking(&self, stream: &Stream, nonblocking: Nonblocking) -> Result<(), Error> {
        self.decide_for_stream(Operation::SetFlags, Rights::NONE, stream)?;
        stream.nonblocking.store(nonblocking == Nonblocking::Yes, Ordering::Relaxed);
        Ok(())
    }

    /// The permit for an operation on a stream. A stream of the wrong direction is a bad handle, not a missing key.
    pub(super) fn decide_for_stream(
        &self,
        operation: Operation,
        needs: Rights,
        stream: &Stream,
    ) -> Result<Permit, Error> {
        if !stream.credentials.rights.contains(needs) {
            return Err(Error::NotOpenForThis);
        }
        self.gate.decide(&Request::handle(operation, needs, &stream.credentials))
    }

    /// Runs `call` without waiting; [`Error::Again`] where that is not possible.
    fn at_once<T>(
        &self,
        permit: &Permit,
        (fd, moving): (BorrowedFd<'_>, &Moving),
        direction: Direction,
        call: &mut impl FnMut(BorrowedFd<'_>, How) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if moving.reopened.get().is_none() {
            match call(fd, How::ByCall) {
                // The last is what some kernels say to a flag that they do not know.
                Err(Error::NotSupported | Error::Invalid) => {}
                result => return result,
            }
        }
        let reopen = || sys::reopen_nonblocking(permit, fd, direction).ok();
        if let Some(own) = moving.reopened.get_or_init(reopen) {
            return call(own.as_fd(), How::ByMode);
        }
        let _turn = moving.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = [sys::PollEntry { fd, direction, ready: false, hangup: false }];
        sys::poll(permit, &mut entries, Some(std::time::Duration::ZERO))?;
        if entries[0].ready { call(fd, How::IfReady) } else { Err(Error::Again) }
    }
}

/// A descriptor of the guest's own for what was opened already.
fn duplicate(permit: &Permit, fd: &OwnedFd) -> Result<OwnedFd, KeyError> {
    sys::duplicate(permit, fd.as_fd()).map_err(|error| KeyError::Setup(error.into()))
}

/// How bytes are moved without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Each call says that it must not wait.
    ByCall,
    /// The descriptor's mode says so.
    ByMode,
    /// Nothing says so, and it is known to be ready: for few bytes.
    IfReady,
}

/// Whether operations fail instead of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonblocking {
    /// They fail.
    Yes,
    /// They wait.
    No,
}

impl Remaining {
    fn read(&mut self, buffers: &mut [IoSliceMut<'_>]) -> usize {
        let before = self.taken;
        for buffer in buffers {
            let count = buffer.len().min(self.bytes.len() - self.taken);
            buffer[..count].copy_from_slice(&self.bytes[self.taken..self.taken + count]);
            self.taken += count;
        }
        self.taken - before
    }
}

/// What a guest is told of an error of a stream that is the embedder's own.
fn of_embedder(error: &std::io::Error) -> Error {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::BrokenPipe => Error::Pipe,
        ErrorKind::WouldBlock => Error::Again,
        ErrorKind::StorageFull | ErrorKind::WriteZero => Error::NoSpace,
        ErrorKind::PermissionDenied => Error::Access,
        ErrorKind::TimedOut => Error::TimedOut,
        ErrorKind::OutOfMemory => Error::NoMemory,
        ErrorKind::Deadlock => Error::Deadlock,
        _ => Error::Io,
    }
}

fn capture_all(capture: &Capture, buffers: &[IoSlice<'_>]) -> Result<usize, Error> {
    let wanted: usize = buffers.iter().map(|buffer| buffer.len()).sum();
    let taken: usize = buffers.iter().map(|buffer| capture.append(buffer)).sum();
    if taken == 0 && wanted > 0 { Err(Error::NoSpace) } else { Ok(taken) }
}
