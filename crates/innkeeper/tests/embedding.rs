//! What safe code of an embedder's may do, and must not be able to break. Case names are those of the sandbox's list.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use innkeeper::{
    Caller, Collection, Config, Engine, Error, ErrorKind, ExternRef, Func, FuncType, Global, GlobalType,
    HeapType, IndexType, Instance, InterruptHandle, Linker, Memory, MemoryType, Module, Mutability, RefType,
    SharedMemory, Sharing, SizeRange, Store, Table, TableType, Tag, Tiers, Trap, Tuning, TypeId, Val,
    ValType,
};

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

/// Objects that only the code that runs refers to, across calls of the host: some in registers, some in frames, some further out.
const HOLDER: &str = r#"(module
    (import "host" "allocate" (func $allocate))
    (type $box (struct (field i64) (field i64)))
    (func $held (param $depth i32) (result i64)
        (local $a (ref null $box)) (local $b (ref null $box)) (local $c (ref null $box)) (local $d (ref null $box))
        (local $sum i64)
        (local.set $a (struct.new $box (i64.const 1) (i64.const 1)))
        (local.set $b (struct.new $box (i64.const 2) (i64.const 2)))
        (local.set $c (struct.new $box (i64.const 3) (i64.const 3)))
        (local.set $d (struct.new $box (i64.const 4) (i64.const 4)))
        (if (local.get $depth)
            (then (local.set $sum (call $held (i32.sub (local.get $depth) (i32.const 1)))))
            (else (call $allocate)))
        (i64.add (local.get $sum)
            (i64.add (i64.add (struct.get $box 0 (local.get $a)) (struct.get $box 0 (local.get $b)))
                     (i64.add (struct.get $box 1 (local.get $c)) (struct.get $box 1 (local.get $d))))))
    (func (export "held") (result i64) (call $held (i32.const 3))))"#;

/// Fills what was freed with something else.
fn allocate(caller: &mut Caller<'_, ()>) {
    for i in 0..64_u64 {
        ExternRef::new(&mut *caller, i).unwrap();
    }
}

fn holds(tiers: Tiers, allocate: impl Fn(Caller<'_, ()>) + Send + Sync + 'static) {
    let tuning = Tuning { collection: Collection::EveryAllocation, ..Tuning::default() };
    let engine = innkeeper::engine_with(Config { tuning, ..Config::default() }, tiers);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "allocate", allocate).unwrap();
    let mut store = Store::new(&engine, ());
    let store = store.as_mut().unwrap();
    let instance = linker.instantiate(&mut *store, &module(&engine, HOLDER)).unwrap();
    let held = instance.get_typed_func::<(), i64>(&mut *store, "held").unwrap();
    assert_eq!(held.call(store, ()).unwrap(), 40, "{tiers:?}");
}

#[test]
fn y11_objects_stay_while_a_function_of_the_host_allocates_on_another_thread() {
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        holds(tiers, |mut caller| {
            std::thread::scope(|scope| {
                scope.spawn(move || allocate(&mut caller)).join().unwrap();
            })
        });
        holds(tiers, |mut caller| allocate(&mut caller));
    }
}

/// How many [`Noted`] have been dropped.
static DROPPED: AtomicUsize = AtomicUsize::new(0);

struct Noted;

impl Drop for Noted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

/// An object of the host's that only a compiled function's frame or a register refers to.
#[test]
fn y11_an_object_in_use_is_not_dropped_while_the_host_allocates_elsewhere() {
    let text = r#"(module
        (import "host" "make" (func $make (result externref)))
        (import "host" "allocate" (func $allocate))
        (import "host" "use" (func $use (param externref)))
        (func (export "held") (local $object externref)
            (local.set $object (call $make))
            (call $allocate)
            (call $use (local.get $object))))"#;
    let tuning = Tuning { collection: Collection::EveryAllocation, ..Tuning::default() };
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let engine = innkeeper::engine_with(Config { tuning: tuning.clone(), ..Config::default() }, tiers);
        let mut linker = Linker::new(&engine);
        let ty = FuncType::new([], [ValType::EXTERNREF]);
        linker
            .func_new("host", "make", ty, |mut caller, _, results| {
                results[0] = Val::ExternRef(Some(ExternRef::new(&mut caller, Noted)?));
                Ok(())
            })
            .unwrap();
        linker
            .func_wrap("host", "allocate", |mut caller: Caller<'_, ()>| {
                std::thread::scope(|scope| {
                    scope.spawn(move || allocate(&mut caller)).join().unwrap();
                });
            })
            .unwrap();
        let ty = FuncType::new([ValType::EXTERNREF], []);
        linker
            .func_new("host", "use", ty, |_, _, _| {
                assert_eq!(DROPPED.load(Ordering::SeqCst), 0);
                Ok(())
            })
            .unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let held = instance.get_typed_func::<(), ()>(&mut store, "held").unwrap();
        held.call(&mut store, ()).unwrap();
        drop(store);
        assert_eq!(DROPPED.swap(0, Ordering::SeqCst), 1, "{tiers:?}");
    }
}

