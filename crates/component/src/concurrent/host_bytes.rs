//! Streams of bytes between guests and what the host has open: files, pipes, connections. The host says how bytes are moved, and that is done with the guest's own memory each time that a guest comes, for as long as
//! nothing has to be waited for: nobody is woken, and no value is made. Where it has to be, whoever holds the host's end waits beside the guests, and tries again.
//!
//! Where the host holds both ends, bytes go from one to the other in pieces of [`CARRIED_BYTES`].
//!
//! Must stay true: one turn moves [`TURN_BYTES`] at most, so that others come to theirs. Of what is being carried nothing is lost: who gives bytes is asked for more only when the last ones have gone.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use innkeeper_engine::{BudgetKind, Charge, Error, StoreContextMut};

use super::accessor::Accessor;
use super::copy::{Part, is_bytes};
use super::end::Shared;
use super::host_end::{
    Copied, Exchanged, HostCopy, HostEnd, Read, StreamReader, StreamWriter, Told, What, begin, meet_guest,
};
use super::{Key, Waitable};
use crate::abi::check_range;
use crate::resource::usage;
use crate::state::State;
use crate::trap::Trap;
use crate::typed::Running;
use crate::val::List;

/// Bytes that go over in one turn at most.
const TURN_BYTES: usize = 1 << 20;

/// Bytes on their way between two ends of the host's, at most.
const CARRIED_BYTES: usize = 64 << 10;

/// After so many turns between two ends of the host's, others have theirs.
const MOST_TURNS: usize = 16;

/// What has come of one turn of moving bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// So many have gone, of those that there was room for.
    Moved(usize),
    /// None can go until something has happened that the host waits for.
    Pause,
    /// There are no more, or no more are wanted.
    End,
}

/// Why bytes go no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// By [`Turn::End`].
    Ended,
    /// The other end was dropped.
    Dropped,
}

type FillTurn = dyn FnMut(&mut [u8]) -> Turn + Send;
type DrainTurn = dyn FnMut(&[u8]) -> Turn + Send;

/// How bytes are moved. Nobody else has it while it is called, for which the lock is only there to say so.
pub(super) enum Serve {
    /// Into a guest's memory.
    Fill(Mutex<Box<FillTurn>>),
    /// Out of it.
    Drain(Mutex<Box<DrainTurn>>),
}

impl Serve {
    /// Moves bytes from or to a part of a memory.
    fn turn(&mut self, bytes: &mut [u8]) -> Turn {
        let most = bytes.len();
        let turn = match self {
            Serve::Fill(fill) => fill.get_mut().unwrap_or_else(PoisonError::into_inner)(bytes),
            Serve::Drain(drain) => drain.get_mut().unwrap_or_else(PoisonError::into_inner)(bytes),
        };
        match turn {
            Turn::Moved(0) => Turn::Pause,
            Turn::Moved(count) => Turn::Moved(count.min(most)),
            other => other,
        }
    }
}

/// Bytes between two ends of the host's.
#[derive(Default)]
pub(super) struct Carried {
    bytes: Vec<u8>,
    /// How many of them have gone.
    gone: usize,
    charge: Option<Charge>,
}

impl StreamWriter {
    /// Has `fill` put bytes into the memory of whoever reads, each time that somebody does: a stream of bytes it must be. Where it says [`Turn::Pause`], it is tried again when `ready` is, or somebody reads anew. Ends when `fill`
    /// says so, or nobody reads any more.
    ///
    /// # Errors
    /// Where the stream's elements are no bytes; what `ready` gives.
    pub async fn fill<T: 'static>(
        &mut self,
        accessor: &Accessor<T>,
        fill: impl FnMut(&mut [u8]) -> Turn + Send + 'static,
        ready: impl FnMut() -> Running<()> + Send,
    ) -> Result<Stopped, Error> {
        serve(&self.0, accessor, Serve::Fill(Mutex::new(Box::new(fill))), ready).await
    }
}

