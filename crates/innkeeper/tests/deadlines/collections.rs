//! Collections: of many objects, of large ones, with everything that keeps objects alive; and that one that was given up leaves the heap sound.

use innkeeper::{Config, Engine, Linker, Module, Store, Tiers};

use super::measure::{Watcher, ends_at_the_deadline};

/// Lists, tables and arrays full of references, and allocation that makes collections due again and again.
const HEAP: &str = r#"(module
    (type $list (struct (field i64) (field (ref null $list))))
    (type $refs (array (mut (ref null $list))))
    (type $bytes (array (mut i8)))
    (global $list (mut (ref null $list)) (ref.null $list))
    (global $refs (mut (ref null $refs)) (ref.null $refs))
    (table $t 1 (ref null $list))
    (func (export "grow") (param $n i32) (local $i i32)
        (loop $more
            (global.set $list (struct.new $list (i64.extend_i32_u (local.get $i)) (global.get $list)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $i) (local.get $n)))))
    (func (export "spread") (param $n i32)
        (global.set $refs (array.new $refs (global.get $list) (local.get $n)))
        (drop (table.grow $t (global.get $list) (i32.const 5000000))))
    (func (export "churn") (loop $more (drop (array.new_default $bytes (i32.const 33554432))) (br $more)))
    (func (export "drop") (global.set $list (ref.null $list)) (global.set $refs (ref.null $refs))
        (table.fill $t (i32.const 0) (ref.null $list) (table.size $t)))
    (func (export "sum") (result i64) (local $at (ref null $list)) (local $sum i64)
        (local.set $at (global.get $list))
        (block $end (loop $more
            (br_if $end (ref.is_null (local.get $at)))
            (local.set $sum (i64.add (local.get $sum) (struct.get $list 0 (local.get $at))))
            (local.set $at (struct.get $list 1 (local.get $at)))
            (br $more)))
        (local.get $sum)))"#;

const OBJECTS: u32 = 1_000_000;
const SUM: i64 = (OBJECTS as i64) * (OBJECTS as i64 - 1) / 2;

fn engine(tiers: Tiers) -> Engine {
    let mut config = Config::default();
    config.limits.memory_bytes = Some(64 << 30);
    innkeeper::engine_with(config, tiers)
}

#[test]
fn collections_end_at_the_deadline_and_leave_the_heap_sound() {
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = engine(tiers);
        let binary = innkeeper::to_binary(HEAP.as_bytes()).unwrap().into_owned();
        let module = Module::new(&engine, binary).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        let grow = instance.get_typed_func::<u32, ()>(&mut store, "grow").unwrap();
        let spread = instance.get_typed_func::<u32, ()>(&mut store, "spread").unwrap();
        let churn = instance.get_typed_func::<(), ()>(&mut store, "churn").unwrap();
        let drop_all = instance.get_typed_func::<(), ()>(&mut store, "drop").unwrap();
        let sum = instance.get_typed_func::<(), i64>(&mut store, "sum").unwrap();
        grow.call(&mut store, OBJECTS).unwrap();
        spread.call(&mut store, 5_000_000).unwrap();
        let mut churn_until = |what: &str| {
            ends_at_the_deadline(&format!("{tiers:?}: collecting {what}"), |watcher: Watcher| {
                let handle = store.interrupt_handle();
                watcher.begin(move || handle.exceed_deadline());
                (churn.call(&mut store, ()), ())
            });
        };
        for _ in 0..5 {
            churn_until("what is all in use");
        }
        assert_eq!(sum.call(&mut store, ()).unwrap(), SUM, "{tiers:?}");
        // A whole collection after some that were given up.
        store.collect_garbage();
        assert_eq!(sum.call(&mut store, ()).unwrap(), SUM, "{tiers:?}");
        drop_all.call(&mut store, ()).unwrap();
        let mut churn_until = |what: &str| {
            ends_at_the_deadline(&format!("{tiers:?}: collecting {what}"), |watcher: Watcher| {
                let handle = store.interrupt_handle();
                watcher.begin(move || handle.exceed_deadline());
                (churn.call(&mut store, ()), ())
            });
        };
        for _ in 0..3 {
            churn_until("what nothing refers to");
        }
        grow.call(&mut store, 1000).unwrap();
        assert_eq!(sum.call(&mut store, ()).unwrap(), 999 * 500, "{tiers:?}");
    }
}
