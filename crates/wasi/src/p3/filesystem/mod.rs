//! `wasi:filesystem`: the directories that the keys grant, and the files in them. A descriptor is the same as in WASI 0.2, and so is what is done with it.
//!
//! What is done to a file or directory is done when the guest asks for it, which is when it is told of it: the system has no other way for files. Only opening one may have to wait, for the other end of a pipe.
//! Bytes go between files and the guest's memory by one system call for each read or write of the guest's.

mod descriptor;
mod error_code;
mod listing;
mod paths;
mod types;

use innkeeper_component::{Linker, Resource};
use innkeeper_engine::Error;

use super::interface::Interface;
use crate::p2::filesystem::descriptor::Descriptor;
use crate::p2::filesystem::preopens::get_directories;
use crate::p2::interface::FindContext;

pub(super) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    let mut types = Interface::new(linker, "wasi:filesystem/types", context)?;
    descriptor::bind(&mut types);
    paths::bind(&mut types);
    listing::bind(&mut types);
    Interface::new(linker, "wasi:filesystem/preopens", context)?
        .func::<(), Vec<(Resource<Descriptor>, String)>>("get-directories", get_directories);
    Ok(())
}
