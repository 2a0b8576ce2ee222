//! The guest that carries scripts out: two instances with every function around streams, futures, sets and tasks exported, and a third one in which tasks have their turns.

use innkeeper::component::{Component, Feature, Features, Func, Instance, Linker, Trap, Val};
use innkeeper::{Config, Engine, Error, Store, Tiers};

use super::model::{Behaviour, CALLEE, CALLER, Direction, InstanceId, Kind, MEMORY_BYTES, Step};
use super::script::Script;

/// The functions of both kinds of ends: the name in the text, parameters and results in core types, how it is lifted.
fn functions(kind: &str, short: &str) -> String {
    let length = if kind == "stream" { "(param \"n\" u32)" } else { "" };
    format!(
        r#"(core func ${short}-new (canon {kind}.new ${short}))
        (core func ${short}-read (canon {kind}.read ${short} async (memory $mem)))
        (core func ${short}-write (canon {kind}.write ${short} async (memory $mem)))
        (core func ${short}-cancel-read (canon {kind}.cancel-read ${short} async))
        (core func ${short}-cancel-write (canon {kind}.cancel-write ${short} async))
        (core func ${short}-drop-readable (canon {kind}.drop-readable ${short}))
        (core func ${short}-drop-writable (canon {kind}.drop-writable ${short}))
        (func (export "{short}-new") (result u64) (canon lift (core func ${short}-new)))
        (func (export "{short}-read") (param "h" u32) (param "at" u32) {length} (result u32) (canon lift (core func ${short}-read)))
        (func (export "{short}-write") (param "h" u32) (param "at" u32) {length} (result u32) (canon lift (core func ${short}-write)))
        (func (export "{short}-cancel-read") (param "h" u32) (result u32) (canon lift (core func ${short}-cancel-read)))
        (func (export "{short}-cancel-write") (param "h" u32) (result u32) (canon lift (core func ${short}-cancel-write)))
        (func (export "{short}-drop-readable") (param "h" u32) (canon lift (core func ${short}-drop-readable)))
        (func (export "{short}-drop-writable") (param "h" u32) (canon lift (core func ${short}-drop-writable)))
        (func (export "{short}-give") (param "h" u32) (result ${short}) (canon lift (core func $m "same")))
        (func (export "{short}-take") (param "end" ${short}) (result u32) (canon lift (core func $m "same")))"#
    )
}

