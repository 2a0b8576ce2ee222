//! The search for what catches an exception, among very many frames: it takes no longer than the frames are many, and can be stopped.

use std::time::{Duration, Instant};

use innkeeper::{
    AsContextMut, Caller, Config, Engine, Func, InterruptHandle, Linker, Module, Store, TierUp, Tiers, Trap,
};

fn engines() -> [Engine; 3] {
    let mut eager = Config::default();
    eager.tuning.tier_up = TierUp::eager();
    [
        innkeeper::engine_with(Config::default(), Tiers::Interpreter),
        innkeeper::engine_with(Config::default(), Tiers::Compiled),
        innkeeper::engine_with(eager, Tiers::Auto),
    ]
}

/// A module in which `run(n)` makes `n` segments before it throws: `$interpreted` has too large a frame to be compiled.
fn segments() -> Vec<u8> {
    let many = format!("(call $many) {}", "drop ".repeat(1000)).repeat(18);
    let text = format!(
        r#"(module (tag $e) (global $never (mut i32) (i32.const 0))
            (func $many (result {}) {})
            (func $interpreted (param i32)
                (if (global.get $never) (then {many}))
                (call $compiled (i32.sub (local.get 0) (i32.const 1))))
            (func $compiled (param i32)
                (if (i32.eqz (local.get 0)) (then (throw $e)))
                (call $interpreted (local.get 0)))
            (func (export "run") (param i32) (result i32)
                (block $caught
                    (try_table (catch $e $caught) (call $compiled (local.get 0)))
                    (return (i32.const 0)))
                (i32.const 1)))"#,
        "i64 ".repeat(1000),
        "(i64.const 0)".repeat(1000),
    );
    innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()
}

#[test]
fn an_exception_passes_runs_of_frames_without_a_search_for_each() {
    let engine = innkeeper::engine_with(Config::default(), Tiers::Compiled);
    let module = Module::new(&engine, segments()).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 10).unwrap(), 1);
    let statistics = engine.compile_statistics();
    assert_eq!(
        statistics.refused.values().sum::<usize>(),
        1,
        "one function is to be interpreted: {statistics:?}"
    );
    let start = Instant::now();
    assert_eq!(run.call(&mut store, 16_000).unwrap(), 1);
    // Some hundredths of a second; many seconds if each run looked at all others.
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// What the host function `fail` uses: it calls a function that throws, and asks for the guest's end before the exception goes on.
struct Host {
    fall: Option<Func>,
    handle: Option<InterruptHandle>,
}

fn fail(mut caller: Caller<'_, Host>) -> Result<(), innkeeper::Error> {
    let Some(fall) = caller.data().fall else { return Ok(()) };
    let thrown = fall.call(caller.as_context_mut(), &[], &mut []);
    if let Some(handle) = &caller.data().handle {
        handle.interrupt();
    }
    thrown
}

#[test]
fn l4_a_search_that_is_interrupted_is_a_trap() {
    let text = r#"(module
        (import "host" "fail" (func $fail))
        (tag $e)
        (func (export "fall") (throw $e))
        (func $between (call $fail))
        (func (export "run") (param i32) (result i32)
            (block $caught
                (try_table (catch $e $caught)
                    (if (local.get 0) (then (call $between)) (else (call $fail))))
                (return (i32.const 0)))
            (i32.const 1)))"#;
    let binary = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
    for engine in engines() {
        let mut store = Store::new(&engine, Host { fall: None, handle: None }).unwrap();
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "fail", fail).unwrap();
        let module = Module::new(&engine, binary.clone()).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        store.data_mut().fall = instance.get_func(&mut store, "fall");
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        for argument in [0, 1, 0, 1] {
            assert_eq!(run.call(&mut store, argument).unwrap(), 1, "{engine:?}");
        }
        store.data_mut().handle = Some(store.interrupt_handle());
        for argument in [0, 1] {
            let error = run.call(&mut store, argument).unwrap_err();
            assert_eq!(error.trap(), Some(Trap::Interrupted), "{engine:?}");
            let frames = error.backtrace().frames().len();
            assert_eq!(frames, 1 + argument as usize, "{engine:?}: {error:?}");
        }
        // What was asked for is over.
        store.data_mut().handle = None;
        assert_eq!(run.call(&mut store, 1).unwrap(), 1, "{engine:?}");
    }
}
