//! WASI 0.2, which components import. Cases have the numbers of the lists of what a sandbox and what an implementation of components must survive.

mod blocked;
mod bound;
mod connections;
mod deadlines;
mod driver;
mod files;
mod limits;
mod network;
mod observed;
mod path_cases;
mod path_races;
mod path_reads;
mod paths;
mod polls;
mod room;
#[cfg(feature = "async")]
#[path = "../wasi_waits/sleeper.rs"]
mod sleeper;
mod sockets;
mod streams;
mod surface;
mod types;
#[cfg(feature = "async")]
mod waits;

use std::sync::OnceLock;

use driver::{Driven, Driver, bytes_val};
use innkeeper::component::{Component, Func, FuncType, Linker, Val};
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p2;
use innkeeper::{Config, Engine, Error, Tiers};

/// An engine of each way to execute guests.
fn engines() -> [Engine; 2] {
    [Tiers::Interpreter, Tiers::Compiled].map(|tiers| innkeeper::engine_with(Config::default(), tiers))
}

fn component(engine: &Engine, text: &str) -> Component {
    Component::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap()
}

/// What guests of the driver may import.
fn add_to_linker(linker: &mut Linker<p2::Context>) -> Result<(), Error> {
    p2::add_to_linker(linker, |context: &mut p2::Context| context)
}

/// What changes an open file, beside what takes a path.
fn changes() -> Vec<(&'static str, Vec<Val>)> {
    let (no_change, now) = (Val::Variant("no-change".into(), None), Val::Variant("now".into(), None));
    vec![
        ("set-size", vec![Val::U64(0)]),
        ("set-times", vec![no_change, now]),
        ("write", vec![bytes_val(b"x"), Val::U64(0)]),
        ("write-via-stream", vec![Val::U64(0)]),
        ("append-via-stream", vec![]),
    ]
}

/// A kind of file, as descriptors tell it.
fn kind(label: &str) -> Val {
    Val::Enum(label.into())
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

/// All functions that a driver calls, by interface and name, with their types.
fn function_types(driver: &Driver) -> Vec<(String, String, FuncType)> {
    let ty = |(known, func): (&String, &Func)| {
        let (interface, name) = known.split_once(' ').unwrap();
        (interface.to_owned(), name.to_owned(), func.ty(&driver.store).unwrap())
    };
    driver.functions.iter().map(ty).collect()
}
