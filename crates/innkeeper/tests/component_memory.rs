//! What components make the host hold is charged to their budget before it is allocated, whatever it is: a guest that says in a few bytes that it hands over more is refused.
//!
//! One test at a time, because all that the process allocates is counted.

mod counting_allocator;

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use counting_allocator::peak_of;
use innkeeper::component::{Component, LiftOwned, Linker, List, ResourceAny, ResourceType, Val};
use innkeeper::{Adapters, BudgetKind, Config, Engine, ErrorKind, Store, Tiers};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const LIMIT_BYTES: usize = 4 << 20;

/// Records of the store, tables that grow, and what is free.
const BESIDE_BYTES: usize = 2 << 20;

fn engine() -> Engine {
    let mut config = Config::default();
    config.limits.memory_bytes = Some(LIMIT_BYTES as u64);
    innkeeper::engine(config)
}

fn component(engine: &Engine, text: &str) -> Component {
    Component::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap()).unwrap()
}

/// Types of elements, each with the bytes of one. Strings and lists in them lie at 32768.
const ELEMENTS: &[(&str, &str)] = &[
    ("bool", "\\01"),
    ("s8", "\\01"),
    ("u8", "\\01"),
    ("s16", "\\01\\00"),
    ("u16", "\\01\\00"),
    ("s32", "\\01\\00\\00\\00"),
    ("u32", "\\01\\00\\00\\00"),
    ("s64", "\\01\\00\\00\\00\\00\\00\\00\\00"),
    ("u64", "\\01\\00\\00\\00\\00\\00\\00\\00"),
    ("f32", "\\01\\00\\00\\00"),
    ("f64", "\\01\\00\\00\\00\\00\\00\\00\\00"),
    ("char", "\\41\\00\\00\\00"),
    ("string", "\\00\\80\\00\\00\\64\\00\\00\\00"),
    ("(list bool)", "\\00\\80\\00\\00\\0a\\00\\00\\00"),
    ("(list u8)", "\\00\\80\\00\\00\\01\\00\\00\\00"),
    ("(record (field \"a\" bool) (field \"b\" bool))", "\\01\\01"),
    ("(tuple bool u8)", "\\01\\01"),
    ("(variant (case \"none\") (case \"some\" u8))", "\\01\\01"),
    ("(enum \"a\" \"b\")", "\\01"),
    ("(option u8)", "\\01\\01"),
    ("(option (option u8))", "\\01\\01\\01"),
    ("(result u8 (error u8))", "\\01\\01"),
    ("(flags \"a\" \"b\" \"c\")", "\\07"),
];

/// Kinds of values that no row is of.
const NOT_TRIED: &[&str] = &["map", "resource", "stream", "future"];

fn kind(val: &Val) -> &'static str {
    match val {
        Val::Bool(_) => "bool",
        Val::S8(_) => "s8",
        Val::U8(_) => "u8",
        Val::S16(_) => "s16",
        Val::U16(_) => "u16",
        Val::S32(_) => "s32",
        Val::U32(_) => "u32",
        Val::S64(_) => "s64",
        Val::U64(_) => "u64",
        Val::Float32(_) => "f32",
        Val::Float64(_) => "f64",
        Val::Char(_) => "char",
        Val::String(_) => "string",
        Val::List(_) => "list",
        // Of a proposal; its pairs are in one list.
        Val::Map(_) => "map",
        Val::Record(_) => "record",
        Val::Tuple(_) => "tuple",
        Val::Variant(..) => "variant",
        Val::Enum(_) => "enum",
        Val::Option(_) => "option",
        Val::Result(_) => "result",
        Val::Flags(_) => "flags",
        // Those that are given to the host have a test of their own.
        Val::Resource(_) => "resource",
        // Ends are handles too: one is charged for as a resource is.
        Val::Stream(_) => "stream",
        Val::Future(_) => "future",
    }
}

