//! What a guest is given: `incoming-request`, `incoming-response`, `incoming-body`, `future-trailers`.

use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use http::{StatusCode, request, uri};
use innkeeper_component::{Borrowed, Resource};
use innkeeper_engine::{Budget, Error};
use innkeeper_wasi::p2::{Context, Event, FindContext, Held, InputStream, Interface, Pollable};
use tokio::runtime::Handle;

use crate::Body;
use crate::types::fields::Fields;
use crate::types::{ErrorCode, FieldMap, Method, Received, ReceivedResponse, Scheme, own_path};

/// `wasi:http/types.incoming-request`
#[derive(Debug)]
pub(super) struct IncomingRequest {
    method: http::Method,
    path: Option<uri::PathAndQuery>,
    scheme: Option<uri::Scheme>,
    authority: Option<String>,
    headers: Fields,
    body: Option<IncomingBody>,
}

/// `wasi:http/types.incoming-response`
#[derive(Debug)]
pub(super) struct IncomingResponse {
    status: StatusCode,
    headers: Fields,
    body: Option<IncomingBody>,
}

/// `wasi:http/types.incoming-body`
#[derive(Debug)]
pub(super) struct IncomingBody {
    received: Arc<Received>,
    is_stream_taken: bool,
}

/// `wasi:http/types.future-trailers`
#[derive(Debug)]
pub(super) struct FutureTrailers {
    received: Arc<Received>,
    is_taken: bool,
}

/// That the trailers are there.
#[derive(Debug)]
struct TrailersArrive(Arc<Received>);

impl Held for IncomingRequest {
    const NAME: &'static str = "wasi:http/types incoming-request";
    const COST_BYTES: u64 = Received::COST_BYTES;
}

impl Held for IncomingResponse {
    const NAME: &'static str = "wasi:http/types incoming-response";
    const COST_BYTES: u64 = Received::COST_BYTES;
}

impl Held for IncomingBody {
    const NAME: &'static str = "wasi:http/types incoming-body";
    const COST_BYTES: u64 = Received::COST_BYTES;
}

impl Held for FutureTrailers {
    const NAME: &'static str = "wasi:http/types future-trailers";
    const COST_BYTES: u64 = Received::COST_BYTES;
}

impl IncomingRequest {
    /// A request that has come, with the scheme that its connection says.
    pub(super) fn new(
        cx: &Context,
        (parts, body): (request::Parts, Body),
        scheme: uri::Scheme,
    ) -> Result<IncomingRequest, Error> {
        let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let authority = parts.uri.authority().map(uri::Authority::as_str).or(host).map(str::to_owned);
        let budget = cx.host().budget();
        Ok(IncomingRequest {
            method: parts.method,
            path: own_path(parts.uri),
            scheme: Some(scheme),
            authority,
            headers: Fields::received(FieldMap::received(parts.headers, budget)?),
            body: Some(IncomingBody::new(body, None, budget)),
        })
    }

    /// Bytes that its parts take, for which room is asked with it.
    pub(super) fn held_bytes(&self) -> usize {
        let path = self.path.as_ref().map_or(0, |path| path.as_str().len());
        path + self.authority.as_ref().map_or(0, String::len) + self.method.as_str().len()
    }
}

impl IncomingResponse {
    /// A response that has come, whose next bytes come within a time, if there is one, by the timers of a runtime.
    pub(super) fn new(
        cx: &Context,
        ReceivedResponse { status, headers, body }: ReceivedResponse,
        between_bytes: Option<(Duration, Handle)>,
    ) -> IncomingResponse {
        let body = IncomingBody::new(body, between_bytes, cx.host().budget());
        IncomingResponse { status, headers: Fields::received(headers), body: Some(body) }
    }
}

impl IncomingBody {
    fn new(body: Body, between_bytes: Option<(Duration, Handle)>, budget: &Budget) -> IncomingBody {
        let received = Arc::new(Received::new(body, between_bytes, budget));
        IncomingBody { received, is_stream_taken: false }
    }
}

impl Event for TrailersArrive {
    fn poll_ready(&self, task: &mut task::Context<'_>) -> Poll<()> {
        self.0.poll_end(task)
    }
}

type Request<'a> = Borrowed<'a, IncomingRequest>;
type Response<'a> = Borrowed<'a, IncomingResponse>;
type BodyHandle<'a> = Borrowed<'a, IncomingBody>;
type Trailers<'a> = Borrowed<'a, FutureTrailers>;

