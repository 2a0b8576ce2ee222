//! `wasi:filesystem`: the directories that the keys grant, and the files in them.

pub(crate) mod descriptor;
pub(crate) mod error_code;
pub(crate) mod listing;
pub(crate) mod paths;
pub(crate) mod preopens;
pub(crate) mod types;

use innkeeper_component::Linker;
use innkeeper_engine::Error;

use super::interface::{FindContext, Interface};

pub(crate) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    let mut types = Interface::new(linker, "wasi:filesystem/types", context)?;
    descriptor::bind(&mut types);
    paths::bind(&mut types);
    listing::bind(&mut types);
    error_code::bind(&mut types);
    preopens::bind(linker, context)
}