/// A type's identity is a number, which can be another engine's or nobody's.
#[test]
fn y11_types_that_an_engine_does_not_have_are_refused() {
    let engine = innkeeper::engine(Config::default());
    let mut store = Store::new(&engine, ()).unwrap();
    for id in [0, 7, (1 << 31) - 1, 1 << 32, 1 << 63, (1 << 63) + 1, u64::MAX] {
        let heap = HeapType::Concrete(TypeId(id));
        let element = RefType { nullable: true, heap };
        let content = ValType::Ref(element);
        let ty = FuncType::new([content], [content]);
        let refused: [Result<(), Error>; 6] = [
            Func::new(&mut store, ty.clone(), |_, _, _| Ok(())).map(drop),
            Tag::new(&mut store, &ty).map(drop),
            Global::new(&mut store, GlobalType { content, mutability: Mutability::Var }, Val::FuncRef(None))
                .map(drop),
            Global::new(&mut store, GlobalType { content, mutability: Mutability::Var }, Val::AnyRef(None))
                .map(drop),
            Table::new(
                &mut store,
                TableType { element, index: IndexType::I32, size: SizeRange { min: 1, max: None } },
                Val::AnyRef(None),
            )
            .map(drop),
            {
                let mut linker = Linker::new(&engine);
                linker.func_new("host", "f", ty, |_, _, _| Ok(())).unwrap();
                let text = r#"(module (import "host" "f" (func (param (ref null func)))))"#;
                linker.instantiate(&mut store, &module(&engine, text)).map(drop)
            },
        ];
        for (i, refused) in refused.into_iter().enumerate() {
            // The first type that there is, is the one of the module's import.
            if id != 0 || i < 5 {
                let error = refused.unwrap_err();
                assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{id}, {i}: {error}");
            }
        }
    }
}

#[test]
fn y11_memories_whose_pages_have_no_such_size_are_refused() {
    let engine = innkeeper::engine(Config::default());
    let mut store = Store::new(&engine, ()).unwrap();
    for page_size_log2 in [1, 15, 17, 32, 63, 64, u32::MAX] {
        for sharing in [Sharing::Unshared, Sharing::Shared] {
            let pages = SizeRange { min: 1, max: Some(2) };
            let ty = MemoryType { pages, index: IndexType::I32, page_size_log2, sharing };
            let error = Memory::new(&mut store, ty).map(drop).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{page_size_log2}: {error}");
            let error = SharedMemory::new(&engine, ty).map(drop).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{page_size_log2}: {error}");
        }
    }
}

#[test]
fn y11_sizes_whose_most_is_below_their_least_are_refused() {
    let engine = innkeeper::engine(Config::default());
    let mut store = Store::new(&engine, ()).unwrap();
    for (min, max) in [(1, 0), (5, 3), (u64::MAX, 1)] {
        let size = SizeRange { min, max: Some(max) };
        let memory = |sharing| MemoryType { sharing, ..MemoryType::new(size) };
        let table = TableType { element: RefType::FUNCREF, size, index: IndexType::I32 };
        let errors = [
            Memory::new(&mut store, memory(Sharing::Unshared)).map(drop).unwrap_err(),
            SharedMemory::new(&engine, memory(Sharing::Shared)).map(drop).unwrap_err(),
            Table::new(&mut store, table, Val::FuncRef(None)).map(drop).unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{size:?}: {error}");
        }
    }
}

