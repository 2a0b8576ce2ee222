//! `wasi:random`. All three interfaces give the same: what a guest cannot foresee, or what follows from the seed that the keys have.

use innkeeper_component::Linker;
use innkeeper_engine::{BudgetKind, Error};

use super::charged::Charged;
use super::context::Context;
use super::interface::{FindContext, Interface};
use super::misuse::interrupted;
use crate::host;

pub(crate) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:random/random", context)?
        .func::<(u64,), Charged<Vec<u8>>>("get-random-bytes", bytes)
        .func::<(), u64>("get-random-u64", |cx, ()| number(cx));
    Interface::new(linker, "wasi:random/insecure", context)?
        .func::<(u64,), Charged<Vec<u8>>>("get-insecure-random-bytes", bytes)
        .func::<(), u64>("get-insecure-random-u64", |cx, ()| number(cx));
    Interface::new(linker, "wasi:random/insecure-seed", context)?
        .func::<(), (u64, u64)>("insecure-seed", |cx, ()| Ok((number(cx)?, number(cx)?)));
    Ok(())
}

/// So many bytes, no fewer: a guest that wants more than it may make the host hold is stopped.
pub(crate) fn bytes(cx: &mut Context, (length,): (u64,)) -> Result<Charged<Vec<u8>>, Error> {
    let charge = cx.host.budget().hold(BudgetKind::Buffer, length)?;
    let no_memory = || Error::limit(format!("the system has no memory for {length} random bytes"));
    let length = usize::try_from(length).map_err(|_| no_memory())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| no_memory())?;
    bytes.resize(length, 0);
    fill(cx, &mut bytes)?;
    Ok(Charged::new(bytes, charge))
}

pub(crate) fn number(cx: &mut Context) -> Result<u64, Error> {
    let mut bytes = [0; 8];
    fill(cx, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn fill(cx: &mut Context, bytes: &mut [u8]) -> Result<(), Error> {
    cx.host.fill_random(bytes).map_err(|error| match error {
        host::Error::Interrupted => interrupted(),
        error => Error::from_host(error),
    })
}