/// Functions that give `list<list<T>>`: "one" with one element, "many" with very many, of which all inner lists lie at one address.
fn lists_of(ty: &str, element: &str, encoding: &str) -> String {
    let size = element.len() / 3;
    let inner = (30_000 / size) as u32;
    let bytes =
        |number: u32| number.to_le_bytes().iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let outer = format!("{}{}", bytes(65_536), bytes(inner)).repeat(200);
    let one = format!("{}{}", bytes(65_536), bytes(1));
    format!(
        r#"(component
            (core module $m (memory (export "memory") 2)
                (data (i32.const 0) "{outer}")
                (data (i32.const 65536) "{}")
                (data (i32.const 130000) "{}{}{one}{}{}")
                (func (export "many") (result i32) (i32.const 130000))
                (func (export "one") (result i32) (i32.const 130016)))
            (core instance $m (instantiate $m))
            (type $t' {ty}) (export $t "t" (type $t'))
            (func (export "many") (result (list (list $t)))
                (canon lift (core func $m "many") (memory (core memory $m "memory")) {encoding}))
            (func (export "one") (result (list (list $t)))
                (canon lift (core func $m "one") (memory (core memory $m "memory")) {encoding})))"#,
        element.repeat(inner as usize),
        bytes(0),
        bytes(200),
        bytes(130_008),
        bytes(1),
    )
}

fn is_over_the_limit(error: &innkeeper::Error) -> bool {
    matches!(error.kind(), ErrorKind::Limit { .. }) || error.to_string().contains("Limits::memory_bytes")
}

#[test]
fn whatever_is_in_a_guests_lists_is_charged_before_it_is_made() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut tried: Vec<&str> = NOT_TRIED.to_vec();
    let engine = engine();
    let encodings = ["string-encoding=utf8", "string-encoding=utf16", "string-encoding=latin1+utf16"];
    for (ty, element) in ELEMENTS {
        for encoding in encodings.iter().take(if *ty == "string" { 3 } else { 1 }) {
            let component = component(&engine, &lists_of(ty, element, encoding));
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
            let (one, many) = (
                instance.get_func(&mut store, "one").unwrap(),
                instance.get_func(&mut store, "many").unwrap(),
            );
            let mut result = [Val::Bool(false)];
            one.call(&mut store, &[], &mut result).unwrap();
            let [Val::List(outer)] = &result else { panic!("{result:?}") };
            let Some(Val::List(inner)) = outer.get(0) else { panic!("{outer:?}") };
            tried.push(kind(&inner.get(0).unwrap()));
            let (error, peak) = peak_of(|| many.call(&mut store, &[], &mut result).unwrap_err());
            assert!(is_over_the_limit(&error), "{ty} {encoding}: {error}");
            assert!(peak < LIMIT_BYTES + BESIDE_BYTES, "{ty} {encoding}: {peak} bytes were allocated");
            assert_eq!(store.budget().used_for(BudgetKind::Buffer), 0, "{ty}: released");
        }
    }
    tried.sort_unstable();
    let mut all: Vec<&str> = KINDS.to_vec();
    all.sort_unstable();
    tried.dedup();
    assert_eq!(tried, all, "a kind of value that no row is of");
}

/// All that [`kind`] gives.
const KINDS: &[&str] = &[
    "bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string", "list",
    "map", "record", "tuple", "variant", "enum", "option", "result", "flags", "resource", "stream", "future",
];

fn typed_is_refused<V: LiftOwned>(ty: &str, element: &str, encoding: &str) {
    let engine = engine();
    let component = component(&engine, &lists_of(ty, element, encoding));
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
    let many = instance.get_typed_func::<(), Vec<Vec<V>>>(&mut store, "many").unwrap();
    let (error, peak) = peak_of(|| many.call(&mut store, ()).map(drop).unwrap_err());
    assert!(is_over_the_limit(&error), "{ty}: {error}");
    assert!(peak < LIMIT_BYTES + BESIDE_BYTES, "{ty}: {peak} bytes were allocated");
}

#[test]
fn so_it_is_with_rust_types() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let string = "\\00\\80\\00\\00\\64\\00\\00\\00";
    for encoding in ["string-encoding=utf8", "string-encoding=utf16", "string-encoding=latin1+utf16"] {
        typed_is_refused::<String>("string", string, encoding);
        typed_is_refused::<Box<str>>("string", string, encoding);
        typed_is_refused::<Rc<str>>("string", string, encoding);
        typed_is_refused::<Arc<str>>("string", string, encoding);
    }
    typed_is_refused::<Box<u8>>("u8", "\\01", "");
    typed_is_refused::<Vec<u8>>("(list u8)", string, "");
    typed_is_refused::<Option<Box<u8>>>("(option u8)", "\\01\\01", "");
}

