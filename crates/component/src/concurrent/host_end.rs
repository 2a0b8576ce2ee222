//! Ends of streams and futures that the host holds: it reads what guests write, and writes what they read, beside them.
//!
//! What a guest asks for goes from its memory to what the host has at hand and back, without a buffer in between: whoever comes first waits. How much one read takes, the host says, and not the guest.
//!
//! Must stay true: what was read is charged until whoever reads has it (what it then keeps, it charges for itself). A copy that nobody waits for any more has moved nothing since then. An end that is dropped is told to the other one by the next who lets the store's threads run.
//!
//! Not here: bytes that go between a guest's memory and what the host has open, without a value in between (`host_bytes`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use innkeeper_engine::{AsContextMut, Charge, Error, StoreContextMut};

use super::accessor::Accessor;
use super::copy::{Part, part_of_end};
use super::end::{EndKind, FlightId, FutureAny, InFlight, Shared, StreamAny};
use super::host_bytes::{Carried, Serve, serve_guest, splice};
use super::host_tasks::Woken;
use super::waitable::Event;
use super::{CopyResult, Key, Waitable};
use crate::abi::{Boundary, InStore, Lends, Lower, StringShapes};
use crate::call::with_lift;
use crate::resource::usage;
use crate::state::State;
use crate::val::{List, Val};

/// Elements that the host reads at once of a stream that carries nothing.
const MOST_OF_NOTHING: usize = 1 << 12;

/// What the host is about at its end of a stream or future.
#[derive(Default)]
pub(crate) struct HostSide {
    pub(super) copy: Option<HostCopy>,
    /// What the host is about at the other end, where it holds both and bytes go from one to the other.
    pub(super) partner: Option<HostCopy>,
    /// Bytes on their way between the two.
    pub(super) carried: Carried,
    /// Who is to be told that the other end is gone.
    watch: Option<Arc<Told>>,
}

/// A copy that waits for a guest.
pub(super) struct HostCopy {
    pub(super) what: What,
    pub(super) told: Arc<Told>,
}

pub(super) enum What {
    /// Elements, of which so many have gone over.
    Write(List, usize),
    /// At most so many are wanted.
    Read(usize),
    /// Bytes, as they come, until there are no more.
    Serve(Serve),
}

/// What has come of it, and who waits for that.
#[derive(Default)]
pub(super) struct Told(Mutex<Telling>);

#[derive(Default)]
struct Telling {
    copied: Option<Copied>,
    /// Whether it can go on only when something else has happened.
    is_paused: bool,
    waker: Option<Waker>,
}

/// How a copy of the host's has ended.
pub(super) struct Copied {
    pub(super) count: usize,
    pub(super) list: Option<Read>,
    /// Whether the other end was dropped.
    pub(super) is_dropped: bool,
}

/// Elements that were read, with what is charged for them where they are a guest's: who reads may be long in coming.
pub(super) struct Read {
    list: List,
    _charge: Option<Charge>,
}

impl Read {
    /// What goes from one end of the host's to the other is the host's own.
    pub(super) fn of_host(list: List) -> Read {
        Read { list, _charge: None }
    }
}

impl Told {
    fn tell(&self, copied: Copied) {
        let mut told = self.lock();
        told.copied = Some(copied);
        Told::wake(told);
    }

    /// Says that nothing goes over until something has happened.
    pub(super) fn pause(&self) {
        let mut told = self.lock();
        told.is_paused = true;
        Told::wake(told);
    }

