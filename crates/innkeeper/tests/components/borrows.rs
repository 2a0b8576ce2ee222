//! What async tasks borrow, and what they return: handles that are lent for longer than a call of a function that does not wait, and options of `task.return`.

use innkeeper::Store;
use innkeeper::component::{
    Component, Feature, Features, Instance, Linker, ResourceAny, ResourceType, Running, Trap, Val,
};

use super::tasks;
use super::{call, engines};

/// A guest with functions on files of the host's; `body` is what its functions do, which are lifted by `exports`.
fn guest(engine: &innkeeper::Engine, body: &str, exports: &str) -> (Store<Vec<u32>>, Instance, ResourceType) {
    let text = format!(
        r#"(component
        (import "files" (instance $files
            (export "file" (type $file (sub resource)))
            (export "open" (func (result (own $file))))
            (export "use" (func async (param "f" (borrow $file))))))
        (alias export $files "file" (type $file))
        (core module $mem (memory (export "mem") 1) (memory (export "other") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 512)))
        (core instance $mem (instantiate $mem))
        (alias core export $mem "mem" (core memory $mem)) (alias core export $mem "other" (core memory $other))
        (alias core export $mem "realloc" (core func $realloc))
        (core func $open (canon lower (func $files "open"))) (core func $use (canon lower (func $files "use") async))
        (core func $drop (canon resource.drop $file)) (core func $yield (canon thread.yield))
        (core func $return (canon task.return)) (core func $return-text (canon task.return (result string) (memory $mem)))
        (core func $return-other (canon task.return (result string) (memory $other)))
        (core func $return-utf16 (canon task.return (result string) (memory $mem) string-encoding=utf16))
        (core func $return-bytes (canon task.return (result (list u8)) (memory $mem)))
        (core func $set-new (canon waitable-set.new)) (core func $join (canon waitable.join))
        (core func $set-wait (canon waitable-set.wait (memory $mem))) (core func $drop-subtask (canon subtask.drop))
        (core func $set-drop (canon waitable-set.drop))
        (core module $m
            (import "" "mem" (memory 1))
            (import "" "open" (func $open (result i32))) (import "" "use" (func $use (param i32) (result i32)))
            (import "" "drop" (func $drop (param i32))) (import "" "yield" (func $yield (result i32)))
            (import "" "return" (func $return)) (import "" "return-text" (func $return-text (param i32 i32)))
            (import "" "return-other" (func $return-other (param i32 i32))) (import "" "return-utf16" (func $return-utf16 (param i32 i32)))
            (import "" "return-bytes" (func $return-bytes (param i32 i32)))
            (import "" "set-new" (func $set-new (result i32))) (import "" "join" (func $join (param i32 i32)))
            (import "" "set-wait" (func $set-wait (param i32 i32) (result i32))) (import "" "drop-subtask" (func $drop-subtask (param i32)))
            (import "" "set-drop" (func $set-drop (param i32)))
            (global $kept (mut i32) (i32.const 0))
            {body})
        (core instance $m (instantiate $m (with "" (instance
            (export "mem" (memory $mem)) (export "open" (func $open)) (export "use" (func $use)) (export "drop" (func $drop))
            (export "yield" (func $yield)) (export "return" (func $return)) (export "return-text" (func $return-text))
            (export "return-other" (func $return-other)) (export "return-utf16" (func $return-utf16))
            (export "return-bytes" (func $return-bytes)) (export "set-new" (func $set-new)) (export "join" (func $join))
            (export "set-wait" (func $set-wait)) (export "drop-subtask" (func $drop-subtask)) (export "set-drop" (func $set-drop))))))
        {exports})"#
    );
    let features = [Feature::StackfulAsync, Feature::MoreAsyncBuiltins];
    let features = features.into_iter().fold(Features::default(), Features::with);
    let bytes = innkeeper::to_binary(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let component = Component::with_features(engine, bytes, features).unwrap();
    let mut linker: Linker<Vec<u32>> = Linker::new(engine);
    let ty = ResourceType::new("file");
    let mut files = linker.instance("files").unwrap();
    files.resource("file", &ty, |mut store, rep| {
        store.data_mut().push(rep);
        Ok(())
    });
    let opens = ty.clone();
    files.func_new("open", move |mut store, _, results| {
        results[0] = ResourceAny::new(&mut store, &opens, 6)?.into();
        Ok(())
    });
    // It is not ready when it is polled first.
    files.func_new_concurrent("use", |_, _params| -> Running<Option<Val>> {
        let mut polls = 0;
        Box::pin(std::future::poll_fn(move |context| {
            polls += 1;
            context.waker().wake_by_ref();
            if polls < 3 { std::task::Poll::Pending } else { std::task::Poll::Ready(Ok(None)) }
        }))
    });
    let mut store = Store::new(engine, Vec::new()).unwrap();
    let instance = linker.instantiate(&mut store, &component).unwrap();
    (store, instance, ty)
}

