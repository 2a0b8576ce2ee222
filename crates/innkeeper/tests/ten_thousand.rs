//! Ten thousand instances at once: what they take of the process's addresses and mappings, of which the system has few. A program of its own, since it looks at the whole process.

use innkeeper::{Config, Engine, Linker, MemoryLayout, Module, Store};

const GUEST: &str = r#"(module (memory 1) (data (i32.const 0) "\2a")
    (func (export "answer") (param i32) (result i32)
        (i32.store (i32.const 4) (local.get 0))
        (i32.add (i32.load8_u (i32.const 0)) (i32.load (i32.const 4)))))"#;

const COUNT: u64 = 20_000;

/// Mappings and bytes of address space of this process.
fn taken() -> (u64, u64) {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap().lines().count() as u64;
    let pages: u64 =
        std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').next().unwrap().parse().unwrap();
    (maps, pages * 4096)
}

fn each(layout: Option<MemoryLayout>) -> (f64, u64) {
    let mut config = Config::default();
    if let Some(layout) = layout {
        config.tuning.memory_layout = layout;
    }
    let engine = Engine::new(config).unwrap();
    let pre = Linker::new(&engine).instantiate_pre(&Module::new(&engine, GUEST).unwrap()).unwrap();
    let before = taken();
    let mut guests = Vec::new();
    for number in 0..COUNT {
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = match pre.instantiate(&mut store) {
            Ok(i) => i,
            Err(e) => {
                println!("{number}: {e}");
                break;
            }
        };
        let answer = instance.get_typed_func::<i32, i32>(&store, "answer").unwrap();
        assert_eq!(answer.call(&mut store, 1).unwrap(), 43);
        guests.push(store);
    }
    let after = taken();
    if std::env::var("DUMP").is_ok() {
        println!(
            "{}",
            std::fs::read_to_string("/proc/self/maps")
                .unwrap()
                .lines()
                .skip(20000)
                .take(24)
                .collect::<Vec<_>>()
                .join("\n")
        );
    }
    ((after.0 - before.0) as f64 / COUNT as f64, (after.1 - before.1) / COUNT)
}

#[test]
fn ten_thousand_instances_take_few_mappings_and_addresses() {
    println!("{:?}", each(None));
    println!("{:?}", each(Some(MemoryLayout::Exact)));
}
