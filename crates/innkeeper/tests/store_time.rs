//! Limits on a store's time: one thread watches all of them, what was lifted never strikes, and whatever the guest does ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use innkeeper::wasi::keys::{Keys, StdinKey};
use innkeeper::wasi::p1::{self, Context};
use innkeeper::{Caller, Config, Engine, Instance, Linker, Module, Store, Tiers, Trap};

const GUEST: &str = r#"(module
    (func (export "spin") (loop $l (br $l)))
    (func (export "nothing"))
    (memory 100)
    (func (export "bulk") (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 6553600)) (br $l))))"#;

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()).unwrap()
}

fn call(store: &mut Store<()>, instance: Instance, name: &str) -> Option<Trap> {
    let func = instance.get_typed_func::<(), ()>(&mut *store, name).unwrap();
    func.call(store, ()).err().map(|error| error.trap().unwrap())
}

fn small() -> Engine {
    let mut config = Config::default();
    config.limits.guest_stack_bytes = 64 << 10;
    innkeeper::engine(config)
}

/// Threads of this process that are called `timer`, and all others that did not exist before.
fn timer_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok().map(|name| name.trim().to_owned())
    };
    tasks.filter_map(name).filter(|name| name == "timer" || name == "deadline").count()
}

#[test]
fn ten_thousand_stores_with_deadlines_are_one_thread() {
    let engine = small();
    let mut stores: Vec<_> = (0..1000).map(|_| Store::new(&engine, ()).unwrap()).collect();
    for round in 0..10 {
        for (i, store) in stores.iter_mut().enumerate() {
            store.set_deadline(Some(Duration::from_secs(100 + (i as u64 * 7919 + round) % 1000))).unwrap();
        }
    }
    assert_eq!(timer_threads(), 1);
    let (mut store, instance) = {
        let module = module(&engine, GUEST);
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        (store, instance)
    };
    // The earliest of all is not late.
    let begin = Instant::now();
    store.set_deadline(Some(Duration::from_millis(5))).unwrap();
    assert_eq!(call(&mut store, instance, "spin"), Some(Trap::DeadlineExceeded));
    assert!(begin.elapsed() < Duration::from_secs(5));
    drop(stores);
    assert_eq!(timer_threads(), 1);
}

#[test]
fn a_deadline_that_passed_between_calls_and_was_lifted_does_not_end_the_next_call() {
    let engine = small();
    let module = module(&engine, GUEST);
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    for _ in 0..20 {
        store.set_deadline(Some(Duration::ZERO)).unwrap();
        // Until it has struck.
        let handle = store.interrupt_handle();
        while !handle.is_stop_asked() {
            std::thread::yield_now();
        }
        store.set_deadline(None).unwrap();
        assert_eq!(call(&mut store, instance, "nothing"), None);
    }
    store.set_deadline(Some(Duration::from_millis(5))).unwrap();
    assert_eq!(call(&mut store, instance, "bulk"), Some(Trap::DeadlineExceeded));
}

/// A store that is past its deadline runs no guests, whatever they are and however they are called, until it is given more time.
#[test]
fn a_deadline_that_has_passed_ends_every_later_call_until_it_is_set_anew() {
    for tiers in [Tiers::Interpreter, Tiers::Compiled, Tiers::Auto] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let module = module(&engine, GUEST);
        let pre = Linker::new(&engine).instantiate_pre(&module).unwrap();
        let mut store = Store::builder(&engine, ()).deadline(Duration::from_millis(10)).build().unwrap();
        let mut instance = pre.instantiate(&mut store).unwrap();
        for round in 0..2 {
            assert_eq!(call(&mut store, instance, "spin"), Some(Trap::DeadlineExceeded));
            // First one that returns by itself: were the deadline gone with the call that it has ended, this would fail, and nothing would hang.
            for name in ["nothing", "spin", "nothing", "bulk", "spin"] {
                let begin = Instant::now();
                assert_eq!(
                    call(&mut store, instance, name),
                    Some(Trap::DeadlineExceeded),
                    "{tiers:?} {name}"
                );
                assert!(begin.elapsed() < Duration::from_secs(5), "at once");
                #[cfg(feature = "async")]
                {
                    let func = instance.get_typed_func::<(), ()>(&store, name).unwrap();
                    let error = smol::block_on(func.call_async(&mut store, ())).unwrap_err();
                    assert_eq!(error.trap(), Some(Trap::DeadlineExceeded), "{tiers:?} {name}");
                }
            }
            // What begins anew in the store has no more time.
            if let Ok(anew) = store.reset(&pre) {
                for name in ["nothing", "spin"] {
                    assert_eq!(
                        call(&mut store, anew, name),
                        Some(Trap::DeadlineExceeded),
                        "{tiers:?} {name}"
                    );
                }
            }
            match round {
                0 => store.set_deadline(None).unwrap(),
                _ => store.set_deadline(Some(Duration::from_secs(3600))).unwrap(),
            }
            instance = store.reset(&pre).unwrap();
            assert_eq!(call(&mut store, instance, "nothing"), None, "{tiers:?}");
            store.set_deadline(Some(Duration::from_millis(10))).unwrap();
        }
    }
}

