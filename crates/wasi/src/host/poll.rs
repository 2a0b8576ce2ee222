//! Waiting: the one operation through which a guest's calls block.
//!
//! A wait ends when something is ready, when the time is over, when the store that it is for is to stop, or when the host's [`Interrupt`] is raised. Whoever reads,
//! writes or accepts tries first and waits here if there is nothing to do.
//!
//! There are two ways to wait ([`WaitMode`]), and who waits knows nothing of them: all that can wait is an `async fn`. Where the thread is held, such a function
//! is never pending and is called through [`hold_thread`]; else it is a future, and `suspend.rs` has what it waits for.
//!
//! What is called often tries without any future first, and has a box for the rare one: a future is as large as all that it may ever wait for, and is moved about.

#[cfg(feature = "component")]
use std::future::poll_fn;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::clock::Clock;
use super::error::Error;
use super::file::{File, FileNode};
use super::gate::{Operation, Permit, Request};
use super::lookup::Lookup;
use super::metadata::FileKind;
use super::socket::Socket;
use super::stdio::Stream;
use super::stop::{StoreStop, Watched};
use super::{Host, sys};

/// What is waited for on a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// That reading does not block.
    Read,
    /// That writing does not block.
    Write,
}

/// A handle that can be waited for.
#[derive(Clone, Copy, Debug)]
pub enum Pollable<'a> {
    /// A file; regular ones are always ready.
    File(&'a File),
    /// A standard stream.
    Stream(&'a Stream),
    /// A socket.
    Socket(&'a Socket),
    /// A name that is being looked up.
    Lookup(&'a Lookup),
}

/// One thing to wait for.
#[derive(Clone, Copy, Debug)]
pub struct Interest<'a> {
    /// The handle.
    pub on: Pollable<'a>,
    /// What for.
    pub direction: Direction,
}

/// What came of an [`Interest`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// It would not block now.
    pub ready: bool,
    /// The other end is gone.
    pub hangup: bool,
    /// Bytes known to be there for reading; at least this many.
    pub readable_bytes: u64,
}

/// What to wait for.
#[derive(Clone, Copy, Debug)]
pub struct WaitRequest<'a> {
    /// The handles.
    pub interests: &'a [Interest<'a>],
    /// How long; nothing means for ever.
    pub timeout: Option<Duration>,
}

/// As often one call finds nothing in a row where something was said to be ready: others have taken it, or a device says so and does not mean it. Then it is tried
/// again only now and then.
const MOST_IN_VAIN: u32 = 8;
const PAUSE_IN_VAIN: Duration = Duration::from_millis(4);

/// What waits: the thread that has called, or nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitMode {
    /// The thread is held until the wait is over.
    #[default]
    HoldThread,
    /// What waits is a future that any executor can poll, and no thread is held.
    #[cfg(any(feature = "async", feature = "component"))]
    Suspend,
}

/// Runs what may wait to its end, and holds the thread for it.
#[inline]
pub fn hold_thread<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => park_until_ready(future),
    }
}

/// What a host does that was last asked in a way that suspends.
#[cold]
fn park_until_ready<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// Wakes a thread.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A way to end a guest's waits from another thread. Clones are the same interrupt.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<Signal>);

#[derive(Debug)]
struct Signal {
    /// What waits look at.
    fd: OwnedFd,
    /// What calls look at that do not wait and may take long.
    is_raised: AtomicBool,
}

impl Interrupt {
    /// A new interrupt, not raised.
    ///
    /// # Errors
    /// No free descriptor.
    pub fn new() -> Result<Interrupt, Error> {
        Ok(Interrupt(Arc::new(Signal { fd: sys::open_signal()?, is_raised: AtomicBool::new(false) })))
    }

    /// Ends the wait in progress and every later one, with [`Error::Interrupted`], and calls that move very many bytes.
    pub fn raise(&self) {
        self.0.is_raised.store(true, Ordering::Release);
        sys::raise_signal(&self.0.fd);
    }

    /// Lets waits be waits again.
    pub fn clear(&self) {
        self.0.is_raised.store(false, Ordering::Release);
        sys::clear_signal(&self.0.fd);
    }

    pub(super) fn is_raised(&self) -> bool {
        self.0.is_raised.load(Ordering::Acquire)
    }

