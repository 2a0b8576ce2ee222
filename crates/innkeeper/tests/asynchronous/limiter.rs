//! A limiter that is waited for: wherever a guest grows something, in each tier, answered, dropped, ended by a deadline, and asked where nobody can wait.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use innkeeper::{
    Engine, Error, ErrorKind, Instance, Limits, Linker, Memory, MemoryType, ResourceLimiterAsync, SizeRange,
    Store, Trap,
};

use crate::support::{Later, Never, block_on, engines, module, poll_on_threads};

/// What it was asked, and how often it has said no.
#[derive(Default)]
struct Asked {
    memories: AtomicUsize,
    tables: AtomicUsize,
    alive: AtomicUsize,
}

/// How a limiter answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// Yes to sizes of at most 5 pages, or 5 elements, after a while.
    UpToFive,
    Never,
    /// Yes to whatever is new; it panics where something grows.
    Panics,
}

struct Limiter(Answers, Arc<Asked>);

impl Limiter {
    async fn answer(&self, current: u64, desired: u64) -> bool {
        // Whoever makes a module's memory and table from nothing need not wait.
        if current == 0 {
            return true;
        }
        match self.0 {
            Answers::Never => Never.await,
            Answers::Panics => panic!("a limiter's panic"),
            Answers::UpToFive => {}
        }
        Later::new(&self.1.alive).await;
        desired <= 5
    }
}

impl ResourceLimiterAsync for Limiter {
    fn memory_growing(
        &mut self,
        current: u64,
        desired: u64,
        _: Option<u64>,
    ) -> Box<dyn Future<Output = bool> + Send + '_> {
        self.1.memories.fetch_add(1, Ordering::Relaxed);
        Box::new(self.answer(current >> 16, desired >> 16))
    }

    fn table_growing(
        &mut self,
        current: u64,
        desired: u64,
        _: Option<u64>,
    ) -> Box<dyn Future<Output = bool> + Send + '_> {
        self.1.tables.fetch_add(1, Ordering::Relaxed);
        Box::new(self.answer(current, desired))
    }
}

/// Grows both until it is refused, with objects in its frame; what was in use before is there afterwards.
const GROWS: &str = r#"(module
    (type $box (struct (field i32)))
    (memory 1) (table 1 anyref)
    (func $grow (param $held (ref $box)) (result i32) (local $sum i32)
        (local.set $sum (memory.grow (i32.const 1)))
        (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (i32.const 7))
        (local.set $sum (i32.add (local.get $sum) (table.grow (local.get $held) (i32.const 1))))
        (i32.add (local.get $sum) (struct.get $box 0 (local.get $held))))
    (func (export "run") (param $times i32) (result i32) (local $sum i32)
        (loop $again
            (local.set $sum (i32.add (local.get $sum) (call $grow (struct.new $box (i32.const 100)))))
            (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
        (local.get $sum))
    (func (export "sizes") (result i32) (i32.add (memory.size) (i32.mul (table.size) (i32.const 100)))))"#;

/// Sizes 1 to 4 grow, the fifth and sixth time they are refused.
const TIMES: i32 = 6;
const RESULT: i32 = 2 * (1 + 2 + 3 + 4) - 4 + 100 * TIMES;
const SIZES: i32 = 505;

fn growing(engine: &Engine, answers: Answers) -> (Store<()>, Instance, Arc<Asked>) {
    let asked = Arc::new(Asked::default());
    let limiter = Limiter(answers, Arc::clone(&asked));
    let mut store = Store::builder(engine, ()).limiter_async(limiter).build().unwrap();
    let linker = Linker::new(engine);
    let instance = block_on(linker.instantiate_async(&mut store, &module(engine, GROWS))).unwrap();
    assert_eq!((asked.memories.load(Ordering::Relaxed), asked.tables.load(Ordering::Relaxed)), (1, 1));
    (store, instance, asked)
}

#[test]
fn a_guest_waits_for_its_limiter_wherever_it_grows() {
    for engine in engines() {
        let (mut store, instance, asked) = growing(&engine, Answers::UpToFive);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let sizes = instance.get_typed_func::<(), i32>(&mut store, "sizes").unwrap();
        let result = poll_on_threads(pin!(run.call_async(&mut store, TIMES)), usize::MAX);
        assert_eq!(result.unwrap().unwrap(), RESULT);
        assert_eq!(sizes.call(&mut store, ()).unwrap(), SIZES);
        let times = TIMES as usize + 1;
        assert_eq!(
            (asked.memories.load(Ordering::Relaxed), asked.tables.load(Ordering::Relaxed)),
            (times, times)
        );
    }
}

#[test]
fn a_call_that_is_dropped_meanwhile_grows_nothing() {
    for engine in engines() {
        let waits = 2 * TIMES as usize;
        for waited in 1..=waits {
            let (mut store, instance, asked) = growing(&engine, Answers::UpToFive);
            let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
            let sizes = instance.get_typed_func::<(), i32>(&mut store, "sizes").unwrap();
            let mut call = Box::pin(run.call_async(&mut store, TIMES));
            assert!(poll_on_threads(call.as_mut(), waited).is_none());
            assert_eq!(asked.alive.load(Ordering::Relaxed), 1);
            drop(call);
            assert_eq!(asked.alive.load(Ordering::Relaxed), 0);
            store.collect_garbage();
            let (memories, tables) = (waited.min(9) / 2, (waited.min(9) - 1) / 2);
            let grown = sizes.call(&mut store, ()).unwrap();
            assert_eq!(grown, (1 + memories + 100 * (1 + tables)) as i32, "after {waited} waits");
            // The store goes on as if nothing had been.
            block_on(run.call_async(&mut store, TIMES)).unwrap();
            assert_eq!(sizes.call(&mut store, ()).unwrap(), SIZES);
        }
    }
}

#[test]
fn a_deadline_ends_the_wait_for_a_limiter() {
    for engine in engines() {
        let (mut store, instance, _) = growing(&engine, Answers::Never);
        store.set_deadline(Some(Duration::from_millis(10))).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let error = block_on(run.call_async(&mut store, 1)).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Trap(Trap::DeadlineExceeded)), "{error}");
    }
}