/// Deep in guests, functions of the host have what is left of their thread's stack: guests do not use it up. (They had 512 KiB where compiled code called them.)
#[test]
fn e5_functions_of_the_host_have_their_threads_stack() {
    const DEEP: &str = r#"(module
        (import "host" "work" (func $work))
        (func $down (export "down") (param i32)
            (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1)))) (else (call $work)))))"#;
    /// More than half of the thread's stack, which interpreted and compiled functions would use up with the depth that they reach.
    const USED_BYTES: usize = 5 << 20;
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        let work = move || {
            let engine = innkeeper::engine_with(Config::default(), tiers);
            let mut linker = Linker::new(&engine);
            let worked = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&worked);
            linker
                .func_wrap("host", "work", move || {
                    // A frame of more than a page is touched page by page, whatever is in it.
                    std::hint::black_box(&std::mem::MaybeUninit::<[u8; USED_BYTES]>::uninit());
                    counted.fetch_add(1, Ordering::Relaxed);
                })
                .unwrap();
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = linker.instantiate(&mut store, &module(&engine, DEEP)).unwrap();
            let down = instance.get_typed_func::<i32, ()>(&mut store, "down").unwrap();
            for depth in [0, 100_000] {
                down.call(&mut store, depth).unwrap();
            }
            assert_eq!(worked.load(Ordering::Relaxed), 2, "{tiers:?}");
        };
        std::thread::Builder::new().stack_size(8 << 20).spawn(work).unwrap().join().unwrap();
    }
}

/// A function that runs until somebody stops it, and one that returns at once.
const LOOPS: &str = r#"(module (func (export "spin") (loop $l (br $l))) (func (export "nothing")))"#;

fn loops(engine: &Engine) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &module(engine, LOOPS)).unwrap();
    (store, instance)
}

fn call(store: &mut Store<()>, instance: Instance, name: &str) -> Option<Trap> {
    let func = instance.get_typed_func::<(), ()>(&mut *store, name).unwrap();
    func.call(store, ()).err().map(|error| error.trap().unwrap())
}

#[test]
fn y11_a_deadline_that_is_lifted_never_strikes() {
    let engine = innkeeper::engine(Config::default());
    let (mut store, instance) = loops(&engine);
    // Some strike before they are lifted, some meanwhile, some never.
    for microseconds in 0..400 {
        store.set_deadline(Some(Duration::from_micros(microseconds))).unwrap();
        std::thread::sleep(Duration::from_micros(200));
        store.set_deadline(None).unwrap();
        assert_eq!(call(&mut store, instance, "nothing"), None, "{microseconds}");
    }
    // One that is replaced is lifted.
    store.set_deadline(Some(Duration::ZERO)).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    store.set_deadline(Some(Duration::from_secs(3600))).unwrap();
    assert_eq!(call(&mut store, instance, "nothing"), None);
    store.set_deadline(Some(Duration::from_millis(5))).unwrap();
    assert_eq!(call(&mut store, instance, "spin"), Some(Trap::DeadlineExceeded));
}

/// Lifting the store's own deadline forgives nothing else.
#[test]
fn y11_lifting_a_deadline_leaves_other_requests_to_stop() {
    let engine = innkeeper::engine(Config::default());
    let (mut store, instance) = loops(&engine);
    for trap in [Trap::Interrupted, Trap::DeadlineExceeded] {
        let ask = |handle: &InterruptHandle| match trap {
            Trap::Interrupted => handle.interrupt(),
            _ => handle.exceed_deadline(),
        };
        for is_asked_first in [true, false] {
            let handle = store.interrupt_handle();
            if is_asked_first {
                ask(&handle);
            }
            store.set_deadline(Some(Duration::ZERO)).unwrap();
            std::thread::sleep(Duration::from_millis(5));
            if !is_asked_first {
                ask(&handle);
            }
            store.set_deadline(None).unwrap();
            assert_eq!(call(&mut store, instance, "nothing"), Some(trap));
            assert_eq!(call(&mut store, instance, "nothing"), None);
        }
    }
}

