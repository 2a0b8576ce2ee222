//! Every handler must lead to the next by a jump: a call instead would overflow the host's stack in a long run.
//!
//! The guests here execute each kind of instruction a million times on a thread whose stack holds far fewer frames than that.

use innkeeper_engine::{Config, Engine, Instance, Linker, Module, Store, Val};
use innkeeper_interp::Interpreter;

const ROUNDS: i32 = 1_000_000;
const STACK_BYTES: usize = 256 << 10;

/// Runs `body`, which may use the local `$x` and the function table's single function, in a loop.
fn run_in_loop(body: &'static str, rounds: i32) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let text = format!(
            r#"(module
                (import "host" "nothing" (func $host (param i32) (result i32)))
                (memory 1)
                (memory $wide i64 1)
                (memory $shared 1 1 shared)
                (global $g (mut i64) (i64.const 0))
                (tag $t (param i32))
                (func $throw (param i32) (throw $t (local.get 0)))
                (table 2 funcref)
                (table $wide i64 2 funcref)
                (elem (i32.const 0) $callee)
                (type $unary (func (param i32) (result i32)))
                (type $pair (struct (field (mut i64)) (field (mut i64))))
                (type $vec (struct (field (mut v128))))
                (type $bytes (array (mut i8)))
                (type $vectors (array (mut v128)))
                (type $funcs (array (mut funcref)))
                (global $p (ref $pair) (struct.new_default $pair))
                (global $s (ref $vec) (struct.new_default $vec))
                (global $b (ref $bytes) (array.new_default $bytes (i32.const 2)))
                (global $w (ref $vectors) (array.new_default $vectors (i32.const 2)))
                (global $fs (ref $funcs) (array.new_default $funcs (i32.const 2)))
                (table $grows 1 2000000 funcref)
                (data $data "ab")
                (elem $elem func $callee)
                (func $callee (type $unary) (local.get 0))
                (func $tail (type $unary) (return_call $callee (local.get 0)))
                (func $tail_host (type $unary) (return_call $host (local.get 0)))
                (func $tail_indirect (type $unary) (return_call_indirect (type $unary) (local.get 0) (i32.const 0)))
                (func (export "run") (param $n i32) (result i32) (local $x i32) (local $f f64) (local $v v128)
                    (loop $l
                        {body}
                        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                    (local.get $x)))"#
        );
        // Every back-edge looks at its loop.
        let mut config = Config::default();
        config.tuning.tier_up.back_edges = 1;
        let engine = Engine::with_tier(config, Interpreter);
        let module = Module::new(&engine, wat::parse_str(&text).unwrap()).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let mut linker: Linker<()> = Linker::new(&engine);
        linker.func_wrap("host", "nothing", |x: i32| x).unwrap();
        let instance: Instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.get_func(&mut store, "run").unwrap();
        let mut results = [Val::I32(0)];
        run.call(&mut store, &[Val::I32(rounds)], &mut results).unwrap();
    });
    thread.unwrap().join().unwrap();
}

macro_rules! in_loop {
    ($($name:ident: $body:literal;)*) => {$(
        #[test]
        fn $name() {
            run_in_loop($body, ROUNDS);
        }
    )*};
}

