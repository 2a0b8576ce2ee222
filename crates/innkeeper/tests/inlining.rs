//! Inlined bodies: nobody can tell, except by the time it takes.
//!
//! Each program runs in every tier, with inlining and without; outcomes, traps, offsets and frames must be the interpreter's.

use innkeeper::{
    Cache, Compilation, Config, Engine, Error, Extern, FuncIndex, Inlining, Instance, Linker, Module, Store,
    TierUp, Tiers, Trap, Tuning, Val,
};

fn engines() -> Vec<Engine> {
    let config = |tier_up: Option<TierUp>, inlining: Inlining| {
        let tuning = Tuning::default();
        let tuning = Tuning { tier_up: tier_up.unwrap_or(tuning.tier_up.clone()), inlining, ..tuning };
        Config { tuning, ..Config::default() }
    };
    vec![
        innkeeper::engine_with(Config::default(), Tiers::Interpreter),
        innkeeper::engine_with(config(None, Inlining::never()), Tiers::Compiled),
        innkeeper::engine_with(config(None, Inlining::default()), Tiers::Compiled),
        innkeeper::engine_with(config(Some(TierUp::eager()), Inlining::default()), Tiers::Auto),
    ]
}

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

fn func(module: &Module, name: &str) -> FuncIndex {
    module.functions().find(|function| function.name == Some(name)).unwrap().func
}

/// Whether the body of `inner` stands in the code of `outer`.
fn is_inside(module: &Module, outer: &str, inner: &str) -> bool {
    let explained = module.explain(func(module, outer)).unwrap().unwrap();
    explained.intermediate.contains(&format!("; of func[{}], @", func(module, inner).0))
}

/// What there is to be told of an error: the trap, and all frames.
fn told(error: &Error) -> String {
    let frames = error.backtrace().frames().iter();
    let frames: Vec<_> = frames.map(|frame| (frame.func_name.clone(), frame.offset_bytes)).collect();
    format!("{:?} {frames:?}", error.trap())
}

/// Calls `run` with each argument, several times, in every tier; `inlined` are pairs of an outer and an inner function.
fn same_everywhere(text: &str, arguments: &[i32], inlined: &[(&str, &str)]) -> Vec<Result<i32, String>> {
    let mut expected: Option<Vec<_>> = None;
    for (i, engine) in engines().iter().enumerate() {
        let module = module(engine, text);
        let mut store = Store::new(engine, ()).unwrap();
        let instance = Linker::new(engine).instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        for _ in 0..3 {
            let outcomes: Vec<_> = arguments
                .iter()
                .map(|argument| run.call(&mut store, *argument).map_err(|error| told(&error)))
                .collect();
            let expected = expected.get_or_insert_with(|| outcomes.clone());
            assert_eq!(&outcomes, expected, "engine {i}");
        }
        for (outer, inner) in inlined {
            let is_inside = i >= 2 && is_inside(&module, outer, inner);
            assert_eq!(is_inside, i >= 2, "engine {i}: {inner} in {outer}");
        }
        assert!(engine.compile_statistics().refused.is_empty(), "{:?}", engine.compile_statistics());
    }
    expected.unwrap()
}

#[test]
fn traps_have_the_frames_that_calls_would_have() {
    let text = r#"(module (memory 1)
        (func $inner (param $x i32) (result i32)
            (if (i32.eq (local.get $x) (i32.const 1)) (then unreachable))
            (if (i32.eq (local.get $x) (i32.const 2)) (then (drop (i32.load (i32.const -4)))))
            (i32.div_u (i32.const 100) (i32.sub (local.get $x) (i32.const 3))))
        (func $middle (param $x i32) (result i32)
            (if (result i32) (i32.lt_u (local.get $x) (i32.const 50))
                (then (i32.add (call $inner (local.get $x)) (call $inner (i32.add (local.get $x) (i32.const 1)))))
                (else (i32.const 7))))
        (func $run (export "run") (param $x i32) (result i32) (local $i i32)
            (local.set $i (i32.const 1))
            (i32.add
                (call $middle (i32.add (local.get $x) (local.get $i)))
                (call $middle (local.get $x)))))"#;
    let arguments: Vec<i32> = (-1..8).chain([49, 50, 100]).collect();
    let outcomes =
        same_everywhere(text, &arguments, &[("middle", "inner"), ("run", "middle"), ("run", "inner")]);
    let trap = outcomes[2].as_ref().unwrap_err();
    assert!(trap.contains("inner") && trap.contains("middle") && trap.contains("run"), "{trap}");
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 5, "{outcomes:?}");
    assert_eq!(outcomes[outcomes.len() - 1], Ok(14));
}

