//! Options of sockets, by their names in the interface.

use innkeeper_component::Borrowed;

use super::error_code::{ErrorCode, Failure, told};
use crate::host::{self, SocketOption};
use crate::p2::Context;
use crate::p2::interface::FindContext;
use crate::p2::table::Held;
use crate::p3::interface::Interface;

/// A resource that is a socket.
pub(super) trait IsSocket: Held {
    /// The socket.
    ///
    /// # Errors
    /// `invalid-state` where it can be used no more.
    fn usable(&self) -> Result<&host::Socket, ErrorCode>;
}

/// An option of a socket as a function that reads it, and one that sets it. The host gives what can be set, and so nothing is too large for its type.
macro_rules! option {
    ($interface:ident, $socket:ty, $resource:literal, $name:literal, $option:expr, $value:ty) => {
        $interface
            .func::<(Borrowed<'_, $socket>,), Result<$value, ErrorCode>>(
                concat!("[method]", $resource, ".get-", $name),
                |cx, (socket,)| {
                    let most = <$value>::MAX;
                    told(get(cx, socket, $option).map(|number| <$value>::try_from(number).unwrap_or(most)))
                },
            )
            .func::<(Borrowed<'_, $socket>, $value), Result<(), ErrorCode>>(
                concat!("[method]", $resource, ".set-", $name),
                |cx, (socket, value)| told(set(cx, socket, $option, u64::from(value))),
            )
    };
}

fn get<S: IsSocket>(cx: &mut Context, socket: Borrowed<'_, S>, option: SocketOption) -> Result<u64, Failure> {
    let socket = cx.table.get(socket)?.usable()?;
    Ok(cx.host.socket_option(socket, option)?)
}

fn set<S: IsSocket>(
    cx: &mut Context,
    socket: Borrowed<'_, S>,
    option: SocketOption,
    value: u64,
) -> Result<(), Failure> {
    let socket = cx.table.get(socket)?.usable()?;
    Ok(cx.host.set_socket_option(socket, option, value)?)
}

/// Those of `tcp-socket`.
pub(super) fn bind_tcp<S: IsSocket, T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    types
        .func::<(Borrowed<'_, S>,), Result<bool, ErrorCode>>(
            "[method]tcp-socket.get-keep-alive-enabled",
            |cx, (socket,)| told(get(cx, socket, SocketOption::KeepAlive).map(|value| value != 0)),
        )
        .func::<(Borrowed<'_, S>, bool), Result<(), ErrorCode>>(
            "[method]tcp-socket.set-keep-alive-enabled",
            |cx, (socket, value)| told(set(cx, socket, SocketOption::KeepAlive, value.into())),
        );
    option!(types, S, "tcp-socket", "keep-alive-idle-time", SocketOption::KeepAliveIdleNs, u64);
    option!(types, S, "tcp-socket", "keep-alive-interval", SocketOption::KeepAliveIntervalNs, u64);
    option!(types, S, "tcp-socket", "keep-alive-count", SocketOption::KeepAliveCount, u32);
    option!(types, S, "tcp-socket", "hop-limit", SocketOption::HopLimit, u8);
    option!(types, S, "tcp-socket", "receive-buffer-size", SocketOption::ReceiveBufferBytes, u64);
    option!(types, S, "tcp-socket", "send-buffer-size", SocketOption::SendBufferBytes, u64);
}

/// Those of `udp-socket`.
pub(super) fn bind_udp<S: IsSocket, T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    option!(types, S, "udp-socket", "unicast-hop-limit", SocketOption::HopLimit, u8);
    option!(types, S, "udp-socket", "receive-buffer-size", SocketOption::ReceiveBufferBytes, u64);
    option!(types, S, "udp-socket", "send-buffer-size", SocketOption::SendBufferBytes, u64);
}
