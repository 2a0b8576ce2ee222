//! Bodies as guests read them: a stream of bytes, and a future of the trailers that come behind it.
//!
//! Must stay true: nothing is received that the guest does not read, but for a little that it has dropped.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use innkeeper_component::{
    Accessor, FutureAny, FutureOf, FutureReader, FutureWriter, Resource, ResourceAny, ResourceType, Running,
    Stopped, StreamAny, StreamOf, StreamWriter, Turn, Val, spawn,
};
use innkeeper_engine::{AsContextMut as _, Error, StoreContextMut};
use innkeeper_wasi::p2::{Event as _, FindContext, Source as _};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::Body;
use crate::types::fields::Fields;
use crate::types::{ErrorCode, FieldMap, HttpLimits, Received};

/// How a message was sent, or dealt with.
pub(super) type Outcome = Result<(), ErrorCode>;

/// What comes behind a body.
pub(super) type Trailers = Result<Option<Resource<Fields>>, ErrorCode>;

/// The body of a message.
#[derive(Debug)]
pub(super) enum MessageBody {
    Made(Made),
    Received(Receiving),
}

/// What a guest has made, which nobody reads yet.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) contents: Option<StreamAny>,
    pub(super) trailers: FutureAny,
    /// Is told how it was sent.
    pub(super) sent: oneshot::Sender<Outcome>,
    /// As many bytes are held on their way.
    pub(super) most_bytes: usize,
}

/// What comes over a connection, of which nothing was read yet.
#[derive(Debug)]
pub(super) struct Receiving {
    /// Nobody else has it, for which the lock is only there to say so.
    body: Mutex<Body>,
    between_bytes: Option<(Duration, Handle)>,
}

impl MessageBody {
    pub(super) fn received(body: Body, between_bytes: Option<(Duration, Handle)>) -> MessageBody {
        MessageBody::Received(Receiving { body: Mutex::new(body), between_bytes })
    }
}

impl Receiving {
    /// The body, to pass it on.
    pub(super) fn into_body(self) -> Body {
        self.body.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `consume-body`: gives a guest what it can read, and looks for what it says of it.
pub(super) fn consume<T: Send + 'static, F: FindContext<T>>(
    mut store: StoreContextMut<'_, T>,
    context: F,
    (body, res): (MessageBody, FutureOf<Outcome>),
    limits: &HttpLimits,
) -> Result<(StreamOf<u8>, FutureOf<Trailers>), Error> {
    let accessor = Accessor::of(store.as_context_mut());
    let res = res.into_any().into_reader(store.as_context_mut())?;
    match body {
        MessageBody::Made(Made { contents, trailers, sent, .. }) => {
            let contents = match contents {
                Some(contents) => contents,
                // Whose writer is dropped: it is at its end.
                None => StreamWriter::new(store.as_context_mut())?.1,
            };
            spawn(store, async move {
                // Where somebody else has taken it, nobody waits for this.
                let _ = sent.send(outcome_of(&res.read(&accessor).await?));
                Ok(())
            })?;
            Ok((contents.into(), trailers.into()))
        }
        MessageBody::Received(receiving) => {
            let (writer, stream) = StreamWriter::new(store.as_context_mut())?;
            let (told, trailers) = FutureWriter::new(store.as_context_mut())?;
            let Receiving { body, between_bytes } = receiving;
            let body = body.into_inner().unwrap_or_else(PoisonError::into_inner);
            let budget = context(store.data_mut()).host().budget();
            let received = Arc::new(Received::new(body, between_bytes, budget));
            let most_thrown_away = limits.body_buffer_bytes;
            spawn(store, async move {
                let arrived = receive(&accessor, (&received, writer), res, most_thrown_away).await?;
                // It ends before the guest hears of it.
                drop(received);
                tell(&accessor, context, told, arrived).await
            })?;
            Ok((stream.into(), trailers.into()))
        }
    }
}

/// Moves a body to whoever reads it; gives what came behind it.
async fn receive<T: 'static>(
    accessor: &Accessor<T>,
    (received, mut writer): (&Arc<Received>, StreamWriter),
    res: FutureReader,
    most_thrown_away: usize,
) -> Result<Result<Option<FieldMap>, ErrorCode>, Error> {
    let fill = {
        let received = Arc::clone(received);
        move |bytes: &mut [u8]| match received.poll_read(&mut now(), bytes) {
            Poll::Ready(Ok(count)) => Turn::Moved(count),
            // Why, the trailers tell.
            Poll::Ready(Err(_)) => Turn::End,
            Poll::Pending => Turn::Pause,
        }
    };
    let ready = {
        let received = Arc::clone(received);
        move || -> Running<()> {
            let received = Arc::clone(&received);
            Box::pin(async move {
                poll_fn(|task| received.poll_ready(task)).await;
                Ok(())
            })
        }
    };
    let stopped = {
        let mut filled = pin!(writer.fill(accessor, fill, ready));
        let mut refused = pin!(refused(accessor, res));
        poll_fn(|task| match filled.as_mut().poll(task) {
            Poll::Ready(stopped) => Poll::Ready(stopped.map(Ok)),
            Poll::Pending => refused.as_mut().poll(task).map(|refused| refused.map(Err)),
        })
        .await?
    };
    drop(writer);
    match stopped {
        Err(code) => Ok(Err(code)),
        Ok(Stopped::Ended) => Ok(poll_fn(|task| received.poll_trailers(task)).await),
        Ok(Stopped::Dropped) => {
            let rest = poll_fn(|task| received.poll_rest(task, most_thrown_away)).await;
            Ok(rest.unwrap_or(Err(ErrorCode::ConnectionTerminated)))
        }
    }
}

