//! What guests of WASI wait for in calls that can wait, without holding a thread: each function of the list that may wait, in each tier, gone on, dropped, ended by a
//! deadline in mid-wait, and called by who can only hold the thread; and what bounds them.

mod bounds;
mod cases;
#[path = "../forked/mod.rs"]
mod forked;
mod sleeper;
mod threads;
mod world;

use std::net::TcpStream;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use innkeeper::wasi::p1::{self, Context, Observers, Version};
use innkeeper::{Config, Engine, ErrorKind, Linker, Module, Store, Tiers, Trap, TypedFunc};

use cases::{CASES, Case};
use sleeper::{SOON, Sleeper};
use world::{Peer, World};

const MOMENT: Duration = Duration::from_millis(20);

struct Guest {
    store: Store<Context>,
    run: TypedFunc<(), i32>,
    idle: TypedFunc<(), i32>,
}

fn guest(engine: &Engine, text: &str, context: Context) -> Guest {
    let module = Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().as_ref()).unwrap();
    let mut linker = Linker::new(engine);
    p1::add_to_linker(&mut linker, |context| context).unwrap();
    let mut store = Store::new(engine, context).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func(&mut store, "run").unwrap();
    let idle = instance.get_typed_func(&mut store, "idle").unwrap();
    Guest { store, run, idle }
}

/// How many descriptors the process is being told of: nobody else here asks.
fn watched_descriptors() -> usize {
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.unwrap();
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        if target != Path::new("anon_inode:[eventpoll]") {
            return 0;
        }
        let info = std::fs::read_to_string(Path::new("/proc/self/fdinfo").join(entry.file_name())).unwrap();
        info.lines().filter(|line| line.starts_with("tfd:")).count()
    };
    std::fs::read_dir("/proc/self/fd").unwrap().map(of).sum()
}

/// Held by each test that counts descriptors.
static ALONE: Mutex<()> = Mutex::new(());

fn for_each_case(act: impl Fn(&Case, &str, &Engine)) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for tiers in [Tiers::Interpreter, Tiers::Compiled, Tiers::Auto] {
        let engine = innkeeper::engine_with(Config::default(), tiers);
        // Those of the older version are the same, but for the places of some fields.
        let versions = if tiers == Tiers::Interpreter { &Version::ALL[..] } else { &[Version::Preview1] };
        for &version in versions {
            for case in CASES {
                let is_there = p1::functions(version).iter().any(|function| function.name == case.name);
                if is_there {
                    act(case, &case.text(version), &engine);
                    assert_eq!(watched_descriptors(), 0, "{} {:?}", case.name, case.peer);
                }
            }
        }
    }
}

/// What a case that is repeated ends with is an error; others succeed.
fn check(case: &Case, errno: i32) {
    assert_eq!(errno != 0, case.is_repeated, "{} {:?}: {errno}", case.name, case.peer);
}

#[test]
fn every_function_that_may_wait_is_tried() {
    for version in Version::ALL {
        for function in p1::functions(version) {
            let is_tried = CASES.iter().any(|case| case.name == function.name);
            assert_eq!(is_tried, function.may_wait, "{}", function.name);
        }
    }
    for case in CASES {
        assert!(
            p1::functions(Version::Preview1).iter().any(|function| function.name == case.name),
            "{}",
            case.name
        );
    }
}

/// What waits is a future: nothing happens until the other end acts, and then the call ends as it should.
#[test]
fn what_waits_suspends_and_goes_on() {
    for_each_case(|case, text, engine| {
        let (mut world, context) = World::new(case);
        let mut guest = guest(engine, text, context.observed(Observers::none().summarizer()));
        {
            let mut call = std::pin::pin!(guest.run.call_async(&mut guest.store, ()));
            let sleeper = Sleeper::new();
            assert!(sleeper.poll(call.as_mut()).is_pending(), "{} {:?}", case.name, case.peer);
            world.act(case.peer);
            check(case, sleeper.run(call).unwrap());
        }
        let summary = guest.store.data().observers().and_then(Observers::summary).unwrap();
        let text = format!("{summary:?}");
        assert!(text.contains(case.name), "{text}");
        assert_eq!(guest.idle.call(&mut guest.store, ()).unwrap(), 7);
    });
}

