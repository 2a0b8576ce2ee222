//! What tests of both versions have: engines, requests, and how they are answered.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use innkeeper::component::Component;
use innkeeper::{Config, Engine, Tiers};
use innkeeper_http::{Arrival, Body, BodyError, Failure, Handler as _, Proxy, Response, full};

use super::SOON;

/// An engine of each way to execute guests.
pub(crate) fn engines() -> [Engine; 2] {
    [Tiers::Interpreter, Tiers::Compiled].map(|tiers| innkeeper::engine_with(Config::default(), tiers))
}

pub(crate) fn component(engine: &Engine, text: &str) -> Component {
    let bytes = innkeeper::to_binary(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    Component::new(engine, bytes).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs a future where timers and tasks are, for no longer than what happens soon may take.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(SOON, future).await.expect("it takes too long") })
}

pub(crate) fn arrival(deadline: Option<Duration>) -> Arrival {
    let deadline = deadline.map(|after| Instant::now() + after);
    Arrival { peer: None, local: None, secure: false, deadline }
}

pub(crate) fn request(method: &str, body: Body) -> http::Request<Body> {
    let builder = http::Request::builder().method(method).uri("http://guest.example:81/path?query=1");
    builder.header("x-asked", "yes").header("connection", "keep-alive, x-hop").body(body).unwrap()
}

pub(crate) fn get() -> http::Request<Body> {
    request("GET", full(Bytes::new()))
}

pub(crate) async fn answer(proxy: &Proxy, request: http::Request<Body>) -> Result<Response, Failure> {
    proxy.handle(request, arrival(Some(SOON))).await
}

/// The whole body of a response, with its trailers.
pub(crate) async fn read(response: Response) -> Result<(Bytes, Option<http::HeaderMap>), BodyError> {
    let collected = response.into_body().collect().await?;
    let trailers = collected.trailers().cloned();
    Ok((collected.to_bytes(), trailers))
}
