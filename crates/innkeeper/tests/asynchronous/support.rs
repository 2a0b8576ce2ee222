//! What the tests of calls that wait share: engines, futures that are not ready at once, and ways to poll.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use innkeeper::{Collection, Config, Engine, Module, TierUp, Tiers, Tuning};

/// What every test goes through: each tier, and from one to the other.
pub(crate) fn engines() -> [Engine; 3] {
    let engine = |tiers, tier_up| {
        let tuning = Tuning { collection: Collection::EveryAllocation, tier_up, ..Tuning::default() };
        innkeeper::engine_with(Config { tuning, ..Config::default() }, tiers)
    };
    [
        engine(Tiers::Interpreter, TierUp::never()),
        engine(Tiers::Compiled, TierUp::eager()),
        engine(Tiers::Auto, TierUp { calls: 3, ..TierUp::eager() }),
    ]
}

pub(crate) fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().as_ref()).unwrap()
}

/// Is ready when it is polled for the second time, and counts those that are there.
pub(crate) struct Later<'a>(bool, &'a AtomicUsize);

impl<'a> Later<'a> {
    pub(crate) fn new(alive: &'a AtomicUsize) -> Later<'a> {
        alive.fetch_add(1, Ordering::Relaxed);
        Later(false, alive)
    }
}

impl Future for Later<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        context.waker().wake_by_ref();
        match std::mem::replace(&mut self.0, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

impl Drop for Later<'_> {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How often it was woken.
pub(crate) struct Count(pub(crate) AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Polls a future on a thread of its own each time, at most so often; none where it is not ready then.
pub(crate) fn poll_on_threads<F: Future<Output: Send> + Send + ?Sized>(
    mut future: Pin<&mut F>,
    most: usize,
) -> Option<F::Output> {
    for _ in 0..most {
        let polled = std::thread::scope(|scope| {
            let future = future.as_mut();
            scope.spawn(move || future.poll(&mut Context::from_waker(Waker::noop()))).join().unwrap()
        });
        if let Poll::Ready(result) = polled {
            return Some(result);
        }
    }
    None
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
}

/// Never ready, and wakes nobody.
pub(crate) struct Never;

impl Future for Never {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
