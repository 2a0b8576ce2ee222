//! Flags, enumerations and records of `wasi:filesystem`, and what they are for the host.

use innkeeper_component::{ComponentType, Lift, Lower};

use super::error_code::ErrorCode;
use crate::host::{self, FileKind, LastLink, Metadata, SetTime, SetTimes};
use crate::p2::clocks::Datetime;

/// `wasi:filesystem/types.descriptor-type`
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(path = innkeeper_component)]
pub(crate) enum DescriptorType {
    Unknown,
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    SymbolicLink,
    RegularFile,
    Socket,
}

impl From<FileKind> for DescriptorType {
    fn from(kind: FileKind) -> DescriptorType {
        match kind {
            FileKind::Unknown => DescriptorType::Unknown,
            FileKind::BlockDevice => DescriptorType::BlockDevice,
            FileKind::CharacterDevice => DescriptorType::CharacterDevice,
            FileKind::Directory => DescriptorType::Directory,
            FileKind::Fifo => DescriptorType::Fifo,
            FileKind::Regular => DescriptorType::RegularFile,
            FileKind::Socket => DescriptorType::Socket,
            FileKind::SymbolicLink => DescriptorType::SymbolicLink,
        }
    }
}

/// `wasi:filesystem/types.descriptor-flags`
#[derive(Clone, Copy, Debug, Default, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component, flags)]
pub(crate) struct DescriptorFlags {
    pub(crate) read: bool,
    pub(crate) write: bool,
    pub(crate) file_integrity_sync: bool,
    pub(crate) data_integrity_sync: bool,
    pub(crate) requested_write_sync: bool,
    pub(crate) mutate_directory: bool,
}

/// `wasi:filesystem/types.path-flags`
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(path = innkeeper_component, flags)]
pub(crate) struct PathFlags {
    pub(crate) symlink_follow: bool,
}

impl PathFlags {
    pub(crate) fn last_link(self) -> LastLink {
        if self.symlink_follow { LastLink::Follow } else { LastLink::Keep }
    }
}

/// `wasi:filesystem/types.open-flags`
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(path = innkeeper_component, flags)]
pub(crate) struct OpenFlags {
    pub(crate) create: bool,
    pub(crate) directory: bool,
    pub(crate) exclusive: bool,
    pub(crate) truncate: bool,
}

/// `wasi:filesystem/types.descriptor-stat`
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(path = innkeeper_component)]
pub(crate) struct DescriptorStat {
    r#type: DescriptorType,
    link_count: u64,
    size: u64,
    data_access_timestamp: Option<Datetime>,
    data_modification_timestamp: Option<Datetime>,
    status_change_timestamp: Option<Datetime>,
}

impl From<Metadata> for DescriptorStat {
    fn from(metadata: Metadata) -> DescriptorStat {
        DescriptorStat {
            r#type: metadata.kind.into(),
            link_count: metadata.links,
            size: metadata.size_bytes,
            data_access_timestamp: Some(metadata.accessed.into()),
            data_modification_timestamp: Some(metadata.modified.into()),
            status_change_timestamp: Some(metadata.changed.into()),
        }
    }
}

/// `wasi:filesystem/types.new-timestamp`
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(path = innkeeper_component)]
pub(crate) enum NewTimestamp {
    NoChange,
    Now,
    Timestamp(Datetime),
}

/// What becomes of a file's times.
pub(crate) fn set_times((accessed, modified): (NewTimestamp, NewTimestamp)) -> Result<SetTimes, ErrorCode> {
    let set = |time| match time {
        NewTimestamp::NoChange => Ok(SetTime::Keep),
        NewTimestamp::Now => Ok(SetTime::Now),
        NewTimestamp::Timestamp(time) => time.timestamp().map(SetTime::To).ok_or(ErrorCode::Invalid),
    };
    Ok(SetTimes { accessed: set(accessed)?, modified: set(modified)? })
}

/// `wasi:filesystem/types.directory-entry`
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(path = innkeeper_component)]
pub(crate) struct DirectoryEntry {
    pub(crate) r#type: DescriptorType,
    pub(crate) name: String,
}

/// `wasi:filesystem/types.advice`
#[derive(Clone, Copy, Debug, ComponentType, Lift)]
#[component(path = innkeeper_component)]
pub(crate) enum Advice {
    Normal,
    Sequential,
    Random,
    WillNeed,
    DontNeed,
    NoReuse,
}

impl From<Advice> for host::Advice {
    fn from(advice: Advice) -> host::Advice {
        match advice {
            Advice::Normal => host::Advice::Normal,
            Advice::Sequential => host::Advice::Sequential,
            Advice::Random => host::Advice::Random,
            Advice::WillNeed => host::Advice::WillNeed,
            Advice::DontNeed => host::Advice::DontNeed,
            Advice::NoReuse => host::Advice::NoReuse,
        }
    }
}

/// `wasi:filesystem/types.metadata-hash-value`
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(path = innkeeper_component)]
pub(crate) struct MetadataHashValue {
    lower: u64,
    upper: u64,
}

impl From<Metadata> for MetadataHashValue {
    fn from(metadata: Metadata) -> MetadataHashValue {
        let hash = metadata.fingerprint();
        // Half of the 128 bits each.
        MetadataHashValue { lower: hash as u64, upper: (hash >> 64) as u64 }
    }
}
