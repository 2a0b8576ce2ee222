//! Ends of streams and futures that the host holds: it reads what guests write, and writes what they read, beside them.
//!
//! What a guest asks for goes from its memory to what the host has at hand and back, without a buffer in between: whoever comes first waits. How much one read takes, the host says, and not the guest.
//!
//! Must stay true: a copy that nobody waits for any more has moved nothing since then. An end that is dropped is told to the other one by the next who lets the store's threads run.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

use super::copy::{Part, part_of_end};
use super::end::{EndKind, FutureAny, InFlight, Shared, StreamAny};
use super::host::{Accessor, Woken};
use super::waitable::Event;
use super::{CopyResult, Key, Waitable};
use crate::abi::{Boundary, InStore, Lends, Lower, StringShapes};
use crate::call::with_lift;
use crate::resource::usage;
use crate::state::State;
use crate::val::{List, Val};

/// What the host is about at its end of a stream or future.
#[derive(Default)]
pub(crate) struct HostSide {
    copy: Option<HostCopy>,
}

/// A copy that waits for a guest.
pub(super) struct HostCopy {
    what: What,
    told: Arc<Told>,
}

enum What {
    /// Elements, of which so many have gone over.
    Write(List, usize),
    /// At most so many are wanted.
    Read(usize),
}

/// What has come of it, and who waits for that.
#[derive(Default)]
struct Told(Mutex<(Option<Copied>, Option<Waker>)>);

/// How a copy of the host's has ended.
struct Copied {
    count: usize,
    list: Option<List>,
}

impl Told {
    fn tell(&self, copied: Copied) {
        let waker = {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            told.0 = Some(copied);
            told.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self) -> Copied {
        std::future::poll_fn(|context| {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match told.0.take() {
                Some(copied) => Poll::Ready(copied),
                None => {
                    told.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl HostCopy {
    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.told) > 1
    }

    /// Says that it has ended, if only because the other end is gone.
    pub(super) fn end(self, read: Option<List>) {
        let count = match self.what {
            What::Write(_, progress) => progress,
            What::Read(_) => read.as_ref().map_or(0, List::len),
        };
        self.told.tell(Copied { count, list: read });
    }
}

impl HostSide {
    pub(super) fn take(&mut self) -> Option<HostCopy> {
        self.copy.take().filter(HostCopy::is_wanted)
    }
}

/// An end that the host holds.
struct HostEnd {
    /// Which it is, of which store.
    end: InFlight,
    woken: Arc<Woken>,
}

impl Drop for HostEnd {
    fn drop(&mut self) {
        self.woken.drop_end(self.end.shared);
    }
}

impl HostEnd {
    async fn copy<T: 'static>(&self, accessor: &Accessor<T>, what: What) -> Result<Copied, Error> {
        let told = Arc::new(Told::default());
        let (end, copy) = (self.end, HostCopy { what, told: Arc::clone(&told) });
        accessor.with(move |mut store| begin(&mut store, end, copy)).await?;
        Ok(told.wait().await)
    }
}

macro_rules! ends {
    ($any:ident, $(#[$reader_doc:meta])* $reader:ident, $(#[$writer_doc:meta])* $writer:ident) => {
        $(#[$reader_doc])*
        pub struct $reader(HostEnd);

        $(#[$writer_doc])*
        pub struct $writer(HostEnd);

        impl std::fmt::Debug for $reader {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($reader)).field(&self.0.end.shared).finish()
            }
        }

        impl std::fmt::Debug for $writer {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($writer)).field(&self.0.end.shared).finish()
            }
        }

        impl $writer {
            /// A new one, with the readable end, to be given to a guest.
            ///
            /// # Errors
            /// Where the store's budget has no more.
            pub fn new(mut store: impl AsContextMut) -> Result<($writer, $any), Error> {
                let mut store = store.as_context_mut();
                let budget = store.budget().clone();
                let state = store.attachment::<State>();
                let shared = state.concurrent.shared.add(Shared::of_host(), &budget)?;
                let woken = Arc::clone(state.concurrent.host.woken());
                let end = InFlight { store: state.id, shared, flight: 0 };
                Ok(($writer(HostEnd { end, woken }), $any(end)))
            }
        }

        impl $any {
            /// Has the host read it, instead of a guest.
            ///
            /// # Errors
            /// Where it was given away, or is of another store.
            pub fn into_reader(self, mut store: impl AsContextMut) -> Result<$reader, Error> {
                let mut store = store.as_context_mut();
                let state = store.attachment::<State>();
                state.land(self.0)?;
                let woken = Arc::clone(state.concurrent.host.woken());
                Ok($reader(HostEnd { end: self.0, woken }))
            }
        }
    };
}

ends! {
    StreamAny,
    /// The readable end of a stream, held by the host. Dropped, it tells whoever writes that nobody reads any more.
    StreamReader,
    /// The writable end of a stream, held by the host. Dropped, it tells whoever reads that nothing comes any more.
    StreamWriter
}

ends! {
    FutureAny,
    /// The readable end of a future, held by the host.
    FutureReader,
    /// The writable end of a future, held by the host. Who drops it before it has written leaves its reader without a value for ever.
    FutureWriter
}

impl StreamReader {
    /// Reads at least one element and at most `most`; nothing where nobody writes any more.
    ///
    /// # Errors
    /// Where what a guest has written is no value of the type; where the end is of another store.
    pub async fn read<T: 'static>(
        &mut self,
        accessor: &Accessor<T>,
        most: usize,
    ) -> Result<Option<List>, Error> {
        Ok(self.0.copy(accessor, What::Read(most.max(1))).await?.list)
    }
}

impl StreamWriter {
    /// Writes all elements; tells how many have gone over, which are fewer where nobody reads any more.
    ///
    /// # Errors
    /// Where they are not of the type, or a guest that reads fails to make room; where the end is of another store.
    pub async fn write<T: 'static>(
        &mut self,
        accessor: &Accessor<T>,
        list: impl Into<List>,
    ) -> Result<usize, Error> {
        let list = list.into();
        if list.is_empty() {
            return Ok(0);
        }
        Ok(self.0.copy(accessor, What::Write(list, 0)).await?.count)
    }
}

impl FutureReader {
    /// Reads the value, once there is one; none where it will never come.
    ///
    /// # Errors
    /// Where what a guest has written is no value of the type; where the end is of another store.
    pub async fn read<T: 'static>(self, accessor: &Accessor<T>) -> Result<Option<Val>, Error> {
        Ok(self.0.copy(accessor, What::Read(1)).await?.list.and_then(|list| list.get(0)))
    }
}

