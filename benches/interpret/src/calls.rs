//! What it costs to cross between host and guest, and from guest to guest.

use innkeeper::{Config, Inlining, Linker, Module, Store, Tiers, Tuning};

use crate::Figure;
use crate::timing::{best, each};

const CALLS: u32 = 1_000_000;
const TRIES: usize = 7;

/// Each export takes how often its loop runs; `turns` has an empty loop, which is subtracted from the others.
const GUEST: &str = r#"(module
    (import "host" "add" (func $host_add (param i32 i32) (result i32)))
    (table funcref (elem $add))
    (type $binary (func (param i32 i32) (result i32)))
    (func $add (export "add") (type $binary) (i32.add (local.get 0) (local.get 1)))
    (func (export "turns") (param i32) (result i32) (local i32)
        (loop $again
            (local.set 1 (i32.add (local.get 1) (local.get 0)))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1))
    (func (export "direct") (param i32) (result i32) (local i32)
        (loop $again
            (local.set 1 (call $add (local.get 1) (local.get 0)))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1))
    (func (export "indirect") (param i32) (result i32) (local i32)
        (loop $again
            (local.set 1 (call_indirect (type $binary) (local.get 1) (local.get 0) (i32.const 0)))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1))
    (func (export "host") (param i32) (result i32) (local i32)
        (loop $again
            (local.set 1 (call $host_add (local.get 1) (local.get 0)))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1)))"#;

pub(crate) fn figures() -> Result<Vec<Figure>, String> {
    let mut figures = figures_of(Tiers::Interpreter, "")?;
    figures.extend(figures_of(Tiers::Compiled, ", compiled")?);
    Ok(figures)
}

fn figures_of(tiers: Tiers, with: &str) -> Result<Vec<Figure>, String> {
    let text = |error: innkeeper::Error| error.to_string();
    // Calls are to be calls.
    let tuning = Tuning { inlining: Inlining::never(), ..Tuning::default() };
    let engine = innkeeper::engine_with(Config { tuning, ..Config::default() }, tiers);
    let bytes = innkeeper::to_binary(GUEST.as_bytes()).map_err(text)?;
    let module = Module::new(&engine, bytes.as_ref()).map_err(text)?;
    let mut store = Store::new(&engine, ()).map_err(text)?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "add", |a: i32, b: i32| a.wrapping_add(b)).unwrap();
    let instance = linker.instantiate(&mut store, &module).map_err(text)?;

    let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add").map_err(text)?;
    let (entering, _) = best(TRIES, || {
        (0..CALLS.cast_signed()).try_fold(0, |sum, i| add.call(&mut store, (sum, i))).map_err(text)
    })?;
    let mut figures =
        vec![Figure { what: format!("call from host to guest{with}"), value: each(CALLS, entering) }];
    let mut looped = |name: &str| {
        let function = instance.get_typed_func::<i32, i32>(&mut store, name).map_err(text)?;
        best(TRIES, || function.call(&mut store, CALLS.cast_signed()).map_err(text))
    };
    let (turns, _) = looped("turns")?;
    for (name, what) in [
        ("direct", "call from guest to guest"),
        ("indirect", "call from guest to guest through a table"),
        ("host", "call from guest to host"),
    ] {
        let (time, _) = looped(name)?;
        figures
            .push(Figure { what: format!("{what}{with}"), value: each(CALLS, time.saturating_sub(turns)) });
    }
    Ok(figures)
}
