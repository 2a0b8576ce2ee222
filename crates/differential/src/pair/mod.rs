//! Pairs of components that hand values of a random type to each other: code that is generated for their calls against the walk over types.
//!
//! One of them, `c`, has functions that take and give such a value; the other, `d`, calls them. What both memories hold afterwards, what is returned and how calls fail
//! is compared. Some calls are made with a flipped bit in what is passed, so that rules are broken; of several that are, each way to call may tell another one.

mod ty;
mod val;

use innkeeper::component::{Component, Instance, Linker, Val};
use innkeeper::{Adapters, Config, Engine, NanBits, Store, TierUp, Tiers};

use crate::Random;
use ty::Ty;

/// What is compared.
pub struct Pair {
    text: String,
    ty: Ty,
    random: Random,
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Calls that were compared.
    pub calls: u64,
    /// Those which failed.
    pub failed: u64,
    /// Those which failed differently, as they may.
    pub failed_differently: u64,
}

impl Told {
    /// Adds what came of another comparison.
    pub fn add(&mut self, other: Told) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.failed_differently += other.failed_differently;
    }
}

/// Something that a component could do beyond its own code.
const LEADS_OUT: &str = "(type $out (resource (rep i32))) (core func (canon resource.drop $out))";

/// Calls of one pair.
const CALLS: usize = 6;

impl Pair {
    /// The pair of a seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Pair {
        let mut random = Random::new(seed);
        let ty = Ty::random(&mut random, 3);
        let encodings = ["utf8", "utf16", "latin1+utf16"];
        let (c, d) = (random.pick(&encodings), random.pick(&encodings));
        // There is more around calls of a component that could call somebody itself.
        let out = if seed.is_multiple_of(2) { "" } else { LEADS_OUT };
        let text = text(&ty, (c, out), d);
        Pair { text, ty, random }
    }

    /// The pair that a fuzzer's bytes choose.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Pair {
        Pair::from_seed(Random::of(bytes).draw())
    }

    /// The component in the text format.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Compares generated calls in both tiers with walked ones.
    ///
    /// # Errors
    /// What differs, or why the pair is none.
    pub fn check(&self) -> Result<Told, String> {
        let walked = self.run(&engine(Tiers::Interpreter, Adapters::Walked))?;
        let mut told = Told::default();
        for tiers in [Tiers::Interpreter, Tiers::Compiled] {
            let generated = self.run(&engine(tiers, Adapters::Generated))?;
            for (call, (want, have)) in walked.iter().zip(&generated).enumerate() {
                told.calls += 1;
                match (want, have) {
                    (Ok(want), Ok(have)) if want == have => {}
                    (Err(want), Err(have)) => {
                        told.failed += 1;
                        told.failed_differently += u64::from(want != have);
                    }
                    _ => {
                        return Err(format!(
                            "call {call} in {tiers:?}: walked, it gives {}, generated {}\n{}",
                            shown(want),
                            shown(have),
                            self.text
                        ));
                    }
                }
            }
        }
        Ok(told)
    }

    /// What can be seen of each call.
    fn run(&self, engine: &Engine) -> Result<Vec<Result<String, String>>, String> {
        let bytes =
            innkeeper::to_binary(self.text.as_bytes()).map_err(|error| format!("{error}\n{}", self.text))?;
        let component =
            Component::new(engine, bytes.into_owned()).map_err(|error| format!("{error}\n{}", self.text))?;
        let mut random = self.random.clone();
        let mut seen = Vec::with_capacity(2 * CALLS);
        for call in 0..CALLS {
            // Whoever has trapped is never entered again.
            let mut store = Store::new(engine, ()).map_err(|error| error.to_string())?;
            let made = Linker::new(engine).instantiate(&mut store, &component);
            let instance = made.map_err(|error| format!("{error}\n{}", self.text))?;
            let mut guests = Guests { store, instance };
            let is_twisted = call % 2 == 1;
            seen.push(self.give(&mut guests, &mut random, is_twisted));
            seen.push(self.take(&mut guests, &mut random, is_twisted));
        }
        Ok(seen)
    }

    /// `d` hands a value to `c`.
    fn give(&self, guests: &mut Guests, random: &mut Random, is_twisted: bool) -> Result<String, String> {
        let val = self.ty.val(random);
        let (slot, bits) = (random.draw() % 4, 1 << (random.draw() % 40));
        let (at, byte) = (1024 + random.draw() % 80, random.draw() as u8);
        if is_twisted && random.draw().is_multiple_of(2) {
            move_to_the_end(guests, random)?;
        } else if is_twisted {
            guests.call("d#twist", &[Val::U32(slot as u32), Val::U64(bits)])?;
            guests.call("d#poke", &[Val::U32(at as u32), Val::U8(byte)])?;
        }
        guests.call("d#run", &[val])?;
        guests.memories()
    }

    /// `d` gets a value from `c`.
    fn take(&self, guests: &mut Guests, random: &mut Random, is_twisted: bool) -> Result<String, String> {
        let val = self.ty.val(random);
        let (at, byte) = (1024 + random.draw() % 80, random.draw() as u8);
        let filler = std::iter::repeat_n(Val::U64(0), ty::FILLERS);
        let is_moved = is_twisted && random.draw().is_multiple_of(2);
        if is_moved {
            move_to_the_end(guests, random)?;
        }
        guests.call("c#set", &[Val::Tuple(std::iter::once(val.clone()).chain(filler).collect())])?;
        if is_twisted && !is_moved {
            guests.call("c#poke", &[Val::U32(at as u32), Val::U8(byte)])?;
        }
        let got = guests.call("d#get", &[])?;
        if !is_twisted && format!("{got:?}") != format!("{:?}", Some(&val)) {
            return Ok(format!("{got:?} came of {val:?}"));
        }
        Ok(format!("{got:?} {}", guests.memories()?))
    }
}

