//! A body that a guest writes, on its way to whoever sends it.
//!
//! Must stay true: no more is held than the buffer has room for; a body is at its end only where the guest has said so; a guest that has gone leaves a body that has failed.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use innkeeper_engine::Charge;
use innkeeper_wasi::p2::{Event, Sink, StreamEnd};
use tokio::task::AbortHandle;

use super::error_code::ErrorCode;
use super::field_map::FieldMap;
use crate::BodyError;

/// Between a guest that writes and whoever sends.
#[derive(Debug)]
pub(crate) struct Pipe {
    state: Mutex<State>,
    most_bytes: usize,
    of: Message,
    /// For the buffer, which is there for as long as this is, whoever still has a part in the body.
    _charge: Charge,
}

/// What the body is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Request,
    Response,
}

#[derive(Debug)]
struct State {
    buffer: BytesMut,
    /// How many bytes the message's `Content-Length` has promised.
    promised: Option<u64>,
    written: u64,
    end: Option<End>,
    is_reader_gone: bool,
    /// Whether whoever sent has gone before it had all that there was to be.
    is_cut: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
enum End {
    /// With what is behind it.
    Finished(Option<FieldMap>),
    Failed(ErrorCode),
}

impl Pipe {
    /// A body whose buffer has room for so many bytes, for which `charge` is.
    pub(crate) fn new(of: Message, promised: Option<u64>, (most_bytes, charge): (usize, Charge)) -> Pipe {
        let state = State {
            buffer: BytesMut::new(),
            promised,
            written: 0,
            end: None,
            is_reader_gone: false,
            is_cut: false,
            reader: None,
            writer: None,
        };
        Pipe { state: Mutex::new(state), most_bytes: most_bytes.max(1), of, _charge: charge }
    }

    /// The guest has written all.
    ///
    /// # Errors
    /// Where that is not as much as was promised: then the body has failed.
    pub(crate) fn finish(&self, trailers: Option<FieldMap>) -> Result<(), ErrorCode> {
        let mut state = self.state();
        let promised = state.promised.unwrap_or(state.written);
        let end = match state.written == promised {
            true => Ok(End::Finished(trailers)),
            false => Err(self.wrong_size(state.written)),
        };
        let result = end.as_ref().map(|_| ()).map_err(Clone::clone);
        state.end.get_or_insert(end.unwrap_or_else(End::Failed));
        wake(state, |state| state.reader.take());
        result
    }

    /// Whoever wrote has gone before the end. Nothing changes where that was reached.
    pub(crate) fn fail(&self, code: ErrorCode) {
        let mut state = self.state();
        if state.end.is_none() {
            state.end = Some(End::Failed(code));
            wake(state, |state| state.reader.take());
        }
    }

    /// The message says how long a body is that is not sent, as answers to `HEAD` do.
    pub(crate) fn promise_nothing(&self) {
        self.state().promised = None;
    }

    /// Why the body has failed, if it has.
    pub(crate) fn failure(&self) -> Option<ErrorCode> {
        match &self.state().end {
            Some(End::Failed(code)) => Some(code.clone()),
            _ => None,
        }
    }

    /// Whether all was taken by whoever sends, once that is known.
    pub(crate) fn poll_taken(&self, task: &mut Context<'_>) -> Poll<Result<(), ErrorCode>> {
        let mut state = self.state();
        match &state.end {
            Some(End::Failed(code)) => return Poll::Ready(Err(code.clone())),
            Some(End::Finished(None)) if state.buffer.is_empty() && !state.is_cut => {
                return Poll::Ready(Ok(()));
            }
            _ => {}
        }
        if state.is_reader_gone {
            return Poll::Ready(if state.is_cut { Err(ErrorCode::ConnectionTerminated) } else { Ok(()) });
        }
        keep(&mut state.writer, task);
        Poll::Pending
    }

    fn wrong_size(&self, written: u64) -> ErrorCode {
        match self.of {
            Message::Request => ErrorCode::HttpRequestBodySize(Some(written)),
            Message::Response => ErrorCode::HttpResponseBodySize(Some(written)),
        }
    }

