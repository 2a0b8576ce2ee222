//! Functions that wait: the host's, which hold no thread, and calls of guests that are given up.

use std::pin::pin;

use innkeeper::component::{Component, Lent, Linker, Resource, ResourceTable, Val, bindgen};
use innkeeper::{Engine, Error, Store};
use smol::future::{block_on, poll_once, yield_now};

use crate::{component, store};

mod queue {
    super::bindgen!({
        inline: "
            package test:queue;
            interface jobs {
                resource job { constructor(name: string); finish: func() -> result<u32, string>; }
                ready: func() -> u32;
            }
            world queue { import jobs; import pause: func(turns: u32); export run: func(name: string) -> u32; export idle: func() -> u32; }",
        imports: { "test:queue/jobs#[method]job.finish": async | trappable, "pause": async },
        exports: { "run": async },
    });
}

const WIT: &str = "package test:queue; interface jobs {
    resource job { constructor(name: string); finish: func() -> result<u32, string>; } ready: func() -> u32; }
    world queue { import jobs; import pause: func(turns: u32); export run: func(name: string) -> u32; export idle: func() -> u32; }";

const IMPORTS: &str = r#"
    (import "test:queue/jobs" "[constructor]job" (func $new (param i32 i32) (result i32)))
    (import "test:queue/jobs" "[method]job.finish" (func $finish (param i32 i32)))
    (import "test:queue/jobs" "[resource-drop]job" (func $drop (param i32)))
    (import "test:queue/jobs" "ready" (func $ready (result i32)))
    (import "$root" "pause" (func $pause (param i32)))"#;

const FUNCTIONS: &str = r#"
    (func (export "run") (param i32 i32) (result i32)
        (local $job i32)
        (local.set $job (call $new (local.get 0) (local.get 1)))
        (call $pause (i32.const 3))
        (call $finish (local.get $job) (i32.const 16))
        (call $drop (local.get $job))
        (i32.add (i32.load (i32.const 20)) (call $ready)))
    (func (export "idle") (result i32) (i32.const 5))"#;

#[derive(Default)]
struct Jobs {
    table: ResourceTable,
    turns: u32,
    dropped: u32,
}

impl queue::test::queue::jobs::HostJob for Jobs {
    fn new(&mut self, name: &str) -> Resource<queue::test::queue::jobs::Job> {
        let named = self.table.push(name.to_owned()).unwrap();
        Resource::new(named.rep())
    }

    async fn finish(
        &mut self,
        this: Lent<queue::test::queue::jobs::Job>,
    ) -> Result<Result<u32, String>, Error> {
        yield_now().await;
        let name = self.table.get(&Resource::<String>::new(this.rep()))?;
        if name.is_empty() { Err(Error::msg("a job without a name")) } else { Ok(Ok(name.len() as u32)) }
    }

    fn drop(&mut self, rep: Resource<queue::test::queue::jobs::Job>) -> Result<(), Error> {
        self.dropped += 1;
        self.table.delete(Resource::<String>::new(rep.rep())).map(drop)
    }
}

impl queue::test::queue::jobs::Host for Jobs {
    fn ready(&mut self) -> u32 {
        self.turns
    }
}

impl queue::QueueImports for Jobs {
    async fn pause(&mut self, turns: u32) {
        for _ in 0..turns {
            self.turns += 1;
            yield_now().await;
        }
    }
}

fn queue() -> (Engine, Store<Jobs>, queue::Queue) {
    let (engine, mut store) = store(Jobs::default());
    let component = component(&engine, WIT, "queue", IMPORTS, FUNCTIONS);
    let mut linker = Linker::new(&engine);
    queue::Queue::add_to_linker(&mut linker, |jobs: &mut Jobs| jobs).unwrap();
    let queue = block_on(queue::Queue::instantiate_async(&mut store, &linker, &component)).unwrap();
    (engine, store, queue)
}

/// A guest waits for functions of the host, in the middle of a call of it.
#[test]
fn a_queue_whose_jobs_wait() {
    let (_, mut store, queue) = queue();
    assert_eq!(block_on(queue.call_run(&mut store, "seven77")).unwrap(), 7 + 3);
    assert_eq!(queue.call_idle(&mut store).unwrap(), 5, "what does not wait is called as ever");
    let error = block_on(queue.call_run(&mut store, "")).unwrap_err();
    assert!(error.to_string().contains("a job without a name"), "{error}");
    assert!(queue.instance().is_poisoned(&mut store));
}

