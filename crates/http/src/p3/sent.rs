//! Bodies as guests make them, on their way to a connection.
//!
//! Must stay true: no more of a body is held than its buffer has room for, which is charged for; a body is at its end only where the guest has ended its stream and said that the trailers are all.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use http::HeaderMap;
use http_body_util::BodyExt as _;
use innkeeper_component::{
    Accessor, FutureOf, FutureReader, FutureWriter, Resource, ResourceType, Running, Stopped, StreamOf,
    StreamReader, Turn, Val, spawn,
};
use innkeeper_engine::{AsContextMut as _, BudgetKind, Error, StoreContextMut};
use innkeeper_wasi::host::Host;
use innkeeper_wasi::p2::{Event as _, FindContext, Sink as _};
use tokio::sync::oneshot;

use super::body::{Made, MessageBody, Outcome, Trailers, now};
use crate::types::fields::Fields;
use crate::types::{
    Content, ErrorCode, FieldMap, HttpLimits, Message, Passed, Pipe, outcome_to_val, over_the_allowance,
    promised,
};

/// The body of a message that a guest makes, and a future that tells it how that was sent.
pub(super) fn made<T: Send + 'static>(
    mut store: StoreContextMut<'_, T>,
    (contents, trailers): (Option<StreamOf<u8>>, FutureOf<Trailers>),
    limits: &HttpLimits,
) -> Result<(MessageBody, FutureOf<Outcome>), Error> {
    let (told, future) = FutureWriter::new(store.as_context_mut())?;
    let (sent, outcome) = oneshot::channel();
    let accessor = Accessor::of(store.as_context_mut());
    spawn(store, async move {
        let outcome = outcome.await.unwrap_or_else(|_| {
            let reason = "the message was dropped before it was sent";
            Err(ErrorCode::InternalError(Some(String::from(reason))))
        });
        told.write(&accessor, outcome_to_val(outcome)).await?;
        Ok(())
    })?;
    let (contents, trailers) = (contents.map(StreamOf::into_any), trailers.into_any());
    let most_bytes = limits.body_buffer_bytes;
    Ok((MessageBody::Made(Made { contents, trailers, sent, most_bytes }), future.into()))
}

/// A body that is being sent.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) content: Content,
    /// Is to be told how it was sent, where that is not known to whoever moves the body.
    pub(super) sent: Option<oneshot::Sender<Outcome>>,
    /// Tells that the guest has written all, or failed to.
    pub(super) written: Option<oneshot::Receiver<()>>,
}

impl MessageBody {
    /// Says that it is not sent at all.
    pub(super) fn refuse(self, code: &ErrorCode) {
        if let MessageBody::Made(made) = self {
            let _ = made.sent.send(Err(code.clone()));
        }
    }

    /// Begins to send it, behind a head with these fields. What has no contents begins when its trailers are known.
    ///
    /// # Errors
    /// Those that end the guest; to be told, why it cannot be sent.
    pub(super) async fn leave<T: Send + 'static>(
        self,
        (accessor, context): (&Accessor<T>, impl FindContext<T>),
        (of, headers): (Message, &HeaderMap),
    ) -> Result<Result<Leaving, ErrorCode>, Error> {
        let Made { contents, trailers, sent, most_bytes } = match self {
            MessageBody::Made(made) => made,
            MessageBody::Received(receiving) => {
                let host = accessor.with(move |mut store| context(store.data_mut()).host().clone()).await;
                let passed = Passed::new(receiving.into_body(), &host).boxed_unsync();
                let content = Content::Passed(passed);
                return Ok(Ok(Leaving { content, sent: None, written: None }));
            }
        };
        let Ok(promised) = promised(headers) else {
            let _ = sent.send(Err(ErrorCode::HttpProtocolError));
            return Ok(Err(ErrorCode::HttpProtocolError));
        };
        let begin = accessor.with(move |mut store| -> Result<_, Error> {
            let trailers = trailers.into_reader(store.as_context_mut())?;
            let host = context(store.data_mut()).host().clone();
            let charge = host.budget().hold(BudgetKind::Buffer, most_bytes as u64)?;
            let contents = contents.map(|contents| contents.into_reader(store)).transpose()?;
            Ok((trailers, contents, charge, host))
        });
        let (trailers, contents, charge, host) = begin.await?;
        let Some(contents) = contents else {
            let content = match arrived(accessor, context, trailers).await? {
                Ok(None) => Content::Nothing,
                Ok(Some(trailers)) => {
                    let pipe = Pipe::new(of, None, (most_bytes, charge));
                    // Nothing was promised that could be missing.
                    let _ = pipe.finish(Some(trailers));
                    Content::Pipe(Arc::new(pipe))
                }
                Err(code) => {
                    let _ = sent.send(Err(code.clone()));
                    return Ok(Err(code));
                }
            };
            return Ok(Ok(Leaving { content, sent: Some(sent), written: None }));
        };
        let pipe = Arc::new(Pipe::new(of, promised, (most_bytes, charge)));
        let (tell_written, written) = oneshot::channel();
        let moved = Moved { pipe: Arc::clone(&pipe), host, sent, written: tell_written };
        let beside = accessor.clone();
        let spawned = accessor.with(move |store| {
            spawn(store, async move { moved.all(&beside, context, (contents, trailers)).await })
        });
        spawned.await?;
        Ok(Ok(Leaving { content: Content::Pipe(pipe), sent: None, written: Some(written) }))
    }
}

