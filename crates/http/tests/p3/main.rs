//! WASI HTTP 0.3: components that answer requests and send them. Cases have the numbers of the list of what a sandbox must survive.

mod answers;
mod bodies;
mod failures;
mod functions;
mod guest;
mod requests;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use innkeeper::component::{Component, Linker};
use innkeeper::wasi::host::OpenKeys;
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p2::Context;
use innkeeper::wasi::p3;
use innkeeper::{Config, Engine, Tiers};
use innkeeper_http::p3::add_to_linker;
use innkeeper_http::{
    Arrival, Body, BodyError, Failure, Handler as _, HttpLimits, Proxy, ProxyTimes, Response, full,
};

/// How long something may take that happens soon, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

/// An engine of each way to execute guests.
fn engines() -> [Engine; 2] {
    [Tiers::Interpreter, Tiers::Compiled].map(|tiers| innkeeper::engine_with(Config::default(), tiers))
}

fn component(engine: &Engine, text: &str) -> Component {
    let bytes = innkeeper::to_binary(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    Component::new(engine, bytes).unwrap_or_else(|error| panic!("{error}"))
}

fn linker(engine: &Engine) -> Linker<Context> {
    let mut linker = Linker::new(engine);
    p3::add_to_linker(&mut linker, |context: &mut Context| context).unwrap();
    add_to_linker(&mut linker, |context: &mut Context| context, &HttpLimits::default()).unwrap();
    linker
}

/// A guest with these keys, whose text has `$handle`.
fn proxy_with(engine: &Engine, text: &str, keys: &Keys) -> Proxy {
    let component = component(engine, &guest::component(text));
    let pre = linker(engine).instantiate_pre(&component).unwrap();
    Proxy::new(pre, OpenKeys::open(keys).unwrap(), String::from("guest"), times()).unwrap()
}

/// A guest has its turn until it waits, also on a machine that is busy: then it is known when it has said all.
fn times() -> ProxyTimes {
    let mut times = ProxyTimes::default();
    times.slice = Duration::from_secs(3600);
    times
}

fn proxies(text: &str) -> [Proxy; 2] {
    engines().map(|engine| proxy_with(&engine, text, &Keys::default()))
}

/// Runs a future where timers and tasks are, for no longer than what happens soon may take.
fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(SOON, future).await.expect("it takes too long") })
}

fn arrival(deadline: Option<Duration>) -> Arrival {
    let deadline = deadline.map(|after| Instant::now() + after);
    Arrival { peer: None, local: None, secure: false, deadline }
}

fn request(method: &str, body: Body) -> http::Request<Body> {
    let builder = http::Request::builder().method(method).uri("http://guest.example:81/path?query=1");
    builder.header("x-asked", "yes").header("connection", "keep-alive, x-hop").body(body).unwrap()
}

fn get() -> http::Request<Body> {
    request("GET", full(Bytes::new()))
}

async fn answer(proxy: &Proxy, request: http::Request<Body>) -> Result<Response, Failure> {
    proxy.handle(request, arrival(Some(SOON))).await
}

/// The whole body of a response, with its trailers.
async fn read(response: Response) -> Result<(Bytes, Option<http::HeaderMap>), BodyError> {
    let collected = response.into_body().collect().await?;
    let trailers = collected.trailers().cloned();
    Ok((collected.to_bytes(), trailers))
}
