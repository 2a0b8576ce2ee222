//! Traps: what they are, where they say they happened, and that the store can be used afterwards.

use innkeeper::{Config, Engine, Error, ErrorKind, Func, Instance, Linker, Module, Store, Tiers, Trap, Val};

fn engine() -> Engine {
    innkeeper::engine(Config::default())
}

fn instantiate(store: &mut Store<()>, linker: &Linker<()>, text: &str) -> Instance {
    let binary = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
    let module = Module::new(linker.engine(), binary).unwrap();
    linker.instantiate(store, &module).unwrap()
}

fn names(error: &Error) -> Vec<String> {
    let frames = error.backtrace().frames().iter();
    frames.map(|frame| frame.func_name.clone().unwrap_or_else(|| format!("[{}]", frame.func.0))).collect()
}

#[test]
fn backtrace_names_every_frame_innermost_first() {
    let engine = engine();
    let mut store = Store::new(&engine, ()).unwrap();
    let text = r#"(module $m
        (func $inner (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
        (func $middle (param i32 i64) (result i64) (i64.extend_i32_u (call $inner (local.get 0))))
        (func $outer (export "run") (result i64) (local i32 i32 i32) (call $middle (i32.const 0) (i64.const 9))))"#;
    let instance = instantiate(&mut store, &Linker::new(&engine), text);
    let run = instance.get_typed_func::<(), i64>(&mut store, "run").unwrap();
    let error = run.call(&mut store, ()).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::IntegerDivideByZero));
    assert_eq!(names(&error), ["inner", "middle", "outer"]);
    assert_eq!(error.backtrace().frames()[0].module_name.as_deref(), Some("m"));
    // The store works on after a trap.
    assert_eq!(run.call(&mut store, ()).unwrap_err().trap(), Some(Trap::IntegerDivideByZero));
}

