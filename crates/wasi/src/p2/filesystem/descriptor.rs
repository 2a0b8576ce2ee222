//! What is done with an open file or directory itself.

use std::io::{IoSlice, IoSliceMut};
use std::sync::Arc;

use innkeeper_component::{Borrowed, Resource};
use innkeeper_engine::Error;

use super::error_code::{ErrorCode, Failure, Outcome, told};
use super::types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, MetadataHashValue, NewTimestamp, set_times,
};
use crate::host::{Directory, File, FileKind, Metadata, Rights, WriteSync};
use crate::p2::context::Context;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::streams::{InputSource, InputStream, OutputSink, OutputStream, chunk};
use crate::p2::table::Held;

/// `wasi:filesystem/types.descriptor`
#[derive(Debug)]
pub(crate) enum Descriptor {
    /// A directory, with the flags that it was opened with: they are told, and limit nothing, which keys do.
    Directory(Arc<Directory>, DescriptorFlags),
    File(Arc<File>),
}

pub(crate) type Handle<'a> = Borrowed<'a, Descriptor>;

impl Held for Descriptor {
    const NAME: &'static str = "wasi:filesystem/types descriptor";
    const IS_OPEN_HANDLE: bool = true;
    // The host's own record, and the system's descriptor; the name, where it is opened.
    const COST_BYTES: u64 = 1 << 10;
}

impl Descriptor {
    pub(crate) fn directory(&self) -> Result<&Directory, ErrorCode> {
        match self {
            Descriptor::Directory(directory, _) => Ok(directory),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory),
        }
    }

    pub(crate) fn file(&self) -> Result<&Arc<File>, ErrorCode> {
        match self {
            Descriptor::File(file) => Ok(file),
            Descriptor::Directory(..) => Err(ErrorCode::BadDescriptor),
        }
    }

    /// The file, if it was opened for this.
    pub(crate) fn file_for(&self, rights: Rights) -> Result<&Arc<File>, ErrorCode> {
        let file = match self {
            Descriptor::File(file) => file,
            Descriptor::Directory(..) => return Err(ErrorCode::IsDirectory),
        };
        match file.credentials().rights().contains(rights) {
            true => Ok(file),
            false => Err(ErrorCode::BadDescriptor),
        }
    }
}

