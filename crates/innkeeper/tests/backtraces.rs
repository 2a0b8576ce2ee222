//! Backtraces of deep stacks: they say all that is worth saying, and cost next to nothing, whatever executes the guest.

use std::time::{Duration, Instant};

use innkeeper::{Backtrace, Config, Engine, Instance, Linker, Module, Store, TierUp, Tiers, Trap};

/// Frames below the one that traps.
const DEPTH: usize = 500_000;

/// What a trap may cost with all these frames: most of it is for making and leaving them.
const SOON: Duration = Duration::from_millis(60);

fn config() -> Config {
    let mut config = Config::default();
    config.limits.guest_stack_bytes = 256 << 20;
    config.limits.native_stack_bytes = 256 << 20;
    config
}

/// Engines of all kinds, with whether frames of both tiers alternate.
fn engines() -> [(&'static str, Engine); 3] {
    let mut eager = config();
    eager.tuning.tier_up = TierUp::eager();
    [
        ("interpreter", innkeeper::engine_with(config(), Tiers::Interpreter)),
        ("compiled", innkeeper::engine_with(config(), Tiers::Compiled)),
        ("eager", innkeeper::engine_with(eager, Tiers::Auto)),
    ]
}

/// `count` functions that call each other in turn, as often as `run` is told; the last reads what is not there.
fn text(count: usize) -> String {
    let function = |i: usize| {
        let next = (i + 1) % count;
        format!(
            r#"(func $f{i} (param i32) (result i32)
                (if (result i32) (local.get 0)
                    (then (i32.add (i32.const 1) (call $f{next} (i32.sub (local.get 0) (i32.const 1)))))
                    (else (i32.load (i32.const -1)))))"#
        )
    };
    let functions: String = (0..count).map(function).collect();
    let run = r#"(func $run (export "run") (param i32) (result i32) (i32.add (i32.const 1) (call $f0 (local.get 0))))"#;
    format!("(module (memory 1) {functions} {run})")
}

fn instantiate(engine: &Engine, text: &str) -> (Store<()>, Instance) {
    let module = Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap();
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &module).unwrap();
    (store, instance)
}

/// How the fastest of some calls of `run` ended, and how long it took.
fn trap(store: &mut Store<()>, instance: Instance) -> (Backtrace, Duration) {
    let run = instance.get_typed_func::<i32, i32>(&mut *store, "run").unwrap();
    let mut call = || {
        let begin = Instant::now();
        let error = run.call(&mut *store, DEPTH as i32).unwrap_err();
        let took = begin.elapsed();
        assert_eq!(error.trap(), Some(Trap::MemoryOutOfBounds));
        (error.backtrace().clone(), took)
    };
    let (backtrace, mut fastest) = call();
    for _ in 0..20 {
        fastest = fastest.min(call().1);
        if fastest < SOON {
            break;
        }
    }
    (backtrace, fastest)
}

fn frames(backtrace: &Backtrace) -> usize {
    backtrace.frames().iter().map(|frame| frame.times).sum::<usize>() + backtrace.omitted()
}

/// Frames of one place in a row are one, so that there is room for those further out.
#[test]
fn y12_frames_of_recursion_are_counted_and_cost_nothing() {
    for (name, engine) in engines() {
        let (mut store, instance) = instantiate(&engine, &text(1));
        let (backtrace, took) = trap(&mut store, instance);
        let told: Vec<(&str, usize)> = backtrace
            .frames()
            .iter()
            .map(|frame| (frame.func_name.as_deref().unwrap(), frame.times))
            .collect();
        assert_eq!(told, [("f0", 1), ("f0", DEPTH), ("run", 1)], "{name}");
        assert!(backtrace.is_complete() && backtrace.omitted() == 0, "{name}");
        assert!(backtrace.to_string().contains(" ... 500000 times\n"), "{name}: {backtrace}");
        assert!(took < SOON, "{name}: {took:?}");
    }
}

