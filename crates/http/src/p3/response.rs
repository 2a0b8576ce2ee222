//! `wasi:http/types.response`: one that a guest makes, or was answered by.

use std::time::Duration;

use http::StatusCode;
use innkeeper_component::{Borrowed, FutureOf, Resource, StreamOf};
use innkeeper_engine::{AsContextMut as _, Error, StoreContextMut};
use innkeeper_wasi::p2::{FindContext, Held};
use innkeeper_wasi::p3::Interface;
use tokio::runtime::Handle as Runtime;

use super::body::{MessageBody, Outcome, Trailers, consume};
use super::sent::made;
use crate::types::fields::Fields;
use crate::types::{HttpLimits, Received, ReceivedResponse};

/// `wasi:http/types.response`
#[derive(Debug)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    pub(super) headers: Fields,
    pub(super) body: MessageBody,
}

impl Held for Response {
    const NAME: &'static str = "wasi:http/types response";
    const COST_BYTES: u64 = Received::COST_BYTES;
}

impl Response {
    /// A response that has come, whose next bytes come within a time, if there is one, by the timers of a runtime.
    pub(super) fn received(
        ReceivedResponse { status, headers, body }: ReceivedResponse,
        between_bytes: Option<(Duration, Runtime)>,
    ) -> Response {
        let body = MessageBody::received(body, between_bytes);
        Response { status, headers: Fields::received(headers), body }
    }
}

type Handle<'a> = Borrowed<'a, Response>;
type New = (Resource<Fields>, Option<StreamOf<u8>>, FutureOf<Trailers>);

pub(super) fn bind<T: Send + 'static, F: FindContext<T>>(
    types: &mut Interface<'_, T, F>,
    limits: &HttpLimits,
) {
    let limits = *limits;
    types
        .resource::<Response>("response")
        .with_store::<New, (Resource<Response>, FutureOf<Outcome>)>(
            "[static]response.new",
            move |store, context, params| new(store, context, params, &limits),
        )
        .func::<(Handle<'_>,), u16>("[method]response.get-status-code", |cx, (response,)| {
            Ok(cx.get(response)?.status.as_u16())
        })
        .func::<(Handle<'_>, u16), Result<(), ()>>(
            "[method]response.set-status-code",
            |cx, (response, status)| {
                let response = cx.get_mut(response)?;
                let status = Some(status).filter(|status| *status < 600);
                let status = status.and_then(|status| StatusCode::from_u16(status).ok());
                Ok(status.map(|status| response.status = status).ok_or(()))
            },
        )
        .func::<(Handle<'_>,), Resource<Fields>>("[method]response.get-headers", |cx, (response,)| {
            let headers = cx.get(response)?.headers.shared();
            Ok(cx.push(headers)?)
        })
        .with_store::<(Resource<Response>, FutureOf<Outcome>), (StreamOf<u8>, FutureOf<Trailers>)>(
            "[static]response.consume-body",
            move |mut store, context, (response, res)| {
                let Response { body, .. } = context(store.data_mut()).take(&response)?;
                consume(store, context, (body, res), &limits)
            },
        );
}

fn new<T: Send + 'static>(
    mut store: StoreContextMut<'_, T>,
    context: impl FindContext<T>,
    (headers, contents, trailers): New,
    limits: &HttpLimits,
) -> Result<(Resource<Response>, FutureOf<Outcome>), Error> {
    let cx = context(store.data_mut());
    let room = cx.room_with::<Response>(0)?;
    let headers = cx.take(&headers)?;
    let (body, sent) = made(store.as_context_mut(), (contents, trailers), limits)?;
    let response = Response { status: StatusCode::OK, headers, body };
    Ok((context(store.data_mut()).push_into(room, response), sent))
}
