//! The longest values and the shortest, the last bytes of a memory, and the bits of a value that say nothing.

use innkeeper::component::{Linker, Trap, Val};
use innkeeper::{Adapters, Config, Engine, Error, NanBits, Store, Tiers};

use super::adapters::{Pair, all_engines};
use super::{call, component, instance};

/// Bytes of the longest list, and of the longest string.
const LONGEST: u32 = (1 << 28) - 1;

/// An engine whose guests may have memories that long strings and lists are in.
fn roomy(tiers: Tiers, adapters: Adapters) -> Engine {
    let mut config = Config::default();
    config.limits.memory_bytes = Some(400 << 20);
    config.tuning.adapters = adapters;
    innkeeper::engine_with(config, tiers)
}

/// A guest with a memory of 256 MiB, of which `run` hands so many bytes to the host; `list` and `text` return the first so many, and `takes` is given bytes for which there is no room.
const LONG: &str = r#"(component
    (import "list" (func $list (param "l" (list u8)) (result u32)))
    (import "text" (func $text (param "s" string) (result u32)))
    (core module $libc (memory (export "mem") 4097)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const -1)))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "mem" (core memory $mem)) (alias core export $libc "realloc" (core func $realloc))
    (core func $list (canon lower (func $list) (memory $mem))) (core func $text (canon lower (func $text) (memory $mem)))
    (core module $m
        (import "" "mem" (memory 1))
        (import "" "list" (func $list (param i32 i32) (result i32))) (import "" "text" (func $text (param i32 i32) (result i32)))
        (func (export "lists") (param i32) (result i32) (call $list (i32.const 0) (local.get 0)))
        (func (export "texts") (param i32) (result i32) (call $text (i32.const 0) (local.get 0)))
        (func (export "returns") (param i32) (result i32)
            (i32.store offset=4 (i32.const 0x10000000) (local.get 0)) (i32.const 0x10000000))
        (func (export "takes") (param i32 i32)))
    (core instance $m (instantiate $m (with "" (instance
        (export "mem" (memory $mem)) (export "list" (func $list)) (export "text" (func $text))))))
    (func (export "lists") (param "n" u32) (result u32) (canon lift (core func $m "lists")))
    (func (export "texts") (param "n" u32) (result u32) (canon lift (core func $m "texts")))
    (func (export "list") (param "n" u32) (result (list u8)) (canon lift (core func $m "returns") (memory $mem)))
    (func (export "bools") (param "n" u32) (result (list bool)) (canon lift (core func $m "returns") (memory $mem)))
    (func (export "text") (param "n" u32) (result string) (canon lift (core func $m "returns") (memory $mem)))
    (func (export "takes") (param "l" (list u8)) (canon lift (core func $m "takes") (memory $mem) (realloc $realloc)))
    (func (export "takes-text") (param "s" string) (canon lift (core func $m "takes") (memory $mem) (realloc $realloc))))"#;

fn long(engine: &Engine) -> (Store<()>, innkeeper::component::Instance) {
    let mut linker: Linker<()> = Linker::new(engine);
    let mut root = linker.root();
    root.func_wrap_borrowed::<(&[u8],), _>("list", |_, (list,)| Ok(list.len() as u32));
    root.func_wrap_borrowed::<(&str,), _>("text", |_, (text,)| Ok(text.len() as u32));
    let mut store = Store::new(engine, ()).unwrap();
    let instance = linker.instantiate(&mut store, &component(engine, LONG)).unwrap();
    (store, instance)
}

pub(super) fn trap<R: std::fmt::Debug>(outcome: Result<R, Error>) -> Trap {
    let error = outcome.unwrap_err();
    error.downcast_ref::<Trap>().unwrap_or_else(|| panic!("{error}")).clone()
}

/// C35: what the host borrows is as long as may be, and no longer; what it takes over may be as long, as far as there is room.
#[test]
fn c35_the_longest_lists_and_strings_and_one_byte_more() {
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = roomy(tiers, Adapters::Generated);
        for (name, too_long) in [("lists", Trap::ListTooLong), ("texts", Trap::StringTooLong)] {
            let (mut store, made) = long(&engine);
            let longest = call(&mut store, made, name, &[Val::U32(LONGEST)]).unwrap();
            assert_eq!(longest, Some(Val::U32(LONGEST)));
            assert_eq!(trap(call(&mut store, made, name, &[Val::U32(LONGEST + 1)])), too_long);
        }
        for (name, too_long) in
            [("list", Trap::ListTooLong), ("bools", Trap::ListTooLong), ("text", Trap::StringTooLong)]
        {
            let (mut store, made) = long(&engine);
            // The limit was passed, and the budget is not: there is the guest's memory already.
            let longest = call(&mut store, made, name, &[Val::U32(LONGEST)]).unwrap_err().to_string();
            assert!(longest.contains("Limits::memory_bytes"), "{name}: {longest}");
            let (mut store, made) = long(&engine);
            assert_eq!(trap(call(&mut store, made, name, &[Val::U32(LONGEST + 1)])), too_long, "{name}");
        }
    }
}

