//! Sockets: those that the guest found open, and the connections it accepts.

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer};
use super::rights::Rights;
use super::table::{Entry, Fd};
use super::types::{FdFlags, RiFlags, SdFlags};
use crate::host::{Nonblocking, ReceiveFlags, ShutdownHow};

/// Accepts a connection and writes its descriptor. Of the flags only `nonblock` has a meaning.
///
/// # Errors
/// `badf`, `notsock`, `notcapable`; `inval` if the socket does not listen or for other flags; `again`, `intr`,
/// `connaborted`, `mfile`, `fault`.
///
/// Specification: `sock_accept`.
pub(super) async fn sock_accept(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    flags: u32,
    accepted: Pointer,
) -> Result<(), Errno> {
    let no_socket = |_: &Errno| cx.notes.missing_listener(fd);
    let entry = cx.table.get(fd).inspect_err(no_socket)?;
    let listener = entry.as_socket(Rights::NONE).inspect_err(no_socket)?;
    let flags = FdFlags::from_bits(flags)?;
    if flags.bits() & !FdFlags::NONBLOCK.bits() != 0 {
        return Err(Errno::Inval);
    }
    memory.check(accepted, 4)?;
    let room = cx.room(0)?;
    let nonblocking = if flags.contains(FdFlags::NONBLOCK) { Nonblocking::Yes } else { Nonblocking::No };
    let connection = cx.host.accept(listener, nonblocking).await?;
    let number = room.fill(Entry::socket(connection))?;
    memory.write_u32(accepted, number.0)
}

/// Receives into the first buffer that is not empty; writes how many bytes came, zero when the peer has closed, and
/// that none were cut off.
///
/// # Errors
/// `badf`, `notsock`, `inval` for unknown flags, `fault`, `notconn`, `connreset`, `again`, `intr`.
///
/// Specification: `sock_recv`.
#[expect(clippy::too_many_arguments, reason = "the parameters are the specification's")]
pub(super) async fn sock_recv(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    buffers: Pointer,
    buffers_len: u32,
    flags: u32,
    received: Pointer,
    out_flags: Pointer,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    let socket = entry.as_socket(Rights::FD_READ)?;
    let flags = RiFlags::from_bits(flags)?;
    memory.check(received, 4)?;
    memory.check(out_flags, 2)?;
    let buffers = memory.buffers(buffers, buffers_len)?;
    let flags =
        ReceiveFlags { peek: flags.contains(RiFlags::PEEK), wait_all: flags.contains(RiFlags::WAITALL) };
    let count = match buffers.first() {
        Some(buffer) => {
            let mut copy = None;
            let mut lent = memory.lend_mut(&buffer, &mut copy)?;
            let count = cx.host.receive(socket, &mut lent.slices()[0], flags).await?;
            lent.filled(count)?
        }
        None => 0,
    };
    memory.write_u32(received, u32::try_from(count).map_err(|_| Errno::Overflow)?)?;
    memory.write(out_flags, &[0; 2])
}

/// Sends the first buffer that is not empty, or part of it, and writes how many bytes that was.
///
/// # Errors
/// `badf`, `notsock`, `inval` for any flag, `fault`, `notconn`, `pipe`, `connreset`, `again`, `intr`.
///
/// Specification: `sock_send`.
pub(super) async fn sock_send(
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    fd: Fd,
    buffers: Pointer,
    buffers_len: u32,
    flags: u32,
    sent: Pointer,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    let socket = entry.as_socket(Rights::FD_WRITE)?;
    if flags != 0 {
        return Err(Errno::Inval);
    }
    memory.check(sent, 4)?;
    let buffers = memory.buffers(buffers, buffers_len)?;
    let count = match buffers.first() {
        Some(buffer) => cx.host.send(socket, &memory.lend(&buffer)?.slices()[0]).await?,
        None => 0,
    };
    memory.write_u32(sent, u32::try_from(count).map_err(|_| Errno::Overflow)?)
}

/// Shuts receiving, sending or both down.
///
/// # Errors
/// `badf`, `notsock`, `notcapable`, `inval` for no or unknown flags, `notconn`.
///
/// Specification: `sock_shutdown`.
pub(super) fn sock_shutdown(
    cx: &mut Context,
    _memory: &mut GuestMemory<'_>,
    fd: Fd,
    how: u32,
) -> Result<(), Errno> {
    let entry = cx.table.get(fd)?;
    let socket = entry.as_socket(Rights::SOCK_SHUTDOWN)?;
    let how = SdFlags::from_bits(how)?;
    let how = match (how.contains(SdFlags::RD), how.contains(SdFlags::WR)) {
        (true, true) => ShutdownHow::Both,
        (true, false) => ShutdownHow::Receive,
        (false, true) => ShutdownHow::Send,
        (false, false) => return Err(Errno::Inval),
    };
    Ok(cx.host.shutdown(socket, how)?)
}
