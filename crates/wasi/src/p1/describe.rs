//! What the arguments and results of a call mean, for traces: descriptors with what they are, paths as text, flags by name.
//!
//! Parameters are told apart by their names in the list of functions; where one name means different things, the function decides.

use super::context::Context;
use super::functions::Function;
use super::memory::{GuestMemory, Pointer, element};
use super::rights::Rights;
use super::table::{Fd, Object};
use super::types::{FdFlags, FileType, FstFlags, LookupFlags, OFlags, RiFlags, SdFlags};
use crate::observe::{Argument, Value};

/// What a parameter means.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    Number,
    Signed,
    Descriptor,
    /// The address of a text, whose length is the next parameter.
    Text,
    /// The length of the text before.
    Skipped,
    /// The address of a vector of buffers, whose length is the next parameter.
    Vector,
    Flags(fn(u64) -> Vec<&'static str>),
    /// Where results are put.
    Result(Width),
    Address,
}

/// What is put where a result goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    U32,
    U64,
    Descriptor,
    /// A `filestat`.
    FileStat,
    /// The text whose length is the next parameter.
    Text,
}

/// The arguments of a call that is about to be made.
pub(super) fn arguments(
    cx: &Context,
    memory: &GuestMemory<'_>,
    function: &Function,
    slots: &[u64],
) -> Vec<Argument> {
    let mut arguments = Vec::new();
    for (index, ((name, _), slot)) in function.parameters.iter().zip(slots).enumerate() {
        let next = slots.get(index + 1).copied().unwrap_or(0);
        let value = match meaning(function.name, name) {
            Meaning::Number => Value::Number(*slot),
            Meaning::Signed => Value::Signed(slot.cast_signed()),
            Meaning::Descriptor => descriptor(cx, *slot),
            Meaning::Text => text(memory, *slot, next),
            Meaning::Vector => {
                arguments.push(Argument { name: "buffers", value: Value::Number(next) });
                arguments.push(Argument { name: "bytes", value: Value::Number(total(memory, *slot, next)) });
                continue;
            }
            Meaning::Flags(names) => Value::Names(names(*slot)),
            Meaning::Address => Value::Address(*slot as u32),
            Meaning::Skipped | Meaning::Result(_) => continue,
        };
        arguments.push(Argument { name, value });
    }
    arguments
}

/// What a call that succeeded gave.
pub(super) fn results(
    cx: &Context,
    memory: &GuestMemory<'_>,
    function: &Function,
    slots: &[u64],
) -> Vec<Argument> {
    let mut results = Vec::new();
    for (index, ((name, _), slot)) in function.parameters.iter().zip(slots).enumerate() {
        let Meaning::Result(width) = meaning(function.name, name) else { continue };
        let at = Pointer(*slot as u32);
        let value = match width {
            Width::U32 => memory.read_u32(at).map(|number| Value::Number(number.into())),
            Width::U64 => memory.read(at).map(|bytes| Value::Number(u64::from_le_bytes(bytes))),
            Width::Descriptor => memory.read_u32(at).map(|fd| descriptor(cx, fd.into())),
            Width::FileStat => {
                if let (Ok([kind]), Ok(size)) =
                    (memory.read(Pointer(at.0 + 16)), memory.read(Pointer(at.0 + 32)))
                {
                    results.push(Argument { name: "filetype", value: Value::Names(vec![file_type(kind)]) });
                    results.push(Argument { name: "size", value: Value::Number(u64::from_le_bytes(size)) });
                }
                continue;
            }
            Width::Text => Ok(text(memory, *slot, slots.get(index + 1).copied().unwrap_or(0))),
        };
        if let Ok(value) = value {
            results.push(Argument { name, value });
        }
    }
    results
}

/// Bytes that a call that succeeded has moved.
pub(super) fn bytes_moved(memory: &GuestMemory<'_>, function: &Function, slots: &[u64]) -> u64 {
    let counts = ["nread", "nwritten", "bufused", "ro_datalen", "so_datalen"];
    let moved = function.parameters.iter().zip(slots).find(|((name, _), _)| counts.contains(name));
    match moved {
        Some((_, at)) => memory.read_u32(Pointer(*at as u32)).map_or(0, u64::from),
        None if function.name == "random_get" => slots.get(1).copied().unwrap_or(0),
        None => 0,
    }
}