/// The future is given up while the guest waits: in the host's function it lent a handle to, too.
#[test]
fn a_call_that_is_dropped_leaves_the_store_usable() {
    for polls in 1..5 {
        let (engine, mut store, queue) = queue();
        {
            let mut call = pin!(queue.call_run(&mut store, "a"));
            for _ in 0..polls {
                assert!(block_on(poll_once(call.as_mut())).is_none(), "it waits four times");
            }
        }
        assert!(queue.instance().is_poisoned(&mut store), "nobody knows what it was about to do");
        let error = queue.call_idle(&mut store).unwrap_err();
        assert!(error.to_string().contains("cannot enter component instance"), "{error}");
        // Another instance of the same store goes on, and what the host kept is there.
        let component = component(&engine, WIT, "queue", IMPORTS, FUNCTIONS);
        let mut linker = Linker::new(&engine);
        queue::Queue::add_to_linker(&mut linker, |jobs: &mut Jobs| jobs).unwrap();
        let other = block_on(queue::Queue::instantiate_async(&mut store, &linker, &component)).unwrap();
        let turns = store.data().turns;
        assert_eq!(block_on(other.call_run(&mut store, "ab")).unwrap(), 2 + turns + 3);
        assert_eq!(store.data().dropped, 1);
    }
}

/// In a call that cannot wait, a function that waits is an error that says how to call.
#[test]
fn a_call_that_cannot_wait_says_so() {
    let (_, mut store, queue) = queue();
    let run = queue.instance().get_func(&mut store, "run").unwrap();
    let mut results = [Val::Bool(false)];
    let error = run.call(&mut store, &[Val::from("a")], &mut results).unwrap_err();
    assert!(error.to_string().contains("call_async"), "{error}");
}

/// The same with values of any type.
#[test]
fn values_of_any_type_wait_too() {
    let (_, mut store, queue) = queue();
    let run = queue.instance().get_func(&mut store, "run").unwrap();
    let mut results = [Val::Bool(false)];
    block_on(run.call_async(&mut store, &[Val::from("abc")], &mut results)).unwrap();
    assert_eq!(results, [Val::U32(6)]);
    drop(block_on(poll_once(pin!(run.call_async(&mut store, &[Val::from("abc")], &mut results)))));
    assert!(queue.instance().is_poisoned(&mut store));
}

/// A future of a call can go from thread to thread.
#[test]
fn a_call_can_be_sent() {
    fn is_send<T: Send>(of: T) -> T {
        of
    }
    let (_, mut store, queue) = queue();
    assert_eq!(block_on(is_send(queue.call_run(&mut store, "seven77"))).unwrap(), 10);
}

/// A component waits that was called by another one: calls between them are code, and so on the fiber, too.
#[test]
fn what_another_component_calls_waits_too() {
    let text = r#"(component
        (import "pause" (func $pause (param "turns" u32)))
        (component $inner
            (import "pause" (func $pause (param "turns" u32)))
            (core func $pause (canon lower (func $pause)))
            (core module $m (import "" "pause" (func $pause (param i32)))
                (func (export "wait") (param i32) (result i32) (call $pause (local.get 0)) (i32.const 7)))
            (core instance $i (instantiate $m (with "" (instance (export "pause" (func $pause))))))
            (func (export "wait") (param "turns" u32) (result u32) (canon lift (core func $i "wait"))))
        (instance $inner (instantiate $inner (with "pause" (func $pause))))
        (component $outer
            (import "wait" (func $wait (param "turns" u32) (result u32)))
            (core func $wait (canon lower (func $wait)))
            (core module $m (import "" "wait" (func $wait (param i32) (result i32)))
                (func (export "twice") (param i32) (result i32) (i32.add (call $wait (local.get 0)) (call $wait (local.get 0)))))
            (core instance $i (instantiate $m (with "" (instance (export "wait" (func $wait))))))
            (func (export "twice") (param "turns" u32) (result u32) (canon lift (core func $i "twice"))))
        (instance $outer (instantiate $outer (with "wait" (func $inner "wait"))))
        (export "twice" (func $outer "twice")))"#;
    let (engine, mut store) = store(0);
    let component = Component::new(&engine, text).unwrap();
    let mut linker: Linker<u32> = Linker::new(&engine);
    linker.root().func_wrap_async::<(u32,), _>("pause", |mut store, (turns,)| {
        Box::new(async move {
            for _ in 0..turns {
                *store.data_mut() += 1;
                yield_now().await;
            }
            Ok(())
        })
    });
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let twice = instance.get_typed_func::<(u32,), u32>(&mut store, "twice").unwrap();
    assert_eq!(block_on(twice.call_async(&mut store, (3,))).unwrap(), 14);
    assert_eq!(*store.data(), 6);
    drop(block_on(poll_once(pin!(twice.call_async(&mut store, (3,))))));
    assert!(instance.is_poisoned(&mut store));
}
