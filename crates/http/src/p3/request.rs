//! `wasi:http/types.request`: one that a guest makes, or is to answer.

use std::str::FromStr as _;

use http::{request, uri};
use innkeeper_component::{Borrowed, FutureOf, Resource, StreamOf};
use innkeeper_engine::{AsContextMut as _, Error, StoreContextMut};
use innkeeper_wasi::p2::{Context, FindContext, Held};
use innkeeper_wasi::p3::Interface;

use super::body::{MessageBody, Outcome, Trailers, consume};
use super::options::RequestOptions;
use super::sent::made;
use crate::Body;
use crate::types::fields::Fields;
use crate::types::{
    FieldMap, HttpLimits, Method, Received, RequestHead, RequestTimes, Scheme, own_path, set_part,
};

/// `wasi:http/types.request`
#[derive(Debug)]
pub(super) struct Request {
    pub(super) head: RequestHead,
    /// The path as it was set, where it does not begin with a slash: then `head` has it with one.
    pub(super) relative: Option<Box<str>>,
    pub(super) headers: Fields,
    pub(super) times: Option<RequestTimes>,
    pub(super) body: MessageBody,
}

impl Held for Request {
    const NAME: &'static str = "wasi:http/types request";
    const COST_BYTES: u64 = Received::COST_BYTES;
}

impl Request {
    /// A request that has come, with the scheme that its connection says.
    pub(super) fn received(
        cx: &Context,
        (parts, body): (request::Parts, Body),
        scheme: uri::Scheme,
    ) -> Result<Request, Error> {
        let host = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        // A copy, as of everything else that came in the same read.
        let authority = parts.uri.authority().map(uri::Authority::as_str).or(host);
        let authority = authority.and_then(|authority| authority.parse().ok());
        let path = own_path(parts.uri);
        Ok(Request {
            head: RequestHead { method: parts.method, path, scheme: Some(scheme), authority },
            relative: None,
            headers: Fields::received(FieldMap::received(parts.headers, cx.host().budget())?),
            times: None,
            body: MessageBody::received(body, None),
        })
    }

    /// Bytes that the parts of its head may take, for which room is asked with it. They can be set to others, but not to more.
    pub(super) fn held_bytes(&self) -> usize {
        MOST_HEAD_BYTES + self.path().map_or(0, str::len)
    }

    fn path(&self) -> Option<&str> {
        let path = self.head.path.as_ref().map(uri::PathAndQuery::as_str);
        self.relative.as_deref().or(path)
    }

    /// Sets path and query, or takes them away; what is of no good form changes nothing.
    fn set_path(&mut self, path: Option<&str>) -> Set {
        // An empty one is that of the root.
        let path = path.map(|path| if path.is_empty() { "/" } else { path });
        let relative = path.filter(|path| !path.starts_with('/') && *path != "*");
        if relative.is_some_and(|path| path.len() >= RequestHead::MOST_PATH_BYTES) {
            return Err(());
        }
        let absolute = relative.map(|path| format!("/{path}"));
        self.head.set_path(absolute.as_deref().or(path))?;
        self.relative = relative.map(Into::into);
        Ok(())
    }

    /// Whether its path is one that servers know: a query alone is one of the root.
    pub(super) fn has_good_path(&self) -> bool {
        self.relative.as_ref().is_none_or(|path| path.starts_with('?'))
    }
}

/// The most bytes that a guest can set a request's parts to: a path that does not begin with a slash is there twice.
const MOST_HEAD_BYTES: usize = RequestHead::MOST_BYTES + RequestHead::MOST_PATH_BYTES;

type Handle<'a> = Borrowed<'a, Request>;
type Set = Result<(), ()>;
type New = (Resource<Fields>, Option<StreamOf<u8>>, FutureOf<Trailers>, Option<Resource<RequestOptions>>);

