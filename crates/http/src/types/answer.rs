//! What a guest answers: put where whoever waits for it finds it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use http::{Method, StatusCode, header};
use http_body::Body as _;

use super::error_code::ErrorCode;
use super::field_map::FieldMap;
use super::length::{is_sendable, promised};
use super::pipe::Pipe;
use crate::Body;

/// What a guest answers, once it has.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    /// A body is not sent for `HEAD`, whatever the headers say of it.
    is_of_head: bool,
    state: Mutex<State>,
    body: OnceLock<Arc<Pipe>>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Awaited,
    Given(Given),
    /// A guest that will give none.
    Dropped,
    Taken,
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Given {
    Response(Head, Content),
    Failed(ErrorCode),
    Dropped,
}

/// What is sent before the body.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: FieldMap,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Content {
    Nothing,
    /// What the guest writes.
    Pipe(Arc<Pipe>),
    /// What the guest has got from elsewhere, and passes on as it is.
    Passed(Body),
}

impl Answer {
    pub(crate) fn to(method: &Method) -> Answer {
        Answer { is_of_head: method == Method::HEAD, state: Mutex::default(), body: OnceLock::new() }
    }

    /// The answer, the first time that it is there; a guest without one to give has dropped it.
    pub(crate) fn take(&self) -> Option<Given> {
        let mut state = self.state();
        match *state {
            State::Awaited | State::Taken => None,
            State::Dropped => {
                *state = State::Taken;
                Some(Given::Dropped)
            }
            State::Given(_) => match std::mem::replace(&mut *state, State::Taken) {
                State::Given(given) => Some(given),
                _ => None,
            },
        }
    }

    /// Whether the guest has answered, or will not.
    pub(crate) fn is_there(&self) -> bool {
        !matches!(*self.state(), State::Awaited)
    }

    /// Nobody answers any more, if nobody has.
    pub(crate) fn is_given_up(&self) {
        let mut state = self.state();
        if matches!(*state, State::Awaited) {
            *state = State::Dropped;
        }
    }

    /// The guest will write no more of the body, if it had not finished it.
    pub(crate) fn fail_body(&self, code: ErrorCode) {
        if let Some(pipe) = self.body.get() {
            pipe.fail(code);
        }
    }

    /// Answers, or says why there is no answer.
    pub(crate) fn give(&self, response: Result<(Head, Content), ErrorCode>) {
        let given = match response {
            Ok((head, content)) => self.checked(head, content),
            Err(code) => Given::Failed(code.shortened()),
        };
        *self.state() = State::Given(given);
    }

    fn checked(&self, head: Head, content: Content) -> Given {
        let Head { status, mut headers } = head;
        let has_no_body =
            self.is_of_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if let Content::Pipe(pipe) = &content {
            // A guest answers once.
            let _ = self.body.set(Arc::clone(pipe));
        }
        let content = match content {
            // What came is of another request, to which more was an answer.
            Content::Passed(_) if has_no_body => Content::Nothing,
            content => content,
        };
        match &content {
            Content::Pipe(pipe) if has_no_body => pipe.promise_nothing(),
            Content::Nothing if !has_no_body => headers.remove(&header::CONTENT_LENGTH),
            // It was of a message that only says how long a body is: an answer to `HEAD`, or one that nothing has changed.
            Content::Passed(body) if !is_as_long(body.size_hint().exact(), &headers) => {
                headers.remove(&header::CONTENT_LENGTH);
            }
            _ => {}
        }
        // One that informs is followed by another, and does not stand for it.
        match is_sendable(headers.map()) && !status.is_informational() {
            true => Given::Response(Head { status, headers }, content),
            false => Given::Failed(ErrorCode::HttpProtocolError),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a body whose length is known is as long as its head says, if it says so.
fn is_as_long(bytes: Option<u64>, headers: &FieldMap) -> bool {
    match (bytes, promised(headers.map())) {
        (Some(bytes), Ok(Some(promised))) => bytes == promised,
        // What is no number is refused.
        _ => true,
    }
}
