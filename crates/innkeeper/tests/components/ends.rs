//! How calls end: at the end of the address space, at a deadline, by errors and panics of the host's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use innkeeper::component::{Linker, ResourceAny, ResourceType, Val};
use innkeeper::{Adapters, Config, Engine, Error, Store, Tiers};

use super::{call, component, engines, instance};

/// Lists, and what has no payload, may end where the address space does.
#[test]
fn values_may_end_at_four_gibibytes() {
    for (ty, val) in [
        ("bool", Val::from(vec![Val::Bool(true), Val::Bool(true), Val::Bool(true), Val::Bool(true)])),
        ("(enum \"a\" \"b\")", Val::from(vec![Val::Enum("b".into()); 4])),
        ("(result)", Val::from(vec![Val::Result(Err(None)); 4])),
        ("(tuple u8 u8)", Val::from(vec![Val::Tuple(vec![Val::U8(1), Val::U8(1)]); 2])),
        ("u8", Val::from(vec![1_u8; 4])),
    ] {
        let length = match &val {
            Val::List(list) => list.len(),
            other => panic!("{other:?}"),
        };
        let text = format!(
            r#"(component
                (core module $m (memory (export "memory") 65536)
                    (func (export "give") (result i32)
                        (i32.store (i32.const -4) (i32.const 0x01010101))
                        (i32.store (i32.const 8) (i32.const -4)) (i32.store (i32.const 12) (i32.const {length}))
                        (i32.const 8))
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const -4))
                    (func (export "take") (param i32 i32) (result i32) (i32.load (i32.const -4))))
                (core instance $m (instantiate $m))
                (type $t' {ty}) (export $t "t" (type $t'))
                (func (export "give") (result (list $t))
                    (canon lift (core func $m "give") (memory (core memory $m "memory"))))
                (func (export "take") (param "l" (list $t)) (result u32) (canon lift (core func $m "take")
                    (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))"#
        );
        let mut config = Config::default();
        config.limits.memory_bytes = Some(8 << 30);
        let engine = innkeeper::engine_with(config, Tiers::Interpreter);
        let (mut store, instance) = instance(&engine, &text);
        assert_eq!(call(&mut store, instance, "give", &[]).unwrap(), Some(val.clone()), "{ty}");
        let taken = call(&mut store, instance, "take", &[val]).unwrap();
        assert_eq!(taken, Some(Val::U32(0x0101_0101)), "{ty}");
        match ty {
            "bool" => {
                let give = instance.get_typed_func::<(), Vec<bool>>(&mut store, "give").unwrap();
                assert_eq!(give.call(&mut store, ()).unwrap(), [true; 4]);
                let take = instance.get_typed_func::<(&[bool],), u32>(&mut store, "take").unwrap();
                assert_eq!(take.call(&mut store, (&[true; 4],)).unwrap(), 0x0101_0101);
            }
            "(result)" => {
                let give = instance.get_typed_func::<(), Vec<Result<(), ()>>>(&mut store, "give").unwrap();
                assert_eq!(give.call(&mut store, ()).unwrap(), [Err(()); 4]);
                let take = instance.get_typed_func::<(&[Result<(), ()>],), u32>(&mut store, "take").unwrap();
                assert_eq!(take.call(&mut store, (&[Err(()); 4],)).unwrap(), 0x0101_0101);
            }
            _ => {}
        }
    }
}

const LENDS: &str = r#"(component
    (import "r" (type $r (sub resource)))
    (import "make" (func $make (result (own $r))))
    (import "lend" (func $lend (param "x" (list (borrow $r))) (param "y" char)))
    (core module $mm (memory (export "memory") 1))
    (core instance $mm (instantiate $mm))
    (core func $make (canon lower (func $make)))
    (core func $lend (canon lower (func $lend) (memory (core memory $mm "memory"))))
    (core module $m (import "" "make" (func $make (result i32)))
        (import "" "memory" (memory 1))
        (import "" "lend" (func $lend (param i32 i32 i32)))
        (func (export "f") (param i32)
            (i32.store (i32.const 0) (call $make))
            (call $lend (i32.const 0) (i32.const 1) (local.get 0))))
    (core instance $m (instantiate $m (with "" (instance
        (export "make" (func $make)) (export "lend" (func $lend)) (export "memory" (memory $mm "memory"))))))
    (func (export "f") (param "c" u32) (canon lift (core func $m "f"))))"#;

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Returns,
    Fails,
    Panics,
}

#[derive(Default)]
struct Kept {
    lent: Option<ResourceAny>,
    end: Option<End>,
}

