//! Backtraces that a function of the host asks for: they are what the backtrace of its error would be, in every way that guests call the host.
//!
//! The oracle is the error itself: each function looks first, then fails, and both backtraces are compared, frame by frame with offsets and tiers.

use innkeeper::{
    AsContext, AsContextMut, Backtrace, Caller, Config, Engine, Error, Extern, Func, FuncType, Instance,
    Linker, Store, TierUp, Tiers, Val, ValType, WasmBacktrace,
};

use super::module;

/// What the functions of the host have seen.
type Seen = Vec<Backtrace>;

/// Engines of all kinds; in the last frames of both tiers alternate.
fn engines() -> [(&'static str, Engine); 3] {
    let mut eager = Config::default();
    eager.tuning.tier_up = TierUp::eager();
    [
        ("interpreted", innkeeper::engine_with(Config::default(), Tiers::Interpreter)),
        ("compiled", innkeeper::engine_with(Config::default(), Tiers::Compiled)),
        ("eager", innkeeper::engine_with(eager, Tiers::Auto)),
    ]
}

fn names(backtrace: &Backtrace) -> Vec<&str> {
    backtrace.frames().iter().map(|frame| frame.func_name.as_deref().unwrap_or("?")).collect()
}

/// Looks, and fails.
fn look(mut caller: Caller<'_, Seen>) -> Error {
    let seen = caller.backtrace();
    assert_eq!(seen, WasmBacktrace::capture(&caller));
    caller.data_mut().push(seen);
    Error::msg("looked")
}

/// A store with an instance of `text`, whose functions of the host all look: of no value, of some, and of more than registers hold.
fn guest(engine: &Engine, text: &str) -> (Store<Seen>, Instance) {
    let mut linker = Linker::<Seen>::new(engine);
    linker.func_wrap("host", "none", |caller: Caller<'_, Seen>| Err::<(), _>(look(caller))).unwrap();
    linker
        .func_wrap("host", "some", |caller: Caller<'_, Seen>, _: i32, _: i64| Err::<i64, _>(look(caller)))
        .unwrap();
    let many = FuncType::new(
        [ValType::F64, ValType::V128, ValType::I32, ValType::I64, ValType::I64, ValType::I32],
        [ValType::F64, ValType::F64, ValType::I32],
    );
    linker
        .func_new("host", "many", many, |caller: Caller<'_, Seen>, _: &[Val], _: &mut [Val]| {
            Err(look(caller))
        })
        .unwrap();
    let again = |mut caller: Caller<'_, Seen>, name: i32| -> Result<(), Error> {
        let name = format!("inner-{name}");
        let inner = caller.get_export(&name).and_then(Extern::into_func).unwrap();
        let before = caller.backtrace();
        let result = inner.call(&mut caller, &[], &mut []);
        // What was called in between has left no trace.
        assert_eq!(caller.backtrace(), before);
        result
    };
    linker.func_wrap("host", "again", again).unwrap();
    let mut store = Store::new(engine, Seen::new()).unwrap();
    let instance = linker.instantiate(&mut store, &module(engine, text)).unwrap();
    (store, instance)
}

/// Calls an export that ends in a function of the host which looks: what it has seen is what its error tells.
fn check(what: &str, store: &mut Store<Seen>, instance: Instance, export: &str) -> Backtrace {
    let func = instance.get_func(&*store, export).unwrap();
    for _ in 0..3 {
        store.data_mut().clear();
        let error = func.call(&mut *store, &[], &mut []).unwrap_err();
        assert_eq!(error.to_string().lines().next(), Some("looked"), "{what}: {export}");
        assert_eq!(store.data().last(), Some(error.backtrace()), "{what}: {export}");
        // Between calls there is nothing to see.
        assert_eq!(WasmBacktrace::capture(&*store), Backtrace::default());
    }
    store.data().last().cloned().unwrap()
}

const CALLS: &str = r#"(module $guest
    (import "host" "none" (func $none))
    (import "host" "some" (func $some (param i32 i64) (result i64)))
    (import "host" "many" (func $many (param f64 v128 i32 i64 i64 i32) (result f64 f64 i32)))
    (table 4 funcref) (elem (i32.const 0) $none $some $deep) (elem declare func $none)
    (type $none (func))
    (func (export "directly") (call $deep))
    (func $deep (nop) (call $none))
    (func (export "with-values") (drop (call $some (i32.const 1) (i64.const 2))))
    (func (export "with-many")
        (call $many (f64.const 1) (v128.const i64x2 1 2) (i32.const 3) (i64.const 4) (i64.const 5) (i32.const 6))
        drop drop drop)
    (func (export "by-table") (call_indirect (type $none) (i32.const 0)))
    (func (export "by-table-within") (call_indirect (type $none) (i32.const 2)))
    (func (export "by-reference") (call_ref $none (ref.func $none)))
    (func $tail (return_call $none))
    (func (export "by-tail-call") (call $tail) (nop))
    (func $tail-by-table (return_call_indirect (type $none) (i32.const 0)))
    (func (export "by-tail-call-and-table") (call $tail-by-table) (nop))
    (func $tail-by-reference (return_call_ref $none (ref.func $none)))
    (func (export "by-tail-call-and-reference") (call $tail-by-reference) (nop))
    (func (export "at-once-by-tail-call") (return_call $none))
    (func $recursive (param i32)
        (if (local.get 0) (then (call $recursive (i32.sub (local.get 0) (i32.const 1)))) (else (call $none))))
    (func (export "deep") (call $recursive (i32.const 10000)))
    (func (export "in-a-loop") (local i32)
        (loop $l (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get 0) (i32.const 200000))))
        (call $none))
    (func $loops-and-tail-calls (local i32)
        (loop $l (local.set 0 (i32.add (local.get 0) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get 0) (i32.const 200000))))
        (return_call $none))
    (func (export "by-tail-call-behind-a-loop") (call $loops-and-tail-calls) (nop)))"#;

