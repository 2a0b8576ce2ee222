//! What whoever looks after a server is told, on an address of its own: whether it lives, whether it takes requests, what it has counted, and a page of all that.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 while the process lives |
//! | `/readyz` | 200 while requests are taken; 503 when the server is to end, or its queue is full |
//! | `/metrics` | what is counted, in the text format of Prometheus |
//! | `/status.json` | what the page shows besides: limits, what was denied and what failed lately |
//! | `/` | the page |
//!
//! It has a room of its own: however many requests the server has, these are answered. Nobody but those who can reach its address is kept from it, and nothing can be changed by it.

mod status;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::{JoinHandle, spawn};
use tokio::time::{sleep, timeout};

use super::PAUSE;
use super::listener::{Accepted, Listener};
use super::serving::Serving;
use crate::{Response, full};

/// Connections at a time: for one more, the oldest goes.
const MOST_CONNECTIONS: usize = 32;

/// How long a head may take, and a connection be without one.
const HEAD_TIME: Duration = Duration::from_secs(10);

/// How long a connection may last in all.
const CONNECTION_TIME: Duration = Duration::from_secs(300);

const PAGE: &str = include_str!("page.html");

/// The page has nothing from elsewhere, and sends nothing elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Answers whoever looks after the server, until nobody needs that any more.
pub(super) async fn serve(serving: Arc<Serving>, listener: Listener) {
    let mut conversations = Conversations::default();
    loop {
        let accepted = tokio::select! {
            () = serving.stop.ended() => return,
            accepted = listener.accept() => accepted,
        };
        let serving = Arc::clone(&serving);
        match accepted {
            Ok(Accepted::Tcp(stream, _)) => {
                conversations.begin(spawn(converse(serving, stream, Scope::Network)));
            }
            Ok(Accepted::Unix(stream)) => {
                conversations.begin(spawn(converse(serving, stream, Scope::Machine)));
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// The connections that there are, the oldest first.
///
/// Answers are there at once: a connection that has lasted is one that waits, and whoever opens many of them is not to keep others from asking whether the server lives.
#[derive(Default)]
struct Conversations(VecDeque<JoinHandle<()>>);

impl Conversations {
    fn begin(&mut self, conversation: JoinHandle<()>) {
        self.0.retain(|other| !other.is_finished());
        if self.0.len() >= MOST_CONNECTIONS
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
        self.0.push_back(conversation);
    }
}

/// Where a connection can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    Network,
    /// A socket of the file system, which no browser connects to.
    Machine,
}

async fn converse<S>(serving: Arc<Serving>, stream: S, scope: Scope)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let response = answer(&serving, &request, scope);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    // Whoever scrapes connects again.
    let _ = timeout(CONNECTION_TIME, connection).await;
}

fn answer(serving: &Serving, request: &Request<Incoming>, scope: Scope) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match serving.refusal() {
            None => text(StatusCode::OK, "ready\n"),
            Some(reason) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{reason}\n")),
        },
        "/metrics" => with_type(serving.metrics.text(), "text/plain; version=0.0.4; charset=utf-8"),
        // Pages of others that have this address by a name of theirs are not to read it (DNS rebinding).
        "/" | "/status.json" if scope == Scope::Network && !names_an_address(request.headers()) => {
            text(StatusCode::MISDIRECTED_REQUEST, "Ask for it by its address, or as localhost.\n")
        }
        "/status.json" => with_type(status::json(serving), "application/json"),
        "/" => {
            let mut response = with_type(PAGE, "text/html; charset=utf-8");
            response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            response
        }
        _ => text(StatusCode::NOT_FOUND, "Not Found\n"),
    }
}

/// Whether a request is for an address, or for this machine.
fn names_an_address(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    host.is_some_and(|host| {
        let name = host.host().trim_start_matches('[').trim_end_matches(']');
        name.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
    })
}

fn text(status: StatusCode, words: &str) -> Response {
    let mut response = with_type(words.to_owned(), "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

fn with_type(body: impl Into<bytes::Bytes>, kind: &'static str) -> Response {
    let mut response = http::Response::new(full(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_no_addresses() {
        let is_one = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::try_from(host).unwrap());
            names_an_address(&headers)
        };
        for host in ["127.0.0.1", "127.0.0.1:9090", "[::1]:9090", "10.0.0.1:80", "localhost:1", "a.localhost"]
        {
            assert!(is_one(host), "{host}");
        }
        for host in
            ["evil.example", "evil.example:9090", "localhost.evil.example", "", "127.0.0.1.evil.example"]
        {
            assert!(!is_one(host), "{host}");
        }
        assert!(!names_an_address(&HeaderMap::new()));
    }

    /// What the page needs is in it.
    #[test]
    fn the_page_refers_to_nothing_elsewhere() {
        for reference in ["http://", "https://", "src=", "@import", "url("] {
            let found = PAGE.matches(reference).count();
            assert_eq!(found, 0, "{reference}");
        }
    }
}
