//! Error codes of WASI 0.1, and the one place where the host's errors become them.

use crate::host::Error;

macro_rules! errnos {
    ($($variant:ident = $number:literal, $text:literal;)*) => {
        /// An error code. Success is not among them; see [`Errno::number`].
        ///
        /// Specification: `errno`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Errno { $(#[doc = $text] $variant = $number,)* }

        impl Errno {
            /// The specification's name, as in `badf`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Errno::$variant => $text,)* }
            }

            /// The error with this number, if there is one.
            #[must_use]
            pub fn from_number(number: i32) -> Option<Errno> {
                match number { $($number => Some(Errno::$variant),)* _ => None }
            }
        }
    };
}

errnos! {
    TooBig = 1, "2big"; Acces = 2, "acces"; AddrInUse = 3, "addrinuse"; AddrNotAvail = 4, "addrnotavail";
    AfNoSupport = 5, "afnosupport"; Again = 6, "again"; Already = 7, "already"; Badf = 8, "badf";
    BadMsg = 9, "badmsg"; Busy = 10, "busy"; Canceled = 11, "canceled"; Child = 12, "child";
    ConnAborted = 13, "connaborted"; ConnRefused = 14, "connrefused"; ConnReset = 15, "connreset";
    Deadlk = 16, "deadlk"; DestAddrReq = 17, "destaddrreq"; Dom = 18, "dom"; Dquot = 19, "dquot";
    Exist = 20, "exist"; Fault = 21, "fault"; Fbig = 22, "fbig"; HostUnreach = 23, "hostunreach";
    Idrm = 24, "idrm"; Ilseq = 25, "ilseq"; InProgress = 26, "inprogress"; Intr = 27, "intr";
    Inval = 28, "inval"; Io = 29, "io"; IsConn = 30, "isconn"; IsDir = 31, "isdir"; Loop = 32, "loop";
    Mfile = 33, "mfile"; Mlink = 34, "mlink"; MsgSize = 35, "msgsize"; Multihop = 36, "multihop";
    NameTooLong = 37, "nametoolong"; NetDown = 38, "netdown"; NetReset = 39, "netreset";
    NetUnreach = 40, "netunreach"; Nfile = 41, "nfile"; NoBufs = 42, "nobufs"; NoDev = 43, "nodev";
    NoEnt = 44, "noent"; NoExec = 45, "noexec"; NoLck = 46, "nolck"; NoLink = 47, "nolink";
    NoMem = 48, "nomem"; NoMsg = 49, "nomsg"; NoProtoOpt = 50, "noprotoopt"; NoSpc = 51, "nospc";
    NoSys = 52, "nosys"; NotConn = 53, "notconn"; NotDir = 54, "notdir"; NotEmpty = 55, "notempty";
    NotRecoverable = 56, "notrecoverable"; NotSock = 57, "notsock"; NotSup = 58, "notsup";
    NoTty = 59, "notty"; Nxio = 60, "nxio"; Overflow = 61, "overflow"; OwnerDead = 62, "ownerdead";
    Perm = 63, "perm"; Pipe = 64, "pipe"; Proto = 65, "proto"; ProtoNoSupport = 66, "protonosupport";
    Prototype = 67, "prototype"; Range = 68, "range"; Rofs = 69, "rofs"; Spipe = 70, "spipe";
    Srch = 71, "srch"; Stale = 72, "stale"; TimedOut = 73, "timedout"; TxtBsy = 74, "txtbsy";
    Xdev = 75, "xdev"; NotCapable = 76, "notcapable";
}

impl Errno {
    /// The number that a guest gets; zero would be success.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::from(self as u16)
    }
}

impl std::fmt::Display for Errno {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl std::error::Error for Errno {}

impl From<Error> for Errno {
    fn from(error: Error) -> Errno {
        match error {
            Error::Denied
            | Error::Escape
            | Error::KernelFiles
            | Error::Hidden
            | Error::Reserved
            | Error::NotPermitted => Errno::Perm,
            Error::NotOpenForThis | Error::BadHandle => Errno::Badf,
            Error::Access => Errno::Acces,
            Error::AddressFamily => Errno::AfNoSupport,
            Error::AddressInUse => Errno::AddrInUse,
            Error::AddressNotAvailable => Errno::AddrNotAvail,
            Error::Again => Errno::Again,
            Error::AlreadyConnected => Errno::IsConn,
            Error::Busy => Errno::Busy,
            Error::ConnectionAborted => Errno::ConnAborted,
            Error::ConnectionRefused => Errno::ConnRefused,
            Error::ConnectionReset => Errno::ConnReset,
            Error::CrossDevice => Errno::Xdev,
            Error::Deadlock => Errno::Deadlk,
            Error::Exists => Errno::Exist,
            Error::FileTooLarge => Errno::Fbig,
            Error::IllegalBytes => Errno::Ilseq,
            Error::InProgress => Errno::InProgress,
            Error::Interrupted => Errno::Intr,
            Error::Invalid => Errno::Inval,
            Error::Io => Errno::Io,
            Error::IsDirectory => Errno::IsDir,
            Error::Loop => Errno::Loop,
            Error::MessageSize => Errno::MsgSize,
            Error::NameTooLong => Errno::NameTooLong,
            Error::NetworkDown => Errno::NetDown,
            Error::NoDevice => Errno::NoDev,
            Error::NoMemory => Errno::NoMem,
            Error::NoSpace => Errno::NoSpc,
            Error::NotConnected => Errno::NotConn,
            Error::NotDirectory => Errno::NotDir,
            Error::NotEmpty => Errno::NotEmpty,
            Error::NotFound | Error::Locked | Error::NameNotFound | Error::NamePermanent => Errno::NoEnt,
            Error::NameTemporary => Errno::Again,
            Error::NotSocket => Errno::NotSock,
            Error::NotSupported => Errno::NotSup,
            Error::NotTerminal => Errno::NoTty,
            Error::NoSuchAddress => Errno::Nxio,
            Error::Overflow => Errno::Overflow,
            Error::Pipe => Errno::Pipe,
            Error::Quota => Errno::Dquot,
            Error::ReadOnlyFileSystem => Errno::Rofs,
            Error::Seek => Errno::Spipe,
            Error::Stale => Errno::Stale,
            Error::SystemHandles => Errno::Nfile,
            Error::TextBusy => Errno::TxtBsy,
            Error::TimedOut => Errno::TimedOut,
            Error::TooManyHandles => Errno::Mfile,
            Error::TooManyLinks => Errno::Mlink,
            Error::Unreachable => Errno::HostUnreach,
        }
    }
}
