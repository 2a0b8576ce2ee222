//! Addresses, lengths and allocations: what a guest says of its memory is checked.

use innkeeper::component::{Component, Feature, Features, Linker, Trap, Val};
use innkeeper::{Config, Store};

use super::{call, engines, instance};

/// A component whose functions are of one type, and return what a core function says.
fn returns(ty: &str, data: &str, functions: &[(&str, i64)]) -> String {
    let core: String = functions
        .iter()
        .map(|(name, at)| format!(r#"(func (export "{name}") (result i32) (i32.const {at}))"#))
        .collect();
    let lifted: String = functions
        .iter()
        .map(|(name, _)| {
            format!(
                r#"(func (export "{name}") (result {ty})
                    (canon lift (core func $m "{name}") (memory (core memory $m "memory"))))"#
            )
        })
        .collect();
    format!(
        r#"(component (core module $m (memory (export "memory") 1) {data} {core})
            (core instance $m (instantiate $m)) {lifted})"#
    )
}

fn trapped(text: &str, name: &str) -> Trap {
    let traps = engines().map(|engine| {
        let (mut store, instance) = instance(&engine, text);
        let error = call(&mut store, instance, name, &[]).unwrap_err();
        error.downcast_ref::<Trap>().unwrap_or_else(|| panic!("{name}: {error}")).clone()
    });
    assert_eq!(traps[0], traps[1]);
    traps[0].clone()
}

fn returned(text: &str, name: &str) -> Val {
    let vals = engines().map(|engine| {
        let (mut store, instance) = instance(&engine, text);
        call(&mut store, instance, name, &[]).unwrap().unwrap()
    });
    assert_eq!(vals[0], vals[1]);
    vals[0].clone()
}

#[test]
fn c34_c38_lists_that_lie_elsewhere_trap() {
    // Address and length at each: beyond 2^32 in sum, too many bytes, misaligned, one element beyond the end, the last element.
    let data = r#"(data (i32.const 0)
        "\fc\ff\ff\ff\02\00\00\00" "\00\00\00\00\ff\ff\ff\ff" "\02\00\00\00\01\00\00\00"
        "\fc\ff\00\00\02\00\00\00" "\fc\ff\00\00\01\00\00\00")"#;
    let text = returns(
        "(list u32)",
        data,
        &[("wraps", 0), ("many", 8), ("unaligned", 16), ("beyond", 24), ("last", 32)],
    );
    assert_eq!(trapped(&text, "wraps"), Trap::ListOutOfBounds);
    assert_eq!(trapped(&text, "many"), Trap::ListTooLong);
    assert_eq!(trapped(&text, "unaligned"), Trap::Unaligned);
    assert_eq!(trapped(&text, "beyond"), Trap::ListOutOfBounds);
    assert_eq!(returned(&text, "last"), Val::from(vec![0_u32]));
}

/// A memory whose pages are bytes ends where it ends, for the host and for other components.
#[test]
fn c38_memories_of_other_page_sizes_end_where_they_end() {
    const SMALL: &str = "26 (pagesize 1)";
    let data = r#"(data (i32.const 0) "\00\00\00\00\1a\00\00\00" "\00\00\00\00\1b\00\00\00" "\18\00\00\00\02\00\00\00" "yz")"#;
    let text = returns("(list u8)", data, &[("all", 0), ("beyond", 8), ("last", 16)]);
    let text = text.replace("\"memory\") 1)", &format!("\"memory\") {SMALL})"));
    assert!(text.contains(SMALL));
    let Val::List(all) = returned(&text, "all") else { panic!("no list") };
    assert_eq!(all.len(), 26);
    assert_eq!(trapped(&text, "beyond"), Trap::ListOutOfBounds);
    assert_eq!(returned(&text, "last"), Val::from(b"yz".to_vec()));
    for (callee, caller) in [(SMALL, "1"), ("1", SMALL), (SMALL, "40 (pagesize 1)")] {
        let text = hands_over(callee, caller);
        for engine in engines() {
            let (mut store, instance) = instance(&engine, &text);
            let outcome = call(&mut store, instance, "run", &[Val::U32(26)]).unwrap();
            assert_eq!(outcome, Some(Val::U32(26)), "{callee}, {caller}");
            let error = call(&mut store, instance, "run", &[Val::U32(27)]).unwrap_err();
            assert_eq!(error.downcast_ref(), Some(&Trap::ListContentOutOfBounds), "{callee}, {caller}");
        }
    }
}

