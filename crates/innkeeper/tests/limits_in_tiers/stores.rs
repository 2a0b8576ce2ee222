//! Y2: guests that call the host, which makes a store and an instance in it, whose start function calls the host: that ends with a trap, whatever executes
//! them, how ever little there is left of a stack, and on whichever thread.

use innkeeper::{Caller, Config, Engine, Error, Linker, Module, Store, Trap, Val};

use crate::house::{STACK_BYTES, binary};
use crate::setting::Setting;

/// Goes down as deep as it is told, and there has the host make another store with an instance of it, which does the same.
const TEXT: &str = r#"(module
    (import "host" "depth" (func $depth (result i32)))
    (import "host" "again" (func $again))
    (global $deepest (export "deepest") (mut i32) (i32.const 0))
    (func $down (export "down") (param $calls i32)
        (global.set $deepest (i32.add (global.get $deepest) (i32.const 1)))
        (if (local.get $calls)
            (then (call $down (i32.sub (local.get $calls) (i32.const 1))))
            (else (call $again))))
    (func $start (if (call $depth) (then (call $down (call $depth)))))
    (start $start))"#;

/// What all the stores of a chain know.
#[derive(Clone)]
struct Chain {
    engine: Engine,
    module: Module,
    /// How deep each start function goes before it has the next store made.
    depth: i32,
    /// How many stores there are above this one.
    above: u32,
}

fn linker(engine: &Engine) -> Linker<Chain> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("host", "depth", |caller: Caller<'_, Chain>| caller.data().depth).unwrap();
    linker
        .func_wrap("host", "again", |caller: Caller<'_, Chain>| -> Result<(), Error> {
            let chain = Chain { above: caller.data().above + 1, ..caller.data().clone() };
            instantiate(chain).map(drop)
        })
        .unwrap();
    linker
}

fn instantiate(chain: Chain) -> Result<(Store<Chain>, innkeeper::Instance), Error> {
    // Many more, and the guests have chosen how deep the host's stack is.
    assert!(chain.above < 1000);
    let mut store = Store::new(&chain.engine, chain.clone())?;
    let instance = linker(&chain.engine).instantiate(&mut store, &chain.module)?;
    Ok((store, instance))
}

fn config() -> Config {
    let mut config = Config::default();
    config.limits.guest_stack_bytes = STACK_BYTES;
    config.limits.native_stack_bytes = STACK_BYTES;
    config
}

fn every_chain_ends(setting: Setting) {
    let prepared = setting.prepare(config(), &[binary(TEXT)]);
    let chain = |depth| Chain {
        engine: prepared.engine.clone(),
        module: prepared.modules[0].clone(),
        depth,
        above: 0,
    };
    // How deep it can go at all: a start function that has gone so deep is at the stack's end.
    let (mut store, instance) = instantiate(chain(0)).unwrap();
    let down = instance.get_func(&mut store, "down").unwrap();
    let deepest = instance.get_export(&mut store, "deepest").unwrap().into_global().unwrap();
    for _ in 0..3 {
        deepest.set(&mut store, Val::I32(0)).unwrap();
        let error = down.call(&mut store, &[Val::I32(-1)], &mut []).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::CallStackExhausted), "{setting:?}: {error}");
    }
    let Val::I32(deepest) = deepest.get(&mut store).unwrap() else { panic!("an i32") };
    for depth in [1, deepest / 2, deepest - 20, deepest - 3, deepest - 2, deepest - 1, deepest] {
        let error = instantiate(chain(depth)).map(drop).unwrap_err();
        assert_eq!(
            error.trap(),
            Some(Trap::CallStackExhausted),
            "{depth} of {deepest}, {setting:?}: {error}"
        );
    }
}

#[test]
fn y2_recursion_into_new_stores_ends_in_the_interpreter() {
    every_chain_ends(Setting::Interpreter);
}

#[test]
fn y2_recursion_into_new_stores_ends_in_compiled_code() {
    every_chain_ends(Setting::Compiled);
}

#[test]
fn y2_recursion_into_new_stores_ends_in_functions_that_get_hot() {
    every_chain_ends(Setting::TieringUpAtOnce);
}

/// The thread's own stack, which interpreted guests and their host share, ends before the levels do.
#[test]
fn y2_recursion_into_new_stores_ends_on_a_small_stack() {
    for stack_bytes in [256 << 10, 1 << 20] {
        let thread = std::thread::Builder::new().stack_size(stack_bytes);
        thread.spawn(|| every_chain_ends(Setting::Interpreter)).unwrap().join().unwrap();
    }
}
