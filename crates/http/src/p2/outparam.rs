//! `wasi:http/types.response-outparam`: where a guest puts its answer.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use http::{HeaderMap, Method, StatusCode, header};
use innkeeper_component::Resource;
use innkeeper_wasi::p2::{FindContext, Held, Interface};

use super::error_code::ErrorCode;
use super::outgoing::{OutgoingResponse, is_sendable};
use super::pipe::Pipe;

/// `wasi:http/types.response-outparam`
#[derive(Debug)]
pub(super) struct ResponseOutparam(Arc<Answer>);

/// What a guest answers, once it has.
#[derive(Debug, Default)]
pub(super) struct Answer {
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
pub(super) enum Given {
    Response(Head, Option<Arc<Pipe>>),
    Failed(ErrorCode),
    Dropped,
}

/// What is sent before the body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

impl Held for ResponseOutparam {
    const NAME: &'static str = "wasi:http/types response-outparam";
}

impl ResponseOutparam {
    pub(super) fn new(answer: &Arc<Answer>) -> ResponseOutparam {
        ResponseOutparam(Arc::clone(answer))
    }
}

/// Nobody answers any more.
impl Drop for ResponseOutparam {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if matches!(*state, State::Awaited) {
            *state = State::Dropped;
        }
    }
}

impl Answer {
    pub(super) fn to(method: &Method) -> Answer {
        Answer { is_of_head: method == Method::HEAD, state: Mutex::default(), body: OnceLock::new() }
    }

    /// The answer, the first time that it is there; a guest without one to give has dropped it.
    pub(super) fn take(&self) -> Option<Given> {
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
    pub(super) fn is_there(&self) -> bool {
        !matches!(*self.state(), State::Awaited)
    }

    /// The guest will write no more of the body, if it had not finished it.
    pub(super) fn fail_body(&self, code: ErrorCode) {
        if let Some(pipe) = self.body.get() {
            pipe.fail(code);
        }
    }

    fn give(&self, response: Result<OutgoingResponse, ErrorCode>) {
        let given = match response {
            Ok(response) => self.checked(response),
            Err(code) => Given::Failed(code),
        };
        *self.state() = State::Given(given);
    }

    fn checked(&self, response: OutgoingResponse) -> Given {
        let OutgoingResponse { status, headers, body } = response;
        let mut headers = headers.into_map();
        let has_no_body =
            self.is_of_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if let Some(pipe) = &body {
            // A guest answers once.
            let _ = self.body.set(Arc::clone(pipe));
        }
        match &body {
            Some(pipe) if has_no_body => pipe.promise_nothing(),
            None if !has_no_body => {
                headers.remove(header::CONTENT_LENGTH);
            }
            _ => {}
        }
        match is_sendable(&headers) {
            true => Given::Response(Head { status, headers }, body),
            false => Given::Failed(ErrorCode::HttpProtocolError),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn bind<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    type Response = Result<Resource<OutgoingResponse>, ErrorCode>;
    types
        .resource::<ResponseOutparam>("response-outparam")
        .func::<(Resource<ResponseOutparam>, Response), ()>(
            "[static]response-outparam.set",
            |cx, (outparam, response)| {
                let response = match response {
                    Ok(response) => Ok(cx.take(&response)?),
                    Err(code) => Err(code),
                };
                cx.take(&outparam)?.0.give(response);
                Ok(())
            },
        );
}