/// One of the two instances; `extra` is what only that one has.
fn part(extra: &str) -> String {
    format!(
        r#"(core module $mem (memory (export "mem") 1)
            (func $fill (local i32)
                (loop
                    (i32.store8 (local.get 0) (i32.add (i32.mul (local.get 0) (i32.const 7)) (i32.const 3)))
                    (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {MEMORY_BYTES})))))
            (start $fill))
        (core instance $mem (instantiate $mem))
        (alias core export $mem "mem" (core memory $mem))
        (type $s (stream u8)) (type $f (future u8))
        (core func $set-new (canon waitable-set.new))
        (core func $set-poll (canon waitable-set.poll (memory $mem)))
        (core func $set-drop (canon waitable-set.drop))
        (core func $join (canon waitable.join))
        (core func $get (canon context.get i32 0)) (core func $set (canon context.set i32 0))
        (core func $return (canon task.return)) (core func $cancelled (canon task.cancel))
        (core module $m
            (import "" "mem" (memory 1))
            (import "" "poll" (func $poll (param i32 i32) (result i32)))
            (import "" "get" (func $get (result i32))) (import "" "set" (func $set (param i32)))
            (import "" "return" (func $return)) (import "" "cancelled" (func $cancelled))
            (func (export "same") (param i32) (result i32) (local.get 0))
            (func (export "poll") (param i32) (result i64)
                (i64.or (i64.extend_i32_u (call $poll (local.get 0) (i32.const 0)))
                    (i64.or (i64.shl (i64.extend_i32_u (i32.load (i32.const 0))) (i64.const 4))
                        (i64.shl (i64.extend_i32_u (i32.load (i32.const 4))) (i64.const 32)))))
            (func (export "digest") (result i32) (local i32 i32)
                (loop
                    (local.set 1 (i32.add (i32.mul (local.get 1) (i32.const 31)) (i32.load8_u (local.get 0))))
                    (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {MEMORY_BYTES}))))
                (local.get 1))
            ;; What a task does: 0 returns, 1 ends when it is cancelled, 2 returns then, 3 goes on waiting, 4 lets others have turns, 5 returns and waits. How many turns is in the next byte, and where it waits above.
            (func $waits (result i32) (i32.or (i32.const 2) (i32.shl (i32.shr_u (call $get) (i32.const 16)) (i32.const 4))))
            (func (export "work") (param $how i32) (param $set i32) (param $turns i32) (result i32)
                (call $set (i32.or (local.get $how)
                    (i32.or (i32.shl (local.get $turns) (i32.const 8)) (i32.shl (local.get $set) (i32.const 16)))))
                (if (i32.eqz (local.get $how)) (then (call $return) (return (i32.const 0))))
                (if (i32.eq (local.get $how) (i32.const 4)) (then (return (i32.const 1))))
                (if (i32.eq (local.get $how) (i32.const 5)) (then (call $return)))
                (call $waits))
            (func (export "told") (param $code i32) (param i32 i32) (result i32) (local $how i32)
                (local.set $how (i32.and (call $get) (i32.const 255)))
                (if (i32.eq (local.get $code) (i32.const 6)) (then
                    (if (i32.eq (local.get $how) (i32.const 3)) (then (return (call $waits))))
                    (if (i32.eq (local.get $how) (i32.const 2)) (then (call $return)) (else (call $cancelled)))
                    (return (i32.const 0))))
                (if (i32.eq (local.get $how) (i32.const 4)) (then
                    (if (i32.and (call $get) (i32.const 0xff00)) (then
                        (call $set (i32.sub (call $get) (i32.const 0x100)))
                        (return (i32.const 1))))))
                (if (i32.ne (local.get $how) (i32.const 5)) (then (call $return)))
                (i32.const 0)))
        (core instance $m (instantiate $m (with "" (instance
            (export "mem" (memory $mem)) (export "poll" (func $set-poll))
            (export "get" (func $get)) (export "set" (func $set))
            (export "return" (func $return)) (export "cancelled" (func $cancelled))))))
        (func (export "set-new") (result u32) (canon lift (core func $set-new)))
        (func (export "set-poll") (param "set" u32) (result u64) (canon lift (core func $m "poll")))
        (func (export "set-drop") (param "set" u32) (canon lift (core func $set-drop)))
        (func (export "join") (param "h" u32) (param "set" u32) (canon lift (core func $join)))
        (func (export "digest") (result u32) (canon lift (core func $m "digest")))
        {streams} {futures} {extra}"#,
        streams = functions("stream", "s"),
        futures = functions("future", "f"),
    )
}

fn text() -> String {
    let callee = r#"(core func $inc (canon backpressure.inc)) (core func $dec (canon backpressure.dec))
        (func (export "inc") (canon lift (core func $inc)))
        (func (export "dec") (canon lift (core func $dec)))
        (func (export "work") async (param "how" u32) (param "set" u32) (param "turns" u32)
            (canon lift (core func $m "work") async (callback (core func $m "told"))))"#;
    let caller = r#"(import "work" (func $work async (param "how" u32) (param "set" u32) (param "turns" u32)))
        (core func $work (canon lower (func $work) async))
        (core func $subtask-cancel (canon subtask.cancel async)) (core func $subtask-drop (canon subtask.drop))
        (func (export "work") (param "how" u32) (param "set" u32) (param "turns" u32) (result u32) (canon lift (core func $work)))
        (func (export "subtask-cancel") (param "h" u32) (result u32) (canon lift (core func $subtask-cancel)))
        (func (export "subtask-drop") (param "h" u32) (canon lift (core func $subtask-drop)))"#;
    // So many turns of others are enough for whatever one of them makes ready in another one.
    let turns = r#"(core func $yield (canon thread.yield)) (core func $return (canon task.return))
        (core module $m (import "" "yield" (func $yield (result i32))) (import "" "return" (func $return))
            (func (export "turn") (local i32)
                (loop (drop (call $yield)) (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 64))))
                (call $return)))
        (core instance $m (instantiate $m (with "" (instance (export "yield" (func $yield)) (export "return" (func $return))))))
        (func (export "turn") async (canon lift (core func $m "turn") async))"#;
    format!(
        r#"(component
        (component $callee {callee})
        (component $caller {caller})
        (component $turns {turns})
        (instance $callee (instantiate $callee))
        (instance $caller (instantiate $caller (with "work" (func $callee "work"))))
        (instance $turns (instantiate $turns))
        (export "test:tasks/caller" (instance $caller))
        (export "test:tasks/callee" (instance $callee))
        (export "turn" (func $turns "turn")))"#,
        callee = part(callee),
        caller = part(caller),
    )
}

