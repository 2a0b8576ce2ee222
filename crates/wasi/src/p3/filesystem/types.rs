//! What `wasi:filesystem` has other types for than WASI 0.2.

use innkeeper_component::{ComponentType, Lift, Lower, Val};

use super::error_code::ErrorCode;
use crate::host::{FileKind, Metadata, SetTime, SetTimes};
use crate::p3::clocks::Instant;

/// `wasi:filesystem/types.descriptor-type`
#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(path = innkeeper_component)]
pub(super) enum DescriptorType {
    BlockDevice,
    CharacterDevice,
    Directory,
    Fifo,
    SymbolicLink,
    RegularFile,
    Socket,
    Other(Option<String>),
}

impl From<FileKind> for DescriptorType {
    fn from(kind: FileKind) -> DescriptorType {
        match kind {
            FileKind::Unknown => DescriptorType::Other(None),
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

impl DescriptorType {
    fn val(self) -> Val {
        let label = match self {
            DescriptorType::BlockDevice => "block-device",
            DescriptorType::CharacterDevice => "character-device",
            DescriptorType::Directory => "directory",
            DescriptorType::Fifo => "fifo",
            DescriptorType::SymbolicLink => "symbolic-link",
            DescriptorType::RegularFile => "regular-file",
            DescriptorType::Socket => "socket",
            DescriptorType::Other(reason) => {
                let reason = reason.map(|reason| Box::new(Val::String(reason)));
                return Val::variant("other", Some(Val::Option(reason)));
            }
        };
        Val::variant(label, None)
    }
}

/// `wasi:filesystem/types.descriptor-stat`
#[derive(Clone, Debug, ComponentType, Lower)]
#[component(path = innkeeper_component)]
pub(super) struct DescriptorStat {
    r#type: DescriptorType,
    link_count: u64,
    size: u64,
    data_access_timestamp: Option<Instant>,
    data_modification_timestamp: Option<Instant>,
    status_change_timestamp: Option<Instant>,
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
pub(super) enum NewTimestamp {
    NoChange,
    Now,
    Timestamp(Instant),
}

/// What becomes of a file's times.
pub(super) fn set_times((accessed, modified): (NewTimestamp, NewTimestamp)) -> Result<SetTimes, ErrorCode> {
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
pub(super) struct DirectoryEntry {
    pub(super) r#type: DescriptorType,
    pub(super) name: String,
}

impl DirectoryEntry {
    /// The entry as a value of its type.
    pub(super) fn val(self) -> Val {
        Val::record([("type", self.r#type.val()), ("name", Val::String(self.name))])
    }
}