pub(crate) fn bind<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    types
        .resource::<Descriptor>("descriptor")
        .func::<(Handle<'_>, u64), Result<Resource<InputStream>, ErrorCode>>(
            "[method]descriptor.read-via-stream",
            read_via_stream,
        )
        .func::<(Handle<'_>, u64), Result<Resource<OutputStream>, ErrorCode>>(
            "[method]descriptor.write-via-stream",
            |cx, (descriptor, position)| {
                write_via_stream(cx, descriptor, |file| OutputSink::File { file, position })
            },
        )
        .func::<(Handle<'_>,), Result<Resource<OutputStream>, ErrorCode>>(
            "[method]descriptor.append-via-stream",
            |cx, (descriptor,)| write_via_stream(cx, descriptor, OutputSink::End),
        )
        .func::<(Handle<'_>, u64, u64, Advice), Result<(), ErrorCode>>(
            "[method]descriptor.advise",
            |cx, (descriptor, offset, length, advice)| {
                told(with(cx, descriptor, |cx, descriptor| {
                    Ok(cx.host.advise(descriptor.file()?, (offset, length), advice.into())?)
                }))
            },
        )
        .func::<(Handle<'_>,), Result<(), ErrorCode>>("[method]descriptor.sync-data", |cx, (descriptor,)| {
            flush(cx, descriptor, WriteSync::Data)
        })
        .func::<(Handle<'_>,), Result<(), ErrorCode>>("[method]descriptor.sync", |cx, (descriptor,)| {
            flush(cx, descriptor, WriteSync::File)
        })
        .func::<(Handle<'_>,), Result<DescriptorFlags, ErrorCode>>("[method]descriptor.get-flags", get_flags)
        .func::<(Handle<'_>,), Result<DescriptorType, ErrorCode>>("[method]descriptor.get-type", get_type)
        .func::<(Handle<'_>, u64), Result<(), ErrorCode>>(
            "[method]descriptor.set-size",
            |cx, (descriptor, size)| {
                told(with(cx, descriptor, |cx, descriptor| Ok(cx.host.set_size(descriptor.file()?, size)?)))
            },
        )
        .func::<(Handle<'_>, NewTimestamp, NewTimestamp), Result<(), ErrorCode>>(
            "[method]descriptor.set-times",
            set_times_of,
        )
        .func::<(Handle<'_>, u64, u64), Result<(Vec<u8>, bool), ErrorCode>>("[method]descriptor.read", read)
        .func::<(Handle<'_>, &[u8], u64), Result<u64, ErrorCode>>("[method]descriptor.write", write)
        .func::<(Handle<'_>,), Result<DescriptorStat, ErrorCode>>(
            "[method]descriptor.stat",
            |cx, (descriptor,)| {
                told(with(cx, descriptor, |cx, descriptor| Ok(metadata(cx, descriptor)?.into())))
            },
        )
        .func::<(Handle<'_>, Handle<'_>), bool>("[method]descriptor.is-same-object", is_same_object)
        .func::<(Handle<'_>,), Result<MetadataHashValue, ErrorCode>>(
            "[method]descriptor.metadata-hash",
            |cx, (descriptor,)| {
                told(with(cx, descriptor, |cx, descriptor| Ok(metadata(cx, descriptor)?.into())))
            },
        );
}

/// Does something with what is behind a descriptor.
pub(crate) fn with<R>(
    cx: &Context,
    descriptor: Handle<'_>,
    act: impl FnOnce(&Context, &Descriptor) -> Result<R, Failure>,
) -> Result<R, Failure> {
    act(cx, cx.table.get(descriptor)?)
}

fn read_via_stream(
    cx: &mut Context,
    (descriptor, position): (Handle<'_>, u64),
) -> Outcome<Resource<InputStream>> {
    let file = with(cx, descriptor, |_, descriptor| Ok(Arc::clone(descriptor.file_for(Rights::READ)?)));
    told(file.and_then(|file| Ok(cx.push(InputStream::new(InputSource::File { file, position }))?)))
}

fn write_via_stream(
    cx: &mut Context,
    descriptor: Handle<'_>,
    sink: impl FnOnce(Arc<File>) -> OutputSink,
) -> Outcome<Resource<OutputStream>> {
    let file = with(cx, descriptor, |_, descriptor| Ok(Arc::clone(descriptor.file_for(Rights::WRITE)?)));
    told(file.and_then(|file| Ok(cx.push(OutputStream::new(sink(file)))?)))
}

pub(crate) fn flush(cx: &mut Context, descriptor: Handle<'_>, what: WriteSync) -> Outcome<()> {
    told(with(cx, descriptor, |cx, descriptor| {
        match descriptor {
            Descriptor::Directory(directory, _) => cx.host.flush_directory(directory, what)?,
            // What was not written to through this descriptor has nothing to flush.
            Descriptor::File(file) if !file.credentials().rights().contains(Rights::WRITE) => {}
            Descriptor::File(file) => cx.host.flush(file, what)?,
        }
        Ok(())
    }))
}

fn get_flags(cx: &mut Context, (descriptor,): (Handle<'_>,)) -> Outcome<DescriptorFlags> {
    told(with(cx, descriptor, |_, descriptor| {
        Ok(match descriptor {
            Descriptor::Directory(directory, _) => directory_flags(directory),
            Descriptor::File(file) => file_flags(file),
        })
    }))
}

/// What a directory can be used for, by its keys.
pub(crate) fn directory_flags(directory: &Directory) -> DescriptorFlags {
    DescriptorFlags {
        read: true,
        mutate_directory: directory.credentials().rights().contains(Rights::CHANGE),
        ..DescriptorFlags::default()
    }
}

/// What a file was opened for.
pub(crate) fn file_flags(file: &File) -> DescriptorFlags {
    let rights = file.credentials().rights();
    DescriptorFlags {
        read: rights.contains(Rights::READ),
        write: rights.contains(Rights::WRITE),
        file_integrity_sync: file.sync() == Some(WriteSync::File),
        data_integrity_sync: file.sync() == Some(WriteSync::Data),
        ..DescriptorFlags::default()
    }
}

fn get_type(cx: &mut Context, (descriptor,): (Handle<'_>,)) -> Outcome<DescriptorType> {
    told(with(cx, descriptor, |_, descriptor| {
        Ok(match descriptor {
            Descriptor::Directory(..) => FileKind::Directory,
            Descriptor::File(file) => file.kind(),
        }
        .into())
    }))
}

fn set_times_of(
    cx: &mut Context,
    (descriptor, accessed, modified): (Handle<'_>, NewTimestamp, NewTimestamp),
) -> Outcome<()> {
    told(with(cx, descriptor, |cx, descriptor| {
        let times = set_times((accessed, modified))?;
        match descriptor {
            Descriptor::Directory(directory, _) => cx.host.set_times_of_directory(directory, times)?,
            Descriptor::File(file) => cx.host.set_times_of_file(file, times)?,
        }
        Ok(())
    }))
}

/// Reads a piece; an empty one is the end, and is said to be.
fn read(cx: &mut Context, (descriptor, length, offset): (Handle<'_>, u64, u64)) -> Outcome<(Vec<u8>, bool)> {
    told(with(cx, descriptor, |cx, descriptor| {
        let file = descriptor.file_for(Rights::READ)?;
        let mut bytes = chunk(length);
        let count = cx.host.read_at(file, &mut [IoSliceMut::new(&mut bytes)], offset)?;
        bytes.truncate(count);
        Ok((bytes, count == 0 && length > 0))
    }))
}

fn write(cx: &mut Context, (descriptor, bytes, offset): (Handle<'_>, &[u8], u64)) -> Outcome<u64> {
    told(with(cx, descriptor, |cx, descriptor| {
        let file = descriptor.file_for(Rights::WRITE)?;
        Ok(cx.host.write_at(file, &[IoSlice::new(bytes)], offset)? as u64)
    }))
}

pub(crate) fn is_same_object(
    cx: &mut Context,
    (one, other): (Handle<'_>, Handle<'_>),
) -> Result<bool, Error> {
    let identity = |descriptor| with(cx, descriptor, metadata).map(|found| (found.device, found.inode));
    match (identity(one), identity(other)) {
        (Ok(one), Ok(other)) => Ok(one == other),
        (Err(Failure::Trap(error)), _) | (_, Err(Failure::Trap(error))) => Err(error),
        _ => Ok(false),
    }
}

pub(crate) fn metadata(cx: &Context, descriptor: &Descriptor) -> Result<Metadata, Failure> {
    Ok(match descriptor {
        Descriptor::Directory(directory, _) => cx.host.stat_directory(directory)?,
        Descriptor::File(file) => cx.host.stat_file(file)?,
    })
}