    /// Also whoever was woken before and has not looked since: what is told now may have to be looked at before its turn comes.
    fn wake(told: MutexGuard<'_, Telling>) {
        let waker = told.waker.clone();
        drop(told);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// How the copy has ended, or that it has paused.
    pub(super) fn poll(&self, context: &Context<'_>) -> Poll<Option<Copied>> {
        let mut told = self.lock();
        if let Some(copied) = told.copied.take() {
            return Poll::Ready(Some(copied));
        }
        if std::mem::take(&mut told.is_paused) {
            return Poll::Ready(None);
        }
        told.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// How the copy ends.
    async fn wait(&self) -> Copied {
        std::future::poll_fn(|context| {
            loop {
                match self.poll(context) {
                    Poll::Ready(Some(copied)) => return Poll::Ready(copied),
                    Poll::Ready(None) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    fn lock(&self) -> MutexGuard<'_, Telling> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HostCopy {
    /// Whether both read, or both write.
    fn is_of_the_same_end(&self, other: &HostCopy) -> bool {
        self.is_source() == other.is_source()
    }

    /// Whether it is of the writable end.
    pub(super) fn is_source(&self) -> bool {
        matches!(self.what, What::Write(..) | What::Serve(Serve::Fill(_)))
    }

    /// Whether somebody still waits for it.
    fn is_wanted(&self) -> bool {
        Arc::strong_count(&self.told) > 1
    }

    /// Says that it has ended, if only because the other end is gone.
    pub(super) fn end(self, read: Option<Read>) {
        let count = match self.what {
            What::Write(_, progress) => progress,
            What::Read(_) => read.as_ref().map_or(0, |read| read.list.len()),
            What::Serve(_) => 0,
        };
        self.told.tell(Copied { count, list: read, is_dropped: true });
    }

    /// Says that the host itself has ended it.
    pub(super) fn stop(self) {
        self.told.tell(Copied { count: 0, list: None, is_dropped: false });
    }
}

impl HostSide {
    pub(super) fn take(&mut self) -> Option<HostCopy> {
        self.copy.take().filter(HostCopy::is_wanted)
    }

    pub(super) fn take_partner(&mut self) -> Option<HostCopy> {
        self.partner.take().filter(HostCopy::is_wanted)
    }

    /// The other end is gone.
    pub(super) fn end(&mut self) {
        for copy in [self.copy.take(), self.partner.take()].into_iter().flatten() {
            copy.end(None);
        }
        if let Some(watch) = self.watch.take() {
            watch.tell(Copied { count: 0, list: None, is_dropped: true });
        }
    }
}

/// An end that the host holds.
pub(super) struct HostEnd {
    /// Which it is, of which store.
    pub(super) end: FlightId,
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
        pub struct $reader(pub(super) HostEnd);

        $(#[$writer_doc])*
        pub struct $writer(pub(super) HostEnd);

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
                let end = FlightId { store: state.id, shared, flight: 0 };
                let given = InFlight::new(end, &woken);
                Ok(($writer(HostEnd { end, woken }), $any(given)))
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
                state.land(&self.0)?;
                let woken = Arc::clone(state.concurrent.host.woken());
                Ok($reader(HostEnd { end: self.0.id(), woken }))
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
        Ok(self.0.copy(accessor, What::Read(most.max(1))).await?.list.map(|read| read.list))
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

impl StreamWriter {
    /// Waits until nobody reads any more: for who would otherwise wait for something else before writing. The future has no part of the writer.
    ///
    /// # Errors
    /// Where the end is of another store.
    pub fn closed<T: 'static>(
        &self,
        accessor: &Accessor<T>,
    ) -> impl Future<Output = Result<(), Error>> + Send + 'static {
        let (end, accessor, told) = (self.0.end, accessor.clone(), Arc::new(Told::default()));
        async move {
            let watch = Arc::clone(&told);
            accessor.with(move |mut store| begin_watch(&mut store, end, watch)).await?;
            told.wait().await;
            Ok(())
        }
    }
}

/// Notes who is to be told that the other end is gone, or tells it at once.
fn begin_watch<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    FlightId { store: id, shared: key, .. }: FlightId,
    watch: Arc<Told>,
) -> Result<(), Error> {
    let state = store.attachment::<State>();
    if state.id != id {
        return Err(usage("an end of a stream or future of another store than the accessor is of"));
    }
    match state.concurrent.shared.get_mut(key).filter(|shared| !shared.is_dropped) {
        Some(shared) => shared.host.get_or_insert_default().watch = Some(watch),
        None => watch.tell(Copied { count: 0, list: None, is_dropped: true }),
    }
    Ok(())
}

impl FutureReader {
    /// Reads the value, once there is one; none where it will never come.
    ///
    /// # Errors
    /// Where what a guest has written is no value of the type; where the end is of another store.
    pub async fn read<T: 'static>(self, accessor: &Accessor<T>) -> Result<Option<Val>, Error> {
        Ok(self.0.copy(accessor, What::Read(1)).await?.list.and_then(|read| read.list.get(0)))
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
pub(super) fn begin<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    FlightId { store: id, shared: key, .. }: FlightId,
    copy: HostCopy,
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
    if let Some(other) = other.and_then(|side| side.take().or_else(|| side.take_partner())) {
        let is_second = copy.is_of_the_same_end(&other);
        let serves = matches!(copy.what, What::Serve(_)) || matches!(other.what, What::Serve(_));
        if serves && !is_second {
            return splice(store, key, (copy, other));
        }
        let waits = if is_second { Some(other) } else { between(copy, other) };
        if let (Some(waits), Some(shared)) = (waits, state.concurrent.shared.get_mut(key)) {
            shared.host.get_or_insert_default().copy = Some(waits);
        }
        return match is_second {
            true => Err(usage("a copy at an end of a stream or future where one is under way")),
            false => Ok(()),
        };
    }
    let waits = meet_guest(store, key, copy)?;
    if let Some(shared) = store.attachment::<State>().concurrent.shared.get_mut(key) {
        shared.host.get_or_insert_default().copy = waits;
    }
    Ok(())
}

/// Meets a guest that waits, if there is one; gives the copy, where it still waits.
pub(super) fn meet_guest<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Shared>,
    mut copy: HostCopy,
) -> Result<Option<HostCopy>, Error> {
    let shared = store.attachment::<State>().concurrent.shared.get(key);
    let Some(guest) = shared.and_then(|shared| shared.pending) else { return Ok(Some(copy)) };
    let exchanged = exchange(store, guest, &mut copy)?;
    if exchanged.has_moved {
        let state = store.attachment::<State>();
        let is_stream = state.end(guest).is_some_and(|end| end.kind == EndKind::Stream);
        let takes_back = is_stream && !exchanged.is_full;
        if !takes_back && let Some(shared) = state.concurrent.shared.get_mut(key) {
            shared.pending = None;
        }
        state.set_event(guest, Event::Copy { result: CopyResult::Completed, takes_back });
    }
    Ok(copy.unless_done(exchanged))
}

/// Both ends are the host's: elements go over without a guest. Gives what still waits.
fn between(a: HostCopy, b: HostCopy) -> Option<HostCopy> {
    let (mut writes, reads) = match (&a.what, &b.what) {
        (What::Write(..), What::Read(_)) => (a, b),
        (What::Read(_), What::Write(..)) => (b, a),
        // Two at the same end, of which the first one stays.
        _ => return Some(b),
    };
    let (What::Write(list, progress), What::Read(most)) = (&mut writes.what, &reads.what) else {
        return None;
    };
    let count = (list.len() - *progress).min(*most);
    let read = part(list, *progress, count);
    *progress += count;
    let is_done = *progress == list.len();
    reads.end(Some(Read::of_host(read)));
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
    let exchanged = exchange(store, guest, &mut copy)?;
    let (state, has_moved) = (store.attachment::<State>(), exchanged.has_moved);
    if has_moved {
        state.set_event(guest, Event::Copy { result: CopyResult::Completed, takes_back: false });
    }
    if let (Some(copy), Some(shared)) = (copy.unless_done(exchanged), state.concurrent.shared.get_mut(key)) {
        shared.host.get_or_insert_default().copy = Some(copy);
    }
    Ok(has_moved)
}

/// What has come of a host's copy and a guest's that have met.
pub(super) struct Exchanged {
    read: Option<Read>,
    /// Whether the guest's buffer is used up.
    is_full: bool,
    /// Whether there is something to tell the guest; else it waits on.
    has_moved: bool,
    /// Whether the host has no more, or wants no more.
    is_over: bool,
}

impl Exchanged {
    pub(super) fn of_bytes((count, remain): (usize, usize), is_over: bool) -> Exchanged {
        Exchanged { read: None, is_full: count == remain, has_moved: count > 0 || remain == 0, is_over }
    }
}

impl HostCopy {
    /// The copy, where it still waits; else whoever waits for it is told how it has ended.
    fn unless_done(self, exchanged: Exchanged) -> Option<HostCopy> {
        let is_done = match &self.what {
            What::Write(list, progress) => *progress == list.len(),
            What::Read(_) => exchanged.read.is_some(),
            What::Serve(_) => {
                if exchanged.is_over {
                    self.stop();
                    return None;
                }
                false
            }
        };
        if is_done {
            self.end(exchanged.read);
            return None;
        }
        Some(self)
    }
}

/// Copies as much as there is and room for.
fn exchange<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    guest: Key<Waitable>,
    copy: &mut HostCopy,
) -> Result<Exchanged, Error> {
    let Some(buffer) = part_of_end(store, guest)? else {
        return Ok(Exchanged { read: None, is_full: true, has_moved: true, is_over: false });
    };
    if let What::Serve(serve) = &mut copy.what {
        return serve_guest(store, (guest, &buffer), (serve, &copy.told));
    }
    let Part { side, element, at, remain } = buffer;
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
            let mut count = remain.min(*most);
            // How many there are of what takes no memory of theirs, guests say; each is a value of the host's.
            if element.is_none() {
                count = count.min(MOST_OF_NOTHING);
            }
            let read = match (element, count) {
                (_, 0) => None,
                (None, _) => Some(Read::of_host(List::Vals(vec![Val::Tuple(Vec::new()); count]))),
                (Some(element), count) => {
                    let (mut lends, mut strings) = (Lends::default(), StringShapes::new());
                    let to = (&mut lends, &mut strings);
                    let (list, charge) = with_lift(store, (&*side, Boundary::Host), to, |lift| {
                        lift.list(at, count as u32, element)
                    })?;
                    Some(Read { list, _charge: charge })
                }
            };
            (count, read)
        }
        What::Serve(_) => (0, None),
    };
    store.attachment::<State>().add_progress(guest, count as u32);
    Ok(Exchanged { read, is_full: count == remain, has_moved: true, is_over: false })
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
