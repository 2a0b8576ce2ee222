//! Calls of one store within each other, held by what the outer one waits for: whatever the inner one's functions of the host do in the store, they do it beyond
//! its frames, in whichever poll it has begun.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};

use innkeeper::{Caller, Engine, Extern, ExternRef, FuncType, Instance, Linker, Store, Val, ValType};

use crate::support::{Later, block_on, engines, module, poll_on_threads};

static ALIVE: AtomicUsize = AtomicUsize::new(0);

/// `run` waits for `inner`, which holds numbers and an object while it waits; `deep` writes over what lies beyond, and allocates.
const GUEST: &str = r#"(module
    (import "host" "call" (func $call (param i32) (result i32)))
    (import "host" "wait" (func $wait (param i32) (result i32)))
    (type $box (struct (field (mut i32))))
    (func $new (param i32) (result (ref $box)) (struct.new $box (local.get 0)))
    (func (export "inner") (param i32) (result i32) (local $a i64) (local $b i64) (local $held (ref $box))
        (local.set $a (i64.extend_i32_u (local.get 0)))
        (local.set $b (i64.const 7000))
        (local.set $held (call $new (i32.const 40)))
        (drop (call $wait (local.get 0)))
        (local.set $a (i64.add (local.get $a) (i64.extend_i32_u (call $wait (i32.const 0)))))
        (i32.add (i32.wrap_i64 (i64.add (local.get $a) (local.get $b))) (struct.get $box 0 (local.get $held))))
    (func $deep (export "deep") (param i32) (result i32) (local i64 i64 i64 i64)
        (local.set 1 (i64.const 0x4141414141414141)) (local.set 2 (local.get 1))
        (local.set 3 (local.get 1)) (local.set 4 (local.get 1))
        (drop (call $new (i32.const 99)))
        (if (result i32) (i32.eqz (local.get 0))
            (then (i32.wrap_i64 (i64.sub (i64.add (local.get 1) (local.get 2)) (i64.add (local.get 3) (local.get 4)))))
            (else (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
    (func (export "run") (param i32) (result i32) (local $held (ref $box))
        (local.set $held (call $new (i32.const 100000)))
        (i32.add (call $call (local.get 0)) (struct.get $box 0 (local.get $held)))))"#;

/// How the inner call begins, and what is done while it is under way.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// Whether what the outer call waits for has waited before.
    begins_later: bool,
    meanwhile: Meanwhile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Nothing,
    Collect,
    Call,
    CallAndWait,
    /// Calls that wait within each other once more.
    Nest,
}

const DEPTH: i32 = 500;

fn export(caller: &mut Caller<'_, Case>, name: &str) -> innkeeper::Func {
    caller.get_export(name).and_then(Extern::into_func).unwrap()
}

fn guest(engine: &Engine, case: Case) -> (Store<Case>, Instance) {
    let mut linker = Linker::new(engine);
    let ty = FuncType::new([ValType::I32], [ValType::I32]);
    linker
        .func_new_async("host", "call", ty, |mut caller: Caller<'_, Case>, params, results| {
            Box::new(async move {
                if caller.data().begins_later {
                    Later::new(&ALIVE).await;
                }
                let inner = export(&mut caller, "inner");
                inner.call_async(&mut caller, params, results).await
            })
        })
        .unwrap();
    linker
        .func_wrap_async("host", "wait", |mut caller: Caller<'_, Case>, value: i32| {
            Box::new(async move {
                Later::new(&ALIVE).await;
                let mut results = [Val::I32(0)];
                match caller.data().meanwhile {
                    Meanwhile::Nothing => {}
                    Meanwhile::Collect => drop(ExternRef::new(&mut caller, value).unwrap()),
                    Meanwhile::Call => {
                        export(&mut caller, "deep")
                            .call(&mut caller, &[Val::I32(DEPTH)], &mut results)
                            .unwrap();
                        assert!(matches!(results, [Val::I32(DEPTH)]), "{results:?}");
                    }
                    Meanwhile::CallAndWait => {
                        let deep = export(&mut caller, "deep");
                        deep.call_async(&mut caller, &[Val::I32(DEPTH)], &mut results).await.unwrap();
                        assert!(matches!(results, [Val::I32(DEPTH)]), "{results:?}");
                    }
                    Meanwhile::Nest => {
                        caller.data_mut().meanwhile = Meanwhile::CallAndWait;
                        let run = export(&mut caller, "run");
                        run.call_async(&mut caller, &[Val::I32(1)], &mut results).await.unwrap();
                        caller.data_mut().meanwhile = Meanwhile::Nest;
                        assert!(matches!(results, [Val::I32(107_041)]), "{results:?}");
                    }
                }
                value
            })
        })
        .unwrap();
    let mut store = Store::new(engine, case).unwrap();
    let instance = linker.instantiate(&mut store, &module(engine, GUEST)).unwrap();
    (store, instance)
}

#[test]
fn what_is_called_while_calls_are_held_lies_beyond_their_frames() {
    for engine in engines() {
        for begins_later in [false, true] {
            for meanwhile in [
                Meanwhile::Nothing,
                Meanwhile::Collect,
                Meanwhile::Call,
                Meanwhile::CallAndWait,
                Meanwhile::Nest,
            ] {
                let case = Case { begins_later, meanwhile };
                let (mut store, instance) = guest(&engine, case);
                let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
                for round in 0..4 {
                    let result = block_on(run.call_async(&mut store, 5));
                    assert_eq!(result.unwrap(), 107_045, "{case:?}, round {round}");
                }
                for polls in [1, 2, 3, 5] {
                    let mut future = Box::pin(run.call_async(&mut store, 5));
                    let _ = poll_on_threads(future.as_mut(), polls);
                    drop(future);
                    assert_eq!(ALIVE.load(Ordering::Relaxed), 0, "{case:?}, dropped after {polls} polls");
                    store.data_mut().meanwhile = meanwhile;
                    let again = pin!(run.call_async(&mut store, 5));
                    let result = poll_on_threads(again, usize::MAX).unwrap();
                    assert_eq!(result.unwrap(), 107_045, "{case:?}, after {polls} polls");
                }
            }
        }
    }
}
