//! Listing a directory.

use innkeeper_component::{Borrowed, Resource};

use super::descriptor::Handle;
use super::error_code::{ErrorCode, Failure, Outcome, told};
use super::paths::in_directory;
use super::types::DirectoryEntry;
use crate::host::Listing;
use crate::p2::context::Context;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::table::Held;

/// `wasi:filesystem/types.directory-entry-stream`
#[derive(Debug)]
pub(crate) struct DirectoryEntryStream {
    listing: Listing,
    /// The number of the entry that comes next.
    next: u64,
}

impl Held for DirectoryEntryStream {
    const NAME: &'static str = "wasi:filesystem/types directory-entry-stream";
    const IS_OPEN_HANDLE: bool = true;
}

/// The first entry of a listing that is not `.` or `..`.
pub(crate) const FIRST_ENTRY: u64 = 2;

pub(crate) fn bind<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    types
        .resource::<DirectoryEntryStream>("directory-entry-stream")
        .func::<(Handle<'_>,), Result<Resource<DirectoryEntryStream>, ErrorCode>>(
            "[method]descriptor.read-directory",
            read_directory,
        )
        .func::<(Borrowed<'_, DirectoryEntryStream>,), Result<Option<DirectoryEntry>, ErrorCode>>(
            "[method]directory-entry-stream.read-directory-entry",
            read_directory_entry,
        );
}

fn read_directory(cx: &mut Context, (at,): (Handle<'_>,)) -> Outcome<Resource<DirectoryEntryStream>> {
    let room = cx.room().map_err(Failure::from);
    let listing = room.and_then(|room| Ok((room, in_directory(cx, at, |host, at| Ok(host.list(at)?))?)));
    told(
        listing
            .map(|(room, listing)| cx.table.push(room, DirectoryEntryStream { listing, next: FIRST_ENTRY })),
    )
}

/// A name that is not UTF-8 has other characters in the place of what is not: it cannot be opened, and does not end the listing.
fn read_directory_entry(
    cx: &mut Context,
    (stream,): (Borrowed<'_, DirectoryEntryStream>,),
) -> Outcome<Option<DirectoryEntry>> {
    let stream = cx.table.get_mut(stream)?;
    told(match cx.host.entry(&mut stream.listing, stream.next) {
        Ok(Some(entry)) => {
            let name = String::from_utf8_lossy(entry.name).into_owned();
            let entry = DirectoryEntry { r#type: entry.kind.into(), name };
            stream.next += 1;
            Ok(Some(entry))
        }
        Ok(None) => Ok(None),
        Err(error) => Err(error.into()),
    })
}