#[test]
fn frames_of_code_from_a_cache_are_the_same() {
    let text = r#"(module
        (func $inner (param i32) (result i32) (i32.div_u (i32.const 100) (local.get 0)))
        (func $middle (param i32) (result i32) (i32.add (call $inner (local.get 0)) (i32.const 1)))
        (func $run (export "run") (param i32) (result i32) (i32.mul (call $middle (local.get 0)) (i32.const 2))))"#;
    let directory = tempfile::tempdir().unwrap();
    let run = || {
        let seal = innkeeper::CacheSeal::in_directory(&directory.path().join("seal")).unwrap();
        let cache = Cache::in_directory(&directory.path().join("code"), seal).unwrap();
        let engine = innkeeper::engine_cached(Config::default(), Tiers::Compiled, cache);
        let module = module(&engine, text);
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        assert_eq!(run.call(&mut store, 4).unwrap(), 52);
        let told = told(&run.call(&mut store, 0).unwrap_err());
        (told, engine.compile_statistics().cached)
    };
    let (compiled, cached) = (run(), run());
    assert_eq!((compiled.1, cached.1), (0, 3));
    assert_eq!(compiled.0, cached.0);
    let places: Vec<_> = ["inner", "middle", "run"].map(|name| compiled.0.find(name)).into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{}", compiled.0);
}

#[test]
fn a_body_that_never_comes_back_ends_its_caller() {
    let text = r#"(module
        (func $fail (param i32) (result i32) unreachable)
        (func $loops (param i32) (result i32) (loop $l (result i32)
            (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))) (local.get 0)))
        (func $run (export "run") (param i32) (result i32)
            (if (result i32) (local.get 0)
                (then (i32.add (call $loops (local.get 0)) (i32.const 5)))
                (else (i32.mul (call $fail (local.get 0)) (call $loops (i32.const 3)))))))"#;
    let outcomes = same_everywhere(text, &[3, 0, 1], &[("run", "loops")]);
    assert_eq!((outcomes[0].clone(), outcomes[2].clone()), (Ok(5), Ok(5)));
    assert!(outcomes[1].as_ref().unwrap_err().contains("Unreachable"));
}

#[test]
fn many_results_and_labels_of_the_function_are_the_bodys_own() {
    let text = r#"(module
        (func $split (param $x i32) (result i32 i32 i32 i32 i32 i32) (local $zero i32)
            (if (i32.and (local.get $x) (i32.const 1))
                (then (return (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (local.get $x))))
            (local.get $x) (local.get $zero) (local.get $zero) (local.get $zero)
            (local.set $zero (local.get $x)) (local.get $zero) (i32.const 9))
        (func $run (export "run") (param $x i32) (result i32) (local $sum i32)
            (loop $again
                (call $split (local.get $x))
                i32.add i32.mul i32.add i32.xor i32.add
                (local.set $sum (i32.add (local.get $sum)))
                (br_if $again (local.tee $x (i32.sub (local.get $x) (i32.const 1)))))
            (local.get $sum)))"#;
    let text = text
        .replace("(local.set $sum (i32.add (local.get $sum)))", "(local.get $sum) i32.add (local.set $sum)");
    same_everywhere(&text, &[1, 2, 10], &[("run", "split")]);
}

