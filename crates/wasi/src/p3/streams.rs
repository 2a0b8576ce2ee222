//! Streams of WASI 0.3 between guests and what the host has open: what goes on beside the guest for each, until it has ended, and its future is told how.
//!
//! What is always ready, as files are, is moved when the guest comes: nothing of the host's runs for it between the beginning and the end. For the rest, whoever moves it waits until the system says that it is ready.
//!
//! Must stay true: a stream that is under way is kept in the guest's table, where it counts as an open handle. Where the guest drops its end, waiting for the system ends too.

use std::sync::{Arc, Mutex, PoisonError};

use innkeeper_component::{
    Accessor, ComponentType, FutureOf, FutureWriter, List, Lower, Resource, Running, StreamOf, StreamWriter,
    Turn, Val, spawn,
};
use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

use super::interface::{Beside, waiting_host};
use crate::host::{self, Direction, Host, Interest, ShutdownHow, WaitRequest};
use crate::p2::Context;
use crate::p2::interface::FindContext;
use crate::p2::misuse::interrupted;
use crate::p2::poll::Waitable;
use crate::p2::streams::{InputSource, OutputSink};
use crate::p2::table::{Full, Held, Room};

/// An interface's error codes.
pub(super) trait Code:
    ComponentType + Lower + From<host::Error> + From<Full> + Send + 'static
{
    /// The code as a value of its type.
    fn val(self) -> Val;
}

/// How a stream has ended: what its future is of.
pub(super) type Ended<C> = Result<(), C>;

/// A stream that is under way.
#[derive(Debug)]
pub(super) struct UnderWay;

impl Held for UnderWay {
    const NAME: &'static str = "stream that is under way";
    // It keeps a file open, also when that is closed.
    const IS_OPEN_HANDLE: bool = true;
    // The host's ends, their records, and what runs beside the guest for them.
    const COST_BYTES: u64 = 2 << 10;
}

/// What a stream begins with.
pub(super) struct Start<S, C> {
    /// What it is of, or why there is none.
    pub(super) of: Result<(S, Resource<UnderWay>), C>,
    pub(super) host: Host,
}

impl<S, C: Code> Start<S, C> {
    /// Has a function look at its parameters, and keeps room for the stream.
    pub(super) fn prepare<T: 'static>(
        mut store: StoreContextMut<'_, T>,
        context: impl FindContext<T>,
        begin: impl FnOnce(&mut Context) -> Result<Result<S, C>, Error>,
    ) -> Result<Start<S, C>, Error> {
        let interrupts = store.interrupt_handle().clone();
        let context = context(store.data_mut());
        context.host.serve_store(&interrupts, host::WaitMode::HoldThread);
        let of = match begin(context)? {
            Ok(of) => match context.room::<Room<UnderWay>>() {
                Ok(room) => Ok((of, context.table.push(room, UnderWay))),
                Err(full) => Err(full.into()),
            },
            Err(code) => Err(code),
        };
        Ok(Start { of, host: waiting_host(context, &interrupts) })
    }
}

/// Gives a guest a stream from a source.
pub(super) fn read<T: Send + 'static, C: Code>(
    mut store: StoreContextMut<'_, T>,
    context: impl FindContext<T>,
    start: Start<InputSource, C>,
) -> Result<(StreamOf<u8>, FutureOf<Ended<C>>), Error> {
    let (mut writer, stream) = StreamWriter::new(store.as_context_mut())?;
    let (told, future) = FutureWriter::new(store.as_context_mut())?;
    let beside = Beside::new(Accessor::of(store.as_context_mut()), context);
    let Start { of, host } = start;
    spawn(store, async move {
        let (source, kept) = match of {
            Ok(of) => of,
            Err(code) => {
                drop(writer);
                return tell(&beside, told, Err(code)).await;
            }
        };
        let (mut source, failed, ending) = (source, Failed::default(), host.clone());
        let connection = match &source {
            InputSource::Connection(connection) => Some(Arc::clone(connection)),
            _ => None,
        };
        let on = source.waits_for();
        let ready = ready((host.clone(), on.clone()), Direction::Read);
        let fill = {
            let failed = failed.clone();
            move |bytes: &mut [u8]| failed.turn(source.read_now(&host, bytes), on.is_some())
        };
        let filled = writer.fill(beside.accessor(), fill, ready).await;
        drop(writer);
        if let Some(connection) = connection {
            connection.end(&ending, ShutdownHow::Receive);
        }
        finish(&beside, kept).await?;
        filled?;
        tell(&beside, told, failed.outcome()?.map_err(C::from)).await
    })?;
    Ok((stream.into(), future.into()))
}