/// Ten thousand deadlines on two threads, each lifted at a random time around its own.
#[test]
fn what_is_lifted_never_strikes() {
    let engine = small();
    let struck_late = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for seed in 1..=2u64 {
            let (engine, struck_late) = (&engine, &struck_late);
            scope.spawn(move || {
                let mut random = seed;
                let mut store = Store::new(engine, ()).unwrap();
                let handle = store.interrupt_handle();
                for _ in 0..5000 {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let (after, lifted) = ((random >> 33) % 50, (random >> 40) % 50);
                    let begin = Instant::now();
                    store.set_deadline(Some(Duration::from_micros(after))).unwrap();
                    while begin.elapsed() < Duration::from_micros(lifted) {
                        std::hint::spin_loop();
                    }
                    store.set_deadline(None).unwrap();
                    for _ in 0..3 {
                        struck_late.fetch_add(u64::from(handle.is_stop_asked()), Ordering::Relaxed);
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    assert_eq!(struck_late.into_inner(), 0);
}

/// What a guest waits in.
const WAITS: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "sleep")
        ;; One subscription: a relative time of an hour.
        (i32.store8 (i32.const 8) (i32.const 0)) (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 3600000000000))
        (drop (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200))))
    (func (export "read")
        (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 8))
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32)))))"#;

#[test]
fn a_deadline_ends_waits_of_wasi_with_no_further_wiring() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("stdin");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let _end = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let keys = Keys::builder().stdin(StdinKey::File(path)).build();
    let engine = small();
    let module = module(&engine, WAITS);
    let mut linker = Linker::new(&engine);
    p1::add_to_linker(&mut linker, |context: &mut Context| context).unwrap();
    // Two stores of one guest: what ends the one leaves the other.
    let context = Context::new(&keys).unwrap();
    let mut others = Store::new(&engine, context.clone()).unwrap();
    let other = linker.instantiate(&mut others, &module).unwrap();
    let mut store = Store::new(&engine, context).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    std::thread::scope(|scope| {
        let handle = others.interrupt_handle();
        let waiting = scope.spawn(move || {
            let read = other.get_typed_func::<(), ()>(&mut others, "read").unwrap();
            read.call(&mut others, ())
        });
        for name in ["sleep", "read", "sleep"] {
            let func = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
            let begin = Instant::now();
            store.set_deadline(Some(Duration::from_millis(10))).unwrap();
            let error = func.call(&mut store, ()).unwrap_err();
            assert_eq!(error.trap(), Some(Trap::DeadlineExceeded), "{name}");
            assert!(begin.elapsed() < Duration::from_secs(60), "{name}");
        }
        assert!(!waiting.is_finished());
        handle.interrupt();
        assert_eq!(waiting.join().unwrap().unwrap_err().trap(), Some(Trap::Interrupted));
    });
}

/// Time on the wall is not processor time, calls add up, and each store has its own.
#[test]
fn processor_time_is_a_store_s_own() {
    let engine = small();
    let module = module(
        &engine,
        r#"(module (import "host" "wait" (func $wait))
        (func (export "wait") (call $wait)) (func (export "nothing") (call $wait))
        (func (export "spin") (loop $l (br $l))))"#,
    );
    let mut linker = Linker::new(&engine);
    linker
        .func_wrap("host", "wait", |caller: Caller<'_, Arc<AtomicU64>>| {
            std::thread::sleep(Duration::from_millis(caller.data().load(Ordering::Relaxed)));
        })
        .unwrap();
    let new = || {
        let mut store = Store::new(&engine, Arc::new(AtomicU64::new(0))).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        (store, instance)
    };
    let ((mut store, instance), (mut other, its_instance)) = (new(), new());
    let call = |store: &mut Store<Arc<AtomicU64>>, instance: Instance, name: &str| {
        let func = instance.get_typed_func::<(), ()>(&mut *store, name).unwrap();
        func.call(store, ()).err().map(|error| error.trap().unwrap())
    };
    let limit = Duration::from_millis(20);
    store.set_processor_time(Some(limit));
    other.set_processor_time(Some(limit));
    store.data().store(40, Ordering::Relaxed);
    assert_eq!(call(&mut store, instance, "wait"), None);
    let left = store.processor_time_left().unwrap();
    assert!(left > limit / 2, "{left:?}");
    assert_eq!(call(&mut store, instance, "spin"), Some(Trap::DeadlineExceeded));
    assert_eq!(store.processor_time_left(), Some(Duration::ZERO));
    // There is none left for the next one either, until there is more.
    assert_eq!(call(&mut store, instance, "spin"), Some(Trap::DeadlineExceeded));
    store.data().store(0, Ordering::Relaxed);
    store.set_processor_time(Some(limit));
    assert_eq!(call(&mut store, instance, "nothing"), None);
    store.set_processor_time(None);
    assert_eq!(call(&mut store, instance, "nothing"), None);
    assert_eq!(other.processor_time_left(), Some(limit));
    assert_eq!(call(&mut other, its_instance, "nothing"), None);
}

