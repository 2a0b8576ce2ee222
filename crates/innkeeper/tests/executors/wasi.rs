//! Guests of WASI that wait, many on one thread: for time, and for each other.

use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::time::{Duration, Instant};

use innkeeper::wasi::keys::{Access, DirKey, Keys};
use innkeeper::wasi::p1::{self, Context};
use innkeeper::{Config, Engine, Linker, Module, Store, Tiers};

use super::TIERS;
use super::turns::{SOON, run_all};

/// Sleeps, or sends a byte to and fro through two pipes, as often as it is told.
const GUEST: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open" (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "ab")
    (data (i32.const 16) "\04\00\00\00\01\00\00\00")
    (func (export "sleep") (param i64) (result i32)
        (i32.store (i32.const 48) (i32.const 1)) (i64.store (i32.const 56) (local.get 0))
        (call $poll (i32.const 32) (i32.const 200) (i32.const 1) (i32.const 8)))
    (func $open (param $name i32) (param $rights i64) (result i32)
        (if (call $path_open (i32.const 3) (i32.const 0) (local.get $name) (i32.const 1) (i32.const 0) (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 8))
            (then (unreachable)))
        (i32.load (i32.const 8)))
    (func $receive (param $fd i32)
        (if (call $read (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 8)) (then (unreachable))))
    (func $send (param $fd i32)
        (if (call $write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 8)) (then (unreachable))))
    ;; The first writes to one pipe and reads from the other, the second the other way round.
    (func (export "first") (param $times i32) (result i32) (local $in i32) (local $out i32)
        (local.set $out (call $open (i32.const 0) (i64.const 64)))
        (local.set $in (call $open (i32.const 1) (i64.const 2)))
        (loop $again
            (call $send (local.get $out))
            (call $receive (local.get $in))
            (i32.store8 (i32.const 4) (i32.add (i32.load8_u (i32.const 4)) (i32.const 1)))
            (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
        (i32.load8_u (i32.const 4)))
    (func (export "second") (param $times i32) (result i32) (local $in i32) (local $out i32)
        (local.set $in (call $open (i32.const 0) (i64.const 2)))
        (local.set $out (call $open (i32.const 1) (i64.const 64)))
        (loop $again
            (call $receive (local.get $in))
            (i32.store8 (i32.const 4) (i32.add (i32.load8_u (i32.const 4)) (i32.const 1)))
            (call $send (local.get $out))
            (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
        (i32.load8_u (i32.const 4))))"#;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Guests {
    engine: Engine,
    module: Module,
    linker: Linker<Context>,
}

impl Guests {
    fn new(tiers: Tiers) -> Guests {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        let module = Module::new(&engine, innkeeper::to_binary(GUEST.as_bytes()).unwrap().as_ref()).unwrap();
        let mut linker = Linker::new(&engine);
        p1::add_to_linker(&mut linker, |context| context).unwrap();
        Guests { engine, module, linker }
    }

    /// A call of a guest's export that returns `expected`.
    fn call(&self, keys: &Keys, (name, argument, expected): (&'static str, i32, i32)) -> Task {
        let mut store = Store::new(&self.engine, Context::new(keys).unwrap()).unwrap();
        let instance = self.linker.instantiate(&mut store, &self.module).unwrap();
        let run = instance.get_typed_func::<i32, i32>(&mut store, name).unwrap();
        Box::pin(async move {
            assert_eq!(run.call_async(&mut store, argument).await.unwrap(), expected);
        })
    }

    fn sleep(&self, time: Duration) -> Task {
        let mut store = Store::new(&self.engine, Context::new(&Keys::builder().build()).unwrap()).unwrap();
        let instance = self.linker.instantiate(&mut store, &self.module).unwrap();
        let run = instance.get_typed_func::<i64, i32>(&mut store, "sleep").unwrap();
        let time = i64::try_from(time.as_nanos()).unwrap();
        Box::pin(async move {
            assert_eq!(run.call_async(&mut store, time).await.unwrap(), 0);
        })
    }

    /// Guests that wait for each other, two by two.
    fn pairs(&self, dir: &std::path::Path, count: usize) -> Vec<Task> {
        let mut tasks = Vec::new();
        for pair in 0..count {
            let dir = dir.join(pair.to_string());
            std::fs::create_dir(&dir).unwrap();
            for name in ["a", "b"] {
                assert!(Command::new("mkfifo").arg(dir.join(name)).status().unwrap().success());
            }
            let keys = Keys::builder().directory(DirKey::new(&dir, "/", Access::ReadWrite)).build();
            tasks.push(self.call(&keys, ("first", 50, 100)));
            tasks.push(self.call(&keys, ("second", 50, 99)));
        }
        tasks
    }
}

/// Runs guests that wait for each other, and some that sleep meanwhile.
fn try_with(run: impl Fn(Vec<Task>)) {
    for tiers in TIERS {
        let guests = Guests::new(tiers);
        let dir = tempfile::tempdir().unwrap();
        let mut tasks = guests.pairs(dir.path(), 4);
        tasks.extend((0..4).map(|_| guests.sleep(Duration::from_millis(30))));
        run(tasks);
    }
}

#[test]
fn guests_that_wait_for_each_other_go_on_on_one_thread() {
    try_with(run_all);
}

#[test]
fn so_they_do_with_tokio_on_one_thread_and_on_two() {
    for threads in [1, 2] {
        try_with(|tasks| {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(threads).build().unwrap();
            let tasks: Vec<_> = tasks.into_iter().map(|task| runtime.spawn(task)).collect();
            for task in tasks {
                runtime.block_on(task).unwrap();
            }
        });
    }
}

#[test]
fn so_they_do_with_smol() {
    try_with(|tasks| {
        let executor = smol::LocalExecutor::new();
        let tasks: Vec<_> = tasks.into_iter().map(|task| executor.spawn(task)).collect();
        smol::block_on(executor.run(async {
            for task in tasks {
                task.await;
            }
        }));
    });
}

#[test]
fn a_thousand_sleep_on_one_thread() {
    const TIME: Duration = Duration::from_millis(200);
    let guests = Guests::new(Tiers::Auto);
    let tasks: Vec<_> = (0..1000).map(|_| guests.sleep(TIME)).collect();
    let begin = Instant::now();
    run_all(tasks);
    // One after the other they would take 200 s.
    assert!(begin.elapsed() >= TIME && begin.elapsed() < SOON, "{:?}", begin.elapsed());
}