fn meaning(function: &str, parameter: &str) -> Meaning {
    match (function, parameter) {
        ("fd_prestat_dir_name", "path") => Meaning::Result(Width::Text),
        ("fd_tell", "offset") => Meaning::Result(Width::U64),
        ("fd_seek", "offset") => Meaning::Signed,
        ("fd_readdir" | "path_readlink" | "random_get", "buf") => Meaning::Address,
        ("fd_fdstat_set_flags" | "sock_accept", "flags") => Meaning::Flags(fd_flags),
        ("fd_filestat_set_times", "flags") => Meaning::Flags(fst_flags),
        ("fd_fdstat_get" | "poll_oneoff", "stat" | "subscriptions" | "events") => Meaning::Skipped,
        ("clock_res_get" | "clock_time_get", "id") => Meaning::Flags(clock_name),
        ("fd_renumber", "to") => Meaning::Descriptor,
        (_, "fd" | "old_fd" | "new_fd") => Meaning::Descriptor,
        (_, "path" | "old_path" | "new_path") => Meaning::Text,
        (_, "path_len" | "old_path_len" | "new_path_len" | "iovs_len" | "ri_data_len" | "si_data_len") => {
            Meaning::Skipped
        }
        (_, "iovs" | "ri_data" | "si_data") => Meaning::Vector,
        (_, "flags" | "dirflags" | "old_flags") => Meaning::Flags(lookup_flags),
        (_, "oflags") => Meaning::Flags(o_flags),
        (_, "fdflags") => Meaning::Flags(fd_flags),
        (_, "fst_flags") => Meaning::Flags(fst_flags),
        (_, "ri_flags") => Meaning::Flags(ri_flags),
        (_, "how") => Meaning::Flags(sd_flags),
        (_, "rights_base") => Meaning::Flags(data_rights),
        // Of no consequence, and long.
        (_, "rights_inheriting") => Meaning::Skipped,
        (_, "base" | "inheriting") => Meaning::Flags(rights),
        (_, "whence") => Meaning::Flags(whence),
        (_, "advice") => Meaning::Flags(advice),
        (_, "opened_fd" | "accepted") => Meaning::Result(Width::Descriptor),
        (_, "newoffset" | "time" | "resolution") => Meaning::Result(Width::U64),
        (_, "stat") => Meaning::Result(Width::FileStat),
        (
            _,
            "nread" | "nwritten" | "bufused" | "ro_datalen" | "so_datalen" | "argc" | "argv_buf_size"
            | "environc" | "environ_buf_size" | "nevents",
        ) => Meaning::Result(Width::U32),
        (_, "prestat" | "ro_flags" | "argv" | "argv_buf" | "environ" | "environ_buf") => Meaning::Skipped,
        _ => Meaning::Number,
    }
}

fn descriptor(cx: &Context, slot: u64) -> Value {
    let number = slot as u32;
    let name = cx.table.get(Fd(number)).ok().map(|entry| {
        let credentials = match &entry.object {
            // It is in no flag, and nothing is in it.
            Object::Directory(directory) if directory.is_locked_root() => {
                return String::from("/ (nothing granted)");
            }
            Object::Directory(directory) => directory.credentials(),
            Object::File(file) => file.credentials(),
            Object::Stream(stream) => stream.credentials(),
            Object::Socket(socket) => socket.credentials(),
        };
        credentials.guest_path().to_owned()
    });
    Value::Descriptor(number, name)
}

fn text(memory: &GuestMemory<'_>, at: u64, length: u64) -> Value {
    let length = length.min(4096) as u32;
    match memory.bytes(Pointer(at as u32), length) {
        Ok(bytes) => Value::Text(String::from_utf8_lossy(&bytes).into_owned()),
        Err(_) => Value::Address(at as u32),
    }
}

/// The bytes of a vector's buffers together.
fn total(memory: &GuestMemory<'_>, vector: u64, count: u64) -> u64 {
    let length = |index| {
        let at = element(Pointer(vector as u32), index, 8).ok()?;
        memory.read_u32(Pointer(at.0.checked_add(4)?)).ok()
    };
    (0..count.min(1024) as u32).map_while(length).map(u64::from).sum()
}

