//! A body that a guest reads: of a request that it answers, or of a response that it was given.
//!
//! Must stay true: no more is held than the frame that is being read and the trailers, both charged to the guest for as long as they are there, and whoever sends is held back until the guest reads on.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::StatusCode;
use http_body::{Body as _, Frame};
use innkeeper_engine::{Budget, BudgetKind, Charge};
use innkeeper_wasi::p2::{Event, Source, StreamEnd};
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep};

use super::error_code::ErrorCode;
use super::field_map::FieldMap;
use crate::Body;

/// A body that is being read.
pub(crate) struct Received(Mutex<State>);

struct State {
    body: Body,
    buffer: Bytes,
    /// For the buffer, as long as it is there.
    charge: Charge,
    end: Option<Arrived>,
    /// Bytes that nobody has read.
    thrown_away: usize,
    patience: Option<Patience>,
}

/// How a body has ended: with trailers, without, or not as a whole.
type Arrived = Result<Option<FieldMap>, ErrorCode>;

/// A frame has a part in what was read from its connection at once, which is there as a whole for as long as it is: so much, if not more.
const FRAME_BYTES: u64 = 64 << 10;

/// What a body that is received takes besides, with what is behind it.
const BODY_BYTES: u64 = 1024;

/// A response that has come, with a copy of its fields that is charged to the guest.
#[derive(Debug)]
pub(crate) struct ReceivedResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: FieldMap,
    pub(crate) body: Body,
}

impl ReceivedResponse {
    /// Takes a response's fields out of what was read.
    ///
    /// # Errors
    /// Where the budget has no more for them.
    pub(crate) fn new(response: http::Response<Body>, budget: &Budget) -> Result<Self, ErrorCode> {
        let (parts, body) = response.into_parts();
        let headers = FieldMap::received(parts.headers, budget).map_err(ErrorCode::of_limit)?;
        Ok(ReceivedResponse { status: parts.status, headers, body })
    }
}

/// How long a guest waits for the next bytes.
struct Patience {
    time: Duration,
    /// Of whose timers it is.
    runtime: Handle,
    /// Runs while the guest waits.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Received {
    /// What one takes, whoever has it, beside its frame and its trailers.
    pub(crate) const COST_BYTES: u64 = size_of::<State>() as u64 + BODY_BYTES;

    /// A body whose next bytes come within a time, if there is one, by the timers of a runtime. What is read of it is charged to a budget.
    pub(crate) fn new(body: Body, between_bytes: Option<(Duration, Handle)>, budget: &Budget) -> Received {
        let patience = between_bytes.map(|(time, runtime)| Patience { time, runtime, sleep: None });
        let (buffer, charge) = (Bytes::new(), budget.empty(BudgetKind::Buffer));
        Received(Mutex::new(State { body, buffer, charge, end: None, thrown_away: 0, patience }))
    }

    /// Whether its end is known, once everything before it has been read, or is thrown away now.
    pub(crate) fn poll_end(&self, task: &mut Context<'_>) -> Poll<()> {
        self.state().poll_end(task, None).map(drop)
    }

    /// How it has ended, as [`Received::poll_end`]; its trailers are given once.
    pub(crate) fn poll_trailers(&self, task: &mut Context<'_>) -> Poll<Arrived> {
        let mut state = self.state();
        state.poll_end(task, None).map(|_| state.take_end())
    }

    /// As [`Received::poll_trailers`], where no more bytes than these are before them; nothing where there are.
    pub(crate) fn poll_rest(&self, task: &mut Context<'_>, most_bytes: usize) -> Poll<Option<Arrived>> {
        let mut state = self.state();
        state.poll_end(task, Some(most_bytes)).map(|is_there| is_there.then(|| state.take_end()))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Throws away what is before the end; whether that is there, and not too much before it.
    fn poll_end(&mut self, task: &mut Context<'_>, most_bytes: Option<usize>) -> Poll<bool> {
        loop {
            self.thrown_away += self.buffer.len();
            self.drop_frame();
            if most_bytes.is_some_and(|most| self.thrown_away > most) {
                return Poll::Ready(false);
            }
            ready!(self.poll_fill(task));
            if self.end.is_some() && self.buffer.is_empty() {
                return Poll::Ready(true);
            }
        }
    }

    /// How it has ended: the second time without trailers.
    fn take_end(&mut self) -> Arrived {
        match &mut self.end {
            Some(Ok(trailers)) => Ok(trailers.take()),
            Some(Err(code)) => Err(code.clone()),
            None => Ok(None),
        }
    }

    /// Keeps a frame.
    ///
    /// # Errors
    /// Where the budget has no more for it.
    fn keep_frame(&mut self, bytes: Bytes) -> Result<(), ErrorCode> {
        self.charge.set(FRAME_BYTES.max(bytes.len() as u64)).map_err(ErrorCode::of_limit)?;
        self.buffer = bytes;
        Ok(())
    }

    /// Lets go of a frame, of which something may be left.
    fn drop_frame(&mut self) {
        // One of no bytes still has a part in what was read.
        self.buffer = Bytes::new();
        // Less is never refused.
        let _ = self.charge.set(0);
    }

    fn keep_trailers(&self, frame: Frame<Bytes>) -> Option<Arrived> {
        let trailers = frame.into_trailers().ok()?;
        Some(FieldMap::received(trailers, self.charge.budget()).map(Some).map_err(ErrorCode::of_limit))
    }

    /// Ready where there are bytes, or the body is over.
    fn poll_fill(&mut self, task: &mut Context<'_>) -> Poll<()> {
        while self.buffer.is_empty() && self.end.is_none() {
            match Pin::new(&mut self.body).poll_frame(task) {
                Poll::Pending => {
                    let Some(patience) = &mut self.patience else { return Poll::Pending };
                    ready!(patience.poll(task));
                    self.end = Some(Err(ErrorCode::ConnectionReadTimeout));
                }
                Poll::Ready(None) => self.end = Some(Ok(None)),
                Poll::Ready(Some(Err(error))) => self.end = Some(Err(ErrorCode::of_body(&error))),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(bytes) if bytes.is_empty() => {}
                    Ok(bytes) => self.end = self.keep_frame(bytes).err().map(Err),
                    Err(frame) => self.end = self.keep_trailers(frame),
                },
            }
            if let Some(patience) = &mut self.patience {
                patience.sleep = None;
            }
        }
        Poll::Ready(())
    }
}

impl Patience {
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<()> {
        let _entered = self.runtime.enter();
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(self.time)));
        sleep.as_mut().poll(task)
    }
}

impl Event for Received {
    fn poll_ready(&self, task: &mut Context<'_>) -> Poll<()> {
        self.state().poll_fill(task)
    }
}

impl Source for Received {
    fn poll_read(&self, task: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, StreamEnd>> {
        let mut state = self.state();
        ready!(state.poll_fill(task));
        if !state.buffer.is_empty() {
            let count = buffer.len().min(state.buffer.len());
            state.buffer.copy_to_slice(&mut buffer[..count]);
            if state.buffer.is_empty() {
                state.drop_frame();
            }
            return Poll::Ready(Ok(count));
        }
        Poll::Ready(Err(match &state.end {
            Some(Err(code)) => StreamEnd::Failed(Arc::new(code.clone())),
            _ => StreamEnd::Closed,
        }))
    }
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("Received")
            .field("buffered", &state.buffer.len())
            .field("end", &state.end)
            .finish_non_exhaustive()
    }
}
