//! One small guest for each way in which the interpreter reaches frames, memories, tables, objects and the host through raw pointers: for Miri, which interprets all of it and knows what Rust
//! allows (`cargo xtask miri`).
//!
//! What they compute is tested elsewhere at length; here each is short, because Miri is slow.

use innkeeper_engine::{Collection, Config, Engine, Error, Instance, Linker, Module, Store, Trap};
use innkeeper_interp::Interpreter;

/// Calls `run`, which every guest exports.
fn run(text: &str, param: i32) -> Result<i32, Error> {
    let mut config = Config::default();
    config.limits.guest_stack_bytes = 64 << 10;
    config.limits.native_stack_bytes = 64 << 10;
    config.tuning.collection = Collection::EveryAllocation;
    let engine = Engine::with_tier(config, Interpreter);
    let module = Module::new(&engine, wat::parse_str(text).unwrap())?;
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.func_wrap("host", "same", |x: i32| x).unwrap();
    linker
        .func_wrap("host", "fails", |_: i32| -> Result<i32, Error> {
            Err(Error::from_host(std::io::Error::other("the host's")))
        })
        .unwrap();
    let mut store = Store::new(&engine, ())?;
    let mut result = Ok(0);
    // Twice, also in a store that was reset: what the first has left, the second finds.
    let pre = linker.instantiate_pre(&module)?;
    for _ in 0..2 {
        let instance: Instance = store.reset(&pre)?;
        result = instance.get_typed_func::<i32, i32>(&mut store, "run")?.call(&mut store, param);
        store.collect_garbage();
    }
    result
}

fn check(text: &str, param: i32, expected: i32) {
    assert_eq!(run(text, param).unwrap(), expected);
}

fn check_trap(text: &str, param: i32, expected: Trap) {
    assert_eq!(run(text, param).unwrap_err().trap(), Some(expected));
}

#[test]
fn frames() {
    let text = r#"(module
        (func $fib (export "run") (param i32) (result i32)
            (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
                (then (local.get 0))
                (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                    (call $fib (i32.sub (local.get 0) (i32.const 2))))))))"#;
    check(text, 6, 8);
    let text = r#"(module
        (func $many (param i32 i64 f32 f64) (result i32 i64 f32) (local.get 0) (local.get 1) (local.get 2))
        (func (export "run") (param i32) (result i32) (local v128 i32)
            (local.set 1 (i32x4.splat (local.get 0)))
            (call $many (local.get 0) (i64.const 3) (f32.const 1.5) (f64.const 2))
            (i32.trunc_f32_s) (local.set 2) (i32.wrap_i64) (i32.add) (i32.add (local.get 2))
            (i32.add (i32x4.extract_lane 2 (local.get 1)))))"#;
    check(text, 10, 10 + 3 + 1 + 10);
    let text = r#"(module
        (func $even (param i32) (result i32) (if (local.get 0) (then (return_call $odd (i32.sub (local.get 0) (i32.const 1))))) (i32.const 1))
        (func $odd (param i32) (result i32) (if (local.get 0) (then (return_call $even (i32.sub (local.get 0) (i32.const 1))))) (i32.const 0))
        (func (export "run") (param i32) (result i32) (call $even (local.get 0))))"#;
    check(text, 9, 0);
    let text = r#"(module (func $r (export "run") (param i32) (result i32) (i32.add (call $r (local.get 0)) (i32.const 1))))"#;
    check_trap(text, 1, Trap::CallStackExhausted);
}

#[test]
fn memories() {
    let text = r#"(module (memory 1 3) (memory $m 1) (data $d "abcdefgh") (data (i32.const 8) "ijkl")
        (func (export "run") (param i32) (result i32)
            (memory.init $d (i32.const 0) (i32.const 0) (i32.const 8)) (data.drop $d)
            (memory.copy (i32.const 3) (i32.const 0) (i32.const 12))
            (memory.copy $m 0 (i32.const 0) (i32.const 0) (i32.const 16))
            (drop (memory.grow (i32.const 1)))
            (memory.fill (i32.const 65530) (i32.const 9) (i32.const 12))
            (i64.store align=1 (i32.const 65533) (i64.const 0x0102030405060708))
            (v128.store (i32.const 70000) (v128.load $m (i32.const 1)))
            (i32.add (i32.load8_u (i32.const 65541)) (i32.add (i32.load16_u align=1 (i32.const 65533))
                (i32.sub (i32.load8_u $m (i32.const 3)) (i32.load8_u (i32.const 70002)))))))"#;
    check(text, 0, 9 + 0x0708);
    for address in [65536, 65533, -1] {
        let text =
            r#"(module (memory 1) (func (export "run") (param i32) (result i32) (i32.load (local.get 0))))"#;
        check_trap(text, address, Trap::MemoryOutOfBounds);
    }
}