    /// The state, where there is room; else who waits is woken when there is.
    fn with_room(&self, task: &mut Context<'_>) -> Poll<Result<MutexGuard<'_, State>, StreamEnd>> {
        let mut state = self.state();
        if state.is_reader_gone || state.end.is_some() {
            return Poll::Ready(Err(StreamEnd::Closed));
        }
        if state.buffer.len() >= self.most_bytes {
            keep(&mut state.writer, task);
            return Poll::Pending;
        }
        Poll::Ready(Ok(state))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Makes room for so many more bytes, and no more than twice as much: where a buffer grows by itself, it may take twice what it may ever hold.
    fn make_room_for(&mut self, count: usize, most_bytes: usize) {
        let wanted = self.buffer.len() + count;
        if self.buffer.capacity() < wanted {
            let mut larger = BytesMut::with_capacity(wanted.next_power_of_two().min(most_bytes));
            larger.extend_from_slice(&self.buffer);
            self.buffer = larger;
        }
    }
}

fn keep(waker: &mut Option<Waker>, task: &Context<'_>) {
    if !waker.as_ref().is_some_and(|waker| waker.will_wake(task.waker())) {
        *waker = Some(task.waker().clone());
    }
}

/// Wakes with nothing locked.
fn wake(mut state: MutexGuard<'_, State>, who: impl FnOnce(&mut State) -> Option<Waker>) {
    let waker = who(&mut state);
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Event for Pipe {
    fn poll_ready(&self, task: &mut Context<'_>) -> Poll<()> {
        self.with_room(task).map(drop)
    }
}

impl Sink for Pipe {
    fn poll_room(&self, task: &mut Context<'_>) -> Poll<Result<u64, StreamEnd>> {
        self.with_room(task).map_ok(|state| (self.most_bytes - state.buffer.len()) as u64)
    }

    fn poll_write(&self, task: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, StreamEnd>> {
        let Poll::Ready(mut state) = self.with_room(task)? else { return Poll::Pending };
        let count = bytes.len().min(self.most_bytes - state.buffer.len());
        let written = state.written + count as u64;
        if state.promised.is_some_and(|promised| written > promised) {
            let code = self.wrong_size(written);
            state.end = Some(End::Failed(code.clone()));
            wake(state, |state| state.reader.take());
            return Poll::Ready(Err(StreamEnd::Failed(Arc::new(code))));
        }
        state.make_room_for(count, self.most_bytes);
        state.buffer.extend_from_slice(&bytes[..count]);
        state.written = written;
        wake(state, |state| state.reader.take());
        Poll::Ready(Ok(count))
    }
}

/// The body as it is sent. Dropped before its end, it tells the guest that nobody reads, and stops who works for it.
#[derive(Debug)]
pub(crate) struct Sent {
    pipe: Arc<Pipe>,
    has_failed: bool,
    /// The guest, where it runs on by itself.
    worker: Option<AbortHandle>,
}

impl Sent {
    pub(crate) fn new(pipe: Arc<Pipe>, worker: Option<AbortHandle>) -> Sent {
        Sent { pipe, has_failed: false, worker }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let pipe = Arc::clone(&self.pipe);
        let mut state = pipe.state();
        if !state.buffer.is_empty() {
            let bytes = state.buffer.split().freeze();
            wake(state, |state| state.writer.take());
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        match &mut state.end {
            None => {
                keep(&mut state.reader, task);
                Poll::Pending
            }
            Some(End::Finished(trailers)) => {
                let trailers = trailers.take();
                if trailers.is_some() {
                    wake(state, |state| state.writer.take());
                }
                // Whoever asks for them puts them with what is sent, and does away with them.
                Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers.into_parts().0))))
            }
            Some(End::Failed(_)) if self.has_failed => Poll::Ready(None),
            Some(End::Failed(code)) => {
                self.has_failed = true;
                Poll::Ready(Some(Err(Box::new(code.clone()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.pipe.state();
        state.buffer.is_empty() && matches!(state.end, Some(End::Finished(None)))
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.pipe.state();
        let buffered = state.buffer.len() as u64;
        match (&state.end, state.promised) {
            // Where trailers are to come, nothing may say where the body ends.
            (Some(End::Finished(None)), _) => SizeHint::with_exact(buffered),
            (None, Some(promised)) => SizeHint::with_exact(promised - (state.written - buffered)),
            _ => SizeHint::default(),
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        let mut state = self.pipe.state();
        state.is_reader_gone = true;
        let is_finished = matches!(state.end, Some(End::Finished(_)));
        // Where the length is known, nobody looks for what comes after the last byte.
        let has_all = matches!(state.end, Some(End::Finished(None))) || state.promised == Some(state.written);
        state.is_cut = !(has_all && state.buffer.is_empty());
        wake(state, |state| state.writer.take());
        if !is_finished && let Some(worker) = self.worker.take() {
            worker.abort();
        }
    }
}
