//! WASI HTTP 0.2: components that answer requests. Cases have the numbers of the list of what a sandbox must survive.

#[path = "../shared/answering.rs"]
mod answering;
mod answers;
#[path = "../../../innkeeper/tests/wasi_0_2/bound.rs"]
mod bound;
mod failures;
mod functions;
mod guest;
mod limits;
mod requests;
mod served;
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
use innkeeper::wasi::p2::{self, Context};
use innkeeper_http::p2::add_to_linker;
use innkeeper_http::{HttpLimits, Proxy, ProxyTimes};

/// How long something may take that happens soon, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);

fn linker(engine: &Engine, limits: &HttpLimits) -> Linker<Context> {
    let mut linker = Linker::new(engine);
    p2::add_to_linker(&mut linker, |context: &mut Context| context).unwrap();
    add_to_linker(&mut linker, |context: &mut Context| context, limits).unwrap();
    linker
}

/// A guest with these keys, whose text has `handle`.
fn proxy_with(engine: &Engine, text: &str, keys: &Keys) -> Proxy {
    let component = component(engine, &guest::component(text));
    let pre = linker(engine, &HttpLimits::default()).instantiate_pre(&component).unwrap();
    Proxy::new(pre, OpenKeys::open(keys).unwrap(), String::from("guest"), ProxyTimes::default()).unwrap()
}

fn proxies(text: &str) -> [Proxy; 2] {
    engines().map(|engine| proxy_with(&engine, text, &Keys::default()))
}