impl StreamReader {
    /// Has `drain` take bytes out of the memory of whoever writes, each time that somebody does: as [`StreamWriter::fill`].
    ///
    /// # Errors
    /// As there.
    pub async fn drain<T: 'static>(
        &mut self,
        accessor: &Accessor<T>,
        drain: impl FnMut(&[u8]) -> Turn + Send + 'static,
        ready: impl FnMut() -> Running<()> + Send,
    ) -> Result<Stopped, Error> {
        serve(&self.0, accessor, Serve::Drain(Mutex::new(Box::new(drain))), ready).await
    }
}

async fn serve<T: 'static>(
    end: &HostEnd,
    accessor: &Accessor<T>,
    serve: Serve,
    mut ready: impl FnMut() -> Running<()> + Send,
) -> Result<Stopped, Error> {
    let told = Arc::new(Told::default());
    let end = end.end;
    let (key, copy) = (end.shared, HostCopy { what: What::Serve(serve), told: Arc::clone(&told) });
    accessor.with(move |mut store| begin(&mut store, end, copy)).await?;
    let stopped = |copied: Copied| if copied.is_dropped { Stopped::Dropped } else { Stopped::Ended };
    loop {
        if let Some(copied) = std::future::poll_fn(|context| told.poll(context)).await {
            return Ok(stopped(copied));
        }
        let mut ready = pin!(ready());
        let ended = std::future::poll_fn(|context| {
            // That it has paused again is no news.
            while let Poll::Ready(copied) = told.poll(context) {
                if let Some(copied) = copied {
                    return Poll::Ready(Ok(Some(copied)));
                }
            }
            ready.as_mut().poll(context).map_ok(|()| None)
        });
        if let Some(copied) = ended.await? {
            return Ok(stopped(copied));
        }
        accessor.with(move |mut store| try_again(&mut store, key)).await?;
    }
}

/// Goes on after a pause.
fn try_again<T: 'static>(store: &mut StoreContextMut<'_, T>, key: Key<Shared>) -> Result<(), Error> {
    let shared = store.attachment::<State>().concurrent.shared.get_mut(key);
    let Some(side) = shared.and_then(|shared| shared.host.as_mut()) else { return Ok(()) };
    let (copy, partner) = (side.take(), side.take_partner());
    match (copy, partner) {
        (Some(copy), Some(partner)) => splice(store, key, (copy, partner)),
        (Some(copy), None) => {
            let waits = meet_guest(store, key, copy)?;
            keep(store, key, (waits, None));
            Ok(())
        }
        (None, partner) => {
            keep(store, key, (partner, None));
            Ok(())
        }
    }
}

fn keep<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Shared>,
    (copy, partner): (Option<HostCopy>, Option<HostCopy>),
) {
    if let Some(shared) = store.attachment::<State>().concurrent.shared.get_mut(key) {
        let side = shared.host.get_or_insert_default();
        (side.copy, side.partner) = (copy, partner);
    }
}

/// Moves bytes with what is left of a guest's buffer.
pub(super) fn serve_guest<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (guest, part): (Key<Waitable>, &Part),
    (serve, told): (&mut Serve, &Told),
) -> Result<Exchanged, Error> {
    if !is_bytes(&part.side.shared.types, part.element) {
        return Err(usage("a stream whose elements are no bytes, where bytes are moved"));
    }
    let count = part.remain.min(TURN_BYTES);
    // Whoever reads or writes nothing is told that it can.
    let Some(memory) = part.side.memory.filter(|_| count > 0) else {
        return Ok(Exchanged::of_bytes((0, part.remain), false));
    };
    let bytes = memory.data_mut(&mut *store)?;
    let range = check_range(part.at, (count as u64, 1), bytes.len(), Trap::PointerOutOfBounds)?;
    let turn = serve.turn(bytes.get_mut(range).unwrap_or_default());
    let moved = match turn {
        Turn::Moved(moved) => moved,
        Turn::Pause => {
            told.pause();
            0
        }
        Turn::End => 0,
    };
    store.attachment::<State>().add_progress(guest, moved as u32);
    Ok(Exchanged::of_bytes((moved, part.remain), turn == Turn::End))
}