/// Engines with the guest, ready for any number of scripts.
pub struct Tasks {
    ready: [(Engine, Component); 2],
}

impl Default for Tasks {
    fn default() -> Self {
        Tasks::new()
    }
}

impl Tasks {
    /// Makes the guest for both tiers.
    ///
    /// # Panics
    /// Where the guest is no component.
    #[must_use]
    pub fn new() -> Tasks {
        let bytes = innkeeper::to_binary(text().as_bytes()).expect("the guest is text").into_owned();
        let features = [Feature::StackfulAsync, Feature::MoreAsyncBuiltins];
        let features = features.into_iter().fold(Features::default(), Features::with);
        let ready = [Tiers::Interpreter, Tiers::Compiled].map(|tiers| {
            let engine = innkeeper::engine_with(Config::default(), tiers);
            let component = Component::with_features(&engine, bytes.clone(), features);
            (engine, component.expect("the guest is a component"))
        });
        Tasks { ready }
    }

    /// Carries a script out in both tiers.
    ///
    /// # Errors
    /// What is not as the model foresees it.
    pub fn run(&self, script: &Script) -> Result<(), String> {
        self.ready.iter().try_for_each(|(engine, component)| {
            let mut guest = Guest::new(engine, component);
            for (number, (step, expected)) in script.steps.iter().enumerate() {
                let tell = |what: String| {
                    let before: Vec<String> = script.steps[..number]
                        .iter()
                        .map(|(step, came)| format!("  {step:?} = {came:?}"))
                        .collect();
                    format!("{}\nstep {number}, {step:?}: {what}", before.join("\n"))
                };
                match (guest.step(*step), expected) {
                    (Ok(came), Ok(expected)) if came == *expected => {}
                    (Err(error), Err(expected)) if name(&error) == *expected => {
                        return guest.is_over().map_err(tell);
                    }
                    (came, expected) => {
                        return Err(tell(format!("{came:?}, where {expected:?} was foreseen")));
                    }
                }
            }
            for at in [CALLER, CALLEE] {
                let digest = script
                    .end
                    .memory(at)
                    .iter()
                    .fold(0_u32, |digest, byte| digest.wrapping_mul(31).wrapping_add(u32::from(*byte)));
                let came = guest.call(at, "digest", &[]).map_err(|error| error.to_string())?;
                if came != u64::from(digest) {
                    return Err(format!(
                        "the memory of instance {at} holds something else after {:?}",
                        script.steps
                    ));
                }
            }
            Ok(())
        })
    }

    pub(super) fn ready(&self) -> &[(Engine, Component); 2] {
        &self.ready
    }
}

/// The name of a trap's variant.
fn name(error: &Error) -> String {
    let trap =
        error.downcast_ref::<Trap>().map(|trap| format!("{trap:?}")).unwrap_or_else(|| error.to_string());
    trap.split(['(', ' ', '{']).next().unwrap_or_default().to_owned()
}

/// The guest in a store.
pub(super) struct Guest {
    pub(super) store: Store<()>,
    instance: Instance,
    turn: Func,
}

impl Guest {
    pub(super) fn new(engine: &Engine, component: &Component) -> Guest {
        let mut store = Store::new(engine, ()).expect("there is room for a store");
        let instance =
            Linker::new(engine).instantiate(&mut store, component).expect("the guest imports nothing");
        let turn = instance.get_func(&mut store, "turn").expect("the guest has it");
        Guest { store, instance, turn }
    }

