//! WASI 0.3, which components import. Cases have the numbers of the lists of what a sandbox and what an implementation of components must survive.
//!
//! Paths are tried by the same cases as for WASI 0.2, through the same guest, which is made from another text.

#[path = "../wasi_0_2/bound.rs"]
mod bound;
#[path = "../wasi_0_2/driver.rs"]
mod driver;
mod dropped;
mod files;
mod mixed;
#[path = "../wasi_0_2/path_cases.rs"]
mod path_cases;
#[path = "../wasi_0_2/path_races.rs"]
mod path_races;
#[path = "../wasi_0_2/paths.rs"]
mod paths;
mod program;
#[cfg(feature = "async")]
#[path = "../wasi_waits/sleeper.rs"]
mod sleeper;
mod sockets;
mod streams;
#[path = "../wasi_0_2/surface.rs"]
mod surface;
mod types;
#[cfg(feature = "async")]
mod waits;

use std::sync::OnceLock;

use driver::{Driven, Driver};
use innkeeper::component::{Component, Linker, Val};
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::{p2, p3};
use innkeeper::{Config, Engine, Error, Tiers};

/// An engine of each way to execute guests.
fn engines() -> [Engine; 2] {
    [Tiers::Interpreter, Tiers::Compiled].map(|tiers| innkeeper::engine_with(Config::default(), tiers))
}

fn component(engine: &Engine, text: &str) -> Component {
    Component::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap()
}

/// What guests may import.
fn add_to_linker(linker: &mut Linker<p2::Context>) -> Result<(), Error> {
    p2::add_to_linker(linker, |context: &mut p2::Context| context)?;
    p3::add_to_linker(linker, |context: &mut p2::Context| context)
}

/// What changes an open file, beside what takes a path, and streams.
fn changes() -> Vec<(&'static str, Vec<Val>)> {
    let (no_change, now) = (Val::Variant("no-change".into(), None), Val::Variant("now".into(), None));
    vec![("set-size", vec![Val::U64(0)]), ("set-times", vec![no_change, now])]
}

/// A kind of file, as descriptors tell it.
fn kind(label: &str) -> Val {
    Val::variant(label, None)
}

/// A guest with these keys that calls any function of WASI, in the interpreter and in compiled code.
fn drivers(keys: &Keys) -> [Driver; 2] {
    static DRIVEN: OnceLock<[Driven; 2]> = OnceLock::new();
    let driven = DRIVEN.get_or_init(|| engines().map(|engine| Driven::new(&engine)));
    [&driven[0], &driven[1]].map(|driven| driven.start(p2::Context::new(keys).unwrap()))
}
