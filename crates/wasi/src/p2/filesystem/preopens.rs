//! The directories that a guest begins with.

use std::sync::Arc;

use innkeeper_component::{Linker, Resource};
use innkeeper_engine::Error;

use super::descriptor::{Descriptor, directory_flags};
use crate::host::Directory;
use crate::p2::context::Context;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::table::Room;

pub(crate) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:filesystem/preopens", context)?
        .func::<(), Vec<(Resource<Descriptor>, String)>>("get-directories", get_directories);
    Ok(())
}

/// Each call gives handles of its own, with the guest's names for them.
pub(crate) fn get_directories(
    cx: &mut Context,
    (): (),
) -> Result<Vec<(Resource<Descriptor>, String)>, Error> {
    let directories = cx.directories.clone();
    let rooms = cx.room_for(directories.len())?;
    let handle = |(room, directory): (Room<Descriptor>, Arc<Directory>)| {
        let (name, flags) = (directory.guest_path().to_owned(), directory_flags(&directory));
        (cx.table.push(room, Descriptor::Directory(directory, flags)), name)
    };
    let handles = rooms.into_iter().zip(directories).map(handle).collect();
    cx.host.note_directories_searched();
    Ok(handles)
}