const STACKFUL: &str = r#"(func (export "f") async (param "f" (borrow $file)) (canon lift (core func $m "f") async))
    (func (export "g") async (canon lift (core func $m "g") async))"#;

/// C64, C74: a task does not return while it has a handle that was lent to it; whoever of its instance drops that, and when, it can then.
#[test]
fn c64_c74_a_task_returns_when_what_was_lent_is_dropped() {
    let keeps = r#"(func (export "f") (param i32) (call $return)) (func (export "g") (call $return))"#;
    let drops = r#"(func (export "f") (param i32) (drop (call $yield)) (call $drop (local.get 0)) (call $return) (drop (call $yield)))
        (func (export "g") (call $return))"#;
    // What is left after the return of one task is dropped by another one, in the meantime of a third.
    let late = r#"(func (export "f") (param i32) (global.set $kept (local.get 0))
            (loop (drop (call $yield)) (br_if 0 (global.get $kept))) (call $return))
        (func (export "g") (call $return) (loop (drop (call $yield)) (br_if 0 (i32.eqz (global.get $kept))))
            (call $drop (global.get $kept)) (global.set $kept (i32.const 0)))"#;
    let after = r#"(func (export "f") (param i32) (call $drop (local.get 0)) (call $return) (call $drop (local.get 0)))
        (func (export "g") (call $return))"#;
    for engine in engines() {
        for (body, expected) in [
            (keeps, Some(Trap::BorrowsRemain)),
            (drops, None),
            (late, None),
            // It has returned: what was lent is nobody's any more.
            (after, Some(Trap::UnknownHandle(1))),
        ] {
            let (mut store, instance, ty) = guest(&engine, body, STACKFUL);
            let file = ResourceAny::new(&mut store, &ty, 6).unwrap();
            call(&mut store, instance, "g", &[]).unwrap();
            let outcome = call(&mut store, instance, "f", &[file.into()]);
            match &expected {
                None => assert_eq!(outcome.unwrap_or_else(|error| panic!("{body}: {error}")), None),
                Some(trap) => assert_eq!(outcome.unwrap_err().downcast_ref::<Trap>(), Some(trap)),
            }
            let next = call(&mut store, instance, "g", &[]);
            match &expected {
                None => assert_eq!(next.unwrap(), None),
                Some(_) => assert!(instance.is_poisoned(&mut store)),
            }
            // Where the task has returned, the host has it back.
            if expected.is_none() {
                file.drop(&mut store).unwrap();
                assert_eq!(*store.data(), [6]);
            }
        }
    }
}

