//! Guests whose functions are all compiled: results, and the seams between machine code, the interpreter and the host.

use innkeeper::{Config, Engine, Linker, Module, Store, TierUp, Tiers, Trap, Val};

fn engine() -> Engine {
    innkeeper::engine_with(Config::default(), Tiers::Compiled)
}

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

fn run(text: &str, args: &[Val], results: usize) -> Result<Vec<Val>, innkeeper::Error> {
    let engine = engine();
    let module = module(&engine, text);
    let mut store = Store::new(&engine, ()).unwrap();
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.func_wrap("host", "double", |x: i32| x * 2).unwrap();
    let instance = linker.instantiate(&mut store, &module)?;
    let run = instance.get_func(&mut store, "run").unwrap();
    let mut out = vec![Val::I32(0); results];
    run.call(&mut store, args, &mut out)?;
    Ok(out)
}

fn i32_of(text: &str, args: &[Val]) -> i32 {
    match run(text, args, 1).unwrap()[0] {
        Val::I32(value) => value,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn adds() {
    let text =
        "(module (func (export \"run\") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))";
    assert_eq!(i32_of(text, &[Val::I32(2), Val::I32(40)]), 42);
}

/// A loop that is entered in its middle lies in others, and operands below each of them: what is below the outer ones was computed before machine code began.
#[test]
fn operands_below_loops_around_the_one_that_is_entered_are_kept() {
    let text = r#"(module
        (func $next (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
        (func (export "run") (param $n i32) (result i32) (local $i i32) (local $j i32) (local $k i32) (local $sum i32)
            (call $next (i32.const 1000000))
            (loop $outer
                (local.set $j (i32.const 0))
                (call $next (local.get $i))
                (loop $middle
                    (local.set $k (i32.const 0))
                    (call $next (local.get $j))
                    (loop $inner
                        (local.set $sum (i32.add (local.get $sum) (i32.const 1)))
                        (br_if $inner (i32.lt_u (local.tee $k (call $next (local.get $k))) (i32.const 4))))
                    (local.set $sum (i32.add (local.get $sum)))
                    (br_if $middle (i32.lt_u (local.tee $j (call $next (local.get $j))) (i32.const 3))))
                (local.set $sum (i32.add (local.get $sum)))
                (br_if $outer (i32.lt_u (local.tee $i (call $next (local.get $i))) (local.get $n))))
            (i32.add (local.get $sum))))"#;
    let call = |tiers, looks| {
        let mut config = Config::default();
        // Loops only, so that each of the three is entered from the interpreter.
        config.tuning.tier_up = TierUp { calls: u32::MAX, looks, ..TierUp::eager() };
        let engine = innkeeper::engine_with(config, tiers);
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &module(&engine, text)).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        (run.call(&mut store, 50).unwrap(), engine.compile_statistics())
    };
    let expected = call(Tiers::Interpreter, 1).0;
    for looks in 1..12 {
        let (result, statistics) = call(Tiers::Auto, looks);
        assert_eq!(result, expected, "{statistics:?}");
        assert!(statistics.compiled > 0 && statistics.refused.is_empty(), "{looks}: {statistics:?}");
    }
}

#[test]
fn recurses() {
    let text = r#"(module (func $fib (export "run") (param i32) (result i32)
        (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
            (then (local.get 0))
            (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                           (call $fib (i32.sub (local.get 0) (i32.const 2))))))))"#;
    assert_eq!(i32_of(text, &[Val::I32(20)]), 6765);
}

#[test]
fn calls_the_host_and_what_is_not_compiled() {
    // A function that catches is interpreted.
    let text = r#"(module
        (import "host" "double" (func $double (param i32) (result i32)))
        (tag $t (param i32))
        (func $catches (param i32) (result i32)
            (block $h (result i32)
                (try_table (result i32) (catch $t $h) (call $throws (local.get 0)))))
        (func $throws (param i32) (result i32)
            (if (i32.gt_u (local.get 0) (i32.const 10)) (then (throw $t (i32.const 7))))
            (call $double (local.get 0)))
        (func (export "run") (param i32) (result i32) (call $catches (local.get 0))))"#;
    assert_eq!(i32_of(text, &[Val::I32(5)]), 10);
    assert_eq!(i32_of(text, &[Val::I32(11)]), 7);
}

