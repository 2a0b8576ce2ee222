//! A host of plugins that transform text, bounded in memory and time, with failures told apart. docs/embedding.md has the same program for wasmtime's API beside it.

use std::fmt;
use std::time::Duration;

use innkeeper::{AsContext, Caller, Config, Engine, Error, Extern, InstancePre};
use innkeeper::{Linker, Memory, Module, Result, Store, Trap};

/// What a plugin's functions of the host find with it.
struct State {
    name: String,
    log: Vec<String>,
}

/// Why a plugin has given no text.
enum Failure {
    TimedOut,
    Trapped { trap: Trap, function: String },
    Refused(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::TimedOut => f.write_str("timed out"),
            Failure::Trapped { trap: Trap::Unreachable, function } => write!(f, "gave up in {function}"),
            Failure::Trapped { trap, function } => write!(f, "failed in {function}: {trap}"),
            Failure::Refused(reason) => write!(f, "refused: {reason}"),
        }
    }
}

/// A host and the plugins that it has loaded.
struct Host {
    engine: Engine,
    linker: Linker<State>,
    plugins: Vec<(String, InstancePre<State>)>,
}

/// The bytes that a plugin says are at an address of its memory.
fn text(memory: Memory, store: impl AsContext, at: u32, len: u32) -> Result<String> {
    let mut bytes = vec![0; len.min(1 << 16) as usize];
    let read = memory.read(store, u64::from(at), &mut bytes);
    read.map_err(|_| Error::msg("its text is not in its memory"))?;
    Ok(String::from_utf8(bytes)?)
}

fn log(mut caller: Caller<'_, State>, at: u32, len: u32) -> Result<()> {
    let memory = caller.get_export("memory").and_then(Extern::into_memory);
    let memory = memory.ok_or_else(|| Error::msg("the plugin exports no memory"))?;
    let line = text(memory, &caller, at, len)?;
    let name = caller.data().name.clone();
    caller.data_mut().log.push(format!("{name}: {line}"));
    Ok(())
}

impl Host {
    fn new() -> Result<Host> {
        let engine = Engine::new(Config::default())?;
        let mut linker = Linker::new(&engine);
        linker.func_wrap("host", "log", log)?;
        Ok(Host { engine, linker, plugins: Vec::new() })
    }

    fn load(&mut self, name: &str, module: &str) -> Result<()> {
        let module = Module::new(&self.engine, module)?;
        self.plugins.push((name.to_owned(), self.linker.instantiate_pre(&module)?));
        Ok(())
    }

    /// Has one plugin transform a text, in a store that is dropped afterwards.
    fn transform(&self, plugin: usize, input: &str) -> Result<(String, Vec<String>)> {
        let (name, pre) = &self.plugins[plugin];
        let state = State { name: name.clone(), log: Vec::new() };
        let mut store = Store::builder(&self.engine, state)
            .memory_size(1 << 20)
            .deadline(Duration::from_millis(50))
            .build()?;
        let instance = pre.instantiate(&mut store)?;
        let memory = instance.get_memory(&store, "memory");
        let memory = memory.ok_or_else(|| Error::msg("the plugin exports no memory"))?;
        let alloc = instance.get_typed_func::<u32, u32>(&store, "alloc")?;
        let transform = instance.get_typed_func::<(u32, u32), u64>(&store, "transform")?;
        let len = input.len() as u32;
        let at = alloc.call(&mut store, len)?;
        memory.write(&mut store, u64::from(at), input.as_bytes())?;
        let packed = transform.call(&mut store, (at, len))?;
        let output = text(memory, &store, (packed >> 32) as u32, packed as u32)?;
        Ok((output, std::mem::take(&mut store.data_mut().log)))
    }
}

fn failure(error: &Error) -> Failure {
    match error.trap() {
        Some(Trap::DeadlineExceeded) => Failure::TimedOut,
        Some(trap) => {
            let frame = error.backtrace().frames().first();
            let function = frame.and_then(|frame| frame.func_name.clone()).unwrap_or_default();
            Failure::Trapped { trap, function }
        }
        None => Failure::Refused(error.to_string()),
    }
}

/// A plugin in the text format: what all have in common, around what `transform` does.
fn plugin(transform: &str) -> String {
    format!(
        r#"(module
            (import "host" "log" (func $log (param i32 i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "at work")
            (func (export "alloc") (param i32) (result i32) (i32.const 1024))
            (func $transform (export "transform") (param $at i32) (param $len i32) (result i64)
                (local $i i32) (local $c i32)
                {transform}
                (i64.or (i64.shl (i64.extend_i32_u (local.get $at)) (i64.const 32))
                    (i64.extend_i32_u (local.get $len)))))"#
    )
}

const SHOUTS: &str = "(call $log (i32.const 0) (i32.const 7))
    (loop $next
        (local.set $c (i32.load8_u (i32.add (local.get $at) (local.get $i))))
        (if (i32.lt_u (i32.sub (local.get $c) (i32.const 97)) (i32.const 26))
            (then (i32.store8 (i32.add (local.get $at) (local.get $i)) (i32.sub (local.get $c) (i32.const 32)))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $len))))";
const SPINS: &str = "(loop $again (br $again))";
const HOARDS: &str =
    "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable";
const LIES: &str = "(call $log (i32.const -8) (i32.const 8))";

pub(crate) fn main() -> Result<()> {
    let mut host = Host::new()?;
    for (name, transform) in [("shouts", SHOUTS), ("spins", SPINS), ("hoards", HOARDS), ("lies", LIES)] {
        host.load(name, &plugin(transform))?;
    }
    let mut told = Vec::new();
    for (number, (name, _)) in host.plugins.iter().enumerate() {
        told.push(match host.transform(number, "hello, plugins") {
            Ok((output, log)) => format!("{name}: {output:?}, having said {log:?}"),
            Err(error) => format!("{name}: {}", failure(&error)),
        });
    }
    println!("{}", told.join("\n"));
    assert_eq!(told.join("\n"), EXPECTED);
    Ok(())
}

const EXPECTED: &str = r#"shouts: "HELLO, PLUGINS", having said ["shouts: at work"]
spins: timed out
hoards: gave up in transform
lies: refused: its text is not in its memory"#;
