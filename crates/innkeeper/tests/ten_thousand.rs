//! Ten thousand instances at once: what they take of the process's addresses and mappings, of which the system has few. A program of its own, since it looks at the whole process.

use innkeeper::{Config, Engine, Error, InstancePre, Linker, MemoryLayout, Module, Store};

const GUEST: &str = r#"(module (memory 1) (data (i32.const 0) "\2a")
    (func (export "answer") (param i32) (result i32)
        (i32.store (i32.const 4) (local.get 0))
        (i32.add (i32.load8_u (i32.const 0)) (i32.load (i32.const 4)))))"#;

const COUNT: u64 = 10_000;

/// Mappings and bytes of address space of this process.
fn taken() -> [u64; 2] {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count() as u64;
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    [maps, pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096]
}

fn prepared(layout: MemoryLayout) -> InstancePre<()> {
    let mut config = Config::default();
    config.tuning.memory_layout = layout;
    // What is kept for later would be counted as well.
    config.pooling.idle_memories = 0;
    config.pooling.idle_stores = 0;
    let engine: Engine = innkeeper::engine(config);
    Linker::new(&engine).instantiate_pre(&Module::new(&engine, GUEST).unwrap()).unwrap()
}

fn used(pre: &InstancePre<()>) -> Result<Store<()>, Error> {
    let mut store = Store::new(pre.module().engine(), ())?;
    let instance = pre.instantiate(&mut store)?;
    let answer = instance.get_typed_func::<i32, i32>(&store, "answer")?;
    assert_eq!(answer.call(&mut store, 1)?, 43);
    Ok(store)
}

/// What each of them takes.
fn each(layout: MemoryLayout) -> [f64; 2] {
    let pre = prepared(layout);
    drop(used(&pre));
    let before = taken();
    let guests: Vec<_> = (0..COUNT).map(|_| used(&pre).unwrap()).collect();
    let after = taken();
    drop(guests);
    [0, 1].map(|i| (after[i] - before[i]) as f64 / COUNT as f64)
}

/// One after the other, as each has nearly all that there is.
#[test]
fn ten_thousand_instances_take_few_mappings_and_addresses() {
    let [mappings, bytes] = each(MemoryLayout::Auto);
    // Three of the memory (its image, the rest of its first page, and what is reserved), two of the store's record. The system allows 65,530.
    assert!(mappings <= 5.0 && bytes <= 8.1 * 1024.0 * 1024.0 * 1024.0, "{mappings}, {bytes}");
    let [mappings, bytes] = each(MemoryLayout::Exact);
    assert!(mappings <= 4.0 && bytes <= 40.0 * 1024.0 * 1024.0, "{mappings}, {bytes}");
    // One more than the system allows is an error that says which number to raise, and hurts nobody.
    let pre = prepared(MemoryLayout::Auto);
    let mut guests = Vec::new();
    let error = loop {
        match used(&pre) {
            Ok(store) => guests.push(store),
            Err(error) => break error,
        }
        assert!(guests.len() < 40_000, "the system allows more than this test does");
    };
    let said = error.to_string();
    assert!(
        said.contains("vm.max_map_count") || said.contains("of address space"),
        "{}: {said}",
        guests.len()
    );
    guests.truncate(guests.len() / 2);
    used(&pre).unwrap();
}
