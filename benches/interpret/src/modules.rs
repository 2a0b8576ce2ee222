//! From bytes to an instance: validation, lowering, instantiation.
//!
//! Functions are lowered on their first call and there is no way to ask for it, so lowering is measured on a module made for it:
//! its functions hold much code behind a condition that is false, so that a first call lowers all of it and runs next to none.

use std::fmt::Write as _;
use std::path::Path;

use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p1::{self, Context};
use innkeeper::{Config, Linker, Module, Store};

use crate::Figure;
use crate::timing::{best, micros, now, speed};

const TRIES: usize = 15;

pub(crate) fn figures(path: &Path) -> Result<Vec<Figure>, String> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let text = |error: innkeeper::Error| error.to_string();
    let engine = innkeeper::engine(Config::default());
    let (validation, ()) = best(TRIES, || Module::validate(&engine, &bytes).map_err(text))?;
    let (loading, module) = best(TRIES, || Module::new(&engine, bytes.as_slice()).map_err(text))?;
    let mut linker = Linker::new(&engine);
    p1::add_to_linker(&mut linker, |context: &mut Context| context).unwrap();
    let (instantiation, _) = best(TRIES, || {
        let context = Context::new(&Keys::builder().build()).map_err(|error| error.to_string())?;
        let mut store = Store::new(&engine, context).map_err(text)?;
        linker.instantiate(&mut store, &module).map_err(text)
    })?;
    let figure = |what: String, value| Figure { what, value };
    Ok(vec![
        figure(format!("validate {name} ({} KB)", bytes.len() / 1000), speed(bytes.len(), validation)),
        figure(format!("load {name}"), speed(bytes.len(), loading)),
        figure(format!("new store and instance of {name}"), micros(instantiation)),
        figure("lower functions made for it".to_owned(), lowering()?),
    ])
}

/// The speed of lowering: first call less second call.
fn lowering() -> Result<String, String> {
    let text = |error: innkeeper::Error| error.to_string();
    let source = unlikely_code();
    let bytes = innkeeper::to_binary(source.as_bytes()).map_err(text)?;
    let engine = innkeeper::engine(Config::default());
    let mut shortest = None;
    for _ in 0..TRIES {
        let module = Module::new(&engine, bytes.as_ref()).map_err(text)?;
        let mut store = Store::new(&engine, ()).map_err(text)?;
        let instance = Linker::new(&engine).instantiate(&mut store, &module).map_err(text)?;
        let all = instance.get_typed_func::<(), ()>(&mut store, "all").map_err(text)?;
        let start = now()?;
        all.call(&mut store, ()).map_err(text)?;
        let lowered = now()?;
        all.call(&mut store, ()).map_err(text)?;
        let time = lowered.saturating_sub(start).saturating_sub(now()?.saturating_sub(lowered));
        shortest = Some(shortest.map_or(time, |shortest| time.min(shortest)));
    }
    Ok(speed(bytes.as_ref().len(), shortest.unwrap_or_default()))
}

/// A module whose function `all` calls 200 others, each with 100 stretches of code that never run.
fn unlikely_code() -> String {
    const STRETCH: &str = "
        (local.set 1 (i32.add (i32.mul (local.get 1) (i32.const 31)) (i32.load offset=16 (local.get 0))))
        (if (i32.lt_s (local.get 1) (local.get 2))
            (then (i32.store (local.get 0) (i32.xor (local.get 1) (local.get 2))))
            (else (local.set 2 (call $f0 (i32.sub (local.get 2) (i32.const 1))))))
        (f64.store offset=64 (local.get 0) (f64.add (local.get 3) (f64.convert_i32_s (local.get 1))))";
    let mut source = String::from("(module (memory 1)");
    for function in 0..200 {
        let _ = write!(
            source,
            "(func $f{function} (param i32) (result i32) (local i32 i32 f64) (if (local.get 0) (then "
        );
        source.extend(std::iter::repeat_n(STRETCH, 100));
        source.push_str(")) (local.get 2))");
    }
    source.push_str("(func (export \"all\")");
    for function in 0..200 {
        let _ = write!(source, "(drop (call $f{function} (i32.const 0)))");
    }
    source.push_str("))");
    source
}
