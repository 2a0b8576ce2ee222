//! What the embedder makes and grows itself, where the store's limiter has to be waited for: answered yes and no, failing, panicking, stopped, and dropped meanwhile.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use innkeeper::{
    Caller, Engine, Error, ErrorKind, Linker, Memory, MemoryType, RefType, ResourceLimiterAsync,
    SharedMemory, Sharing, SizeRange, Store, StoreBuilder, Table, TableType, Trap, Val,
};

use crate::support::{Later, Never, block_on, engines, module, poll_on_threads};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Says {
    #[default]
    Yes,
    No,
    Nothing,
    Panics,
}

/// What it says, was asked, and was told.
#[derive(Default)]
struct Asked {
    says: Mutex<Says>,
    times: AtomicUsize,
    failures: AtomicUsize,
    /// Futures that are there.
    alive: AtomicUsize,
}

struct Limiter(Arc<Asked>);

impl Limiter {
    /// Answers after a while.
    fn answer(&self) -> Box<dyn Future<Output = bool> + Send + '_> {
        self.0.times.fetch_add(1, Ordering::Relaxed);
        let says = *self.0.says.lock().unwrap();
        Box::new(async move {
            Later::new(&self.0.alive).await;
            match says {
                Says::Nothing => Never.await,
                Says::Panics => panic!("a limiter's panic"),
                Says::Yes | Says::No => {}
            }
            says == Says::Yes
        })
    }
}

impl ResourceLimiterAsync for Limiter {
    fn memory_growing(
        &mut self,
        _: u64,
        _: u64,
        _: Option<u64>,
    ) -> Box<dyn Future<Output = bool> + Send + '_> {
        self.answer()
    }

    fn table_growing(
        &mut self,
        _: u64,
        _: u64,
        _: Option<u64>,
    ) -> Box<dyn Future<Output = bool> + Send + '_> {
        self.answer()
    }

    fn memory_grow_failed(&mut self) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
    }

    fn table_grow_failed(&mut self) {
        self.0.failures.fetch_add(1, Ordering::Relaxed);
    }
}

fn memory_type(min: u64, max: Option<u64>) -> MemoryType {
    MemoryType::new(SizeRange { min, max })
}

fn table_type(min: u64, max: Option<u64>) -> TableType {
    TableType::new(RefType::EXTERNREF, SizeRange { min, max })
}

/// A memory of a page and a table of an element in a store, and who is asked there.
struct House {
    store: Store<()>,
    memory: Memory,
    table: Table,
    asked: Arc<Asked>,
}

/// What a test does with either.
type Done<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;

impl House {
    fn new(engine: &Engine) -> House {
        House::built(Store::builder(engine, ()))
    }

    fn built(builder: StoreBuilder<'_, ()>) -> House {
        let asked = Arc::new(Asked::default());
        let mut store = builder.limiter_async(Limiter(Arc::clone(&asked))).build().unwrap();
        let memory = block_on(Memory::new_async(&mut store, memory_type(1, None))).unwrap();
        let table =
            block_on(Table::new_async(&mut store, table_type(1, None), Val::ExternRef(None))).unwrap();
        assert_eq!(asked.times.swap(0, Ordering::Relaxed), 2);
        House { store, memory, table, asked }
    }

    fn says(&self, says: Says) {
        *self.asked.says.lock().unwrap() = says;
    }

    fn grow(&mut self, is_memory: bool, delta: u64) -> Done<'_> {
        match is_memory {
            true => Box::pin(self.memory.grow_async(&mut self.store, delta)),
            false => Box::pin(self.table.grow_async(&mut self.store, delta, Val::ExternRef(None))),
        }
    }

    fn make(&mut self, is_memory: bool) -> Done<'_> {
        let store = &mut self.store;
        Box::pin(async move {
            if is_memory {
                let memory = Memory::new_async(&mut *store, memory_type(2, Some(3))).await?;
                return Ok(memory.ty(&*store)?.pages.min);
            }
            let table = Table::new_async(&mut *store, table_type(2, Some(3)), Val::ExternRef(None)).await?;
            Ok(table.ty(&*store)?.size.min)
        })
    }

    fn size(&self, is_memory: bool) -> u64 {
        match is_memory {
            true => self.memory.ty(&self.store).unwrap().pages.min,
            false => self.table.ty(&self.store).unwrap().size.min,
        }
    }
}

