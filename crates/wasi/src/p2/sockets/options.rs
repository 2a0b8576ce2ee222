//! Options of sockets: those that the interfaces of TCP and UDP have, by their names there.

use innkeeper_component::Borrowed;

use super::error_code::{ErrorCode, Failure, told};
use crate::host::{self, SocketOption};
use crate::p2::context::Context;
use crate::p2::interface::{FindContext, Interface};
use crate::p2::table::Held;

/// A resource that is a socket.
pub(super) trait IsSocket: Held {
    /// The socket.
    ///
    /// # Errors
    /// `invalid-state` where it can be used no more.
    fn usable(&self) -> Result<&host::Socket, ErrorCode>;
}

/// A number that an option is set to or has, in the interface.
trait Value: Copy {
    fn number(self) -> u64;
    fn of(number: u64) -> Self;
}

macro_rules! values {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn number(self) -> u64 {
                self.into()
            }
            fn of(number: u64) -> $type {
                // The host gives what can be set.
                <$type>::try_from(number).unwrap_or(<$type>::MAX)
            }
        }
    )*};
}

values!(u8, u32, u64);

/// An option of a socket as a function that reads it, and one that sets it.
macro_rules! option {
    ($interface:ident, $socket:ty, $resource:literal, $name:literal, $option:expr, $value:ty) => {
        $interface
            .func::<(Borrowed<'_, $socket>,), Result<$value, ErrorCode>>(
                concat!("[method]", $resource, ".", $name),
                |cx, (socket,)| told(get(cx, socket, $option).map(<$value as Value>::of)),
            )
            .func::<(Borrowed<'_, $socket>, $value), Result<(), ErrorCode>>(
                concat!("[method]", $resource, ".set-", $name),
                |cx, (socket, value)| told(set(cx, socket, $option, value.number())),
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
pub(super) fn bind_tcp<S: IsSocket, T: Send + 'static>(tcp: &mut Interface<'_, T, impl FindContext<T>>) {
    tcp.func::<(Borrowed<'_, S>,), Result<bool, ErrorCode>>(
        "[method]tcp-socket.keep-alive-enabled",
        |cx, (socket,)| told(get(cx, socket, SocketOption::KeepAlive).map(|value| value != 0)),
    )
    .func::<(Borrowed<'_, S>, bool), Result<(), ErrorCode>>(
        "[method]tcp-socket.set-keep-alive-enabled",
        |cx, (socket, value)| told(set(cx, socket, SocketOption::KeepAlive, value.into())),
    );
    option!(tcp, S, "tcp-socket", "keep-alive-idle-time", SocketOption::KeepAliveIdleNs, u64);
    option!(tcp, S, "tcp-socket", "keep-alive-interval", SocketOption::KeepAliveIntervalNs, u64);
    option!(tcp, S, "tcp-socket", "keep-alive-count", SocketOption::KeepAliveCount, u32);
    option!(tcp, S, "tcp-socket", "hop-limit", SocketOption::HopLimit, u8);
    option!(tcp, S, "tcp-socket", "receive-buffer-size", SocketOption::ReceiveBufferBytes, u64);
    option!(tcp, S, "tcp-socket", "send-buffer-size", SocketOption::SendBufferBytes, u64);
}

/// Those of `udp-socket`.
pub(super) fn bind_udp<S: IsSocket, T: Send + 'static>(udp: &mut Interface<'_, T, impl FindContext<T>>) {
    option!(udp, S, "udp-socket", "unicast-hop-limit", SocketOption::HopLimit, u8);
    option!(udp, S, "udp-socket", "receive-buffer-size", SocketOption::ReceiveBufferBytes, u64);
    option!(udp, S, "udp-socket", "send-buffer-size", SocketOption::SendBufferBytes, u64);
}