#[test]
fn exceptions_pass_through_and_are_caught_in_inlined_bodies() {
    let text = r#"(module
        (tag $e (param i32)) (tag $f)
        (func $throw (param i32)
            (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $e (i32.const 10))))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $f))))
        (func $catches_f (param i32) (result i32)
            (block $caught
                (try_table (catch $f $caught) (call $throw (local.get 0)))
                (return (i32.const 1)))
            (i32.const 2))
        (func $tail (param i32) (result i32)
            (block $caught (try_table (catch_all $caught) (return_call $echo (local.get 0))))
            (i32.const -1))
        (func $echo (param i32) (result i32) (call $throw (i32.sub (local.get 0) (i32.const 10))) (local.get 0))
        (func $run (export "run") (param i32) (result i32)
            (block $h (result i32)
                (try_table (result i32) (catch $e $h)
                    (i32.add (call $catches_f (local.get 0)) (call $tail (local.get 0)))))))"#;
    let inlined = [("run", "catches_f"), ("run", "throw"), ("run", "tail")];
    let outcomes = same_everywhere(text, &[0, 1, 2, 11, 12], &inlined);
    assert_eq!(outcomes[..4], [Ok(1), Ok(10), Ok(4), Ok(10)]);
    // Nobody catches it: `tail` has been left by its tail call.
    let uncaught = outcomes[4].as_ref().unwrap_err();
    assert!(uncaught.contains("echo") && !uncaught.contains("tail"), "{uncaught}");
}

#[test]
fn tail_calls_of_inlined_bodies_leave_their_frames_and_run_in_bounded_stack() {
    let text = r#"(module
        (type $step (func (param i32 i32) (result i32)))
        (table funcref (elem $even $odd))
        (func $even (type $step)
            (if (i32.eqz (local.get 0)) (then (return (i32.div_u (i32.const 12) (local.get 1)))))
            (return_call $odd (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))
        (func $odd (type $step)
            (if (i32.eqz (local.get 0)) (then (return (i32.const 7))))
            (return_call_indirect (type $step)
                (i32.sub (local.get 0) (i32.const 1)) (local.get 1) (i32.const 0)))
        (func $run (export "run") (param i32) (result i32)
            (i32.add (i32.const 1)
                (call $even (i32.shr_u (local.get 0) (i32.const 1)) (i32.and (local.get 0) (i32.const 1))))))"#;
    let outcomes = same_everywhere(text, &[1, 3, 401, 1_200_001, 800], &[("run", "even")]);
    assert_eq!(outcomes[..4], [Ok(13), Ok(8), Ok(13), Ok(13)]);
    let trap = outcomes[4].as_ref().unwrap_err();
    assert!(trap.contains("even") && !trap.contains("odd"), "{trap}");
}

#[test]
fn recursion_through_inlined_bodies_ends_in_the_same_trap() {
    let text = r#"(module
        (func $a (param i32) (result i32) (i32.add (call $b (local.get 0)) (i32.const 1)))
        (func $b (param i32) (result i32) (i32.add (call $a (local.get 0)) (i32.const 2)))
        (func (export "run") (param i32) (result i32) (call $a (local.get 0))))"#;
    for engine in engines() {
        let module = module(&engine, text);
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        for _ in 0..3 {
            let error = run.call(&mut store, 0).unwrap_err();
            assert_eq!(error.trap(), Some(Trap::CallStackExhausted));
            assert!(error.backtrace().omitted() > 1000);
            let names: Vec<_> =
                error.backtrace().frames().iter().map(|frame| frame.func_name.clone().unwrap()).collect();
            for pair in names.windows(2) {
                assert_ne!(pair[0], pair[1], "{names:?}");
            }
        }
    }
}

/// Compiles what has been called four times, when the calls before have been looked at.
fn profiling() -> Engine {
    let tier_up = TierUp { calls: 4, back_edges: 1, looks: 100, compilation: Compilation::AtOnce };
    let tuning = Tuning { tier_up, ..Tuning::default() };
    innkeeper::engine_with(Config { tuning, ..Config::default() }, Tiers::Auto)
}

