//! A body that a guest reads: of a request that it answers, or of a response that it was given.
//!
//! Must stay true: no more is held than the frame that is being read, and whoever sends is held back until the guest reads on.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::Body as _;
use innkeeper_wasi::p2::{Event, Source, StreamEnd};
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep};

use super::error_code::ErrorCode;
use super::fields::remove_forbidden;
use crate::Body;

/// A body that is being read.
pub(crate) struct Received(Mutex<State>);

struct State {
    body: Body,
    buffer: Bytes,
    end: Option<Arrived>,
    /// Bytes that nobody has read.
    thrown_away: usize,
    patience: Option<Patience>,
}

/// How a body has ended: with trailers, without, or not as a whole.
type Arrived = Result<Option<HeaderMap>, ErrorCode>;

/// How long a guest waits for the next bytes.
struct Patience {
    time: Duration,
    /// Of whose timers it is.
    runtime: Handle,
    /// Runs while the guest waits.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Received {
    /// A body whose next bytes come within a time, if there is one, by the timers of a runtime.
    pub(crate) fn new(body: Body, between_bytes: Option<(Duration, Handle)>) -> Received {
        let patience = between_bytes.map(|(time, runtime)| Patience { time, runtime, sleep: None });
        Received(Mutex::new(State { body, buffer: Bytes::new(), end: None, thrown_away: 0, patience }))
    }

    /// Its trailers, once everything before them has been read, or is thrown away now.
    pub(crate) fn poll_trailers(&self, task: &mut Context<'_>) -> Poll<Arrived> {
        let mut state = self.state();
        loop {
            state.buffer.clear();
            ready!(state.poll_fill(task));
            if let Some(end) = &state.end
                && state.buffer.is_empty()
            {
                return Poll::Ready(end.clone());
            }
        }
    }

    /// As [`Received::poll_trailers`], where no more bytes than these are before them; nothing where there are.
    pub(crate) fn poll_rest(&self, task: &mut Context<'_>, most_bytes: usize) -> Poll<Option<Arrived>> {
        let mut state = self.state();
        loop {
            state.thrown_away += state.buffer.len();
            state.buffer.clear();
            if state.thrown_away > most_bytes {
                return Poll::Ready(None);
            }
            ready!(state.poll_fill(task));
            if let Some(end) = &state.end
                && state.buffer.is_empty()
            {
                return Poll::Ready(Some(end.clone()));
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
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
                    Ok(bytes) => self.buffer = bytes,
                    Err(frame) => {
                        if let Ok(mut trailers) = frame.into_trailers() {
                            remove_forbidden(&mut trailers);
                            self.end = Some(Ok(Some(trailers)));
                        }
                    }
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
