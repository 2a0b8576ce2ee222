//! Guests whose functions are all compiled: results, and the seams between machine code, the interpreter and the host.

use innkeeper::{Config, Engine, Linker, Module, Store, Tiers, Trap, Val};

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
    linker.func_wrap("host", "double", |x: i32| x * 2);
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
    let text = "(module (func (export \"run\") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))";
    assert_eq!(i32_of(text, &[Val::I32(2), Val::I32(40)]), 42);
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
    let text = r#"(module (memory 1) (func (export "run") (param i32) (result i32) (i32.load (local.get 0))))"#;
    let error = run(text, &[Val::I32(65533)], 1).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::MemoryOutOfBounds));
    assert_eq!(error.backtrace().frames().len(), 1);
    assert!(error.backtrace().frames()[0].offset_bytes.is_some());
    assert_eq!(i32_of(text, &[Val::I32(65532)]), 0);
    let text = "(module (func (export \"run\") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0))))";
    assert_eq!(run(text, &[Val::I32(0)], 1).unwrap_err().trap(), Some(Trap::IntegerDivideByZero));
}

#[test]
fn runaway_recursion_is_a_trap() {
    let text = "(module (func $f (export \"run\") (result i32) (i32.add (i32.const 1) (call $f))))";
    let error = run(text, &[], 1).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::CallStackExhausted));
    assert!(error.backtrace().omitted() > 1000);
}