fn poll_once(future: Pin<&mut (impl Future + ?Sized)>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Each with memories and with tables, in an engine of each tier, although no guest is executed.
fn for_each(check: impl Fn(House, bool)) {
    for engine in engines() {
        check(House::new(&engine), true);
        check(House::new(&engine), false);
    }
}

#[test]
fn what_grows_waits_for_the_limiter_and_grows() {
    for_each(|mut house, is_memory| {
        for size in 1..4 {
            // From thread to thread, as calls of guests.
            let grown = poll_on_threads(house.grow(is_memory, 1).as_mut(), 2);
            assert_eq!(grown.unwrap().unwrap(), size);
            assert_eq!(house.size(is_memory), size + 1);
        }
        assert_eq!(house.asked.times.load(Ordering::Relaxed), 3);
        assert_eq!(block_on(house.make(is_memory)).unwrap(), 2);
        // Nothing is asked about nothing.
        assert_eq!(block_on(house.grow(is_memory, 0)).unwrap(), 4);
        assert_eq!(house.asked.times.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn what_is_refused_is_an_error_and_changes_nothing() {
    for_each(|mut house, is_memory| {
        house.says(Says::No);
        for _ in 0..2 {
            let error = block_on(house.grow(is_memory, 1)).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
            let error = block_on(house.make(is_memory)).unwrap_err();
            assert!(error.to_string().contains("limiter refuses"), "{error}");
            assert_eq!(house.size(is_memory), 1);
        }
        house.says(Says::Yes);
        assert_eq!(block_on(house.grow(is_memory, 1)).unwrap(), 1);
        assert_eq!(house.asked.failures.load(Ordering::Relaxed), 0);
    });
}

/// The limiter says yes, and learns that it did not come to that.
#[test]
fn what_fails_all_the_same_is_told() {
    for engine in engines() {
        for is_memory in [true, false] {
            let mut house = House::built(Store::builder(&engine, ()).memory_bytes(1 << 20));
            let delta = if is_memory { 100 } else { 1 << 18 };
            let error = block_on(house.grow(is_memory, delta)).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Limit(_)), "{error}");
            assert_eq!((house.size(is_memory), house.asked.failures.load(Ordering::Relaxed)), (1, 1));
            // What no type allows for is not asked about.
            let times = house.asked.times.load(Ordering::Relaxed);
            assert!(block_on(house.grow(is_memory, u64::MAX)).is_err());
            assert_eq!(house.asked.times.load(Ordering::Relaxed), times);
        }
    }
}

#[test]
fn a_panic_reaches_who_polls_and_nothing_has_grown() {
    for_each(|mut house, is_memory| {
        house.says(Says::Panics);
        for _ in 0..2 {
            let polled = catch_unwind(AssertUnwindSafe(|| block_on(house.grow(is_memory, 1))));
            assert_eq!(polled.unwrap_err().downcast_ref(), Some(&"a limiter's panic"));
            let polled = catch_unwind(AssertUnwindSafe(|| block_on(house.make(is_memory))));
            assert_eq!(polled.unwrap_err().downcast_ref(), Some(&"a limiter's panic"));
        }
        assert_eq!(house.size(is_memory), 1);
        house.says(Says::Yes);
        assert_eq!(block_on(house.grow(is_memory, 1)).unwrap(), 1);
    });
}

#[test]
fn one_that_is_dropped_meanwhile_has_done_nothing() {
    for_each(|mut house, is_memory| {
        let asked = Arc::clone(&house.asked);
        let mut growing = house.grow(is_memory, 1);
        assert!(!poll_once(growing.as_mut()));
        assert_eq!(asked.alive.load(Ordering::Relaxed), 1);
        drop(growing);
        let mut making = house.make(is_memory);
        assert!(!poll_once(making.as_mut()));
        drop(making);
        assert_eq!(asked.alive.load(Ordering::Relaxed), 0);
        assert_eq!(house.size(is_memory), 1);
        // What was asked then is asked anew.
        house.says(Says::No);
        assert!(block_on(house.grow(is_memory, 1)).is_err());
        house.says(Says::Yes);
        assert_eq!(block_on(house.grow(is_memory, 1)).unwrap(), 1);
    });
}

#[test]
fn a_deadline_and_an_interrupt_end_the_wait() {
    for_each(|mut house, is_memory| {
        house.says(Says::Nothing);
        let handle = house.store.interrupt_handle();
        {
            let mut growing = house.grow(is_memory, 1);
            assert!(!poll_once(growing.as_mut()) && !poll_once(growing.as_mut()));
            handle.interrupt();
            let error = block_on(growing).unwrap_err();
            assert_eq!(error.trap(), Some(Trap::Interrupted));
        }
        house.store.set_deadline(Some(Duration::from_millis(5))).unwrap();
        let error = block_on(house.grow(is_memory, 1)).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::DeadlineExceeded));
        house.store.set_deadline(None).unwrap();
        house.says(Says::Yes);
        assert_eq!(block_on(house.grow(is_memory, 1)).unwrap(), 1);
    });
}

/// Another thread's growth comes between the answer and what it was for: the limiter is asked about the size that there is then.
#[test]
fn a_shared_memory_that_grows_meanwhile_is_asked_about_anew() {
    for engine in engines() {
        let mut house = House::new(&engine);
        let ty = MemoryType { sharing: Sharing::Shared, ..memory_type(1, Some(9)) };
        let shared = SharedMemory::new(&engine, ty).unwrap();
        let memory = Memory::from_shared(&mut house.store, &shared).unwrap();
        let mut growing = pin!(memory.grow_async(&mut house.store, 2));
        assert!(!poll_once(growing.as_mut()));
        assert_eq!(shared.grow(1).unwrap(), 1);
        assert_eq!(block_on(growing).unwrap(), 2);
        assert_eq!((shared.pages(), house.asked.times.load(Ordering::Relaxed)), (4, 2));
    }
}

/// Without a limiter, and with one that answers at once, they are the plain functions.
#[test]
fn who_need_not_be_waited_for_is_not() {
    struct AtMost(u64);
    impl innkeeper::ResourceLimiter for AtMost {
        fn memory_growing(&mut self, _: u64, desired: u64, _: Option<u64>) -> bool {
            desired <= self.0 << 16
        }
        fn table_growing(&mut self, _: u64, desired: u64, _: Option<u64>) -> bool {
            desired <= self.0
        }
    }
    for engine in engines() {
        let mut store = Store::builder(&engine, ()).limiter(AtMost(3)).build().unwrap();
        let null = Val::ExternRef(None);
        let memory = Memory::new(&mut store, memory_type(1, None)).unwrap();
        let table = Table::new(&mut store, table_type(1, None), null).unwrap();
        for (from, is_grown) in [(1, true), (2, true), (3, false)] {
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(pages) = pin!(memory.grow_async(&mut store, 1)).poll(&mut context) else {
                panic!("at once")
            };
            let Poll::Ready(elements) = pin!(table.grow_async(&mut store, 1, null)).poll(&mut context) else {
                panic!("at once")
            };
            assert_eq!((pages.ok(), elements.ok()), (is_grown.then_some(from), is_grown.then_some(from)));
        }
        assert!(table.grow(&mut store, 1, null).is_err() && table.grow(&mut store, 1, Val::I32(0)).is_err());
        assert_eq!(table.grow(&mut store, 0, null).unwrap(), 3);
    }
}

/// A function of the host grows its caller's memory while the guest waits.
#[test]
fn functions_of_the_host_grow_what_guests_use() {
    let text = r#"(module (import "host" "grow" (func $grow (result i32))) (memory (export "memory") 1)
        (func (export "run") (result i32)
            (drop (call $grow))
            (i32.store (i32.const 65536) (i32.const 7))
            (i32.add (i32.load (i32.const 65536)) (memory.size))))"#;
    for engine in engines() {
        let asked = Arc::new(Asked::default());
        let mut linker = Linker::new(&engine);
        linker
            .func_wrap_async("host", "grow", |mut caller: Caller<'_, ()>, ()| {
                Box::new(async move {
                    let memory =
                        caller.get_export("memory").and_then(innkeeper::Extern::into_memory).unwrap();
                    memory.grow_async(&mut caller, 1).await.unwrap() as i32
                })
            })
            .unwrap();
        let mut store =
            Store::builder(&engine, ()).limiter_async(Limiter(Arc::clone(&asked))).build().unwrap();
        let instance = block_on(linker.instantiate_async(&mut store, &module(&engine, text))).unwrap();
        let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
        let result = poll_on_threads(pin!(run.call_async(&mut store, ())), usize::MAX);
        assert_eq!((result.unwrap().unwrap(), asked.times.load(Ordering::Relaxed)), (9, 2));
    }
}
