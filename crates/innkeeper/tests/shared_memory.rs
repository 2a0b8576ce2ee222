//! One memory in several stores, as an embedder makes and uses it.

use innkeeper::{
    Config, Engine, ErrorKind, IndexType, Linker, Memory, MemoryType, Module, SharedMemory, Sharing,
    SizeRange, Store,
};

fn shared(max: u64) -> MemoryType {
    let pages = SizeRange { min: 1, max: Some(max) };
    MemoryType { sharing: Sharing::Shared, ..MemoryType::new(pages) }
}

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

const COUNTER: &str = r#"(module
    (import "host" "memory" (memory 1 4 shared))
    (func (export "count") (param $n i32)
        (loop $again
            (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;

#[test]
fn threads_count_together_in_stores_of_their_own() {
    let engine = innkeeper::engine(Config::default());
    let memory = SharedMemory::new(&engine, shared(4)).unwrap();
    let module = module(&engine, COUNTER);
    let mut linker = Linker::new(&engine);
    linker.define_shared("host", "memory", &memory).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut store = Store::new(&engine, ()).unwrap();
                let instance = linker.instantiate(&mut store, &module).unwrap();
                let count = instance.get_typed_func::<(i32,), ()>(&mut store, "count").unwrap();
                count.call(&mut store, (10_000,)).unwrap();
            });
        }
    });
    let mut count = [0; 4];
    memory.read(0, &mut count).unwrap();
    assert_eq!(u32::from_le_bytes(count), 40_000);
}

#[test]
fn a_memory_outlives_the_store_that_made_it_and_is_one_memory_everywhere() {
    let engine = innkeeper::engine(Config::default());
    let text = r#"(module (memory (export "memory") 1 4 shared) (data (i32.const 8) "kept"))"#;
    let memory = {
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &module(&engine, text)).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert!(matches!(memory.data(&store).unwrap_err().kind(), ErrorKind::Usage(_)));
        memory.write(&mut store, 12, b"!").unwrap();
        memory.shared(&store).unwrap().unwrap()
    };
    let mut bytes = [0; 5];
    memory.read(8, &mut bytes).unwrap();
    assert_eq!(&bytes, b"kept!");
    assert_eq!(memory.grow(2).unwrap(), 1);
    assert!(memory.grow(2).is_err());
    assert!(memory.read(3 << 16, &mut bytes).is_err() && memory.write(u64::MAX, &bytes).is_err());
    let mut store = Store::new(&engine, ()).unwrap();
    let (a, b) = (
        Memory::from_shared(&mut store, &memory).unwrap(),
        Memory::from_shared(&mut store, &memory).unwrap(),
    );
    assert_eq!(a, b);
    assert_eq!(a.ty(&store).unwrap().pages.min, 3);
    assert!(SharedMemory::same(&a.shared(&store).unwrap().unwrap(), &memory));
}

#[test]
fn what_does_not_fit_is_refused() {
    let engine = innkeeper::engine(Config::default());
    let unshared = MemoryType::new(SizeRange { min: 1, max: Some(1) });
    assert!(SharedMemory::new(&engine, unshared).is_err());
    let endless = MemoryType { pages: SizeRange { min: 1, max: None }, ..shared(1) };
    assert!(SharedMemory::new(&engine, endless).is_err());
    let memory = SharedMemory::new(&engine, shared(4)).unwrap();
    let other = innkeeper::engine(Config::default());
    assert!(Memory::from_shared(Store::new(&other, ()).unwrap(), &memory).is_err());
    let mut linker: Linker<()> = Linker::new(&engine);
    linker.define_shared("host", "memory", &memory).unwrap();
    for (wanted, fits) in [
        ("1 4 shared", true),
        ("1 5 shared", true),
        ("1 3 shared", false),
        ("2 4 shared", false),
        ("1 4", false),
        ("i64 1 4 shared", false),
        ("1 4 shared (pagesize 1)", false),
    ] {
        let text = format!(r#"(module (import "host" "memory" (memory {wanted})))"#);
        let mut store = Store::new(&engine, ()).unwrap();
        let linked = linker.instantiate(&mut store, &module(&engine, &text));
        assert_eq!(linked.is_ok(), fits, "{wanted}");
    }
    assert_eq!(memory.ty().index, IndexType::I32);
}