in_loop! {
    structures: "(drop (struct.new $pair (i64.const 1) (i64.const 2))) (drop (struct.new_default $pair))
        (struct.set $pair 0 (global.get $p) (struct.get $pair 1 (global.get $p)))
        (struct.set $vec 0 (global.get $s) (struct.get $vec 0 (global.get $s)))";
    arrays: "(drop (array.new $bytes (i32.const 1) (i32.const 2))) (drop (array.new_default $bytes (i32.const 2)))
        (drop (array.new_fixed $bytes 2 (i32.const 1) (i32.const 2)))
        (drop (array.new_data $bytes $data (i32.const 0) (i32.const 2)))
        (drop (array.new_elem $funcs $elem (i32.const 0) (i32.const 1)))
        (drop (array.new $vectors (local.get $v) (i32.const 2)))";
    elements: "(array.set $bytes (global.get $b) (i32.const 0) (array.get_u $bytes (global.get $b) (i32.const 1)))
        (array.set $vectors (global.get $w) (i32.const 0) (array.get $vectors (global.get $w) (i32.const 1)))
        (local.set $x (array.len (global.get $b)))
        (array.fill $bytes (global.get $b) (i32.const 0) (i32.const 1) (i32.const 2))
        (array.fill $vectors (global.get $w) (i32.const 0) (local.get $v) (i32.const 2))
        (array.copy $bytes $bytes (global.get $b) (i32.const 0) (global.get $b) (i32.const 1) (i32.const 1))
        (array.init_data $bytes $data (global.get $b) (i32.const 0) (i32.const 0) (i32.const 2))
        (array.init_elem $funcs $elem (global.get $fs) (i32.const 0) (i32.const 0) (i32.const 1))";
    bulk_of_tables: "(drop (table.grow $grows (ref.null func) (i32.const 1)))
        (table.fill $grows (i32.const 0) (ref.null func) (i32.const 1))
        (table.copy $grows $grows (i32.const 0) (i32.const 0) (i32.const 1))
        (table.init $grows $elem (i32.const 0) (i32.const 0) (i32.const 1))";
    bulk_of_memories: "(drop (memory.grow (i32.const 0))) (memory.fill (i32.const 0) (i32.const 1) (i32.const 2))
        (memory.copy (i32.const 0) (i32.const 1) (i32.const 2)) (memory.init $data (i32.const 0) (i32.const 0) (i32.const 2))";
    references: "(drop (ref.test (ref $pair) (global.get $p))) (drop (ref.cast (ref $pair) (global.get $p)))
        (drop (i31.get_s (ref.i31 (local.get $x)))) (drop (ref.eq (global.get $p) (ref.null eq)))
        (drop (call_ref $unary (local.get $x) (ref.func $callee)))";
    integers: "(local.set $x (i32.add (i32.mul (local.get $x) (i32.const 3)) (i32.rotl (local.get $n) (local.get $x))))";
    divisions: "(local.set $x (i32.rem_s (local.get $x) (local.get $n))) (local.set $x (i32.div_u (local.get $x) (i32.const 3)))";
    floats: "(local.set $f (f64.nearest (f64.min (f64.sqrt (local.get $f)) (f64.ceil (local.get $f)))))
        (local.set $x (i32.trunc_f64_s (local.get $f)))";
    loads_and_stores: "(i64.store offset=8 (i32.const 0) (i64.extend_i32_u (local.get $x)))
        (local.set $x (i32.load8_s offset=9 (i32.const 0)))";
    bulk_memory: "(memory.fill (i32.const 0) (i32.const 1) (i32.const 9)) (memory.copy (i32.const 3) (i32.const 0) (i32.const 9))
        (local.set $x (memory.grow (i32.const 0)))";
    other_memories: "(i64.store $wide offset=8 (i64.const 0) (i64.extend_i32_u (local.get $x)))
        (local.set $x (i32.load8_s $shared offset=9 (i32.const 0))) (i32.store16 $shared (i32.const 9) (local.get $n))
        (local.set $x (memory.size $shared)) (memory.fill $wide (i64.const 0) (i32.const 1) (i64.const 9))
        (memory.copy $shared $wide (i32.const 3) (i64.const 0) (i32.const 9)) (drop (memory.grow $wide (i64.const 0)))";
    atomics: "(i32.atomic.store $shared (i32.const 8) (local.get $x)) (drop (i64.atomic.load16_u $wide (i64.const 0)))
        (drop (i32.atomic.rmw.add (i32.const 0) (local.get $x))) (drop (i64.atomic.rmw8.xor_u $shared (i32.const 1) (i64.const 3)))
        (local.set $x (i32.atomic.rmw16.cmpxchg_u $shared (i32.const 8) (local.get $x) (local.get $n))) (atomic.fence)";
    waiting: "(local.set $x (memory.atomic.wait32 $shared (i32.const 0) (i32.const 1) (i64.const 0)))
        (local.set $x (memory.atomic.wait64 $shared (i32.const 0) (i64.const 1) (i64.const 0)))
        (local.set $x (memory.atomic.notify $shared (i32.const 0) (i32.const 1)))";
    exceptions: "(local.set $x (block $c (result i32) (try_table (catch $t $c) (throw $t (local.get $n))) (i32.const 0)))
        (local.set $x (block $c (result i32) (try_table (catch $t $c) (call $throw (local.get $n))) (i32.const 0)))";
    exceptions_thrown_again: "(block $d (try_table (catch_all $d)
        (throw_ref (block $c (result exnref) (try_table (catch_all_ref $c) (throw $t (local.get $n))) (unreachable)))))";
    wide_arithmetic: "(i64.add128 (i64.const 1) (i64.const 2) (i64.const 3) (global.get $g)) (i64.sub128 (i64.const 4) (i64.const 5))
        (i64.mul_wide_s) (drop) (global.set $g) (i64.mul_wide_u (global.get $g) (i64.const 7)) (drop) (global.set $g)";
    globals: "(global.set $g (i64.add (global.get $g) (i64.const 5000000000)))";
    tables: "(table.set (i32.const 1) (table.get (i32.const 0))) (table.fill (i32.const 1) (ref.func $callee) (i32.const 1))
        (local.set $x (ref.is_null (table.get (i32.const 1))))";
    wide_tables: "(table.set $wide (i64.const 1) (table.get $wide (i64.const 0))) (drop (table.size $wide))
        (drop (table.grow $wide (ref.null func) (i64.const 0))) (table.copy 0 $wide (i32.const 1) (i64.const 1) (i32.const 1))";
    calls: "(local.set $x (call $callee (local.get $n)))";
    host_calls: "(local.set $x (call $host (local.get $n)))";
    indirect_calls: "(local.set $x (call_indirect (type $unary) (local.get $n) (i32.const 0)))";
    tail_calls: "(local.set $x (call $tail (local.get $n))) (local.set $x (call $tail_host (local.get $n)))
        (local.set $x (call $tail_indirect (local.get $n)))";
    branch_tables: "(block $a (block $b (br_table $a $b (i32.and (local.get $n) (i32.const 1)))))";
    fused_accesses: "(local.set $x (i32.load8_u offset=1 (i32.add (i32.and (local.get $n) (i32.const 7)) (i32.const 2))))
        (i32.store8 offset=4 (i32.add (local.get $x) (i32.shl (i32.shr_u (local.get $x) (i32.const 5)) (i32.const 2))) (local.get $n))
        (i32.store8 offset=4 (i32.add (local.get $x) (i32.shl (i32.shr_u (local.get $x) (i32.const 5)) (i32.const 3))) (i32.const 9))
        (local.set $x (i32.load8_u (i32.shl (i32.load8_u (i32.add (local.get $x) (i32.const 0))) (i32.const 2))))
        (local.set $x (i32.load8_u (local.tee $x (i32.add (local.get $x) (i32.const 2))))) (i32.store (i32.const 8) (local.get $x))";
    fused_floats: "(local.set $f (f64.add (f64.mul (local.get $f) (local.get $f)) (local.get $f)))
        (local.set $f (f64.sub (local.get $f) (f64.mul (f64.neg (local.get $f)) (local.get $f))))";
    fused_selections: "(local.set $x (select (local.get $x) (i32.const 7) (i32.lt_s (local.get $x) (local.get $n))))
        (local.set $x (select (local.get $n) (local.get $x) (f64.lt (f64.sqrt (local.get $f)) (f64.const 3))))";
    fused_branches: "(block $a (br_if $a (i32.and (local.get $n) (i32.const 5))) (local.set $x (local.get $n)) (br $a))
        (block $a (local.set $x (i32.const 4)) (br $a)) (local.set $x (i32.and (i32.add (local.get $n) (i32.const 3)) (i32.const 255)))
        (local.set $x (i32.const 0)) (loop $m (br_if $m (i32.lt_u (local.tee $x (i32.add (local.get $x) (i32.const 1))) (i32.const 3))))
        (loop $m (br_if $m (local.tee $x (i32.add (local.get $x) (i32.const -1)))))";
    vector_moves: "(local.set $v (select (local.get $v) (v128.const i64x2 5 6) (local.get $n)))";
    selections: "(local.set $x (select (local.get $x) (i32.const 7) (i32.eqz (local.get $n))))";
}

