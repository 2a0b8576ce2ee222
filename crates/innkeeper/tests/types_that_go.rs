//! An engine that loads hostile modules for a year stays usable: their types go with them, and no identity is ever another type's.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use innkeeper::{Config, Engine, ExternType, HeapType, Module, RefType, Store, Tag, Tiers, TypeId, ValType};

/// A module with a structure that no other one has, a function type that refers to it, and a function of that type.
fn module(number: u32) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    let mut types = vec![2, 0x5f, 32];
    // One field for each bit: an `i32` or an `i64`.
    types.extend((0..32).flat_map(|bit| [0x7f - (number >> bit & 1) as u8, 0]));
    types.extend([0x60, 1, 0x63, 0, 0]);
    let mut section = |id: u8, contents: &[u8]| {
        module.extend([id, contents.len() as u8]);
        module.extend(contents);
    };
    section(1, &types);
    section(3, &[1, 1]);
    section(7, &[1, 1, b'f', 0, 0]);
    section(10, &[1, 2, 0, 0x0b]);
    module
}

/// The type of the parameter of the function that a module exports.
fn type_of(module: &Module) -> TypeId {
    match module.exports().next().map(|export| export.ty) {
        Some(ExternType::Func(ty)) => match ty.params() {
            [ValType::Ref(RefType { heap: HeapType::Concrete(id), .. })] => *id,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// What this process holds beside pages of files: how many of those the system maps differs from machine to machine.
fn held_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: Vec<usize> = statm.split(' ').map_while(|pages| pages.parse().ok()).collect();
    (pages[1] - pages[2]) * 4096
}

/// Loads modules, and says how long it took at best for a hundred of them: others may be at work on the machine.
fn load(engine: &Engine, numbers: std::ops::Range<u32>, seen: &mut HashSet<TypeId>) -> Duration {
    let mut best = Duration::MAX;
    for start in numbers.step_by(100) {
        let begin = Instant::now();
        for number in start..start + 100 {
            let module = Module::new(engine, module(number)).unwrap();
            assert!(seen.insert(type_of(&module)), "module {number} has the identity of another type");
        }
        best = best.min(begin.elapsed());
    }
    best
}

#[test]
fn an_engine_that_loads_hostile_modules_without_end_stays_as_it_was() {
    const MODULES: u32 = 100_000;
    let engine = innkeeper::engine_with(Config::default(), Tiers::Interpreter);
    let mut seen = HashSet::with_capacity(MODULES as usize);
    let first = load(&engine, 0..MODULES / 10, &mut seen);
    let before = held_bytes();
    let last = load(&engine, MODULES / 10..MODULES, &mut seen);
    let grown = held_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    assert!(last < 3 * first, "100 modules took {first:?} at first, and {last:?} later");
}

/// What a store has been told of stays as long as the store, and what nobody holds cannot be named any more.
#[test]
fn a_store_holds_the_types_that_it_names() {
    let engine = innkeeper::engine(Config::default());
    let first = Module::new(&engine, module(1)).unwrap();
    let (id, ty) = (type_of(&first), first.exports().next().unwrap().ty);
    let ExternType::Func(ty) = ty else { panic!("{ty:?}") };
    let mut store = Store::new(&engine, ()).unwrap();
    Tag::new(&mut store, &ty).unwrap();
    drop(first);
    assert_eq!(type_of(&Module::new(&engine, module(1)).unwrap()), id, "held by the store");
    drop(store);
    let mut store = Store::new(&engine, ()).unwrap();
    let error = Tag::new(&mut store, &ty).unwrap_err().to_string();
    assert!(error.contains("the engine has no type"), "{error}");
    assert_ne!(type_of(&Module::new(&engine, module(1)).unwrap()), id);
}
