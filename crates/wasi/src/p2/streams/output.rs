//! Output streams.

use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::Arc;
use std::task::{Context as Polling, Poll};
use std::time::Duration;

use innkeeper_component::{Borrowed, Resource};
use innkeeper_engine::Error;

use super::input::{InputStream, Waiting, chunk};
use super::{CHUNK_BYTES, Failure, StreamError, told};
use crate::host::{self, Direction, File, Host, Interest, Stream, WaitRequest, hold_thread};
use crate::p2::context::Context;
use crate::p2::custom::Sink;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::misuse::Misuse;
use crate::p2::poll::{Pollable, Waitable};
use crate::p2::sockets::Connection;
use crate::p2::table::Held;

/// `wasi:io/streams.output-stream`
#[derive(Debug)]
pub struct OutputStream {
    sink: OutputSink,
    /// Bytes that `check-write` has allowed the guest to write.
    permitted: u64,
    /// Whether writing has failed: then it is over.
    has_failed: bool,
}

/// What is written to.
#[derive(Debug)]
pub(crate) enum OutputSink {
    /// Nothing: the guest has no such stream.
    Nothing,
    Standard(Arc<Stream>),
    /// A file, from a position of the stream's own on.
    File {
        file: Arc<File>,
        position: u64,
    },
    /// The end of a file, wherever that is.
    End(Arc<File>),
    Connection(Arc<Connection>),
    Custom(Arc<dyn Sink>),
}

impl Held for OutputStream {
    const NAME: &'static str = "wasi:io/streams output-stream";
    // It keeps a file open, also when that is closed.
    const IS_OPEN_HANDLE: bool = true;
}

/// Bytes that can be written at once to whatever may have to be waited for and is ready: the least that a pipe has room for then.
const READY_BYTES: u64 = 4096;

/// Bytes that `blocking-write-and-flush` takes.
const MOST_FLUSHED_BYTES: usize = 4096;

static ZEROS: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];

impl OutputStream {
    pub(crate) fn new(sink: OutputSink) -> OutputStream {
        OutputStream { sink, permitted: 0, has_failed: false }
    }

    /// A stream to what is no handle of the host's.
    #[must_use]
    pub fn of(sink: Arc<dyn Sink>) -> OutputStream {
        OutputStream::new(OutputSink::Custom(sink))
    }

    /// A stream to a standard one; where there is none, it is closed.
    pub(crate) fn standard(stream: Option<Arc<Stream>>) -> OutputStream {
        OutputStream::new(stream.map_or(OutputSink::Nothing, OutputSink::Standard))
    }

    /// How many bytes can be written without waiting, and lets the guest write them.
    async fn check(&mut self, host: &Host, waiting: Waiting) -> Result<u64, Failure> {
        if self.is_closed() {
            return Err(Failure::Closed);
        }
        if let OutputSink::Custom(sink) = &self.sink {
            let room = match waiting {
                Waiting::Yes => host.until(|task| sink.poll_room(task)).await?,
                Waiting::No => match poll_fn(|task| Poll::Ready(sink.poll_room(task))).await {
                    Poll::Ready(room) => room,
                    Poll::Pending => Ok(0),
                },
            };
            self.has_failed = room.is_err();
            self.permitted = room?.min(CHUNK_BYTES as u64);
            return Ok(self.permitted);
        }
        self.permitted = match self.sink.waits_for() {
            None => CHUNK_BYTES as u64,
            Some(Waitable::Stream(stream)) if stream.has_room(READY_BYTES) => READY_BYTES,
            Some(on) => {
                let interest = Interest { on: on.as_host(), direction: Direction::Write };
                let timeout = (waiting == Waiting::No).then_some(Duration::ZERO);
                let answers = host.wait(&WaitRequest { interests: &[interest], timeout }).await?;
                let is_ready = answers.iter().any(|answer| answer.ready || answer.hangup);
                if let Waitable::Stream(stream) = &on
                    && is_ready
                {
                    host.ask_room(stream)?;
                }
                if is_ready { READY_BYTES } else { 0 }
            }
        };
        Ok(self.permitted)
    }

    fn is_closed(&self) -> bool {
        self.has_failed
            || match &self.sink {
                OutputSink::Nothing => true,
                OutputSink::Connection(connection) => connection.is_output_closed(),
                OutputSink::Standard(_)
                | OutputSink::File { .. }
                | OutputSink::End(_)
                | OutputSink::Custom(_) => false,
            }
    }

    /// Uses up what `check-write` has allowed.
    fn take_permit(&mut self, function: &str, length: u64) -> Result<(), Misuse> {
        match self.permitted.checked_sub(length) {
            Some(left) => {
                self.permitted = left;
                Ok(())
            }
            None => Err(Misuse::new(format!(
                "`{function}` was given {length} bytes, and `check-write` has allowed {}",
                self.permitted
            ))),
        }
    }

