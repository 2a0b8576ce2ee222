//! What a guest makes: `outgoing-request`, `outgoing-response`, `outgoing-body`, `request-options`.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, uri};
use innkeeper_component::{Borrowed, Resource};
use innkeeper_engine::{BudgetKind, Error};
use innkeeper_wasi::p2::{Context, FindContext, Held, Interface, OutputStream};

use crate::types::fields::Fields;
use crate::types::{
    ErrorCode, HttpLimits, Message, Method, Pipe, RequestHead, RequestTimes, Scheme, nanoseconds, promised,
    set_part,
};

/// `wasi:http/types.outgoing-request`
#[derive(Debug)]
pub(super) struct OutgoingRequest {
    pub(super) head: RequestHead,
    pub(super) headers: Fields,
    pub(super) body: Option<Arc<Pipe>>,
}

/// `wasi:http/types.outgoing-response`
#[derive(Debug)]
pub(super) struct OutgoingResponse {
    pub(super) status: StatusCode,
    pub(super) headers: Fields,
    pub(super) body: Option<Arc<Pipe>>,
}

/// `wasi:http/types.outgoing-body`
#[derive(Debug)]
pub(super) struct OutgoingBody {
    pipe: Arc<Pipe>,
    is_stream_taken: bool,
}

/// `wasi:http/types.request-options`
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestOptions(pub(super) RequestTimes);

impl Held for OutgoingRequest {
    const NAME: &'static str = "wasi:http/types outgoing-request";
}

impl Held for OutgoingResponse {
    const NAME: &'static str = "wasi:http/types outgoing-response";
}

impl Held for OutgoingBody {
    const NAME: &'static str = "wasi:http/types outgoing-body";
}

impl Held for RequestOptions {
    const NAME: &'static str = "wasi:http/types request-options";
}

/// A body that is dropped without `finish` is not whole.
impl Drop for OutgoingBody {
    fn drop(&mut self) {
        let reason = "the guest dropped the body before it had finished it";
        self.pipe.fail(ErrorCode::InternalError(Some(String::from(reason))));
    }
}

/// A message whose body is taken once.
trait HasBody: Held {
    const MESSAGE: Message;

    fn parts(&mut self) -> (&HeaderMap, &mut Option<Arc<Pipe>>);
}

impl HasBody for OutgoingRequest {
    const MESSAGE: Message = Message::Request;

    fn parts(&mut self) -> (&HeaderMap, &mut Option<Arc<Pipe>>) {
        (self.headers.map(), &mut self.body)
    }
}

impl HasBody for OutgoingResponse {
    const MESSAGE: Message = Message::Response;

    fn parts(&mut self) -> (&HeaderMap, &mut Option<Arc<Pipe>>) {
        (self.headers.map(), &mut self.body)
    }
}

fn take_body<M: HasBody>(
    cx: &mut Context,
    message: Borrowed<'_, M>,
    limits: &HttpLimits,
) -> Result<Result<Resource<OutgoingBody>, ()>, Error> {
    let room = cx.room_with::<OutgoingBody>(0)?;
    let charge = cx.host().budget().hold(BudgetKind::Buffer, limits.body_buffer_bytes as u64)?;
    let (headers, body) = cx.get_mut(message)?.parts();
    if body.is_some() {
        return Ok(Err(()));
    }
    let Ok(promised) = promised(headers) else { return Ok(Err(())) };
    let pipe = Arc::new(Pipe::new(M::MESSAGE, promised, (limits.body_buffer_bytes, charge)));
    *body = Some(Arc::clone(&pipe));
    Ok(Ok(cx.push_into(room, OutgoingBody { pipe, is_stream_taken: false })))
}

type Request<'a> = Borrowed<'a, OutgoingRequest>;
type Response<'a> = Borrowed<'a, OutgoingResponse>;
type BodyHandle<'a> = Borrowed<'a, OutgoingBody>;
type Set = Result<(), ()>;

pub(super) fn bind<T: Send + 'static>(
    types: &mut Interface<'_, T, impl FindContext<T>>,
    limits: &HttpLimits,
) {
    bind_request(types, limits);
    bind_options(types);
    bind_response(types, limits);
    types
        .resource::<OutgoingBody>("outgoing-body")
        .func::<(BodyHandle<'_>,), Result<Resource<OutputStream>, ()>>(
            "[method]outgoing-body.write",
            |cx, (body,)| {
                let room = cx.room_with::<OutputStream>(0)?;
                let taken = cx.get_mut(body)?;
                if std::mem::replace(&mut taken.is_stream_taken, true) {
                    return Ok(Err(()));
                }
                let stream = OutputStream::of(Arc::clone(&taken.pipe) as _);
                Ok(Ok(cx.push_child_into(room, stream, body)?))
            },
        )
        .func::<(Resource<OutgoingBody>, Option<Resource<Fields>>), Result<(), ErrorCode>>(
            "[static]outgoing-body.finish",
            |cx, (body, trailers)| {
                let trailers = trailers.map(|trailers| cx.take(&trailers)).transpose()?;
                let body = cx.take(&body)?;
                let trailers = trailers.map(Fields::into_map).transpose()?;
                Ok(body.pipe.finish(trailers))
            },
        );
}

