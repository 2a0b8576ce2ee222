//! Input streams.

use std::future::poll_fn;
use std::io::IoSliceMut;
use std::sync::Arc;
use std::task::Poll;

use innkeeper_component::{Borrowed, Resource};
use innkeeper_engine::Error;

use super::{CHUNK_BYTES, Failure, StreamError, told};
use crate::host::{self, Direction, File, Host, Stream, hold_thread};
use crate::p2::context::Context;
use crate::p2::custom::Source;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::poll::{Pollable, Waitable};
use crate::p2::sockets::Connection;
use crate::p2::table::Held;

/// `wasi:io/streams.input-stream`
#[derive(Debug)]
pub struct InputStream {
    source: InputSource,
    /// Whether reading has failed: then it is over.
    has_failed: bool,
    /// Whether the guest was told of the end. More can come after that all the same, as in a file.
    has_ended: bool,
}

/// What is read from.
#[derive(Debug)]
pub(crate) enum InputSource {
    /// Nothing: the guest has no such stream.
    Nothing,
    Standard(Arc<Stream>),
    /// A file, from a position of the stream's own on.
    File {
        file: Arc<File>,
        position: u64,
    },
    Connection(Arc<Connection>),
    Custom(Arc<dyn Source>),
}

impl Held for InputStream {
    const NAME: &'static str = "wasi:io/streams input-stream";
    // It keeps a file open, also when that is closed.
    const IS_OPEN_HANDLE: bool = true;
}

/// Whether an operation waits until it can do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    Yes,
    No,
}

impl InputStream {
    pub(crate) fn new(source: InputSource) -> InputStream {
        InputStream { source, has_failed: false, has_ended: false }
    }

    /// A stream from what is no handle of the host's.
    #[must_use]
    pub fn of(source: Arc<dyn Source>) -> InputStream {
        InputStream::new(InputSource::Custom(source))
    }

    /// A stream from a standard one; where there is none, it is at its end.
    pub(crate) fn standard(stream: Option<Arc<Stream>>) -> InputStream {
        InputStream::new(stream.map_or(InputSource::Nothing, InputSource::Standard))
    }

    /// Reads into a buffer; nothing where there is nothing yet, and it does not wait.
    pub(super) async fn read(
        &mut self,
        host: &Host,
        buffer: &mut [u8],
        waiting: Waiting,
    ) -> Result<usize, Failure> {
        if self.has_failed {
            return Err(Failure::Closed);
        }
        if buffer.is_empty() {
            return if self.has_ended || self.source.is_closed() { Err(Failure::Closed) } else { Ok(0) };
        }
        if let InputSource::Custom(source) = &self.source {
            let result = read_custom(host, &**source, buffer, waiting).await;
            self.has_failed = matches!(result, Err(Failure::Closed | Failure::Custom(_)));
            return result;
        }
        let read = self.source.read(host, buffer, waiting).await;
        if let Ok(count) = read {
            self.has_ended = count == 0;
        }
        match read {
            Ok(0) => Err(Failure::Closed),
            Ok(count) => Ok(count),
            // What is ready for somebody else may not be so any more.
            Err(host::Error::Again) => Ok(0),
            Err(error) => {
                self.has_failed = error != host::Error::Interrupted;
                Err(error.into())
            }
        }
    }

    /// What tells when there is something to read.
    fn pollable(&self) -> Pollable {
        match &self.source {
            _ if self.has_failed => Pollable::always(),
            InputSource::Custom(source) => Pollable::event(Arc::clone(source) as _),
            source => match source.waits_for() {
                Some(on) => Pollable::ready(on, Direction::Read),
                None => Pollable::always(),
            },
        }
    }
}

impl InputSource {
    /// Whether nothing comes of it any more, whatever has come.
    fn is_closed(&self) -> bool {
        match self {
            InputSource::Nothing => true,
            InputSource::Connection(connection) => connection.is_input_closed(),
            InputSource::Standard(_) | InputSource::File { .. } | InputSource::Custom(_) => false,
        }
    }

    /// What has to be waited for before reading; nothing where there is always something, or the end.
    pub(crate) fn waits_for(&self) -> Option<Waitable> {
        match self {
            InputSource::Standard(stream) => Some(Waitable::Stream(Arc::clone(stream))),
            InputSource::File { file, .. } if file.may_wait() => Some(Waitable::File(Arc::clone(file))),
            InputSource::Connection(connection) if !connection.is_input_closed() => {
                Some(Waitable::Connection(Arc::clone(connection)))
            }
            InputSource::Nothing
            | InputSource::File { .. }
            | InputSource::Connection(_)
            | InputSource::Custom(_) => None,
        }
    }

    /// Reads what there is now, [`host::Error::Again`] where that is nothing; zero bytes at the end.
    pub(crate) fn read_now(&mut self, host: &Host, buffer: &mut [u8]) -> Result<usize, host::Error> {
        hold_thread(self.read(host, buffer, Waiting::No))
    }