/// A waker that does what an embedder's may.
struct Act<F>(F);

impl<F: Fn() + Send + Sync> std::task::Wake for Act<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// Uses more stack than a small thread has.
#[inline(never)]
fn use_stack() {
    let bytes = [1_u8; 512 << 10];
    assert_eq!(std::hint::black_box(&bytes)[9], 1);
}

#[test]
fn whatever_a_waker_does_others_are_woken_and_later_deadlines_strike() {
    let engine = small();
    let module = module(&engine, GUEST);
    let woken = Arc::new(AtomicU64::new(0));
    let mut store = Store::new(&engine, ()).unwrap();
    let handle = store.interrupt_handle();
    let count = Arc::clone(&woken);
    let first = handle.wake_on_stop(Arc::new(Act(|| panic!("a waker's own"))).into());
    let second = handle.wake_on_stop(Arc::new(Act(use_stack)).into());
    let third = handle.wake_on_stop(
        Arc::new(Act(move || {
            count.fetch_add(1, Ordering::SeqCst);
        }))
        .into(),
    );
    store.set_deadline(Some(Duration::ZERO)).unwrap();
    let begin = Instant::now();
    while woken.load(Ordering::SeqCst) == 0 {
        assert!(begin.elapsed() < Duration::from_secs(30), "nobody woke the third");
        std::thread::yield_now();
    }
    // Whoever asks for a stop itself does not hear of it either.
    handle.interrupt();
    assert_eq!(woken.load(Ordering::SeqCst), 2);
    drop((first, second, third));
    let mut other = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut other, &module).unwrap();
    other.set_deadline(Some(Duration::from_millis(5))).unwrap();
    let rescue = other.interrupt_handle();
    let rescuer = std::thread::spawn(move || {
        std::thread::park_timeout(Duration::from_secs(10));
        rescue.interrupt();
    });
    assert_eq!(call(&mut other, instance, "spin"), Some(Trap::DeadlineExceeded));
    rescuer.thread().unpark();
    rescuer.join().unwrap();
}

#[test]
fn instantiation_counts_as_processor_time_however_it_ends() {
    let engine = small();
    let limit = Duration::from_millis(20);
    // Nearly endless each: constant expressions, and a start function.
    let long = "(array.new $a (i32.const 0) (i32.const 1000000))".repeat(1000);
    let exprs = format!(
        "(module (type $a (array i32)) (elem (ref $a) {}))",
        long.replace("(array", "(item (array").replace("000000))", "000000)))")
    );
    for text in [exprs.as_str(), "(module (func $spin (loop $l (br $l))) (start $spin))"] {
        let module = module(&engine, text);
        let mut store = Store::new(&engine, ()).unwrap();
        store.set_processor_time(Some(limit));
        let error = Linker::new(&engine).instantiate(&mut store, &module).map(drop).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::DeadlineExceeded), "{error}");
        assert_eq!(store.processor_time_left(), Some(Duration::ZERO));
    }
    // What did not use it up has used some of it, and calls afterwards have the rest.
    let module = module(&engine, GUEST);
    let mut store = Store::new(&engine, ()).unwrap();
    store.set_processor_time(Some(limit * 50));
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let left = store.processor_time_left().unwrap();
    assert!(left < limit * 50 && !left.is_zero(), "{left:?}");
    assert_eq!(call(&mut store, instance, "nothing"), None);
    assert!(store.processor_time_left().unwrap() < left);
}

/// The outermost call's thread alone was looked at: a guest that a function of the host called on another one could go on for ever.
#[test]
fn processor_time_counts_on_whichever_thread_the_guest_is_called() {
    let engine = innkeeper::engine(Config::default());
    let module = module(
        &engine,
        r#"(module (import "host" "elsewhere" (func $elsewhere (param i32)))
            (func (export "spin") (loop $l (br $l)))
            (func (export "some") (local $i i32)
                (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 30000000)))))
            (func (export "once") (call $elsewhere (i32.const 0)))
            (func (export "often") (loop $l (call $elsewhere (i32.const 1)) (br $l))))"#,
    );
    let mut linker: Linker<()> = Linker::new(&engine);
    let called = |mut caller: Caller<'_, ()>, is_some: i32| -> innkeeper::Result<()> {
        let name = if is_some == 1 { "some" } else { "spin" };
        let func = caller.get_export(name).and_then(innkeeper::Extern::into_func).unwrap();
        let func = func.typed::<(), ()>(&mut caller)?;
        std::thread::scope(|scope| scope.spawn(|| func.call(&mut caller, ())).join().unwrap())
    };
    linker.func_wrap("host", "elsewhere", called).unwrap();
    for name in ["once", "often"] {
        let mut store =
            Store::builder(&engine, ()).processor_time(Duration::from_millis(50)).build().unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        assert_eq!(call(&mut store, instance, name), Some(Trap::DeadlineExceeded), "{name}");
        assert!(store.processor_time_left().unwrap() < Duration::from_millis(5), "{name}");
    }
}