/// Gives a guest a stream of values, of which `some` gives the next ones.
pub(super) fn list<T: Send + 'static, E: ComponentType + 'static, C: Code, S: Send + 'static>(
    mut store: StoreContextMut<'_, T>,
    context: impl FindContext<T>,
    (start, some): (
        Start<S, C>,
        impl Fn(&mut S, &Host) -> Result<Vec<Val>, host::Error> + Send + Sync + 'static,
    ),
) -> Result<(StreamOf<E>, FutureOf<Ended<C>>), Error> {
    let (mut writer, stream) = StreamWriter::new(store.as_context_mut())?;
    let (told, future) = FutureWriter::new(store.as_context_mut())?;
    let beside = Beside::new(Accessor::of(store.as_context_mut()), context);
    let Start { of, host } = start;
    spawn(store, async move {
        let (mut source, kept) = match of {
            Ok(of) => of,
            Err(code) => {
                drop(writer);
                return tell(&beside, told, Err(code)).await;
            }
        };
        let ended = loop {
            let values = match some(&mut source, &host) {
                Ok(values) if values.is_empty() => break Ok(()),
                Ok(values) => values,
                Err(host::Error::Interrupted) => return Err(interrupted()),
                Err(error) => break Err(C::from(error)),
            };
            let count = values.len();
            if writer.write(beside.accessor(), List::Vals(values)).await? < count {
                break Ok(());
            }
        };
        drop((writer, source));
        finish(&beside, kept).await?;
        tell(&beside, told, ended).await
    })?;
    Ok((stream.into(), future.into()))
}

/// Takes a guest's stream to a sink.
pub(super) fn write<T: Send + 'static, C: Code>(
    mut store: StoreContextMut<'_, T>,
    context: impl FindContext<T>,
    (data, start): (Option<StreamOf<u8>>, Start<OutputSink, C>),
) -> Result<FutureOf<Ended<C>>, Error> {
    let reader = data.map(|data| data.into_any().into_reader(store.as_context_mut())).transpose()?;
    let (told, future) = FutureWriter::new(store.as_context_mut())?;
    let beside = Beside::new(Accessor::of(store.as_context_mut()), context);
    let Start { of, host } = start;
    spawn(store, async move {
        let ((mut sink, kept), mut reader) = match (of, reader) {
            (Ok(of), Some(reader)) => (of, reader),
            (Err(code), reader) => {
                drop(reader);
                return tell(&beside, told, Err(code)).await;
            }
            (Ok((_, kept)), None) => return finish(&beside, kept).await,
        };
        let (failed, on, ending) = (Failed::default(), sink.waits_for(), host.clone());
        let connection = match &sink {
            OutputSink::Connection(connection) => Some(Arc::clone(connection)),
            _ => None,
        };
        let ready = ready((host.clone(), on.clone()), Direction::Write);
        let drain = {
            let failed = failed.clone();
            move |bytes: &[u8]| failed.turn(sink.write_now(&host, bytes), on.is_some())
        };
        let drained = reader.drain(beside.accessor(), drain, ready).await;
        drop(reader);
        if let Some(connection) = connection {
            connection.end(&ending, ShutdownHow::Send);
        }
        finish(&beside, kept).await?;
        drained?;
        tell(&beside, told, failed.outcome()?.map_err(C::from)).await
    })?;
    Ok(future.into())
}

/// Takes a stream out of the table.
pub(super) async fn finish<T: 'static, F: FindContext<T>>(
    beside: &Beside<T, F>,
    kept: Resource<UnderWay>,
) -> Result<(), Error> {
    beside.with(move |cx| cx.table.delete(&kept)).await?;
    Ok(())
}

/// Tells a stream's future how it has ended; nobody needs to be there to hear it.
async fn tell<T: 'static, C: Code, F: FindContext<T>>(
    beside: &Beside<T, F>,
    told: FutureWriter,
    ended: Ended<C>,
) -> Result<(), Error> {
    let ended = match ended {
        Ok(()) => Ok(None),
        Err(code) => Err(Some(Box::new(code.val()))),
    };
    told.write(beside.accessor(), Val::Result(ended)).await?;
    Ok(())
}

/// What makes futures that wait until something can be moved.
fn ready(
    (host, on): (Host, Option<Waitable>),
    direction: Direction,
) -> impl FnMut() -> Running<()> + Send + 'static {
    move || {
        let (host, on) = (host.clone(), on.clone());
        Box::pin(async move {
            let Some(on) = on else { return Ok(()) };
            let interest = Interest { on: on.as_host(), direction };
            let waited = host.wait(&WaitRequest { interests: &[interest], timeout: None }).await;
            match waited {
                Ok(_) => Ok(()),
                Err(host::Error::Interrupted) => Err(interrupted()),
                // What cannot be waited for says so itself when it is tried again.
                Err(_) => Ok(()),
            }
        })
    }
}

/// Why moving bytes has ended, if that was an error.
#[derive(Clone, Default)]
struct Failed(Arc<Mutex<Option<host::Error>>>);

impl Failed {
    /// What has come of one turn.
    fn turn(&self, moved: Result<usize, host::Error>, can_wait: bool) -> Turn {
        match moved {
            Ok(0) => Turn::End,
            Ok(count) => Turn::Moved(count),
            Err(host::Error::Again) if can_wait => Turn::Pause,
            Err(error) => {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Turn::End
            }
        }
    }

    /// How all of it has ended.
    ///
    /// # Errors
    /// Where the guest is to stop.
    fn outcome(&self) -> Result<Result<(), host::Error>, Error> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(Ok(())),
            Some(host::Error::Interrupted) => Err(interrupted()),
            Some(error) => Ok(Err(error)),
        }
    }
}