#[test]
fn traps_are_the_interpreters() {
    let text =
        r#"(module (memory 1) (func (export "run") (param i32) (result i32) (i32.load (local.get 0))))"#;
    let error = run(text, &[Val::I32(65533)], 1).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::MemoryOutOfBounds));
    assert_eq!(error.backtrace().frames().len(), 1);
    assert!(error.backtrace().frames()[0].offset_bytes.is_some());
    assert_eq!(i32_of(text, &[Val::I32(65532)]), 0);
    let text =
        "(module (func (export \"run\") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0))))";
    assert_eq!(run(text, &[Val::I32(0)], 1).unwrap_err().trap(), Some(Trap::IntegerDivideByZero));
}

#[test]
fn runaway_recursion_is_a_trap() {
    let text = "(module (func $f (export \"run\") (result i32) (i32.add (i32.const 1) (call $f))))";
    let error = run(text, &[], 1).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::CallStackExhausted));
    let [_, frame] = error.backtrace().frames() else { panic!("{error:?}") };
    assert!(frame.times > 1000 && error.backtrace().omitted() == 0, "{error:?}");
}

/// Two functions that call each other in tail position, one of which is not compiled because it catches.
const PING_PONG: &str = r#"(module
    (tag $t)
    (type $step (func (param i32 i64) (result i64)))
    (table 2 funcref)
    (elem (i32.const 0) $ping $pong)
    (func $ping (type $step)
        (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
        (return_call $pong (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.const 1))))
    (func $pong (type $step)
        (block $h (try_table (catch $t $h)))
        (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
        (return_call_indirect (type $step)
            (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.const 2)) (i32.const 0)))
    (func (export "run") (param i32) (result i64) (call $ping (local.get 0) (i64.const 0))))"#;

#[test]
fn tail_calls_between_tiers_run_in_bounded_stack() {
    let results = run(PING_PONG, &[Val::I32(1_000_000)], 1).unwrap();
    assert!(matches!(results[0], Val::I64(1_500_000)), "{results:?}");
}

#[test]
fn tail_calls_from_loops_run_in_bounded_stack() {
    // Each function is interpreted until its loop comes round, and goes on in machine code from there to the tail call.
    let text = r#"(module
        (func $f (param i32 i64) (result i64) (local $n i32)
            (local.set $n (i32.const 2))
            (loop $l
                (local.set 1 (i64.add (local.get 1) (i64.const 1)))
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
            (return_call $g (i64.const 7) (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))
        (func $g (param i64 i32 i64) (result i64) (local $n i32)
            (local.set $n (i32.const 2))
            (loop $l
                (local.set 2 (i64.add (local.get 2) (i64.const 1)))
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (if (i32.eqz (local.get 1)) (then (return (local.get 2))))
            (return_call $f (i32.sub (local.get 1) (i32.const 1)) (local.get 2)))
        (func (export "run") (param i32) (result i64) (call $f (local.get 0) (i64.const 0))))"#;
    let mut config = Config::default();
    config.tuning.tier_up = TierUp { calls: u32::MAX, ..TierUp::eager() };
    let engine = innkeeper::engine_with(config, Tiers::Auto);
    let module = module(&engine, text);
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i64>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 100_000).unwrap(), 200_002);
    assert_eq!(engine.compile_statistics().compiled, 2, "{:?}", engine.compile_statistics());
}

#[test]
fn recursion_through_both_tiers_is_a_trap_with_frames_of_both() {
    let text = r#"(module
        (tag $t)
        (func $compiled (param i32) (result i32) (i32.add (i32.const 1) (call $interpreted (local.get 0))))
        (func $interpreted (param i32) (result i32)
            (block $h (try_table (catch $t $h)))
            (i32.add (i32.const 1) (call $compiled (local.get 0))))
        (func (export "run") (param i32) (result i32) (call $compiled (local.get 0))))"#;
    let error = run(text, &[Val::I32(0)], 1).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::CallStackExhausted));
    let names: Vec<_> =
        error.backtrace().frames().iter().map(|frame| frame.func_name.clone().unwrap()).collect();
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1], "{names:?}");
    }
    assert!(error.backtrace().omitted() > 1000);
}