/// What one guest hands to another is there once, and strings are put into another encoding piece by piece.
#[test]
fn what_is_handed_over_is_held_once() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    const BYTES: usize = 8 << 20;
    let shapes = [
        ("(list u8)", "string-encoding=utf8"),
        ("string", "string-encoding=utf8"),
        ("string", "string-encoding=utf16"),
        ("string", "string-encoding=latin1+utf16"),
    ];
    let ways = [Adapters::Walked, Adapters::Generated];
    for ((ty, encoding), adapters) in shapes.into_iter().flat_map(|shape| ways.map(|way| (shape, way))) {
        let pages = 2 * BYTES / 65_536 + 2;
        let text = format!(
            r#"(component
                (component $b
                    (core module $m (memory (export "memory") {pages})
                        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                        (func (export "g") (param i32 i32)))
                    (core instance $m (instantiate $m))
                    (func (export "g") (param "l" {ty}) (canon lift (core func $m "g")
                        (memory (core memory $m "memory")) (realloc (core func $m "realloc")) {encoding})))
                (component $a
                    (import "g" (func $g (param "l" {ty})))
                    (core module $mm (memory (export "memory") {pages}))
                    (core instance $mm (instantiate $mm))
                    (core func $g (canon lower (func $g) (memory (core memory $mm "memory"))))
                    (core module $m (import "" "g" (func $g (param i32 i32)))
                        (func (export "f") (call $g (i32.const 0) (i32.const {BYTES}))))
                    (core instance $m (instantiate $m (with "" (instance (export "g" (func $g))))))
                    (func (export "f") (canon lift (core func $m "f"))))
                (instance $b (instantiate $b)) (instance $a (instantiate $a (with "g" (func $b "g"))))
                (export "f" (func $a "f")) (export "g" (func $b "g")))"#
        );
        let mut config = Config::default();
        config.tuning.adapters = adapters;
        let engine = innkeeper::engine(config);
        let component = component(&engine, &text);
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let f = instance.get_func(&mut store, "f").unwrap();
        f.call(&mut store, &[], &mut []).unwrap();
        let ((), peak) = peak_of(|| f.call(&mut store, &[], &mut []).unwrap());
        assert!(peak < BYTES + BYTES / 4, "{ty} {encoding}, from a guest: {peak} bytes were allocated");
        let g = instance.get_func(&mut store, "g").unwrap();
        let given = match ty {
            "string" => Val::String("a".repeat(BYTES)),
            _ => Val::List(List::U8(vec![0; BYTES])),
        };
        let given = [given];
        let ((), peak) = peak_of(|| g.call(&mut store, &given, &mut []).unwrap());
        assert!(peak < BYTES / 4, "{ty} {encoding}, from the host: {peak} bytes were allocated");
    }
}

