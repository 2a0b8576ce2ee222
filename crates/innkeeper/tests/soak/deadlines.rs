//! Deadlines that are kept, lifted, replaced and waited for, at random times, on two threads.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use innkeeper::{Caller, Config, Error, Instance, InterruptHandle, Linker, Module, Store, Tiers, Trap};

use crate::random::Random;

const GUEST: &str = r#"(module (import "host" "wait" (func $wait))
    (func (export "spin") (loop $l (br $l))) (func (export "nothing")) (func (export "wait") (call $wait))
    (func (export "count") (local i32) (local.set 0 (i32.const 50))
        (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"#;

/// Later than that is late, on whatever machine.
const LATE: Duration = Duration::from_secs(30);

/// The longest deadline that is waited for, in microseconds.
const LONGEST: u64 = 150;

pub(crate) fn run(deadlines: u64) {
    let begin = Instant::now();
    let latest = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for seed in 1..=2 {
            let latest = &latest;
            scope.spawn(move || Keeper::new(seed, latest).keep(deadlines / 2));
        }
    });
    let latest = Duration::from_micros(latest.into_inner());
    println!("{deadlines} deadlines in {:?}, the latest {latest:?} after its time", begin.elapsed());
}

/// What one thread has: a store for each tier.
struct Keeper<'a> {
    stores: Vec<(Store<()>, Instance)>,
    random: Random,
    latest: &'a AtomicU64,
}

impl<'a> Keeper<'a> {
    fn new(seed: u64, latest: &'a AtomicU64) -> Keeper<'a> {
        let stores = [Tiers::Interpreter, Tiers::Compiled, Tiers::Auto].map(|tiers| {
            let engine = innkeeper::engine_with(Config::default(), tiers);
            let binary = innkeeper::to_binary(GUEST.as_bytes()).unwrap().into_owned();
            let mut linker = Linker::new(&engine);
            linker
                .func_wrap_async("host", "wait", |_: Caller<'_, ()>, ()| {
                    Box::new(std::future::pending::<()>())
                })
                .unwrap();
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = linker.instantiate(&mut store, &Module::new(&engine, binary).unwrap()).unwrap();
            (store, instance)
        });
        Keeper { stores: stores.into(), random: Random::new(seed), latest }
    }

    fn keep(&mut self, deadlines: u64) {
        let mut set = 0;
        while set < deadlines {
            let number = self.random.below(self.stores.len() as u64) as usize;
            set += match self.random.below(8) {
                0..=3 => self.lift_at_random(number),
                4 => self.lift_in_vain(number),
                5 => self.keep_one(number),
                6 => self.replace(number),
                _ => self.wait(number),
            };
        }
    }

    /// Lifted around its time: from then on nobody is asked to stop, and a guest runs to its end.
    fn lift_at_random(&mut self, number: usize) -> u64 {
        let (after, lifted) = (self.random.below(60), self.random.below(60));
        let (store, instance) = &mut self.stores[number];
        let handle = store.interrupt_handle();
        let begin = Instant::now();
        store.set_deadline(Some(Duration::from_micros(after))).unwrap();
        while begin.elapsed() < Duration::from_micros(lifted) {
            std::hint::spin_loop();
        }
        lift(store, &handle);
        assert_eq!(call(store, *instance, "nothing"), None, "it was lifted");
        1
    }

    /// Lifted after it has ended a guest: the next one runs.
    fn lift_in_vain(&mut self, number: usize) -> u64 {
        self.keep_one(number);
        let (store, instance) = &mut self.stores[number];
        assert_eq!(call(store, *instance, "count"), None, "it was lifted");
        1
    }

    /// Ends a guest, and not before its time.
    fn keep_one(&mut self, number: usize) -> u64 {
        let after = Duration::from_micros(self.random.below(LONGEST));
        let (store, instance) = &mut self.stores[number];
        let begin = Instant::now();
        store.set_deadline(Some(after)).unwrap();
        assert_eq!(call(store, *instance, "spin"), Some(Trap::DeadlineExceeded));
        self.is_in_time(number, begin, after);
        1
    }

    /// One that another has replaced is nobody's any more.
    fn replace(&mut self, number: usize) -> u64 {
        let (first, second) = (self.random.below(30), 20 + self.random.below(LONGEST));
        let after = Duration::from_micros(second);
        let (store, instance) = &mut self.stores[number];
        store.set_deadline(Some(Duration::from_micros(first))).unwrap();
        let begin = Instant::now();
        store.set_deadline(Some(after)).unwrap();
        assert_eq!(call(store, *instance, "spin"), Some(Trap::DeadlineExceeded));
        self.is_in_time(number, begin, after);
        2
    }

    /// Ends what a guest waits for, or is lifted with the call that waits.
    fn wait(&mut self, number: usize) -> u64 {
        let (after, is_dropped) =
            (Duration::from_micros(self.random.below(LONGEST)), self.random.below(2) == 0);
        let (store, instance) = &mut self.stores[number];
        let wait = instance.get_typed_func::<(), ()>(&mut *store, "wait").unwrap();
        let begin = Instant::now();
        store.set_deadline(Some(after)).unwrap();
        if is_dropped {
            let mut future = pin!(wait.call_async(&mut *store, ()));
            let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        } else {
            let error = block_on(wait.call_async(&mut *store, ())).unwrap_err();
            assert_eq!(error.trap(), Some(Trap::DeadlineExceeded), "{error}");
            self.is_in_time(number, begin, after);
        }
        let (store, instance) = &mut self.stores[number];
        let handle = store.interrupt_handle();
        lift(store, &handle);
        assert_eq!(call(store, *instance, "nothing"), None, "it was lifted");
        1
    }

    fn is_in_time(&mut self, number: usize, begin: Instant, after: Duration) {
        let elapsed = begin.elapsed();
        assert!(elapsed >= after, "after {elapsed:?} instead of {after:?}");
        assert!(elapsed < after + LATE, "after {elapsed:?} instead of {after:?}");
        self.latest.fetch_max((elapsed - after).as_micros() as u64, Ordering::Relaxed);
        let (store, _) = &mut self.stores[number];
        let handle = store.interrupt_handle();
        lift(store, &handle);
    }
}

/// Lifts a store's deadline: nobody is asked to stop from then on.
fn lift(store: &mut Store<()>, handle: &InterruptHandle) {
    store.set_deadline(None).unwrap();
    for _ in 0..2 {
        assert!(!handle.is_stop_asked(), "it was lifted");
        std::thread::yield_now();
    }
}

fn call(store: &mut Store<()>, instance: Instance, name: &str) -> Option<Trap> {
    let func = instance.get_typed_func::<(), ()>(&mut *store, name).unwrap();
    func.call(store, ()).err().map(|error: Error| error.trap().unwrap())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls when it was woken, and only then: a deadline that wakes nobody is never seen.
fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    let begin = Instant::now();
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        std::thread::park_timeout(LATE);
        assert!(begin.elapsed() < LATE, "nobody wakes what waits");
    }
}
