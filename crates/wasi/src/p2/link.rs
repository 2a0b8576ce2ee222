//! Binding WASI 0.2 into the component linker.

use innkeeper_component::Linker;
use innkeeper_engine::Error;

use super::context::Context;
use super::{cli, clocks, filesystem, poll, random, sockets, streams};

/// Defines every interface of WASI 0.2 that this host has, for components that want any version since 0.2.0.
///
/// `context` finds the guest's context in the store's data. `exit` ends the guest with the host error [`crate::Exit`].
///
/// # Errors
/// Where the linker has something else under the name of an interface.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl Fn(&mut T) -> &mut Context + Copy + Send + Sync + 'static,
) -> Result<(), Error> {
    poll::bind(linker, context)?;
    streams::bind(linker, context)?;
    cli::bind(linker, context)?;
    clocks::bind(linker, context)?;
    random::bind(linker, context)?;
    filesystem::bind(linker, context)?;
    sockets::bind(linker, context)
}
