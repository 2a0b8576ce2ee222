//! Binding WASI 0.3 into the component linker.

use innkeeper_component::Linker;
use innkeeper_engine::Error;

use super::{cli, clocks, filesystem, random, sockets};
use crate::p2::Context;

/// Defines every interface of WASI 0.3 that this host has, for components that want any version since 0.3.0.
///
/// `context` finds the guest's context in the store's data; it is the same one as for WASI 0.2 ([`crate::p2::add_to_linker`]). `exit` ends the guest with the host error [`crate::Exit`].
///
/// # Errors
/// Where the linker has something else under the name of an interface.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl Fn(&mut T) -> &mut Context + Copy + Send + Sync + 'static,
) -> Result<(), Error> {
    cli::bind(linker, context)?;
    clocks::bind(linker, context)?;
    filesystem::bind(linker, context)?;
    random::bind(linker, context)?;
    sockets::bind(linker, context)
}
