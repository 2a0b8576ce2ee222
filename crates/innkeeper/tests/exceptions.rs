//! Exceptions: the older form, which the specification's suite no longer covers, and their way through the host.

use innkeeper::{
    AsContextMut, Caller, Config, Engine, ErrorKind, Func, FuncType, Linker, Module, Store, Tag, TierUp,
    Tiers, ValType,
};

/// Calls `run` of a module with `throw` tags `$e` (i32) and `$f` () at hand.
fn run(functions: &str, argument: i32) -> Result<i32, String> {
    let text = format!(
        r#"(module
            (tag $e (param i32))
            (tag $f)
            (func $throw (param i32) (throw $e (local.get 0)))
            {functions})"#
    );
    let binary = innkeeper::to_binary(text.as_bytes()).map_err(|error| error.to_string())?.into_owned();
    let outcomes = engines().map(|engine| run_on(&engine, &binary, argument));
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "tiers differ: {outcomes:?}");
    outcomes[0].clone()
}

/// Interpreted; compiled; and switching between the two as early as possible.
fn engines() -> [Engine; 3] {
    let mut eager = Config::default();
    eager.tuning.tier_up = TierUp::eager();
    [
        innkeeper::engine_with(Config::default(), Tiers::Interpreter),
        innkeeper::engine_with(Config::default(), Tiers::Compiled),
        innkeeper::engine_with(eager, Tiers::Auto),
    ]
}

fn run_on(engine: &Engine, binary: &[u8], argument: i32) -> Result<i32, String> {
    let module = Module::new(engine, binary.to_vec()).map_err(|error| error.to_string())?;
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let mut call = || {
        run.call(&mut store, argument).map_err(|error| match error.kind() {
            ErrorKind::Exception(_) => format!("exception below {} frames", error.backtrace().frames().len()),
            _ => error.to_string(),
        })
    };
    // What was interpreted the first time is compiled later.
    let outcomes = [call(), call(), call()];
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "calls differ: {outcomes:?}");
    assert!(engine.compile_statistics().refused.is_empty(), "interpreted: {:?}", engine.compile_statistics());
    outcomes[0].clone()
}

#[test]
fn a_try_passes_its_result_on_or_its_handlers() {
    let functions = r#"(func (export "run") (param i32) (result i32)
        i32.const 1000
        try (result i32)
            (if (i32.gt_s (local.get 0) (i32.const 10)) (then (call $throw (local.get 0))))
            (if (i32.lt_s (local.get 0) (i32.const 0)) (then (throw $f)))
            i32.const 1
        catch $e
            (i32.mul (i32.const 2))
        catch_all
            i32.const 3
        end
        i32.add)"#;
    assert_eq!(run(functions, 5), Ok(1001));
    assert_eq!(run(functions, 21), Ok(1042));
    assert_eq!(run(functions, -1), Ok(1003));
}

#[test]
fn handlers_do_not_catch_what_they_throw() {
    let functions = r#"(func (export "run") (param i32) (result i32)
        try (result i32)
            try (result i32)
                (call $throw (local.get 0))
                i32.const 0
            catch $e
                drop
                (call $throw (i32.const 70))
                i32.const 0
            catch_all
                i32.const 1
            end
        catch $e
            (i32.add (i32.const 7))
        end)"#;
    assert_eq!(run(functions, 5), Ok(77));
}

#[test]
fn rethrow_throws_the_exception_of_the_handler_it_names() {
    let functions = r#"(func (export "run") (param i32) (result i32)
        try (result i32)
            try $outer (result i32)
                (call $throw (local.get 0))
                i32.const 0
            catch $e
                drop
                try (result i32)
                    throw $f
                catch $f
                    rethrow $outer
                end
            end
        catch $e
            (i32.add (i32.const 100))
        catch_all
            i32.const -1
        end)"#;
    assert_eq!(run(functions, 5), Ok(105));
}

#[test]
fn delegate_skips_the_handlers_between() {
    let functions = r#"(func (export "run") (param i32) (result i32)
        try $outer (result i32)
            try (result i32)
                try (result i32)
                    (call $throw (local.get 0))
                    i32.const 0
                delegate $outer
            catch_all
                i32.const -1
            end
        catch $e
            (i32.add (i32.const 200))
        end)"#;
    assert_eq!(run(functions, 5), Ok(205));
    let to_the_caller = r#"(func $inner (param i32) (result i32)
            try (result i32)
                try (result i32)
                    (call $throw (local.get 0))
                    i32.const 0
                delegate 1
            catch_all
                i32.const -1
            end)
        (func (export "run") (param i32) (result i32)
            try (result i32)
                (call $inner (local.get 0))
            catch $e
                (i32.add (i32.const 300))
            end)"#;
    assert_eq!(run(to_the_caller, 5), Ok(305));
}

