//! Calls that wait, on executors that people use: many stores on few threads, guests that compute without end beside guests that wait, and calls that are given up.

mod components;
mod turns;
mod wasi;

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use innkeeper::{Caller, Config, Engine, ErrorKind, Instance, Linker, Module, Store, Tiers, Trap};

const GUEST: &str = r#"(module
    (import "host" "sleep" (func $sleep (param i32) (result i32)))
    (func (export "run") (param i32) (result i32) (local $sum i32)
        (loop $again
            (local.set $sum (i32.add (local.get $sum) (call $sleep (local.get 0))))
            (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get $sum))
    (func (export "spin") (result i32) (loop $l (br $l)) (unreachable)))"#;

type Sleep = fn(Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A store whose guest sleeps as the executor does, and lets others have their turn.
fn guest(engine: &Engine, sleep: Sleep) -> (Store<()>, Instance) {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap_async("host", "sleep", move |_: Caller<'_, ()>, millis: i32| {
            Box::new(async move {
                sleep(Duration::from_millis(millis.unsigned_abs().into())).await;
                millis
            })
        })
        .unwrap();
    let binary = innkeeper::to_binary(GUEST.as_bytes()).unwrap();
    let mut store = Store::new(engine, ()).unwrap();
    let instance = linker.instantiate(&mut store, &Module::new(engine, binary.as_ref()).unwrap()).unwrap();
    store.yield_every(Some(Duration::from_millis(1)));
    (store, instance)
}

async fn run(engine: Engine, sleep: Sleep) {
    let (mut store, instance) = guest(&engine, sleep);
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    for n in 1..=3 {
        assert_eq!(run.call_async(&mut store, n).await.unwrap(), n * (n + 1) / 2);
    }
}

/// Never ends by itself.
async fn spin(engine: Engine, sleep: Sleep, deadline: Option<Duration>) {
    let (mut store, instance) = guest(&engine, sleep);
    store.set_deadline(deadline).unwrap();
    let spin = instance.get_typed_func::<(), i32>(&mut store, "spin").unwrap();
    let error = spin.call_async(&mut store, ()).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Trap(Trap::DeadlineExceeded)), "{error}");
}

const TIERS: [Tiers; 3] = [Tiers::Interpreter, Tiers::Compiled, Tiers::Auto];
const MOMENT: Duration = Duration::from_millis(20);

/// Lets guests run on tokio, on one thread and on two: as many as threads that never end, beside which twenty others are served all the same; then, until a time is over, one that never ends; then `after`.
fn on_tokio<S, R, A>(
    spin: impl Fn(Engine, Sleep) -> S,
    run: impl Fn(Engine, Sleep) -> R,
    after: impl Fn(Engine, Sleep) -> A,
) where
    S: Future<Output = ()> + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
    A: Future<Output = ()>,
{
    let sleep: Sleep = |time| Box::pin(tokio::time::sleep(time));
    for tiers in TIERS {
        for threads in [1, 2] {
            let engine = innkeeper::engine_with(Config::default(), tiers);
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_time()
                // How many slices of the endless go by until somebody looks at the clock.
                .event_interval(3)
                .global_queue_interval(3)
                .build()
                .unwrap();
            runtime.block_on(async {
                let endless: Vec<_> =
                    (0..threads).map(|_| tokio::spawn(spin(engine.clone(), sleep))).collect();
                let others: Vec<_> = (0..20).map(|_| tokio::spawn(run(engine.clone(), sleep))).collect();
                for other in others {
                    other.await.unwrap();
                }
                for endless in endless {
                    assert!(!endless.is_finished());
                    endless.abort();
                    assert!(endless.await.unwrap_err().is_cancelled());
                }
                assert!(tokio::time::timeout(MOMENT, spin(engine.clone(), sleep)).await.is_err());
                after(engine.clone(), sleep).await;
            });
        }
    }
}

/// The same on smol, on one thread.
fn on_smol<S, R, A>(
    spin: impl Fn(Engine, Sleep) -> S,
    run: impl Fn(Engine, Sleep) -> R,
    after: impl Fn(Engine, Sleep) -> A,
) where
    S: Future<Output = ()> + 'static,
    R: Future<Output = ()> + 'static,
    A: Future<Output = ()>,
{
    let sleep: Sleep = |time| {
        Box::pin(async move {
            smol::Timer::after(time).await;
        })
    };
    for tiers in TIERS {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let executor = smol::LocalExecutor::new();
        smol::block_on(executor.run(async {
            let endless = executor.spawn(spin(engine.clone(), sleep));
            let others: Vec<_> = (0..20).map(|_| executor.spawn(run(engine.clone(), sleep))).collect();
            for other in others {
                other.await;
            }
            assert!(endless.cancel().await.is_none());
            after(engine.clone(), sleep).await;
        }));
    }
}

#[test]
fn tokio_runs_many_guests_on_one_thread_and_on_two() {
    let endless = |engine, sleep| spin(engine, sleep, None);
    on_tokio(endless, run, |engine, sleep| spin(engine, sleep, Some(MOMENT)));
}

#[test]
fn smol_runs_many_guests_on_one_thread() {
    let endless = |engine, sleep| spin(engine, sleep, None);
    on_smol(endless, run, |engine, sleep| spin(engine, sleep, Some(MOMENT)));
}

/// What a guest waits for ends with its deadline, whatever the executor does meanwhile.
#[test]
fn a_deadline_ends_a_wait() {
    let sleep: Sleep = |_| Box::pin(std::future::pending());
    let engine = innkeeper::engine(Config::default());
    let (mut store, instance) = guest(&engine, sleep);
    let begin = Instant::now();
    store.set_deadline(Some(MOMENT)).unwrap();
    let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
    let error = smol::block_on(run.call_async(&mut store, 1)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Trap(Trap::DeadlineExceeded)), "{error}");
    assert!(begin.elapsed() >= MOMENT);
}
