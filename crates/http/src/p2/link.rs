//! Binding WASI HTTP 0.2 into the component linker.

use innkeeper_component::{Borrowed, Linker};
use innkeeper_engine::Error;
use innkeeper_wasi::p2::{FindContext, Interface, IoError};

use super::{fields, incoming, outgoing, outgoing_handler, outparam};
use crate::types::{ErrorCode, HttpLimits};

/// Defines the interfaces of `wasi:http` 0.2 that this host has, for components that want any version since 0.2.0. What else they import is
/// [`innkeeper_wasi::p2::add_to_linker`]'s.
///
/// `context` finds the guest's context in the store's data.
///
/// # Errors
/// Where the linker has something else under the name of an interface.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
    limits: &HttpLimits,
) -> Result<(), Error> {
    let mut types = Interface::new(linker, "wasi:http/types", context)?;
    fields::bind(&mut types, limits);
    incoming::bind(&mut types);
    outgoing::bind(&mut types, limits);
    outparam::bind(&mut types);
    outgoing_handler::bind_future(&mut types);
    types.func::<(Borrowed<'_, IoError>,), Option<ErrorCode>>("http-error-code", |cx, (error,)| {
        let custom = cx.get(error)?.custom();
        Ok(custom.and_then(|error| error.downcast_ref::<ErrorCode>()).cloned())
    });
    outgoing_handler::bind(&mut Interface::new(linker, "wasi:http/outgoing-handler", context)?);
    Ok(())
}
