//! What is said of an access that is out of bounds: where it went, how much it asked for, and how much there is, as far as each tier knows.

use innkeeper::{Config, Error, Linker, Module, OutOfBounds, Store, Tiers, Trap, engine_with};

/// Loads and stores of each size, beside the end of a memory of one page and far from it; all of them as functions of an address. The compiler has no
/// address where it compares, as for a 64-bit memory.
const MODULE: &str = r#"(module
    (memory 1) (memory $wide i64 1) (table 3 funcref) (data $data "abcd") (elem $elem func 0)
    (func $f)
    (func (export "load8") (param i32) (drop (i32.load8_u (local.get 0))))
    (func (export "load16") (param i32) (drop (i64.load16_s offset=16 (local.get 0))))
    (func (export "load32") (param i32) (drop (i32.load (local.get 0))))
    (func (export "store64") (param i32) (f64.store (local.get 0) (f64.const 1)))
    (func (export "vector") (param i32) (v128.store (local.get 0) (v128.const i64x2 1 2)))
    (func (export "lane") (param i32) (drop (v128.load16_lane 3 (local.get 0) (v128.const i64x2 1 2))))
    (func (export "constant") (param i32) (i32.store16 offset=70000 (i32.const 0) (i32.const 7)))
    (func (export "wide") (param i32) (drop (i32.load $wide (i64.extend_i32_u (local.get 0)))))
    (func (export "atomic") (param i32) (drop (i32.atomic.rmw.add (local.get 0) (i32.const 1))))
    (func (export "fill") (param i32) (memory.fill (local.get 0) (i32.const 1) (i32.const 9)))
    (func (export "copy") (param i32) (memory.copy (i32.const 0) (local.get 0) (i32.const 9)))
    (func (export "init") (param i32) (memory.init $data (local.get 0) (i32.const 0) (i32.const 4)))
    (func (export "get") (param i32) (drop (table.get 0 (local.get 0))))
    (func (export "set") (param i32) (table.set 0 (local.get 0) (ref.null func)))
    (func (export "tfill") (param i32) (table.fill 0 (local.get 0) (ref.null func) (i32.const 2)))
    (func (export "tcopy") (param i32) (table.copy 0 0 (i32.const 0) (local.get 0) (i32.const 2)))
    (func (export "tinit") (param i32) (table.init $elem (local.get 0) (i32.const 0) (i32.const 1))))"#;

/// What is said where a function is called with an address.
fn told(tiers: Tiers, function: &str, address: u32) -> (Error, String) {
    let engine = engine_with(Config::default(), tiers);
    let module = Module::new(&engine, innkeeper::to_binary(MODULE.as_bytes()).unwrap().into_owned()).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::<()>::new(&engine).instantiate(&mut store, &module).unwrap();
    let function = instance.get_typed_func::<i32, ()>(&mut store, function).unwrap();
    let error = function.call(&mut store, address.cast_signed()).unwrap_err();
    let words = error.to_string();
    (error, words)
}

/// Whether the interpreter and compiled code say so.
fn check(function: &str, address: u32, interpreted: &str, compiled: &str) {
    for (tiers, expected) in [(Tiers::Interpreter, interpreted), (Tiers::Compiled, compiled)] {
        let (error, words) = told(tiers, function, address);
        let trap = error.trap().unwrap();
        assert!(matches!(trap, Trap::MemoryOutOfBounds | Trap::TableOutOfBounds), "{words}");
        let expected = match expected {
            "" => format!("wasm trap: {trap}"),
            words => format!("wasm trap: {trap}: {words}"),
        };
        assert_eq!(words, expected, "{function} at {address}, {tiers:?}");
        assert_eq!(error.out_of_bounds().is_some(), words.contains(" has "));
    }
}