/// C35: the host gives none that is longer, and is told so before the guest is asked for room.
#[test]
fn c35_the_host_gives_none_that_is_longer() {
    let [longest, longer] = [LONGEST, LONGEST + 1].map(|bytes| vec![0_u8; bytes as usize]);
    let texts = [&longest, &longer].map(|bytes| std::str::from_utf8(bytes).unwrap());
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = roomy(tiers, Adapters::Generated);
        for (bytes, text, [for_list, for_text]) in [
            (&longest, texts[0], [Trap::ReallocOutOfBounds, Trap::ReallocOutOfBounds]),
            (&longer, texts[1], [Trap::ListTooLong, Trap::StringTooLong]),
        ] {
            let (mut store, made) = long(&engine);
            let takes = made.get_typed_func::<(&[u8],), ()>(&mut store, "takes").unwrap();
            assert_eq!(trap(takes.call(&mut store, (bytes,))), for_list);
            let (mut store, made) = long(&engine);
            let takes = made.get_typed_func::<(&str,), ()>(&mut store, "takes-text").unwrap();
            assert_eq!(trap(takes.call(&mut store, (text,))), for_text);
        }
        let (mut store, made) = long(&engine);
        assert_eq!(trap(call(&mut store, made, "takes", &[Val::from(longer.clone())])), Trap::ListTooLong);
    }
}

/// C35: from one guest to another; the longest is one for which there is no room, which is a trap of its own.
#[test]
fn c35_guests_hand_over_none_that_is_longer() {
    for (ty, content, too_long) in [
        ("(list u8)", Trap::ListContentOutOfBounds, Trap::ListTooLong),
        ("(list bool)", Trap::ListContentOutOfBounds, Trap::ListTooLong),
        ("string", Trap::StringContentOutOfBounds, Trap::StringTooLong),
    ] {
        let pair = Pair {
            types: &[],
            ty: &format!(r#"(param "v" {ty})"#),
            run_ty: r#"(param "n" u32)"#,
            core_c: r#"(func (export "f") (param i32 i32))"#,
            core_d: r#"(func (export "run") (param i32) (call $f (i32.const 0) (local.get 0)))"#,
            import: "(param i32 i32)",
            options: ["", ""],
        };
        let text =
            pair.text().replace("(memory (export \"mem\") 4)", "(memory (export \"mem\") 4096)").replacen(
                "(result i32) (local $at i32)",
                "(result i32) (local $at i32) (return (i32.const -1))",
                1,
            );
        for tiers in [Tiers::Interpreter, Tiers::Compiled] {
            for adapters in [Adapters::Generated, Adapters::Walked] {
                let mut config = Config::default();
                config.limits.memory_bytes = Some(4 << 30);
                config.tuning.adapters = adapters;
                let engine = innkeeper::engine_with(config, tiers);
                let (mut store, made) = instance(&engine, &text);
                let longer = call(&mut store, made, "run", &[Val::U32(LONGEST + 1)]);
                assert_eq!(trap(longer), too_long, "{ty}, {adapters:?}");
                // The walk takes a copy of the host's first, which is long in coming.
                if adapters == Adapters::Generated {
                    let (mut store, made) = instance(&engine, &text);
                    let longest = call(&mut store, made, "run", &[Val::U32(LONGEST)]);
                    assert_eq!(trap(longest), content, "{ty}");
                }
            }
        }
    }
}

/// C40: a million entries, in their order, each as often as it was given.
#[test]
fn c40_maps_of_a_million_entries() {
    const ENTRIES: u32 = 1_000_000;
    let text = r#"(component
        (core module $m (memory (export "mem") 200)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 16))
            (func (export "f") (param i32 i32) (result i32)
                (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0)))
        (core instance $m (instantiate $m))
        (func (export "f") (param "m" (map u32 u32)) (result (map u32 u32))
            (canon lift (core func $m "f") (memory (core memory $m "mem")) (realloc (core func $m "realloc")))))"#;
    let pairs = (0..ENTRIES).map(|i| (Val::U32(i.wrapping_mul(0x9e37_79b9) % 1000), Val::U32(i))).collect();
    let given = [Val::Map(pairs)];
    let mut config = Config::default();
    config.limits.memory_bytes = Some(1 << 30);
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = innkeeper::engine_with(config.clone(), tiers);
        let (mut store, made) = instance(&engine, text);
        let got = call(&mut store, made, "f", &given).unwrap();
        assert!(got.as_ref() == Some(&given[0]), "another map came back");
    }
}