/// A deadline and an interrupt add up, whichever is asked for first: the deadline ends every guest that is under way, and the interrupt the next one.
#[test]
fn a_deadline_and_an_interrupt_do_not_replace_each_other() {
    let text = r#"(module (import "host" "call" (func $call))
        (func (export "spin") (loop $l (br $l)))
        (func (export "outer") (loop $l (call $call) (br $l))) (func (export "nothing")))"#;
    struct Host {
        spin: Option<Func>,
        handle: InterruptHandle,
        is_own: bool,
        is_interrupt_first: bool,
        calls: u32,
    }
    for (tiers, is_own, is_interrupt_first) in
        [Tiers::Interpreter, Tiers::Compiled].into_iter().flat_map(|tiers| {
            [(tiers, true, true), (tiers, true, false), (tiers, false, true), (tiers, false, false)]
        })
    {
        let case = format!("{tiers:?}, own deadline: {is_own}, interrupt first: {is_interrupt_first}");
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("host", "call", |mut caller: Caller<'_, Option<Host>>| {
                let Some(host) = caller.data_mut() else { return };
                host.calls += 1;
                let Host { spin, handle, is_own, is_interrupt_first, .. } = host;
                let (spin, handle, is_interrupt_first) = (*spin, handle.clone(), *is_interrupt_first);
                if is_interrupt_first {
                    handle.interrupt();
                }
                // The store's own deadline passes meanwhile.
                match is_own {
                    true => std::thread::sleep(Duration::from_millis(40)),
                    false => handle.exceed_deadline(),
                }
                if let Some(spin) = spin {
                    let _ = spin.call(&mut caller, &[], &mut []);
                }
                if !is_interrupt_first {
                    handle.interrupt();
                }
            })
            .unwrap();
        let mut store = Store::new(&engine, None).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let spin = instance.get_func(&mut store, "spin");
        let handle = store.interrupt_handle();
        *store.data_mut() = Some(Host { spin, handle, is_own, is_interrupt_first, calls: 0 });
        let outer = instance.get_func(&mut store, "outer").unwrap();
        let nothing = instance.get_func(&mut store, "nothing").unwrap();
        if is_own {
            store.set_deadline(Some(Duration::from_millis(10))).unwrap();
        }
        let error = outer.call(&mut store, &[], &mut []).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::DeadlineExceeded), "{case}");
        store.set_deadline(None).unwrap();
        let was_interrupted = store.data().as_ref().is_some_and(|host| host.calls > 0);
        let next = nothing.call(&mut store, &[], &mut []).err().and_then(|error| error.trap());
        assert_eq!(next, was_interrupted.then_some(Trap::Interrupted), "{case}");
        nothing.call(&mut store, &[], &mut []).unwrap();
    }
}

/// A function of the host that calls a guest and makes nothing of its end does not spare the guest that called the function.
#[test]
fn y11_a_deadline_that_somebody_swallows_ends_whoever_is_under_way() {
    let text = r#"(module (import "host" "call" (func $call))
        (func (export "spin") (loop $l (br $l)))
        (func (export "outer") (loop $l (call $call) (br $l))) (func (export "nothing")))"#;
    for tiers in [Tiers::Interpreter, Tiers::Compiled, Tiers::Auto] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap("host", "call", |mut caller: Caller<'_, Option<Func>>| {
                if let Some(spin) = *caller.data() {
                    let _ = spin.call(&mut caller, &[], &mut []);
                }
            })
            .unwrap();
        let mut store = Store::new(&engine, None).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        *store.data_mut() = instance.get_func(&mut store, "spin");
        let outer = instance.get_func(&mut store, "outer").unwrap();
        let nothing = instance.get_func(&mut store, "nothing").unwrap();
        for is_own in [true, false] {
            let handle = store.interrupt_handle();
            match is_own {
                true => store.set_deadline(Some(Duration::from_millis(20))).unwrap(),
                false => drop(std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(20));
                    handle.exceed_deadline();
                })),
            }
            // A guest that goes on is stopped in the end, by somebody else.
            let late = store.interrupt_handle();
            let (ended, end) = std::sync::mpsc::channel::<()>();
            let watcher = std::thread::spawn(move || {
                for _ in 0..100 {
                    if end.recv_timeout(Duration::from_secs(2))
                        != Err(std::sync::mpsc::RecvTimeoutError::Timeout)
                    {
                        return;
                    }
                    late.interrupt();
                }
            });
            let error = outer.call(&mut store, &[], &mut []).unwrap_err();
            drop(ended);
            watcher.join().unwrap();
            assert_eq!(error.trap(), Some(Trap::DeadlineExceeded), "{tiers:?}, own: {is_own}");
            // Somebody who watches the time ends those guests, and no others; the store's own deadline all, until it is lifted.
            let next = nothing.call(&mut store, &[], &mut []).err().and_then(|error| error.trap());
            assert_eq!(next, is_own.then_some(Trap::DeadlineExceeded), "{tiers:?}");
            store.set_deadline(None).unwrap();
            nothing.call(&mut store, &[], &mut []).unwrap();
        }
    }
}