fn bind_request<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>, limits: &HttpLimits) {
    let limits = *limits;
    types
        .resource::<OutgoingRequest>("outgoing-request")
        .func::<(Resource<Fields>,), Resource<OutgoingRequest>>(
            "[constructor]outgoing-request",
            |cx, (headers,)| {
                let room = cx.room_with::<OutgoingRequest>(RequestHead::MOST_BYTES)?;
                let headers = cx.take(&headers)?;
                let request = OutgoingRequest { head: RequestHead::default(), headers, body: None };
                Ok(cx.push_into(room, request))
            },
        )
        .func::<(Request<'_>,), Result<Resource<OutgoingBody>, ()>>(
            "[method]outgoing-request.body",
            move |cx, (request,)| take_body(cx, request, &limits),
        )
        .func::<(Request<'_>,), Method>("[method]outgoing-request.method", |cx, (request,)| {
            Ok(Method::from(&cx.get(request)?.head.method))
        })
        .func::<(Request<'_>, Method), Set>("[method]outgoing-request.set-method", |cx, (request, method)| {
            Ok(cx.get_mut(request)?.head.set_method(method))
        })
        .func::<(Request<'_>,), Option<String>>(
            "[method]outgoing-request.path-with-query",
            |cx, (request,)| Ok(cx.get(request)?.head.path.as_ref().map(ToString::to_string)),
        )
        .func::<(Request<'_>, Option<&str>), Set>(
            "[method]outgoing-request.set-path-with-query",
            |cx, (request, path)| Ok(cx.get_mut(request)?.head.set_path(path)),
        )
        .func::<(Request<'_>,), Option<Scheme>>("[method]outgoing-request.scheme", |cx, (request,)| {
            Ok(cx.get(request)?.head.scheme.as_ref().map(Scheme::from))
        })
        .func::<(Request<'_>, Option<Scheme>), Set>(
            "[method]outgoing-request.set-scheme",
            |cx, (request, scheme)| {
                let request = cx.get_mut(request)?;
                Ok(set_part(&mut request.head.scheme, scheme, Scheme::parse))
            },
        )
        .func::<(Request<'_>,), Option<String>>("[method]outgoing-request.authority", |cx, (request,)| {
            Ok(cx.get(request)?.head.authority.as_ref().map(ToString::to_string))
        })
        .func::<(Request<'_>, Option<&str>), Set>(
            "[method]outgoing-request.set-authority",
            |cx, (request, authority)| Ok(cx.get_mut(request)?.head.set_authority(authority, authority_of)),
        )
        .func::<(Request<'_>,), Resource<Fields>>("[method]outgoing-request.headers", |cx, (request,)| {
            let headers = cx.get(request)?.headers.shared();
            cx.push_child(headers, request)
        });
}

/// A host, with a port or without. One with a name and password of a user before it is none: they are never sent, and fool who reads it.
fn authority_of(text: &str) -> Option<uri::Authority> {
    uri::Authority::from_str(text).ok().filter(|authority| !authority.as_str().contains('@'))
}

fn bind_response<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>, limits: &HttpLimits) {
    let limits = *limits;
    types
        .resource::<OutgoingResponse>("outgoing-response")
        .func::<(Resource<Fields>,), Resource<OutgoingResponse>>(
            "[constructor]outgoing-response",
            |cx, (headers,)| {
                let room = cx.room_with::<OutgoingResponse>(0)?;
                let headers = cx.take(&headers)?;
                Ok(cx.push_into(room, OutgoingResponse { status: StatusCode::OK, headers, body: None }))
            },
        )
        .func::<(Response<'_>,), u16>("[method]outgoing-response.status-code", |cx, (response,)| {
            Ok(cx.get(response)?.status.as_u16())
        })
        .func::<(Response<'_>, u16), Set>(
            "[method]outgoing-response.set-status-code",
            |cx, (response, status)| {
                let response = cx.get_mut(response)?;
                // One that informs is followed by another, and does not stand for it.
                let status = StatusCode::from_u16(status).ok().filter(|status| !status.is_informational());
                Ok(status.map(|status| response.status = status).ok_or(()))
            },
        )
        .func::<(Response<'_>,), Resource<Fields>>("[method]outgoing-response.headers", |cx, (response,)| {
            let headers = cx.get(response)?.headers.shared();
            cx.push_child(headers, response)
        })
        .func::<(Response<'_>,), Result<Resource<OutgoingBody>, ()>>(
            "[method]outgoing-response.body",
            move |cx, (response,)| take_body(cx, response, &limits),
        );
}

/// A time of the options as two functions: one that reads it, and one that sets it.
macro_rules! time {
    ($types:ident, $name:literal, $field:ident) => {
        $types
            .func::<(Borrowed<'_, RequestOptions>,), Option<u64>>(
                concat!("[method]request-options.", $name),
                |cx, (options,)| Ok(cx.get(options)?.0.$field.map(nanoseconds)),
            )
            .func::<(Borrowed<'_, RequestOptions>, Option<u64>), Set>(
                concat!("[method]request-options.set-", $name),
                |cx, (options, time)| {
                    cx.get_mut(options)?.0.$field = time.map(Duration::from_nanos);
                    Ok(Ok(()))
                },
            )
    };
}

fn bind_options<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    types
        .resource::<RequestOptions>("request-options")
        .func::<(), Resource<RequestOptions>>("[constructor]request-options", |cx, ()| {
            Ok(cx.push(RequestOptions::default())?)
        });
    time!(types, "connect-timeout", connect);
    time!(types, "first-byte-timeout", first_byte);
    time!(types, "between-bytes-timeout", between_bytes);
}
