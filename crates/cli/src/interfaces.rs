//! What components are linked with: the interfaces of WASI, of each version that they use.

use innkeeper::Error;
use innkeeper::component::{Component, Linker};
use innkeeper::wasi::p2::{self, Context};
use innkeeper::wasi::p3;
use innkeeper_http::HttpLimits;

/// Defines what these components, which are one program, can import. Few want HTTP or WASI 0.3, and nobody else is to pay for them.
pub(crate) fn add_used<'a>(
    linker: &mut Linker<Context>,
    components: impl Iterator<Item = &'a Component> + Clone,
) -> Result<(), Error> {
    p2::add_to_linker(linker, itself)?;
    if components.clone().any(p3::is_used_by) {
        p3::add_to_linker(linker, itself)?;
    }
    let limits = HttpLimits::default();
    let uses = |version: &str| {
        let mut names = components.clone().flat_map(Component::import_names);
        names.any(|name| name.starts_with("wasi:http/") && name.contains(version))
    };
    if uses("@0.2.") {
        innkeeper_http::p2::add_to_linker(linker, itself, &limits)?;
    }
    if uses("@0.3.") {
        innkeeper_http::p3::add_to_linker(linker, itself, &limits)?;
    }
    Ok(())
}

/// Defines all that any component can import.
pub(crate) fn add_all(linker: &mut Linker<Context>) -> Result<(), Error> {
    let limits = HttpLimits::default();
    p2::add_to_linker(linker, itself)?;
    p3::add_to_linker(linker, itself)?;
    innkeeper_http::p2::add_to_linker(linker, itself, &limits)?;
    innkeeper_http::p3::add_to_linker(linker, itself, &limits)
}

fn itself(context: &mut Context) -> &mut Context {
    context
}