/// What moves a body from a guest to where it is sent from.
struct Moved {
    pipe: Arc<Pipe>,
    /// What goes over counts as written.
    host: Host,
    sent: oneshot::Sender<Outcome>,
    written: oneshot::Sender<()>,
}

impl Moved {
    async fn all<T: 'static>(
        self,
        accessor: &Accessor<T>,
        context: impl FindContext<T>,
        (mut contents, trailers): (StreamReader, FutureReader),
    ) -> Result<(), Error> {
        let Moved { pipe, host, sent, written } = self;
        let drain = {
            let pipe = Arc::clone(&pipe);
            move |bytes: &[u8]| {
                let write = |bytes: &[u8]| pipe.poll_write(&mut now(), bytes);
                match host.poll_within_allowance(bytes, write) {
                    Poll::Ready(Ok(Ok(count))) => Turn::Moved(count),
                    Poll::Ready(Ok(Err(_))) => Turn::End,
                    Poll::Ready(Err(error)) => {
                        pipe.fail(over_the_allowance(&error));
                        Turn::End
                    }
                    Poll::Pending => Turn::Pause,
                }
            }
        };
        let ready = {
            let pipe = Arc::clone(&pipe);
            move || -> Running<()> {
                let pipe = Arc::clone(&pipe);
                Box::pin(async move {
                    poll_fn(|task| pipe.poll_ready(task)).await;
                    Ok(())
                })
            }
        };
        let stopped = contents.drain(accessor, drain, ready).await?;
        drop(contents);
        if stopped == Stopped::Dropped {
            match arrived(accessor, context, trailers).await? {
                // Whoever reads is told where there is less than was promised.
                Ok(trailers) => drop(pipe.finish(trailers)),
                Err(code) => pipe.fail(code),
            }
        }
        // Nobody waits for it where the message was a request.
        let _ = written.send(());
        let outcome = match stopped {
            Stopped::Dropped => poll_fn(|task| pipe.poll_taken(task)).await,
            Stopped::Ended => Err(pipe.failure().unwrap_or(ErrorCode::ConnectionTerminated)),
        };
        let _ = sent.send(outcome);
        Ok(())
    }
}

/// The trailers that a guest gives, once it does.
async fn arrived<T: 'static>(
    accessor: &Accessor<T>,
    context: impl FindContext<T>,
    trailers: FutureReader,
) -> Result<Result<Option<FieldMap>, ErrorCode>, Error> {
    let trailers = match trailers.read(accessor).await? {
        Some(Val::Result(Ok(Some(trailers)))) => *trailers,
        Some(Val::Result(Err(code))) => return Ok(Err(ErrorCode::of_val(code.as_deref()))),
        _ => return Ok(Err(ErrorCode::InternalError(Some(String::from("the guest has given no trailers"))))),
    };
    let Val::Option(Some(fields)) = trailers else { return Ok(Ok(None)) };
    let Val::Resource(fields) = *fields else { return Ok(Ok(None)) };
    let taken = accessor.with(move |mut store| -> Result<FieldMap, Error> {
        let rep = fields.take(store.as_context_mut(), &ResourceType::of::<Fields>())?;
        let fields = context(store.data_mut()).take(&Resource::<Fields>::new(rep))?;
        fields.into_map()
    });
    Ok(Ok(Some(taken.await?)))
}