#[test]
fn backtraces_cross_tiers() {
    let text = r#"(module
        (tag $t)
        (func $inner (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
        (func $middle (param i32) (result i32)
            (block $h (try_table (catch $t $h)))
            (i32.add (i32.const 1) (call $inner (local.get 0))))
        (func $outer (export "run") (param i32) (result i32) (i32.add (i32.const 1) (call $middle (local.get 0)))))"#;
    let error = run(text, &[Val::I32(0)], 1).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::IntegerDivideByZero));
    let frames = error.backtrace().frames();
    let names: Vec<_> = frames.iter().map(|frame| frame.func_name.as_deref().unwrap_or("")).collect();
    assert_eq!(names, ["inner", "middle", "outer"]);
    assert_eq!(error.backtrace().omitted(), 0);
    // They say the same as the interpreter's.
    let engine = innkeeper::engine_with(Config::default(), Tiers::Interpreter);
    let module = module(&engine, text);
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let interpreted = run.call(&mut store, 0).unwrap_err();
    // But for which tier it was.
    let places = |error: &innkeeper::Error| -> Vec<_> {
        let frames = error.backtrace().frames().iter();
        frames.map(|frame| (frame.func, frame.func_name.clone(), frame.offset_bytes, frame.times)).collect()
    };
    assert_eq!(places(&interpreted), places(&error));
}

#[test]
fn endless_loops_are_interrupted() {
    for (tiers, text) in [
        (Tiers::Compiled, "(module (func (export \"run\") (loop $l (br $l))))"),
        (Tiers::Auto, "(module (func (export \"run\") (loop $l (br $l))))"),
        (Tiers::Compiled, "(module (func $f (export \"run\") (return_call $f)))"),
    ] {
        let mut config = Config::default();
        config.tuning.tier_up = TierUp::eager();
        let engine = innkeeper::engine_with(config, tiers);
        let module = module(&engine, text);
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        let handle = store.interrupt_handle();
        let other = std::thread::spawn(move || handle.interrupt());
        let error = run.call(&mut store, ()).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::Interrupted));
        other.join().unwrap();
    }
}

#[test]
fn many_results_come_back() {
    let text = r#"(module
        (func $many (param i32) (result i32 f64 i64 i32 f32 i64 i64 v128)
            (local.get 0) (f64.const 1.5) (i64.const 3) (i32.const 4) (f32.const 5) (i64.const 6) (i64.const 7)
            (v128.const i64x2 8 9))
        (func $tail (param i32) (result i32 f64 i64 i32 f32 i64 i64 v128) (return_call $many (local.get 0)))
        (func (export "run") (param i32) (result i32 i64)
            (local $v v128) (local $n i64)
            (call $tail (local.get 0))
            (local.set $v) (local.set $n) (drop) (drop) (drop) (drop) (drop)
            (i64.add (local.get $n) (i64x2.extract_lane 1 (local.get $v)))))"#;
    let results = run(text, &[Val::I32(2)], 2).unwrap();
    assert!(matches!(results[..], [Val::I32(2), Val::I64(16)]), "{results:?}");
}

#[test]
fn errors_of_the_host_have_a_backtrace() {
    let engine = engine();
    let text = r#"(module
        (import "host" "fail" (func $fail))
        (func $inner (call $fail))
        (func (export "run") (call $inner)))"#;
    let module = module(&engine, text);
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.func_wrap("host", "fail", || Err::<(), _>(innkeeper::Error::from_host(std::fmt::Error))).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let error = run.call(&mut store, ()).unwrap_err();
    assert_eq!(error.backtrace().frames().len(), 2, "{error:?}");
}

