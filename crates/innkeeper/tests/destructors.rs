//! Destructors of the embedder's that panic: everything else that a store or linker holds of his is dropped all the same, and the panic goes on when that is done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use innkeeper::{
    Caller, Config, Engine, ExternRef, Func, Instance, InstancePre, Linker, Module, ResourceLimiter, Store,
};

/// Counts its end, and panics at one of them.
struct Bomb {
    dropped: Arc<AtomicUsize>,
    panics: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if self.panics {
            panic!("a destructor of the embedder's");
        }
    }
}

impl ResourceLimiter for Bomb {
    fn memory_growing(&mut self, _: u64, _: u64, _: Option<u64>) -> bool {
        true
    }
    fn table_growing(&mut self, _: u64, _: u64, _: Option<u64>) -> bool {
        true
    }
}

/// What of the embedder's a store holds.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Held {
    Object,
    HostFunc,
    LinkedFunc,
    Limiter,
    Data,
}

const ALL: [Held; 5] = [Held::Object, Held::HostFunc, Held::LinkedFunc, Held::Limiter, Held::Data];

/// Of each kind but the last two there are so many.
const EACH: usize = 3;

const GUEST: &str = r#"(module
    (import "host" "f0" (func)) (import "host" "f1" (func)) (import "host" "f2" (func))
    (memory (export "memory") 1) (data (i32.const 0) "data"))"#;

fn module(engine: &Engine) -> Module {
    Module::new(engine, innkeeper::to_binary(GUEST.as_bytes()).unwrap().as_ref()).unwrap()
}

/// Has a function own a bomb.
fn drop_never(_: &Bomb) {}

/// A store that holds things of each kind, where those of `bombs` panic, and what was linked into it.
fn store(engine: &Engine, bombs: &[Held], dropped: &Arc<AtomicUsize>) -> (Store<Bomb>, InstancePre<Bomb>) {
    let bomb = |kind| Bomb { dropped: Arc::clone(dropped), panics: bombs.contains(&kind) };
    let limiter = bomb(Held::Limiter);
    let mut store = Store::builder(engine, bomb(Held::Data)).limiter(limiter).build().unwrap();
    let mut linker = Linker::new(engine);
    for i in 0..EACH {
        let object = bomb(Held::Object);
        ExternRef::new(&mut store, object).unwrap();
        let held = bomb(Held::HostFunc);
        Func::wrap(&mut store, move |_: Caller<'_, Bomb>| drop_never(&held)).unwrap();
        let held = bomb(Held::LinkedFunc);
        linker.func_wrap("host", &format!("f{i}"), move |_: Caller<'_, Bomb>| drop_never(&held)).unwrap();
    }
    let pre = linker.instantiate_pre(&module(engine)).unwrap();
    pre.instantiate(&mut store).unwrap();
    (store, pre)
}

/// What dropping one of the embedder's things panics with.
fn panics(act: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(act)).is_err()
}

#[test]
fn dropping_a_store_drops_everything_whatever_panics() {
    let engine = innkeeper::engine(Config::default());
    for bombs in [&[][..], &ALL[..1], &ALL[1..2], &ALL[2..3], &ALL[3..4], &ALL[4..], &ALL[..4]] {
        let dropped = Arc::default();
        let (store, pre) = store(&engine, bombs, &dropped);
        // The functions that were linked are the store's alone from here on.
        drop(pre);
        assert_eq!(panics(|| drop(store)), !bombs.is_empty(), "{bombs:?}");
        assert_eq!(dropped.load(Ordering::Relaxed), 3 * EACH + 2, "{bombs:?}");
    }
}

#[test]
fn a_store_that_is_reset_is_empty_and_usable_whatever_panics() {
    let engine = innkeeper::engine(Config::default());
    for bombs in [&[][..], &ALL[..1], &ALL[1..2], &ALL[2..3], &ALL[..3]] {
        let dropped = Arc::default();
        let (mut store, pre) = store(&engine, bombs, &dropped);
        drop(pre);
        let before: Instance = {
            // Of another module of functions that panic at nothing.
            let empty = Linker::new(&engine).instantiate(&mut store, &empty(&engine)).unwrap();
            assert!(empty.get_memory(&mut store, "memory").is_some());
            empty
        };
        let next = Linker::new(&engine).instantiate_pre(&empty(&engine)).unwrap();
        assert_eq!(panics(|| assert!(store.reset(&next).is_ok())), !bombs.is_empty(), "{bombs:?}");
        assert_eq!(dropped.load(Ordering::Relaxed), 3 * EACH, "all but data and limiter: {bombs:?}");
        assert!(before.get_memory(&mut store, "memory").is_none(), "what was there before is gone");
        let instance = store.reset(&next).unwrap();
        assert!(instance.get_memory(&mut store, "memory").is_some());
        let bombs_left = [Held::Data, Held::Limiter].iter().any(|held| bombs.contains(held));
        assert_eq!(panics(|| drop(store)), bombs_left);
        assert_eq!(dropped.load(Ordering::Relaxed), 3 * EACH + 2);
    }
}

fn empty(engine: &Engine) -> Module {
    let text = r#"(module (memory (export "memory") 1))"#;
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().as_ref()).unwrap()
}

#[test]
fn dropping_a_linker_drops_all_its_functions_whatever_panics() {
    let engine = innkeeper::engine(Config::default());
    let dropped = Arc::default();
    let mut linker: Linker<()> = Linker::new(&engine);
    for module in 0..4 {
        for name in 0..4 {
            let held = Bomb { dropped: Arc::clone(&dropped), panics: name % 2 == 1 };
            linker.func_wrap(&format!("m{module}"), &format!("f{name}"), move || drop_never(&held)).unwrap();
        }
    }
    assert!(panics(|| drop(linker)));
    assert_eq!(dropped.load(Ordering::Relaxed), 16);
}