impl FutureWriter {
    /// Writes the value; false where nobody reads it any more.
    ///
    /// # Errors
    /// Where it is not of the type, or a guest that reads fails to make room; where the end is of another store.
    pub async fn write<T: 'static>(self, accessor: &Accessor<T>, val: Val) -> Result<bool, Error> {
        Ok(self.0.copy(accessor, What::Write(List::Vals(vec![val]), 0)).await?.count == 1)
    }
}

/// The host comes with a copy: it meets a guest that waits, or waits itself.
fn begin<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    InFlight { store: id, shared: key, .. }: InFlight,
    mut copy: HostCopy,
) -> Result<(), Error> {
    let state = store.attachment::<State>();
    // Keys of one store are found in others too, and are of something else there.
    if state.id != id {
        return Err(usage("an end of a stream or future of another store than the accessor is of"));
    }
    let Some(shared) = state.concurrent.shared.get(key) else {
        copy.end(None);
        return Ok(());
    };
    if shared.is_dropped || !copy.is_wanted() {
        copy.end(None);
        return Ok(());
    }
    let other = state.concurrent.shared.get_mut(key).and_then(|shared| shared.host.as_mut());
    if let Some(other) = other.and_then(HostSide::take) {
        if let Some(waits) = between(copy, other)
            && let Some(shared) = state.concurrent.shared.get_mut(key)
        {
            shared.host.get_or_insert_default().copy = Some(waits);
        }
        return Ok(());
    }
    if let Some(guest) = state.concurrent.shared.get(key).and_then(|shared| shared.pending) {
        let (read, is_full) = exchange(store, guest, &mut copy)?;
        let state = store.attachment::<State>();
        let is_stream = state.end(guest).is_some_and(|end| end.kind == EndKind::Stream);
        let takes_back = is_stream && !is_full;
        if !takes_back && let Some(shared) = state.concurrent.shared.get_mut(key) {
            shared.pending = None;
        }
        state.set_event(guest, Event::Copy { result: CopyResult::Completed, takes_back });
        if copy.is_done(&read) {
            copy.end(read);
            return Ok(());
        }
    }
    if let Some(shared) = store.attachment::<State>().concurrent.shared.get_mut(key) {
        shared.host.get_or_insert_default().copy = Some(copy);
    }
    Ok(())
}

