//! One request and its answer: what is refused before anybody handles it, the deadlines of the rest, and what the log says of it.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, RETRY_AFTER};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::time::timeout_at;

use super::Limits;
use super::access_log::Entry;
use super::account::Account;
use super::activity::{Activity, UnderWay};
use super::answer::Answer;
use super::bound::{Bound, processor_time_is_used};
use super::flow::Flow;
use super::request_body::{Refusal, RequestBody, Trouble};
use super::serving::Serving;
use super::trace_context::TraceContext;
use crate::{Arrival, Body, Failure, Place, Response, empty, full};

/// Answers the requests of one connection.
#[derive(Clone)]
pub(super) struct Answering {
    serving: Arc<Serving>,
    activity: Arc<Activity>,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    secure: bool,
}

impl Answering {
    pub(super) fn new(
        serving: &Arc<Serving>,
        activity: &Arc<Activity>,
        (peer, local): (Option<SocketAddr>, Option<SocketAddr>),
        secure: bool,
    ) -> Answering {
        let (serving, activity) = (Arc::clone(serving), Arc::clone(activity));
        Answering { serving, activity, peer, local, secure }
    }
}

impl Service<Request<Incoming>> for Answering {
    type Response = http::Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let flow = Flow::begin(&self.serving.limits);
        let under_way = self.activity.begin(flow.clone(), &self.serving.limits);
        let answering = self.clone();
        Box::pin(async move { Ok(answering.answer(request, flow, under_way).await) })
    }
}

impl Answering {
    /// Writes down that the connection has ended with a head that could not be read, where this is why; whoever read it has answered.
    pub(super) fn unread_head(&self, error: &hyper::Error) {
        if !error.is_parse() {
            return;
        }
        let limits = &self.serving.limits;
        let (status, note) = match error.is_parse_too_large() {
            true => {
                self.serving.metrics.hit(Bound::Header);
                let note = Bound::Header.said("the request's head is too large", limits);
                // There is no other way to ask which it was.
                let is_target = error.to_string().contains("URI");
                let status = if is_target { StatusCode::URI_TOO_LONG } else { HEAD_TOO_LARGE };
                (status, note)
            }
            false => (StatusCode::BAD_REQUEST, format!("the request's head is not in order: {error}")),
        };
        self.no_request(status, &note);
    }

    /// Writes down that a head has taken too long.
    pub(super) fn late_head(&self) {
        let note = Bound::HeaderTime.said("the request's head takes too long", &self.serving.limits);
        self.no_request(StatusCode::REQUEST_TIMEOUT, &note);
    }

    fn no_request(&self, status: StatusCode, note: &str) {
        let trace = TraceContext::of(&HeaderMap::new());
        let peer = self.peer.map(|peer| peer.ip());
        Entry::unread(Arc::clone(&self.serving), (peer, &trace), (status, note));
    }

