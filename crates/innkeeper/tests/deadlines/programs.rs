//! Programs in which an instruction takes as long as it can: over and over, each time on the largest operands that the limits allow. Where these alone take
//! long there is no loop, whose back-edge would be polled.

use std::time::Duration;

use innkeeper::{Cache, Config, Engine, Instance, Linker, MemoryLayout, Module, Store, TierUp, Tiers};

use super::measure::ends_at_the_deadline;

/// An instruction, and what a program does that has it.
pub(crate) struct Program {
    name: &'static str,
    /// What is done once, before the time begins.
    before: &'static str,
    /// What is done over and over.
    again: &'static str,
    /// How often that stands in the code; 0: once, in an endless loop.
    times: usize,
}

const fn program(name: &'static str, before: &'static str, again: &'static str, times: usize) -> Program {
    Program { name, before, again, times }
}

/// What all programs have: 4 GiB of memory, tables as large as they may be, segments, types, and functions of the host.
const MODULE: &str = r#"
    (import "host" "begin" (func $begin))
    (import "host" "slow" (func $slow))
    (memory $m (export "memory") 65536)
    (memory $small 1)
    (memory $wide i64 1)
    (memory $shared 1 1 shared)
    (table $t 10000000 funcref)
    (table $u 10000000 funcref)
    (table $grows 1 funcref)
    (type $bytes (array (mut i8)))
    (type $words (array (mut i64)))
    (type $funcs (array (mut funcref)))
    (type $pair (struct (field (mut i64)) (field (mut i64))))
    (tag $tag (param i64))
    (global $a (mut (ref null $bytes)) (ref.null $bytes))
    (global $b (mut (ref null $bytes)) (ref.null $bytes))
    (global $f (mut (ref null $funcs)) (ref.null $funcs))
    (elem declare func $nothing)
    (func $nothing)"#;

/// Half the greatest array of bytes that fits beside another one.
const ARRAYS: &str = "(global.set $a (array.new_default $bytes (i32.const 1000000000)))
    (global.set $b (array.new_default $bytes (i32.const 1000000000)))";
const FUNCS: &str = "(global.set $f (array.new_default $funcs (i32.const 1000000)))";

pub(crate) const PROGRAMS: &[Program] = &[
    program("call", "", "(call $slow)", 200),
    program("memory_fill", "", "(memory.fill $m (i32.const 0) (i32.const 7) (i32.const 0xfffffff0))", 4),
    program("memory_fill", "", "(memory.fill $m (i32.const 0) (i32.const 7) (i32.const 4096))", 0),
    program("memory_fill", "", "(memory.fill $m (i32.const 0) (i32.const 7) (i32.const 1048576))", 2000),
    program("memory_copy", "", "(memory.copy $m $m (i32.const 1) (i32.const 0) (i32.const 0xfffffff0))", 4),
    program(
        "memory_copy",
        "",
        "(memory.copy $m $m (i32.const 0) (i32.const 0x7fffffff) (i32.const 0x7fffffff))",
        8,
    ),
    program(
        "memory_init",
        "",
        "(memory.init $m $data (i32.const 0) (i32.const 0) (i32.const 1048576))",
        1000,
    ),
    program("memory_grow", "", "(drop (memory.grow $wide (i64.const 16)))", 0),
    program("table_fill", "", "(table.fill $t (i32.const 0) (ref.func $nothing) (i32.const 10000000))", 20),
    program("table_copy", "", "(table.copy $t $u (i32.const 0) (i32.const 0) (i32.const 10000000))", 20),
    program("table_copy", "", "(table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 9999999))", 20),
    program("table_init", "", "(table.init $t $elem (i32.const 0) (i32.const 0) (i32.const 200000))", 1000),
    program("table_grow", "", "(drop (table.grow $grows (ref.func $nothing) (i32.const 9999999)))", 1),
    program("table_grow", "", "(drop (table.grow $grows (ref.func $nothing) (i32.const 1000)))", 0),
    program("struct_new", "", "(drop (struct.new $pair (i64.const 1) (i64.const 2)))", 0),
    program("struct_new_default", "", "(drop (struct.new_default $pair))", 0),
    program("array_new", "", "(drop (array.new $bytes (i32.const 1) (i32.const 2000000000)))", 4),
    program("array_new", "", "(drop (array.new $words (i64.const 1) (i32.const 200000000)))", 4),
    program("array_new_default", "", "(drop (array.new_default $bytes (i32.const 30000)))", 0),
    program("array_new_default", "", "(drop (array.new_default $funcs (i32.const 200000000)))", 0),
    program(
        "array_new_fixed",
        "",
        "(drop (array.new_fixed $words 4 (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)))",
        0,
    ),
    program(
        "array_new_data",
        "",
        "(drop (array.new_data $bytes $data (i32.const 0) (i32.const 1048576)))",
        1000,
    ),
    program(
        "array_new_elem",
        "",
        "(drop (array.new_elem $funcs $elem (i32.const 0) (i32.const 200000)))",
        1000,
    ),
    program(
        "array_fill",
        ARRAYS,
        "(array.fill $bytes (global.get $a) (i32.const 0) (i32.const 1) (i32.const 1000000000))",
        4,
    ),
    program(
        "array_copy",
        ARRAYS,
        "(array.copy $bytes $bytes (global.get $a) (i32.const 0) (global.get $b) (i32.const 0) (i32.const 1000000000))",
        4,
    ),
    program(
        "array_init_data",
        ARRAYS,
        "(array.init_data $bytes $data (global.get $a) (i32.const 0) (i32.const 0) (i32.const 1048576))",
        1000,
    ),
    program(
        "array_init_elem",
        FUNCS,
        "(array.init_elem $funcs $elem (global.get $f) (i32.const 0) (i32.const 0) (i32.const 200000))",
        1000,
    ),
    program(
        "throw",
        "",
        "(block $caught (result i64) (try_table (catch $tag $caught) (throw $tag (i64.const 1))) (unreachable)) (drop)",
        0,
    ),
    program(
        "memory_atomic_wait32",
        "",
        "(drop (memory.atomic.wait32 $shared (i32.const 0) (i32.const 0) (i64.const -1)))",
        1,
    ),
    program(
        "memory_atomic_wait64",
        "",
        "(drop (memory.atomic.wait64 $shared (i32.const 0) (i64.const 0) (i64.const 1000000)))",
        200,
    ),
    program(
        "memory_atomic_notify",
        "(call $slow)",
        "(drop (memory.atomic.notify $shared (i32.const 0) (i32.const -1))) (call $slow)",
        200,
    ),
];

