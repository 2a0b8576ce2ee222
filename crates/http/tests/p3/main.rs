//! WASI HTTP 0.3: components that answer requests and send them. Cases have the numbers of the list of what a sandbox must survive.

#[path = "../shared/answering.rs"]
mod answering;
mod answers;
mod bodies;
#[path = "../../../innkeeper/tests/wasi_0_2/bound.rs"]
mod bound;
mod failures;
mod functions;
mod guest;
mod requests;
#[path = "../../../innkeeper/tests/wasi_0_2/surface.rs"]
mod surface;
#[path = "../shared/upstream.rs"]
mod upstream;

use std::time::Duration;

use answering::{answer, arrival, component, engines, get, read, request, run};
use innkeeper::Engine;
use innkeeper::component::Linker;
use innkeeper::wasi::host::OpenKeys;
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p2::Context;
use innkeeper::wasi::p3;
use innkeeper_http::p3::add_to_linker;
use innkeeper_http::{HttpLimits, Proxy, ProxyTimes};

/// How long something may take that happens soon, on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

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