macro_rules! number {
    (u32) => {
        "local.get $x"
    };
    (u64) => {
        "i64.const 1"
    };
    (f32) => {
        "f32.const 1"
    };
    (f64) => {
        "local.get $f"
    };
}
macro_rules! vector_bodies {
    (
        unary { $($_n1:ident $_v1:ident $unary:literal $_e1:literal;)* }
        binary { $($_n2:ident $_v2:ident $binary:literal $_e2:literal;)* }
        ternary { $($_n3:ident $_v3:ident $ternary:literal $_e3:literal;)* }
        shift { $($_n4:ident $_v4:ident $shift:literal $_e4:literal;)* }
        test { $($_n5:ident $_v5:ident $test:literal $_e5:literal;)* }
        splat { $($_n6:ident $_v6:ident $splat:literal $_e6:literal ($splat_ty:ident);)* }
        extract { $($_n7:ident $_v7:ident $extract:literal $_e7:literal ($_t7:ty);)* }
        replace { $($_n8:ident $_v8:ident $replace:literal $_e8:literal ($replace_ty:ident);)* }
        load { $($_n9:ident $_v9:ident $load:literal $_e9:literal ($_t9:ty);)* }
        store { $($_n10:ident $_v10:ident $store:literal $_e10:literal ($_t10:ty);)* }
        load_lane { $($_n11:ident $_v11:ident $load_lane:literal $_e11:literal ($_t11:ty);)* }
        store_lane { $($_n12:ident $_v12:ident $store_lane:literal $_e12:literal ($_t12:ty);)* }
        constant { $($_n13:ident $_v13:ident $constant:literal $_e13:literal;)* }
        shuffle { $($_n14:ident $_v14:ident $shuffle:literal $_e14:literal;)* }
    ) => {
        /// An instruction sequence for each row of the table of vector operations.
        const VECTOR_BODIES: &[&str] = &[
            $(concat!("(local.set $v (", $unary, " (local.get $v)))"),)*
            $(concat!("(local.set $v (", $binary, " (local.get $v) (local.get $v)))"),)*
            $(concat!("(local.set $v (", $ternary, " (local.get $v) (local.get $v) (local.get $v)))"),)*
            $(concat!("(local.set $v (", $shift, " (", $shift, " (local.get $v) (i32.const 1)) (local.get $x)))"),)*
            $(concat!("(local.set $x (", $test, " (local.get $v))) (if (", $test, " (local.get $v)) (then))
                (block (br_if 0 (", $test, " (local.get $v))))"),)*
            $(concat!("(local.set $v (", $splat, " (", number!($splat_ty), ")))"),)*
            $(concat!("(drop (", $extract, " 1 (local.get $v)))"),)*
            $(concat!("(local.set $v (", $replace, " 1 (local.get $v) (", number!($replace_ty), ")))"),)*
            $(concat!("(local.set $v (", $load, " (i32.const 8)))"),)*
            $(concat!("(", $store, " (i32.const 8) (local.get $v))"),)*
            $(concat!("(local.set $v (", $load_lane, " 1 (i32.const 8) (local.get $v)))"),)*
            $(concat!("(", $store_lane, " 1 (i32.const 8) (local.get $v))"),)*
            $(concat!("(local.set $v (", $constant, " i32x4 1 2 3 4))"),)*
            $(concat!("(local.set $v (", $shuffle, " 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 31 (local.get $v) (local.get $v)))"),)*
        ];
    };
}

innkeeper_engine::for_each_simd_opcode!(vector_bodies);

#[test]
fn every_vector_operation() {
    for body in VECTOR_BODIES {
        run_in_loop(body, ROUNDS / 10);
    }
}

/// Tail calls, in one instance and between two, use no guest stack however many there are.
#[test]
fn tail_calls_between_instances_run_in_bounded_stack() {
    let text = r#"(module
        (import "host" "next" (func $next (param i32) (result i32)))
        (table (export "table") 1 funcref)
        (func (export "step") (param $n i32) (result i32)
            (if (i32.eqz (local.get $n)) (then (return (i32.const 42))))
            (return_call $next (i32.sub (local.get $n) (i32.const 1)))))"#;
    let back = r#"(module
        (import "first" "table" (table 1 funcref))
        (type $unary (func (param i32) (result i32)))
        (func (export "next") (param $n i32) (result i32)
            (return_call_indirect (type $unary) (local.get $n) (i32.const 0))))"#;
    let engine = Engine::with_tier(Config::default(), Interpreter);
    let mut store = Store::new(&engine, ()).unwrap();
    let mut linker: Linker<()> = Linker::new(&engine);
    // The second instance imports the first's table, and the first the second's function: through a stand-in table first.
    let table = innkeeper_engine::Table::new(
        &mut store,
        innkeeper_engine::TableType::new(
            innkeeper_engine::RefType::FUNCREF,
            innkeeper_engine::SizeRange { min: 1, max: None },
        ),
        Val::FuncRef(None),
    )
    .unwrap();
    linker.define("first", "table", table).unwrap();
    let second = Module::new(&engine, wat::parse_str(back).unwrap()).unwrap();
    let second = linker.instantiate(&mut store, &second).unwrap();
    linker.instance(&mut store, "host", second).unwrap();
    let first = Module::new(&engine, wat::parse_str(text).unwrap()).unwrap();
    let first = linker.instantiate(&mut store, &first).unwrap();
    let step = first.get_func(&mut store, "step").unwrap();
    table.set(&mut store, 0, Val::FuncRef(Some(step))).unwrap();
    let mut results = [Val::I32(0)];
    step.call(&mut store, &[Val::I32(3_000_000)], &mut results).unwrap();
    assert_eq!(results, [Val::I32(42)]);
}