/// Handles that the host is given and keeps are charged to whoever gave them, and their places go with them.
#[test]
fn handles_that_the_host_keeps_are_charged() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    const SINK: &str = r#"(component
        (import "r" (type $r (sub resource)))
        (import "make" (func $make (result (own $r))))
        (import "sink" (func $sink (param "x" (own $r))))
        (core func $make (canon lower (func $make)))
        (core func $sink (canon lower (func $sink)))
        (core module $m (import "" "make" (func $make (result i32))) (import "" "sink" (func $sink (param i32)))
            (func (export "f") (param i32)
                (loop (call $sink (call $make)) (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
                    (br_if 0 (local.get 0)))))
        (core instance $m (instantiate $m
            (with "" (instance (export "make" (func $make)) (export "sink" (func $sink))))))
        (func (export "f") (param "count" u32) (canon lift (core func $m "f"))))"#;
    let engine = engine();
    let ty = ResourceType::new("r");
    let mut linker: Linker<Vec<ResourceAny>> = Linker::new(&engine);
    let made = ty.clone();
    linker.root().resource("r", &ty, |_, _| Ok(()));
    linker.root().func_new("make", move |store, _, results| {
        results[0] = Val::Resource(ResourceAny::new(store, &made, 1)?);
        Ok(())
    });
    linker.root().func_new("sink", |mut store, params, _| {
        let Val::Resource(any) = params[0] else { panic!("{params:?}") };
        store.data_mut().push(any);
        Ok(())
    });
    let component = component(&engine, SINK);
    let mut store = Store::new(&engine, Vec::with_capacity(1 << 20)).unwrap();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let f = instance.get_func(&mut store, "f").unwrap();
    let at_first = store.budget().used_for(BudgetKind::Descriptor);
    let charged =
        |store: &Store<Vec<ResourceAny>>| store.budget().used_for(BudgetKind::Descriptor) - at_first;
    f.call(&mut store, &[Val::U32(10_000)], &mut []).unwrap();
    let with_many = charged(&store);
    assert!(with_many >= 10_000 * 16, "{with_many} bytes are charged");
    let held = std::mem::take(store.data_mut());
    let (first, last) = (held[0], held[held.len() - 1]);
    for any in held {
        any.drop(&mut store).unwrap();
    }
    let with_none = charged(&store);
    assert!(with_none < with_many / 10, "{with_none} bytes of {with_many} are charged still");
    // Their places are others' now, for which they do not pass.
    f.call(&mut store, &[Val::U32(10_000)], &mut []).unwrap();
    assert!(first.is_owned(&mut store).is_err() && last.is_owned(&mut store).is_err());
    store.data_mut().reserve(1 << 20);
    let (error, peak) = peak_of(|| f.call(&mut store, &[Val::U32(1 << 20)], &mut []).unwrap_err());
    assert!(is_over_the_limit(&error), "{error}");
    assert!(peak < LIMIT_BYTES + BESIDE_BYTES, "{peak} bytes were allocated");
}

/// A component of few bytes that stands for much, by the name of its shape.
type Shape = (&'static str, fn() -> String);

fn each(count: usize, text: impl Fn(usize) -> String) -> String {
    (0..count).map(text).collect()
}

/// A module that exports so many functions, `0` and so on, and one that imports as many.
fn exporter_and_importer(exports: usize, imports: usize) -> String {
    format!(
        r#"(core module $e (func $f) {})
           (core module $i {})
           (core instance $e (instantiate $e))"#,
        each(exports, |i| format!("(export \"{i}\" (func $f))")),
        each(imports, |i| format!("(import \"\" \"{i}\" (func))")),
    )
}

/// Types of instances in instances, each with two of the one before, and so many resource types in the innermost.
fn nested_instances(levels: usize, name_bytes: usize, innermost: &str) -> String {
    let (a, b) = ("a".repeat(name_bytes), "b".repeat(name_bytes));
    let nested = each(levels, |i| {
        format!(
            "(type $t{} (instance (alias outer 1 $t{i} (type $t)) (export \"{a}\" (instance (type $t)))
                (export \"{b}\" (instance (type $t)))))",
            i + 1
        )
    });
    format!("(type $t0 (instance {innermost})) {nested} (import \"x\" (instance $i0 (type $t{levels})))")
}

const SHAPES: &[Shape] = &[
    ("a module with many imports, instantiated often", || {
        let instances = "(core instance (instantiate $i (with \"\" (instance $e))))".repeat(300);
        format!("(component {} {instances})", exporter_and_importer(20_000, 20_000))
    }),
    ("many exports that are put together and imported by name", || {
        format!(
            r#"(component {} (alias core export $e "0" (core func $f))
                (core instance (instantiate $i (with "" (instance {})))))"#,
            exporter_and_importer(1, 40_000),
            each(40_000, |i| format!("(export \"{i}\" (func $f))")),
        )
    }),
    ("instances in instances, with long names", || {
        let resources = each(32, |i| format!("(export \"r{i}\" (type (sub resource)))"));
        format!("(component {})", nested_instances(9, 10_000, &resources))
    }),
    ("types of a component that is instantiated often", || {
        let records = each(60, |i| {
            format!("(type $r{i} (record {}))", each(300, |j| format!("(field \"f{i}-{j}\" bool)")))
        });
        format!(
            r#"(component (component $c
                (core module $m (memory (export "m") 1) (func (export "f") (param i32))
                    (func (export "r") (param i32 i32 i32 i32) (result i32) unreachable))
                (core instance $m (instantiate $m))
                {records} (type $all (tuple {}))
                (type $f (func (param "p" $all)))
                (func (type $f) (canon lift (core func $m "f") (memory (core memory $m "m")) (realloc (core func $m "r")))))
                {})"#,
            each(60, |i| format!("$r{i} ")),
            "(instance (instantiate $c))".repeat(3000),
        )
    }),
    ("components that see many modules around them", || {
        format!(
            "(component {} {})",
            "(core module)".repeat(490),
            "(component (alias outer 1 0 (core module)))".repeat(490),
        )
    }),
    ("handles of a component that is instantiated often", || {
        format!(
            r#"(component (component $c (type $r (resource (rep i32))) {}) {})"#,
            "(core func (canon resource.drop $r))".repeat(1000),
            "(instance (instantiate $c))".repeat(1000),
        )
    }),
    ("instances that are exported in instances", || {
        let exported = each(17, |i| {
            if i == 0 {
                "(instance $i0)".to_owned()
            } else {
                let before = i - 1;
                format!(
                    "(instance $i{i} (export \"a\" (instance $i{before})) (export \"b\" (instance $i{before})))"
                )
            }
        });
        format!("(component {exported} (export \"x\" (instance $i16)))")
    }),
];