/// What the host calls and has machine code is entered there at once, and comes back in every way that there is: it returns, goes on in the interpreter, traps, throws,
/// or is not begun at all.
#[test]
fn the_host_enters_machine_code_at_once() {
    let text = r#"(module
        (import "host" "tell" (func $tell (param i32)))
        (tag $t)
        (func $f (export "run") (param i32) (result i32)
            (call $tell (i32.const 1))
            (if (i32.eqz (local.get 0)) (then (return (i32.const 7))))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $t)))
            (return_call $g (local.get 0) (i32.const 20) (i32.const 30) (i32.const 40) (i32.const 50)))
        (func $g (param i32 i32 i32 i32 i32) (result i32)
            (call $tell (i32.const 2))
            (if (i32.eq (local.get 0) (i32.const 3)) (then (unreachable)))
            (i32.add (local.get 0) (i32.add (local.get 1) (local.get 4)))))"#;
    let mut config = Config::default();
    config.tuning.tier_up = TierUp { calls: 8, ..TierUp::eager() };
    let engine = innkeeper::engine_with(config, Tiers::Auto);
    let mut store = Store::new(&engine, Vec::new()).unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "tell", |mut caller: innkeeper::Caller<'_, Vec<(i32, bool)>>, what: i32| {
            let seen = (what, caller.is_in_machine_code());
            caller.data_mut().push(seen);
        })
        .unwrap();
    let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    for _ in 0..16 {
        assert_eq!(run.call(&mut store, 0).unwrap(), 7);
    }
    assert_eq!(engine.compile_statistics().compiled, 1, "{:?}", engine.compile_statistics());
    // Less often than what makes the other function hot.
    for n in 10..12 {
        store.data_mut().clear();
        assert_eq!(run.call(&mut store, n).unwrap(), n + 70);
        assert_eq!(store.data()[..], [(1, true), (2, false)]);
        let thrown = run.call(&mut store, 2).unwrap_err();
        assert!(matches!(thrown.kind(), innkeeper::ErrorKind::Exception(_)), "{thrown}");
        let trapped = run.call(&mut store, 3).unwrap_err();
        assert_eq!((trapped.trap(), trapped.backtrace().frames().len()), (Some(Trap::Unreachable), 1));
        store.data_mut().clear();
        store.interrupt_handle().interrupt();
        assert_eq!(run.call(&mut store, 0).unwrap_err().trap(), Some(Trap::Interrupted));
        assert!(store.data().is_empty(), "it was begun: {:?}", store.data());
        assert_eq!(run.call(&mut store, 0).unwrap(), 7);
    }
}

/// Compiled code keeps references in registers over a call, which a collection during that call finds, whatever the host and the guest do on either stack.
#[test]
fn references_in_registers_are_seen_while_the_host_runs() {
    let text = r#"(module
        (import "host" "collect" (func $collect))
        (type $s (struct (field i32)))
        (func $new (param i32) (result (ref $s)) (struct.new $s (local.get 0)))
        (func (export "called")
            (local $n i32)
            (local.set $n (i32.const 2000))
            (loop $l
                (drop (struct.new $s (i32.const -1)))
                (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
        (func (export "one") (result i32) (local $a (ref null $s))
            (local.set $a (call $new (i32.const 1)))
            (call $collect)
            (struct.get $s 0 (local.get $a)))
        (func (export "four") (result i32)
            (local $a (ref null $s)) (local $b (ref null $s)) (local $c (ref null $s)) (local $d (ref null $s))
            (local.set $a (call $new (i32.const 1)))
            (local.set $b (call $new (i32.const 10)))
            (local.set $c (call $new (i32.const 100)))
            (local.set $d (call $new (i32.const 1000)))
            (call $collect)
            (i32.add (i32.add (struct.get $s 0 (local.get $a)) (struct.get $s 0 (local.get $b)))
                (i32.add (struct.get $s 0 (local.get $c)) (struct.get $s 0 (local.get $d))))))"#;
    let mut config = Config::default();
    config.tuning.collection = innkeeper::Collection::EveryAllocation;
    let engine = innkeeper::engine_with(config, Tiers::Compiled);
    let mut store = Store::new(&engine, ()).unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "collect", |mut caller: innkeeper::Caller<'_, ()>| {
            let called = caller.get_export("called").unwrap().into_func().unwrap();
            called.call(&mut caller, &[], &mut [])
        })
        .unwrap();
    let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
    for (name, sum) in [("one", 1), ("four", 1111)] {
        let run = instance.get_typed_func::<(), i32>(&mut store, name).unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap(), sum, "{name}");
    }
}
