//! Components with bytes changed at random: whatever comes of them, nothing panics, and what can be instantiated and called can be.

use innkeeper::component::{Component, Export, Linker, Val};
use innkeeper::{Config, Engine, Store, Tiers};

/// A generator of numbers that is the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

const ROUNDS: usize = 4000;

#[test]
fn c1_mutants_of_components_do_no_harm() {
    let engine = innkeeper::engine_with(Config::default(), Tiers::Interpreter);
    let nested = r#"(component
        (component $a
            (import "f" (func $f (param "s" string) (result (list u8))))
            (import "r" (type $r (sub resource)))
            (core module $m (memory (export "m") 1)
                (func (export "r") (param i32 i32 i32 i32) (result i32) (i32.const 64)))
            (core instance $m (instantiate $m))
            (core func (canon lower (func $f) (memory (core memory $m "m")) (realloc (core func $m "r"))))
            (core func (canon resource.drop $r))
            (export "f" (func $f)))
        (import "host" (instance $host
            (export "r" (type (sub resource)))
            (export "f" (func (param "s" string) (result (list u8))))))
        (alias export $host "r" (type $r))
        (instance $one (instantiate $a (with "f" (func $host "f")) (with "r" (type $r))))
        (instance $two (instantiate $a (with "f" (func $one "f")) (with "r" (type $r))))
        (export "two" (instance $two))
        (type $v (variant (case "a" u8) (case "b" (tuple u64 f32))))
        (export $v' "v" (type $v))
        (core module $n (func (export "g") (param i32 i64 f32) (result i32) (local.get 0)))
        (core instance $n (instantiate $n))
        (func (export "g") (param "v" $v') (result u32) (canon lift (core func $n "g"))))"#;
    let texts = [nested, super::resources::COUNTER, super::resources::USES_FILE];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut valid, mut made) = (0, 0);
    for text in texts {
        let original = innkeeper::to_binary(text.as_bytes()).unwrap().into_owned();
        for _ in 0..ROUNDS {
            let mut bytes = original.clone();
            for _ in 0..=random.below(3) {
                let at = 8 + random.below(bytes.len() - 8);
                match random.below(4) {
                    0 => bytes[at] = random.next() as u8,
                    1 => bytes[at] = bytes[at].wrapping_add(1),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, bytes[random.below(bytes.len())]),
                }
            }
            let Ok(component) = Component::new(&engine, bytes) else { continue };
            valid += 1;
            made += usize::from(try_everything(&engine, &component));
        }
    }
    assert!(valid > 200 && made > 50, "{valid} of the mutants are valid, {made} were instantiated");
}

/// Instantiates a component and calls what can be called without arguments or with numbers; whether there was an instance.
fn try_everything(engine: &Engine, component: &Component) -> bool {
    let mut linker: Linker<()> = Linker::new(engine);
    if linker.define_unknown_imports_as_traps(component).is_err() {
        return false;
    }
    let mut store = Store::new(engine, ()).unwrap();
    store.set_deadline(Some(std::time::Duration::from_secs(1))).unwrap();
    let Ok(instance) = linker.instantiate(&mut store, component) else { return false };
    for (_, export) in instance.exports(&mut store) {
        let Export::Func(func) = export else { continue };
        let ty = func.ty(&store).unwrap();
        let params: Vec<Val> = ty.params().map(|_| Val::U32(7)).collect();
        let mut results = vec![Val::Bool(false); usize::from(ty.result().is_some())];
        let _ = func.call(&mut store, &params, &mut results);
    }
    true
}
