//! `wasi:sockets/ip-name-lookup`.

use std::sync::Arc;

use innkeeper_component::{Borrowed, Linker, Resource};
use innkeeper_engine::Error;

use super::error_code::{Failure, Outcome, told};
use super::network::Network;
use super::types::IpAddress;
use crate::host::{Direction, Lookup};
use crate::p2::context::Context;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::poll::{Pollable, Waitable};
use crate::p2::table::Held;

/// `wasi:sockets/ip-name-lookup.resolve-address-stream`
#[derive(Debug)]
pub(crate) struct NameLookup {
    lookup: Arc<Lookup>,
    /// How many addresses the guest has been given.
    given: usize,
}

impl Held for NameLookup {
    const NAME: &'static str = "wasi:sockets/ip-name-lookup resolve-address-stream";
    const IS_OPEN_HANDLE: bool = true;
}

type Handle<'a> = Borrowed<'a, NameLookup>;

pub(super) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    type Looked = Result<Resource<NameLookup>, super::error_code::ErrorCode>;
    type Next = Result<Option<IpAddress>, super::error_code::ErrorCode>;
    Interface::new(linker, "wasi:sockets/ip-name-lookup", context)?
        .resource::<NameLookup>("resolve-address-stream")
        .func::<(Borrowed<'_, Network>, &str), Looked>("resolve-addresses", resolve_addresses)
        .func::<(Handle<'_>,), Next>(
            "[method]resolve-address-stream.resolve-next-address",
            |cx, (stream,)| {
                let next = next_address(cx, stream);
                told(next)
            },
        )
        .func::<(Handle<'_>,), Resource<Pollable>>(
            "[method]resolve-address-stream.subscribe",
            |cx, (stream,)| {
                let lookup = Arc::clone(&cx.table.get(stream)?.lookup);
                cx.push_child(Pollable::ready(Waitable::Lookup(lookup), Direction::Read), stream)
            },
        );
    Ok(())
}

fn resolve_addresses(
    cx: &mut Context,
    (network, name): (Borrowed<'_, Network>, &str),
) -> Outcome<Resource<NameLookup>> {
    cx.table.get(network)?;
    let begin = |cx: &mut Context| {
        let room = cx.room()?;
        let lookup = Arc::new(cx.host.start_lookup(name)?);
        Ok(cx.table.push(room, NameLookup { lookup, given: 0 }))
    };
    told(begin(cx))
}

fn next_address(cx: &mut Context, stream: Handle<'_>) -> Result<Option<IpAddress>, Failure> {
    let stream = cx.table.get_mut(stream)?;
    let addresses = cx.host.finish_lookup(&stream.lookup)?;
    let next = addresses.get(stream.given).copied();
    stream.given += usize::from(next.is_some());
    Ok(next.map(IpAddress::from))
}
