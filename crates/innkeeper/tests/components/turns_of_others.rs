//! C86: who may enter an instance while a guest in it lets others have their turn, waits, or only looks.

use std::sync::OnceLock;

use innkeeper::component::{Component, Feature, Features, Func, Linker, Trap, Val};
use innkeeper::{Engine, Error, Store};

use super::{call, engines, tasks};

/// `$b` yields, polls, and has the host call a function of `$a`'s or its own, before it yields and after; `$a` waits for it in `f`. `other` of `$a` goes on after its return and counts its turns.
const TEXT: &str = r#"(component
    (import "back" (func $back (param "whom" u32) (result bool)))
    (component $b
        (import "back" (func $back (param "whom" u32) (result bool)))
        (core func $back (canon lower (func $back)))
        (core func $yield (canon thread.yield)) (core func $return (canon task.return (result u32)))
        (core module $mem (memory (export "mem") 1))
        (core instance $mem (instantiate $mem))
        (alias core export $mem "mem" (core memory $mem))
        (core func $new (canon waitable-set.new)) (core func $poll (canon waitable-set.poll (memory $mem)))
        (core module $m
            (import "" "back" (func $back (param i32) (result i32)))
            (import "" "yield" (func $yield (result i32))) (import "" "return" (func $return (param i32)))
            (import "" "new" (func $new (result i32))) (import "" "poll" (func $poll (param i32 i32) (result i32)))
            (func (export "poke") (result i32) (i32.const 1))
            ;; Whom the host calls, and whether after a turn of others, or after having looked for events a few times.
            (func (export "g") (param $whom i32) (param $how i32) (local $set i32)
                (if (i32.eq (local.get $how) (i32.const 1)) (then (drop (call $yield))))
                (if (i32.eq (local.get $how) (i32.const 2)) (then
                    (local.set $set (call $new))
                    (drop (call $poll (local.get $set) (i32.const 0))) (drop (call $poll (local.get $set) (i32.const 0)))))
                (call $return (call $back (local.get $whom)))))
        (core instance $m (instantiate $m (with "" (instance (export "back" (func $back)) (export "yield" (func $yield))
            (export "return" (func $return)) (export "new" (func $new)) (export "poll" (func $poll))))))
        (func (export "poke") (result u32) (canon lift (core func $m "poke")))
        (func (export "g") async (param "whom" u32) (param "how" u32) (result u32) (canon lift (core func $m "g") async)))
    (component $a
        (import "g" (func $g async (param "whom" u32) (param "how" u32) (result u32)))
        (core func $g (canon lower (func $g)))
        (core func $yield (canon thread.yield)) (core func $return (canon task.return (result u32)))
        (core module $m
            (import "" "g" (func $g (param i32 i32) (result i32)))
            (import "" "yield" (func $yield (result i32))) (import "" "return" (func $return (param i32)))
            (global $turns (mut i32) (i32.const 0))
            (func (export "poke") (result i32) (i32.const 1))
            (func (export "turns") (result i32) (global.get $turns))
            (func (export "f") (param i32 i32) (call $return (call $g (local.get 0) (local.get 1))))
            (func (export "other") (call $return (i32.const 0))
                (loop (drop (call $yield)) (global.set $turns (i32.add (global.get $turns) (i32.const 1))) (br 0))))
        (core instance $m (instantiate $m (with "" (instance (export "g" (func $g)) (export "yield" (func $yield)) (export "return" (func $return))))))
        (func (export "poke") (result u32) (canon lift (core func $m "poke")))
        (func (export "turns") (result u32) (canon lift (core func $m "turns")))
        (func (export "f") async (param "whom" u32) (param "how" u32) (result u32) (canon lift (core func $m "f") async))
        (func (export "other") async (result u32) (canon lift (core func $m "other") async)))
    (instance $b (instantiate $b (with "back" (func $back))))
    (instance $a (instantiate $a (with "g" (func $b "g"))))
    (export "f" (func $a "f")) (export "other" (func $a "other")) (export "turns" (func $a "turns"))
    (export "poke-a" (func $a "poke")) (export "poke-b" (func $b "poke")))"#;

/// Whom the host can call.
#[derive(Default)]
struct Back(OnceLock<[Func; 2]>);

const A: u32 = 0;
const B: u32 = 1;
const AT_ONCE: u32 = 0;
const AFTER_A_TURN: u32 = 1;
const AFTER_LOOKING: u32 = 2;

fn component(engine: &Engine) -> Component {
    let features = [Feature::StackfulAsync, Feature::MoreAsyncBuiltins];
    let features = features.into_iter().fold(Features::default(), Features::with);
    Component::with_features(engine, innkeeper::to_binary(TEXT.as_bytes()).unwrap(), features).unwrap()
}

fn linker(engine: &Engine) -> Linker<Back> {
    let mut linker = Linker::<Back>::new(engine);
    linker.root().func_wrap("back", |mut store, (whom,): (u32,)| -> Result<bool, Error> {
        let func = store.data().0.get().unwrap()[whom as usize];
        let mut results = [Val::Bool(false)];
        match func.call(&mut store, &[], &mut results) {
            Ok(()) => Ok(true),
            Err(error) if error.downcast_ref::<Trap>() == Some(&Trap::CannotEnter) => Ok(false),
            Err(error) => Err(error),
        }
    });
    linker
}

/// Whether the host could call, and how many turns others of `$a` had meanwhile.
fn run(engine: &Engine, whom: u32, how: u32) -> (u32, u32) {
    let mut store = Store::new(engine, Back::default()).unwrap();
    let instance = linker(engine).instantiate(&mut store, &component(engine)).unwrap();
    let funcs = ["poke-a", "poke-b"].map(|name| instance.get_func(&mut store, name).unwrap());
    store.data().0.set(funcs).unwrap();
    assert_eq!(tasks::result(call(&mut store, instance, "other", &[])), 0);
    let could = tasks::result(call(&mut store, instance, "f", &[Val::U32(whom), Val::U32(how)]));
    assert!(!instance.is_poisoned(&mut store));
    (could, tasks::result(call(&mut store, instance, "turns", &[])))
}

/// While a guest waits for a call, others of its instance have turns in it. The host never comes in while anything of the outermost instance runs, neither in the call that has led there nor when that has let others have a turn.
#[test]
fn c86_others_have_turns_where_a_guest_waits_and_the_host_does_not_come_in() {
    for engine in engines() {
        for whom in [A, B] {
            assert_eq!(run(&engine, whom, AT_ONCE), (0, 0));
            let (could, turns) = run(&engine, whom, AFTER_A_TURN);
            assert_eq!(could, 0);
            assert!(turns > 0);
        }
    }
}

/// Who only looks whether there is an event lets nobody run.
#[test]
fn c86_who_polls_a_set_lets_nobody_run() {
    for engine in engines() {
        let at_once = run(&engine, A, AT_ONCE);
        assert_eq!(run(&engine, A, AFTER_LOOKING), at_once);
        assert_eq!(run(&engine, B, AFTER_LOOKING), run(&engine, B, AT_ONCE));
    }
}
