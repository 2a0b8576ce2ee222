//! Binding WASI HTTP 0.3 into the component linker.

use innkeeper_component::Linker;
use innkeeper_engine::Error;
use innkeeper_wasi::p2::FindContext;
use innkeeper_wasi::p3::Interface;

use super::{client, fields, options, request, response};
use crate::client::Client;
use crate::types::HttpLimits;

/// Defines the interfaces of `wasi:http` 0.3 that this host has, for components that want any version since 0.3.0. What else they import is [`innkeeper_wasi::p3::add_to_linker`]'s.
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
    options::bind(&mut types);
    request::bind(&mut types, limits);
    response::bind(&mut types, limits);
    let shared = Client::default();
    client::bind(&mut Interface::new(linker, "wasi:http/client", context)?, "send", &shared);
    client::bind(&mut Interface::new(linker, "wasi:http/handler", context)?, "handle", &shared);
    Ok(())
}