#[test]
fn a_function_of_the_host_sees_what_its_error_would_tell() {
    let exports = [
        "directly",
        "with-values",
        "with-many",
        "by-table",
        "by-table-within",
        "by-reference",
        "by-tail-call",
        "by-tail-call-and-table",
        "by-tail-call-and-reference",
        "at-once-by-tail-call",
        "deep",
        "in-a-loop",
        "by-tail-call-behind-a-loop",
    ];
    // Every export is there: a new one cannot be forgotten.
    assert_eq!(exports.len(), CALLS.matches("(export \"").count());
    for (what, engine) in engines() {
        let (mut store, instance) = guest(&engine, CALLS);
        for export in exports {
            check(what, &mut store, instance, export);
        }
        let seen = check(what, &mut store, instance, "directly");
        assert_eq!(names(&seen), ["deep", "directly"], "{what}");
        assert!(seen.frames().iter().all(|frame| frame.offset_bytes.is_some()));
        let seen = check(what, &mut store, instance, "deep");
        assert_eq!(seen.frames().iter().map(|frame| frame.times).sum::<usize>() + seen.omitted(), 10_002);
    }
}

const NESTED: &str = r#"(module
    (import "host" "none" (func $none))
    (import "host" "again" (func $again (param i32)))
    (func (export "outer") (call $middle))
    (func $middle (call $again (i32.const 1)))
    (func (export "inner-1") (call $deeper))
    (func $deeper (call $again (i32.const 2)) (nop))
    (func (export "inner-2") (call $none))
    (func (export "host-itself") (call $again (i32.const 3)))
    (export "inner-3" (func $none)))"#;

#[test]
fn frames_of_calls_within_calls_are_all_there() {
    for (what, engine) in engines() {
        let (mut store, instance) = guest(&engine, NESTED);
        let seen = check(what, &mut store, instance, "outer");
        assert_eq!(names(&seen), ["inner-2", "deeper", "inner-1", "middle", "outer"], "{what}");
        // The host calls its own function, which no guest stands before.
        let seen = check(what, &mut store, instance, "host-itself");
        assert_eq!(names(&seen), ["host-itself"], "{what}");
    }
}

#[test]
fn frames_of_several_instances_are_told_apart() {
    let text = |name: &str, calls: &str| {
        format!(
            r#"(module ${name} (import "host" "{calls}" (func $f)) (func $own (call $f)) (func (export "{name}") (call $own)))"#
        )
    };
    for (what, engine) in engines() {
        let mut linker = Linker::<Seen>::new(&engine);
        linker.func_wrap("host", "none", |caller: Caller<'_, Seen>| Err::<(), _>(look(caller))).unwrap();
        let mut store = Store::new(&engine, Seen::new()).unwrap();
        let callee = linker.instantiate(&mut store, &module(&engine, &text("callee", "none"))).unwrap();
        linker.define("host", "callee", callee.get_func(&store, "callee").unwrap()).unwrap();
        let caller = linker.instantiate(&mut store, &module(&engine, &text("caller", "callee"))).unwrap();
        let seen = check(what, &mut store, caller, "caller");
        let modules: Vec<_> = seen.frames().iter().filter_map(|frame| frame.module_name.as_deref()).collect();
        assert_eq!(modules, ["callee", "callee", "caller", "caller"], "{what}");
    }
}

#[test]
fn without_a_guest_there_is_nothing_to_see() {
    for (_, engine) in engines() {
        let (mut store, instance) = guest(&engine, CALLS);
        // A place is noted, and then the host calls its own function.
        check("", &mut store, instance, "deep");
        let host = Func::wrap(&mut store, |caller: Caller<'_, Seen>| Err::<(), _>(look(caller))).unwrap();
        let error = host.call(&mut store, &[], &mut []).unwrap_err();
        assert_eq!(store.data().last(), Some(error.backtrace()));
        assert_eq!(store.data().last().unwrap().frames(), []);
        // The place is not another store's.
        assert_eq!(
            WasmBacktrace::capture(Store::new(&engine, ()).unwrap().as_context()),
            Backtrace::default()
        );
        let mut reset = store;
        reset.as_context_mut().gc();
        assert_eq!(WasmBacktrace::capture(&reset), Backtrace::default());
    }
}

#[test]
fn a_start_function_is_seen_too() {
    for (what, engine) in engines() {
        let mut linker = Linker::<Seen>::new(&engine);
        linker.func_wrap("host", "none", |caller: Caller<'_, Seen>| Err::<(), _>(look(caller))).unwrap();
        let mut store = Store::new(&engine, Seen::new()).unwrap();
        let text =
            r#"(module (import "host" "none" (func $none)) (func $begin (call $none)) (start $begin))"#;
        let error = linker.instantiate(&mut store, &module(&engine, text)).unwrap_err();
        assert_eq!(store.data().last(), Some(error.backtrace()), "{what}");
        assert_eq!(names(error.backtrace()), ["begin"], "{what}");
    }
}