#[test]
fn tables_and_globals() {
    let text = r#"(module (table $t 2 10 funcref) (global $g (mut i32) (i32.const 5)) (elem $e func $a $b)
        (type $f (func (param i32) (result i32)))
        (func $a (param i32) (result i32) (i32.add (local.get 0) (global.get $g)))
        (func $b (param i32) (result i32) (global.set $g (local.get 0)) (i32.const 1))
        (func (export "run") (param i32) (result i32)
            (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 2)) (elem.drop $e)
            (drop (table.grow $t (ref.func $a) (i32.const 2)))
            (table.copy (i32.const 1) (i32.const 0) (i32.const 3))
            (i32.add (call_indirect $t (type $f) (local.get 0) (i32.const 2))
                (call_indirect $t (type $f) (local.get 0) (i32.const 1)))))"#;
    check(text, 7, 1 + 14);
    let text = r#"(module (table 2 funcref) (func (export "run") (param i32) (result i32) (call_indirect (param i32) (result i32) (local.get 0) (local.get 0))))"#;
    check_trap(text, 1, Trap::UninitializedElement);
}

#[test]
fn objects() {
    let text = r#"(module
        (type $box (struct (field (mut i32)) (field (ref null $box))))
        (type $bytes (array (mut i8))) (type $boxes (array (mut (ref null $box))))
        (data $d "0123456789")
        (func (export "run") (param i32) (result i32) (local $list (ref null $box)) (local $a (ref $bytes)) (local $b (ref $boxes))
            (loop $again
                (local.set $list (struct.new $box (local.get 0) (local.get $list)))
                (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.set $a (array.new_data $bytes $d (i32.const 2) (i32.const 6)))
            (array.copy $bytes $bytes (local.get $a) (i32.const 1) (local.get $a) (i32.const 0) (i32.const 4))
            (array.fill $bytes (local.get $a) (i32.const 5) (i32.const 1) (i32.const 1))
            (local.set $b (array.new $boxes (local.get $list) (i32.const 3)))
            (struct.set $box 0 (array.get $boxes (local.get $b) (i32.const 1)) (i32.const 100))
            (i32.add (struct.get $box 0 (struct.get $box 1 (local.get $list)))
                (i32.add (struct.get $box 0 (local.get $list))
                    (i32.add (array.get_u $bytes (local.get $a) (i32.const 4))
                        (ref.test (ref $box) (ref.i31 (i32.const 1))))))))"#;
    check(text, 4, 2 + 100 + i32::from(b'5'));
}

#[test]
fn exceptions() {
    let text = r#"(module (type $box (struct (field i32))) (tag $e (param i32 (ref $box)))
        (func $throws (param i32) (throw $e (local.get 0) (struct.new $box (i32.const 40))))
        (func $passes (param i32) (result i32) (call $throws (local.get 0)) (i32.const 0))
        (func (export "run") (param i32) (result i32)
            (block $caught (result i32 (ref $box))
                (try_table (catch $e $caught) (drop (call $passes (local.get 0))))
                (unreachable))
            (struct.get $box 0) (i32.add)))"#;
    check(text, 2, 42);
    let text = r#"(module (tag $e) (func (export "run") (param i32) (result i32) (throw $e)))"#;
    assert!(run(text, 1).unwrap_err().to_string().contains("exception"));
}

#[test]
fn the_host() {
    let text = r#"(module (import "host" "same" (func $same (param i32) (result i32)))
        (func (export "run") (param i32) (result i32) (i32.add (call $same (local.get 0)) (return_call $same (i32.const 2)))))"#;
    check(text, 9, 2);
    let text = r#"(module (import "host" "fails" (func $fails (param i32) (result i32)))
        (func $f (param i32) (result i32) (i32.add (call $fails (local.get 0)) (i32.const 1)))
        (func (export "run") (param i32) (result i32) (call $f (local.get 0))))"#;
    assert_eq!(run(text, 1).unwrap_err().to_string(), "the host's");
    let text = r#"(module (func $f (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
        (func (export "run") (param i32) (result i32) (call $f (local.get 0))))"#;
    check_trap(text, 0, Trap::IntegerDivideByZero);
}
