//! `wasi:http/outgoing-handler`, and `wasi:http/types.future-incoming-response`: requests that guests send.
//!
//! A request is sent by a task, which ends with the handle of its answer. Must stay true: nothing is sent that the decision point has not allowed.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use http::{HeaderValue, Request, Response, header, uri};
use http_body_util::BodyExt as _;
use innkeeper_component::{Borrowed, Resource};
use innkeeper_engine::Error;
use innkeeper_wasi::keys::{HttpScheme, HttpTarget};
use innkeeper_wasi::p2::{Context, Event, FindContext, Held, Interface, Pollable};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::error_code::ErrorCode;
use super::incoming::IncomingResponse;
use super::outgoing::{OutgoingRequest, RequestOptions, is_sendable};
use super::pipe::Sent;
use crate::client::{Client, Times};
use crate::{Body, empty};

/// `wasi:http/types.future-incoming-response`
#[derive(Debug)]
pub(super) struct FutureIncomingResponse {
    awaited: Arc<Awaited>,
    between_bytes: Option<Duration>,
    runtime: Handle,
    task: AbortHandle,
}

/// An answer that a task waits for.
#[derive(Debug, Default)]
struct Awaited(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Nothing,
    /// Somebody is to be woken.
    Waiting(Waker),
    Answered(Result<Response<Body>, ErrorCode>),
    Taken,
}

/// How long a guest waits for a connection that says nothing of it.
const CONNECT_TIME: Duration = Duration::from_secs(30);

/// The same for the beginning of the answer. Its deadline is most often earlier.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(600);

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
    fn answer(&self, answer: Result<Response<Body>, ErrorCode>) {
        let before = std::mem::replace(&mut *self.state(), State::Answered(answer));
        if let State::Waiting(waker) = before {
            waker.wake();
        }
    }

    /// The answer, once it is there; none the second time.
    fn take(&self) -> Option<Option<Result<Response<Body>, ErrorCode>>> {
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
            let response = IncomingResponse::new(cx, response, between_bytes)?;
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
    let (target, message) = message(request)?;
    let allowed = cx.host().allow_request(target).map_err(|_| ErrorCode::HttpRequestDenied)?;
    let runtime = runtime()?;
    let awaited = Arc::new(Awaited::default());
    let (host, client, to) = (cx.host().clone(), client.clone(), Arc::clone(&awaited));
    let times = Times {
        connect: options.connect.unwrap_or(CONNECT_TIME),
        first_byte: options.first_byte.unwrap_or(FIRST_BYTE_TIME),
    };
    let task = runtime.spawn(async move { to.answer(client.send((&host, &allowed), message, times).await) });
    Ok(FutureIncomingResponse {
        awaited,
        between_bytes: options.between_bytes,
        task: task.abort_handle(),
        runtime,
    })
}

/// The runtime that sends requests: that of whoever runs the guest, or one of its own where there is none, made when it is first needed.
fn runtime() -> Result<Handle, ErrorCode> {
    static OWN: OnceLock<Option<Handle>> = OnceLock::new();
    if let Ok(handle) = Handle::try_current() {
        return Ok(handle);
    }
    // One with threads of its own would panic where the system has none.
    let own = OWN.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name(String::from("http"));
        thread.spawn(move || runtime.block_on(std::future::pending::<()>())).ok()?;
        Some(handle)
    });
    let missing = || ErrorCode::InternalError(Some(String::from("there is no thread to send it by")));
    own.clone().ok_or_else(missing)
}

/// What a request is about, and what is sent.
fn message(request: OutgoingRequest) -> Result<(HttpTarget, Request<Body>), ErrorCode> {
    let OutgoingRequest { method, path, scheme, authority, headers, body } = request;
    let mut headers = headers.into_map();
    let body = match body {
        // Whoever writes to it is told where it is not sent.
        Some(pipe) => Sent::new(pipe, None).boxed_unsync(),
        None => {
            headers.remove(header::CONTENT_LENGTH);
            empty()
        }
    };
    let scheme = match scheme {
        None => HttpScheme::Https,
        Some(scheme) if scheme == uri::Scheme::HTTPS => HttpScheme::Https,
        Some(scheme) if scheme == uri::Scheme::HTTP => HttpScheme::Http,
        Some(_) => return Err(ErrorCode::HttpProtocolError),
    };
    if method == http::Method::CONNECT {
        return Err(ErrorCode::HttpRequestMethodInvalid);
    }
    let invalid = ErrorCode::HttpRequestUriInvalid;
    let authority = authority.ok_or_else(|| invalid.clone())?;
    let port = authority.port_u16();
    if port.is_none() && authority.host().len() != authority.as_str().len() {
        return Err(invalid);
    }
    let path = path.unwrap_or_else(|| uri::PathAndQuery::from_static("/"));
    let target = HttpTarget::new(method.as_str(), scheme, (authority.host(), port), path.path());
    let target = target.map_err(|_| invalid.clone())?;
    if !is_sendable(&headers) {
        return Err(ErrorCode::HttpProtocolError);
    }
    headers.insert(header::HOST, HeaderValue::try_from(authority.as_str()).map_err(|_| invalid)?);
    let mut message = Request::new(body);
    *message.method_mut() = method;
    *message.uri_mut() = uri::Uri::from(path);
    *message.headers_mut() = headers;
    Ok((target, message))
}
