//! Faults that attackers found, each with the kind around it: what is validated is what is executed, the host's own code runs in the middle of nothing, and types
//! of stores are exact.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use innkeeper::{Collection, Config, Engine, ErrorKind, ExternRef, Linker, Module, Store, TierUp, Tiers};

fn engines(set: impl Fn(&mut Config)) -> [Engine; 3] {
    [Tiers::Interpreter, Tiers::Compiled, Tiers::Auto].map(|tiers| {
        let mut config = Config::default();
        config.tuning.tier_up = TierUp::eager();
        set(&mut config);
        innkeeper::engine_with(config, tiers)
    })
}

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).expect("text").into_owned()).expect("a module")
}

/// A function's place is kept in 32 bits: in a longer module another place would be executed than was validated.
#[test]
fn a_module_of_four_gibibytes_is_refused() {
    let engine = innkeeper::engine(Config::default());
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    // One custom section as long as can be, without a name. Never touched, its zeros take no memory.
    bytes.extend([0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    let end = bytes.len() - 1 + u32::MAX as usize;
    let mut whole = vec![0; end];
    whole[..bytes.len()].copy_from_slice(&bytes);
    let error = Module::new(&engine, whole).expect_err("it is too long");
    assert!(error.to_string().contains("4 GiB"), "{error}");
}

/// The heap has objects whose types belong to the engine.
#[test]
fn a_store_outlives_whoever_made_it() {
    for engine in engines(|_| {}) {
        let mut store = Store::new(&engine, ()).expect("a store");
        let text = "(module (type $a (array (mut i8)))
            (global (mut (ref null $a)) (array.new_default $a (i32.const 100000))))";
        Linker::new(&engine).instantiate(&mut store, &module(&engine, text)).expect("an instance");
        drop(engine);
        store.collect_garbage();
        drop(store);
    }
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
        panic!("dropped");
    }
}

/// In a collection that the embedder asks for, and in one that a guest's allocation brings about, in every tier: each is dropped once, the panic
/// reaches the embedder when no guest is under way, and the store stays usable.
#[test]
fn a_destructor_of_the_host_may_panic() {
    for engine in engines(|config| config.tuning.collection = Collection::EveryAllocation) {
        DROPPED.store(0, Ordering::Relaxed);
        let mut store = Store::new(&engine, ()).expect("a store");
        let text = r#"(module (type $s (struct (field i32)))
            (func (export "allocate") (result i32)
                (struct.get $s 0 (block (result (ref $s)) (drop (struct.new $s (i32.const 1))) (struct.new $s (i32.const 7))))))"#;
        let instance =
            Linker::new(&engine).instantiate(&mut store, &module(&engine, text)).expect("an instance");
        let allocate = instance.get_typed_func::<(), i32>(&mut store, "allocate").expect("an export");
        for _ in 0..3 {
            assert_eq!(allocate.call(&mut store, ()).expect("a result"), 7);
        }
        let dropped = |count| assert_eq!(DROPPED.load(Ordering::Relaxed), count);
        ExternRef::new(&mut store, Bomb).expect("a reference");
        store.release_references();
        let outcome = catch_unwind(AssertUnwindSafe(|| allocate.call(&mut store, ())));
        assert!(outcome.is_err(), "the panic is the embedder's");
        dropped(1);
        ExternRef::new(&mut store, Bomb).expect("a reference");
        store.release_references();
        assert!(catch_unwind(AssertUnwindSafe(|| store.collect_garbage())).is_err());
        dropped(2);
        store.collect_garbage();
        assert_eq!(allocate.call(&mut store, ()).expect("a result"), 7);
        dropped(2);
    }
}

/// Panics when it is dropped, with something that panics when it is dropped, and so on.
struct Chain;

impl Drop for Chain {
    fn drop(&mut self) {
        std::panic::panic_any(Chain);
    }
}

/// Only the first panic of several destructors reaches the embedder; what the others are about is dropped where no guest's frames are, and may panic too.
#[test]
fn what_a_destructor_panics_with_may_panic() {
    for engine in engines(|config| config.tuning.collection = Collection::EveryAllocation) {
        let mut store = Store::new(&engine, ()).expect("a store");
        let text = r#"(module (type $s (struct (field i32)))
            (func (export "allocate") (result i32) (drop (struct.new $s (i32.const 1))) (i32.const 7)))"#;
        let instance =
            Linker::new(&engine).instantiate(&mut store, &module(&engine, text)).expect("an instance");
        let allocate = instance.get_typed_func::<(), i32>(&mut store, "allocate").expect("an export");
        for _ in 0..3 {
            ExternRef::new(&mut store, Chain).expect("a reference");
        }
        store.release_references();
        let ended = std::cell::Cell::new(false);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            let outcome = allocate.call(&mut store, ());
            ended.set(true);
            outcome
        }));
        assert!(outcome.is_err() && !ended.get(), "the panic is the embedder's");
        // Nobody drops what it is about.
        outcome.map_err(std::mem::forget).expect_err("a panic");
        assert_eq!(allocate.call(&mut store, ()).expect("a result"), 7);
    }
}

