//! Two guests on one thread of tokio's: one waits for the host, the other computes for long, and neither holds up the other.

use std::time::Duration;

use innkeeper::{Caller, Config, Engine, Linker, Module, Result, Store};

const GUEST: &str = r#"(module (import "host" "fetch" (func $fetch (param i32) (result i32)))
    (func (export "wait") (result i32) (i32.add (call $fetch (i32.const 20)) (i32.const 1)))
    (func (export "compute") (result i32) (local $i i32)
        (loop $again
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const 3000000))))
        (local.get $i)))"#;

pub(crate) fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(serve())
}

async fn serve() -> Result<()> {
    let engine = Engine::new(Config::default())?;
    let mut linker = Linker::new(&engine);
    linker.func_wrap_async("host", "fetch", |_: Caller<'_, ()>, milliseconds: u32| {
        Box::new(async move {
            tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
            milliseconds
        })
    })?;
    let module = Module::new(&engine, GUEST)?;
    let call = async |name: &str| {
        let mut store = Store::new(&engine, ())?;
        // Whoever computes lets others have their turn after this.
        store.yield_every(Some(Duration::from_millis(1)));
        let instance = linker.instantiate_async(&mut store, &module).await?;
        instance.get_typed_func::<(), i32>(&store, name)?.call_async(&mut store, ()).await
    };
    let (waited, computed) = smol::future::zip(call("wait"), call("compute")).await;
    println!("waited: {}, computed: {}", waited?, computed?);
    Ok(())
}