/// Both ends are the host's: elements go over without a guest. Gives what still waits.
fn between(a: HostCopy, b: HostCopy) -> Option<HostCopy> {
    let (mut writes, reads) = match (&a.what, &b.what) {
        (What::Write(..), What::Read(_)) => (a, b),
        (What::Read(_), What::Write(..)) => (b, a),
        // Of two at the same end one is not waited for any more.
        _ => return Some(a),
    };
    let (What::Write(list, progress), What::Read(most)) = (&mut writes.what, &reads.what) else {
        return None;
    };
    let count = (list.len() - *progress).min(*most);
    let read = part(list, *progress, count);
    *progress += count;
    let is_done = *progress == list.len();
    reads.end(Some(read));
    if is_done {
        writes.end(None);
        return None;
    }
    Some(writes)
}

/// A guest comes with a copy, and the host has the other end: it meets what waits there; false where that is nothing.
pub(super) fn meet<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    guest: Key<Waitable>,
    key: Key<Shared>,
) -> Result<bool, Error> {
    let shared = store.attachment::<State>().concurrent.shared.get_mut(key);
    let copy = shared.and_then(|shared| shared.host.as_mut()).and_then(HostSide::take);
    let Some(mut copy) = copy else { return Ok(false) };
    let (read, _) = exchange(store, guest, &mut copy)?;
    let state = store.attachment::<State>();
    state.set_event(guest, Event::Copy { result: CopyResult::Completed, takes_back: false });
    if copy.is_done(&read) {
        copy.end(read);
    } else if let Some(shared) = state.concurrent.shared.get_mut(key) {
        shared.host.get_or_insert_default().copy = Some(copy);
    }
    Ok(true)
}

impl HostCopy {
    fn is_done(&self, read: &Option<List>) -> bool {
        match &self.what {
            What::Write(list, progress) => *progress == list.len(),
            What::Read(_) => read.is_some(),
        }
    }
}

/// Copies as much as there is and room for; gives what was read, and whether the guest's buffer is used up.
fn exchange<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    guest: Key<Waitable>,
    copy: &mut HostCopy,
) -> Result<(Option<List>, bool), Error> {
    let Some(Part { side, element, at, remain }) = part_of_end(store, guest)? else {
        return Ok((None, true));
    };
    let (count, read) = match &mut copy.what {
        What::Write(list, progress) => {
            let count = remain.min(list.len() - *progress);
            if let (Some(element), 1..) = (element, count) {
                let part = part(list, *progress, count);
                fits_elements(&side, element, &part)?;
                let (mut lends, mut strings) = (Lends::default(), StringShapes::new());
                let mut room = InStore { store, side: &side };
                let mut lower =
                    Lower::new(&side, Boundary::Host, (&mut room, None), (&mut lends, &mut strings));
                lower.list_at(&part, element, at)?;
            }
            *progress += count;
            (count, None)
        }
        What::Read(most) => {
            let count = remain.min(*most);
            let read = match (element, count) {
                (_, 0) => None,
                (None, count) => Some(List::Vals(vec![Val::Tuple(Vec::new()); count])),
                (Some(element), count) => {
                    let (mut lends, mut strings) = (Lends::default(), StringShapes::new());
                    let to = (&mut lends, &mut strings);
                    let (list, _charge) = with_lift(store, (&*side, Boundary::Host), to, |lift| {
                        lift.list(at, count as u32, element)
                    })?;
                    Some(list)
                }
            };
            (count, read)
        }
    };
    store.attachment::<State>().add_progress(guest, count as u32);
    Ok((read, count == remain))
}

/// Whether elements of the host's are of the type.
fn fits_elements(
    side: &crate::abi::Side,
    element: crate::types::TypeIndex,
    list: &List,
) -> Result<(), Error> {
    list.iter().try_for_each(|val| {
        crate::check::fits(&side.shared.types, element, &val, &mut |_, _, _| Ok(()))
            .map_err(|reason| usage(&format!("what is written to a stream or future does not fit: {reason}")))
    })
}

/// Some of a list's elements.
fn part(list: &List, from: usize, count: usize) -> List {
    match list {
        List::U8(bytes) => List::U8(bytes.get(from..from + count).unwrap_or_default().to_vec()),
        List::Vals(vals) => List::Vals(vals.get(from..from + count).unwrap_or_default().to_vec()),
        other => List::Vals((from..from + count).filter_map(|index| other.get(index)).collect()),
    }
}