/// Waits until the guest says that it cannot deal with what it reads: for ever, where it never does.
async fn refused<T: 'static>(accessor: &Accessor<T>, res: FutureReader) -> Result<ErrorCode, Error> {
    match outcome_of(&res.read(accessor).await?) {
        Err(code) => Ok(code),
        Ok(()) => std::future::pending().await,
    }
}

/// What a guest has said in a future; as good as nothing where it will never say it.
pub(super) fn outcome_of(said: &Option<Val>) -> Outcome {
    match said {
        Some(Val::Result(Err(code))) => Err(ErrorCode::of_val(code.as_deref())),
        _ => Ok(()),
    }
}

/// Tells a guest what came behind a body.
async fn tell<T: 'static>(
    accessor: &Accessor<T>,
    context: impl FindContext<T>,
    told: FutureWriter,
    arrived: Result<Option<FieldMap>, ErrorCode>,
) -> Result<(), Error> {
    let map = match arrived {
        Ok(Some(map)) => map,
        Ok(None) => {
            let nothing = Val::Result(Ok(Some(Box::new(Val::Option(None)))));
            told.write(accessor, nothing).await?;
            return Ok(());
        }
        Err(code) => {
            told.write(accessor, Val::Result(Err(Some(Box::new(code.to_val()))))).await?;
            return Ok(());
        }
    };
    let kept = accessor.with(move |mut store| {
        let cx = context(store.data_mut());
        let rep = cx.push(Fields::received(map))?.rep();
        ResourceAny::new(store, &ResourceType::of::<Fields>(), rep)
    });
    let fields = kept.await?;
    let given = Val::Option(Some(Box::new(Val::Resource(fields))));
    if !told.write(accessor, Val::Result(Ok(Some(Box::new(given))))).await? {
        // Nobody has them.
        accessor.with(move |store| fields.drop(store)).await?;
    }
    Ok(())
}

/// For who looks whether something can be done now: that of who waits for it is registered elsewhere.
pub(super) fn now() -> task::Context<'static> {
    task::Context::from_waker(Waker::noop())
}
