//! WASI 0.2, which components import. Cases have the numbers of the lists of what a sandbox and what an implementation of components must survive.

mod blocked;
mod deadlines;
mod driver;
mod files;
mod limits;
mod observed;
mod path_cases;
mod paths;
mod polls;
mod room;
#[cfg(feature = "async")]
#[path = "../wasi_waits/sleeper.rs"]
mod sleeper;
mod sockets;
mod streams;
mod types;
#[cfg(feature = "async")]
mod waits;

use std::sync::OnceLock;

use driver::{Driven, Driver};
use innkeeper::component::Component;
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p2;
use innkeeper::{Config, Engine, Tiers};

/// An engine of each way to execute guests.
fn engines() -> [Engine; 2] {
    [Tiers::Interpreter, Tiers::Compiled].map(|tiers| innkeeper::engine_with(Config::default(), tiers))
}

fn component(engine: &Engine, text: &str) -> Component {
    Component::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap()
}

/// A guest without keys.
fn context() -> p2::Context {
    p2::Context::new(&Keys::default()).unwrap()
}

/// A guest with these keys that calls any function of WASI, in the interpreter and in compiled code.
fn drivers(keys: &Keys) -> [Driver; 2] {
    static DRIVEN: OnceLock<[Driven; 2]> = OnceLock::new();
    let driven = DRIVEN.get_or_init(|| engines().map(|engine| Driven::new(&engine)));
    [&driven[0], &driven[1]].map(|driven| driven.start(p2::Context::new(keys).unwrap()))
}
