//! L3: recursion without end is a trap, whatever executes it, and the host's functions have room on the stack to the last.

use innkeeper::wasi::keys::Keys;
use innkeeper::{Instance, Store, TierUp, Tiers, Trap, Val};

use crate::house::{self, House, binary};
use crate::reach::{self, Reach};
use crate::setting::Setting;

/// How `$down` calls itself. It does so in the second round of a loop, which got hot in the first.
const RECURSIONS: &[(&str, &str)] = &[
    ("call", "(call $down)"),
    ("call_indirect", "(call_indirect (i32.const 0))"),
    ("call_ref", "(call_ref $unit (ref.func $down))"),
    ("return_call of a function that calls", "(call $tail)"),
    ("where an exception would be caught", "(block $caught (try_table (catch_all $caught) (call $down)))"),
    ("through the host", "(call $call)"),
    (
        "through the host now and then",
        "(if (i32.rem_u (global.get $depth) (i32.const 40)) (then (call $down)) (else (call $call)))",
    ),
];

fn text(recursion: &str) -> String {
    format!(
        r#"(module
        (import "host" "here" (func $here (result i32)))
        (import "host" "work" (func $work))
        (import "host" "call" (func $call))
        (type $unit (func))
        (table funcref (elem $down))
        (global $depth (mut i32) (i32.const 0))
        (func $tail (return_call $down))
        (func $down (export "run") (export "called") (local $round i32)
            (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
            (loop $l
                (drop (call $here))
                (call $work)
                (if (local.get $round) (then {recursion}))
                (local.set $round (i32.const 1))
                (br $l))))"#
    )
}

fn every_recursion_ends(setting: Setting) {
    for (name, recursion) in RECURSIONS {
        let case = format!("{name}, {setting:?}");
        let prepared = setting.prepare(house::config(), &[binary(reach::TEXT), binary(&text(recursion))]);
        let (mut store, _) = house::store(&prepared.engine, setting, &Keys::builder().build());
        let linker = house::linker(&prepared.engine);
        let reach = Reach::new(&linker, &mut store, &prepared.modules[0]);
        let instance = linker.instantiate(&mut store, &prepared.modules[1]).unwrap();
        // Where nobody waits for the compiler, the stack can end before it is done.
        let most_runs = if setting.is_repeatable() { 1 } else { 10_000 };
        for _ in 0..most_runs {
            exhausts(&mut store, instance, "run", &[]);
            if store.data().watched.has_settled {
                break;
            }
        }
        assert!(store.data().watched.has_settled, "{case}: {:?}", store.data().watched.seen);
        reach.check(&mut store, setting.is_repeatable(), &case);
        prepared.check_statistics(&case);
    }
}

#[track_caller]
fn exhausts(store: &mut Store<House>, instance: Instance, name: &str, params: &[Val]) {
    let func = instance.get_func(&mut *store, name).unwrap();
    let error = func.call(&mut *store, params, &mut []).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::CallStackExhausted), "{error}");
}

#[test]
fn l3_in_the_interpreter() {
    every_recursion_ends(Setting::Interpreter);
}

#[test]
fn l3_in_compiled_code() {
    every_recursion_ends(Setting::Compiled);
}

#[test]
fn l3_in_loops_and_functions_that_get_hot() {
    every_recursion_ends(Setting::TieringUpAtOnce);
}

#[test]
fn l3_in_loops_that_get_hot() {
    every_recursion_ends(Setting::LoopsAtOnce);
}

#[test]
fn l3_while_code_is_compiled_in_the_background() {
    every_recursion_ends(Setting::TieringUpInBackground);
}

#[test]
fn l3_in_code_from_the_cache() {
    every_recursion_ends(Setting::Cached);
}

/// `down` gets hot and goes down as deep as it is told, where the host calls `called` again and again, which never gets hot.
const NESTED: &str = r#"(module
    (import "host" "here" (func $here (result i32)))
    (import "host" "work" (func $work))
    (import "host" "call" (func $call))
    (global $depth (export "depth") (mut i32) (i32.const 0))
    (func $down (export "down") (param $calls i32)
        (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
        (if (i32.gt_s (local.get $calls) (i32.const 0))
            (then (call $down (i32.sub (local.get $calls) (i32.const 1)))))
        (if (i32.eqz (local.get $calls)) (then (call $call))))
    (func (export "heat") (param $calls i32)
        (loop $l
            (call $down (i32.const -1))
            (br_if $l (local.tee $calls (i32.sub (local.get $calls) (i32.const 1))))))
    (func (export "called") (drop (call $here)) (call $work) (call $call)))"#;

/// Interpreted functions look at no native stack, but whoever the host calls from there stands on one.
#[test]
fn l3_functions_that_the_host_calls_at_the_native_stacks_end_leave_it_room() {
    let mut config = house::config();
    config.tuning.tier_up = TierUp { calls: 2000, ..TierUp::eager() };
    let engine = innkeeper::engine_with(config, Tiers::Auto);
    let module = innkeeper::Module::new(&engine, binary(NESTED)).unwrap();
    let (mut store, _) = house::store(&engine, Setting::TieringUpAtOnce, &Keys::builder().build());
    let instance = house::linker(&engine).instantiate(&mut store, &module).unwrap();
    let heat = instance.get_typed_func::<i32, ()>(&mut store, "heat").unwrap();
    heat.call(&mut store, 5000).unwrap();
    let depth = instance.get_export(&mut store, "depth").unwrap().into_global().unwrap();
    depth.set(&mut store, Val::I32(0)).unwrap();
    exhausts(&mut store, instance, "down", &[Val::I32(i32::MAX)]);
    let Val::I32(deepest) = depth.get(&mut store).unwrap() else { panic!("an i32") };
    assert!(deepest > 1000, "{deepest}");
    for calls in [deepest - 1, deepest - 2, deepest - 10, deepest / 2] {
        exhausts(&mut store, instance, "down", &[Val::I32(calls)]);
    }
    // Half way down there is room for some.
    assert!(store.data().watched.calls > 10, "{}", store.data().watched.calls);
}

/// What was stopped before there was any machine code does not keep machine code from being stopped.
#[test]
fn l3_recursion_that_is_a_trap_first_in_the_interpreter_and_then_in_compiled_code() {
    let mut config = house::config();
    config.tuning.tier_up = TierUp { calls: 50_000, ..TierUp::eager() };
    let engine = innkeeper::engine_with(config, Tiers::Auto);
    let module = innkeeper::Module::new(&engine, binary(NESTED)).unwrap();
    let (mut store, _) = house::store(&engine, Setting::TieringUpAtOnce, &Keys::builder().build());
    let instance = house::linker(&engine).instantiate(&mut store, &module).unwrap();
    exhausts(&mut store, instance, "down", &[Val::I32(i32::MAX)]);
    assert_eq!(engine.compile_statistics().compiled, 0, "the stack is too large for this test");
    while engine.compile_statistics().compiled == 0 {
        exhausts(&mut store, instance, "down", &[Val::I32(i32::MAX)]);
    }
    for _ in 0..2 {
        exhausts(&mut store, instance, "down", &[Val::I32(i32::MAX)]);
    }
}