    /// What is ready for reading while the interrupt is raised.
    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl Host {
    /// Makes `interrupt` end this guest's waits.
    ///
    /// The first one counts; setting another does nothing.
    pub fn set_interrupt(&self, interrupt: Interrupt) {
        let _ = self.interrupt.set(interrupt);
    }

    /// Waits for any of the interests, or the time; returns one readiness for each interest, in order.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the host's interrupt is raised, or the store is to stop.
    pub async fn wait(&self, request: &WaitRequest<'_>) -> Result<Vec<Readiness>, Error> {
        let permit = self.gate.decide(&Request::ambient(Operation::Poll))?;
        let mut answers = vec![Readiness::default(); request.interests.len()];
        let mut entries = Vec::new();
        let mut indices = Vec::new();
        for (index, interest) in request.interests.iter().enumerate() {
            match descriptor_of(interest.on) {
                Some(fd) => {
                    entries.push(sys::PollEntry {
                        fd,
                        direction: interest.direction,
                        ready: false,
                        hangup: false,
                    });
                    indices.push(index);
                }
                None => answers[index].ready = true,
            }
        }
        let timeout =
            if answers.iter().any(|answer| answer.ready) { Some(Duration::ZERO) } else { request.timeout };
        let real = if self.time.is_virtual() { timeout.map(|_| Duration::ZERO) } else { timeout };
        self.wait_on(&permit, &mut entries, real).await?;
        if let Some(timeout) = timeout.filter(|_| !entries.iter().any(|entry| entry.ready)) {
            self.time.wait(timeout);
        }
        for (entry, index) in entries.iter().zip(indices) {
            answers[index].ready = entry.ready;
            answers[index].hangup = entry.hangup;
        }
        for (answer, interest) in answers.iter_mut().zip(request.interests) {
            if answer.ready && interest.direction == Direction::Read {
                answer.readable_bytes = readable_bytes(&permit, interest.on);
            }
        }
        Ok(answers)
    }

    /// Runs `call`, which does not wait, until it can do something: waits for the descriptor to be ready whenever it could not, unless the guest does not want to
    /// wait. The one place where host calls wait for data.
    #[inline]
    pub(super) async fn when_ready<T>(
        &self,
        permit: &Permit,
        (fd, direction): (Option<BorrowedFd<'_>>, Direction),
        is_nonblocking: impl Fn() -> bool,
        mut call: impl FnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut in_vain = 0_u32;
        loop {
            match (call(), fd) {
                (Err(Error::Again), Some(fd)) if !is_nonblocking() => {
                    if in_vain >= MOST_IN_VAIN {
                        self.pause(permit, PAUSE_IN_VAIN).await?;
                    }
                    in_vain += 1;
                    let mut entries = [sys::PollEntry { fd, direction, ready: false, hangup: false }];
                    self.wait_on(permit, &mut entries, None).await?;
                }
                (result, _) => return result,
            }
        }
    }

    /// Waits until a descriptor is ready or has been left by the other end, which it says, or `time` has passed.
    pub(super) async fn wait_for_descriptor_until(
        &self,
        permit: &Permit,
        (fd, direction): (BorrowedFd<'_>, Direction),
        time: Duration,
    ) -> Result<bool, Error> {
        let mut entries = [sys::PollEntry { fd, direction, ready: false, hangup: false }];
        self.wait_on(permit, &mut entries, Some(time)).await?;
        Ok(entries.iter().any(|entry| entry.ready || entry.hangup))
    }

    /// Lets time pass, unless the guest's waits are to end.
    pub(super) async fn pause(&self, permit: &Permit, time: Duration) -> Result<(), Error> {
        self.wait_on(permit, &mut [], Some(time)).await
    }

    /// The same guest's host, for a wait that holds no thread whatever the call does: who has it polls it beside something else.
    pub(crate) fn suspending(&self) -> Host {
        #[allow(unused_mut, reason = "there is one way to wait without the feature")]
        let mut host = self.clone();
        #[cfg(feature = "async")]
        {
            host.waits = WaitMode::Suspend;
        }
        host
    }

    /// Waits until `ready` says so, which is polled whenever it has something woken that it was given. Where the call holds its thread, that is parked meanwhile.
    ///
    /// # Errors
    /// [`Error::Interrupted`] if the host's interrupt is raised, or the store is to stop; [`Error::NotSupported`] without the feature `async`, where it is not ready at once.
    #[cfg(feature = "component")]
    pub(crate) async fn until<R>(
        &self,
        mut ready: impl FnMut(&mut Context<'_>) -> Poll<R> + Send,
    ) -> Result<R, Error> {
        if let Poll::Ready(result) = poll_fn(|task| Poll::Ready(ready(task))).await {
            return Ok(result);
        }
        #[cfg(not(feature = "async"))]
        return Err(Error::NotSupported);
        #[cfg(feature = "async")]
        match self.waits {
            // Who polls the call looks after its store.
            WaitMode::Suspend => Ok(poll_fn(ready).await),
            WaitMode::HoldThread => Box::pin(self.until_on_thread(ready)).await,
        }
    }

    #[cfg(all(feature = "async", feature = "component"))]
    async fn until_on_thread<R>(
        &self,
        mut ready: impl FnMut(&mut Context<'_>) -> Poll<R> + Send,
    ) -> Result<R, Error> {
        let permit = self.gate.decide(&Request::ambient(Operation::Poll))?;
        let suspending = self.suspending();
        let mut interrupted = pin!(suspending.suspend_on(&permit, &mut [], None));
        let mut woken_on_stop = None;
        poll_fn(|task| {
            if let Some(store) = &self.store {
                woken_on_stop = Some(store.wake(task.waker()));
                if store.is_asked() {
                    return Poll::Ready(Err(Error::Interrupted));
                }
            }
            match ready(task) {
                Poll::Ready(result) => Poll::Ready(Ok(result)),
                Poll::Pending => match interrupted.as_mut().poll(task) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                },
            }
        })
        .await
    }

    /// Waits for one of the entries, or the time, in the way that the host has been told.
    async fn wait_on(
        &self,
        permit: &Permit,
        entries: &mut [sys::PollEntry<'_>],
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        match self.waits {
            WaitMode::HoldThread => self.wait_on_thread(permit, entries, timeout),
            #[cfg(any(feature = "async", feature = "component"))]
            WaitMode::Suspend => Box::pin(self.suspend_on(permit, entries, timeout)).await,
        }
    }

    fn wait_on_thread(
        &self,
        permit: &Permit,
        entries: &mut [sys::PollEntry<'_>],
        timeout: Option<Duration>,
    ) -> Result<(), Error> {
        // Whoever does not wait needs no waking.
        let store = self.store.as_ref().filter(|_| timeout != Some(Duration::ZERO));
        let store = store.map(StoreStop::watch).transpose()?;
        let interrupt = self.interrupt.get();
        let bells = [interrupt.map(Interrupt::descriptor), store.as_ref().map(Watched::descriptor)];
        let bell = |fd| sys::PollEntry { fd, direction: Direction::Read, ready: false, hangup: false };
        let mut polled: Vec<_> =
            entries.iter().copied().chain(bells.into_iter().flatten().map(bell)).collect();
        let deadline = timeout.map(|timeout| sys::now(permit, Clock::Monotonic).saturating_add(timeout));
        loop {
            let left = deadline.map(|deadline| deadline.saturating_sub(sys::now(permit, Clock::Monotonic)));
            match sys::poll(permit, &mut polled, left) {
                // A signal for the host process: go on for the rest of the time.
                Err(Error::Interrupted) => continue,
                result => result?,
            }
            let (watched, bells) = polled.split_at(entries.len());
            let mut rang = bells.iter().map(|bell| bell.ready);
            if interrupt.is_some() && rang.next() == Some(true) {
                return Err(Error::Interrupted);
            }
            if let Some(store) = &store
                && rang.next() == Some(true)
            {
                store.rang()?;
                if !watched.iter().any(|entry| entry.ready) {
                    // It was in vain.
                    continue;
                }
            }
            for (entry, watched) in entries.iter_mut().zip(watched) {
                (entry.ready, entry.hangup) = (watched.ready, watched.hangup);
            }
            return Ok(());
        }
    }
}

/// The descriptor to wait on; nothing for what is always ready.
fn descriptor_of(on: Pollable<'_>) -> Option<BorrowedFd<'_>> {
    match on {
        Pollable::File(file) if file.kind() == FileKind::Regular => None,
        Pollable::File(file) => file.descriptor(),
        Pollable::Stream(stream) => stream.descriptor(),
        Pollable::Socket(socket) => Some(socket.as_fd()),
        Pollable::Lookup(lookup) => lookup.descriptor(),
    }
}

/// Bytes there for reading. Where the system cannot tell, one: being ready for reading means at least that, or the end.
fn readable_bytes(permit: &Permit, on: Pollable<'_>) -> u64 {
    match on {
        Pollable::File(file) => match (&file.node, file.kind()) {
            (FileNode::Tree(tree), _) => tree.bytes_left(),
            (FileNode::Native(fd), FileKind::Regular) => {
                let size = sys::stat(permit, fd.as_fd()).map_or(0, |metadata| metadata.size_bytes);
                let position = sys::seek(permit, fd.as_fd(), super::Whence::Current(0)).unwrap_or(0);
                size.saturating_sub(position)
            }
            (FileNode::Native(fd), _) => sys::readable_bytes(permit, fd.as_fd()).unwrap_or(1),
        },
        Pollable::Stream(stream) => match stream.descriptor() {
            Some(fd) => sys::readable_bytes(permit, fd).unwrap_or(1),
            None => stream.bytes_left(),
        },
        Pollable::Socket(socket) => sys::readable_bytes(permit, socket.as_fd()).unwrap_or(1),
        Pollable::Lookup(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::keys::Keys;

    /// What says that it is ready, and is not, is asked now and then, not all the time.
    #[test]
    fn what_is_ready_in_vain_is_not_tried_without_pause() {
        const TIME: Duration = Duration::from_millis(60);
        let (host, _handles) = Host::open(&Keys::default()).unwrap();
        let permit = Permit::of_the_keys_owner();
        let (_reader, writer) = std::io::pipe().unwrap();
        let waited = (Some(writer.as_fd()), Direction::Write);
        let (begin, mut calls) = (Instant::now(), 0);
        let call = || {
            calls += 1;
            if begin.elapsed() < TIME { Err(Error::Again) } else { Ok(()) }
        };
        let done = hold_thread(host.when_ready(&permit, waited, || false, call));
        assert_eq!(done, Ok(()));
        assert!(calls < 40, "{calls} calls in {TIME:?}");
    }
}
