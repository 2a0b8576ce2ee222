//! The rights that WASI 0.1 attaches to each descriptor.
//!
//! They are what the guest is shown and may narrow. The rights that protect the host are those of the
//! host's handles; these can be wider and never make anything possible. What a descriptor states is what both allow.

use std::ops::{BitAnd, BitOr};

/// A set of rights.
///
/// Specification: `rights`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u64);

macro_rules! rights {
    ($($name:ident = $bit:literal;)*) => {
        impl Rights {
            $(#[doc = concat!("The right `", stringify!($name), "`.")] pub const $name: Rights = Rights(1 << $bit);)*

            /// Every right's bit and the specification's name for it, in capitals.
            pub const NAMES: &'static [(u64, &'static str)] = &[$((1 << $bit, stringify!($name))),*];
        }
    };
}

rights! {
    FD_DATASYNC = 0; FD_READ = 1; FD_SEEK = 2; FD_FDSTAT_SET_FLAGS = 3; FD_SYNC = 4; FD_TELL = 5; FD_WRITE = 6;
    FD_ADVISE = 7; FD_ALLOCATE = 8; PATH_CREATE_DIRECTORY = 9; PATH_CREATE_FILE = 10; PATH_LINK_SOURCE = 11;
    PATH_LINK_TARGET = 12; PATH_OPEN = 13; FD_READDIR = 14; PATH_READLINK = 15; PATH_RENAME_SOURCE = 16;
    PATH_RENAME_TARGET = 17; PATH_FILESTAT_GET = 18; PATH_FILESTAT_SET_SIZE = 19; PATH_FILESTAT_SET_TIMES = 20;
    FD_FILESTAT_GET = 21; FD_FILESTAT_SET_SIZE = 22; FD_FILESTAT_SET_TIMES = 23; PATH_SYMLINK = 24;
    PATH_REMOVE_DIRECTORY = 25; PATH_UNLINK_FILE = 26; POLL_FD_READWRITE = 27; SOCK_SHUTDOWN = 28; SOCK_ACCEPT = 29;
}

impl Rights {
    /// No right.
    pub const NONE: Rights = Rights(0);

    /// What a directory can have.
    pub const DIRECTORY: Rights = Rights(
        Rights::PATH_CREATE_DIRECTORY.0
            | Rights::PATH_CREATE_FILE.0
            | Rights::PATH_LINK_SOURCE.0
            | Rights::PATH_LINK_TARGET.0
            | Rights::PATH_OPEN.0
            | Rights::FD_READDIR.0
            | Rights::FD_SYNC.0
            | Rights::FD_DATASYNC.0
            | Rights::PATH_READLINK.0
            | Rights::PATH_RENAME_SOURCE.0
            | Rights::PATH_RENAME_TARGET.0
            | Rights::PATH_FILESTAT_GET.0
            | Rights::PATH_FILESTAT_SET_SIZE.0
            | Rights::PATH_FILESTAT_SET_TIMES.0
            | Rights::FD_FILESTAT_GET.0
            | Rights::FD_FILESTAT_SET_TIMES.0
            | Rights::PATH_SYMLINK.0
            | Rights::PATH_REMOVE_DIRECTORY.0
            | Rights::PATH_UNLINK_FILE.0,
    );

    /// What a file can have.
    pub const FILE: Rights = Rights(
        Rights::FD_DATASYNC.0
            | Rights::FD_READ.0
            | Rights::FD_SEEK.0
            | Rights::FD_FDSTAT_SET_FLAGS.0
            | Rights::FD_SYNC.0
            | Rights::FD_TELL.0
            | Rights::FD_WRITE.0
            | Rights::FD_ADVISE.0
            | Rights::FD_ALLOCATE.0
            | Rights::FD_FILESTAT_GET.0
            | Rights::FD_FILESTAT_SET_SIZE.0
            | Rights::FD_FILESTAT_SET_TIMES.0
            | Rights::POLL_FD_READWRITE.0,
    );

    /// What a standard stream has besides reading or writing. Neither seek nor tell: libraries take a stream that has
    /// those for something else than a terminal.
    pub const STREAM: Rights =
        Rights(Rights::FD_FDSTAT_SET_FLAGS.0 | Rights::FD_FILESTAT_GET.0 | Rights::POLL_FD_READWRITE.0);

    /// What a connection has.
    pub const CONNECTION: Rights =
        Rights(Rights::STREAM.0 | Rights::FD_READ.0 | Rights::FD_WRITE.0 | Rights::SOCK_SHUTDOWN.0);

    /// What a listening socket has.
    pub const LISTENER: Rights = Rights(Rights::STREAM.0 | Rights::FD_READ.0 | Rights::SOCK_ACCEPT.0);

    /// What nobody can do with a file, or pass on, whose data cannot be written.
    pub const WRITING: Rights = Rights(
        Rights::FD_WRITE.0
            | Rights::FD_ALLOCATE.0
            | Rights::FD_FILESTAT_SET_SIZE.0
            | Rights::PATH_FILESTAT_SET_SIZE.0,
    );

    /// What nobody can do, or pass on, where names and times cannot be changed.
    pub const CHANGING: Rights = Rights(
        Rights::PATH_CREATE_DIRECTORY.0
            | Rights::PATH_CREATE_FILE.0
            | Rights::PATH_LINK_SOURCE.0
            | Rights::PATH_LINK_TARGET.0
            | Rights::PATH_RENAME_SOURCE.0
            | Rights::PATH_RENAME_TARGET.0
            | Rights::PATH_FILESTAT_SET_TIMES.0
            | Rights::FD_FILESTAT_SET_TIMES.0
            | Rights::PATH_SYMLINK.0
            | Rights::PATH_REMOVE_DIRECTORY.0
            | Rights::PATH_UNLINK_FILE.0,
    );

    /// The set with these bits.
    #[must_use]
    pub fn from_bits(bits: u64) -> Rights {
        Rights(bits)
    }

    /// The bits.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether every right in `other` is in this set.
    #[must_use]
    pub fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }

    /// This set without the rights in `other`.
    #[must_use]
    pub fn without(self, other: Rights) -> Rights {
        Rights(self.0 & !other.0)
    }
}

impl BitOr for Rights {
    type Output = Rights;

    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}

impl BitAnd for Rights {
    type Output = Rights;

    fn bitand(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }
}