#[test]
fn both_tiers_know_the_address_beyond_the_end() {
    for (function, address, words) in [
        ("load8", 0x1_0000, "1 byte at 0x1_0000"),
        ("load8", u32::MAX, "1 byte at 0xffff_ffff"),
        ("load16", 0x1_2345, "2 bytes at 0x1_2355"),
        ("load32", 0x1_0004, "4 bytes at 0x1_0004"),
        ("store64", 0x2_0000, "8 bytes at 0x2_0000"),
        ("vector", 0x1_0100, "16 bytes at 0x1_0100"),
        ("lane", 0x1_0100, "2 bytes at 0x1_0100"),
        ("constant", 0, "2 bytes at 0x1_1170"),
        ("fill", 0xfffe, "9 bytes at 0xfffe"),
        ("copy", 0xfffe, "9 bytes at 0xfffe"),
        ("init", 0xfffe, "4 bytes at 0xfffe"),
    ] {
        let words = format!("{words}, the memory has 65536 bytes");
        // What the compiler has done with bulk operations by itself it does not tell.
        let compiled = if ["fill", "copy", "init"].contains(&function) { "" } else { &words };
        match told(Tiers::Compiled, function, address) {
            (error, _) if compiled.is_empty() && error.out_of_bounds().is_some() => {
                check(function, address, &words, &words);
            }
            _ => check(function, address, &words, compiled),
        }
    }
}

/// Compiled code knows the first byte that is not there.
#[test]
fn compiled_code_knows_what_an_access_across_the_end_reaches() {
    let has = "the memory has 65536 bytes";
    let reaches = |len: u32| format!("{len} bytes that reach 0x1_0000, {has}");
    for (function, address, len) in
        [("load32", 0xfffe, 4), ("load32", 0x1_0000, 4), ("store64", 0xffff, 8), ("vector", 0xfff8, 16)]
    {
        check(function, address, &format!("{len} bytes at 0x{}, {has}", grouped(address)), &reaches(len));
    }
}

fn grouped(address: u32) -> String {
    let digits = format!("{address:x}");
    let at = digits.len().saturating_sub(4);
    if at == 0 { digits } else { format!("{}_{}", &digits[..at], &digits[at..]) }
}

/// Where compiled code compares, it does not keep what it has compared.
#[test]
fn what_is_not_known_is_not_told() {
    check("wide", 0x1_0000, "4 bytes at 0x1_0000, the memory has 65536 bytes", "");
    check("atomic", 0x1_0000, "4 bytes at 0x1_0000, the memory has 65536 bytes", "");
    check("get", 3, "element 3, the table has 3 elements", "");
    check("set", 9, "element 9, the table has 3 elements", "");
}

#[test]
fn bulk_operations_on_tables_say_the_range() {
    check(
        "tfill",
        2,
        "2 elements from 2 on, the table has 3 elements",
        "2 elements from 2 on, the table has 3 elements",
    );
    check(
        "tcopy",
        7,
        "2 elements from 7 on, the table has 3 elements",
        "2 elements from 7 on, the table has 3 elements",
    );
    check("tinit", 3, "element 3, the table has 3 elements", "element 3, the table has 3 elements");
}

#[test]
fn segments_that_do_not_fit_say_so() {
    let error = |text: &str| {
        let engine = innkeeper::engine(Config::default());
        let module =
            Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        Linker::<()>::new(&engine).instantiate(&mut store, &module).unwrap_err()
    };
    let data = error(r#"(module (memory 1) (data (i32.const 65534) "abcd"))"#);
    let expected =
        OutOfBounds::Memory { address: 65534, len_bytes: Some(4), is_start: true, memory_bytes: 65536 };
    assert_eq!(data.out_of_bounds(), Some(expected));
    let elem = error("(module (table 2 funcref) (func) (elem (i32.const 1) 0 0))");
    assert_eq!(elem.out_of_bounds(), Some(OutOfBounds::Table { element: 1, count: 2, elements: 2 }));
}

/// What was said of one trap is not said of the next.
#[test]
fn nothing_is_left_for_the_next_trap() {
    let text = r#"(module (memory 1) (memory $wide i64 1)
        (func (export "known") (drop (i32.load8_u (i32.const 70000))))
        (func (export "unknown") (drop (i32.load $wide (i64.const 70000))))
        (func (export "other") unreachable))"#;
    let engine = engine_with(Config::default(), Tiers::Compiled);
    let module = Module::new(&engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::<()>::new(&engine).instantiate(&mut store, &module).unwrap();
    let mut call = |name: &str| {
        let function = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
        function.call(&mut store, ()).unwrap_err().out_of_bounds()
    };
    assert!(call("known").is_some());
    assert_eq!((call("other"), call("unknown")), (None, None));
}