    async fn answer(
        self,
        mut request: Request<Incoming>,
        flow: Flow,
        under_way: UnderWay,
    ) -> http::Response<Answer> {
        let serving = &self.serving;
        let limits = &serving.limits;
        let deadline = flow.deadline();
        let is_head = request.method() == Method::HEAD;
        let is_http1 = request.version() <= Version::HTTP_11;
        let trace = TraceContext::of(request.headers());
        let account = Account::default();
        let peer = self.peer.map(|peer| peer.ip());
        let mut entry = Entry::begin(Arc::clone(serving), &request, peer, &trace, account.clone());
        let mut admitted = None;
        let response = match refused(&request, limits) {
            Some((status, bound, reason)) => {
                match bound {
                    Some(bound) => entry.limited(bound, reason),
                    None => entry.note(reason),
                }
                refusal(status, is_http1)
            }
            None => match timeout_at(deadline, serving.admission.enter(limits, (&flow, &self.activity)))
                .await
                .ok()
                .flatten()
            {
                None => {
                    serving.metrics.hit(Bound::Queue);
                    account.note(&no_room(limits));
                    refusal(StatusCode::SERVICE_UNAVAILABLE, false)
                }
                Some(place) => {
                    let place = Place::new(place);
                    request.extensions_mut().insert(place.clone());
                    admitted = Some(place);
                    prefer_target(&mut request);
                    self.handled(request, (&flow, trace), &account).await
                }
            },
        };
        let response = without_connection_fields(response);
        entry.answered(&response);
        let parts = Answer::begin(is_head, flow, (entry, admitted, under_way));
        let (mut head, body) = response.into_parts();
        if self.serving.stop.is_draining() && is_http1 {
            head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        http::Response::from_parts(head, parts.of(body, limits.body_time))
    }

    /// What the handler answers, or what is said in its place.
    async fn handled(
        &self,
        request: Request<Incoming>,
        (flow, trace): (&Flow, TraceContext),
        account: &Account,
    ) -> Response {
        let limits = &self.serving.limits;
        let deadline = flow.deadline();
        let is_http1 = request.version() <= Version::HTTP_11;
        let trouble = Trouble::default();
        let (mut head, body) = request.into_parts();
        trace.insert_into(&mut head.headers);
        head.extensions.insert(account.clone());
        let body = RequestBody::new(body, limits, (flow.clone(), trouble.clone()));
        let request = Request::from_parts(head, Body::new(body.map_err(Into::into)));
        let arrival = Arrival {
            peer: self.peer,
            local: self.local,
            secure: self.secure,
            deadline: Some(deadline.into_std()),
        };
        let handling = Unwinding(AssertUnwindSafe(self.serving.handler.handle(request, arrival)));
        let outcome = timeout_at(deadline, handling).await;
        // What the guest makes of a body that was cut short is no answer to the request.
        if let Some((status, bound, reason)) = trouble.of(flow) {
            // Whoever cut it has counted that.
            if let Some(bound) = bound.filter(|bound| *bound != Bound::MinRate) {
                self.serving.metrics.hit(bound);
            }
            account.note(&bound.map_or_else(|| reason.to_owned(), |bound| bound.said(reason, limits)));
            return refusal(status, is_http1);
        }
        match outcome {
            Ok(Some(Ok(response))) => response,
            Ok(Some(Err(failure))) => {
                let (status, reason) = match failure {
                    Failure::Guest(reason) => (StatusCode::INTERNAL_SERVER_ERROR, reason),
                    Failure::Deadline(reason) => {
                        self.serving.metrics.hit(Bound::Timeout);
                        (StatusCode::GATEWAY_TIMEOUT, Bound::Timeout.said(reason, limits))
                    }
                    Failure::ProcessorTime(limit) => {
                        self.serving.metrics.hit(Bound::Cpu);
                        (StatusCode::GATEWAY_TIMEOUT, processor_time_is_used(limit))
                    }
                    Failure::Exhausted(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason),
                };
                account.note(&reason);
                refusal(status, false)
            }
            Ok(None) => {
                account.note("the handler panicked");
                refusal(StatusCode::INTERNAL_SERVER_ERROR, false)
            }
            Err(_) => {
                self.serving.metrics.hit(Bound::Timeout);
                account.note(&Bound::Timeout.said("there was no answer in time", limits));
                refusal(StatusCode::GATEWAY_TIMEOUT, false)
            }
        }
    }
}

/// What a request with too large a head is answered.
const HEAD_TOO_LARGE: StatusCode = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;

/// Why a request is sent away.
fn no_room(limits: &Limits) -> String {
    let bounds = [Bound::Requests, Bound::Queue, Bound::QueueTime];
    let [requests, queue, time] = bounds.map(|bound| bound.value(limits));
    format!("no room for another request: {requests}, {queue}, {time}")
}

/// Why a request is refused that nobody has looked at yet: the answer, the bound that it is over, and the reason.
fn refused(request: &Request<Incoming>, limits: &Limits) -> Option<Refusal> {
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let head_bytes =
        bytes.saturating_add(request.uri().path_and_query().map_or(0, |target| target.as_str().len()));
    if u64::try_from(head_bytes).is_ok_and(|bytes| bytes > u64::from(limits.max_header_bytes))
        || headers.len() > limits.max_headers
    {
        return Some((HEAD_TOO_LARGE, Some(Bound::Header), "the request's head is too large"));
    }
    if *request.method() == Method::CONNECT {
        return Some((StatusCode::NOT_IMPLEMENTED, None, "this is no proxy"));
    }
    if !names_one_host(request) {
        return Some((StatusCode::BAD_REQUEST, None, "it is not clear which host the request is for"));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    (length? > limits.max_body_bytes).then_some(Trouble::TOO_LARGE)
}

/// Whether it is clear whom a request is for: RFC 9112, sections 3.2 and 3.3; RFC 9113, section 8.3.1.
fn names_one_host(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, other) = (hosts.next(), hosts.next());
    let (uri, authority) = (request.uri(), request.uri().authority());
    let is_host = |host: &HeaderValue| {
        host.is_empty() || Authority::try_from(host.as_bytes()).is_ok_and(|host| is_of_host(&host))
    };
    other.is_none()
        && host.is_none_or(is_host)
        && authority.is_none_or(is_of_host)
        && uri.scheme_str().is_none_or(|scheme| matches!(scheme, "http" | "https"))
        && match request.version() {
            // A target that is nothing but an authority is that of CONNECT.
            Version::HTTP_11 => host.is_some() && (authority.is_none() || uri.scheme().is_some()),
            Version::HTTP_2 => match (host, authority) {
                (Some(host), Some(authority)) => {
                    host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
                }
                _ => true,
            },
            _ => authority.is_none() || uri.scheme().is_some(),
        }
}

/// Whether an authority is a host and, where it has one, a port, with no user's name before it.
fn is_of_host(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    !authority.as_str().contains('@')
        && port.is_some_and(|port| matches!(port, "" | ":") || authority.port_u16().is_some())
}

/// Has the field name the host that the target names, which counts alone.
fn prefer_target(request: &mut Request<Incoming>) {
    let named =
        request.uri().authority().and_then(|authority| HeaderValue::try_from(authority.as_str()).ok());
    if let (Some(named), Some(host)) = (named, request.headers_mut().get_mut(HOST)) {
        *host = named;
    }
}

/// An answer in the place of a handler's. What is left of a request's body that was not taken is not read, either.
fn refusal(status: StatusCode, closes: bool) -> Response {
    let body = match status.canonical_reason() {
        Some(reason) => full(format!("{reason}\n")),
        None => empty(),
    };
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_TIME.as_secs()));
    }
    if closes {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// When a client may try again that was sent away.
const RETRY_AFTER_TIME: Duration = Duration::from_secs(1);

/// A response without the fields that are the connection's, which are not a handler's to say; `close` excepted, which asks for no more than an end.
fn without_connection_fields(mut response: Response) -> Response {
    const CONNECTION_FIELDS: [&str; 5] =
        ["keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"];
    let headers = response.headers_mut();
    for name in CONNECTION_FIELDS {
        headers.remove(name);
    }
    if headers.get_all(CONNECTION).iter().any(|value| value != "close") {
        headers.remove(CONNECTION);
    }
    response
}

/// A future of which a panic is an outcome, and none of the server's.
struct Unwinding<F>(AssertUnwindSafe<F>);

impl<F: Future + Unpin> Future for Unwinding<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = &mut self.0.0;
        match std::panic::catch_unwind(AssertUnwindSafe(|| Pin::new(future).poll(cx))) {
            Ok(outcome) => outcome.map(Some),
            Err(_) => Poll::Ready(None),
        }
    }
}