/// Whatever a component stands for, decoding and planning it is soon over, with no more memory than the limit says.
#[test]
fn planning_a_component_is_bounded() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    const PLAN_LIMIT_BYTES: usize = 192 << 20;
    let mut config = Config::default();
    config.limits.memory_bytes = Some(PLAN_LIMIT_BYTES as u64);
    let engine = innkeeper::engine(config);
    for (name, shape) in SHAPES {
        let bytes = innkeeper::to_binary(shape().as_bytes()).unwrap().into_owned();
        let length = bytes.len();
        let begun = std::time::Instant::now();
        let (made, peak) = peak_of(|| Component::new(&engine, bytes).map(drop));
        let took = begun.elapsed();
        println!(
            "{name}: {length} bytes, {peak} at most, {took:?}, {:?}",
            made.as_ref().map_err(ToString::to_string)
        );
        if let Err(error) = made {
            assert!(matches!(error.kind(), ErrorKind::Limit { .. }), "{name}: {error}");
        }
        assert!(peak < PLAN_LIMIT_BYTES + (8 << 20), "{name}, {length} bytes: {peak} bytes were allocated");
        assert!(took.as_secs() < 3, "{name}, {length} bytes: it took {took:?}");
    }
}

/// What is said of imports that nobody provides is bounded, and so is what finding it out takes.
#[test]
fn what_is_missing_is_told_in_bounds() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let name = "a".repeat(2000);
    let functions = each(2000, |i| format!("(export \"f{i}\" (func))"));
    let text = format!(
        "(component {} {} {})",
        nested_instances(5, 2000, &functions),
        each(5, |i| format!("(alias export $i{i} \"{name}\" (instance $i{}))", i + 1)),
        each(2000, |i| format!("(alias export $i5 \"f{i}\" (func))")),
    );
    let engine = innkeeper::engine(Config::default());
    let component = component(&engine, &text);
    let mut linker: Linker<()> = Linker::new(&engine);
    let (error, peak) = peak_of(|| linker.instantiate_pre(&component).map(drop).unwrap_err().to_string());
    assert!(
        error.contains("2000 imports that nobody provides") && error.ends_with("and 1900 more"),
        "{error}"
    );
    assert!(error.len() < 1 << 20, "{} bytes are said", error.len());
    assert!(peak < 12 << 20, "{peak} bytes were allocated");
    let (defined, peak) = peak_of(|| linker.define_unknown_imports_as_traps(&component));
    defined.unwrap();
    assert!(peak < 4 << 20, "{peak} bytes were allocated");
}