    /// Writes all.
    async fn write(&mut self, host: &Host, bytes: &[u8]) -> Result<(), Failure> {
        if let OutputSink::Custom(sink) = &self.sink {
            if self.has_failed {
                return Err(Failure::Closed);
            }
            let written = write_custom(host, &**sink, bytes).await;
            self.has_failed = matches!(written, Err(Failure::Closed | Failure::Host(_) | Failure::Custom(_)));
            return written;
        }
        let is_closed = self.is_closed();
        let written = self.sink.write(host, bytes).await;
        if let Err(error) = written
            && error != host::Error::Interrupted
        {
            self.has_failed = true;
        }
        match written {
            // Whoever writes on where nobody reads is heard of by the host all the same.
            _ if is_closed => Err(Failure::Closed),
            // Nobody reads it any more: programs' own libraries know a closed stream for a broken pipe, and take everything else for a failing device.
            Err(host::Error::Pipe | host::Error::ConnectionReset) => Err(Failure::Closed),
            written => Ok(written?),
        }
    }

    /// What tells when there is room.
    fn pollable(&self) -> Pollable {
        match self.sink.waits_for() {
            None if let OutputSink::Custom(sink) = &self.sink
                && !self.has_failed =>
            {
                Pollable::event(Arc::clone(sink) as _)
            }
            Some(on) if !self.is_closed() => Pollable::ready(on, Direction::Write),
            _ => Pollable::always(),
        }
    }
}

impl OutputSink {
    /// What has to be waited for before writing; nothing where there is always room.
    pub(crate) fn waits_for(&self) -> Option<Waitable> {
        match self {
            OutputSink::Standard(stream) if stream.may_wait() => Some(Waitable::Stream(Arc::clone(stream))),
            OutputSink::File { file, .. } | OutputSink::End(file) if file.may_wait() => {
                Some(Waitable::File(Arc::clone(file)))
            }
            OutputSink::Connection(connection) => Some(Waitable::Connection(Arc::clone(connection))),
            _ => None,
        }
    }

    /// Writes as much as there is room for now; [`host::Error::Again`] where that is nothing.
    pub(crate) fn write_now(&mut self, host: &Host, bytes: &[u8]) -> Result<usize, host::Error> {
        let count = match self {
            OutputSink::Nothing => return Err(host::Error::Pipe),
            // Only streams of WASI 0.2 are made of those.
            OutputSink::Custom(_) => return Err(host::Error::NotSupported),
            OutputSink::Standard(stream) => host.write_stream_now(stream, bytes)?,
            OutputSink::File { file, .. } | OutputSink::End(file) if file.may_wait() => {
                host.write_now(file, bytes)?
            }
            OutputSink::File { file, position } => {
                let count = host.write_at(file, &[IoSlice::new(bytes)], *position)?;
                *position = position.saturating_add(count as u64);
                count
            }
            OutputSink::End(file) => host.append(file, &[IoSlice::new(bytes)])?,
            OutputSink::Connection(connection) => hold_thread(connection.send(host, bytes))?,
        };
        if count == 0 { Err(host::Error::Io) } else { Ok(count) }
    }

    async fn write(&mut self, host: &Host, bytes: &[u8]) -> Result<(), host::Error> {
        let mut written = 0;
        while written < bytes.len() {
            let rest = &[IoSlice::new(&bytes[written..])];
            let count = match self {
                OutputSink::Nothing | OutputSink::Custom(_) => return Err(host::Error::Pipe),
                OutputSink::Standard(stream) => host.write_stream(stream, rest).await?,
                OutputSink::File { file, .. } | OutputSink::End(file) if file.may_wait() => {
                    host.write(file, rest).await?
                }
                OutputSink::File { file, position } => {
                    let count = host.write_at(file, rest, *position)?;
                    *position = position.saturating_add(count as u64);
                    count
                }
                OutputSink::End(file) => host.append(file, rest)?,
                OutputSink::Connection(connection) => send(host, connection, &bytes[written..]).await?,
            };
            if count == 0 {
                return Err(host::Error::Io);
            }
            written += count;
        }
        Ok(())
    }
}

/// Sends part over a connection, none of whose operations waits by itself.
async fn send(host: &Host, connection: &Connection, bytes: &[u8]) -> Result<usize, host::Error> {
    loop {
        match connection.send(host, bytes).await {
            Err(host::Error::Again) => connection.wait(host, Direction::Write).await?,
            result => return result,
        }
    }
}