/// Pairs of instructions may be executed as one; the one that trapped is named.
#[test]
fn offsets_of_instructions_that_melted_into_one() {
    const LOAD: u8 = 0x2D;
    const STORE: u8 = 0x3A;
    for (body, opcode) in [
        ("(drop (i32.load8_u (i32.add (local.get 0) (local.get 0))))", LOAD),
        ("(drop (i32.load8_u (i32.add (local.get 0) (i32.shl (local.get 0) (i32.const 2)))))", LOAD),
        ("(drop (i32.load8_u (i32.shl (local.get 0) (i32.const 3))))", LOAD),
        ("(drop (i32.load8_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))))", LOAD),
        ("(i32.store8 (i32.add (local.get 0) (local.get 0)) (local.get 0))", STORE),
        ("(i32.store8 (i32.add (local.get 0) (local.get 0)) (i32.const 1))", STORE),
    ] {
        let text = format!(r#"(module (memory 1) (func (export "run") (param i32) {body}))"#);
        let binary = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
        let engine = engine();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = instantiate(&mut store, &Linker::new(&engine), &text);
        let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
        let error = run.call(&mut store, 0x0400_0000).unwrap_err();
        let offset = error.backtrace().frames()[0].offset_bytes.unwrap();
        assert_eq!(binary[offset], opcode, "{body}");
    }
}

/// A load and a store of the same bytes may be one instruction of the machine: what fails is the load. Every other store fails at its own place.
#[test]
fn offsets_of_loads_and_stores_that_melted_into_one() {
    const END: i32 = 65536;
    const LOADS: [u8; 4] = [0x28, 0x29, 0x2d, 0x2f];
    const STORES: [u8; 4] = [0x36, 0x37, 0x3a, 0x3b];
    let cases: [(&str, [i32; 2], &[u8]); 14] = [
        ("(i32.store (local.get 0) (i32.add (i32.load (local.get 0)) (i32.const 1)))", [END, 0], &LOADS),
        ("(i64.store (local.get 0) (i64.or (i64.load (local.get 0)) (i64.const 1)))", [END - 7, 0], &LOADS),
        ("(i32.store8 (local.get 0) (i32.xor (i32.load8_u (local.get 0)) (i32.const 1)))", [END, 0], &LOADS),
        (
            "(i32.store16 (local.get 0) (i32.sub (i32.load16_u (local.get 0)) (local.get 1)))",
            [END - 1, 0],
            &LOADS,
        ),
        (
            "(i32.store offset=8 (local.get 0) (i32.add (i32.load offset=8 (local.get 0)) (local.get 1)))",
            [END - 8, 0],
            &LOADS,
        ),
        (
            "(i32.store (i32.const 65533) (i32.add (i32.load (i32.const 65533)) (i32.const 1)))",
            [0, 0],
            &LOADS,
        ),
        (
            "(i32.store (i32.const 65533) (i32.add (i32.load (i32.const 65532)) (i32.const 1)))",
            [0, 0],
            &STORES,
        ),
        (
            "(i32.store offset=4 (local.get 0) (i32.add (i32.load (local.get 0)) (i32.const 1)))",
            [END - 4, 0],
            &STORES,
        ),
        ("(i64.store (local.get 0) (i64.extend_i32_u (i32.load (local.get 0))))", [END - 4, 0], &STORES),
        ("(i32.store (local.get 1) (i32.add (i32.load (local.get 0)) (i32.const 1)))", [0, END], &STORES),
        (
            "(i32.store (local.get 0) (i32.add (i32.load (local.get 0)) (i32.load (local.get 1))))",
            [0, END],
            &LOADS,
        ),
        (
            "(i32.store (local.get 0) (i32.add (i32.load (local.get 1)) (i32.load (local.get 0))))",
            [END, 0],
            &LOADS,
        ),
        (
            "(i32.store $b (local.get 0) (i32.add (i32.load (local.get 0)) (i32.const 1)))",
            [END - 4, 0],
            &STORES,
        ),
        (
            "(if (local.get 1) (then (drop (i32.load (local.get 0))))) (i32.store (local.get 0) (i32.const 1))",
            [END, 0],
            &STORES,
        ),
    ];
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        for (body, [first, second], opcodes) in cases {
            let text =
                format!(r#"(module (memory 1) (memory $b 0) (func (export "run") (param i32 i32) {body}))"#);
            let binary = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = instantiate(&mut store, &Linker::new(&engine), &text);
            let run = instance.get_typed_func::<(i32, i32), ()>(&mut store, "run").unwrap();
            let error = run.call(&mut store, (first, second)).unwrap_err();
            assert_eq!(error.trap(), Some(Trap::MemoryOutOfBounds), "{body}");
            let offset = error.backtrace().frames()[0].offset_bytes.unwrap();
            assert!(opcodes.contains(&binary[offset]), "{tiers:?} {body}: {:#x}", binary[offset]);
        }
    }
}

#[test]
fn backtrace_offsets_point_at_the_instructions() {
    let engine = engine();
    let mut store = Store::new(&engine, ()).unwrap();
    let text = r#"(module
        (func $fall (nop) (nop) (unreachable))
        (func (export "run") (nop) (call $fall) (nop)))"#;
    let binary = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
    let module = Module::new(&engine, binary.clone()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let error = run.call(&mut store, ()).unwrap_err();
    let opcodes: Vec<u8> =
        error.backtrace().frames().iter().map(|frame| binary[frame.offset_bytes.unwrap()]).collect();
    assert_eq!(opcodes, [0x00, 0x10], "unreachable, then call");
}

#[test]
fn backtrace_crosses_instances() {
    let engine = engine();
    let mut store = Store::new(&engine, ()).unwrap();
    let mut linker = Linker::new(&engine);
    let library = instantiate(
        &mut store,
        &linker,
        r#"(module $library (memory 1)
            (func $poke (export "poke") (param i32) (result i32) (i32.load (local.get 0))))"#,
    );
    linker.instance(&mut store, "library", library).unwrap();
    let app = instantiate(
        &mut store,
        &linker,
        r#"(module $app
            (import "library" "poke" (func $poke (param i32) (result i32)))
            (memory 3)
            (func $run (export "run") (param i32) (result i32)
                (i32.add (call $poke (local.get 0)) (memory.size))))"#,
    );
    let run = app.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 0).unwrap(), 3, "the caller's own memory is back after the call");
    let error = run.call(&mut store, 65536).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::MemoryOutOfBounds));
    let modules: Vec<_> =
        error.backtrace().frames().iter().map(|frame| frame.module_name.clone().unwrap()).collect();
    assert_eq!(modules, ["library", "app"]);
}