/// Both ends are the host's: moves bytes from one to the other, as far as it goes.
pub(super) fn splice<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    key: Key<Shared>,
    (one, other): (HostCopy, HostCopy),
) -> Result<(), Error> {
    let (mut from, mut to) = if one.is_source() { (one, other) } else { (other, one) };
    if !from.is_source() || to.is_source() {
        // Two at the same end, which nobody passes.
        keep(store, key, (Some(to), None));
        return Ok(());
    }
    let budget = store.budget().clone();
    let shared = store.attachment::<State>().concurrent.shared.get_mut(key);
    let Some(side) = shared.and_then(|shared| shared.host.as_mut()) else { return Ok(()) };
    let mut carried = std::mem::take(&mut side.carried);
    if carried.charge.is_none() {
        carried.charge = Some(budget.hold(BudgetKind::Buffer, CARRIED_BYTES as u64)?);
    }
    let (mut from_waits, mut to_waits, mut read) = (true, true, None);
    for turn in 0.. {
        if turn == MOST_TURNS {
            from.told.pause();
            break;
        }
        if carried.gone == carried.bytes.len() {
            match carried.take_from(&mut from.what) {
                Turn::Moved(_) => {}
                Turn::Pause => {
                    from.told.pause();
                    break;
                }
                Turn::End => {
                    from_waits = false;
                    break;
                }
            }
        }
        let given = match &mut to.what {
            What::Read(most) => {
                read = Some(carried.take(*most));
                Turn::End
            }
            What::Serve(serve) => serve.turn(carried.rest()),
            What::Write(..) => Turn::End,
        };
        match given {
            Turn::Moved(count) => carried.gone += count,
            Turn::Pause => {
                to.told.pause();
                break;
            }
            Turn::End => {
                to_waits = false;
                break;
            }
        }
    }
    side.carried = carried;
    let mut waits = Vec::new();
    for (copy, still_waits) in [(from, from_waits), (to, to_waits)] {
        match (still_waits, &copy.what) {
            (true, _) => waits.push(copy),
            (false, What::Serve(_)) => copy.stop(),
            (false, What::Read(_)) => copy.end(read.take().map(Read::of_host)),
            (false, What::Write(..)) => copy.end(None),
        }
    }
    let mut waits = waits.into_iter();
    keep(store, key, (waits.next(), waits.next()));
    Ok(())
}

impl Carried {
    /// Takes bytes on their way.
    fn take_from(&mut self, from: &mut What) -> Turn {
        self.gone = 0;
        self.bytes.clear();
        match from {
            What::Write(list, progress) => {
                let rest = (*progress..list.len()).take(CARRIED_BYTES);
                self.bytes.extend(rest.map_while(|index| match list.get(index) {
                    Some(crate::Val::U8(byte)) => Some(byte),
                    _ => None,
                }));
                *progress += self.bytes.len();
                if self.bytes.is_empty() { Turn::End } else { Turn::Moved(self.bytes.len()) }
            }
            What::Serve(serve) => {
                self.bytes.resize(CARRIED_BYTES, 0);
                let turn = serve.turn(&mut self.bytes);
                self.bytes.truncate(if let Turn::Moved(count) = turn { count } else { 0 });
                turn
            }
            What::Read(_) => Turn::End,
        }
    }

    /// What is on its way.
    fn rest(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.gone..).unwrap_or_default()
    }

    /// Takes so much of it at most.
    fn take(&mut self, most: usize) -> List {
        let rest = self.rest();
        let taken = rest.get(..most).unwrap_or(rest).to_vec();
        self.gone += taken.len();
        List::U8(taken)
    }
}