pub(super) fn bind<T: Send + 'static, F: FindContext<T>>(
    types: &mut Interface<'_, T, F>,
    limits: &HttpLimits,
) {
    let limits = *limits;
    types
        .resource::<Request>("request")
        .with_store::<New, (Resource<Request>, FutureOf<Outcome>)>(
            "[static]request.new",
            move |store, context, params| new(store, context, params, &limits),
        )
        .func::<(Handle<'_>,), Method>("[method]request.get-method", |cx, (request,)| {
            Ok(Method::from(&cx.get(request)?.head.method))
        })
        .func::<(Handle<'_>, Method), Set>("[method]request.set-method", |cx, (request, method)| {
            Ok(cx.get_mut(request)?.head.set_method(method))
        })
        .func::<(Handle<'_>,), Option<String>>("[method]request.get-path-with-query", |cx, (request,)| {
            Ok(cx.get(request)?.path().map(str::to_owned))
        })
        .func::<(Handle<'_>, Option<&str>), Set>(
            "[method]request.set-path-with-query",
            |cx, (request, path)| Ok(cx.get_mut(request)?.set_path(path)),
        )
        .func::<(Handle<'_>,), Option<Scheme>>("[method]request.get-scheme", |cx, (request,)| {
            Ok(cx.get(request)?.head.scheme.as_ref().map(Scheme::from))
        })
        .func::<(Handle<'_>, Option<Scheme>), Set>("[method]request.set-scheme", |cx, (request, scheme)| {
            Ok(set_part(&mut cx.get_mut(request)?.head.scheme, scheme, Scheme::parse))
        })
        .func::<(Handle<'_>,), Option<String>>("[method]request.get-authority", |cx, (request,)| {
            Ok(cx.get(request)?.head.authority.as_ref().map(ToString::to_string))
        })
        .func::<(Handle<'_>, Option<&str>), Set>(
            "[method]request.set-authority",
            |cx, (request, authority)| Ok(cx.get_mut(request)?.head.set_authority(authority, authority_of)),
        )
        .func::<(Handle<'_>,), Option<Resource<RequestOptions>>>(
            "[method]request.get-options",
            |cx, (request,)| {
                let times = cx.get(request)?.times;
                let options = times.map(|times| cx.push(RequestOptions { times, is_immutable: true }));
                Ok(options.transpose()?)
            },
        )
        .func::<(Handle<'_>,), Resource<Fields>>("[method]request.get-headers", |cx, (request,)| {
            let headers = cx.get(request)?.headers.shared();
            Ok(cx.push(headers)?)
        })
        .with_store::<(Resource<Request>, FutureOf<Outcome>), (StreamOf<u8>, FutureOf<Trailers>)>(
            "[static]request.consume-body",
            move |mut store, context, (request, res)| {
                let Request { body, .. } = context(store.data_mut()).take(&request)?;
                consume(store, context, (body, res), &limits)
            },
        );
}

fn new<T: Send + 'static>(
    mut store: StoreContextMut<'_, T>,
    context: impl FindContext<T>,
    (headers, contents, trailers, options): New,
    limits: &HttpLimits,
) -> Result<(Resource<Request>, FutureOf<Outcome>), Error> {
    let cx = context(store.data_mut());
    let room = cx.room_with::<Request>(MOST_HEAD_BYTES)?;
    let headers = cx.take(&headers)?;
    let times = options.map(|options| cx.take(&options)).transpose()?.map(|options| options.times);
    let (body, sent) = made(store.as_context_mut(), (contents, trailers), limits)?;
    let request = Request { head: RequestHead::default(), relative: None, headers, times, body };
    Ok((context(store.data_mut()).push_into(room, request), sent))
}

/// A host, with a port or without, and a user's name before it or none.
fn authority_of(text: &str) -> Option<uri::Authority> {
    let authority = uri::Authority::from_str(text).ok()?;
    let rest = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let host = authority.host();
    let is_whole = !host.is_empty() && (host.len() == rest.len() || authority.port_u16().is_some());
    is_whole.then_some(authority)
}
