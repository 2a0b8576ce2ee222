//! Options of sockets.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::net::sockopt;

use super::Error;
use crate::host::gate::Permit;
use crate::host::socket_option::SocketOption;
use crate::host::tcp::AddressFamily;

/// Most that the system takes for times, in seconds, and for counts; a buffer's size is doubled by it.
const MOST_SECONDS: u64 = 32_767;
const MOST_LOOKS: u64 = 127;
const MOST_BUFFER_BYTES: usize = (i32::MAX / 2) as usize;

pub(crate) fn socket_option(
    _: &Permit,
    fd: BorrowedFd<'_>,
    (option, family): (SocketOption, AddressFamily),
) -> Result<u64, Error> {
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Ok(match option {
        SocketOption::KeepAlive => sockopt::socket_keepalive(fd)?.into(),
        SocketOption::KeepAliveIdleNs => nanoseconds(sockopt::tcp_keepidle(fd)?),
        SocketOption::KeepAliveIntervalNs => nanoseconds(sockopt::tcp_keepintvl(fd)?),
        SocketOption::KeepAliveCount => sockopt::tcp_keepcnt(fd)?.into(),
        SocketOption::HopLimit => match family {
            AddressFamily::Ipv4 => sockopt::ip_ttl(fd)?.into(),
            AddressFamily::Ipv6 => sockopt::ipv6_unicast_hops(fd)?.into(),
        },
        // Half of it is for the system's own records.
        SocketOption::ReceiveBufferBytes => sockopt::socket_recv_buffer_size(fd)? as u64 / 2,
        SocketOption::SendBufferBytes => sockopt::socket_send_buffer_size(fd)? as u64 / 2,
    })
}

/// Sets an option to a value that is not zero where that is none.
pub(crate) fn set_socket_option(
    _: &Permit,
    fd: BorrowedFd<'_>,
    (option, family): (SocketOption, AddressFamily),
    value: u64,
) -> Result<(), Error> {
    let seconds = || Duration::from_secs(value.div_ceil(1_000_000_000).clamp(1, MOST_SECONDS));
    let looks = u32::try_from(value.clamp(1, MOST_LOOKS)).unwrap_or(1);
    let hops = u8::try_from(value).map_err(|_| Error::Invalid);
    let buffer_bytes = usize::try_from(value).unwrap_or(usize::MAX).min(MOST_BUFFER_BYTES);
    match option {
        SocketOption::KeepAlive => sockopt::set_socket_keepalive(fd, value != 0)?,
        SocketOption::KeepAliveIdleNs => sockopt::set_tcp_keepidle(fd, seconds())?,
        SocketOption::KeepAliveIntervalNs => sockopt::set_tcp_keepintvl(fd, seconds())?,
        SocketOption::KeepAliveCount => sockopt::set_tcp_keepcnt(fd, looks)?,
        SocketOption::HopLimit => match family {
            AddressFamily::Ipv4 => sockopt::set_ip_ttl(fd, hops?.into())?,
            AddressFamily::Ipv6 => sockopt::set_ipv6_unicast_hops(fd, Some(hops?))?,
        },
        SocketOption::ReceiveBufferBytes => sockopt::set_socket_recv_buffer_size(fd, buffer_bytes)?,
        SocketOption::SendBufferBytes => sockopt::set_socket_send_buffer_size(fd, buffer_bytes)?,
    }
    Ok(())
}
