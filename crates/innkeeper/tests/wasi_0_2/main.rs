//! WASI 0.2, which components import.

mod sockets;
mod types;

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
