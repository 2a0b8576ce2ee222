//! What a store is good for: how deep its guests can recurse, by themselves and through the host. It is less where something was left over.

use innkeeper::{Linker, Module, Store, Trap, Val};

use crate::house::House;

/// A guest that goes as far as it can.
pub(crate) const TEXT: &str = r#"(module
    (import "host" "call" (func $call))
    (global $depth (export "depth") (mut i32) (i32.const 0))
    (func $deeper (global.set $depth (i32.add (global.get $depth) (i32.const 1))))
    (func $down (export "down") (param i64) (result i64)
        (call $deeper)
        (i64.add (local.get 0) (call $down (i64.add (local.get 0) (i64.const 1)))))
    (func (export "called") (call $deeper) (call $call))
    (func (export "sum") (param i32) (result i64) (local i64)
        (loop $again
            (local.set 1 (i64.add (local.get 1) (i64.extend_i32_u (local.get 0))))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1)))"#;

/// The guest of [`TEXT`], and what it has been good for so far.
pub(crate) struct Reach {
    instance: innkeeper::Instance,
    /// Depths, by calls and through the host.
    depths: Option<[i32; 2]>,
}

impl Reach {
    pub(crate) fn new(linker: &Linker<House>, store: &mut Store<House>, module: &Module) -> Reach {
        let instance = linker.instantiate(&mut *store, module).unwrap();
        let mut reach = Reach { instance, depths: None };
        // Afterwards everything is in the tier in which it stays.
        for _ in 0..3 {
            reach.depths = Some(reach.measure(store));
        }
        reach
    }

    /// Fails unless the store is good for as much as it was.
    #[track_caller]
    pub(crate) fn check(&self, store: &mut Store<House>, is_repeatable: bool, case: &str) {
        let depths = self.measure(store);
        if is_repeatable {
            assert_eq!(Some(depths), self.depths, "{case}");
        }
        assert!(depths[0] > 1000 && depths[1] > 50, "{case}: {depths:?}");
    }

    fn measure(&self, store: &mut Store<House>) -> [i32; 2] {
        let sum = self.instance.get_typed_func::<i32, i64>(&mut *store, "sum").unwrap();
        assert_eq!(sum.call(&mut *store, 10_000).unwrap(), 50_005_000);
        let by_calls = self.depth(store, "down", &[Val::I64(0)]);
        [by_calls, self.depth(store, "called", &[])]
    }

    fn depth(&self, store: &mut Store<House>, name: &str, params: &[Val]) -> i32 {
        let depth = self.instance.get_export(&mut *store, "depth").unwrap().into_global().unwrap();
        depth.set(&mut *store, Val::I32(0)).unwrap();
        let func = self.instance.get_func(&mut *store, name).unwrap();
        let mut results = vec![Val::I64(0); params.len()];
        let error = func.call(&mut *store, params, &mut results).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::CallStackExhausted));
        let Val::I32(depth) = depth.get(&mut *store).unwrap() else { panic!("an i32") };
        depth
    }
}