#[test]
fn endless_recursion_ends_in_a_trap_with_a_bounded_backtrace() {
    let engine = engine();
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = instantiate(
        &mut store,
        &Linker::new(&engine),
        r#"(module (func $again (export "run") (call $again)))"#,
    );
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let error = run.call(&mut store, ()).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::CallStackExhausted));
    let [_, frame] = error.backtrace().frames() else { panic!("{error:?}") };
    assert!(frame.times > 1000 && error.backtrace().omitted() == 0, "{error:?}");
}

#[test]
fn recursion_through_the_host_ends_in_a_trap() {
    let engine = engine();
    let mut store = Store::new(&engine, None::<Func>).unwrap();
    let mut linker: Linker<Option<Func>> = Linker::new(&engine);
    linker
        .func_wrap("host", "again", |mut caller: innkeeper::Caller<'_, Option<Func>>| match *caller.data() {
            Some(func) => func.call(&mut caller, &[], &mut []),
            None => Ok(()),
        })
        .unwrap();
    let text = r#"(module (import "host" "again" (func $again)) (func (export "run") (call $again)))"#;
    let module = Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_func(&mut store, "run").unwrap();
    *store.data_mut() = Some(run);
    let error = run.call(&mut store, &[], &mut []).unwrap_err();
    assert_eq!(error.trap(), Some(Trap::CallStackExhausted));
}

#[test]
fn a_host_error_comes_back_as_it_was() {
    #[derive(Debug, PartialEq)]
    struct Full(u32);
    impl std::fmt::Display for Full {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "the house is full ({})", self.0)
        }
    }
    impl std::error::Error for Full {}

    let engine = engine();
    let mut store = Store::new(&engine, ()).unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "enter", |n: u32| -> Result<(), Error> { Err(Error::from_host(Full(n))) })
        .unwrap();
    let text = r#"(module (import "host" "enter" (func $enter (param i32)))
        (func $knock (export "run") (call $enter (i32.const 7))))"#;
    let instance = instantiate(&mut store, &linker, text);
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    let error = run.call(&mut store, ()).unwrap_err();
    assert_eq!(error.downcast_ref::<Full>(), Some(&Full(7)));
    assert_eq!(names(&error), ["knock"]);
}

#[test]
fn a_host_panic_goes_on_after_the_guest_was_left() {
    let engine = engine();
    let mut store = Store::new(&engine, ()).unwrap();
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "panic", |n: i32| {
            if n == 1 {
                std::panic::panic_any("the host's own");
            }
        })
        .unwrap();
    let text = r#"(module (import "host" "panic" (func $panic (param i32)))
        (func (export "run") (param i32) (call $panic (local.get 0))))"#;
    let instance = instantiate(&mut store, &linker, text);
    let run = instance.get_typed_func::<i32, ()>(&mut store, "run").unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.call(&mut store, 1)));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the host's own"));
    run.call(&mut store, 0).unwrap();
}

#[test]
fn missing_and_wrong_imports_are_named() {
    let engine = engine();
    let mut store = Store::new(&engine, ()).unwrap();
    let mut linker: Linker<()> = Linker::new(&engine);
    let text = r#"(module (import "house" "key" (func (param i32))))"#;
    let module = Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap();
    let missing = linker.instantiate(&mut store, &module).unwrap_err();
    assert!(matches!(missing.kind(), ErrorKind::Link(text) if text.contains("`house` `key`")), "{missing}");
    linker.func_wrap("house", "key", |_: i64| {}).unwrap();
    let wrong = linker.instantiate(&mut store, &module).unwrap_err();
    assert!(matches!(wrong.kind(), ErrorKind::Link(text) if text.contains("(i64)")), "{wrong}");
}

#[test]
fn handles_of_another_store_are_refused() {
    let engine = engine();
    let mut store = Store::new(&engine, ()).unwrap();
    let mut other = Store::new(&engine, ()).unwrap();
    let func = Func::wrap(&mut store, |x: i32| x).unwrap();
    let error = func.call(&mut other, &[Val::I32(1)], &mut [Val::I32(0)]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
}