/// Two components with memories of these sizes; `run` hands a list of so many bytes over, from address 0 to address 0, and gives the length that arrives.
fn hands_over(callee: &str, caller: &str) -> String {
    format!(
        r#"(component
        (component $C
            (core module $m (memory (export "memory") {callee})
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                (func (export "f") (param i32 i32) (result i32) (local.get 1)))
            (core instance $m (instantiate $m))
            (func (export "f") (param "l" (list u8)) (result u32)
                (canon lift (core func $m "f") (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))
        (component $D
            (import "f" (func $f (param "l" (list u8)) (result u32)))
            (core module $libc (memory (export "memory") {caller}))
            (core instance $libc (instantiate $libc))
            (core func $f (canon lower (func $f) (memory (core memory $libc "memory"))))
            (core module $m (import "" "f" (func $f (param i32 i32) (result i32)))
                (func (export "run") (param i32) (result i32) (call $f (i32.const 0) (local.get 0))))
            (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
            (func (export "run") (param "n" u32) (result u32) (canon lift (core func $m "run"))))
        (instance $c (instantiate $C))
        (instance $d (instantiate $D (with "f" (func $c "f"))))
        (func (export "run") (alias export $d "run")))"#
    )
}

#[test]
fn c36_empty_lists_are_looked_at_too() {
    let data = r#"(data (i32.const 0)
        "\00\00\01\00\00\00\00\00" "\04\00\01\00\00\00\00\00" "\01\00\00\00\00\00\00\00")"#;
    let text = returns("(list u32)", data, &[("end", 0), ("beyond", 8), ("unaligned", 16)]);
    assert_eq!(returned(&text, "end"), Val::from(Vec::<u32>::new()));
    assert_eq!(trapped(&text, "beyond"), Trap::ListOutOfBounds);
    assert_eq!(trapped(&text, "unaligned"), Trap::Unaligned);
}

#[test]
fn c31_results_in_memory_that_end_one_byte_beyond_trap() {
    let text = returns("(tuple u32 u8)", "", &[("last", 65_528), ("beyond", 65_532), ("unaligned", 65_526)]);
    assert_eq!(returned(&text, "last"), Val::Tuple(vec![Val::U32(0), Val::U8(0)]));
    assert_eq!(trapped(&text, "beyond"), Trap::PointerOutOfBounds);
    assert_eq!(trapped(&text, "unaligned"), Trap::Unaligned);
}

/// Sixteen parameters are passed one by one, seventeen in memory.
#[test]
fn c31_sixteen_parameters_and_seventeen() {
    for count in [16, 17] {
        let params: String = (0..count).map(|i| format!(r#"(param "p{i}" u8) "#)).collect();
        let sum = |count: usize| {
            let sum = (0..count).fold(String::from("(i32.const 0)"), |sum, i| match count {
                16 => format!("(i32.add {sum} (local.get {i}))"),
                _ => format!("(i32.add {sum} (i32.load8_u offset={i} (local.get 0)))"),
            });
            let core = if count == 16 { "i32 ".repeat(16) } else { "i32".to_owned() };
            format!(r#"(func (export "sum") (param {core}) (result i32) {sum})"#)
        };
        let text = format!(
            r#"(component (core module $m (memory (export "memory") 1) {}
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (if (i32.ne (local.get 3) (i32.const 17)) (then (unreachable))) (i32.const 100)))
                (core instance $m (instantiate $m))
                (func (export "sum") {params} (result u32) (canon lift (core func $m "sum")
                    (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))"#,
            sum(count)
        );
        for engine in engines() {
            let (mut store, instance) = instance(&engine, &text);
            let params: Vec<Val> = (1..=count as u8).map(Val::U8).collect();
            let expected = (1..=count as u32).sum();
            assert_eq!(call(&mut store, instance, "sum", &params).unwrap(), Some(Val::U32(expected)));
        }
    }
}

/// A function that takes a string, with a `realloc` of these instructions.
fn takes_string(realloc: &str) -> String {
    format!(
        r#"(component
            (import "host" (func $host))
            (core func $host (canon lower (func $host)))
            (core module $m (import "" "host" (func $host)) (memory (export "memory") 1)
                (func (export "f") (param i32 i32) (result i32) (i32.load8_u (local.get 0)))
                (func $realloc (export "realloc") (param i32 i32 i32 i32) (result i32) {realloc}))
            (core instance $m (instantiate $m (with "" (instance (export "host" (func $host))))))
            (func (export "f") (param "s" string) (result u32) (canon lift (core func $m "f")
                (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))"#
    )
}

#[test]
fn c48_c49_c50_c51_what_realloc_may_do() {
    let cases: [(&str, Result<u32, &str>); 8] = [
        ("(i32.const 0)", Ok(97)),
        ("(i32.const 65535)", Ok(97)),
        ("(i32.const 65536)", Err("realloc return: beyond end of memory")),
        ("(i32.const -1)", Err("realloc return: beyond end of memory")),
        ("(unreachable)", Err("unreachable")),
        // C50: it may not call out.
        ("(call $host) (i32.const 8)", Err("cannot leave component instance")),
        // C49: memory that has moved is looked up again.
        ("(drop (memory.grow (i32.const 500))) (i32.const 30000000)", Ok(97)),
        (
            "(call $realloc (local.get 0) (local.get 1) (local.get 2) (local.get 3))",
            Err("call stack exhausted"),
        ),
    ];
    for engine in engines() {
        for (realloc, expected) in cases {
            let mut linker: Linker<()> = Linker::new(&engine);
            linker.root().func_new("host", |_, _, _| Ok(()));
            let mut store = Store::new(&engine, ()).unwrap();
            let component = super::component(&engine, &takes_string(realloc));
            let instance = linker.instantiate(&mut store, &component).unwrap();
            match (call(&mut store, instance, "f", &[Val::from("a")]), expected) {
                (Ok(val), Ok(expected)) => assert_eq!(val, Some(Val::U32(expected)), "{realloc}"),
                (Err(error), Err(expected)) => {
                    assert!(error.to_string().contains(expected), "{realloc}: {error}");
                    // C54: what has trapped is not entered again.
                    let again = call(&mut store, instance, "f", &[Val::from("a")]).unwrap_err();
                    assert_eq!(again.downcast_ref::<Trap>(), Some(&Trap::CannotEnter));
                }
                (result, expected) => panic!("{realloc}: {result:?}, {expected:?}"),
            }
        }
    }
}

#[test]
fn c41_lists_of_a_fixed_length() {
    let text = r#"(component
        (core module $m (memory (export "memory") 1)
            (data (i32.const 0) "\01\00\02\00\03\00\04\00\05\00\06\00")
            (func (export "flat") (param i32 i32 i32) (result i32) (i32.add (local.get 0) (local.get 2)))
            (func (export "memory-form") (result i32) (i32.const 0)))
        (core instance $m (instantiate $m))
        (func (export "flat") (param "l" (list u16 3)) (result u32) (canon lift (core func $m "flat")))
        (func (export "memory-form") (result (list (list u16 2) 3))
            (canon lift (core func $m "memory-form") (memory (core memory $m "memory")))))"#;
    for engine in engines() {
        let bytes = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
        // They are not of the standard yet.
        Component::new(&engine, bytes.clone()).unwrap_err();
        let features = Features::default().with(Feature::FixedLengthLists);
        let component = Component::with_features(&engine, bytes, features).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let three = Val::from(vec![1_u16, 2, 30]);
        assert_eq!(call(&mut store, instance, "flat", &[three]).unwrap(), Some(Val::U32(31)));
        let error = call(&mut store, instance, "flat", &[Val::from(vec![1_u16])]).unwrap_err().to_string();
        assert!(error.contains("the list has 3 elements, and 1 were given"), "{error}");
        let pair = |a: u16| Val::from(vec![a, a + 1]);
        let expected = Val::from(vec![pair(1), pair(3), pair(5)]);
        assert_eq!(call(&mut store, instance, "memory-form", &[]).unwrap(), Some(expected));
    }
}

/// C5: a type whose values are as large as may be, and one byte larger.
#[test]
fn c5_types_of_too_large_values_are_refused() {
    let engine = innkeeper::engine(Config::default());
    let features = Features::default().with(Feature::FixedLengthLists);
    let of = |length: u32| {
        let text = format!("(component (type (list u8 {length})))");
        Component::with_features(&engine, innkeeper::to_binary(text.as_bytes()).unwrap(), features)
    };
    of((1 << 28) - 1).unwrap();
    assert!(of(1 << 28).unwrap_err().to_string().contains("exceeds maximum byte size"));
}

/// C44: the tag of a string that is UTF-16 does not hide what is wrong.
#[test]
fn c44_tagged_strings_are_checked_as_others() {
    // Address and tagged length at each: unaligned and empty, unpaired surrogate, longer than strings may be, Latin-1.
    let data = r#"(data (i32.const 0)
        "\01\00\00\00\00\00\00\80" "\28\00\00\00\01\00\00\80" "\28\00\00\00\00\00\00\f0" "\2a\00\00\00\02\00\00\00"
        "\00\00\00\00\00\00\00\00" "\00\d8\e9\62")"#;
    let text = returns("string", data, &[("unaligned", 0), ("surrogate", 8), ("long", 16), ("latin1", 24)])
        .replace(
            "(memory (core memory $m \"memory\"))",
            "(memory (core memory $m \"memory\")) string-encoding=latin1+utf16",
        );
    assert_eq!(trapped(&text, "unaligned"), Trap::Unaligned);
    assert_eq!(trapped(&text, "surrogate"), Trap::InvalidUtf16);
    assert_eq!(trapped(&text, "long"), Trap::StringOutOfBounds);
    assert_eq!(returned(&text, "latin1"), Val::from("\u{e9}b"));
}