/// `run` calls what is at an index of its table, or the reference it is given there; functions tell instances apart by a global.
const INDIRECT: &str = r#"(module
    (type $get (func (result i32)))
    (import "table" "table" (table 8 funcref))
    (import "table" "own" (global $own i32))
    (elem declare func $own $other)
    (func $own (export "own_func") (type $get) (global.get $own))
    (func $other (export "other_func") (type $get) (i32.add (global.get $own) (i32.const 100)))
    (func $wrong (export "wrong_func") (result i64) (i64.const 1))
    (func $by_index (export "by_index") (param i32) (result i32)
        (i32.add (call_indirect (type $get) (local.get 0)) (i32.const 1)))
    (func $by_reference (export "by_reference") (param i32) (result i32)
        (i32.add (call_ref $get (ref.cast (ref null $get) (table.get 0 (local.get 0)))) (i32.const 1))))"#;

#[test]
fn a_callee_that_is_foreseen_is_checked_in_every_instance() {
    foreseen_is_checked("by_index", Trap::IndirectCallTypeMismatch, Trap::UninitializedElement);
    foreseen_is_checked("by_reference", Trap::CastFailure, Trap::NullFunction);
}

/// Calls functions with the exported one; `wrong` and `null` are the traps for one of another type, and for none.
fn foreseen_is_checked(name: &str, wrong: Trap, null: Trap) {
    let engine = profiling();
    let module = module(&engine, INDIRECT);
    let mut store = Store::new(&engine, ()).unwrap();
    let maker = r#"(module (table (export "table") 8 funcref) (global (export "own") i32 (i32.const 10))
        (global (export "second") i32 (i32.const 20)))"#;
    let maker = Linker::new(&engine).instantiate(&mut store, &self::module(&engine, maker)).unwrap();
    let table = maker.get_export(&mut store, "table").and_then(Extern::into_table).unwrap();
    let instantiate = |store: &mut Store<()>, own: &str| -> Instance {
        let mut linker = Linker::new(&engine);
        let own = maker.get_export(&mut *store, own).unwrap();
        linker.define("table", "table", table).unwrap();
        linker.define("table", "own", own).unwrap();
        linker.instantiate(store, &module).unwrap()
    };
    let (first, second) = (instantiate(&mut store, "own"), instantiate(&mut store, "second"));
    let elements = [(first, "own_func"), (second, "own_func"), (first, "other_func"), (first, "wrong_func")];
    for (i, (instance, name)) in elements.into_iter().enumerate() {
        let func = instance.get_func(&mut store, name).unwrap();
        table.set(&mut store, i as u64, Val::FuncRef(Some(func))).unwrap();
    }
    let of =
        |store: &mut Store<()>, instance: Instance| instance.get_typed_func::<i32, i32>(store, name).unwrap();
    let (of_first, of_second) = (of(&mut store, first), of(&mut store, second));
    for _ in 0..6 {
        assert_eq!(of_first.call(&mut store, 0).unwrap(), 11);
    }
    assert!(is_inside(&module, name, "own"), "{name}: nothing was foreseen");
    for _ in 0..3 {
        // The same function of another instance, from either; another function; and back.
        assert_eq!(of_first.call(&mut store, 1).unwrap(), 21);
        assert_eq!(of_second.call(&mut store, 1).unwrap(), 21);
        assert_eq!(of_second.call(&mut store, 0).unwrap(), 11);
        assert_eq!(of_first.call(&mut store, 2).unwrap(), 111);
        assert_eq!(of_first.call(&mut store, 0).unwrap(), 11);
        for (index, trap) in [(3, wrong), (5, null)] {
            let error = of_first.call(&mut store, index).unwrap_err();
            assert_eq!(error.trap(), Some(trap), "{name} {index}");
            assert_eq!(error.backtrace().frames().len(), 1);
        }
    }
}

