//! Wakers that take long: what they do is their caller's business, and nobody else's time.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use innkeeper::{Instance, Store, Trap};

use super::support::{engines, module};

/// Waits for a moment, and then computes for ever.
const GUEST: &str = r#"(module (memory 1 1 shared)
    (func (export "wait") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 5000000))))
    (func (export "wait_and_spin") (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 5000000))) (loop $l (br $l)))
    (func (export "spin") (loop $l (br $l))))"#;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An executor that polls where it is woken.
struct Inline(Mutex<Option<Work>>);

impl Inline {
    fn poll(self: &Arc<Self>) {
        let Ok(mut work) = self.0.try_lock() else { return };
        let waker = Waker::from(Arc::clone(self));
        if let Some(future) = &mut *work
            && future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        {
            *work = None;
        }
    }
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        self.poll();
    }
}

/// A guest whose poller polls it where it is woken computes there until its own deadline, which comes, as those of others do meanwhile.
#[test]
fn deadlines_strike_while_a_waker_polls_a_guest() {
    for engine in engines() {
        let module = module(&engine, GUEST);
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let func = instance.get_typed_func::<(), ()>(&mut store, "wait_and_spin").unwrap();
        store.set_deadline(Some(Duration::from_millis(200))).unwrap();
        let (ends, ended) = channel();
        let work: Work = Box::pin(async move {
            let _ = ends.send(func.call_async(&mut store, ()).await);
        });
        let task = Arc::new(Inline(Mutex::new(Some(work))));
        task.poll();
        let mut other = Store::new(&engine, ()).unwrap();
        other.set_deadline(Some(Duration::from_millis(50))).unwrap();
        let instance = Instance::new(&mut other, &module, &[]).unwrap();
        let spun = instance.get_typed_func::<(), ()>(&mut other, "spin").unwrap().call(&mut other, ());
        assert_eq!(spun.unwrap_err().trap(), Some(Trap::DeadlineExceeded));
        let result = ended.recv_timeout(Duration::from_secs(20)).expect("the deadline strikes");
        assert_eq!(result.unwrap_err().trap(), Some(Trap::DeadlineExceeded));
    }
}

/// A waker that waits until it is let go.
#[derive(Default)]
struct Stuck {
    is_let_go: Mutex<bool>,
    is_stuck: AtomicBool,
    changed: Condvar,
}

impl Wake for Stuck {
    fn wake(self: Arc<Self>) {
        let mut is_let_go = self.is_let_go.lock().unwrap();
        self.is_stuck.store(true, Ordering::Release);
        while !*is_let_go {
            is_let_go = self.changed.wait(is_let_go).unwrap();
        }
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Several that wait for something, and hold up nobody: neither a guest that computes nor one that waits for its time.
#[test]
fn wakers_that_wait_hold_up_nobody() {
    for engine in engines() {
        let module = module(&engine, GUEST);
        let store = || {
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            (store, instance)
        };
        let stuck = Arc::new(Stuck::default());
        let mut stores: Vec<_> = (0..4).map(|_| store()).collect();
        let mut calls: Vec<_> = stores
            .iter_mut()
            .map(|(store, instance)| {
                let wait = instance.get_typed_func::<(), ()>(&mut *store, "wait").unwrap();
                let mut call = Box::pin(async move { wait.call_async(store, ()).await });
                let waker = Waker::from(Arc::clone(&stuck));
                assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
                call
            })
            .collect();
        while !stuck.is_stuck.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let (mut other, instance) = store();
        let wait = instance.get_typed_func::<(), ()>(&mut other, "wait").unwrap();
        {
            let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
            let mut call = pin!(wait.call_async(&mut other, ()));
            while call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                std::thread::park_timeout(Duration::from_secs(20));
            }
        }
        other.set_deadline(Some(Duration::from_millis(20))).unwrap();
        let spun = instance.get_typed_func::<(), ()>(&mut other, "spin").unwrap().call(&mut other, ());
        assert_eq!(spun.unwrap_err().trap(), Some(Trap::DeadlineExceeded));
        *stuck.is_let_go.lock().unwrap() = true;
        stuck.changed.notify_all();
        calls.clear();
    }
}
