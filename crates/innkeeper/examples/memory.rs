//! Exchanges text with a guest through its memory: the guest allocates, the host writes and reads.

use innkeeper::{Config, Engine, Linker, Module, Result, Store};

/// Allocates upwards, and turns letters into capitals in place.
const GUEST: &str = r#"(module
    (memory (export "memory") 1)
    (global $free (mut i32) (i32.const 1024))
    (func (export "allocate") (param $bytes i32) (result i32)
        (global.get $free)
        (global.set $free (i32.add (global.get $free) (local.get $bytes))))
    (func (export "shout") (param $at i32) (param $bytes i32) (local $end i32) (local $letter i32)
        (local.set $end (i32.add (local.get $at) (local.get $bytes)))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
            (local.set $letter (i32.load8_u (local.get $at)))
            (if (i32.le_u (i32.sub (local.get $letter) (i32.const 97)) (i32.const 25))
                (then (i32.store8 (local.get $at) (i32.sub (local.get $letter) (i32.const 32)))))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $next)))))"#;

pub(crate) fn main() -> Result<()> {
    let engine = Engine::new(Config::default())?;
    let module = Module::new(&engine, GUEST)?;
    let mut store = Store::new(&engine, ())?;
    let instance = Linker::new(&engine).instantiate(&mut store, &module)?;
    let memory = instance.get_memory(&store, "memory").expect("the guest exports its memory");
    let allocate = instance.get_typed_func::<u32, u32>(&store, "allocate")?;
    let shout = instance.get_typed_func::<(u32, u32), ()>(&store, "shout")?;

    let text = "hello from the host";
    let length = text.len() as u32;
    let at = allocate.call(&mut store, length)?;
    // What a guest says of its memory is checked here: a range that is not inside is an error.
    memory.write(&mut store, at.into(), text.as_bytes())?;
    shout.call(&mut store, (at, length))?;
    let mut answer = vec![0; text.len()];
    memory.read(&store, at.into(), &mut answer)?;
    let answer = String::from_utf8(answer)?;
    println!("{answer}");
    assert_eq!(answer, "HELLO FROM THE HOST");
    Ok(())
}