/// What is tried ends where it ends, however the instruction before its end is put together with the one behind.
#[test]
fn what_follows_a_try_is_not_tried() {
    let tried = [
        // The comparison would fuse with the branch behind the block, and with a condition and a selection.
        ("(block $h (loop $l (try_table (result i32) (catch_all $h) (COUNT)) (br_if $l)) (throw $e)) (i32.const 77)"),
        ("(block $h (try_table (result i32) (catch_all $h) (COUNT)) (if (then (throw $e))) (throw $e)) (i32.const 77)"),
        ("(block $h (loop $l try (result i32) try (result i32) (COUNT) delegate 0 catch_all i32.const 0 end br_if $l) (throw $e)) (i32.const 77)"),
        ("(block $h (drop (i32.add (i32.const 1) (try_table (result i32) (catch_all $h) (COUNT)))) (throw $e)) (i32.const 77)"),
    ];
    let count = "i32.lt_s (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10)";
    for body in tried {
        let text = format!(
            r#"(module (tag $e) (func (export "f") (result i32) (local $i i32) {}))"#,
            body.replace("COUNT", count)
        );
        for engine in engines(|_| {}) {
            let mut store = Store::new(&engine, ()).expect("a store");
            let instance =
                Linker::new(&engine).instantiate(&mut store, &module(&engine, &text)).expect("an instance");
            let f = instance.get_typed_func::<(), i32>(&mut store, "f").expect("an export");
            for _ in 0..3 {
                let outcome = f.call(&mut store, ());
                let is_uncaught =
                    outcome.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::Exception(_)));
                assert!(is_uncaught, "{body}: {outcome:?}");
            }
        }
    }
}

/// Code of one function ends where another's begins: a trap at that one's first instruction is its own. Many functions of all sizes, so that some lie side by side.
#[test]
fn a_trap_at_a_first_instruction_belongs_to_its_function() {
    let mut config = Config::default();
    config.limits.guest_stack_bytes = 1 << 16;
    let engine = innkeeper::engine_with(config, Tiers::Interpreter);
    // Each calls the next with one parameter more, which has no room for its frame at last.
    let mut functions = String::new();
    for i in 0..300 {
        let nops = "(drop (i32.add (local.get 0) (i32.const 1)))".repeat(i % 7);
        functions += &format!(
            "(func $f{i} (param i32) {nops} (call $f{} (i32.const 0x41414140)) {nops})\n",
            (i + 1) % 300
        );
    }
    let text = format!(r#"(module {functions} (func (export "run") (call $f0 (i32.const 0x41414140))))"#);
    let mut store = Store::new(&engine, ()).expect("a store");
    let instance =
        Linker::new(&engine).instantiate(&mut store, &module(&engine, &text)).expect("an instance");
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").expect("an export");
    let error = run.call(&mut store, ()).expect_err("the stack has an end");
    let frames: Vec<u32> = error.backtrace().frames().iter().map(|frame| frame.func.0).collect();
    for pair in frames.windows(2) {
        assert_eq!((pair[1] + 1) % 300, pair[0] % 300, "{frames:?}");
    }
    assert!(frames.len() > 20, "{frames:?}");
}

/// A branch of four bytes that carries a thousand values is thousands of bytes of code: a function of many is refused before it has taken the memory.
#[test]
fn code_is_in_proportion_to_its_body() {
    let results = "i64 ".repeat(1000);
    let values = "i64.const 0 ".repeat(1000);
    let drops = "drop ".repeat(1000);
    for branches in
        ["local.get 0 br_if 0 ".repeat(30_000), format!("local.get 0 br_table {}", "0 1 2 3 ".repeat(8_000))]
    {
        let text = format!(
            r#"(module (func $many (result {results}) {values})
                (func (export "f") (param i32) (result i32)
                    block (result {results}) block (result {results}) block (result {results}) block (result {results})
                    i64.const 5 call $many {branches} br 0
                    end end end end {drops} i32.const 7))"#
        );
        let engine = innkeeper::engine_with(Config::default(), Tiers::Interpreter);
        let mut store = Store::new(&engine, ()).expect("a store");
        let instance =
            Linker::new(&engine).instantiate(&mut store, &module(&engine, &text)).expect("an instance");
        let f = instance.get_typed_func::<i32, i32>(&mut store, "f").expect("an export");
        match f.call(&mut store, 0) {
            // Entries of one table that lead to the same place share what is moved.
            Ok(result) => assert_eq!((result, branches.contains("br_table")), (7, true)),
            Err(error) => assert!(error.to_string().contains("too large to execute"), "{error}"),
        }
    }
}