/// What is tried, by the visitor's name.
pub(crate) fn tried() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().map(|program| program.name)
}

impl Program {
    fn text(&self) -> String {
        let Program { before, again, times, .. } = self;
        let data = if self.again.contains("$data") { "x".repeat(1 << 20) } else { String::new() };
        let elem = if self.again.contains("$elem") { "$nothing ".repeat(200_000) } else { String::new() };
        let again = match times {
            0 => format!("(loop $again {again} (br $again))"),
            times => again.repeat(*times),
        };
        format!(
            "(module {MODULE} (data $data \"{data}\") (elem $elem func {elem})
                (func (export \"run\") {before} (call $begin) {again}))"
        )
    }

    /// Tries it, in an engine.
    fn try_in(&self, engine: &Engine, tier: &str, binary: &[u8]) {
        let what = format!("{tier}: {} * {}", self.times, self.again.chars().take(100).collect::<String>());
        let module = Module::new(engine, binary.to_vec()).unwrap();
        ends_at_the_deadline(&what, |watcher| {
            let mut store = Store::new(engine, Some(watcher)).unwrap();
            let handle = store.interrupt_handle();
            let mut linker = Linker::new(engine);
            linker.func_wrap("host", "slow", || std::thread::sleep(Duration::from_millis(1))).unwrap();
            linker
                .func_wrap("host", "begin", move |mut caller: innkeeper::Caller<'_, Option<_>>| {
                    let handle = handle.clone();
                    let watcher: Option<super::measure::Watcher> = caller.data_mut().take();
                    if let Some(watcher) = watcher {
                        watcher.begin(move || handle.exceed_deadline());
                    }
                })
                .unwrap();
            let instance: Instance = linker.instantiate(&mut store, &module).unwrap();
            let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
            (run.call(&mut store, ()), store)
        });
    }
}

fn config() -> Config {
    let mut config = Config::default();
    config.limits.memory_bytes = Some(64 << 30);
    config
}

fn try_all(tier: &str, engine: impl Fn(&[u8]) -> Engine) {
    for program in PROGRAMS {
        let binary = innkeeper::to_binary(program.text().as_bytes()).unwrap().into_owned();
        program.try_in(&engine(&binary), tier, &binary);
    }
}

#[test]
fn interpreted_instructions_end_at_the_deadline() {
    try_all("interpreted", |_| innkeeper::engine_with(config(), Tiers::Interpreter));
}

#[test]
fn compiled_instructions_end_at_the_deadline() {
    try_all("compiled", |_| innkeeper::engine_with(config(), Tiers::Compiled));
}

#[test]
fn instructions_of_functions_that_are_being_compiled_end_at_the_deadline() {
    try_all("tiering", |_| {
        let mut config = config();
        config.tuning.tier_up = TierUp::eager();
        innkeeper::engine_with(config, Tiers::Auto)
    });
}

#[test]
fn instructions_end_at_the_deadline_where_memories_move() {
    try_all("exact", |_| {
        let mut config = config();
        config.tuning.memory_layout = MemoryLayout::Exact;
        innkeeper::engine_with(config, Tiers::Compiled)
    });
}

#[test]
fn instructions_of_cached_code_end_at_the_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let engine = || {
        let seal = innkeeper::CacheSeal::in_directory(&dir.path().join("seal")).unwrap();
        let cache = Cache::in_directory(&dir.path().join("code"), seal).unwrap();
        innkeeper::engine_cached(config(), Tiers::Compiled, cache)
    };
    try_all("cached", |binary| {
        drop(Module::new(&engine(), binary.to_vec()).unwrap());
        engine()
    });
}
