//! What is done with an open file or directory itself.

use std::sync::Arc;

use innkeeper_component::{Lent, StreamOf};
use innkeeper_engine::Error;

use super::error_code::{ErrorCode, Outcome, told, translated};
use super::types::{DescriptorStat, DescriptorType, NewTimestamp, set_times};
use crate::host::{File, FileKind, Rights, WriteSync};
use crate::p2::Context;
use crate::p2::filesystem::descriptor::{
    Descriptor, Handle, file_flags, flush, is_same_object, metadata, with,
};
use crate::p2::filesystem::types::{Advice, DescriptorFlags, MetadataHashValue};
use crate::p2::interface::FindContext;
use crate::p2::streams::{InputSource, OutputSink};
use crate::p3::interface::Interface;

/// What nothing but success comes of.
type Done = Result<(), ErrorCode>;

pub(super) fn bind<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    types
        .resource::<Descriptor>("descriptor")
        .reads::<(Lent<Descriptor>, u64), ErrorCode>(
            "[method]descriptor.read-via-stream",
            |cx, (descriptor, position)| {
                let file = file_for(cx, &descriptor, Rights::READ)?;
                Ok(file.map(|file| InputSource::File { file, position }))
            },
        )
        .writes::<(Lent<Descriptor>, StreamOf<u8>, u64), ErrorCode>(
            "[method]descriptor.write-via-stream",
            |cx, (descriptor, data, position)| {
                let file = file_for(cx, &descriptor, Rights::WRITE)?;
                Ok((data, file.map(|file| OutputSink::File { file, position })))
            },
        )
        .writes::<(Lent<Descriptor>, StreamOf<u8>), ErrorCode>(
            "[method]descriptor.append-via-stream",
            |cx, (descriptor, data)| {
                let file = file_for(cx, &descriptor, Rights::WRITE)?;
                Ok((data, file.map(OutputSink::End)))
            },
        )
        .at_once::<(Handle<'_>, u64, u64, Advice), Done>(
            "[method]descriptor.advise",
            |cx, (descriptor, offset, length, advice)| {
                told(with(cx, descriptor, |cx, descriptor| {
                    Ok(cx.host.advise(descriptor.file()?, (offset, length), advice.into())?)
                }))
            },
        )
        .at_once::<(Handle<'_>,), Done>("[method]descriptor.sync-data", |cx, (descriptor,)| {
            translated(flush(cx, descriptor, WriteSync::Data))
        })
        .at_once::<(Handle<'_>,), Done>("[method]descriptor.sync", |cx, (descriptor,)| {
            translated(flush(cx, descriptor, WriteSync::File))
        })
        .at_once::<(Handle<'_>,), Result<DescriptorFlags, ErrorCode>>(
            "[method]descriptor.get-flags",
            get_flags,
        )
        .at_once::<(Handle<'_>,), Result<DescriptorType, ErrorCode>>("[method]descriptor.get-type", get_type)
        .at_once::<(Handle<'_>, u64), Done>("[method]descriptor.set-size", |cx, (descriptor, size)| {
            told(with(cx, descriptor, |cx, descriptor| Ok(cx.host.set_size(descriptor.file()?, size)?)))
        })
        .at_once::<(Handle<'_>, NewTimestamp, NewTimestamp), Done>(
            "[method]descriptor.set-times",
            set_times_of,
        )
        .at_once::<(Handle<'_>,), Result<DescriptorStat, ErrorCode>>(
            "[method]descriptor.stat",
            |cx, (descriptor,)| {
                told(with(cx, descriptor, |cx, descriptor| Ok(metadata(cx, descriptor)?.into())))
            },
        )
        .at_once::<(Handle<'_>, Handle<'_>), bool>("[method]descriptor.is-same-object", is_same_object)
        .at_once::<(Handle<'_>,), Result<MetadataHashValue, ErrorCode>>(
            "[method]descriptor.metadata-hash",
            |cx, (descriptor,)| {
                told(with(cx, descriptor, |cx, descriptor| Ok(metadata(cx, descriptor)?.into())))
            },
        );
}

/// The file behind a descriptor, if it was opened for this.
fn file_for(cx: &Context, descriptor: &Lent<Descriptor>, rights: Rights) -> Outcome<Arc<File>> {
    told(with(cx, descriptor.borrow(), |_, descriptor| Ok(Arc::clone(descriptor.file_for(rights)?))))
}

fn get_flags(cx: &mut Context, (descriptor,): (Handle<'_>,)) -> Outcome<DescriptorFlags> {
    told(with(cx, descriptor, |_, descriptor| {
        Ok(match descriptor {
            Descriptor::Directory(_, flags) => *flags,
            Descriptor::File(file) => file_flags(file),
        })
    }))
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
) -> Result<Done, Error> {
    let times = match set_times((accessed, modified)) {
        Ok(times) => times,
        Err(code) => return Ok(Err(code)),
    };
    told(with(cx, descriptor, |cx, descriptor| {
        match descriptor {
            Descriptor::Directory(directory, _) => cx.host.set_times_of_directory(directory, times)?,
            Descriptor::File(file) => cx.host.set_times_of_file(file, times)?,
        }
        Ok(())
    }))
}