fn lender(engine: &Engine, ty: &ResourceType) -> Linker<Kept> {
    let mut linker: Linker<Kept> = Linker::new(engine);
    let made = ty.clone();
    linker.root().resource("r", ty, |_, _| Ok(()));
    linker.root().func_new("make", move |store, _, results| {
        results[0] = Val::Resource(ResourceAny::new(store, &made, 77)?);
        Ok(())
    });
    linker.root().func_new("lend", |mut store, params, _| {
        let Val::List(list) = &params[0] else { panic!("{params:?}") };
        let Some(Val::Resource(lent)) = list.get(0) else { panic!("{list:?}") };
        store.data_mut().lent = Some(lent);
        match store.data().end {
            Some(End::Fails) => Err(Error::msg("the host")),
            Some(End::Panics) => std::panic::panic_any("the host"),
            _ => Ok(()),
        }
    });
    linker
}

/// What the host was lent is gone when the call is over, whichever way it ended; and after a panic of the host's it is known that the instance cannot be entered.
#[test]
fn what_is_lent_ends_with_the_call_whichever_way_that_ends() {
    for engine in engines() {
        for end in [End::Returns, End::Fails, End::Panics] {
            let ty = ResourceType::new("r");
            let linker = lender(&engine, &ty);
            let mut store = Store::new(&engine, Kept::default()).unwrap();
            store.data_mut().end = Some(end);
            let instance = linker.instantiate(&mut store, &component(&engine, LENDS)).unwrap();
            let ended =
                catch_unwind(AssertUnwindSafe(|| call(&mut store, instance, "f", &[Val::U32(97)]).map(drop)));
            match end {
                End::Returns => ended.unwrap().unwrap(),
                End::Fails => drop(ended.unwrap().unwrap_err()),
                End::Panics => drop(ended.unwrap_err()),
            }
            let lent = store.data().lent.unwrap();
            assert!(lent.rep(&mut store, &ty).unwrap_err().to_string().contains("gone"), "{end:?}");
            assert_eq!(instance.is_poisoned(&mut store), end != End::Returns, "{end:?}");
        }
    }
}

/// The same where lifting fails after something was lent: a later parameter is no character.
#[test]
fn what_is_lent_ends_where_a_later_parameter_is_wrong() {
    for engine in engines() {
        let ty = ResourceType::new("r");
        let linker = lender(&engine, &ty);
        let mut store = Store::new(&engine, Kept::default()).unwrap();
        let instance = linker.instantiate(&mut store, &component(&engine, LENDS)).unwrap();
        let before = ResourceAny::new(&mut store, &ty, 1).unwrap();
        before.drop(&mut store).unwrap();
        call(&mut store, instance, "f", &[Val::U32(0x11_0000)]).unwrap_err();
        // The place that the lent handle had is free again.
        let after = ResourceAny::new(&mut store, &ty, 2).unwrap();
        assert_eq!(place(before), place(after), "the host was left a handle");
    }
}

/// Where a handle is among those that the host holds, as it is printed.
fn place(any: ResourceAny) -> String {
    let printed = format!("{any:?}");
    let from = printed.find("index").unwrap();
    printed[from..].split(',').next().unwrap().to_owned()
}

/// A start function that panics in the host leaves nothing under way either.
#[test]
fn a_panic_in_a_start_function_leaves_no_call_behind() {
    const STARTS: &str = r#"(component
        (import "h" (func $h))
        (core func $h (canon lower (func $h)))
        (core module $m (import "" "h" (func $h)) (func $start (call $h)) (start $start))
        (core instance $m (instantiate $m (with "" (instance (export "h" (func $h)))))))"#;
    const TRAPS: &str = r#"(component
        (core module $m (func (export "f") (unreachable)))
        (core instance $m (instantiate $m))
        (func (export "f") (canon lift (core func $m "f"))))"#;
    for engine in engines() {
        let mut store = Store::new(&engine, ()).unwrap();
        let mut linker: Linker<()> = Linker::new(&engine);
        let instance = linker.instantiate(&mut store, &component(&engine, TRAPS)).unwrap();
        linker.root().func_new("h", |_, _, _| std::panic::panic_any("the host"));
        let starts = component(&engine, STARTS);
        catch_unwind(AssertUnwindSafe(|| linker.instantiate(&mut store, &starts).map(drop))).unwrap_err();
        call(&mut store, instance, "f", &[]).unwrap_err();
        assert!(instance.is_poisoned(&mut store));
    }
}