/// What an instance takes is charged to its store.
#[test]
fn instances_are_charged_with_the_functions_that_are_made_for_them() {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let functions = [
        "(core func (canon resource.drop $r))",
        "(core func (canon resource.new $r))",
        "(core func (canon lower (func $f)))",
        "(core func (canon lower (func $g) (memory (core memory $m \"m\"))))",
        "(func (canon lift (core func $m \"f\")))",
        "(type (resource (rep i32)))",
    ];
    for function in functions {
        let text = format!(
            r#"(component (import "f" (func $f)) (import "g" (func $g (param "s" string)))
                (core module $m (memory (export "m") 1) (func (export "f")))
                (core instance $m (instantiate $m))
                (type $r (resource (rep i32))) {})"#,
            function.repeat(10_000),
        );
        let engine = innkeeper::engine(Config::default());
        let component = component(&engine, &text);
        let mut linker: Linker<()> = Linker::new(&engine);
        linker.root().func_new("f", |_, _, _| Ok(())).func_new("g", |_, _, _| Ok(()));
        let pre = linker.instantiate_pre(&component).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        pre.instantiate(&mut store).unwrap();
        let charged = store.budget().used_for(BudgetKind::Instance);
        let ((), peak) = peak_of(|| pre.instantiate(&mut store).map(drop).unwrap());
        let charged = store.budget().used_for(BudgetKind::Instance) - charged;
        println!("{function}: {peak} bytes, {charged} charged");
        assert!(
            charged as usize + (1 << 16) > peak,
            "{function}: {peak} bytes, of which {charged} are charged"
        );
    }
}

/// Calls, each before an instance that imports it, of a function whose parameter has so many parts; `differ`: no two of the calls are the same.
fn many_calls(parts: usize, calls: usize, differ: bool) -> Vec<u8> {
    let types = format!(
        "(type $o (option string)) (type $t (tuple {})) (type $f (func (param \"a\" (list $t))))",
        "$o ".repeat(parts)
    );
    let reallocs: String = (0..calls).map(|i| format!("(export \"r{i}\" (func $r))")).collect();
    let lowered: String = (0..calls)
        .map(|i| {
            let realloc = if differ { i } else { 0 };
            format!(
                r#"(core func $l{i} (canon lower (func $f) (memory (core memory $m "m")) (realloc (core func $m "r{realloc}"))))
                (core instance (instantiate $use (with "" (instance (export "f" (func $l{i}))))))"#
            )
        })
        .collect();
    let text = format!(
        r#"(component
        (component $A {types}
            (core module $m (memory (export "m") 1) (func (export "f") (param i32 i32))
                (func (export "r") (param i32 i32 i32 i32) (result i32) i32.const 8))
            (core instance $m (instantiate $m))
            (func (export "f") (type $f) (canon lift (core func $m "f") (memory (core memory $m "m")) (realloc (core func $m "r")))))
        (instance $a (instantiate $A))
        (component $B {types} (import "f" (func $f (type $f)))
            (core module $m (memory (export "m") 1)
                (func $r (param i32 i32 i32 i32) (result i32) i32.const 8) {reallocs})
            (core module $use (import "" "f" (func (param i32 i32))))
            (core instance $m (instantiate $m))
            {lowered})
        (instance (instantiate $B (with "f" (func $a "f")))))"#
    );
    innkeeper::to_binary(text.as_bytes()).unwrap().to_vec()
}

/// What a component of a few bytes has generated stays in proportion to it: code that is the same is there once, and beyond what a component of its size may have, calls are walked.
#[test]
fn generated_code_is_in_proportion_to_the_component() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Compiling at once takes memory for the longest function meanwhile.
    let rows =
        [(Tiers::Interpreter, false, 16), (Tiers::Interpreter, true, 16), (Tiers::Compiled, false, 96)];
    for (tiers, differ, most_mib) in rows {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let bytes = many_calls(250, 300, differ);
        let size = bytes.len();
        let component = Component::new(&engine, bytes).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let (instance, peak) = peak_of(|| Linker::new(&engine).instantiate(&mut store, &component).unwrap());
        assert!(peak < most_mib << 20, "{tiers:?}, {differ}: {peak} bytes for a component of {size}");
        let walked = instance.walked_calls(&mut store);
        assert_eq!(!walked.is_empty(), differ, "{tiers:?}: {} are walked", walked.len());
    }
}

/// What is generated is charged to the component's budget; where that has no room, calls are walked.
#[test]
fn generated_code_is_charged() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    for (limit, are_walked) in [(32 << 20, false), (2 << 20, true)] {
        let mut config = Config::default();
        config.limits.memory_bytes = Some(limit);
        let engine = innkeeper::engine(config);
        let component = Component::new(&engine, many_calls(280, 3, true)).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &component).unwrap();
        let walked = instance.walked_calls(&mut store);
        assert_eq!(!walked.is_empty(), are_walked, "{limit}: {} are walked", walked.len());
    }
}