/// What is dropped in mid-wait leaves nothing behind, and the store can be used again. Whoever watches is told of it.
#[test]
fn what_waits_can_be_dropped() {
    for_each_case(|case, text, engine| {
        let (mut world, context) = World::new(case);
        let mut guest = guest(engine, text, context.observed(Observers::none().summarizer()));
        for _ in 0..2 {
            let mut call = Box::pin(guest.run.call_async(&mut guest.store, ()));
            assert!(Sleeper::new().poll(call.as_mut()).is_pending(), "{} {:?}", case.name, case.peer);
            drop(call);
            assert_eq!(watched_descriptors(), 0, "{} {:?}", case.name, case.peer);
            let summary = guest.store.data().observers().and_then(Observers::summary).unwrap();
            assert!(format!("{summary:?}").contains(case.name), "{} is not told of: {summary:?}", case.name);
            assert_eq!(guest.idle.call(&mut guest.store, ()).unwrap(), 7);
            if case.before.contains("$accept") {
                // What was accepted is taken; the next call accepts another.
                world.peer = Some(TcpStream::connect(world.address).unwrap());
            }
        }
    });
}

#[test]
fn a_deadline_ends_what_waits() {
    for_each_case(|case, text, engine| {
        if case.peer == Peer::Nothing {
            return;
        }
        let (_world, context) = World::new(case);
        let mut guest = guest(engine, text, context);
        let begin = Instant::now();
        guest.store.set_deadline(Some(MOMENT)).unwrap();
        let mut call = Box::pin(guest.run.call_async(&mut guest.store, ()));
        let error = Sleeper::new().run(call.as_mut()).unwrap_err();
        drop(call);
        assert!(matches!(error.kind(), ErrorKind::Trap(Trap::DeadlineExceeded)), "{}: {error}", case.name);
        assert!(begin.elapsed() < SOON);
        guest.store.set_deadline(None).unwrap();
        assert_eq!(guest.idle.call(&mut guest.store, ()).unwrap(), 7);
    });
}

/// A call that cannot wait holds its thread, also where the store's last call could wait.
#[test]
fn a_synchronous_call_holds_the_thread() {
    for_each_case(|case, text, engine| {
        let (world, context) = World::new(case);
        let mut guest = guest(engine, text, context);
        let mut idle = Box::pin(guest.idle.call_async(&mut guest.store, ()));
        assert_eq!(Sleeper::new().run(idle.as_mut()).unwrap(), 7);
        drop(idle);
        let beside = world.act_beside(case.peer);
        check(case, guest.run.call(&mut guest.store, ()).unwrap());
        drop(beside.join().unwrap());
    });
}

/// A process that was forked is told of what its own guests wait for, and the one that it is the fork of of its own.
#[test]
fn what_waits_goes_on_in_a_fork_as_well() {
    for_each_case(|case, text, engine| {
        let (mut world, context) = World::new(case);
        let mut guest = guest(engine, text, context);
        {
            // The parent waits meanwhile.
            let mut call = std::pin::pin!(guest.run.call_async(&mut guest.store, ()));
            let sleeper = Sleeper::new();
            assert!(sleeper.poll(call.as_mut()).is_pending(), "{} {:?}", case.name, case.peer);
            forked::in_fork(case.name, || {
                let (mut world, context) = World::new(case);
                let mut guest = self::guest(engine, text, context);
                let mut call = std::pin::pin!(guest.run.call_async(&mut guest.store, ()));
                let sleeper = Sleeper::new();
                assert!(sleeper.poll(call.as_mut()).is_pending());
                world.act(case.peer);
                check(case, sleeper.run(call).unwrap());
            });
            world.act(case.peer);
            check(case, sleeper.run(call).unwrap());
        }
    });
}
