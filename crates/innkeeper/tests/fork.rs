//! A process that forks: what it has begun holds in the child as well, where the library's own threads are not.
//!
//! One test at a time, so that nobody else is in the middle of anything.

mod forked;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use forked::in_fork;
use innkeeper::{Caller, Config, Engine, Error, Instance, Linker, Module, Store, Tiers, Trap};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

const TIERS: [Tiers; 3] = [Tiers::Interpreter, Tiers::Compiled, Tiers::Auto];

const SPIN: &str = r#"(module (func (export "spin") (loop $l (br $l))))"#;

fn spin(store: &mut Store<()>, module: &Module) -> Result<(), Error> {
    let instance = Instance::new(&mut *store, module, &[]).unwrap();
    instance.get_typed_func::<(), ()>(&mut *store, "spin").unwrap().call(store, ())
}

fn store_with_deadline(engine: &Engine, after: Duration) -> Store<()> {
    let mut store = Store::new(engine, ()).unwrap();
    store.set_deadline(Some(after)).unwrap();
    store
}

fn assert_deadline(result: Result<(), Error>) {
    assert_eq!(result.unwrap_err().trap(), Some(Trap::DeadlineExceeded));
}

/// Those that run when the process forks, and those that begin later, with what was made before and what is made in the child, and in its child.
#[test]
fn deadlines_hold() {
    let _alone = alone();
    for tiers in TIERS {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let module = Module::new(&engine, SPIN).unwrap();
        // Its thread sleeps for long, in the parent.
        let _later = store_with_deadline(&engine, Duration::from_secs(1000));
        let mut running = store_with_deadline(&engine, Duration::from_millis(300));
        in_fork("a deadline that runs", || assert_deadline(spin(&mut running, &module)));
        let new = || {
            assert_deadline(spin(&mut store_with_deadline(&engine, Duration::from_millis(20)), &module));
            let engine = innkeeper::engine_with(Config::default(), tiers);
            let module = Module::new(&engine, SPIN).unwrap();
            assert_deadline(spin(&mut store_with_deadline(&engine, Duration::from_millis(20)), &module));
        };
        in_fork("new deadlines", new);
        in_fork("new deadlines", || in_fork("new deadlines", new));
        // The parent's own are as they were.
        assert_deadline(spin(&mut running, &module));
    }
}

/// What the library knows of its own pages is the parent's in a child that inherits it: there, too, nobody finds anything of another's.
#[test]
fn memories_are_as_at_first_again() {
    const TEXT: &str = r#"(module (memory (export "memory") 2) (data (i32.const 5000) "image")
        (func (export "fill") (param i32) (memory.fill (i32.const 0) (local.get 0) (i32.const 131072))))"#;
    let _alone = alone();
    for tiers in TIERS {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let pre = Linker::new(&engine).instantiate_pre(&Module::new(&engine, TEXT).unwrap()).unwrap();
        let use_some = |fill| {
            for _ in 0..5 {
                let mut store = Store::new(&engine, ()).unwrap();
                let instance = pre.instantiate(&mut store).unwrap();
                let memory = instance.get_memory(&mut store, "memory").unwrap();
                let bytes = memory.data(&store).unwrap();
                assert_eq!(&bytes[5000..5005], b"image");
                let others = bytes[..5000].iter().chain(&bytes[5005..]);
                assert!(others.into_iter().all(|byte| *byte == 0), "somebody else's");
                let run = instance.get_typed_func::<i32, ()>(&mut store, "fill").unwrap();
                run.call(&mut store, fill).unwrap();
            }
        };
        use_some(1);
        in_fork("memories", || {
            use_some(2);
            in_fork("memories", || use_some(3));
        });
        use_some(4);
        // One that is in use when the process forks, and is left in the child.
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = pre.instantiate(&mut store).unwrap();
        let fill = instance.get_typed_func::<i32, ()>(&mut store, "fill").unwrap();
        fill.call(&mut store, 5).unwrap();
        let mut store = Some(store);
        in_fork("memories", || {
            drop(store.take());
            use_some(6);
        });
        drop(store);
        use_some(7);
    }
}

/// What is hot in the child is compiled there, by threads of its own, also where it was forked while the parent's compile.
#[test]
fn what_is_hot_is_compiled() {
    const TEXT: &str = r#"(module (import "host" "is_compiled" (func $is_compiled (result i32)))
        (func (export "run") (result i32) (local $i i32)
            (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000))))
            (call $is_compiled)))"#;
    fn run_until_compiled(engine: &Engine) {
        let module = Module::new(engine, TEXT).unwrap();
        let mut linker = Linker::new(engine);
        let is_compiled = |caller: Caller<'_, ()>| i32::from(caller.is_in_machine_code());
        linker.func_wrap("host", "is_compiled", is_compiled).unwrap();
        let mut store = Store::new(engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
        let begin = Instant::now();
        while run.call(&mut store, ()).unwrap() == 0 {
            assert!(begin.elapsed() < Duration::from_secs(20), "it stays interpreted");
        }
    }
    let _alone = alone();
    let engine = innkeeper::engine_with(Config::default(), Tiers::Auto);
    run_until_compiled(&engine);
    in_fork("compiling", || run_until_compiled(&engine));
    for _ in 0..20 {
        let module = Module::new(&engine, SPIN).unwrap();
        // Something to compile when it forks.
        assert_deadline(spin(&mut store_with_deadline(&engine, Duration::from_millis(2)), &module));
        in_fork("compiling", || run_until_compiled(&engine));
    }
}

/// Waits with an end, of calls that hold no thread.
#[cfg(feature = "async")]
#[test]
fn waits_end() {
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};

    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    const WAIT: &str = r#"(module (memory 1 1 shared) (func (export "wait") (result i32)
        (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 5000000))))"#;
    let _alone = alone();
    for tiers in TIERS {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let module = Module::new(&engine, WAIT).unwrap();
        let wait = || {
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = Instance::new(&mut store, &module, &[]).unwrap();
            let wait = instance.get_typed_func::<(), i32>(&mut store, "wait").unwrap();
            let mut call = pin!(wait.call_async(&mut store, ()));
            let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
            loop {
                match call.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(result) => return assert_eq!(result.unwrap(), 2),
                    Poll::Pending => std::thread::park(),
                }
            }
        };
        wait();
        in_fork("a wait", wait);
    }
}
