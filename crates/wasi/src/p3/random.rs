//! `wasi:random`, which gives what that of WASI 0.2 gives.

use innkeeper_component::Linker;
use innkeeper_engine::Error;

use super::interface::Interface;
use crate::p2::charged::Charged;
use crate::p2::interface::FindContext;
use crate::p2::random::{bytes, number};

/// Bytes that one call gives at most: a guest that wants more asks again.
const MOST_BYTES: u64 = 1 << 16;

pub(super) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:random/random", context)?
        .func::<(u64,), Charged<Vec<u8>>>("get-random-bytes", |cx, (most,)| {
            bytes(cx, (most.min(MOST_BYTES),))
        })
        .func::<(), u64>("get-random-u64", |cx, ()| number(cx));
    Interface::new(linker, "wasi:random/insecure", context)?
        .func::<(u64,), Charged<Vec<u8>>>("get-insecure-random-bytes", |cx, (most,)| {
            bytes(cx, (most.min(MOST_BYTES),))
        })
        .func::<(), u64>("get-insecure-random-u64", |cx, ()| number(cx));
    Interface::new(linker, "wasi:random/insecure-seed", context)?.func::<(), (u64, u64)>(
        "get-insecure-seed",
        |cx, ()| {
            let seed = match cx.insecure_seed {
                Some(seed) => seed,
                None => (number(cx)?, number(cx)?),
            };
            cx.insecure_seed = Some(seed);
            Ok(seed)
        },
    );
    Ok(())
}