pub(super) fn bind<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    bind_messages(types);
    types
        .resource::<IncomingBody>("incoming-body")
        .func::<(BodyHandle<'_>,), Result<Resource<InputStream>, ()>>(
            "[method]incoming-body.stream",
            |cx, (body,)| {
                let room = cx.room_with::<InputStream>(0)?;
                let taken = cx.get_mut(body)?;
                if std::mem::replace(&mut taken.is_stream_taken, true) {
                    return Ok(Err(()));
                }
                let stream = InputStream::of(Arc::clone(&taken.received) as _);
                Ok(Ok(cx.push_child_into(room, stream, body)?))
            },
        )
        .func::<(Resource<IncomingBody>,), Resource<FutureTrailers>>(
            "[static]incoming-body.finish",
            |cx, (body,)| {
                let room = cx.room_with::<FutureTrailers>(0)?;
                let IncomingBody { received, .. } = cx.take(&body)?;
                Ok(cx.push_into(room, FutureTrailers { received, is_taken: false }))
            },
        )
        .resource::<FutureTrailers>("future-trailers")
        .func::<(Trailers<'_>,), Resource<Pollable>>(
            "[method]future-trailers.subscribe",
            |cx, (trailers,)| {
                let event = TrailersArrive(Arc::clone(&cx.get(trailers)?.received));
                cx.push_child(Pollable::event(Arc::new(event)), trailers)
            },
        )
        .func::<(Trailers<'_>,), Option<Result<ArrivedTrailers, ()>>>(
            "[method]future-trailers.get",
            |cx, (trailers,)| trailers_now(cx, trailers),
        );
}

type ArrivedTrailers = Result<Option<Resource<Fields>>, ErrorCode>;

fn trailers_now(
    cx: &mut Context,
    trailers: Trailers<'_>,
) -> Result<Option<Result<ArrivedTrailers, ()>>, Error> {
    let future = cx.get(trailers)?;
    if future.is_taken {
        return Ok(Some(Err(())));
    }
    // Whoever wants to be woken polls the pollable.
    let arrived = match future.received.poll_trailers(&mut task::Context::from_waker(Waker::noop())) {
        Poll::Pending => return Ok(None),
        Poll::Ready(arrived) => arrived,
    };
    let given = match arrived {
        Ok(map) => Ok(map.map(|map| cx.push(Fields::received(map))).transpose()?),
        Err(code) => Err(code),
    };
    cx.get_mut(trailers)?.is_taken = true;
    Ok(Some(Ok(given)))
}

fn bind_messages<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    types
        .resource::<IncomingRequest>("incoming-request")
        .func::<(Request<'_>,), Method>("[method]incoming-request.method", |cx, (request,)| {
            Ok(Method::from(&cx.get(request)?.method))
        })
        .func::<(Request<'_>,), Option<String>>(
            "[method]incoming-request.path-with-query",
            |cx, (request,)| Ok(cx.get(request)?.path.as_ref().map(ToString::to_string)),
        )
        .func::<(Request<'_>,), Option<Scheme>>("[method]incoming-request.scheme", |cx, (request,)| {
            Ok(cx.get(request)?.scheme.as_ref().map(Scheme::from))
        })
        .func::<(Request<'_>,), Option<String>>("[method]incoming-request.authority", |cx, (request,)| {
            Ok(cx.get(request)?.authority.clone())
        })
        .func::<(Request<'_>,), Resource<Fields>>("[method]incoming-request.headers", |cx, (request,)| {
            let headers = cx.get(request)?.headers.shared();
            cx.push_child(headers, request)
        })
        .func::<(Request<'_>,), Result<Resource<IncomingBody>, ()>>(
            "[method]incoming-request.consume",
            |cx, (request,)| {
                let room = cx.room_with::<IncomingBody>(0)?;
                let body = cx.get_mut(request)?.body.take();
                Ok(body.map(|body| cx.push_into(room, body)).ok_or(()))
            },
        )
        .resource::<IncomingResponse>("incoming-response")
        .func::<(Response<'_>,), u16>("[method]incoming-response.status", |cx, (response,)| {
            Ok(cx.get(response)?.status.as_u16())
        })
        .func::<(Response<'_>,), Resource<Fields>>("[method]incoming-response.headers", |cx, (response,)| {
            let headers = cx.get(response)?.headers.shared();
            cx.push_child(headers, response)
        })
        .func::<(Response<'_>,), Result<Resource<IncomingBody>, ()>>(
            "[method]incoming-response.consume",
            |cx, (response,)| {
                let room = cx.room_with::<IncomingBody>(0)?;
                let body = cx.get_mut(response)?.body.take();
                Ok(body.map(|body| cx.push_into(room, body)).ok_or(()))
            },
        );
}