/// C28: the bits of a NaN are canonical where the host sees them, and between guests where the engine makes all so.
#[test]
fn c28_bits_of_nans() {
    const ODD: [u64; 2] = [0xffa1_2345, 0xfff4_1234_5678_9abc];
    const CANONICAL: [u64; 2] = [0x7fc0_0000, 0x7ff8_0000_0000_0000];
    let of_host = r#"(component
        (core module $m
            (func (export "to32") (param f32) (result i64) (i64.extend_i32_u (i32.reinterpret_f32 (local.get 0))))
            (func (export "to64") (param f64) (result i64) (i64.reinterpret_f64 (local.get 0)))
            (func (export "from32") (param i64) (result f32) (f32.reinterpret_i32 (i32.wrap_i64 (local.get 0))))
            (func (export "from64") (param i64) (result f64) (f64.reinterpret_i64 (local.get 0))))
        (core instance $m (instantiate $m))
        (func (export "to32") (param "v" f32) (result u64) (canon lift (core func $m "to32")))
        (func (export "to64") (param "v" f64) (result u64) (canon lift (core func $m "to64")))
        (func (export "from32") (param "v" u64) (result f32) (canon lift (core func $m "from32")))
        (func (export "from64") (param "v" u64) (result f64) (canon lift (core func $m "from64"))))"#;
    for nan_bits in [NanBits::Canonical, NanBits::AsComputed] {
        for tiers in [Tiers::Interpreter, Tiers::Compiled] {
            for adapters in [Adapters::Generated, Adapters::Walked] {
                let mut config = Config { nan_bits, ..Config::default() };
                config.tuning.adapters = adapters;
                let engine = innkeeper::engine_with(config, tiers);
                let (mut store, made) = instance(&engine, of_host);
                let given =
                    [Val::Float32(f32::from_bits(ODD[0] as u32)), Val::Float64(f64::from_bits(ODD[1]))];
                for ((name, val), bits) in ["to32", "to64"].into_iter().zip(given).zip(CANONICAL) {
                    assert_eq!(call(&mut store, made, name, &[val]).unwrap(), Some(Val::U64(bits)), "{name}");
                }
                let from32 = made.get_typed_func::<(u64,), f32>(&mut store, "from32").unwrap();
                let from64 = made.get_typed_func::<(u64,), f64>(&mut store, "from64").unwrap();
                let typed = [
                    from32.call(&mut store, (ODD[0],)).unwrap().to_bits().into(),
                    from64.call(&mut store, (ODD[1],)).unwrap().to_bits(),
                ];
                assert_eq!(typed, CANONICAL);
                let untyped = ["from32", "from64"].map(|name| {
                    let bits = Val::U64(if name == "from32" { ODD[0] } else { ODD[1] });
                    match call(&mut store, made, name, &[bits]).unwrap() {
                        Some(Val::Float32(value)) => u64::from(value.to_bits()),
                        Some(Val::Float64(value)) => value.to_bits(),
                        other => panic!("{other:?}"),
                    }
                });
                assert_eq!(untyped, CANONICAL);
                for (i, (float, int)) in [("f32", "i32"), ("f64", "i64")].into_iter().enumerate() {
                    let pair = Pair {
                        types: &[],
                        ty: &format!(r#"(param "v" {float}) (param "l" (list {float})) (result u64)"#),
                        run_ty: "(result u64)",
                        // Whatever of the two has other bits.
                        core_c: &format!(
                            r#"(func (export "f") (param {float} i32 i32) (result i64)
                                (if (i64.ne (i64.extend_i32_u (i32.const 1)) (i64.extend_i32_u (local.get 2))) (then (unreachable)))
                                (if ({int}.ne ({int}.reinterpret_{float} (local.get 0)) ({int}.load (local.get 1))) (then (unreachable)))
                                {})"#,
                            match int {
                                "i32" => "(i64.load32_u (local.get 1))",
                                _ => "(i64.load (local.get 1))",
                            }
                        ),
                        core_d: &format!(
                            r#"(func (export "run") (result i64) ({int}.store (i32.const 8) ({int}.const {}))
                                (call $f ({float}.load (i32.const 8)) (i32.const 8) (i32.const 1)))"#,
                            ODD[i]
                        ),
                        import: &format!("(param {float} i32 i32) (result i64)"),
                        options: ["", ""],
                    };
                    let (mut store, made) = instance(&engine, &pair.text());
                    let Some(Val::U64(bits)) = call(&mut store, made, "run", &[]).unwrap() else { panic!() };
                    match nan_bits {
                        NanBits::Canonical => assert_eq!(bits, CANONICAL[i], "{float}, {adapters:?}"),
                        NanBits::AsComputed => {
                            assert!([ODD[i], CANONICAL[i]].contains(&bits), "{float} {bits:#x}")
                        }
                    }
                }
            }
        }
    }
}