/// So do frames of functions that call each other: more than are remembered, and many more.
#[test]
fn y12_frames_of_mutual_recursion_cost_next_to_nothing() {
    for (name, engine) in engines() {
        for count in [2, 60, 1500, 10_000] {
            let (mut store, instance) = instantiate(&engine, &text(count));
            let (backtrace, took) = trap(&mut store, instance);
            assert_eq!(backtrace.frames().len(), Backtrace::MAX_FRAMES, "{name}, {count}");
            match backtrace.is_complete() {
                true => assert_eq!(frames(&backtrace), DEPTH + 2, "{name}, {count}"),
                false => {
                    assert!(frames(&backtrace) > 1000, "{name}, {count}");
                    assert!(backtrace.to_string().contains("at least"), "{name}, {count}");
                }
            }
            // More places than are remembered are not looked up without end.
            assert_eq!(backtrace.is_complete(), count <= 60, "{name}, {count}");
            assert!(took < SOON, "{name}, {count}: {took:?}");
        }
    }
}

/// An exception passes them as fast.
#[test]
fn y12_exceptions_pass_deep_stacks_at_once() {
    let text = r#"(module (tag $t)
        (func $f (param i32) (result i32)
            (if (local.get 0)
                (then (return (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))))
            (throw $t))
        (func (export "run") (param i32) (result i32)
            (block $caught (try_table (catch $t $caught) (return (call $f (local.get 0)))))
            (i32.const 7)))"#;
    for (name, engine) in engines() {
        let (mut store, instance) = instantiate(&engine, text);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let mut fastest = Duration::MAX;
        for _ in 0..20 {
            let begin = Instant::now();
            assert_eq!(run.call(&mut store, DEPTH as i32).unwrap(), 7);
            fastest = fastest.min(begin.elapsed());
        }
        assert!(fastest < SOON, "{name}: {fastest:?}");
    }
}

/// Where each call begins in the interpreter and goes on in machine code, an exception looks for who catches it once, not once a call.
#[test]
fn y12_exceptions_pass_frames_of_alternating_tiers_at_once() {
    let text = r#"(module (tag $t)
        (func $f (param i32) (result i32) (local $rounds i32)
            (local.set $rounds (i32.const 2))
            (loop $l (br_if $l (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
            (if (local.get 0)
                (then (return (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))))
            (throw $t))
        (func (export "run") (param i32) (result i32)
            (block $caught (try_table (catch $t $caught) (return (call $f (local.get 0)))))
            (i32.const 7)))"#;
    let mut config = config();
    config.tuning.tier_up = TierUp { calls: u32::MAX, ..TierUp::eager() };
    let engine = innkeeper::engine_with(config, Tiers::Auto);
    let (mut store, instance) = instantiate(&engine, text);
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        let begin = Instant::now();
        assert_eq!(run.call(&mut store, 20_000).unwrap(), 7);
        fastest = fastest.min(begin.elapsed());
        if fastest < SOON {
            break;
        }
    }
    assert!(engine.compile_statistics().compiled > 0, "{:?}", engine.compile_statistics());
    assert!(fastest < SOON, "{fastest:?}");
}

/// A function is called as the name section has it, or else as its first export, whatever executes it; a name of nothing is none.
#[test]
fn frames_have_the_names_of_exports_where_the_name_section_has_none() {
    let text = r#"(module
        (func $named (export "other") (call 1))
        (func (export "first") (export "second") (call 2))
        (func (@name "") (export "third") (call 3))
        (func (call 4))
        (func (@name "") (export "") unreachable)
        (export "memory" (memory 0)) (memory 1))"#;
    for (name, engine) in engines() {
        let (mut store, instance) = instantiate(&engine, text);
        let other = instance.get_typed_func::<(), ()>(&mut store, "other").unwrap();
        let error = other.call(&mut store, ()).unwrap_err();
        let names: Vec<Option<&str>> =
            error.backtrace().frames().iter().map(|frame| frame.func_name.as_deref()).collect();
        assert_eq!(names, [None, None, Some("third"), Some("first"), Some("named")], "{name}");
    }
}