#[test]
fn branches_leave_handlers_with_their_values() {
    let functions = r#"(func (export "run") (param i32) (result i32)
        block $done (result i32)
            try $t (result i32)
                (call $throw (local.get 0))
                i32.const 0
            catch $e
                (br_if $done (i32.eq (i32.const 1) (local.get 0)))
                drop
                (br $t (i32.const 2))
            end
            (i32.add (i32.const 40))
        end)"#;
    assert_eq!(run(functions, 1), Ok(1));
    assert_eq!(run(functions, 9), Ok(42));
}

#[test]
fn what_nothing_catches_is_an_error_with_a_backtrace() {
    let functions =
        r#"(func $main (export "run") (param i32) (result i32) (call $throw (local.get 0)) (i32.const 0))"#;
    assert_eq!(run(functions, 1), Err("exception below 2 frames".to_owned()));
}

#[test]
fn exceptions_pass_through_the_host_and_keep_their_identity() {
    engines().iter().for_each(through_the_host);
}

fn through_the_host(engine: &Engine) {
    let mut store = Store::new(engine, None::<Func>).unwrap();
    let mut linker: Linker<Option<Func>> = Linker::new(engine);
    let tag = Tag::new(&mut store, &FuncType::new([ValType::I32], [])).unwrap();
    linker.define("host", "tag", tag).unwrap();
    linker
        .func_wrap("host", "back", |mut caller: Caller<'_, Option<Func>>| match *caller.data() {
            Some(func) => func.call(caller.as_context_mut(), &[], &mut []),
            None => Ok(()),
        })
        .unwrap();
    let text = r#"(module
        (import "host" "tag" (tag $e (param i32)))
        (import "host" "back" (func $back))
        (type $v (func))
        (table $t funcref (elem $back))
        (elem declare func $back)
        (func (export "fall") (throw $e (i32.const 41)))
        (func $tail (return_call $back))
        (func $tail_indirect (return_call_indirect $t (type $v) (i32.const 0)))
        (func $tail_ref (return_call_ref $v (ref.func $back)))
        (func $main (param i32) (result i32)
            (block $caught (result i32)
                (try_table (catch $e $caught)
                    (block (block (block (local.get 0) (br_table 0 1 2))
                        (call $tail) (unreachable))
                        (call $tail_indirect) (unreachable))
                        (call $tail_ref))
                (return (i32.const -1)))
            (i32.add (i32.const 1)))
        (func (export "run_tails") (result i32)
            (i32.add (call $main (i32.const 0)) (i32.add (call $main (i32.const 1)) (call $main (i32.const 2)))))
        (func (export "run") (result i32)
            (block $caught (result i32)
                (try_table (catch $e $caught) (call $back))
                (return (i32.const -1)))
            (i32.add (i32.const 1))))"#;
    let module = Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    *store.data_mut() = instance.get_func(&mut store, "fall");
    let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, ()).unwrap(), 42);
    // A tail call of the host's function: its caller's caller catches what comes.
    let run = instance.get_typed_func::<(), i32>(&mut store, "run_tails").unwrap();
    for _ in 0..3 {
        assert_eq!(run.call(&mut store, ()).unwrap(), 3 * 42);
    }
}

#[test]
fn exceptions_cross_tiers_in_both_directions() {
    // `$warm` is called until it is compiled, `$cold` once in each call of `run`: with the eager engine the first call mixes them.
    let functions = r#"(func $cold (param i32) (result i32)
            (block $caught (result i32)
                (try_table (catch $e $caught) (call $warm (local.get 0)))
                (return (i32.const -1)))
            (i32.add (i32.const 100)))
        (func $warm (param i32)
            (if (i32.gt_s (local.get 0) (i32.const 5)) (then (call $throw (local.get 0)))))
        (func (export "run") (param i32) (result i32) (local i32)
            (loop $again
                (call $warm (i32.const 1))
                (br_if $again (i32.lt_s (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 9))))
            (block $all (result exnref)
                (try_table (catch_all_ref $all)
                    (return (i32.add (call $cold (local.get 0))
                        (call $cold (i32.add (local.get 0) (i32.const 1))))))
                (unreachable))
            (drop)
            (i32.const -2))"#;
    assert_eq!(run(functions, 2), Ok(-2));
    assert_eq!(run(functions, 6), Ok(213));
}

#[test]
fn a_handler_sees_what_locals_and_operands_were() {
    let functions = r#"(func $maybe (param i32) (result i32)
            (if (i32.eqz (i32.rem_u (local.get 0) (i32.const 3))) (then (throw $e (local.get 0))))
            (local.get 0))
        (func (export "run") (param $n i32) (result i32) (local $sum i32) (local $float f64)
            (local.set $float (f64.const 0.5))
            (loop $again
                local.get $sum
                try (result i32)
                    (i32.mul (i32.const 2) (call $maybe (local.get $n)))
                catch $e
                    i32.const 1000
                    i32.mul
                    (i32.trunc_f64_s (local.get $float))
                    i32.add
                end
                i32.add
                local.set $sum
                (local.set $float (f64.add (local.get $float) (f64.const 1)))
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $sum))"#;
    assert_eq!(run(functions, 7), Ok(2 * (7 + 5 + 4 + 2 + 1) + 6000 + 1 + 3000 + 4));
}