    async fn read(&mut self, host: &Host, buffer: &mut [u8], waiting: Waiting) -> Result<usize, host::Error> {
        if let InputSource::Connection(connection) = self {
            return receive(host, connection, buffer, waiting).await;
        }
        let buffers = &mut [IoSliceMut::new(buffer)];
        match (self, waiting) {
            (InputSource::Nothing | InputSource::Connection(_) | InputSource::Custom(_), _) => Ok(0),
            (InputSource::Standard(stream), Waiting::Yes) => host.read_stream(stream, buffers).await,
            (InputSource::Standard(stream), Waiting::No) => host.read_stream_now(stream, buffers),
            (InputSource::File { file, .. }, Waiting::Yes) if file.may_wait() => {
                host.read(file, buffers).await
            }
            (InputSource::File { file, .. }, Waiting::No) if file.may_wait() => host.read_now(file, buffers),
            (InputSource::File { file, position }, _) => {
                let count = host.read_at(file, buffers, *position)?;
                *position = position.saturating_add(count as u64);
                Ok(count)
            }
        }
    }
}

/// Receives from a connection, none of whose operations waits by itself.
async fn receive(
    host: &Host,
    connection: &Connection,
    buffer: &mut [u8],
    waiting: Waiting,
) -> Result<usize, host::Error> {
    loop {
        if connection.is_input_closed() {
            return Ok(0);
        }
        match connection.receive(host, buffer).await {
            Err(host::Error::Again) if waiting == Waiting::Yes => {
                connection.wait(host, Direction::Read).await?;
            }
            result => return result,
        }
    }
}

/// Reads what is no handle of the host's; none where there is nothing yet, and it does not wait.
async fn read_custom(
    host: &Host,
    source: &dyn Source,
    buffer: &mut [u8],
    waiting: Waiting,
) -> Result<usize, Failure> {
    match waiting {
        Waiting::Yes => Ok(host.until(|task| source.poll_read(task, buffer)).await??),
        Waiting::No => {
            let now = poll_fn(|task| Poll::Ready(source.poll_read(task, buffer))).await;
            match now {
                Poll::Ready(result) => Ok(result?),
                Poll::Pending => Ok(0),
            }
        }
    }
}

type Handle<'a> = Borrowed<'a, InputStream>;
type Read<R> = Result<R, StreamError>;

pub(crate) fn bind<T: Send + 'static>(streams: &mut Interface<'_, T, impl FindContext<T>>) {
    streams
        .resource::<InputStream>("input-stream")
        .waiting::<(Handle<'_>, u64), Read<Vec<u8>>>("[method]input-stream.read", read_now)
        .waiting::<(Handle<'_>, u64), Read<Vec<u8>>>("[method]input-stream.blocking-read", blocking_read)
        .waiting::<(Handle<'_>, u64), Read<u64>>("[method]input-stream.skip", skip_now)
        .waiting::<(Handle<'_>, u64), Read<u64>>("[method]input-stream.blocking-skip", blocking_skip)
        .func::<(Handle<'_>,), Resource<Pollable>>("[method]input-stream.subscribe", |cx, (stream,)| {
            let pollable = cx.table.get(stream)?.pollable();
            cx.push_child(pollable, stream)
        });
}

async fn read_now(cx: &mut Context, (stream, length): (Handle<'_>, u64)) -> Result<Read<Vec<u8>>, Error> {
    read(cx, stream, length, Waiting::No).await
}

async fn blocking_read(
    cx: &mut Context,
    (stream, length): (Handle<'_>, u64),
) -> Result<Read<Vec<u8>>, Error> {
    read(cx, stream, length, Waiting::Yes).await
}

async fn skip_now(cx: &mut Context, (stream, length): (Handle<'_>, u64)) -> Result<Read<u64>, Error> {
    skip(cx, stream, length, Waiting::No).await
}

async fn blocking_skip(cx: &mut Context, (stream, length): (Handle<'_>, u64)) -> Result<Read<u64>, Error> {
    skip(cx, stream, length, Waiting::Yes).await
}

async fn read(
    cx: &mut Context,
    stream: Handle<'_>,
    length: u64,
    waiting: Waiting,
) -> Result<Read<Vec<u8>>, Error> {
    let mut bytes = chunk(length);
    let stream = cx.table.get_mut(stream)?;
    let result = stream.read(&cx.host, &mut bytes, waiting).await;
    let result = result.map(|count| {
        bytes.truncate(count);
        bytes
    });
    told(cx, result)
}

async fn skip(
    cx: &mut Context,
    stream: Handle<'_>,
    length: u64,
    waiting: Waiting,
) -> Result<Read<u64>, Error> {
    let mut bytes = chunk(length);
    let stream = cx.table.get_mut(stream)?;
    let result = stream.read(&cx.host, &mut bytes, waiting).await;
    told(cx, result.map(|count| count as u64))
}

/// A buffer for what a guest wants to read, or as much of it as is read at once.
pub(crate) fn chunk(length: u64) -> Vec<u8> {
    vec![0; length.min(CHUNK_BYTES as u64) as usize]
}