/// It goes on in whoever has called, and the store can be used.
#[test]
fn a_panic_of_a_limiter_ends_the_guest() {
    for engine in engines() {
        let (mut store, instance, _) = growing(&engine, Answers::Panics);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        let called = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            block_on(run.call_async(&mut store, 1))
        }));
        assert_eq!(called.unwrap_err().downcast_ref(), Some(&"a limiter's panic"));
        let sizes = instance.get_typed_func::<(), i32>(&mut store, "sizes").unwrap();
        assert_eq!(sizes.call(&mut store, ()).unwrap(), 101);
    }
}

#[test]
fn where_nobody_can_wait_growing_is_an_error() {
    let check = |error: Error| {
        assert!(matches!(error.kind(), ErrorKind::Usage(_)), "{error}");
        assert!(error.to_string().contains("asynchronous limiter"), "{error}");
    };
    for engine in engines() {
        let (mut store, instance, _) = growing(&engine, Answers::UpToFive);
        let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
        check(run.call(&mut store, 1).unwrap_err());
        check(Linker::new(&engine).instantiate(&mut store, &module(&engine, GROWS)).unwrap_err());
        check(Memory::new(&mut store, MemoryType::new(SizeRange { min: 1, max: None })).unwrap_err());
        // Nothing of it is left: the next call that can wait is asked for anew.
        let mut call = pin!(run.call_async(&mut store, TIMES));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(block_on(call).unwrap(), RESULT);
    }
}

/// Says yes as often as it is told, and then nothing, or no.
struct Yes {
    times: usize,
    then_says_no: bool,
}

impl Yes {
    fn answer(&mut self) -> Box<dyn Future<Output = bool> + Send + '_> {
        let is_yes = self.times > 0;
        self.times = self.times.saturating_sub(1);
        let says_nothing = !is_yes && !self.then_says_no;
        self.then_says_no |= says_nothing;
        Box::new(async move {
            if says_nothing {
                Never.await;
            }
            is_yes
        })
    }
}

impl ResourceLimiterAsync for Yes {
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
}

/// Grows both from nothing, as an instance's own are made.
const GROWS_FROM_NOTHING: &str = r#"(module (memory 0) (table 0 funcref)
    (func (export "run") (result i32)
        (i32.add (memory.grow (i32.const 1)) (table.grow (ref.null func) (i32.const 1)))))"#;

/// What was answered for an instance that has failed, or was given up, is no answer to a guest that grows something of the same size.
#[test]
fn an_answer_is_for_what_it_was_asked_for_only() {
    // The first two are those of the guest that grows.
    let fails = ("(module (table 1 funcref) (table 100000 funcref) (memory 1))", 2 + 3, true);
    let is_given_up = ("(module (table 1 funcref) (memory 1) (memory 2))", 2 + 2, false);
    for engine in engines() {
        for (text, times, then_says_no) in [fails, is_given_up] {
            let limits = Limits { table_elements: 1000, ..Limits::default() };
            let limiter = Yes { times, then_says_no };
            let mut store =
                Store::builder(&engine, ()).limits(limits).limiter_async(limiter).build().unwrap();
            let linker = Linker::new(&engine);
            let growing = module(&engine, GROWS_FROM_NOTHING);
            let growing = block_on(linker.instantiate_async(&mut store, &growing)).unwrap();
            let run = growing.get_typed_func::<(), i32>(&mut store, "run").unwrap();
            let module = module(&engine, text);
            {
                let mut instantiated = pin!(linker.instantiate_async(&mut store, &module));
                let polled = instantiated.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert_eq!(polled.is_pending(), !then_says_no, "{text}");
                if let Poll::Ready(result) = polled {
                    assert!(matches!(result.unwrap_err().kind(), ErrorKind::Limit(_)));
                }
            }
            assert_eq!(block_on(run.call_async(&mut store, ())).unwrap(), -2, "{text}");
        }
    }
}
