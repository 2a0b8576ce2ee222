//! `wasi:sockets/network` and `instance-network`.

use innkeeper_component::{Borrowed, Linker, Resource};
use innkeeper_engine::Error;

use super::error_code::ErrorCode;
use crate::p2::context::Context;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::streams::IoError;
use crate::p2::table::Held;

/// `wasi:sockets/network.network`: what addresses are looked up, bound and connected in. All of them are the same.
#[derive(Debug)]
pub(super) struct Network;

impl Held for Network {
    const NAME: &'static str = "wasi:sockets/network network";
}

pub(super) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:sockets/network", context)?.resource::<Network>("network").func::<(
        Borrowed<'_, IoError>,
    ), Option<ErrorCode>>(
        "network-error-code",
        |cx, (error,)| Ok(cx.table.get(error)?.host().and_then(ErrorCode::of_stream)),
    );
    Interface::new(linker, "wasi:sockets/instance-network", context)?
        .func::<(), Resource<Network>>("instance-network", |cx: &mut Context, ()| Ok(cx.push(Network)?));
    Ok(())
}