/// C29: what a case has no payload for is zero where it is handed over, whatever was there before.
#[test]
fn c29_slots_without_a_payload_are_zero_and_are_not_looked_at() {
    // A case of a number each, one of two of 64 bits, and one of nothing.
    let def = r#"(variant (case "small" u8) (case "float" f32) (case "wide" (tuple u64 u64)) (case "none"))"#;
    // What is taken over of the first slot, where all of it is filled.
    let slots = [(0, 0xff), (1, 0x3f80_00ff), (3, 0)];
    let pair = Pair {
        types: &[("v", def)],
        ty: r#"(param "v" $v) (result u64)"#,
        run_ty: r#"(param "case" u32) (result u64)"#,
        core_c: r#"(func (export "f") (param i32 i64 i64) (result i64)
            ;; The second payload is of "wide" only.
            (if (i64.ne (local.get 2) (i64.const 0)) (then (unreachable))) (local.get 1))"#,
        core_d: r#"(func (export "run") (param i32) (result i64) (call $f (local.get 0)
            (i64.const 0xffffffff3f8000ff) (i64.const -1)))"#,
        import: "(param i32 i64 i64) (result i64)",
        options: ["", ""],
    };
    for (case, first) in slots {
        assert_eq!(pair.run(&[Val::U32(case)]), Ok(Some(Val::U64(first))), "case {case}");
    }
    let text = format!(
        r#"(component
        (type $v' {def}) (import "v" (type $v (eq $v')))
        (import "host" (func $host (param "v" $v)))
        (core func $host (canon lower (func $host)))
        (core module $m (import "" "host" (func $host (param i32 i64 i64)))
            (func (export "gives") (param i32) (call $host (local.get 0) (i64.const 0xffffffff3f8000ff) (i64.const -1)))
            (func (export "takes") (param i32 i64 i64) (result i64)
                (if (i64.ne (local.get 2) (i64.const 0)) (then (unreachable))) (local.get 1)))
        (core instance $m (instantiate $m (with "" (instance (export "host" (func $host))))))
        (func (export "gives") (param "case" u32) (canon lift (core func $m "gives")))
        (func (export "takes") (param "v" $v) (result u64) (canon lift (core func $m "takes"))))"#
    );
    for engine in all_engines() {
        let mut linker: Linker<Option<Val>> = Linker::new(&engine);
        linker.root().func_new("host", |mut store, params, _| {
            *store.data_mut() = Some(params[0].clone());
            Ok(())
        });
        let mut store = Store::new(&engine, None).unwrap();
        let made = linker.instantiate(&mut store, &component(&engine, &text)).unwrap();
        for (case, slot) in slots {
            call(&mut store, made, "gives", &[Val::U32(case)]).unwrap();
            let given = store.data_mut().take().unwrap();
            match (case, &given) {
                (0, Val::Variant(_, Some(payload))) => assert_eq!(**payload, Val::U8(255)),
                (1, Val::Variant(_, Some(payload))) => {
                    assert_eq!(**payload, Val::Float32(f32::from_bits(0x3f80_00ff)));
                }
                (3, Val::Variant(_, None)) => {}
                other => panic!("{other:?}"),
            }
            assert_eq!(call(&mut store, made, "takes", &[given]).unwrap(), Some(Val::U64(slot)), "{case}");
        }
    }
}
