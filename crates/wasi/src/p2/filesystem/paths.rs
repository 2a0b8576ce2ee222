//! Operations on names in a directory.

use std::sync::Arc;

use innkeeper_component::Resource;
use innkeeper_engine::Error;

use super::descriptor::{Descriptor, Handle, directory_flags, with};
use super::error_code::{ErrorCode, Failure, Outcome, told};
use super::types::{
    DescriptorFlags, DescriptorStat, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags, set_times,
};
use crate::host::{DataAccess, Directory, Host, OpenOptions, Opened, WriteSync};
use crate::p2::context::Context;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::table::Room;

/// What nothing but success comes of.
type Done = Result<(), ErrorCode>;

pub(crate) fn bind<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    types
        .func::<(Handle<'_>, &str), Done>("[method]descriptor.create-directory-at", |cx, (at, path)| {
            told(in_directory(cx, at, |host, at| Ok(host.create_directory(at, path.as_bytes())?)))
        })
        .func::<(Handle<'_>, &str), Done>("[method]descriptor.remove-directory-at", |cx, (at, path)| {
            told(in_directory(cx, at, |host, at| Ok(host.remove_directory(at, path.as_bytes())?)))
        })
        .func::<(Handle<'_>, &str), Done>("[method]descriptor.unlink-file-at", |cx, (at, path)| {
            told(in_directory(cx, at, |host, at| Ok(host.remove_file(at, path.as_bytes())?)))
        })
        .func::<(Handle<'_>, &str, &str), Done>(
            "[method]descriptor.symlink-at",
            |cx, (at, target, path)| {
                told(in_directory(cx, at, |host, at| Ok(host.symlink(at, target.as_bytes(), path.as_bytes())?)))
            },
        )
        .func::<(Handle<'_>, &str), Result<String, ErrorCode>>("[method]descriptor.readlink-at", readlink_at)
        .func::<(Handle<'_>, PathFlags, &str), Result<DescriptorStat, ErrorCode>>(
            "[method]descriptor.stat-at",
            |cx, (at, flags, path)| {
                told(in_directory(cx, at, |host, at| {
                    Ok(host.stat_at(at, path.as_bytes(), flags.last_link())?.into())
                }))
            },
        )
        .func::<(Handle<'_>, PathFlags, &str), Result<MetadataHashValue, ErrorCode>>(
            "[method]descriptor.metadata-hash-at",
            |cx, (at, flags, path)| {
                told(in_directory(cx, at, |host, at| {
                    Ok(host.stat_at(at, path.as_bytes(), flags.last_link())?.into())
                }))
            },
        )
        .func::<(Handle<'_>, PathFlags, &str, NewTimestamp, NewTimestamp), Done>(
            "[method]descriptor.set-times-at",
            |cx, (at, flags, path, accessed, modified)| {
                told(in_directory(cx, at, |host, at| {
                    let times = set_times((accessed, modified))?;
                    Ok(host.set_times_at(at, path.as_bytes(), flags.last_link(), times)?)
                }))
            },
        )
        .func::<(Handle<'_>, PathFlags, &str, Handle<'_>, &str), Done>("[method]descriptor.link-at", link_at)
        .func::<(Handle<'_>, &str, Handle<'_>, &str), Done>("[method]descriptor.rename-at", rename_at)
        .waiting::<(Handle<'_>, PathFlags, &str, OpenFlags, DescriptorFlags), Result<Resource<Descriptor>, ErrorCode>>(
            "[method]descriptor.open-at",
            open_at,
        );
}

/// Does something in the directory that a descriptor stands for.
pub(crate) fn in_directory<R>(
    cx: &Context,
    directory: Handle<'_>,
    act: impl FnOnce(&Host, &Directory) -> Result<R, Failure>,
) -> Result<R, Failure> {
    with(cx, directory, |cx, descriptor| act(&cx.host, descriptor.directory()?))
}

pub(crate) fn readlink_at(cx: &mut Context, (at, path): (Handle<'_>, &str)) -> Outcome<String> {
    told(in_directory(cx, at, |host, at| {
        let target = host.read_link(at, path.as_bytes())?;
        Ok(String::from_utf8(target).map_err(|_| ErrorCode::IllegalByteSequence)?)
    }))
}

/// Links are not followed here, as in other hosts.
pub(crate) fn link_at(
    cx: &mut Context,
    (from, flags, from_path, to, to_path): (Handle<'_>, PathFlags, &str, Handle<'_>, &str),
) -> Outcome<()> {
    told(in_directory(cx, from, |host, from| {
        in_directory(cx, to, |_, to| {
            if flags.symlink_follow {
                return Err(ErrorCode::Invalid.into());
            }
            Ok(host.link((from, from_path.as_bytes()), (to, to_path.as_bytes()))?)
        })
    }))
}

pub(crate) fn rename_at(
    cx: &mut Context,
    (from, from_path, to, to_path): (Handle<'_>, &str, Handle<'_>, &str),
) -> Outcome<()> {
    told(in_directory(cx, from, |host, from| {
        in_directory(cx, to, |_, to| Ok(host.rename((from, from_path.as_bytes()), (to, to_path.as_bytes()))?))
    }))
}

async fn open_at(
    cx: &mut Context,
    (at, path_flags, path, open_flags, flags): (Handle<'_>, PathFlags, &str, OpenFlags, DescriptorFlags),
) -> Result<Result<Resource<Descriptor>, ErrorCode>, Error> {
    let opened = open(cx, at, path, &open_options(path_flags, open_flags, flags)).await;
    told(opened.map(|(room, descriptor)| cx.table.push(room, descriptor)))
}

async fn open(
    cx: &Context,
    at: Handle<'_>,
    path: &str,
    options: &OpenOptions,
) -> Result<(Room<Descriptor>, Descriptor), Failure> {
    let directory = cx.table.get(at)?.directory()?;
    let room = cx.room_with(directory.guest_path().len() + path.len())?;
    let descriptor = match cx.host.open_at(directory, path.as_bytes(), options).await? {
        Opened::Directory(directory) => {
            let flags = directory_flags(&directory);
            Descriptor::Directory(Arc::new(directory), flags)
        }
        Opened::File(file) => Descriptor::File(Arc::new(file)),
    };
    Ok((room, descriptor))
}

pub(crate) fn open_options(
    path_flags: PathFlags,
    open_flags: OpenFlags,
    flags: DescriptorFlags,
) -> OpenOptions {
    OpenOptions {
        access: match (flags.read, flags.write) {
            (false, false) => DataAccess::Neither,
            (true, false) => DataAccess::Read,
            (false, true) => DataAccess::Write,
            (true, true) => DataAccess::ReadWrite,
        },
        create: open_flags.create,
        exclusive: open_flags.exclusive,
        truncate: open_flags.truncate,
        directory: open_flags.directory,
        append: false,
        nonblocking: false,
        sync: if flags.file_integrity_sync || flags.requested_write_sync {
            Some(WriteSync::File)
        } else {
            flags.data_integrity_sync.then_some(WriteSync::Data)
        },
        last_link: path_flags.last_link(),
    }
}
