//! Damaged modules: every truncation and every flipped byte of a real one is decoded without a panic, and what is wrong is said
//! with its place.
//!
//! What stays valid is instantiated without keys, and not run: it could loop for ever.

use std::path::Path;

use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p1::{self, Context};
use innkeeper::{Config, Engine, ErrorKind, Linker, Module, Store};

/// The section whose function would run while instantiating.
const START_SECTION: u8 = 8;

/// Decoding is an order of magnitude slower where it is not optimized: then a part of the bytes is flipped, in release builds
/// every byte.
const FLIP_STEP: usize = if cfg!(debug_assertions) { 61 } else { 1 };

fn hello() -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests/hello-c/hello-c.wasm"))
        .expect("the guest")
}

/// Decodes `bytes`. Gives whether they are a module.
#[track_caller]
fn decode(engine: &Engine, linker: &Linker<Context>, bytes: &[u8], what: &dyn Fn() -> String) -> bool {
    let module = match Module::new(engine, bytes) {
        Ok(module) => module,
        Err(error) => {
            match error.kind() {
                ErrorKind::Malformed { offset_bytes, message } => {
                    assert!(*offset_bytes <= bytes.len(), "{}: offset {offset_bytes}", what());
                    assert!(!message.is_empty(), "{}", what());
                    assert!(error.to_string().contains("at offset 0x"), "{}: {error}", what());
                }
                ErrorKind::Unsupported(message) => assert!(!message.is_empty(), "{}", what()),
                kind => panic!("{}: {kind:?}", what()),
            }
            return false;
        }
    };
    // Neither reading names nor instantiating trusts what validation has not seen.
    let _ = module.name();
    let _ = module.imports().count() + module.exports().count();
    if sections(bytes).iter().all(|section| section.id != START_SECTION) {
        let context = Context::new(&Keys::default()).expect("no keys can be honoured");
        let mut store = Store::new(engine, context).expect("a store");
        if let Err(error) = linker.instantiate(&mut store, &module) {
            assert!(!error.to_string().is_empty(), "{}", what());
        }
    }
    true
}

/// A section of a module: its number, and the offset after it.
struct Section {
    id: u8,
    end: usize,
}

/// The sections of a valid module.
fn sections(bytes: &[u8]) -> Vec<Section> {
    let (mut sections, mut at) = (Vec::new(), 8);
    while at < bytes.len() {
        let id = bytes[at];
        at += 1;
        let (mut size, mut shift) = (0, 0);
        loop {
            let byte = bytes[at];
            at += 1;
            size |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        at += size;
        sections.push(Section { id, end: at });
    }
    sections
}

fn host() -> (Engine, Linker<Context>) {
    let engine = innkeeper::engine(Config::default());
    let mut linker = Linker::new(&engine);
    p1::add_to_linker(&mut linker, |context: &mut Context| context).unwrap();
    (engine, linker)
}

/// Calls `check` for every number below `count`, on as many threads as there are processors.
fn for_each(count: usize, check: impl Fn(usize) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let check = &check;
            scope.spawn(move || (first..count).step_by(threads).for_each(check));
        }
    });
}

#[test]
fn every_truncation_is_refused_with_its_place() {
    let (engine, linker) = host();
    let hello = hello();
    let boundaries: Vec<usize> =
        [8].into_iter().chain(sections(&hello).iter().map(|section| section.end)).collect();
    for_each(hello.len(), |length| {
        let valid = decode(&engine, &linker, &hello[..length], &|| format!("truncated to {length}"));
        // A module may end after any section, if those that are left do not need a later one.
        assert!(!valid || boundaries.contains(&length), "truncated to {length}");
    });
}

#[test]
fn no_flipped_byte_makes_decoding_panic() {
    let (engine, linker) = host();
    let hello = hello();
    assert!(decode(&engine, &linker, &hello, &|| "unchanged".to_owned()));
    for_each(hello.len().div_ceil(FLIP_STEP), |number| {
        let at = number * FLIP_STEP;
        let mut bytes = hello.clone();
        for mask in [0xff, 0x01] {
            bytes[at] = hello[at] ^ mask;
            decode(&engine, &linker, &bytes, &|| format!("byte {at} ^ {mask:#x}"));
        }
    });
}
