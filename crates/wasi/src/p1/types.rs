//! Flags, enumerations and records of WASI 0.1, and how they look in guest memory.
//!
//! Each flag type rejects unknown bits.

use super::errno::Errno;
use crate::host::{Clock, FileKind, LastLink, Metadata, SetTime, SetTimes, Timestamp};

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident { $($flag:ident = $bit:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name(u32);

        impl $name {
            $(#[doc = concat!("The flag `", stringify!($flag), "`.")] pub const $flag: $name = $name($bit);)*

            /// The flags with these bits.
            ///
            /// # Errors
            /// `inval` for a bit that means nothing.
            pub fn from_bits(bits: u32) -> Result<$name, Errno> {
                if bits & !(0 $(| $bit)*) == 0 { Ok($name(bits)) } else { Err(Errno::Inval) }
            }

            /// The bits.
            #[must_use]
            pub fn bits(self) -> u32 {
                self.0
            }

            /// Whether every flag in `other` is set.
            #[must_use]
            pub fn contains(self, other: $name) -> bool {
                self.0 & other.0 == other.0
            }

            /// These flags and `other`, if `wanted`.
            #[must_use]
            pub fn with_if(self, other: $name, wanted: bool) -> $name {
                if wanted { $name(self.0 | other.0) } else { self }
            }
        }
    };
}

flags! {
    /// Specification: `fdflags`.
    FdFlags { APPEND = 1, DSYNC = 2, NONBLOCK = 4, RSYNC = 8, SYNC = 16, }
}
flags! {
    /// Specification: `oflags`.
    OFlags { CREAT = 1, DIRECTORY = 2, EXCL = 4, TRUNC = 8, }
}
flags! {
    /// Specification: `lookupflags`.
    LookupFlags { SYMLINK_FOLLOW = 1, }
}
flags! {
    /// Specification: `fstflags`.
    FstFlags { ATIM = 1, ATIM_NOW = 2, MTIM = 4, MTIM_NOW = 8, }
}
flags! {
    /// Specification: `subclockflags`.
    SubClockFlags { ABSTIME = 1, }
}
flags! {
    /// Specification: `riflags`.
    RiFlags { PEEK = 1, WAITALL = 2, }
}
flags! {
    /// Specification: `sdflags`.
    SdFlags { RD = 1, WR = 2, }
}

impl LookupFlags {
    pub(super) fn last_link(self) -> LastLink {
        if self.contains(LookupFlags::SYMLINK_FOLLOW) { LastLink::Follow } else { LastLink::Keep }
    }
}

impl FstFlags {
    /// What becomes of the times.
    ///
    /// # Errors
    /// `inval` if a time is to be both given and the current one.
    pub(super) fn times(self, accessed_ns: u64, modified_ns: u64) -> Result<SetTimes, Errno> {
        let choose = |to, now, nanoseconds| match (self.contains(to), self.contains(now)) {
            (true, true) => Err(Errno::Inval),
            (true, false) => Ok(SetTime::To(Timestamp::from_nanoseconds(nanoseconds))),
            (false, true) => Ok(SetTime::Now),
            (false, false) => Ok(SetTime::Keep),
        };
        Ok(SetTimes {
            accessed: choose(FstFlags::ATIM, FstFlags::ATIM_NOW, accessed_ns)?,
            modified: choose(FstFlags::MTIM, FstFlags::MTIM_NOW, modified_ns)?,
        })
    }
}

/// Specification: `filetype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FileType {
    /// None of the others.
    Unknown = 0,
    /// A block device.
    BlockDevice = 1,
    /// A character device.
    CharacterDevice = 2,
    /// A directory.
    Directory = 3,
    /// A regular file.
    RegularFile = 4,
    /// A datagram socket.
    SocketDgram = 5,
    /// A stream socket.
    SocketStream = 6,
    /// A symbolic link.
    SymbolicLink = 7,
}

impl From<FileKind> for FileType {
    fn from(kind: FileKind) -> FileType {
        match kind {
            FileKind::BlockDevice => FileType::BlockDevice,
            FileKind::CharacterDevice => FileType::CharacterDevice,
            FileKind::Directory => FileType::Directory,
            FileKind::Regular => FileType::RegularFile,
            FileKind::Socket => FileType::SocketStream,
            FileKind::SymbolicLink => FileType::SymbolicLink,
            FileKind::Fifo | FileKind::Unknown => FileType::Unknown,
        }
    }
}

/// The clock with this number.
///
/// Specification: `clockid`.
///
/// # Errors
/// `inval` for any other number.
pub(super) fn clock(number: u32) -> Result<Clock, Errno> {
    match number {
        0 => Ok(Clock::Realtime),
        1 => Ok(Clock::Monotonic),
        2 => Ok(Clock::ProcessCpu),
        3 => Ok(Clock::ThreadCpu),
        _ => Err(Errno::Inval),
    }
}

/// Specification: `filestat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// The device it is on.
    pub dev: u64,
    /// Its number there.
    pub ino: u64,
    /// What it is.
    pub filetype: FileType,
    /// Names it has.
    pub nlink: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Last read, in nanoseconds since 1970.
    pub atim: u64,
    /// Last written, in nanoseconds since 1970.
    pub mtim: u64,
    /// Last changed, in nanoseconds since 1970.
    pub ctim: u64,
}

impl FileStat {
    /// Of something about which nothing but its type is told.
    #[must_use]
    pub fn of_type(filetype: FileType) -> FileStat {
        FileStat { dev: 0, ino: 0, filetype, nlink: 0, size: 0, atim: 0, mtim: 0, ctim: 0 }
    }

    /// As it looks in memory: 64 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        bytes[0..8].copy_from_slice(&self.dev.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.ino.to_le_bytes());
        bytes[16] = self.filetype as u8;
        bytes[24..32].copy_from_slice(&self.nlink.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.size.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.atim.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.mtim.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.ctim.to_le_bytes());
        bytes
    }
}

impl From<Metadata> for FileStat {
    fn from(metadata: Metadata) -> FileStat {
        FileStat {
            dev: metadata.device,
            ino: metadata.inode,
            filetype: FileType::from(metadata.kind),
            nlink: metadata.links,
            size: metadata.size_bytes,
            atim: metadata.accessed.to_nanoseconds(),
            mtim: metadata.modified.to_nanoseconds(),
            ctim: metadata.changed.to_nanoseconds(),
        }
    }
}