#[test]
fn a_callee_that_was_compiled_before_its_caller_is_foreseen() {
    let engine = profiling();
    let text = r#"(module
        (import "host" "nothing" (func))
        (type $get (func (result i32)))
        (table funcref (elem $one))
        (func $one (export "one") (type $get) (i32.const 1))
        (func $run (export "run") (param i32) (result i32) (call_indirect (type $get) (local.get 0))))"#;
    let module = module(&engine, text);
    let mut store = Store::new(&engine, ()).unwrap();
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "nothing", || {}).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let one = instance.get_typed_func::<(), i32>(&mut store, "one").unwrap();
    for _ in 0..4 {
        assert_eq!(one.call(&mut store, ()).unwrap(), 1);
    }
    assert_eq!(engine.compile_statistics().compiled, 1);
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    for _ in 0..6 {
        assert_eq!(run.call(&mut store, 0).unwrap(), 1);
    }
    assert_eq!(engine.compile_statistics().compiled, 2);
    assert!(is_inside(&module, "run", "one"));
}

#[test]
fn calls_of_several_callees_are_not_foreseen() {
    let engine = profiling();
    let text = r#"(module
        (type $get (func (result i32)))
        (table funcref (elem $one $two))
        (func $one (type $get) (i32.const 1))
        (func $two (type $get) (i32.const 2))
        (func $run (export "run") (param i32) (result i32)
            (i32.add (call_indirect (type $get) (local.get 0))
                (call_indirect (type $get) (i32.sub (i32.const 1) (local.get 0))))))"#;
    let module = module(&engine, text);
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    for i in 0..10 {
        assert_eq!(run.call(&mut store, i % 2).unwrap(), 3);
    }
    assert!(!is_inside(&module, "run", "one") && !is_inside(&module, "run", "two"));
}

#[test]
fn what_was_never_called_is_not_inlined() {
    let engine = profiling();
    let text = r#"(module
        (func $rare (result i32) (i32.const 1))
        (func $often (result i32) (i32.const 2))
        (func $run (export "run") (param i32) (result i32)
            (if (result i32) (local.get 0) (then (call $rare)) (else (call $often)))))"#;
    let module = module(&engine, text);
    assert!(is_inside(&module, "run", "rare"), "nothing is known yet");
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 0).unwrap(), 2);
    assert!(is_inside(&module, "run", "often") && !is_inside(&module, "run", "rare"));
    for _ in 0..5 {
        assert_eq!((run.call(&mut store, 0).unwrap(), run.call(&mut store, 1).unwrap()), (2, 1));
    }
}

#[test]
fn limits_of_inlining_hold() {
    let text = r#"(module
        (func $leaf (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
        (func $branch (param i32) (result i32) (i32.add (call $leaf (local.get 0)) (call $leaf (i32.const 5))))
        (func $itself (param i32) (result i32)
            (if (result i32) (local.get 0) (then (call $itself (i32.sub (local.get 0) (i32.const 1)))) (else (i32.const 1))))
        (func $run (export "run") (param i32) (result i32)
            (i32.add (call $branch (local.get 0)) (call $itself (local.get 0)))))"#;
    let inside = |inlining: Inlining| {
        let tuning = Tuning { inlining, ..Tuning::default() };
        let engine = innkeeper::engine_with(Config { tuning, ..Config::default() }, Tiers::Compiled);
        let module = module(&engine, text);
        ["branch", "leaf", "itself"].map(|inner| is_inside(&module, "run", inner))
    };
    let all = Inlining::default();
    assert_eq!(inside(all.clone()), [true, true, false]);
    assert_eq!(inside(Inlining { depth: 1, ..all.clone() }), [true, false, false]);
    assert_eq!(inside(Inlining { body_bytes: 8, ..all.clone() }), [false, false, false]);
    assert_eq!(inside(Inlining { caller_bytes: 14, ..all.clone() }), [true, false, false]);
    assert_eq!(inside(Inlining::never()), [false, false, false]);
}