/// Has both components allocate what comes from here on at the end of their memories, so that some of it is not in them.
fn move_to_the_end(guests: &mut Guests, random: &mut Random) -> Result<(), String> {
    for name in ["c#move", "d#move"] {
        let room = random.draw() % random.pick(&[1, 16, 100, 600]);
        guests.call(name, &[Val::U32((1 << 16) - room as u32)])?;
    }
    Ok(())
}

/// Instances of both components.
struct Guests {
    store: Store<()>,
    instance: Instance,
}

impl Guests {
    fn call(&mut self, name: &str, params: &[Val]) -> Result<Option<Val>, String> {
        let func = self.instance.get_func(&mut self.store, name).ok_or("no such function")?;
        let has_result = func.ty(&self.store).map_err(|error| error.to_string())?.result().is_some();
        let mut results = vec![Val::Bool(false); usize::from(has_result)];
        func.call(&mut self.store, params, &mut results).map_err(|error| format!("{:?}", error.kind()))?;
        Ok(results.pop())
    }

    fn memories(&mut self) -> Result<String, String> {
        Ok(format!("{:?} {:?}", self.call("c#peek", &[])?, self.call("d#peek", &[])?))
    }
}

fn shown(outcome: &Result<String, String>) -> String {
    let (Ok(text) | Err(text)) = outcome;
    text.chars().take(4000).collect()
}

fn engine(tiers: Tiers, adapters: Adapters) -> Engine {
    // The walk makes bits of NaNs so.
    let mut config = Config { nan_bits: NanBits::Canonical, ..Config::default() };
    config.tuning.adapters = adapters;
    config.tuning.tier_up = TierUp::eager();
    innkeeper::engine_with(config, tiers)
}