/// The names of the bits that are set, from a list of all.
fn named(bits: u64, names: &[(u64, &'static str)]) -> Vec<&'static str> {
    let mut named: Vec<&str> =
        names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    if bits & !names.iter().fold(0, |all, (bit, _)| all | bit) != 0 {
        named.push("unknown bits");
    }
    named
}

fn lookup_flags(bits: u64) -> Vec<&'static str> {
    named(bits, &[(LookupFlags::SYMLINK_FOLLOW.bits().into(), "symlink_follow")])
}

fn o_flags(bits: u64) -> Vec<&'static str> {
    let flags = [
        (OFlags::CREAT, "creat"),
        (OFlags::DIRECTORY, "directory"),
        (OFlags::EXCL, "excl"),
        (OFlags::TRUNC, "trunc"),
    ];
    named(bits, &flags.map(|(flag, name)| (u64::from(flag.bits()), name)))
}

fn fd_flags(bits: u64) -> Vec<&'static str> {
    let flags = [
        (FdFlags::APPEND, "append"),
        (FdFlags::DSYNC, "dsync"),
        (FdFlags::NONBLOCK, "nonblock"),
        (FdFlags::RSYNC, "rsync"),
        (FdFlags::SYNC, "sync"),
    ];
    named(bits, &flags.map(|(flag, name)| (u64::from(flag.bits()), name)))
}

fn fst_flags(bits: u64) -> Vec<&'static str> {
    let flags = [
        (FstFlags::ATIM, "atim"),
        (FstFlags::ATIM_NOW, "atim_now"),
        (FstFlags::MTIM, "mtim"),
        (FstFlags::MTIM_NOW, "mtim_now"),
    ];
    named(bits, &flags.map(|(flag, name)| (u64::from(flag.bits()), name)))
}

fn ri_flags(bits: u64) -> Vec<&'static str> {
    let flags = [(RiFlags::PEEK, "recv_peek"), (RiFlags::WAITALL, "recv_waitall")];
    named(bits, &flags.map(|(flag, name)| (u64::from(flag.bits()), name)))
}

fn sd_flags(bits: u64) -> Vec<&'static str> {
    let flags = [(SdFlags::RD, "rd"), (SdFlags::WR, "wr")];
    named(bits, &flags.map(|(flag, name)| (u64::from(flag.bits()), name)))
}

fn rights(bits: u64) -> Vec<&'static str> {
    let all = Rights::NAMES.iter().fold(0, |all, (bit, _)| all | bit);
    // Libraries often ask for everything.
    if bits & all == all { vec!["all"] } else { named(bits, Rights::NAMES) }
}

/// The rights that decide how a file is opened, by name.
fn data_rights(bits: u64) -> Vec<&'static str> {
    let data = (Rights::FD_READ | Rights::FD_WRITE).bits();
    let mut named = named(bits & data, Rights::NAMES);
    if bits & !data != 0 {
        named.push("and others");
    }
    named
}

fn choice(number: u64, names: &[&'static str]) -> Vec<&'static str> {
    let name = usize::try_from(number).ok().and_then(|index| names.get(index));
    vec![name.copied().unwrap_or("unknown")]
}

fn clock_name(number: u64) -> Vec<&'static str> {
    choice(number, &["realtime", "monotonic", "process_cputime_id", "thread_cputime_id"])
}

fn whence(number: u64) -> Vec<&'static str> {
    choice(number, &["set", "cur", "end"])
}

fn advice(number: u64) -> Vec<&'static str> {
    choice(number, &["normal", "sequential", "random", "willneed", "dontneed", "noreuse"])
}

fn file_type(number: u8) -> &'static str {
    const NAMES: [(FileType, &str); 8] = [
        (FileType::Unknown, "unknown"),
        (FileType::BlockDevice, "block_device"),
        (FileType::CharacterDevice, "character_device"),
        (FileType::Directory, "directory"),
        (FileType::RegularFile, "regular_file"),
        (FileType::SocketDgram, "socket_dgram"),
        (FileType::SocketStream, "socket_stream"),
        (FileType::SymbolicLink, "symbolic_link"),
    ];
    NAMES.iter().find(|(kind, _)| *kind as u8 == number).map_or("unknown", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::p1::functions::{Version, functions};

    /// A parameter that is the length or address of something else is never shown as a bare number.
    #[test]
    fn every_parameter_has_a_meaning() {
        let numbers = [
            "precision",
            "offset",
            "length",
            "size",
            "atim",
            "mtim",
            "cookie",
            "buf_len",
            "count",
            "code",
            "signal",
            "si_flags",
        ];
        for function in functions(Version::Preview1) {
            for (parameter, _) in function.parameters {
                let bare = matches!(meaning(function.name, parameter), Meaning::Number);
                assert!(!bare || numbers.contains(parameter), "{} {parameter}", function.name);
            }
        }
    }
}