/// A record of this many variants, each the last of very many cases, in a list: from one guest to another.
fn many_cases() -> String {
    let (cases, fields, elements) = (10_000, 90, 4096);
    let case: String = (0..cases).map(|i| format!("(case \"c{i:05}\")")).collect();
    let field = |ty: &str| (0..fields).map(|i| format!("(field \"f{i}\" {ty})")).collect::<String>();
    format!(
        r#"(component
            (type $vv0 (variant {case})) (export $vv "v" (type $vv0))
            (type $rr0 (record {})) (export $rr "r" (type $rr0))
            (component $b
                (import "v" (type $v (eq $vv))) (type $r0 (record {field})) (import "r" (type $r (eq $r0)))
                (core module $m (memory (export "memory") 100)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                    (func (export "g") (param i32 i32)))
                (core instance $m (instantiate $m))
                (func (export "g") (param "l" (list $r)) (canon lift (core func $m "g")
                    (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))
            (component $a
                (import "v" (type $v (eq $vv))) (type $r0 (record {field})) (import "r" (type $r (eq $r0)))
                (import "g" (func $g (param "l" (list $r))))
                (core module $mm (memory (export "memory") 100))
                (core instance $mm (instantiate $mm))
                (core func $g (canon lower (func $g) (memory (core memory $mm "memory"))))
                (core module $m (import "" "memory" (memory 100)) (import "" "g" (func $g (param i32 i32)))
                    (func (export "f") (param i32) (local i32)
                        (loop (i32.store16 (local.get 1) (i32.const {}))
                            (local.set 1 (i32.add (local.get 1) (i32.const 2)))
                            (br_if 0 (i32.lt_u (local.get 1) (i32.const {}))))
                        (loop (call $g (i32.const 0) (local.get 0)) (br 0))))
                (core instance $m (instantiate $m
                    (with "" (instance (export "memory" (memory $mm "memory")) (export "g" (func $g))))))
                (func (export "f") (param "n" u32) (canon lift (core func $m "f"))))
            (instance $b (instantiate $b (with "v" (type $vv)) (with "r" (type $rr))))
            (instance $a (instantiate $a (with "v" (type $vv)) (with "r" (type $rr)) (with "g" (func $b "g"))))
            (export "f" (func $a "f")))"#,
        field("$vv"),
        cases - 1,
        2 * fields * elements,
        field = field("$v"),
    )
}

/// One long string, at one address, very often.
fn many_strings(encoding: &str) -> String {
    format!(
        r#"(component
            (import "take" (func $take (param "l" (list string))))
            (core module $mm (memory (export "memory") 200))
            (core instance $mm (instantiate $mm))
            (core func $take (canon lower (func $take) (memory (core memory $mm "memory")) {encoding}))
            (core module $m (import "" "memory" (memory 1)) (import "" "take" (func $take (param i32 i32)))
                (func (export "f") (param i32) (local i32)
                    (local.set 1 (i32.const 65536))
                    (loop (i32.store16 (local.get 1) (i32.const 0xa9c3))
                        (local.set 1 (i32.add (local.get 1) (i32.const 2)))
                        (br_if 0 (i32.lt_u (local.get 1) (i32.const 8000000))))
                    (local.set 1 (i32.const 0))
                    (loop (i32.store (local.get 1) (i32.const 65536))
                        (i32.store offset=4 (local.get 1) (i32.const 3000000))
                        (local.set 1 (i32.add (local.get 1) (i32.const 8)))
                        (br_if 0 (i32.lt_u (local.get 1) (i32.const 65536))))
                    (loop (call $take (i32.const 0) (local.get 0)) (br 0))))
            (core instance $m (instantiate $m
                (with "" (instance (export "memory" (memory $mm "memory")) (export "take" (func $take))))))
            (func (export "f") (param "n" u32) (canon lift (core func $m "f"))))"#
    )
}

/// However much work an element is, the guest ends soon after its deadline.
#[test]
fn deadlines_are_kept_however_much_work_an_element_is() {
    for adapters in [Adapters::Walked, Adapters::Generated] {
        let mut config = Config::default();
        config.limits.memory_bytes = Some(1 << 30);
        config.tuning.adapters = adapters;
        deadlines_are_kept(&innkeeper::engine_with(config, Tiers::Compiled));
    }
}

fn deadlines_are_kept(engine: &Engine) {
    let mut linker: Linker<()> = Linker::new(engine);
    linker.root().func_wrap_borrowed::<(Vec<&str>,), ()>("take", |_, (list,)| {
        assert!(!list.is_empty());
        Ok(())
    });
    for (what, text, count) in [
        ("cases", many_cases(), 4096),
        ("borrowed strings", many_strings(""), 8192),
        ("strings of UTF-16", many_strings("string-encoding=utf16"), 100),
    ] {
        let component = component(engine, &text);
        let mut store = Store::new(engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let func = instance.get_func(&mut store, "f").unwrap();
        store.set_deadline(Some(Duration::from_millis(100))).unwrap();
        let begun = Instant::now();
        let error = func.call(&mut store, &[Val::U32(count)], &mut []).unwrap_err();
        let took = begun.elapsed();
        assert!(error.to_string().contains("deadline"), "{what}: {error}");
        assert!(took < Duration::from_millis(600), "{what}: it took {took:?}");
    }
}