    /// Calls a function of one of the two instances.
    pub(super) fn call(&mut self, at: InstanceId, name: &str, params: &[Val]) -> Result<u64, Error> {
        let of = if at == CALLER { "caller" } else { "callee" };
        let mut results = [Val::Bool(false)];
        let func = self.instance.get_func(&mut self.store, &format!("test:tasks/{of}#{name}"));
        let func = func.unwrap_or_else(|| panic!("the guest has no {name}"));
        let has_result = func.ty(&self.store)?.result().is_some();
        func.call(&mut self.store, params, &mut results[..usize::from(has_result)])?;
        let [result] = results;
        match result {
            Val::U32(number) => Ok(u64::from(number)),
            Val::U64(number) => Ok(number),
            end @ (Val::Stream(_) | Val::Future(_)) => {
                let name = if matches!(end, Val::Stream(_)) { "s-take" } else { "f-take" };
                self.call(1 - at, name, &[end])
            }
            _ => Ok(0),
        }
    }

    /// Lets all tasks go on that can.
    pub(super) fn turn(&mut self) -> Result<u64, Error> {
        self.turn.call(&mut self.store, &[], &mut []).map(|()| 0)
    }

    fn step(&mut self, step: Step) -> Result<u64, Error> {
        let short = |kind| if kind == Kind::Stream { "s" } else { "f" };
        let end = |direction| if direction == Direction::Readable { "readable" } else { "writable" };
        let verb = |direction| if direction == Direction::Readable { "read" } else { "write" };
        let numbers = |numbers: &[u32]| numbers.iter().map(|number| Val::U32(*number)).collect::<Vec<_>>();
        match step {
            Step::New(at, kind) => self.call(at, &format!("{}-new", short(kind)), &[]),
            Step::Copy { at, kind, direction, handle, address, length } => {
                let given = [handle, address, length];
                let given = if kind == Kind::Stream { &given[..] } else { &given[..2] };
                self.call(at, &format!("{}-{}", short(kind), verb(direction)), &numbers(given))
            }
            Step::CancelCopy(at, kind, direction, handle) => {
                self.call(at, &format!("{}-cancel-{}", short(kind), verb(direction)), &numbers(&[handle]))
            }
            Step::DropEnd(at, kind, direction, handle) => {
                self.call(at, &format!("{}-drop-{}", short(kind), end(direction)), &numbers(&[handle]))
            }
            Step::Give(at, kind, handle) => {
                self.call(at, &format!("{}-give", short(kind)), &numbers(&[handle]))
            }
            Step::NewSet(at) => self.call(at, "set-new", &[]),
            Step::Poll(at, set) => self.call(at, "set-poll", &numbers(&[set])),
            Step::DropSet(at, set) => self.call(at, "set-drop", &numbers(&[set])),
            Step::Join(at, handle, set) => self.call(at, "join", &numbers(&[handle, set])),
            Step::Start(behaviour, set) => self.start(behaviour, set),
            Step::CancelSubtask(handle) => self.call(CALLER, "subtask-cancel", &numbers(&[handle])),
            Step::DropSubtask(handle) => self.call(CALLER, "subtask-drop", &numbers(&[handle])),
            Step::Backpressure(is_up) => self.call(CALLEE, if is_up { "inc" } else { "dec" }, &[]),
            Step::Turn => self.turn(),
        }
    }

    /// Starts a task.
    pub(super) fn start(&mut self, behaviour: Behaviour, set: u32) -> Result<u64, Error> {
        let (how, turns) = match behaviour {
            Behaviour::Returns => (0, 0),
            Behaviour::Obeys => (1, 0),
            Behaviour::ReturnsAnyway => (2, 0),
            Behaviour::Ignores => (3, 0),
            Behaviour::Yields(turns) => (4, turns),
            Behaviour::GoesOn => (5, 0),
        };
        self.call(CALLER, "work", &[Val::U32(how), Val::U32(set), Val::U32(turns)])
    }

    /// Whether nothing can be called any more, after a trap.
    fn is_over(&mut self) -> Result<(), String> {
        match self.call(CALLER, "digest", &[]) {
            Err(error) if name(&error) == "CannotEnter" => Ok(()),
            came => Err(format!("after a trap a call gives {came:?}")),
        }
    }
}