/// C71: what was lent to a function of the host that waits is not dropped until that has ended.
#[test]
fn c71_a_resource_that_the_host_is_using_is_not_dropped() {
    let text = |waits: &str| {
        format!(
            r#"(func (export "g") (local $file i32) (local $task i32) (local $set i32)
            (local.set $file (call $open))
            (local.set $task (call $use (local.get $file)))
            ;; STARTED
            (if (i32.ne (i32.and (local.get $task) (i32.const 15)) (i32.const 1)) (then (unreachable)))
            (local.set $task (i32.shr_u (local.get $task) (i32.const 4)))
            {waits}
            (call $drop (local.get $file))
            (call $return))"#
        )
    };
    let waits = r#"(local.set $set (call $set-new)) (call $join (local.get $task) (local.get $set))
        (drop (call $set-wait (local.get $set) (i32.const 0)))
        (call $drop-subtask (local.get $task)) (call $set-drop (local.get $set))"#;
    let exports = r#"(func (export "g") async (canon lift (core func $m "g") async))"#;
    for engine in engines() {
        let (mut store, instance, _) = guest(&engine, &text(waits), exports);
        call(&mut store, instance, "g", &[]).unwrap();
        assert_eq!(*store.data(), [6]);
        let (mut store, instance, _) = guest(&engine, &text(""), exports);
        let error = call(&mut store, instance, "g", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Lent), "{error}");
        assert!(store.data().is_empty() && instance.is_poisoned(&mut store));
    }
}

/// C74: `task.return` has the options that the function was lifted with.
#[test]
fn c74_a_task_returns_with_the_options_it_was_lifted_with() {
    for (returns, is_right) in [
        ("return-text", true),
        ("return-other", false),
        ("return-utf16", false),
        ("return-bytes", false),
        ("return", false),
    ] {
        let given = if returns == "return" { "" } else { "(i32.const 0) (i32.const 1)" };
        let body = format!(r#"(data (i32.const 0) "a") (func (export "f") (call ${returns} {given}))"#);
        let exports = r#"(func (export "f") async (result string) (canon lift (core func $m "f") async (memory $mem)))"#;
        for engine in engines() {
            let (mut store, instance, _) = guest(&engine, &body, exports);
            let outcome = call(&mut store, instance, "f", &[]);
            match is_right {
                true => assert_eq!(outcome.unwrap(), Some(Val::from("a"))),
                false => {
                    let error = outcome.unwrap_err();
                    assert_eq!(
                        error.downcast_ref::<Trap>(),
                        Some(&Trap::WrongReturnType),
                        "{returns}: {error}"
                    );
                }
            }
        }
    }
}

/// C82: a function that is called as one that does not wait waits for what never comes: both are named.
#[test]
fn c82_a_call_that_waits_for_a_task_that_never_returns() {
    let text = r#"(component
        (component $C
            (core module $mem (memory (export "mem") 1)) (core instance $mem (instantiate $mem))
            (core func $set-new (canon waitable-set.new))
            (core module $m (import "" "set-new" (func $set-new (result i32)))
                (func (export "f") (result i32) (i32.or (i32.const 2) (i32.shl (call $set-new) (i32.const 4))))
                (func (export "cb") (param i32 i32 i32) (result i32) (unreachable)))
            (core instance $m (instantiate $m (with "" (instance (export "set-new" (func $set-new))))))
            (func (export "f") async (canon lift (core func $m "f") async (callback (core func $m "cb")))))
        (component $D (import "f" (func $f async)) (core func $f (canon lower (func $f)))
            (core module $m (import "" "f" (func $f)) (func (export "run") (call $f)))
            (core instance $m (instantiate $m (with "" (instance (export "f" (func $f))))))
            (func (export "run") async (canon lift (core func $m "run"))))
        (instance $c (instantiate $C))
        (instance $d (instantiate $D (with "f" (func $c "f"))))
        (func (export "run") (alias export $d "run")))"#;
    for engine in engines() {
        let (mut store, instance) = super::instance(&engine, text);
        let budget = store.budget().clone();
        let error = call(&mut store, instance, "run", &[]).unwrap_err();
        let Some(Trap::Deadlock(waiters)) = error.downcast_ref::<Trap>() else { panic!("{error}") };
        assert_eq!(waiters.len(), 2, "{error}");
        assert!(error.to_string().contains("deadlock detected"), "{error}");
        assert!(instance.is_poisoned(&mut store));
        drop(store);
        assert_eq!(budget.used_bytes(), 0);
    }
}