/// Both components, in one.
fn text(ty: &Ty, (c, out): (&str, &str), d: &str) -> String {
    let mut defs = Vec::new();
    let t = ty.text(&mut defs);
    let own: String = (defs.iter().enumerate())
        .map(|(n, def)| format!("(type $t{n}' {def}) (export $t{n} \"t{n}\" (type $t{n}'))"))
        .collect();
    let imported: String = (defs.iter().enumerate())
        .map(|(n, def)| format!("(type $t{n}' {def}) (export \"t{n}\" (type $t{n} (eq $t{n}')))"))
        .collect();
    let flat = ty.flat();
    let params = if flat.len() > 16 { "i32".to_owned() } else { flat.join(" ") };
    let fillers = " u64".repeat(ty::FILLERS);
    let stores: String = params
        .split(' ')
        .enumerate()
        .map(|(i, slot)| format!("({slot}.store (i32.const {}) (local.get {i}))", i * 8))
        .collect();
    let twisted: String = params
        .split(' ')
        .enumerate()
        .map(|(i, slot)| format!("(call $twist_{slot} (i32.const {i}) (local.get {i}))"))
        .collect();
    let (give, lowered, call, result) = match ty.single_load() {
        Some((slot, load)) => {
            (format!("({load} (global.get $at))"), format!("(result {slot})"), "(call $g)".to_owned(), slot)
        }
        None => (
            "(global.get $at)".to_owned(),
            "(param i32)".to_owned(),
            "(call $g (i32.const 64)) (i32.const 64)".to_owned(),
            "i32",
        ),
    };
    let both = r#"(memory (export "mem") 1)
        (global $next (mut i32) (i32.const 1024))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                (i32.sub (i32.const 0) (local.get 2))))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (memory.copy (local.get $at) (local.get 0)
                (select (local.get 1) (local.get 3) (i32.lt_u (local.get 1) (local.get 3))))
            (local.get $at))
        (func (export "peek") (result i32)
            (i32.store (i32.const 512) (i32.const 0)) (i32.store (i32.const 516) (global.get $next)) (i32.const 512))
        (func (export "poke") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))
        (func (export "move") (param i32) (global.set $next (local.get 0)))"#;
    let lift = |encoding: &str| {
        format!(
            r#"(memory (core memory $m "mem")) (realloc (core func $m "realloc")) string-encoding={encoding}"#
        )
    };
    let (of_c, of_d) = (lift(c), lift(d));
    let peek = |options: &str| {
        format!(
            r#"(func (export "peek") (result (list u8)) (canon lift (core func $m "peek") {options}))
            (func (export "poke") (param "at" u32) (param "byte" u8) (canon lift (core func $m "poke")))
            (func (export "move") (param "to" u32) (canon lift (core func $m "move")))"#
        )
    };
    let (c_peek, d_peek) =
        (peek(&of_c), peek(&of_d).replace("(core func $m \"poke\")", "(core func $r \"poke\")"));
    format!(
        r#"(component
        (component $C {own} {out}
            (core module $m {both}
                (global $at (mut i32) (i32.const 0))
                (func (export "f") (param {params}) {stores})
                (func (export "set") (param i32) (global.set $at (local.get 0)))
                (func (export "g") (result {result}) {give}))
            (core instance $m (instantiate $m))
            (func (export "f") (param "v" {t}) (canon lift (core func $m "f") {of_c}))
            (func (export "set") (param "v" (tuple {t}{fillers})) (canon lift (core func $m "set") {of_c}))
            (func (export "g") (result {t}) (canon lift (core func $m "g") {of_c}))
            {c_peek})
        (component $D {own}
            (import "c" (instance $c {imported}
                (export "f" (func (param "v" {t})))
                (export "g" (func (result {t})))))
            (core module $m {both})
            (core instance $m (instantiate $m))
            (core func $f (canon lower (func $c "f") {of_d}))
            (core func $g (canon lower (func $c "g") {of_d}))
            (core module $r
                (import "" "mem" (memory 1))
                (import "" "f" (func $f (param {params})))
                (import "" "g" (func $g {lowered}))
                (global $slot (mut i32) (i32.const -1)) (global $bits (mut i64) (i64.const 0))
                (global $where (mut i32) (i32.const 0)) (global $byte (mut i32) (i32.const 0))
                (func $twist_i64 (param i32 i64) (result i64)
                    (i64.xor (local.get 1)
                        (select (global.get $bits) (i64.const 0) (i32.eq (local.get 0) (global.get $slot)))))
                (func $twist_i32 (param i32 i32) (result i32)
                    (i32.wrap_i64 (call $twist_i64 (local.get 0) (i64.extend_i32_u (local.get 1)))))
                (func $twist_f32 (param i32 f32) (result f32)
                    (f32.reinterpret_i32 (call $twist_i32 (local.get 0) (i32.reinterpret_f32 (local.get 1)))))
                (func $twist_f64 (param i32 f64) (result f64)
                    (f64.reinterpret_i64 (call $twist_i64 (local.get 0) (i64.reinterpret_f64 (local.get 1)))))
                (func (export "twist") (param i32 i64)
                    (global.set $slot (local.get 0)) (global.set $bits (local.get 1)))
                (func (export "poke") (param i32 i32)
                    (global.set $where (local.get 0)) (global.set $byte (local.get 1)))
                (func (export "run") (param {params})
                    (if (global.get $where) (then (i32.store8 (global.get $where) (global.get $byte))))
                    {twisted} (call $f))
                (func (export "get") (result {result}) {call}))
            (core instance $r (instantiate $r (with "" (instance
                (export "mem" (memory $m "mem")) (export "f" (func $f)) (export "g" (func $g))))))
            (func (export "run") (param "v" {t}) (canon lift (core func $r "run") {of_d}))
            (func (export "get") (result {t}) (canon lift (core func $r "get") {of_d}))
            (func (export "twist") (param "slot" u32) (param "bits" u64) (canon lift (core func $r "twist")))
            {d_peek})
        (instance $c (instantiate $C))
        (instance $d (instantiate $D (with "c" (instance $c))))
        (export "c" (instance $c))
        (export "d" (instance $d)))"#
    )
}
