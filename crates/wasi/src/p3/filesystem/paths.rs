//! Operations on names in a directory.

use std::sync::Arc;

use innkeeper_component::{Lent, Resource};
use innkeeper_engine::Error;

use super::error_code::{ErrorCode, Outcome, told, translated};
use super::types::{DescriptorStat, NewTimestamp, set_times};
use crate::host::{self, Directory, Host, LastLink, OpenOptions, Opened};
use crate::p2::Context;
use crate::p2::filesystem::descriptor::{Descriptor, Handle, directory_flags, with};
use crate::p2::filesystem::error_code as p2;
use crate::p2::filesystem::paths::{in_directory, link_at, open_options, readlink_at, rename_at};
use crate::p2::filesystem::types::{DescriptorFlags, MetadataHashValue, OpenFlags, PathFlags};
use crate::p2::interface::FindContext;
use crate::p3::interface::{Beside, Interface};

/// What nothing but success comes of.
type Done = Result<(), ErrorCode>;

pub(super) fn bind<T: Send + 'static, F: FindContext<T>>(types: &mut Interface<'_, T, F>) {
    types
        .at_once::<(Handle<'_>, &str), Done>("[method]descriptor.create-directory-at", |cx, (at, path)| {
            told(in_directory(cx, at, |host, at| Ok(host.create_directory(at, path.as_bytes())?)))
        })
        .at_once::<(Handle<'_>, &str), Done>("[method]descriptor.remove-directory-at", |cx, (at, path)| {
            told(in_directory(cx, at, |host, at| Ok(remove_directory(host, at, path)?)))
        })
        .at_once::<(Handle<'_>, &str), Done>("[method]descriptor.unlink-file-at", |cx, (at, path)| {
            told(in_directory(cx, at, |host, at| Ok(host.remove_file(at, path.as_bytes())?)))
        })
        .at_once::<(Handle<'_>, &str, &str), Done>(
            "[method]descriptor.symlink-at",
            |cx, (at, target, path)| {
                told(in_directory(cx, at, |host, at| {
                    Ok(host.symlink(at, target.as_bytes(), path.as_bytes())?)
                }))
            },
        )
        .at_once::<(Handle<'_>, &str), Result<String, ErrorCode>>(
            "[method]descriptor.readlink-at",
            |cx, params| translated(readlink_at(cx, params)),
        )
        .at_once::<(Handle<'_>, PathFlags, &str), Result<DescriptorStat, ErrorCode>>(
            "[method]descriptor.stat-at",
            |cx, (at, flags, path)| {
                told(in_directory(cx, at, |host, at| {
                    Ok(host.stat_at(at, path.as_bytes(), flags.last_link())?.into())
                }))
            },
        )
        .at_once::<(Handle<'_>, PathFlags, &str), Result<MetadataHashValue, ErrorCode>>(
            "[method]descriptor.metadata-hash-at",
            |cx, (at, flags, path)| {
                told(in_directory(cx, at, |host, at| {
                    Ok(host.stat_at(at, path.as_bytes(), flags.last_link())?.into())
                }))
            },
        )
        .at_once::<(Handle<'_>, PathFlags, &str, NewTimestamp, NewTimestamp), Done>(
            "[method]descriptor.set-times-at",
            set_times_at,
        )
        .at_once::<(Handle<'_>, PathFlags, &str, Handle<'_>, &str), Done>(
            "[method]descriptor.link-at",
            |cx, params| translated(link_at(cx, params)),
        )
        .at_once::<(Handle<'_>, &str, Handle<'_>, &str), Done>(
            "[method]descriptor.rename-at",
            |cx, params| translated(rename_at(cx, params)),
        )
        .beside::<(Lent<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags), _, _>(
            "[method]descriptor.open-at",
            |beside: Beside<T, F>, (at, path_flags, path, open_flags, flags)| async move {
                open_at(&beside, (at, path), Asked { path_flags, open_flags, flags }).await
            },
        );
}

/// A link that is written as a directory is none, unless what it leads to is outside: then that is said.
fn remove_directory(host: &Host, at: &Directory, path: &str) -> Result<(), host::Error> {
    match host.remove_directory(at, path.as_bytes()) {
        Err(host::Error::NotDirectory) if path.ends_with('/') => {
            match host.stat_at(at, path.as_bytes(), LastLink::Follow) {
                Err(escape @ host::Error::Escape) => Err(escape),
                _ => Err(host::Error::NotDirectory),
            }
        }
        result => result,
    }
}

fn set_times_at(
    cx: &mut Context,
    (at, flags, path, accessed, modified): (Handle<'_>, PathFlags, &str, NewTimestamp, NewTimestamp),
) -> Result<Done, Error> {
    let times = match set_times((accessed, modified)) {
        Ok(times) => times,
        Err(code) => return Ok(Err(code)),
    };
    told(in_directory(cx, at, |host, at| {
        Ok(host.set_times_at(at, path.as_bytes(), flags.last_link(), times)?)
    }))
}

/// How a path is to be opened.
#[derive(Clone, Copy)]
struct Asked {
    path_flags: PathFlags,
    open_flags: OpenFlags,
    flags: DescriptorFlags,
}

impl Asked {
    /// A file is opened for reading where nothing is asked for, and one that may be created for writing: so the specification's tests have it.
    fn options(self) -> OpenOptions {
        let Asked { path_flags, open_flags, mut flags } = self;
        flags.write |= open_flags.create;
        flags.read |= !self.flags.write;
        let exclusive = open_flags.exclusive && open_flags.create;
        open_options(path_flags, OpenFlags { exclusive, ..open_flags }, flags)
    }
}

/// Opens a path. What is taken out of the context first is all that is needed of it while the other end of a pipe is waited for.
async fn open_at<T: 'static, F: FindContext<T>>(
    beside: &Beside<T, F>,
    (at, path): (Lent<Descriptor>, String),
    asked: Asked,
) -> Outcome<Resource<Descriptor>> {
    let length = path.len();
    let begun = beside.with(move |cx| {
        let directory = with(cx, at.borrow(), |_, at| match at {
            Descriptor::Directory(directory, _) => Ok(Arc::clone(directory)),
            Descriptor::File(_) => Err(p2::ErrorCode::NotDirectory.into()),
        })?;
        let room = cx.room_with(directory.guest_path().len() + length)?;
        Ok((directory, room))
    });
    let (directory, room) = match told(begun.await)? {
        Ok(begun) => begun,
        Err(code) => return Ok(Err(code)),
    };
    let host = beside.host().await;
    let opened = host.open_at(&directory, path.as_bytes(), &asked.options()).await;
    let descriptor = match told(opened.map_err(p2::Failure::from))? {
        Ok(Opened::Directory(directory)) => {
            // What was asked for, as far as the keys go.
            let may = directory_flags(&directory);
            let mutate_directory = asked.flags.mutate_directory && may.mutate_directory;
            let flags = DescriptorFlags { mutate_directory, ..may };
            Descriptor::Directory(Arc::new(directory), flags)
        }
        Ok(Opened::File(file)) => Descriptor::File(Arc::new(file)),
        Err(code) => return Ok(Err(code)),
    };
    Ok(Ok(beside.with(move |cx| cx.table.push(room, descriptor)).await))
}