/// C85: ten thousand tasks that wait, each of which has one of another component's that it waits for; all end, and nothing of them is left.
#[test]
fn c85_ten_thousand_tasks_that_each_make_one() {
    const TASKS: u32 = 10_000;
    let text = r#"(component
        (component $C
            (core func $return (canon task.return))
            (core module $m (import "" "return" (func $return))
                ;; It ends when all others had a turn.
                (func (export "f") (result i32) (i32.const 1))
                (func (export "cb") (param i32 i32 i32) (result i32) (call $return) (i32.const 0)))
            (core instance $m (instantiate $m (with "" (instance (export "return" (func $return))))))
            (func (export "f") async (canon lift (core func $m "f") async (callback (core func $m "cb")))))
        (component $D (import "f" (func $f async)) (core func $f (canon lower (func $f) async))
            (core func $return (canon task.return (result u32))) (core func $set-new (canon waitable-set.new))
            (core func $set-drop (canon waitable-set.drop)) (core func $join (canon waitable.join))
            (core func $drop (canon subtask.drop)) (core func $get (canon context.get i32 0)) (core func $set (canon context.set i32 0))
            (core module $m (import "" "f" (func $f (result i32))) (import "" "return" (func $return (param i32)))
                (import "" "set-new" (func $set-new (result i32))) (import "" "set-drop" (func $set-drop (param i32)))
                (import "" "join" (func $join (param i32 i32))) (import "" "drop" (func $drop (param i32)))
                (import "" "get" (func $get (result i32))) (import "" "set" (func $set (param i32)))
                (global $ended (mut i32) (i32.const 0)) (global $of (mut i32) (i32.const 0))
                (func $spawn (export "g") (result i32) (local $subtask i32)
                    (local.set $subtask (call $f))
                    (if (i32.ne (i32.and (local.get $subtask) (i32.const 15)) (i32.const 1)) (then (unreachable)))
                    (call $return (i32.const 1))
                    (call $set (call $set-new))
                    (call $join (i32.shr_u (local.get $subtask) (i32.const 4)) (call $get))
                    (i32.or (i32.const 2) (i32.shl (call $get) (i32.const 4))))
                (func (export "cb") (param $event i32) (param $subtask i32) (param $state i32) (result i32)
                    (if (i32.ne (local.get $event) (i32.const 1)) (then (unreachable)))
                    (call $drop (local.get $subtask)) (call $set-drop (call $get))
                    (global.set $ended (i32.add (global.get $ended) (i32.const 1))) (i32.const 0))
                (func (export "ended") (param i32) (result i32) (global.set $of (local.get 0)) (i32.const 1))
                (func (export "waits") (param i32 i32 i32) (result i32)
                    (if (i32.lt_u (global.get $ended) (global.get $of)) (then (return (i32.const 1))))
                    (call $return (global.get $ended)) (global.set $ended (i32.const 0)) (i32.const 0)))
            (core instance $m (instantiate $m (with "" (instance (export "f" (func $f)) (export "return" (func $return))
                (export "set-new" (func $set-new)) (export "set-drop" (func $set-drop)) (export "join" (func $join))
                (export "drop" (func $drop)) (export "get" (func $get)) (export "set" (func $set))))))
            (func (export "g") async (result u32) (canon lift (core func $m "g") async (callback (core func $m "cb"))))
            (func (export "ended") async (param "of" u32) (result u32)
                (canon lift (core func $m "ended") async (callback (core func $m "waits")))))
        (instance $c (instantiate $C))
        (instance $d (instantiate $D (with "f" (func $c "f"))))
        (func (export "g") (alias export $d "g")) (func (export "ended") (alias export $d "ended")))"#;
    for engine in engines() {
        let (mut store, instance) = super::instance(&engine, text);
        let mut used = Vec::new();
        for _ in 0..3 {
            for _ in 0..TASKS {
                tasks::result(call(&mut store, instance, "g", &[]));
            }
            assert_eq!(tasks::result(call(&mut store, instance, "ended", &[Val::U32(TASKS)])), TASKS);
            used.push(store.budget().used_bytes());
        }
        assert_eq!(used[1], used[2]);
    }
}
