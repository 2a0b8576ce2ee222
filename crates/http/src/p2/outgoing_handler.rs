//! `wasi:http/outgoing-handler`, and `wasi:http/types.future-incoming-response`: requests that guests send.
//!
//! A request is sent by a task, which ends with the handle of its answer. Must stay true: nothing is sent that the decision point has not allowed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use http::{Request, header};
use http_body_util::BodyExt as _;
use innkeeper_component::{Borrowed, Resource};
use innkeeper_engine::{Charge, Error};
use innkeeper_wasi::keys::HttpTarget;
use innkeeper_wasi::p2::{Context, Event, FindContext, Held, Interface, Pollable};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::incoming::IncomingResponse;
use super::outgoing::{OutgoingRequest, RequestOptions};
use crate::client::Client;
use crate::types::{ErrorCode, ReceivedResponse, Sent, runtime};
use crate::{Body, empty};

/// `wasi:http/types.future-incoming-response`
#[derive(Debug)]
pub(super) struct FutureIncomingResponse {
    awaited: Arc<Awaited>,
    between_bytes: Option<Duration>,
    runtime: Handle,
    task: AbortHandle,
}

/// An answer whose head was read, which is charged to the guest by then.
type Answered = Result<ReceivedResponse, ErrorCode>;

/// An answer that a task waits for.
#[derive(Debug, Default)]
struct Awaited(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Nothing,
    /// Somebody is to be woken.
    Waiting(Waker),
    Answered(Answered),
    Taken,
}

impl Held for FutureIncomingResponse {
    const NAME: &'static str = "wasi:http/types future-incoming-response";
}

/// Whoever does not want the answer any more does not send the rest of the request, either.
impl Drop for FutureIncomingResponse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Awaited {
    fn answer(&self, answer: Answered) {
        let before = std::mem::replace(&mut *self.state(), State::Answered(answer));
        if let State::Waiting(waker) = before {
            waker.wake();
        }
    }

    /// The answer, once it is there; none the second time.
    fn take(&self) -> Option<Option<Answered>> {
        let mut state = self.state();
        match *state {
            State::Nothing | State::Waiting(_) => None,
            State::Taken => Some(None),
            State::Answered(_) => match std::mem::replace(&mut *state, State::Taken) {
                State::Answered(answer) => Some(Some(answer)),
                _ => None,
            },
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Event for Awaited {
    fn poll_ready(&self, task: &mut task::Context<'_>) -> Poll<()> {
        let mut state = self.state();
        match &*state {
            State::Answered(_) | State::Taken => return Poll::Ready(()),
            State::Waiting(waker) if waker.will_wake(task.waker()) => {}
            State::Nothing | State::Waiting(_) => *state = State::Waiting(task.waker().clone()),
        }
        Poll::Pending
    }
}

type Answer = Result<Result<Resource<IncomingResponse>, ErrorCode>, ()>;

pub(super) fn bind_future<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    types
        .resource::<FutureIncomingResponse>("future-incoming-response")
        .func::<(Borrowed<'_, FutureIncomingResponse>,), Resource<Pollable>>(
            "[method]future-incoming-response.subscribe",
            |cx, (future,)| {
                let awaited = Arc::clone(&cx.get(future)?.awaited);
                cx.push_child(Pollable::event(awaited), future)
            },
        )
        .func::<(Borrowed<'_, FutureIncomingResponse>,), Option<Answer>>(
            "[method]future-incoming-response.get",
            |cx, (future,)| answer_now(cx, future),
        );
}

/// Binds the handler. Whoever has it bound in the same linker shares its connections, as far as keys allow.
pub(super) fn bind<T: Send + 'static>(handler: &mut Interface<'_, T, impl FindContext<T>>) {
    type Sending = Result<Resource<FutureIncomingResponse>, ErrorCode>;
    let client = Client::default();
    handler.func::<(Resource<OutgoingRequest>, Option<Resource<RequestOptions>>), Sending>(
        "handle",
        move |cx, (request, options)| {
            let room = cx.room_with::<FutureIncomingResponse>(0)?;
            let options = options.map(|options| cx.take(&options)).transpose()?.unwrap_or_default();
            let request = cx.take(&request)?;
            Ok(send(cx, &client, request, options).map(|future| cx.push_into(room, future)))
        },
    );
}

fn answer_now(
    cx: &mut Context,
    future: Borrowed<'_, FutureIncomingResponse>,
) -> Result<Option<Answer>, Error> {
    let room = cx.room_with::<IncomingResponse>(0)?;
    let future = cx.get(future)?;
    let between_bytes = future.between_bytes.map(|time| (time, future.runtime.clone()));
    Ok(match future.awaited.take() {
        None => None,
        Some(None) => Some(Err(())),
        Some(Some(Err(code))) => Some(Ok(Err(code))),
        Some(Some(Ok(response))) => {
            let response = IncomingResponse::new(cx, response, between_bytes);
            Some(Ok(Ok(cx.push_into(room, response))))
        }
    })
}

fn send(
    cx: &Context,
    client: &Client,
    request: OutgoingRequest,
    options: RequestOptions,
) -> Result<FutureIncomingResponse, ErrorCode> {
    // From now on, and not from when the task has its turn.
    let room = client.room(cx.host())?;
    let (target, message, charge) = message(request)?;
    let allowed = cx.host().allow_request(target).map_err(|_| ErrorCode::HttpRequestDenied)?;
    let runtime = runtime()?;
    let awaited = Arc::new(Awaited::default());
    let (host, client, to) = (cx.host().clone(), client.clone(), Arc::clone(&awaited));
    let RequestOptions(times) = options;
    let (between_bytes, times) = (times.between_bytes, times.into());
    let task = runtime.spawn(async move {
        let sent = client.send((&host, &allowed), (message, room), times).await;
        drop(charge);
        to.answer(sent.and_then(|response| ReceivedResponse::new(response, host.budget())));
    });
    Ok(FutureIncomingResponse { awaited, between_bytes, task: task.abort_handle(), runtime })
}

/// What a request is about, what is sent, and what is charged for its fields.
fn message(request: OutgoingRequest) -> Result<(HttpTarget, Request<Body>, Charge), ErrorCode> {
    let OutgoingRequest { head, headers, body } = request;
    let mut headers = headers.into_map().map_err(ErrorCode::of_limit)?;
    let body = match body {
        // Whoever writes to it is told where it is not sent.
        Some(pipe) => Sent::new(pipe, None).boxed_unsync(),
        None => {
            headers.remove(&header::CONTENT_LENGTH);
            empty()
        }
    };
    let (target, message, charge) = head.message(headers)?;
    Ok((target, message.map(|()| body), charge))
}
