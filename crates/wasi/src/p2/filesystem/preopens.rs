//! The directories that a guest begins with.

use std::sync::Arc;

use innkeeper_component::{Linker, Resource};
use innkeeper_engine::Error;

use super::descriptor::Descriptor;
use crate::host::Directory;
use crate::p2::context::Context;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::table::Room;

pub(super) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:filesystem/preopens", context)?
        .func::<(), Vec<(Resource<Descriptor>, String)>>("get-directories", get_directories);
    Ok(())
}

/// Each call gives handles of its own, with the guest's names for them.
fn get_directories(cx: &mut Context, (): ()) -> Result<Vec<(Resource<Descriptor>, String)>, Error> {
    let directories = cx.directories.clone();
    let rooms = cx.room_for(directories.len())?;
    let handle = |(room, directory): (Room<Descriptor>, Arc<Directory>)| {
        let name = directory.guest_path().to_owned();
        (cx.table.push(room, Descriptor::Directory(directory)), name)
    };
    let handles = rooms.into_iter().zip(directories).map(handle).collect();
    cx.host.note_directories_searched();
    Ok(handles)
}