/// Writes all to what is no handle of the host's.
async fn write_custom(host: &Host, sink: &dyn Sink, mut bytes: &[u8]) -> Result<(), Failure> {
    while !bytes.is_empty() {
        let write =
            |task: &mut Polling<'_>| host.poll_within_allowance(bytes, |bytes| sink.poll_write(task, bytes));
        let count = host.until(write).await???;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

type Handle<'a> = Borrowed<'a, OutputStream>;
type Written<R> = Result<R, StreamError>;
type Splice<'a> = (Handle<'a>, Borrowed<'a, InputStream>, u64);

pub(crate) fn bind<T: Send + 'static>(streams: &mut Interface<'_, T, impl FindContext<T>>) {
    streams
        .resource::<OutputStream>("output-stream")
        .waiting::<(Handle<'_>,), Written<u64>>("[method]output-stream.check-write", check_write)
        .waiting::<(Handle<'_>, &[u8]), Written<()>>("[method]output-stream.write", write)
        .waiting::<(Handle<'_>, &[u8]), Written<()>>(
            "[method]output-stream.blocking-write-and-flush",
            blocking_write_and_flush,
        )
        .func::<(Handle<'_>,), Written<()>>("[method]output-stream.flush", flush)
        .func::<(Handle<'_>,), Written<()>>("[method]output-stream.blocking-flush", flush)
        .func::<(Handle<'_>,), Resource<Pollable>>("[method]output-stream.subscribe", |cx, (stream,)| {
            let pollable = cx.table.get(stream)?.pollable();
            cx.push_child(pollable, stream)
        })
        .waiting::<(Handle<'_>, u64), Written<()>>("[method]output-stream.write-zeroes", write_zeroes)
        .waiting::<(Handle<'_>, u64), Written<()>>(
            "[method]output-stream.blocking-write-zeroes-and-flush",
            blocking_write_zeroes_and_flush,
        )
        .waiting::<Splice<'_>, Written<u64>>("[method]output-stream.splice", splice_now)
        .waiting::<Splice<'_>, Written<u64>>("[method]output-stream.blocking-splice", blocking_splice);
}

async fn check_write(cx: &mut Context, (stream,): (Handle<'_>,)) -> Result<Written<u64>, Error> {
    let result = cx.table.get_mut(stream)?.check(&cx.host, Waiting::No).await;
    told(cx, result)
}

async fn write(cx: &mut Context, (stream, bytes): (Handle<'_>, &[u8])) -> Result<Written<()>, Error> {
    let stream = cx.table.get_mut(stream)?;
    stream.take_permit("output-stream.write", bytes.len() as u64)?;
    let result = stream.write(&cx.host, bytes).await;
    told(cx, result)
}

async fn blocking_write_and_flush(
    cx: &mut Context,
    (stream, bytes): (Handle<'_>, &[u8]),
) -> Result<Written<()>, Error> {
    let stream = cx.table.get_mut(stream)?;
    check_flushed("output-stream.blocking-write-and-flush", bytes.len() as u64)?;
    let result = stream.write(&cx.host, bytes).await;
    told(cx, result)
}

/// Everything is written at once, so that there is nothing to flush.
fn flush(cx: &mut Context, (stream,): (Handle<'_>,)) -> Result<Written<()>, Error> {
    let stream = cx.table.get(stream)?;
    Ok(if stream.is_closed() { Err(StreamError::Closed) } else { Ok(()) })
}

async fn write_zeroes(cx: &mut Context, (stream, length): (Handle<'_>, u64)) -> Result<Written<()>, Error> {
    let stream = cx.table.get_mut(stream)?;
    stream.take_permit("output-stream.write-zeroes", length)?;
    // No more is ever permitted.
    let zeros = ZEROS.get(..length as usize).unwrap_or(&ZEROS);
    let result = stream.write(&cx.host, zeros).await;
    told(cx, result)
}

async fn blocking_write_zeroes_and_flush(
    cx: &mut Context,
    (stream, length): (Handle<'_>, u64),
) -> Result<Written<()>, Error> {
    let stream = cx.table.get_mut(stream)?;
    check_flushed("output-stream.blocking-write-zeroes-and-flush", length)?;
    let zeros = ZEROS.get(..length as usize).unwrap_or(&ZEROS);
    let result = stream.write(&cx.host, zeros).await;
    told(cx, result)
}

fn check_flushed(function: &str, length: u64) -> Result<(), Misuse> {
    if length > MOST_FLUSHED_BYTES as u64 {
        return Err(Misuse::new(format!(
            "`{function}` was given {length} bytes, and takes {MOST_FLUSHED_BYTES} at most"
        )));
    }
    Ok(())
}

async fn splice_now(cx: &mut Context, (to, from, length): Splice<'_>) -> Result<Written<u64>, Error> {
    splice(cx, (to, from), length, Waiting::No).await
}

async fn blocking_splice(cx: &mut Context, (to, from, length): Splice<'_>) -> Result<Written<u64>, Error> {
    splice(cx, (to, from), length, Waiting::Yes).await
}

/// Moves what one stream gives to another, as much of it as goes at once.
async fn splice(
    cx: &mut Context,
    (to, from): (Handle<'_>, Borrowed<'_, InputStream>),
    length: u64,
    waiting: Waiting,
) -> Result<Written<u64>, Error> {
    let room = cx.table.get_mut(to)?.check(&cx.host, waiting).await;
    let result = match room {
        Ok(room) => {
            let mut bytes = chunk(length.min(room));
            match cx.table.get_mut(from)?.read(&cx.host, &mut bytes, waiting).await {
                Ok(count) => {
                    let written = cx.table.get_mut(to)?.write(&cx.host, &bytes[..count]).await;
                    written.map(|()| count as u64)
                }
                Err(failure) => Err(failure),
            }
        }
        Err(failure) => Err(failure),
    };
    told(cx, result)
}
